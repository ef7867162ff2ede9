//! What a handler is given.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::job::{AskedQuestion, Stint};
use crate::agent::command::json_of;
use crate::agent::core::decode_json;
use crate::agent::error::Error;
use crate::wire::handoff::Assignment;
use crate::wire::json::Json;
use crate::wire::tools::ToolRun;

/// A task in the hands of its handler, with its payload as a type of yours.
///
/// Its lease is kept for as long as the handler runs. If the task is cancelled, or goes to somebody
/// else, the handler is dropped where it waits.
#[derive(Debug)]
pub struct Work<T> {
    pub(super) job: Arc<Stint>,
    pub(super) assignment: Arc<Assignment>,
    pub(super) payload: T,
}

impl<T> Work<T> {
    /// What is to be done.
    pub fn payload(&self) -> &T {
        &self.payload
    }

    /// What is to be done, to keep.
    pub fn into_payload(self) -> T {
        self.payload
    }

    /// The task's id.
    pub fn id(&self) -> &str {
        self.assignment.task.as_str()
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.assignment.attempt
    }

    /// As it was assigned.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// What was said last of it by a worker that had it before: go on from there.
    ///
    /// # Errors
    /// [`Error::Payload`] if it is something else.
    pub fn last_progress<P: DeserializeOwned>(&self) -> Result<Option<P>, Error> {
        let last = self.assignment.last_progress.as_ref();
        last.map(|last| decode_json(Some(last))).transpose()
    }

    /// Says how far it is: the dispatcher gets it as a partial result, and the next attempt, should
    /// there be one, as [`Work::last_progress`].
    ///
    /// # Errors
    /// [`Error::Conflict`] if the task is somebody else's by now; the handler is about to be
    /// dropped.
    pub async fn progress<P: Serialize + ?Sized>(&self, part: &P) -> Result<(), Error> {
        self.job.progress(part).await
    }

    /// Asks something that the handler cannot go on without: [`Ask::answer`] sends it and waits.
    pub fn ask<Q: Serialize + ?Sized>(&self, question: &Q) -> Ask<'_> {
        Ask::new(&self.job, question)
    }
}

/// A call of a tool in the hands of its handler, with its arguments as a type of yours.
///
/// If nobody waits for the answer any more, the handler is dropped where it waits.
#[derive(Debug)]
pub struct Invocation<A> {
    pub(super) job: Arc<Stint>,
    pub(super) run: Arc<ToolRun>,
    pub(super) arguments: A,
}

impl<A> Invocation<A> {
    /// The arguments.
    pub fn arguments(&self) -> &A {
        &self.arguments
    }

    /// The arguments, to keep.
    pub fn into_arguments(self) -> A {
        self.arguments
    }

    /// The call: who calls, until when.
    pub fn run(&self) -> &ToolRun {
        &self.run
    }

    /// Returns a part of the result; more follows.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the call is over; the handler is about to be dropped.
    pub async fn part<P: Serialize + ?Sized>(&self, part: &P) -> Result<(), Error> {
        self.job.progress(part).await
    }

    /// Asks the caller something: [`Ask::answer`] sends it and waits.
    pub fn ask<Q: Serialize + ?Sized>(&self, question: &Q) -> Ask<'_> {
        Ask::new(&self.job, question)
    }
}

/// A question in the middle of the work.
///
/// A handler that runs again, in this attempt after a crash or in the next, asks its questions in
/// the same order, and each that was answered has its answer at once. So ask before you do what
/// must not be done twice.
#[derive(Debug)]
#[must_use = "nobody is asked until the answer is awaited"]
pub struct Ask<'a> {
    job: &'a Stint,
    question: Result<AskedQuestion, Error>,
}

impl<'a> Ask<'a> {
    fn new<Q: Serialize + ?Sized>(job: &'a Stint, question: &Q) -> Ask<'a> {
        let question = json_of(question).map(|question| AskedQuestion {
            question,
            schema: None,
            answerers: Vec::new(),
            ttl: None,
        });
        Ask { job, question }
    }

    fn try_change(
        mut self,
        change: impl FnOnce(&mut AskedQuestion) -> Result<(), Error>,
    ) -> Ask<'a> {
        self.question = self.question.and_then(|mut question| {
            change(&mut question)?;
            Ok(question)
        });
        self
    }

    /// What the answer must look like, a JSON Schema: the gateway refuses any other.
    pub fn schema<S: Serialize + ?Sized>(self, schema: &S) -> Ask<'a> {
        self.try_change(|question| {
            question.schema = Some(json_of(schema)?);
            Ok(())
        })
    }

    /// One who may answer besides the dispatcher: an agent, or `role:NAME`. A tool's question is
    /// its caller's alone.
    pub fn answerer(self, answerer: &str) -> Ask<'a> {
        self.try_change(|question| {
            question.answerers.push(answerer.to_owned());
            Ok(())
        })
    }

    /// How long to wait for the answer; 15 minutes if not said.
    pub fn within(self, ttl: Duration) -> Ask<'a> {
        self.try_change(|question| {
            question.ttl = Some(ttl);
            Ok(())
        })
    }

    /// Asks, and waits for the answer. Meanwhile the lease rests, and the worker's place is free
    /// for other work.
    ///
    /// # Errors
    /// [`Error::Timeout`] if nobody answers in time; [`Error::Payload`] if the answer is something
    /// else than asked for.
    pub async fn answer<T: DeserializeOwned>(self) -> Result<T, Error> {
        let answer: Json = self.job.ask(self.question?).await?;
        decode_json(Some(&answer))
    }
}

//! One attempt at a task, or one call of a tool, while its handler is at it: what the gateway is
//! told, and what is heard of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::agent::command::{Effort, Persistence, json_of, millis};
use crate::agent::error::Error;
use crate::agent::link::Posting;
use crate::agent::room::Room;
use crate::wire::handoff::{Assignment, Update, UpdateStatus};
use crate::wire::json::Json;
use crate::wire::question::GivenAnswer;
use crate::wire::tools::{ReturnStatus, ToolReturn, ToolRun};
use crate::wire::topic::Topic;

use super::fault::Fault;

/// How long it is tried to tell how an attempt ended; by then another has long had it.
const LAST_WORDS: Duration = Duration::from_secs(24 * 3_600);
/// So begins the correlation id of what is said and not waited for; attempt and task follow.
const SAID: &str = "attempt-";

/// Which attempt or call it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StintKey {
    pub(super) id: String,
    /// 0 for a call.
    pub(super) attempt: u32,
}

/// What there is to do.
#[derive(Debug)]
pub(super) enum Assigned {
    Task(Assignment),
    Call(ToolRun),
}

/// Why a handler is to stop before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The gateway wants no more of it, and no word either.
    Over,
    /// The worker stops: somebody else should have it.
    Released,
}

/// What a handler shares with its worker.
#[derive(Debug)]
pub(super) struct Stint {
    pub(super) room: Room,
    pub(super) assigned: Assigned,
    answers: watch::Sender<Vec<GivenAnswer>>,
    asked: AtomicUsize,
    is_asking: AtomicBool,
    stopped: watch::Sender<Option<Stopped>>,
}

impl Stint {
    pub(super) fn new(room: Room, assigned: Assigned) -> Stint {
        let answers = match &assigned {
            Assigned::Task(assignment) => assignment.answers.clone(),
            Assigned::Call(run) => run.answers.clone(),
        };
        Stint {
            room,
            assigned,
            answers: watch::Sender::new(answers),
            asked: AtomicUsize::new(0),
            is_asking: AtomicBool::new(false),
            stopped: watch::Sender::new(None),
        }
    }

    pub(super) fn key(&self) -> StintKey {
        match &self.assigned {
            Assigned::Task(assignment) => StintKey {
                id: assignment.task.to_string(),
                attempt: assignment.attempt,
            },
            Assigned::Call(run) => StintKey {
                id: run.call.to_string(),
                attempt: 0,
            },
        }
    }

    /// Has the handler stop. Over stays over; and what waits for an answer keeps its question, for
    /// whoever goes on with it.
    pub(super) fn stop(&self, why: Stopped) {
        let why = match self.is_asking() {
            true => Stopped::Over,
            false => why,
        };
        self.stopped.send_modify(|stopped| {
            if *stopped != Some(Stopped::Over) {
                *stopped = Some(why);
            }
        });
    }

    /// Waits until it is to stop.
    pub(super) async fn stopped(&self) -> Stopped {
        let mut stopped = self.stopped.subscribe();
        let why = stopped.wait_for(Option::is_some).await;
        why.ok().and_then(|why| *why).unwrap_or(Stopped::Over)
    }

    /// Whether it waits for an answer.
    pub(super) fn is_asking(&self) -> bool {
        self.is_asking.load(Ordering::Acquire)
    }

    pub(super) fn is_over(&self) -> bool {
        *self.stopped.borrow() == Some(Stopped::Over)
    }

    /// It came again, with all that was answered so far.
    pub(super) fn learn(&self, answers: Vec<GivenAnswer>) {
        self.answers.send_if_modified(|known| {
            let is_news = answers.len() > known.len();
            if is_news {
                *known = answers;
            }
            is_news
        });
    }

    /// The answer to the handler's next question: at once if it was given before, in this attempt
    /// or an earlier one.
    pub(super) async fn ask(&self, question: AskedQuestion) -> Result<Json, Error> {
        let number = self.asked.fetch_add(1, Ordering::AcqRel);
        let mut answers = self.answers.subscribe();
        if answers.borrow().len() <= number {
            self.is_asking.store(true, Ordering::Release);
            let asked = self.put(&question).await;
            let waited = match asked {
                Ok(()) => answers.wait_for(|given| given.len() > number).await.is_ok(),
                Err(_) => false,
            };
            self.is_asking.store(false, Ordering::Release);
            asked?;
            if !waited {
                return Err(Error::Disconnected);
            }
        }
        let given = answers.borrow().get(number).cloned();
        let given = given.ok_or(Error::Disconnected)?;
        given.answer.filter(|_| !given.timed_out).ok_or_else(|| {
            let usual = Duration::from_secs(15 * 60);
            Error::Timeout {
                what: format!("the answer to question {}", number + 1),
                after: question.ttl.unwrap_or(usual),
                sent: true,
            }
        })
    }

    async fn put(&self, question: &AskedQuestion) -> Result<(), Error> {
        match &self.assigned {
            Assigned::Task(assignment) => {
                let update = Update {
                    question: Some(question.question.clone()),
                    schema: question.schema.clone(),
                    answerers: question.answerers.clone(),
                    ttl_ms: question.ttl.map(millis),
                    ..update(assignment, UpdateStatus::Input)
                };
                self.update(update, self.room.effort()).await
            }
            Assigned::Call(run) => {
                let answer = ToolReturn {
                    question: Some(question.question.clone()),
                    schema: question.schema.clone(),
                    ttl_ms: question.ttl.map(millis),
                    ..ToolReturn::new(run.call.clone(), ReturnStatus::Input)
                };
                self.give(answer, self.room.effort()).await
            }
        }
    }

    /// Says how far it is; the dispatcher or caller gets it as a partial result.
    pub(super) async fn progress<T: Serialize + ?Sized>(&self, part: &T) -> Result<(), Error> {
        let result = Some(json_of(part)?);
        let effort = self.room.effort();
        let told = match &self.assigned {
            Assigned::Task(assignment) => {
                let update = Update {
                    result,
                    ..update(assignment, UpdateStatus::Progress)
                };
                self.update(update, effort).await
            }
            Assigned::Call(run) => {
                let answer = ToolReturn {
                    result,
                    ..ToolReturn::new(run.call.clone(), ReturnStatus::Partial)
                };
                self.give(answer, effort).await
            }
        };
        if let Err(Error::Conflict(_) | Error::Expired(_) | Error::NotFound(_)) = &told {
            self.stop(Stopped::Over);
        }
        told
    }

    /// Tells what the handler returned.
    pub(super) async fn succeed(&self, result: Json) -> Result<(), Error> {
        let result = (!result.is_null()).then_some(result);
        match &self.assigned {
            Assigned::Task(assignment) => {
                let update = Update {
                    result,
                    ..update(assignment, UpdateStatus::Success)
                };
                self.update(update, last_words()).await
            }
            Assigned::Call(run) => {
                let answer = ToolReturn {
                    result,
                    ..ToolReturn::new(run.call.clone(), ReturnStatus::Success)
                };
                self.give(answer, last_words()).await
            }
        }
    }

    /// Tells why it came to nothing.
    pub(super) async fn fail(&self, fault: Fault) -> Result<(), Error> {
        match &self.assigned {
            Assigned::Task(assignment) => {
                let update = Update {
                    error: Some(fault.into_task_error()),
                    ..update(assignment, UpdateStatus::Error)
                };
                self.update(update, last_words()).await
            }
            Assigned::Call(run) => {
                let answer = ToolReturn {
                    error: Some(fault.into_tool_error()),
                    ..ToolReturn::new(run.call.clone(), ReturnStatus::Error)
                };
                self.give(answer, last_words()).await
            }
        }
    }

    /// Gives it back.
    pub(super) async fn release(&self) -> Result<(), Error> {
        match &self.assigned {
            Assigned::Task(assignment) => {
                let release = update(assignment, UpdateStatus::Release);
                self.update(release, self.room.effort()).await
            }
            // Calls cannot be given back; their caller is told at once.
            Assigned::Call(_) => {
                let fault = Fault::fatal("its provider stops").code("provider-stops");
                self.fail(fault).await
            }
        }
    }

    async fn update(&self, update: Update, effort: Effort) -> Result<(), Error> {
        let topic = Topic::HandoffUpdate { me: self.room.me() };
        let told = self.room.call_with(topic, update, effort).await;
        told.map(drop)
    }

    async fn give(&self, answer: ToolReturn, effort: Effort) -> Result<(), Error> {
        let topic = Topic::ToolsReturn { me: self.room.me() };
        let told = self.room.call_with(topic, answer, effort).await;
        told.map(drop)
    }

    /// Keeps the lease, as long as this is polled. On a task of its own, so that a handler that
    /// does not come to wait for a while loses nothing.
    pub(super) async fn keep_lease(&self, since: Duration) {
        let Assigned::Task(assignment) = &self.assigned else {
            return std::future::pending().await;
        };
        tokio::time::sleep(since).await;
        self.say(assignment, UpdateStatus::Accepted).await;
        let third = Duration::from_millis((assignment.lease_ms / 3).max(1));
        loop {
            tokio::time::sleep(third).await;
            // While it asks the lease rests.
            if !self.is_asking() {
                self.say(assignment, UpdateStatus::Progress).await;
            }
        }
    }

    /// Says something that only its refusal is an answer to; the refusal comes as a notice.
    async fn say(&self, assignment: &Assignment, status: UpdateStatus) {
        let update = Update {
            correlation_id: Some(format!("{SAID}{}/{}", assignment.attempt, assignment.task)),
            ..update(assignment, status)
        };
        let core = self.room.core();
        let topic = Topic::HandoffUpdate { me: self.room.me() };
        let outbound = Posting {
            topic: core.topic(&self.room.shared.name, topic),
            payload: core.encode(&update),
            ..Posting::default()
        };
        // What does not arrive is said again, or the connection is gone, where the lease rests.
        if let Err(error) = core.link.publish(outbound).await {
            tracing::debug!(task = %assignment.task, %error, "not said");
        }
    }
}

/// Which attempt a notice is about: by what we said ourselves, or in the gateway's words.
pub(super) fn attempt_of(correlation: Option<&str>, reason: Option<&str>) -> Option<u32> {
    let said = correlation.and_then(|id| id.strip_prefix(SAID)?.split_once('/'));
    if let Some((attempt, _)) = said {
        return attempt.parse().ok();
    }
    let (_, rest) = reason?.split_once("attempt ")?;
    rest.split(' ').next()?.parse().ok()
}

fn update(assignment: &Assignment, status: UpdateStatus) -> Update {
    Update::new(assignment.task.clone(), assignment.attempt, status)
}

fn last_words() -> Effort {
    Effort {
        deadline: LAST_WORDS,
        persistence: Persistence::Busy,
    }
}

/// What a handler asks.
#[derive(Debug)]
pub(super) struct AskedQuestion {
    pub(super) question: Json,
    pub(super) schema: Option<Json>,
    pub(super) answerers: Vec<String>,
    pub(super) ttl: Option<Duration>,
}

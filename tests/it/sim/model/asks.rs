//! What workers ask in the middle of their tasks, and what they are told.

use hallward::wire::Millis;
use hallward::wire::handoff::Update;
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, Room};
use hallward::wire::observe::Event;
use hallward::wire::question::{AnswerTask, GivenAnswer, OpenQuestion};

use super::super::history::{Step, read};
use super::Tally;
use super::tasks::{TaskModel, Tasks};

pub(in super::super) const ANSWERED: &str = "handoff.answered";
pub(in super::super) const UNANSWERED: &str = "handoff.unanswered";

/// Questions that may be asked of one task.
pub(in super::super) const MOST_QUESTIONS: u32 = 16;

/// What a worker waits to be answered.
#[derive(Debug, Clone)]
pub(in super::super) struct Ask {
    pub(in super::super) worker: Agent,
    pub(in super::super) question: Json,
    pub(in super::super) until: Millis,
    /// The worker ended the attempt without the answer, in the step that is being looked at.
    pub(in super::super) given_back: bool,
    /// What was answered in that step.
    answer: Option<Json>,
    /// What is shown to whoever may answer.
    pub(in super::super) shown: Option<OpenQuestion>,
}

impl Ask {
    pub(super) fn of(worker: Agent, update: &Update, now: Millis) -> Ask {
        Ask {
            worker,
            question: update.question.clone().expect("a question"),
            until: now + update.ttl_ms.expect("how long it waits"),
            given_back: false,
            answer: None,
            shown: None,
        }
    }
}

/// Whether an event says that a wait for an answer is over.
pub(in super::super) fn ends_a_wait(event: &Event) -> bool {
    matches!(event.what.as_str(), ANSWERED | UNANSWERED)
}

/// What came of questions, by their numbers, as workers and providers are told.
pub(super) fn given(answers: Vec<(u32, Option<Json>)>) -> Vec<GivenAnswer> {
    let given = answers.into_iter().map(|(ask, answer)| GivenAnswer {
        ask,
        timed_out: answer.is_none(),
        answer,
    });
    given.collect()
}

impl TaskModel {
    /// The answers as an assignment lists them; the one that brings it included.
    pub(in super::super) fn given(&self) -> Vec<GivenAnswer> {
        let mut answers = self.answers.clone();
        if let Some(ask) = &self.asked {
            answers.push((self.asks, ask.answer.clone()));
        }
        given(answers)
    }

    /// The wait is over.
    pub(super) fn waited(&mut self, event: &Event, tally: &mut Tally) {
        let answer = self.asked.take().and_then(|ask| ask.answer);
        match answer {
            Some(_) => tally.answered += 1,
            None => tally.unanswered += 1,
        }
        self.answers.push((self.asks, answer));
        if event.to.as_deref() == Some("queued") {
            tally.answered_late += 1;
            self.hold = None;
            if let Some((_, _, open)) = self.attempts.last_mut() {
                *open = true;
            }
            (self.ready_at, self.due_by) = (event.at, event.at);
        }
    }
}

impl Tasks {
    /// An answer that was accepted.
    pub(super) fn answered(&mut self, step: &Step) {
        let command = step.command().expect("an answer");
        let said: AnswerTask = read(&command.payload);
        let name = (command.topic.room.clone(), said.task);
        if let Some(ask) = self.all.get_mut(&name).and_then(|task| task.asked.as_mut()) {
            ask.answer = Some(said.answer);
        }
    }

    /// What is shown of a question.
    pub(super) fn shown(
        &mut self,
        room: &Room,
        topic: &hallward::wire::name::TaskId,
        shown: Option<OpenQuestion>,
    ) {
        let name = (room.clone(), topic.clone());
        if let Some(ask) = self.all.get_mut(&name).and_then(|task| task.asked.as_mut()) {
            ask.shown = shown;
        }
    }
}

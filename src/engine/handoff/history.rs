//! Histories: the attempts at a task, who had it and how each ended.
//!
//! Plain data that `task` writes as it moves on; `handoff/get` shows it. Of a task with many
//! attempts the oldest are dropped.

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::handoff::{AttemptOutcome, AttemptView};
use crate::wire::name::Agent;

/// How much of what went wrong is kept with each attempt, in bytes; the last error is kept whole
/// with the task.
const KEPT_ERROR_BYTES: usize = 200;

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Attempt {
    no: u32,
    worker: Agent,
    at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<Box<End>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct End {
    at: Millis,
    how: AttemptOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Box<str>>,
}

/// The attempts at a task, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::engine) struct AttemptHistory(Vec<Attempt>);

impl AttemptHistory {
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, no: u32, worker: &Agent, at: Millis) {
        // Most tasks need no more than one.
        self.0.reserve_exact(1);
        self.0.push(Attempt {
            no,
            worker: worker.clone(),
            at,
            end: None,
        });
    }

    /// The attempt that goes on ends.
    pub(super) fn end(&mut self, how: AttemptOutcome, error: Option<&str>, at: Millis) {
        if let Some(attempt) = self.0.last_mut()
            && attempt.end.is_none()
        {
            let error = error.map(|text| text[..text.floor_char_boundary(KEPT_ERROR_BYTES)].into());
            attempt.end = Some(Box::new(End { at, how, error }));
        }
    }

    /// The attempt that was taken for lost has come to a good end after all.
    pub(super) fn end_late(&mut self, at: Millis) {
        if let Some(attempt) = self.0.last_mut() {
            let how = AttemptOutcome::Succeeded;
            attempt.end = Some(Box::new(End {
                at,
                how,
                error: None,
            }));
        }
    }

    /// Whether this worker lost this attempt or gave it back, and nobody else has had one since.
    pub(super) fn is_nobody_elses_since(&self, no: u32, worker: &Agent) -> bool {
        let is_open = |attempt: &Attempt| {
            let how = attempt.end.as_deref().map(|end| end.how);
            matches!(how, Some(AttemptOutcome::Lost | AttemptOutcome::Released))
        };
        let mut since = self.0.iter().skip_while(|attempt| attempt.no != no);
        since.clone().next().is_some_and(is_open) && since.all(|attempt| attempt.worker == *worker)
    }

    /// Who gave the task back, if the last attempt ended with that.
    pub(super) fn given_back_by(&self) -> Option<&Agent> {
        let last = self.0.last()?;
        let how = last.end.as_deref().map(|end| end.how);
        (how == Some(AttemptOutcome::Released)).then_some(&last.worker)
    }

    /// Drops the oldest beyond so many.
    pub(super) fn keep(&mut self, limit: usize) {
        if self.0.len() > limit {
            self.0.drain(..self.0.len() - limit);
        }
    }

    pub(super) fn view(&self) -> Vec<AttemptView> {
        let views = self.0.iter().map(|attempt| {
            let end = attempt.end.as_deref();
            AttemptView {
                attempt: attempt.no,
                worker: attempt.worker.clone(),
                assigned_at: attempt.at,
                ended_at: end.map(|end| end.at),
                outcome: end.map(|end| end.how),
                error: end.and_then(|end| end.error.as_deref()).map(str::to_owned),
            }
        });
        views.collect()
    }
}

//! Outcomes: what commands with an id came to, so that a repeat is harmless and answered as the
//! first time.
//!
//! An id stands for what was said with it: the same one with something else is refused, for whoever
//! sent it must not take the answer for one to that. Refusals are not remembered: a repeat of a
//! refused command is tried again, and may succeed.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::slack::Slack;
use crate::wire::Millis;
use crate::wire::name::{Agent, CommandId};
use crate::wire::reply::{Code, Rejection};

use super::replies::{Accepted, Call, command_name};

/// Which command an outcome belongs to: an id means something only to the agent and the command
/// that it came with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OutcomeKey {
    pub(super) agent: Agent,
    pub(super) command: String,
    pub(super) id: CommandId,
}

/// A remembered outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) at: Millis,
    pub(super) accepted: Accepted,
    /// Of what the command said; earlier versions did not write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<NonZeroU64>,
}

/// The first outcomes of a room's commands with an id.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    by_key: BTreeMap<OutcomeKey, Remembered>,
    /// Oldest first.
    order: VecDeque<(Millis, OutcomeKey)>,
}

impl Outcomes {
    pub(super) fn find(&self, key: &OutcomeKey) -> Option<&Remembered> {
        self.by_key.get(key)
    }

    pub(super) fn oldest(&self) -> Option<Millis> {
        self.order.front().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn insert(&mut self, key: OutcomeKey, remembered: Remembered) {
        self.order.push_back((remembered.at, key.clone()));
        self.by_key.insert(key, remembered);
    }

    pub(super) fn forget_oldest(&mut self) -> Option<OutcomeKey> {
        let (_, key) = self.order.pop_front()?;
        self.order.give_back();
        self.by_key.remove(&key);
        Some(key)
    }

    /// Records come ordered by key, not by time.
    pub(super) fn sort(&mut self) {
        self.order.make_contiguous().sort();
    }
}

impl Call<'_> {
    pub(super) fn outcome_key(&self) -> Option<OutcomeKey> {
        Some(OutcomeKey {
            agent: self.from().clone(),
            command: command_name(self.command).to_owned(),
            id: self.id.clone()?,
        })
    }

    /// Refuses a command whose id came with something else before. What earlier versions remember
    /// has no fingerprint: nobody can tell.
    pub(super) fn expect_repeat(&self, first: Option<NonZeroU64>) -> Result<(), Rejection> {
        match (first, self.fingerprint, &self.id) {
            (Some(first), Some(now), Some(id)) if first != now => {
                let reason = format!("the id {id} was used for another command");
                Err(Rejection::new(Code::Conflict, reason).at("id"))
            }
            _ => Ok(()),
        }
    }
}

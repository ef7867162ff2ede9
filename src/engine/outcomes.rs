//! Outcomes: what commands with an id came to, so that a repeat is harmless and answered as the first time.
//!
//! An id stands for what was said with it: the same one with something else is refused, for whoever sent it must not take the answer
//! for one to that. Refusals are not remembered: a repeat of a refused command is tried again, and may succeed.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::slack::Slack;
use crate::wire::Millis;
use crate::wire::name::{Agent, CommandId};
use crate::wire::reply::{Code, Rejection};

use super::context::Context;
use super::record::Change;
use super::replies::{Accepted, Call, Outcome, command_name};
use super::room::RoomState;

/// Which command an outcome belongs to: an id means something only to the agent and the command that it came with.
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
    fn outcome_key(&self) -> Option<OutcomeKey> {
        Some(OutcomeKey {
            agent: self.from().clone(),
            command: command_name(self.command).to_owned(),
            id: self.id.clone()?,
        })
    }

    /// Refuses a command whose id came with something else before. What earlier versions remember has no fingerprint: nobody
    /// can tell.
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

impl RoomState {
    /// Runs a command, or returns what its first run came to where it carries an id that is known.
    pub(super) fn once(
        &mut self,
        cx: &mut Context,
        call: &Call<'_>,
        act: impl FnOnce(&mut RoomState, &mut Context) -> Outcome,
    ) -> Outcome {
        if let Some(first) = self.first_outcome(call)? {
            return Ok(first);
        }
        let accepted = act(self, cx)?;
        self.remember_call(cx, call, &accepted);
        Ok(accepted)
    }

    /// What the first run of a command came to, where it carries an id that is known.
    ///
    /// # Errors
    /// 409 where the id came with something else then.
    pub(super) fn first_outcome(&self, call: &Call<'_>) -> Result<Option<Accepted>, Rejection> {
        let first = call.outcome_key().and_then(|key| self.outcomes.find(&key));
        let Some(first) = first else {
            return Ok(None);
        };
        call.expect_repeat(first.fingerprint)?;
        Ok(Some(first.accepted.clone()))
    }

    /// Remembers what a command came to, if it carries an id.
    pub(super) fn remember_call(&mut self, cx: &mut Context, call: &Call<'_>, accepted: &Accepted) {
        if let Some(key) = call.outcome_key() {
            self.remember(cx, key, call.fingerprint, accepted);
        }
    }

    pub(super) fn remember(
        &mut self,
        cx: &mut Context,
        key: OutcomeKey,
        fingerprint: Option<NonZeroU64>,
        accepted: &Accepted,
    ) {
        if self.outcomes.len() >= cx.settings.max_outcomes_per_room
            && let Some(forgotten) = self.outcomes.forget_oldest()
        {
            cx.stats.forgotten_early += 1;
            self.change(cx, Change::Outcome(forgotten));
        }
        self.change(cx, Change::Outcome(key.clone()));
        let remembered = Remembered {
            at: cx.now,
            accepted: accepted.clone(),
            fingerprint,
        };
        self.outcomes.insert(key, remembered);
    }
}

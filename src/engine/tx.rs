//! What a room lends to its patterns while an input is handled: itself but for the patterns, and
//! what all rooms share.
//!
//! A pattern reaches others only through what is here, so none can touch another's state.

use std::num::NonZeroU64;

use crate::wire::name::{Agent, is_name};
use crate::wire::reply::{Code, Rejection};

use super::actor::Actor;
use super::context::Context;
use super::core::{RoomChange, RoomCore};
use super::event::RoomEvent;
use super::gate::GateMessage;
use super::outcomes::{OutcomeKey, Remembered};
use super::replies::{Accepted, Call, Outcome};

/// What the rest of a reply may take of the largest message that its reader can take.
const ENVELOPE_BYTES: usize = 512;

/// How a list of agents names all of a role.
const ROLE: &str = "role:";

/// The room and the engine's context, for as long as one input takes.
pub(super) struct RoomTx<'a> {
    pub(super) cx: &'a mut Context,
    pub(super) room: &'a mut RoomCore,
}

impl RoomTx<'_> {
    /// The room has something to flush or to record.
    pub(super) fn touch(&mut self) {
        self.room.log.touch(self.cx);
    }

    /// Tells the other patterns.
    pub(super) fn tell_gates(&mut self, message: GateMessage) {
        self.touch();
        if matches!(message, GateMessage::Ask(_)) {
            self.room.pending_approvals += 1;
        }
        self.room.gate_messages.push_back(message);
    }

    /// Numbers a transition and tells those who observe.
    pub(super) fn record_event(&mut self, happened: &RoomEvent<'_>) {
        self.room.log.record_event(self.cx, happened);
    }

    /// Notes that a record of the room itself must be written or deleted.
    pub(super) fn change(&mut self, change: RoomChange) {
        self.touch();
        self.room.changes.note(change);
    }

    /// Runs a command, or returns what its first run came to where it carries an id that is known.
    pub(super) fn once(
        &mut self,
        call: &Call<'_>,
        act: impl FnOnce(&mut RoomTx<'_>) -> Outcome,
    ) -> Outcome {
        if let Some(first) = self.first_outcome(call)? {
            return Ok(first);
        }
        let accepted = act(self)?;
        self.remember_call(call, &accepted);
        Ok(accepted)
    }

    /// What the first run of a command came to, where it carries an id that is known.
    ///
    /// # Errors
    /// 409 where the id came with something else then.
    pub(super) fn first_outcome(&self, call: &Call<'_>) -> Result<Option<Accepted>, Rejection> {
        let key = call.outcome_key();
        let first = key.and_then(|key| self.room.outcomes.find(&key));
        let Some(first) = first else {
            return Ok(None);
        };
        call.expect_repeat(first.fingerprint)?;
        Ok(Some(first.accepted.clone()))
    }

    /// Remembers what a command came to, if it carries an id.
    pub(super) fn remember_call(&mut self, call: &Call<'_>, accepted: &Accepted) {
        if let Some(key) = call.outcome_key() {
            self.remember(key, call.fingerprint, accepted);
        }
    }

    pub(super) fn remember(
        &mut self,
        key: OutcomeKey,
        fingerprint: Option<NonZeroU64>,
        accepted: &Accepted,
    ) {
        if self.room.outcomes.len() >= self.cx.settings.commands.max_outcomes_per_room
            && let Some(forgotten) = self.room.outcomes.forget_oldest()
        {
            self.cx.stats.forgotten_early += 1;
            self.change(RoomChange::Outcome(forgotten));
        }
        self.change(RoomChange::Outcome(key.clone()));
        let remembered = Remembered {
            at: self.cx.now,
            accepted: accepted.clone(),
            fingerprint,
        };
        self.room.outcomes.insert(key, remembered);
    }

    /// Notes that an agent may look different; `must_show` where more changed than the number of
    /// its tasks.
    pub(super) fn mark_presence_dirty(&mut self, agent: &Agent, must_show: bool) {
        self.touch();
        match self.room.dirty_presence.get_mut(agent) {
            Some(known) => *known |= must_show,
            None => {
                self.room.dirty_presence.insert(agent.clone(), must_show);
            }
        }
    }

    /// What the entries of one answer may have: as the limit says, and as the asker can take and
    /// has room for.
    pub(super) fn page_bytes(&self, call: &Call<'_>) -> Result<usize, Rejection> {
        let limit = self.cx.settings.observe.max_page_bytes.0;
        let most = limit.min(self.can_take(call));
        if !call.is_asked && call.mailboxes.free_bytes(call.from()) < most {
            let reason = format!("your mailbox has no room for an answer of {most} bytes");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        Ok(most)
    }

    /// Bytes that the data in an answer may have for whoever asks, as far as that is a matter of
    /// what it can take.
    pub(super) fn can_take(&self, call: &Call<'_>) -> usize {
        let most = self.room.takes(call.from().as_str());
        let most = most.filter(|_| !call.is_asked);
        most.map_or(usize::MAX, |most| most.saturating_sub(ENVELOPE_BYTES))
    }

    /// Refuses who may not take part.
    pub(super) fn expect_member(&self, agent: &Agent) -> Result<(), Rejection> {
        if self.cx.may_enter(&self.room.name, agent) {
            return Ok(());
        }
        let reason = format!("{agent} is no member of the room {}", self.room.name);
        Err(Rejection::new(Code::Forbidden, reason))
    }

    /// Whether a list of agents, users and roles names whoever acts.
    pub(super) fn is_named_by(&self, listed: &[String], actor: Actor<'_>) -> bool {
        let role = self.room.members.role(actor.agent);
        listed.iter().any(|one| match role_of(one) {
            Some(name) => role == Some(name),
            None => actor.is_called(one),
        })
    }
}

/// The role that an entry of such a list names, if it does.
pub(super) fn role_of(listed: &str) -> Option<&str> {
    listed.strip_prefix(ROLE)
}

/// Refuses a list in which something else stands than agents and roles.
pub(super) fn expect_agents_or_roles(path: &str, listed: &[String]) -> Result<(), Rejection> {
    for one in listed {
        if !is_name(role_of(one).unwrap_or(one)) {
            let shown: String = one.chars().take(80).collect();
            let reason = format!("{shown:?} is neither an agent nor {ROLE}NAME");
            return Err(Rejection::new(Code::Invalid, reason).at(path));
        }
    }
    Ok(())
}

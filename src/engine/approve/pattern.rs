//! Approve as one of a room's patterns, and what of approvals is recorded.

use crate::wire::Millis;
use crate::wire::name::{Agent, ApprovalId, Room};
use crate::wire::topic::Topic;

use crate::engine::gate::GateMessage;
use crate::engine::pattern::{AgentChange, Pattern};
use crate::engine::record::{Changes, RecordKey, RecordProblem, decode, encode, key, name};
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Call, Outcome, no_command};
use crate::engine::settings::Settings;
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::{Approval, Approvals};

const APPROVAL: u8 = 6;

/// An approval that must be recorded anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct ApprovalChange(pub(super) ApprovalId);

impl RecordKey for ApprovalChange {
    fn key(&self, room: &Room) -> Vec<u8> {
        key(room, APPROVAL, &[self.0.as_str().as_bytes()])
    }

    fn parse(tag: u8, rest: &[u8]) -> Option<Option<ApprovalChange>> {
        (tag == APPROVAL).then(|| name(rest, ApprovalId::new).map(ApprovalChange))
    }
}

impl Pattern for Approvals {
    fn command(&mut self, tx: &mut RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        match &call.command.topic.topic {
            Topic::ApproveRequest { .. } => self.request(tx, call),
            Topic::ApproveDecide { id, .. } => self.decide(tx, call, id),
            Topic::ApproveCancel { .. } => self.cancel_approval(tx, call),
            Topic::ApproveAudit { .. } => self.audit(tx, call),
            _ => Err(no_command()),
        }
    }

    fn timer(&mut self, tx: &mut RoomTx<'_>, timer: Timer, subject: &TimerSubject) {
        if let (Timer::Approval, TimerSubject::Approval(_, id)) = (timer, subject) {
            self.approval_timed_out(tx, id);
        }
    }

    fn agent_changed(&mut self, _: &mut RoomTx<'_>, _: &Agent, _: AgentChange<'_>) {}

    fn gate_told(&mut self, tx: &mut RoomTx<'_>, message: &GateMessage) {
        match message {
            GateMessage::Ask(request) => self.ask_before(tx, request),
            GateMessage::Withdraw(id) => self.withdraw(tx, id),
            GateMessage::Open { .. } | GateMessage::Shut { .. } => {}
        }
    }

    fn next_retention(&self, settings: &Settings) -> Option<Millis> {
        let decided = self.oldest_decided()?;
        Some(decided.saturating_add(settings.approve.retention.ms()))
    }

    fn forget_oldest(&mut self, tx: &mut RoomTx<'_>) {
        self.forget_oldest_approval(tx);
    }

    fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn end_some(&mut self, tx: &mut RoomTx<'_>, left: &mut usize, words: &'static str) -> bool {
        while *left > 0 && self.refuse_oldest_approval(tx, words) {
            *left -= 1;
        }
        *left > 0
    }
}

impl Recorded for Approvals {
    type Key = ApprovalChange;

    fn changes(&mut self) -> &mut Changes<ApprovalChange> {
        &mut self.changes
    }

    fn value(&self, change: &ApprovalChange) -> Option<Vec<u8>> {
        self.by_id.get(&change.0).map(encode)
    }

    fn take_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        _: ApprovalChange,
        value: &[u8],
    ) -> Result<(), RecordProblem> {
        let approval = decode(value)?;
        self.put_back(tx, approval);
        Ok(())
    }
}

impl Approvals {
    fn put_back(&mut self, tx: &mut RoomTx<'_>, approval: Approval) {
        let asked = &approval.asked;
        let id = asked.id.clone();
        if approval.ended.is_none() {
            let subject = TimerSubject::Approval(tx.room.name.clone(), id);
            tx.cx.timers.arm(asked.expires_at, Timer::Approval, subject);
            if approval.gates.is_none() {
                tx.cx.reserve_result(&asked.requester);
            }
            tx.cx.stats.pending_approvals += 1;
            tx.room.pending_approvals += 1;
        }
        self.put(approval);
    }
}

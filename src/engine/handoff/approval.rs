//! Approval: tasks of some types wait until somebody has said yes to their payload.

use crate::wire::approve::ApprovalRule;
use crate::wire::json::Json;
use crate::wire::name::TaskId;
use crate::wire::reply::Rejection;

use crate::engine::actor::Actor;
use crate::engine::gate::{GateMessage, GateRequest, Gated, NOT_APPROVED};
use crate::engine::ids::TaskNo;
use crate::engine::recorded::Recorded;
use crate::engine::tx::RoomTx;

use super::records::TaskChange;
use super::step::Step;
use super::task::{Body, TaskStage, why};
use super::{Advance, Handoff};

/// The approval that a task has to wait for, if its type asks for one.
///
/// # Errors
/// 429 where the room has as many as may be, 422 where the payload has no digest of its own.
pub(super) fn gate(
    tx: &mut RoomTx<'_>,
    body: &Body,
) -> Result<Option<Box<GateRequest>>, Rejection> {
    let types = &tx.cx.settings.handoff.types;
    let asked = types.get(&body.task_type);
    let Some(rule) = asked.and_then(|asked| asked.approval.as_ref()) else {
        return Ok(None);
    };
    let rule: ApprovalRule = rule.rule();
    let actor = Actor {
        agent: &body.dispatcher,
        user: body.user.as_deref(),
    };
    let usual = (body.task_type.as_str(), &rule);
    let content = ("payload", body.payload.as_ref());
    let request = tx.gate_before(Gated::Task(body.id.clone()), actor, usual, content)?;
    Ok(Some(Box::new(GateRequest {
        correlation_id: body.correlation_id.as_deref().map(str::to_owned),
        traceparent: body.traceparent.as_deref().map(str::to_owned),
        tracestate: body.tracestate.as_deref().map(str::to_owned),
        ..request
    })))
}

impl Handoff {
    /// Hears of a task's approval.
    pub(super) fn approval_told(&mut self, tx: &mut RoomTx<'_>, message: &GateMessage) {
        match message {
            GateMessage::Open {
                gated: Gated::Task(task),
                content,
            } => self.approved(tx, task, content.as_ref()),
            GateMessage::Shut {
                gated: Gated::Task(task),
                reason,
            } => self.not_approved(tx, task, reason),
            _ => {}
        }
    }

    /// It may go on, with the payload that was approved.
    fn approved(&mut self, tx: &mut RoomTx<'_>, task: &TaskId, payload: Option<&Json>) {
        let Some(no) = self.awaiting(task) else {
            return;
        };
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        task.status.awaits = None;
        task.status.approved = true;
        let is_due = match &task.status.stage {
            TaskStage::Waiting { until, unmet } => unmet.is_empty() && *until <= tx.cx.now,
            _ => false,
        };
        if task.body.payload.as_ref() != payload {
            self.payload_bytes -= task.body.payload_bytes();
            task.body.payload = payload.cloned();
            task.body.measure(&tx.cx.settings, &tx.room.name);
            self.payload_bytes += task.body.payload_bytes();
            self.change(tx, TaskChange::Body(no));
        }
        self.change(tx, TaskChange::State(no));
        if is_due {
            self.due(tx, no);
        }
    }

    fn not_approved(&mut self, tx: &mut RoomTx<'_>, task: &TaskId, reason: &str) {
        let Some(no) = self.awaiting(task) else {
            return;
        };
        let doom = Advance {
            reason: Some(reason),
            ..Advance::new(Step::Doom(why(NOT_APPROVED, reason)))
        };
        self.advance(tx, no, doom);
    }

    fn awaiting(&self, task: &TaskId) -> Option<TaskNo> {
        let no = self.numbers.get(task)?;
        let awaits = self.tasks.get(no)?.status.awaits.is_some();
        awaits.then_some(*no)
    }

    /// It has ended: nobody needs to approve it any more.
    pub(super) fn awaits_no_more(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if let Some(task) = self.tasks.get_mut(&no)
            && let Some(approval) = task.status.awaits.take()
        {
            tx.tell_gates(GateMessage::Withdraw(approval));
        }
    }
}

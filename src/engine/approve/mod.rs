//! Approve: gates that somebody else must open.
//!
//! It fails closed: a time-out, a word that is not exactly `approve`, one rejection, all mean no.
//! `vote` says what approvers may do, `ending` how it comes to its one decision, `audit` what is
//! remembered of it.

mod audit;
mod check;
pub(super) mod config;
mod ending;
mod envelopes;
mod pattern;
mod states;
mod vote;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::approve::{
    ApprovalRequest, ApprovalState, AuditAct, AuditEntry, OnTimeout, PendingApproval,
};
use crate::wire::name::{Agent, ApprovalId};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use super::digest::approval_digest;
use super::effect::Effect;
use super::event::{Detail, RoomEvent};
use super::gate::{GateRequest, Gated};
use super::kept_bytes::KeptBytes;
use super::record::Changes;
use super::recorded::Recorded;
use super::replies::{Accepted, Call, Outcome};
use super::timer::{Timer, TimerSubject};
use super::tx::RoomTx;
use pattern::ApprovalChange;

use check::check_request;

pub(super) use states::APPROVAL;

/// One approval, pending or decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Approval {
    /// What is asked, with the votes so far; its content is the one that was voted on last.
    pub(super) asked: PendingApproval,
    pub(super) on_timeout: OnTimeout,
    /// Who is asked next; empty once they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    escalate_to: Vec<String>,
    /// How long each round may take; earlier versions did not write it down.
    #[serde(default = "minute")]
    timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation_id: Option<String>,
    pub(super) edited: bool,
    /// It was decided, and its content is not kept any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    omitted: bool,
    /// What waits for it, where the gateway asks: then its outcome goes there, and not to the
    /// requester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gates: Option<Gated>,
    /// The user behind the requester, and those behind who has approved so far, where they are
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requester_user: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    approved_by_users: Vec<Arc<str>>,
    /// Of the command that it came with, where that had an id; earlier versions did not write it
    /// down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<NonZeroU64>,
    /// Everything that happened to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trail: Vec<AuditEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<ApprovalOutcome>,
}

impl Approval {
    /// One that nobody has said anything of.
    fn new(asked: PendingApproval, timeout_ms: u64) -> Approval {
        Approval {
            asked,
            on_timeout: OnTimeout::default(),
            escalate_to: Vec::new(),
            timeout_ms,
            correlation_id: None,
            gates: None,
            requester_user: None,
            approved_by_users: Vec::new(),
            edited: false,
            omitted: false,
            fingerprint: None,
            trail: Vec::new(),
            ended: None,
        }
    }
}

fn minute() -> u64 {
    60_000
}

/// How an approval ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ApprovalOutcome {
    pub(super) approved: bool,
    pub(super) by: Vec<Agent>,
    pub(super) at: Millis,
    pub(super) timed_out: bool,
    #[serde(default)]
    pub(super) cancelled: bool,
}

/// A room's approvals.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    changes: Changes<pattern::ApprovalChange>,
    pub(super) by_id: BTreeMap<ApprovalId, Approval>,
    /// Decided ones, oldest first.
    decided: BTreeSet<(Millis, ApprovalId)>,
    /// All of them by when they were asked, and the same for each state: those that are pending
    /// come first.
    by_time: BTreeSet<(Millis, ApprovalId)>,
    by_state: BTreeSet<(ApprovalState, Millis, ApprovalId)>,
    /// Decided ones whose contents are kept.
    contents: KeptBytes<(Millis, ApprovalId)>,
}

impl Approvals {
    pub(super) fn oldest_decided(&self) -> Option<Millis> {
        self.decided.first().map(|(at, _)| *at)
    }

    fn oldest_pending(&self) -> Option<&Approval> {
        let (state, _, id) = self.by_state.first()?;
        let id = (*state == ApprovalState::Pending).then_some(id)?;
        self.by_id.get(id)
    }

    /// Puts one in place, or in the place of what it was.
    pub(super) fn put(&mut self, approval: Approval) {
        let id = approval.asked.id.clone();
        self.remove(&id);
        let at = approval.asked.requested_at;
        self.by_time.insert((at, id.clone()));
        self.by_state.insert((approval.state(), at, id.clone()));
        if let Some(ended) = &approval.ended {
            self.decided.insert((ended.at, id.clone()));
            let content = approval.asked.content.as_ref();
            let bytes = content.map_or(0, |content| content.text().len());
            self.contents.add((ended.at, id.clone()), bytes);
        }
        self.by_id.insert(id, approval);
    }

    fn remove(&mut self, id: &ApprovalId) {
        let Some(approval) = self.by_id.remove(id) else {
            return;
        };
        let at = approval.asked.requested_at;
        self.by_time.remove(&(at, id.clone()));
        self.by_state.remove(&(approval.state(), at, id.clone()));
        if let Some(ended) = &approval.ended {
            let key = (ended.at, id.clone());
            self.decided.remove(&key);
            self.contents.remove(&key);
        }
    }
}

impl Approvals {
    pub(super) fn request(&mut self, tx: &mut RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        let mut request: ApprovalRequest = call.read(&tx.cx.settings)?;
        let trace = &call.command.mirrors.trace;
        trace.complete(&mut request.traceparent, &mut request.tracestate);
        if let Some(first) = self.asked_before(call, request.id.as_ref())? {
            return Ok(first);
        }
        check_request(tx.cx, call.actor(), &request)?;
        let limit = tx.cx.settings.approve.max_pending_per_room;
        if tx.room.pending_approvals >= limit {
            let reason = format!("{limit} approvals of the room await a decision already");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        tx.cx
            .may_wait_for(call.mailboxes, call.from(), "the decision")?;
        let digest = approval_digest(&request.action, request.content.as_ref(), "content")?;
        Ok(self.ask(tx, call, request, digest))
    }

    fn asked_before(
        &self,
        call: &Call<'_>,
        id: Option<&ApprovalId>,
    ) -> Result<Option<Accepted>, Rejection> {
        let Some(earlier) = id.and_then(|id| self.by_id.get(id)) else {
            return Ok(None);
        };
        let id = &earlier.asked.id;
        if earlier.asked.requester != *call.from() {
            let reason = format!("the id {id} is another requester's");
            return Err(Rejection::new(Code::Conflict, reason).at("id"));
        }
        call.expect_repeat(earlier.fingerprint)?;
        Ok(Some(Accepted {
            approval: Some(id.clone()),
            ..Accepted::new(Code::Taken)
        }))
    }

    fn ask(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &Call<'_>,
        request: ApprovalRequest,
        digest: String,
    ) -> Accepted {
        let id = request
            .id
            .unwrap_or_else(|| ApprovalId::new(&tx.cx.mint()).expect("a ULID is a name"));
        let timeout_ms = request
            .timeout_ms
            .unwrap_or(tx.cx.settings.approve.timeout.ms());
        let asked = PendingApproval {
            id: id.clone(),
            requester: call.from().clone(),
            action: request.action,
            content: request.content,
            approvers: request.approvers,
            quorum: request.quorum.unwrap_or(1),
            approved_by: Vec::new(),
            task: request.task,
            call: request.call,
            urgency: request.urgency,
            digest,
            requested_at: tx.cx.now,
            expires_at: tx.cx.after(timeout_ms),
            escalated: false,
            traceparent: request.traceparent,
            tracestate: request.tracestate,
        };
        let approval = Approval {
            on_timeout: request.on_timeout.unwrap_or_default(),
            escalate_to: request.escalate_to,
            correlation_id: call.correlation_id.clone(),
            requester_user: call.command.user.clone(),
            fingerprint: call.fingerprint,
            ..Approval::new(asked, timeout_ms)
        };
        tx.cx.reserve_result(call.from());
        tx.room.pending_approvals += 1;
        self.begin(tx, approval);
        Accepted {
            approval: Some(id),
            ..Accepted::new(Code::Taken)
        }
    }

    /// The gateway asks before it hands something over.
    fn ask_before(&mut self, tx: &mut RoomTx<'_>, request: &GateRequest) {
        let rule = &request.rule;
        let timeout_ms = rule.timeout_ms;
        let timeout_ms = timeout_ms.unwrap_or(tx.cx.settings.approve.timeout.ms());
        let (task, call) = match &request.gated {
            Gated::Task(task) => (Some(task.clone()), None),
            Gated::Call(call) => (None, Some(call.clone())),
        };
        let asked = PendingApproval {
            id: request.id.clone(),
            requester: request.requester.clone(),
            action: request.action.clone(),
            content: request.content.clone(),
            approvers: rule.approvers.clone(),
            quorum: rule.quorum.unwrap_or(1),
            approved_by: Vec::new(),
            task,
            call,
            urgency: None,
            digest: request.digest.clone(),
            requested_at: tx.cx.now,
            expires_at: tx.cx.after(timeout_ms),
            escalated: false,
            traceparent: request.traceparent.clone(),
            tracestate: request.tracestate.clone(),
        };
        let approval = Approval {
            correlation_id: request.correlation_id.clone(),
            requester_user: request.user.clone(),
            gates: Some(request.gated.clone()),
            ..Approval::new(asked, timeout_ms)
        };
        self.begin(tx, approval);
    }

    /// The one place where an approval comes into being.
    fn begin(&mut self, tx: &mut RoomTx<'_>, mut approval: Approval) {
        let (id, requester) = (approval.asked.id.clone(), approval.asked.requester.clone());
        approval.note(tx.cx.now, &requester, AuditAct::Requested, None);
        let subject = TimerSubject::Approval(tx.room.name.clone(), id.clone());
        tx.cx
            .timers
            .arm(approval.asked.expires_at, Timer::Approval, subject);
        tx.cx.stats.pending_approvals += 1;
        self.put(approval.clone());
        self.show_pending(tx, &approval);
        let detail = Detail {
            digest: Some(&approval.asked.digest),
            reason: Some(&approval.asked.action),
            until: Some(approval.asked.expires_at),
            ..Detail::default()
        };
        let happened = RoomEvent {
            to: Some("pending"),
            detail,
            traceparent: approval.asked.traceparent.as_deref(),
            ..RoomEvent::new("approve.requested", id.as_str(), &requester)
        };
        tx.record_event(&happened);
    }

    fn show_pending(&mut self, tx: &mut RoomTx<'_>, approval: &Approval) {
        self.change(tx, ApprovalChange(approval.asked.id.clone()));
        let id = approval.asked.id.clone();
        let pending = approval.ended.is_none();
        tx.cx.emit(Effect::Retain {
            topic: RoomTopic::new(tx.room.name.clone(), Topic::ApprovePending { id }),
            payload: pending.then(|| tx.cx.wall.encode(&approval.asked)),
        });
    }
}

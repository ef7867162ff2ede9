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

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::approve::{
    ApprovalRequest, ApprovalState, AuditAct, AuditEntry, OnTimeout, PendingApproval,
};
use crate::wire::name::{Agent, ApprovalId};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use super::effect::Effect;
use super::event::{Detail, RoomEvent};
use super::kept_bytes::KeptBytes;
use super::record::Changes;
use super::recorded::Recorded;
use super::replies::{Accepted, Call, Outcome};
use super::timer::{Timer, TimerSubject};
use super::tx::RoomTx;
use pattern::ApprovalChange;

use check::{check_request, digest_of};

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

    fn pending(&self) -> usize {
        self.by_id.len() - self.decided.len()
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
        check_request(tx.cx, call.from(), &request)?;
        let limit = tx.cx.settings.approve.max_pending_per_room;
        if self.pending() >= limit {
            let reason = format!("{limit} approvals of the room await a decision already");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        tx.cx
            .may_wait_for(call.mailboxes, call.from(), "the decision")?;
        let digest = digest_of(&request.action, request.content.as_ref())?;
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
        let mut approval = Approval {
            asked: PendingApproval {
                id: id.clone(),
                requester: call.from().clone(),
                action: request.action,
                content: request.content,
                approvers: request.approvers,
                quorum: request.quorum.unwrap_or(1),
                approved_by: Vec::new(),
                urgency: request.urgency,
                digest,
                requested_at: tx.cx.now,
                expires_at: tx.cx.after(timeout_ms),
                escalated: false,
                traceparent: request.traceparent,
                tracestate: request.tracestate,
            },
            on_timeout: request.on_timeout.unwrap_or_default(),
            escalate_to: request.escalate_to,
            timeout_ms,
            correlation_id: call.correlation_id.clone(),
            edited: false,
            omitted: false,
            fingerprint: call.fingerprint,
            trail: Vec::new(),
            ended: None,
        };
        approval.note(tx.cx.now, call.from(), AuditAct::Requested, None);
        let subject = TimerSubject::Approval(tx.room.name.clone(), id.clone());
        tx.cx
            .timers
            .arm(approval.asked.expires_at, Timer::Approval, subject);
        tx.cx.reserve_result(call.from());
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
            ..RoomEvent::new("approve.requested", id.as_str(), call.from())
        };
        tx.record_event(&happened);
        Accepted {
            approval: Some(id),
            ..Accepted::new(Code::Taken)
        }
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

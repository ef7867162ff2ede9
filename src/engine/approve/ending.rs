//! Endings: time that runs out, others who are asked then, requests that are taken back, and the
//! one decision.

use crate::wire::approve::{AuditAct, CancelApproval, Decision, OnTimeout, Verdict};
use crate::wire::mirror::{MessageMirrors, Trace};
use crate::wire::name::{Agent, ApprovalId};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use super::pattern::ApprovalChange;
use crate::engine::effect::{Directed, DirectedKind, Effect};
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::gate::{GateMessage, Gated};
use crate::engine::kept_bytes::MOST_AT_ONCE;
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Accepted, Call, Outcome, text_at_most};
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Approvals;
use super::{Approval, ApprovalOutcome};

impl Approvals {
    pub(in crate::engine) fn approval_timed_out(&mut self, tx: &mut RoomTx<'_>, id: &ApprovalId) {
        let Some(mut approval) = self.by_id.get(id).cloned() else {
            return;
        };
        if approval.on_timeout == OnTimeout::Escalate && !approval.asked.escalated {
            self.escalate(tx, approval);
            return;
        }
        let waited = approval.asked.expires_at - approval.asked.requested_at;
        let ended = ApprovalOutcome {
            // The setting may have changed since the request was taken.
            approved: approval.on_timeout == OnTimeout::Approve
                && tx.cx.settings.approve.approve_on_timeout,
            by: Vec::new(),
            at: tx.cx.now,
            timed_out: true,
            cancelled: false,
        };
        let reason = format!("nobody decided within {waited} ms");
        let gateway = tx.cx.gateway.clone();
        approval.note(tx.cx.now, &gateway, AuditAct::TimedOut, None);
        self.end_approval(tx, approval, ended, Some(reason));
    }

    /// Time is over for those who were asked first: others are asked, once. What was approved so
    /// far stands.
    fn escalate(&mut self, tx: &mut RoomTx<'_>, mut approval: Approval) {
        let asked = &mut approval.asked;
        asked.approvers = std::mem::take(&mut approval.escalate_to);
        asked.escalated = true;
        asked.expires_at = tx.cx.after(approval.timeout_ms);
        let id = asked.id.clone();
        let subject = TimerSubject::Approval(tx.room.name.clone(), id.clone());
        tx.cx.timers.arm(asked.expires_at, Timer::Approval, subject);
        let gateway = tx.cx.gateway.clone();
        approval.note(tx.cx.now, &gateway, AuditAct::Escalated, None);
        let happened = RoomEvent {
            detail: Detail {
                until: Some(approval.asked.expires_at),
                ..Detail::default()
            },
            traceparent: approval.asked.traceparent.as_deref(),
            ..RoomEvent::new("approve.escalated", id.as_str(), &gateway)
        };
        tx.record_event(&happened);
        self.show_pending(tx, &approval);
        self.put(approval);
    }

    pub(in crate::engine) fn cancel_approval(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let cancel: CancelApproval = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            let (by, id) = (call.from(), &cancel.approval);
            let limit = tx.cx.settings.commands.max_reason.0;
            text_at_most("reason", cancel.reason.as_deref(), limit)?;
            let Some(approval) = self.by_id.get(id) else {
                let reason = format!("no approval {id}");
                return Err(Rejection::new(Code::NotFound, reason).at("approval"));
            };
            if approval.asked.requester != *by {
                let reason = format!("{id} is not a request of {by}");
                return Err(Rejection::new(Code::Forbidden, reason));
            }
            if let Some(ended) = &approval.ended {
                return Err(Rejection::new(Code::Conflict, ended.in_words(id)));
            }
            let mut approval = approval.clone();
            approval.note(tx.cx.now, by, AuditAct::Cancelled, cancel.reason.clone());
            let ended = ApprovalOutcome {
                approved: false,
                by: vec![by.clone()],
                at: tx.cx.now,
                timed_out: false,
                cancelled: true,
            };
            self.end_approval(tx, approval, ended, cancel.reason);
            Ok(Accepted {
                approval: Some(id.clone()),
                ..Accepted::new(Code::Done)
            })
        })
    }

    /// The gateway refuses the first approval that awaits a decision; whether there was one.
    pub(in crate::engine) fn refuse_oldest_approval(
        &mut self,
        tx: &mut RoomTx<'_>,
        reason: &str,
    ) -> bool {
        let Some(mut approval) = self.oldest_pending().cloned() else {
            return false;
        };
        let ended = ApprovalOutcome {
            approved: false,
            by: Vec::new(),
            at: tx.cx.now,
            timed_out: false,
            cancelled: true,
        };
        let gateway = tx.cx.gateway.clone();
        approval.note(tx.cx.now, &gateway, AuditAct::Cancelled, None);
        self.end_approval(tx, approval, ended, Some(reason.to_owned()));
        true
    }

    /// The one place where an approval ends.
    pub(super) fn end_approval(
        &mut self,
        tx: &mut RoomTx<'_>,
        mut approval: Approval,
        ended: ApprovalOutcome,
        reason: Option<String>,
    ) {
        let asked = &approval.asked;
        let (id, requester) = (asked.id.clone(), asked.requester.clone());
        let subject = TimerSubject::Approval(tx.room.name.clone(), id.clone());
        tx.cx
            .timers
            .disarm(asked.expires_at, Timer::Approval, subject);
        tx.cx.stats.pending_approvals -= 1;
        tx.room.pending_approvals -= 1;
        let who = ended.by.last().unwrap_or(&tx.cx.gateway).clone();
        match approval.gates.clone() {
            Some(gated) => approval.tell_gate(tx, gated, &ended, reason.as_deref()),
            None => {
                tx.cx.release_result(&requester);
                self.deliver_decision(tx, &approval, &ended, &who, reason.clone());
            }
        }
        let happened = RoomEvent {
            from: Some("pending"),
            to: Some(ended.word()),
            detail: Detail {
                timed_out: ended.timed_out.then_some(true),
                edited: approval.edited.then_some(true),
                digest: Some(&approval.asked.digest),
                reason: reason.as_deref(),
                ..Detail::default()
            },
            traceparent: approval.asked.traceparent.as_deref(),
            ..RoomEvent::new("approve.decided", id.as_str(), &who)
        };
        tx.record_event(&happened);
        approval.ended = Some(ended);
        self.show_pending(tx, &approval);
        self.put(approval);
        self.drop_contents(tx);
        if self.decided.len() > tx.cx.settings.approve.max_decided_per_room {
            tx.cx.stats.forgotten_early += 1;
            self.forget_oldest_approval(tx);
        }
    }

    fn deliver_decision(
        &mut self,
        tx: &mut RoomTx<'_>,
        approval: &Approval,
        ended: &ApprovalOutcome,
        who: &Agent,
        reason: Option<String>,
    ) {
        let (id, requester) = (approval.asked.id.clone(), approval.asked.requester.clone());
        let decision = approval.decision(ended, reason);
        let topic = Topic::ApproveDecision {
            requester: requester.clone(),
        };
        tx.cx.emit(Effect::Deliver(Directed {
            to: requester,
            topic: RoomTopic::new(tx.room.name.clone(), topic),
            payload: tx.cx.wall.encode(&decision),
            class: DirectedKind::Decision(id),
            mirrors: MessageMirrors {
                correlation_id: approval.correlation_id.clone(),
                from: Some(who.clone()),
                trace: Trace {
                    traceparent: approval.asked.traceparent.clone(),
                    tracestate: approval.asked.tracestate.clone(),
                },
                expires_at: Some(tx.cx.after(tx.cx.settings.mailbox.result_ttl.ms())),
            },
        }));
    }

    /// What waited for it needs it no more.
    pub(super) fn withdraw(&mut self, tx: &mut RoomTx<'_>, id: &ApprovalId) {
        let pending = self.by_id.get(id).filter(|one| one.ended.is_none());
        let Some(mut approval) = pending.cloned() else {
            return;
        };
        let gateway = tx.cx.gateway.clone();
        approval.note(tx.cx.now, &gateway, AuditAct::Cancelled, None);
        let ended = ApprovalOutcome {
            approved: false,
            by: Vec::new(),
            at: tx.cx.now,
            timed_out: false,
            cancelled: true,
        };
        let reason = "what waited for it is over".to_owned();
        self.end_approval(tx, approval, ended, Some(reason));
    }

    /// Where there are too many bytes, the digest stays as proof of what was decided, and the
    /// content goes.
    fn drop_contents(&mut self, tx: &mut RoomTx<'_>) {
        let limit = tx.cx.settings.approve.max_decided_bytes_per_room.0;
        for _ in 0..MOST_AT_ONCE {
            let Some((_, id)) = self.contents.pop_over(limit) else {
                break;
            };
            tx.cx.stats.forgotten_early += 1;
            if let Some(approval) = self.by_id.get_mut(&id) {
                approval.asked.content = None;
                approval.omitted = true;
            }
            self.change(tx, ApprovalChange(id));
        }
    }

    pub(in crate::engine) fn forget_oldest_approval(&mut self, tx: &mut RoomTx<'_>) {
        let oldest = self.decided.first().cloned();
        if let Some((_, id)) = oldest {
            self.remove(&id);
            self.change(tx, ApprovalChange(id));
        }
    }
}

impl Approval {
    /// Lets what waits for it go on, or end.
    fn tell_gate(
        &self,
        tx: &mut RoomTx<'_>,
        gated: Gated,
        ended: &ApprovalOutcome,
        reason: Option<&str>,
    ) {
        let message = match ended.approved {
            true => GateMessage::Open {
                gated,
                content: self.asked.content.clone(),
            },
            false => {
                let words = ended.in_words(&self.asked.id);
                let reason = match reason {
                    Some(reason) if !ended.timed_out => format!("approval {words}: {reason}"),
                    _ => format!("approval {words}"),
                };
                GateMessage::Shut { gated, reason }
            }
        };
        tx.tell_gates(message);
    }

    fn decision(&self, ended: &ApprovalOutcome, reason: Option<String>) -> Decision {
        Decision {
            id: self.asked.id.clone(),
            action: Some(self.asked.action.clone()),
            digest: Some(self.asked.digest.clone()),
            approved: ended.approved,
            decision: if ended.approved {
                Verdict::Approve
            } else {
                Verdict::Reject
            },
            by: ended.by.clone(),
            reason,
            content: self.asked.content.clone(),
            edited: self.edited,
            decided_at: ended.at,
            timed_out: ended.timed_out,
            cancelled: ended.cancelled,
            escalated: self.asked.escalated,
            correlation_id: self.correlation_id.clone(),
            traceparent: self.asked.traceparent.clone(),
            tracestate: self.asked.tracestate.clone(),
            too_large: None,
        }
    }
}

impl ApprovalOutcome {
    fn word(&self) -> &'static str {
        match (self.approved, self.cancelled) {
            (true, _) => "approved",
            (false, true) => "cancelled",
            (false, false) => "rejected",
        }
    }

    pub(super) fn in_words(&self, id: &ApprovalId) -> String {
        let word = self.word();
        let by: Vec<&str> = self.by.iter().map(Agent::as_str).collect();
        match by.is_empty() {
            true if self.timed_out => format!("{id} timed out at {} and is {word}", self.at),
            true => format!("{id} was {word} at {}", self.at),
            false => format!("{id} was {word} by {} at {}", by.join(", "), self.at),
        }
    }
}

//! Approve: gates that somebody else must open.
//!
//! It fails closed: a time-out, a word that is not exactly `approve`, one rejection, all mean no. An approval covers one
//! content: an approver who edits it starts the count anew for everybody else.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::approve::{
    ApprovalRequest, Decide, Decision, OnTimeout, PendingApproval, Verdict,
};
use crate::wire::json;
use crate::wire::mirror::MessageMirrors;
use crate::wire::name::{Agent, ApprovalId};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use super::context::Context;
use super::event::{Detail, Happened};
use super::record::Change;
use super::replies::{Accepted, Call, Outcome};
use super::room::RoomState;
use super::timer::{Subject, Timer};
use super::{Class, Directed, Effect};

use check::{check_decide, check_request, digest};

const ROLE: &str = "role:";

/// One approval, pending or decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Approval {
    /// What is asked, with the votes so far; its content is the one that was voted on last.
    pub(super) asked: PendingApproval,
    pub(super) on_timeout: OnTimeout,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation_id: Option<String>,
    pub(super) edited: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<Ended>,
}

/// How an approval ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) approved: bool,
    pub(super) by: Vec<Agent>,
    pub(super) at: Millis,
    pub(super) timed_out: bool,
}

/// A room's approvals.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    pub(super) by_id: BTreeMap<ApprovalId, Approval>,
    /// Decided ones, oldest first.
    pub(super) decided: BTreeSet<(Millis, ApprovalId)>,
}

impl Approvals {
    pub(super) fn oldest_decided(&self) -> Option<Millis> {
        self.decided.first().map(|(at, _)| *at)
    }

    fn pending(&self) -> usize {
        self.by_id.len() - self.decided.len()
    }
}

/// What a valid vote comes to.
enum Vote {
    Again,
    Approve,
    Reject,
}

impl RoomState {
    pub(super) fn request(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        let request: ApprovalRequest = call.read(&cx.settings)?;
        if let Some(first) = self.asked_before(call.from(), request.id.as_ref())? {
            return Ok(first);
        }
        check_request(cx, call.from(), &request)?;
        let limit = cx.settings.max_pending_approvals_per_room;
        if self.approvals.pending() >= limit {
            let reason = format!("{limit} approvals of the room await a decision already");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        if cx.unpromised(call.mailboxes, call.from()) == 0 {
            let reason = "your mailbox has no room for the decision";
            return Err(Rejection::new(Code::TooMany, reason));
        }
        let digest = digest(&request.action, request.content.as_ref())?;
        Ok(self.ask(cx, call, request, digest))
    }

    fn asked_before(
        &self,
        from: &Agent,
        id: Option<&ApprovalId>,
    ) -> Result<Option<Accepted>, Rejection> {
        let Some(earlier) = id.and_then(|id| self.approvals.by_id.get(id)) else {
            return Ok(None);
        };
        let id = &earlier.asked.id;
        if earlier.asked.requester != *from {
            let reason = format!("the id {id} is another requester's");
            return Err(Rejection::new(Code::Conflict, reason).at("id"));
        }
        Ok(Some(Accepted {
            approval: Some(id.clone()),
            ..Accepted::new(Code::Taken)
        }))
    }

    fn ask(
        &mut self,
        cx: &mut Context,
        call: &Call<'_>,
        request: ApprovalRequest,
        digest: String,
    ) -> Accepted {
        let id = request
            .id
            .unwrap_or_else(|| ApprovalId::new(&cx.mint()).expect("a ULID is a name"));
        let timeout_ms = request
            .timeout_ms
            .unwrap_or(cx.settings.approval_timeout_ms);
        let approval = Approval {
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
                requested_at: cx.now,
                expires_at: cx.after(timeout_ms),
            },
            on_timeout: request.on_timeout.unwrap_or_default(),
            correlation_id: call.correlation_id.clone(),
            edited: false,
            ended: None,
        };
        let subject = Subject::Approval(self.name.clone(), id.clone());
        cx.timers
            .arm(approval.asked.expires_at, Timer::Approval, subject);
        cx.promise(call.from());
        cx.stats.pending_approvals += 1;
        self.approvals.by_id.insert(id.clone(), approval.clone());
        self.show_pending(cx, &approval);
        let detail = Detail {
            digest: Some(&approval.asked.digest),
            reason: Some(&approval.asked.action),
            until: Some(approval.asked.expires_at),
            ..Detail::default()
        };
        let happened = Happened {
            to: Some("pending"),
            detail,
            ..Happened::new("approve.requested", id.as_str(), call.from())
        };
        self.tell(cx, &happened);
        Accepted {
            approval: Some(id),
            ..Accepted::new(Code::Taken)
        }
    }

    fn show_pending(&mut self, cx: &mut Context, approval: &Approval) {
        self.change(cx, Change::Approval(approval.asked.id.clone()));
        let id = approval.asked.id.clone();
        let pending = approval.ended.is_none();
        cx.emit(Effect::Retain {
            topic: RoomTopic::new(self.name.clone(), Topic::ApprovePending { id }),
            payload: pending.then(|| json::encode(&approval.asked)),
        });
    }

    pub(super) fn decide(
        &mut self,
        cx: &mut Context,
        call: &mut Call<'_>,
        id: &ApprovalId,
    ) -> Outcome {
        let decide: Decide = call.read(&cx.settings)?;
        self.once(cx, call, |room, cx| {
            check_decide(cx, &decide)?;
            let vote = room.check_vote(call.from(), id, &decide)?;
            let mut approval = room.approvals.by_id[id].clone();
            match vote {
                Vote::Again => {}
                Vote::Reject => room.voted(cx, approval, call.from(), false, decide.reason),
                Vote::Approve => {
                    let edit = decide
                        .edit
                        .filter(|edit| approval.asked.content.as_ref() != Some(edit));
                    if let Some(edit) = edit {
                        approval.asked.digest = digest(&approval.asked.action, Some(&edit))?;
                        approval.asked.content = Some(edit);
                        approval.asked.approved_by.clear();
                        approval.edited = true;
                    }
                    approval.asked.approved_by.push(call.from().clone());
                    room.voted(cx, approval, call.from(), true, decide.reason);
                }
            }
            Ok(Accepted {
                approval: Some(id.clone()),
                ..Accepted::new(Code::Done)
            })
        })
    }

    /// Whether this agent may say this now.
    fn check_vote(
        &self,
        from: &Agent,
        id: &ApprovalId,
        decide: &Decide,
    ) -> Result<Vote, Rejection> {
        let Some(approval) = self.approvals.by_id.get(id) else {
            let reason = format!("no approval {id}");
            return Err(Rejection::new(Code::NotFound, reason));
        };
        let asked = &approval.asked;
        if let Some(ended) = &approval.ended {
            return Err(Rejection::new(Code::Conflict, ended.in_words(id)));
        }
        if asked.requester == *from {
            let reason = "a requester may not decide its own request";
            return Err(Rejection::new(Code::Forbidden, reason));
        }
        if !self.may_decide(from, &asked.approvers) {
            let reason = format!("{from} is not among the approvers of {id}");
            return Err(Rejection::new(Code::Forbidden, reason));
        }
        if let Some(seen) = decide.digest.as_ref().filter(|seen| **seen != asked.digest) {
            let reason = format!(
                "what was seen has digest {seen}, but {id} has {}",
                asked.digest
            );
            return Err(Rejection::new(Code::Conflict, reason).at("digest"));
        }
        let approves = decide.decision == "approve";
        match (asked.approved_by.contains(from), approves) {
            (true, true) if decide.edit.is_none() => Ok(Vote::Again),
            (true, _) => {
                let reason = format!("{from} has approved {id} already");
                Err(Rejection::new(Code::Conflict, reason))
            }
            (false, true) => Ok(Vote::Approve),
            (false, false) => Ok(Vote::Reject),
        }
    }

    fn may_decide(&self, agent: &Agent, approvers: &[String]) -> bool {
        let role = self.members.role(agent);
        approvers.is_empty()
            || approvers
                .iter()
                .any(|approver| match approver.strip_prefix(ROLE) {
                    Some(name) => role == Some(name),
                    None => approver == agent.as_str(),
                })
    }

    fn voted(
        &mut self,
        cx: &mut Context,
        approval: Approval,
        by: &Agent,
        approves: bool,
        reason: Option<String>,
    ) {
        let id = approval.asked.id.clone();
        let detail = Detail {
            digest: Some(&approval.asked.digest),
            edited: approval.edited.then_some(true),
            reason: reason.as_deref(),
            ..Detail::default()
        };
        let happened = Happened {
            to: Some(if approves { "approve" } else { "reject" }),
            detail,
            ..Happened::new("approve.voted", id.as_str(), by)
        };
        self.tell(cx, &happened);
        let votes = approval.asked.approved_by.len();
        let quorum = approval.asked.quorum as usize;
        if approves && votes < quorum {
            self.show_pending(cx, &approval);
            self.approvals.by_id.insert(id, approval);
            return;
        }
        let by = if approves {
            approval.asked.approved_by.clone()
        } else {
            vec![by.clone()]
        };
        let ended = Ended {
            approved: approves,
            by,
            at: cx.now,
            timed_out: false,
        };
        self.end_approval(cx, approval, ended, reason);
    }

    pub(super) fn approval_timed_out(&mut self, cx: &mut Context, id: &ApprovalId) {
        let Some(approval) = self.approvals.by_id.get(id).cloned() else {
            return;
        };
        let waited = approval.asked.expires_at - approval.asked.requested_at;
        let ended = Ended {
            // The setting may have changed since the request was taken.
            approved: approval.on_timeout == OnTimeout::Approve
                && cx.settings.allow_approve_on_timeout,
            by: Vec::new(),
            at: cx.now,
            timed_out: true,
        };
        let reason = format!("nobody decided within {waited} ms");
        self.end_approval(cx, approval, ended, Some(reason));
    }

    /// The gateway refuses the first approval that awaits a decision; whether there was one.
    pub(super) fn refuse_oldest_approval(&mut self, cx: &mut Context, reason: &str) -> bool {
        if self.approvals.pending() == 0 {
            return false;
        }
        let mut all = self.approvals.by_id.values();
        let Some(approval) = all.find(|approval| approval.ended.is_none()) else {
            return false;
        };
        let ended = Ended {
            approved: false,
            by: Vec::new(),
            at: cx.now,
            timed_out: false,
        };
        self.end_approval(cx, approval.clone(), ended, Some(reason.to_owned()));
        true
    }

    /// The one place where an approval ends.
    fn end_approval(
        &mut self,
        cx: &mut Context,
        mut approval: Approval,
        ended: Ended,
        reason: Option<String>,
    ) {
        let asked = &approval.asked;
        let (id, requester) = (asked.id.clone(), asked.requester.clone());
        let subject = Subject::Approval(self.name.clone(), id.clone());
        cx.timers.disarm(asked.expires_at, Timer::Approval, subject);
        cx.keep_promise(&requester);
        cx.stats.pending_approvals -= 1;
        let decision = approval.decision(&ended, reason.clone());
        let topic = Topic::ApproveDecision {
            requester: requester.clone(),
        };
        let who = ended.by.last().unwrap_or(&cx.gateway).clone();
        cx.emit(Effect::Deliver(Directed {
            to: requester,
            topic: RoomTopic::new(self.name.clone(), topic),
            payload: json::encode(&decision),
            class: Class::Decision(id.clone()),
            mirrors: MessageMirrors {
                correlation_id: approval.correlation_id.clone(),
                from: Some(who.clone()),
                expires_at: Some(cx.after(cx.settings.directed_ttl_ms)),
                ..MessageMirrors::default()
            },
        }));
        let happened = Happened {
            from: Some("pending"),
            to: Some(if ended.approved {
                "approved"
            } else {
                "rejected"
            }),
            detail: Detail {
                timed_out: ended.timed_out.then_some(true),
                edited: approval.edited.then_some(true),
                digest: Some(&approval.asked.digest),
                reason: reason.as_deref(),
                ..Detail::default()
            },
            ..Happened::new("approve.decided", id.as_str(), &who)
        };
        self.tell(cx, &happened);
        approval.ended = Some(ended);
        // The digest stays as proof of what was decided; a large content does not.
        let kept = cx.settings.kept_payload_bytes;
        let content = approval.asked.content.take();
        approval.asked.content = content.filter(|content| content.text().len() <= kept);
        self.show_pending(cx, &approval);
        self.approvals.by_id.insert(id.clone(), approval);
        self.approvals.decided.insert((cx.now, id));
        if self.approvals.decided.len() > cx.settings.max_decided_approvals_per_room {
            cx.stats.forgotten_early += 1;
            self.forget_oldest_approval(cx);
        }
    }

    pub(super) fn forget_oldest_approval(&mut self, cx: &mut Context) {
        if let Some((_, id)) = self.approvals.decided.pop_first() {
            self.approvals.by_id.remove(&id);
            self.change(cx, Change::Approval(id));
        }
    }
}

impl Approval {
    fn decision(&self, ended: &Ended, reason: Option<String>) -> Decision {
        Decision {
            id: self.asked.id.clone(),
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
            correlation_id: self.correlation_id.clone(),
        }
    }
}

impl Ended {
    fn in_words(&self, id: &ApprovalId) -> String {
        let word = if self.approved {
            "approved"
        } else {
            "rejected"
        };
        let by: Vec<&str> = self.by.iter().map(Agent::as_str).collect();
        match by.is_empty() {
            true => format!("{id} timed out at {} and is {word}", self.at),
            false => format!("{id} was {word} by {} at {}", by.join(", "), self.at),
        }
    }
}

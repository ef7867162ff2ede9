//! Votes: what approvers may say, and what it comes to.
//!
//! An approval covers one content: an approver who edits it starts the count anew for everybody
//! else. Whoever needs more time says `defer`, which is no vote: in the end the time runs out all
//! the same.

use crate::wire::approve::{AuditAct, Decide};
use crate::wire::name::{Agent, ApprovalId};
use crate::wire::reply::{Code, Rejection};

use crate::engine::actor::Actor;
use crate::engine::digest::approval_digest;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::replies::{Accepted, Call, Outcome};
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Approvals;
use super::check::check_decide;
use super::config::SamePerson;
use super::{Approval, ApprovalOutcome};

/// What a valid word comes to.
enum Vote {
    Again,
    Approve,
    Reject,
    Defer,
}

impl Approvals {
    pub(in crate::engine) fn decide(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
        id: &ApprovalId,
    ) -> Outcome {
        let decide: Decide = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            check_decide(tx.cx, &decide)?;
            let vote = self.check_vote(tx, call.actor(), id, &decide)?;
            let mut approval = self.by_id[id].clone();
            match vote {
                Vote::Again => {}
                Vote::Reject => self.voted(tx, approval, call.from(), false, decide.reason),
                Vote::Defer => self.defer(tx, approval, call.from(), decide)?,
                Vote::Approve => {
                    let votes = approval.asked.approved_by.len() + 1;
                    let quorum = approval.asked.quorum as usize;
                    let decides = quorum == 1 || (decide.edit.is_none() && votes >= quorum);
                    approval.expect_room(tx.cx, decide.reason.as_deref(), decides)?;
                    let edit = decide
                        .edit
                        .filter(|edit| approval.asked.content.as_ref() != Some(edit));
                    if let Some(edit) = edit {
                        approval.asked.digest =
                            approval_digest(&approval.asked.action, Some(&edit), "edit")?;
                        approval.asked.content = Some(edit);
                        approval.asked.approved_by.clear();
                        approval.approved_by_users.clear();
                        approval.edited = true;
                    }
                    approval.asked.approved_by.push(call.from().clone());
                    approval.approved_by_users.extend(call.command.user.clone());
                    self.voted(tx, approval, call.from(), true, decide.reason);
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
        tx: &RoomTx<'_>,
        actor: Actor<'_>,
        id: &ApprovalId,
        decide: &Decide,
    ) -> Result<Vote, Rejection> {
        let from = actor.agent;
        let Some(approval) = self.by_id.get(id) else {
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
        let users_count = tx.cx.settings.approve.same_person == SamePerson::User;
        let user = actor.user.filter(|_| users_count);
        if user.is_some() && user == approval.requester_user.as_deref() {
            let reason = format!(
                "a requester may not decide its own request: {from} and {} are the same user's",
                asked.requester
            );
            return Err(Rejection::new(Code::Forbidden, reason));
        }
        if !Approvals::may_decide(tx, actor, &asked.approvers) {
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
        if decide.decision == "defer" {
            return Ok(Vote::Defer);
        }
        let approves = decide.decision == "approve";
        let has_approved = asked.approved_by.contains(from);
        let users = &approval.approved_by_users;
        let counts = user.is_some_and(|user| users.iter().any(|one| **one == *user));
        if approves && counts && !has_approved {
            let reason = format!("another agent of {from}'s user has approved {id} already");
            return Err(Rejection::new(Code::Conflict, reason));
        }
        match (has_approved, approves) {
            (true, true) if decide.edit.is_none() => Ok(Vote::Again),
            (true, true) => {
                let reason = format!("{from} has approved {id} already");
                Err(Rejection::new(Code::Conflict, reason))
            }
            (false, true) => Ok(Vote::Approve),
            // Also from somebody who has approved, and has changed its mind in time.
            (_, false) => Ok(Vote::Reject),
        }
    }

    fn may_decide(tx: &RoomTx<'_>, actor: Actor<'_>, approvers: &[String]) -> bool {
        approvers.is_empty() || tx.is_named_by(approvers, actor)
    }

    /// Gives everybody more time, up to the longest that a request may ask for.
    fn defer(
        &mut self,
        tx: &mut RoomTx<'_>,
        mut approval: Approval,
        by: &Agent,
        decide: Decide,
    ) -> Result<(), Rejection> {
        approval.expect_room(tx.cx, decide.reason.as_deref(), false)?;
        let longest = tx.cx.settings.approve.max_timeout.ms();
        let latest = approval.asked.requested_at.saturating_add(longest);
        let until = tx.cx.after(decide.defer_ms.unwrap_or(approval.timeout_ms));
        let before = approval.asked.expires_at;
        if until > latest || until <= before {
            let [until, before, latest] = [until, before, latest].map(|at| tx.cx.wall.at(at));
            let reason = format!(
                "it would time out at {until}, but must do so after {before} and not after {latest}"
            );
            return Err(Rejection::new(Code::Invalid, reason).at("deferMs"));
        }
        let id = approval.asked.id.clone();
        let subject = TimerSubject::Approval(tx.room.name.clone(), id.clone());
        tx.cx
            .timers
            .disarm(before, Timer::Approval, subject.clone());
        tx.cx.timers.arm(until, Timer::Approval, subject);
        approval.asked.expires_at = until;
        let happened = RoomEvent {
            detail: Detail {
                until: Some(until),
                reason: decide.reason.as_deref(),
                ..Detail::default()
            },
            traceparent: approval.asked.traceparent.as_deref(),
            ..RoomEvent::new("approve.deferred", id.as_str(), by)
        };
        tx.record_event(&happened);
        approval.note(tx.cx.now, by, AuditAct::Deferred, decide.reason);
        self.show_pending(tx, &approval);
        self.put(approval);
        Ok(())
    }

    fn voted(
        &mut self,
        tx: &mut RoomTx<'_>,
        mut approval: Approval,
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
        let happened = RoomEvent {
            to: Some(if approves { "approve" } else { "reject" }),
            detail,
            traceparent: approval.asked.traceparent.as_deref(),
            ..RoomEvent::new("approve.voted", id.as_str(), by)
        };
        tx.record_event(&happened);
        let act = match approves {
            true if approval.newly_edited() => AuditAct::Edited,
            true => AuditAct::Approved,
            false => AuditAct::Rejected,
        };
        approval.note(tx.cx.now, by, act, reason.clone());
        let votes = approval.asked.approved_by.len();
        let quorum = approval.asked.quorum as usize;
        if approves && votes < quorum {
            self.show_pending(tx, &approval);
            self.put(approval);
            return;
        }
        let by = if approves {
            approval.asked.approved_by.clone()
        } else {
            vec![by.clone()]
        };
        let ended = ApprovalOutcome {
            approved: approves,
            by,
            at: tx.cx.now,
            timed_out: false,
            cancelled: false,
        };
        self.end_approval(tx, approval, ended, reason);
    }
}

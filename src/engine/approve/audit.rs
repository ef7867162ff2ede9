//! The audit trail: every request, vote, time-out and decision, and the query that shows them.
//!
//! It remembers and looks up; it never changes what an approval comes to.

use std::ops::Bound;

use crate::wire::Millis;
use crate::wire::approve::{
    ApprovalState, AuditAct, AuditEntry, AuditPage, AuditQuery, AuditedApproval,
};
use crate::wire::json;
use crate::wire::name::{Agent, ApprovalId};
use crate::wire::reply::{Code, Rejection};

use crate::engine::context::Context;
use crate::engine::replies::{Accepted, Call, Outcome, page_limit};
use crate::engine::tx::RoomTx;

use super::{Approval, Approvals};

/// Approvals in a page where the question does not say.
const USUAL_PAGE: u32 = 50;

/// What an entry takes besides its reason, in bytes, roughly.
const ENTRY_BYTES: usize = 128;

impl Approvals {
    pub(in crate::engine) fn audit(&self, tx: &RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        let asked: AuditQuery = call.read_or_default(&tx.cx.settings)?;
        if let Some(id) = &asked.approval {
            let Some(approval) = self.by_id.get(id) else {
                let reason = format!("no approval {id}");
                return Err(Rejection::new(Code::NotFound, reason).at("approval"));
            };
            let page = AuditPage {
                approvals: vec![approval.audited_with_content(tx.can_take(call))],
                cursor: None,
            };
            return Ok(Accepted::found(tx.cx, page));
        }
        let limit = page_limit(asked.limit, USUAL_PAGE, tx.cx.settings.handoff.max_page)?;
        let room = tx.page_bytes(call)?;
        let after = asked.cursor.as_deref().map(read_cursor).transpose()?;
        let point = |shown: Option<Millis>| shown.map(|shown| tx.cx.wall.point(shown));
        let (since, until) = (point(asked.since), point(asked.until));
        let found = self.asked_for(asked.state, since, after);
        let before = |(at, _): &(Millis, &ApprovalId)| until.is_none_or(|until| *at < until);
        let mut page = AuditPage {
            approvals: Vec::new(),
            cursor: None,
        };
        let (mut bytes, mut last) = (0, None);
        for (at, id) in found.take_while(before) {
            let audited = self.by_id[id].audited();
            bytes += json::length(&audited) + 1;
            let is_full = page.approvals.len() >= limit;
            // A first one always fits: its trail is bounded.
            if is_full || (bytes > room && last.is_some()) {
                page.cursor = last;
                break;
            }
            page.approvals.push(audited);
            last = Some(format!("{at}/{id}"));
        }
        Ok(Accepted::found(tx.cx, page))
    }
}

impl Approvals {
    /// Those in this state, or all, from a time on, behind where a page ended; oldest first.
    fn asked_for(
        &self,
        state: Option<ApprovalState>,
        since: Option<Millis>,
        after: Option<(Millis, ApprovalId)>,
    ) -> Box<dyn Iterator<Item = (Millis, &ApprovalId)> + '_> {
        // No id sorts before the shortest; the bound itself is only there after a cursor.
        let since = since.unwrap_or_default();
        let start = match after {
            Some((at, id)) if at >= since => Bound::Excluded((at, id)),
            _ => Bound::Included((since, first_id())),
        };
        let Some(state) = state else {
            let range = self.by_time.range((start, Bound::Unbounded));
            return Box::new(range.map(|(at, id)| (*at, id)));
        };
        let start = start.map(|(at, id)| (state, at, id));
        let range = self.by_state.range((start, Bound::Unbounded));
        let same = range.take_while(move |(other, ..)| *other == state);
        Box::new(same.map(|(_, at, id)| (*at, id)))
    }
}

/// The id before all others.
fn first_id() -> ApprovalId {
    ApprovalId::new("-").expect("a name of the least character")
}

fn read_cursor(text: &str) -> Result<(Millis, ApprovalId), Rejection> {
    let read = || {
        let (at, id) = text.split_once('/')?;
        Some((at.parse().ok()?, ApprovalId::new(id).ok()?))
    };
    read().ok_or_else(|| {
        let reason = "cursor must be one that a page came with";
        Rejection::new(Code::Invalid, reason).at("cursor")
    })
}

impl Approval {
    pub(super) fn state(&self) -> ApprovalState {
        match &self.ended {
            None => ApprovalState::Pending,
            Some(ended) if ended.approved => ApprovalState::Approved,
            Some(ended) if ended.cancelled => ApprovalState::Cancelled,
            Some(ended) if ended.timed_out => ApprovalState::TimedOut,
            Some(_) => ApprovalState::Rejected,
        }
    }

    /// Adds to the trail; the digest, where it is not the one that stands there last.
    pub(super) fn note(&mut self, at: Millis, who: &Agent, act: AuditAct, reason: Option<String>) {
        let digest = self.is_new_digest().then(|| self.asked.digest.clone());
        self.trail.push(AuditEntry {
            at,
            who: who.clone(),
            act,
            reason,
            digest,
        });
    }

    fn is_new_digest(&self) -> bool {
        let mut known = self.trail.iter().rev();
        let known = known.find_map(|entry| entry.digest.as_ref());
        known != Some(&self.asked.digest)
    }

    /// Whether its content is another one than that of the last vote.
    pub(super) fn newly_edited(&self) -> bool {
        self.is_new_digest() && !self.trail.is_empty()
    }

    /// Refuses what would leave it open with a trail that is full: the last word always finds room.
    pub(super) fn expect_room(
        &self,
        cx: &Context,
        reason: Option<&str>,
        decides: bool,
    ) -> Result<(), Rejection> {
        let bytes = |reason: Option<&str>| ENTRY_BYTES + reason.map_or(0, str::len);
        let used: usize = self
            .trail
            .iter()
            .map(|entry| bytes(entry.reason.as_deref()))
            .sum();
        let limit = cx.settings.approve.max_trail.0;
        if decides || used + bytes(reason) <= limit {
            return Ok(());
        }
        let id = &self.asked.id;
        let reason =
            format!("the audit trail of {id} has its {limit} bytes: only a decision is taken");
        Err(Rejection::new(Code::TooMany, reason))
    }

    /// The same with its content, unless that is more than an answer may have.
    fn audited_with_content(&self, most: usize) -> AuditedApproval {
        let whole = AuditedApproval {
            content: self.asked.content.clone(),
            content_omitted: self.omitted,
            ..self.audited()
        };
        match whole.content.is_some() && json::length(&whole) > most {
            true => AuditedApproval {
                content_omitted: true,
                ..self.audited()
            },
            false => whole,
        }
    }

    fn audited(&self) -> AuditedApproval {
        let asked = &self.asked;
        let ended = self.ended.as_ref();
        AuditedApproval {
            id: asked.id.clone(),
            requester: asked.requester.clone(),
            task: asked.task.clone(),
            call: asked.call.clone(),
            action: asked.action.clone(),
            state: self.state(),
            digest: asked.digest.clone(),
            content: None,
            content_omitted: false,
            approvers: asked.approvers.clone(),
            quorum: asked.quorum,
            edited: self.edited,
            requested_at: asked.requested_at,
            expires_at: asked.expires_at,
            decided_at: ended.map(|ended| ended.at),
            by: ended.map(|ended| ended.by.clone()).unwrap_or_default(),
            trail: self.trail.clone(),
        }
    }
}

//! Approve: what waits for somebody's yes.

use std::time::Duration;

use serde::Serialize;

use super::command::{json_of, millis};
use super::core::{data, decode};
use super::error::Error;
use super::feed::{Feed, UNREAD};
use super::link::{Letter, Level};
use super::room::Room;
use super::waiting;
use crate::wire::approve::{
    ApprovalRequest, ApprovalState, AuditPage, AuditQuery, AuditedApproval, CancelApproval, Decide,
    Decision, OnTimeout, PendingApproval, Verdict,
};
use crate::wire::name::ApprovalId;
use crate::wire::topic::Topic;

/// A room's approvals: [`Room::approve`].
#[derive(Debug, Clone)]
pub struct RoomApprovals {
    room: Room,
}

/// What is to be approved: `Gate::new("publish").content(&draft).approver("role:chief")`.
#[derive(Debug, Clone)]
#[must_use = "nobody is asked until it is requested"]
pub struct Gate(Result<ApprovalRequest, Error>);

/// What awaits a decision, and what does not any more.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PendingUpdate {
    /// It waits, or has changed.
    Pending(Box<PendingApproval>),
    /// It was decided.
    Decided(ApprovalId),
}

/// One approver's word: [`RoomApprovals::decide`].
#[derive(Debug, Clone)]
#[must_use = "nothing is decided until it is sent"]
pub struct Ruling(Result<Decide, Error>);

impl Gate {
    /// What is to be done.
    pub fn new(action: &str) -> Gate {
        Gate(Ok(ApprovalRequest {
            id: None,
            action: action.to_owned(),
            content: None,
            approvers: Vec::new(),
            quorum: None,
            timeout_ms: None,
            on_timeout: None,
            escalate_to: Vec::new(),
            urgency: None,
            task: None,
            call: None,
            correlation_id: None,
            traceparent: None,
            tracestate: None,
        }))
    }

    fn change(mut self, change: impl FnOnce(&mut ApprovalRequest)) -> Gate {
        if let Ok(request) = &mut self.0 {
            change(request);
        }
        self
    }

    /// What exactly is to be approved.
    pub fn content<T: Serialize + ?Sized>(self, content: &T) -> Gate {
        Gate(self.0.and_then(|mut request| {
            request.content = Some(json_of(content)?);
            Ok(request)
        }))
    }

    /// A name of its own: whoever requests the same again, after a restart say, is not asked twice
    /// and gets the one decision.
    pub fn id(self, id: &str) -> Gate {
        Gate(self.0.and_then(|mut request| {
            request.id = Some(ApprovalId::new(id)?);
            Ok(request)
        }))
    }

    /// One who may decide: an agent, or `role:NAME`. Nobody named means anybody but the requester.
    pub fn approver(self, approver: &str) -> Gate {
        self.change(|request| request.approvers.push(approver.to_owned()))
    }

    /// How many approvals it takes.
    pub fn quorum(self, quorum: u32) -> Gate {
        self.change(|request| request.quorum = Some(quorum))
    }

    /// When it is rejected by itself; 15 minutes if not said.
    pub fn timeout(self, timeout: Duration) -> Gate {
        self.change(|request| request.timeout_ms = Some(millis(timeout)))
    }

    /// After the time-out these are asked, for as long again. May be said several times.
    pub fn escalate_to(self, approver: &str) -> Gate {
        self.change(|request| {
            request.on_timeout = Some(OnTimeout::Escalate);
            request.escalate_to.push(approver.to_owned());
        })
    }

    /// A hint for people.
    pub fn urgency(self, urgency: &str) -> Gate {
        self.change(|request| request.urgency = Some(urgency.to_owned()))
    }
}

impl From<ApprovalRequest> for Gate {
    fn from(message: ApprovalRequest) -> Gate {
        Gate(Ok(message))
    }
}

impl Ruling {
    fn new(decision: &str) -> Ruling {
        Ruling(Ok(Decide {
            decision: decision.to_owned(),
            defer_ms: None,
            reason: None,
            digest: None,
            edit: None,
            id: None,
            correlation_id: None,
        }))
    }

    /// Yes.
    pub fn approve() -> Ruling {
        Ruling::new("approve")
    }

    /// No.
    pub fn reject() -> Ruling {
        Ruling::new("reject")
    }

    /// Not yet: it times out so long from now.
    pub fn defer(by: Duration) -> Ruling {
        Ruling::new("defer").change(|decide| decide.defer_ms = Some(millis(by)))
    }

    fn change(mut self, change: impl FnOnce(&mut Decide)) -> Ruling {
        if let Ok(decide) = &mut self.0 {
            change(decide);
        }
        self
    }

    /// Why.
    pub fn because(self, reason: &str) -> Ruling {
        self.change(|decide| decide.reason = Some(reason.to_owned()))
    }

    /// Of what was seen: [`Error::Conflict`] if it is not that any more. Say it whenever a person
    /// decides.
    pub fn digest(self, digest: &str) -> Ruling {
        self.change(|decide| decide.digest = Some(digest.to_owned()))
    }

    /// This content instead.
    pub fn edit<T: Serialize + ?Sized>(self, content: &T) -> Ruling {
        Ruling(self.0.and_then(|mut decide| {
            decide.edit = Some(json_of(content)?);
            Ok(decide)
        }))
    }
}

impl From<Decide> for Ruling {
    fn from(message: Decide) -> Ruling {
        Ruling(Ok(message))
    }
}

impl RoomApprovals {
    pub(super) fn new(room: Room) -> RoomApprovals {
        RoomApprovals { room }
    }

    /// Asks, and waits until it is decided: at the latest when the request times out. A no is no
    /// error: look at [`Decision::approved`].
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn request(&self, gate: impl Into<Gate>) -> Result<Decision, Error> {
        let mut request = gate.into().0?;
        let is_named = request.id.is_some();
        let id = match request.id.take() {
            Some(id) => id,
            None => ApprovalId::new(&super::command::fresh_id())?,
        };
        request.id = Some(id.clone());
        let mut expected = self.room.shared.decisions.expect(id.clone());
        let topic = Topic::ApproveRequest { me: self.room.me() };
        let requested = self.room.call(topic, request);
        tokio::try_join!(self.room.listen_for_decisions(), requested)?;
        if is_named && let Some(decision) = self.decided_before(&id).await? {
            return Ok(decision);
        }
        waiting::outcome(&self.room.core().link, &mut expected).await
    }

    /// The decision on a request of an earlier life, which may have had it and is gone.
    async fn decided_before(&self, id: &ApprovalId) -> Result<Option<Decision>, Error> {
        let page = self.audit(AuditQuery {
            approval: Some(id.clone()),
            ..AuditQuery::default()
        });
        Ok(page.await?.approvals.into_iter().next().and_then(decision))
    }

    /// What awaits a decision in this room, and every change.
    ///
    /// # Errors
    /// If the gateway does not let this agent see it.
    pub async fn pending(&self) -> Result<Feed<PendingUpdate>, Error> {
        let (sender, feed) = Feed::new(&self.room.core().link, UNREAD);
        let arrived = move |mut letter: Letter| {
            letter.ack();
            sender.push(if letter.payload.is_empty() {
                let id = ApprovalId::new(letter.last_level());
                id.map(PendingUpdate::Decided).map_err(Error::from)
            } else {
                decode(&letter.payload).map(PendingUpdate::Pending)
            });
        };
        let route = self
            .room
            .subscribe("approve/pending/+", Level::Certain, arrived)
            .await?;
        Ok(feed.with(route))
    }

    /// Decides.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if this agent may not, [`Error::Conflict`] if it was decided or is
    /// something else by now.
    pub async fn decide(&self, approval: &str, ruling: impl Into<Ruling>) -> Result<(), Error> {
        let topic = Topic::ApproveDecide {
            me: self.room.me(),
            id: ApprovalId::new(approval)?,
        };
        self.room.call(topic, ruling.into().0?).await.map(drop)
    }

    /// Takes a request of this agent's back; its decision comes, and says so.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it was decided.
    pub async fn cancel(&self, approval: &str, reason: &str) -> Result<(), Error> {
        let body = CancelApproval {
            approval: ApprovalId::new(approval)?,
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            id: None,
            correlation_id: None,
        };
        let topic = Topic::ApproveCancel { me: self.room.me() };
        self.room.call(topic, body).await.map(drop)
    }

    /// What was requested and decided, a page at a time, oldest first.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn audit(&self, query: AuditQuery) -> Result<AuditPage, Error> {
        let topic = Topic::ApproveAudit { me: self.room.me() };
        data(&self.room.call(topic, query).await?)
    }
}

/// A decision as its audit shows it.
fn decision(audited: AuditedApproval) -> Option<Decision> {
    let approved = match audited.state {
        ApprovalState::Pending => return None,
        ApprovalState::Approved => true,
        _ => false,
    };
    let reason = audited.trail.last().and_then(|entry| entry.reason.clone());
    Some(Decision {
        id: audited.id,
        action: Some(audited.action),
        digest: Some(audited.digest),
        approved,
        decision: if approved {
            Verdict::Approve
        } else {
            Verdict::Reject
        },
        by: audited.by,
        reason,
        content: audited.content.filter(|_| approved),
        edited: audited.edited,
        decided_at: audited.decided_at.unwrap_or_default(),
        timed_out: audited.state == ApprovalState::TimedOut,
        cancelled: audited.state == ApprovalState::Cancelled,
        escalated: false,
        correlation_id: None,
        traceparent: None,
        tracestate: None,
        too_large: None,
    })
}

//! Gates: what has to be approved before anybody gets it, and how far that is.

use hallward::wire::Millis;
use hallward::wire::approve::{ApprovalRequest, ApprovalRule, Decision, PendingApproval, Verdict};
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, ApprovalId, CallId, GATEWAY, Room, TaskId};
use hallward::wire::observe::Event;

use super::approvals::{Approval, begun};
use super::tasks::REDRIVEN;
use super::{Model, Tally};

/// Says that an approval has ended.
pub(in super::super) const DECIDED: &str = "approve.decided";

/// Whether somebody may get it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) enum Clearance {
    /// Nobody has to approve it.
    #[default]
    NotNeeded,
    /// The gateway is to ask for it, in the step that is being looked at.
    Due,
    /// It has asked.
    Awaited(ApprovalId),
    /// It was approved, as it is now.
    Given(ApprovalId),
    /// It was not.
    Refused(ApprovalId),
}

impl Clearance {
    pub(super) fn before(rule: Option<&ApprovalRule>) -> Clearance {
        rule.map_or(Clearance::NotNeeded, |_| Clearance::Due)
    }

    /// The approval that it waits for.
    pub(in super::super) fn awaited(&self) -> Option<&ApprovalId> {
        match self {
            Clearance::Awaited(id) => Some(id),
            _ => None,
        }
    }

    /// Whether nobody may get it as it stands.
    pub(in super::super) fn holds_back(&self) -> bool {
        !matches!(self, Clearance::NotNeeded | Clearance::Given(_))
    }

    fn decided(&mut self, id: &ApprovalId, approved: bool) {
        *self = match approved {
            true => Clearance::Given(id.clone()),
            false => Clearance::Refused(id.clone()),
        };
    }
}

/// What the gateway holds back itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum HeldBack {
    Task(TaskId),
    Call(CallId),
}

impl HeldBack {
    fn of(pending: &PendingApproval) -> Option<HeldBack> {
        let task = pending.task.clone().map(HeldBack::Task);
        task.or_else(|| pending.call.clone().map(HeldBack::Call))
    }

    fn kind(&self) -> &'static str {
        match self {
            HeldBack::Task(_) => "task",
            HeldBack::Call(_) => "call",
        }
    }
}

/// What is asked for before something: the action, as it is usually called, and its content.
fn request(
    (usual, content): (&str, Option<&Json>),
    rule: &ApprovalRule,
    held: &HeldBack,
) -> ApprovalRequest {
    let (task, call) = match held {
        HeldBack::Task(task) => (Some(task.clone()), None),
        HeldBack::Call(call) => (None, Some(call.clone())),
    };
    ApprovalRequest {
        id: None,
        action: rule.action.clone().unwrap_or_else(|| usual.to_owned()),
        content: content.cloned(),
        approvers: rule.approvers.clone(),
        quorum: rule.quorum,
        timeout_ms: rule.timeout_ms,
        on_timeout: None,
        escalate_to: Vec::new(),
        urgency: None,
        task,
        call,
        correlation_id: None,
        traceparent: None,
        tracestate: None,
    }
}

impl Model {
    /// The clearance of what an approval holds back.
    pub(in super::super) fn clearance(&self, room: &Room, held: &HeldBack) -> Option<&Clearance> {
        match held {
            HeldBack::Task(id) => Some(&self.tasks.find(room, id)?.clearance),
            HeldBack::Call(id) => Some(&self.tools.find(room, id)?.clearance),
        }
    }

    fn clearance_mut(&mut self, room: &Room, held: &HeldBack) -> Option<&mut Clearance> {
        match held {
            HeldBack::Task(id) => {
                let task = self.tasks.all.get_mut(&(room.clone(), id.clone()));
                task.map(|task| &mut task.clearance)
            }
            HeldBack::Call(id) => {
                let call = self.tools.calls.get_mut(&(room.clone(), id.clone()));
                call.map(|call| &mut call.clearance)
            }
        }
    }

    /// The approval that the gateway asks for now, if it is one that it has to ask for.
    pub(in super::super) fn asked_by_the_gateway(
        &self,
        now: Millis,
        room: &Room,
        pending: &PendingApproval,
    ) -> Option<Approval> {
        let held = HeldBack::of(pending)?;
        if *self.clearance(room, &held)? != Clearance::Due {
            return None;
        }
        let (requester, request) = match &held {
            HeldBack::Task(id) => {
                let task = self.tasks.find(room, id)?;
                let rule = self.rules.asks_before(&task.spec.task_type)?;
                let what = (task.spec.task_type.as_str(), task.spec.payload.as_ref());
                (&task.dispatcher, request(what, rule, &held))
            }
            HeldBack::Call(id) => {
                let call = self.tools.find(room, id)?;
                let rule = call.said.approval.as_ref()?;
                let what = (call.tool.as_str(), Some(&call.arguments));
                (&call.caller, request(what, rule, &held))
            }
        };
        let approval = begun(now, requester, request, &self.rules);
        Some(Approval {
            holds_back: Some(held),
            ..approval
        })
    }

    /// The gateway has asked.
    pub(super) fn asked(&mut self, room: &Room, id: &ApprovalId, pending: &PendingApproval) {
        let Some(approval) = self.asked_by_the_gateway(self.now, room, pending) else {
            return;
        };
        let held = approval.holds_back.as_ref();
        if let Some(clearance) = held.and_then(|held| self.clearance_mut(room, held)) {
            *clearance = Clearance::Awaited(id.clone());
        }
        self.approvals.insert((room.clone(), id.clone()), approval);
    }

    /// A dead task lives again: what was approved once is so for ever.
    pub(super) fn asks_again(&mut self, event: &Event) {
        if event.what != REDRIVEN {
            return;
        }
        let Ok(id) = TaskId::new(&event.subject) else {
            return;
        };
        let Some(task) = self.tasks.all.get_mut(&(event.room.clone(), id)) else {
            return;
        };
        if !matches!(task.clearance, Clearance::Given(_)) {
            let rule = self.rules.asks_before(&task.spec.task_type);
            task.clearance = Clearance::before(rule);
        }
    }

    /// What the gateway asked for is decided: what was held back goes on as it was approved, or
    /// ends.
    pub(super) fn gate_decided(&mut self, event: &Event) {
        let Some((id, approval)) = asked_before(self, event) else {
            return;
        };
        let Some(held) = approval.holds_back.clone() else {
            return;
        };
        let decision = decision(&id, approval, event);
        let (approved, content) = (decision.approved, approval.content.clone());
        let how = outcome(approval, &decision);
        let key = (event.room.clone(), id.clone());
        if let Some(approval) = self.approvals.get_mut(&key) {
            count(&mut self.tally, &held, how, &decision);
            approval.settled(decision);
        }
        if let Some(clearance) = self.clearance_mut(&event.room, &held) {
            clearance.decided(&id, approved);
        }
        match held {
            _ if !approved => {}
            HeldBack::Task(task) => {
                if let Some(task) = self.tasks.all.get_mut(&(event.room.clone(), task)) {
                    task.spec.payload = content;
                }
            }
            HeldBack::Call(call) => {
                if let Some(call) = self.tools.calls.get_mut(&(event.room.clone(), call)) {
                    call.arguments = content.expect("arguments");
                }
            }
        }
    }
}

/// The open approval that an event is about.
pub(in super::super) fn asked_before<'a>(
    model: &'a Model,
    event: &Event,
) -> Option<(ApprovalId, &'a Approval)> {
    let id = ApprovalId::new(&event.subject).ok()?;
    let approval = model.approval(&event.room, &id)?;
    (event.what == DECIDED && approval.is_open()).then_some((id, approval))
}

/// Whether an event says that time ran out.
pub(in super::super) fn is_timed_out(event: &Event) -> bool {
    let detail = event.detail.as_ref().map_or("", |detail| detail.text());
    detail.contains("\"timedOut\":true")
}

fn decision(id: &ApprovalId, approval: &Approval, event: &Event) -> Decision {
    let gateway = Agent::new(GATEWAY).expect("a name");
    let approved = event.to.as_deref() == Some("approved");
    let by = match approved {
        true => approval.approvals.iter().cloned().collect(),
        false => Some(event.who.clone()).into_iter().collect(),
    };
    let by: Vec<Agent> = by;
    Decision {
        id: id.clone(),
        action: None,
        digest: None,
        approved,
        decision: match approved {
            true => Verdict::Approve,
            false => Verdict::Reject,
        },
        by: by.into_iter().filter(|one| *one != gateway).collect(),
        reason: None,
        content: approval.content.clone(),
        edited: approval.edited,
        decided_at: event.at,
        timed_out: is_timed_out(event),
        cancelled: event.to.as_deref() == Some("cancelled"),
        escalated: false,
        correlation_id: None,
        traceparent: None,
        tracestate: None,
        too_large: None,
    }
}

fn outcome(approval: &Approval, decision: &Decision) -> &'static str {
    match decision {
        _ if decision.approved => "approved",
        _ if decision.timed_out => "timed out",
        _ if approval.cancelled => "taken back",
        _ if decision.cancelled => "withdrawn",
        _ => "refused",
    }
}

fn count(tally: &mut Tally, held: &HeldBack, how: &str, decision: &Decision) {
    let kind = held.kind();
    let mut note = |how: &str| *tally.gates.entry(format!("{kind} {how}")).or_default() += 1;
    note(how);
    if decision.approved && decision.edited {
        note("edited");
    }
}

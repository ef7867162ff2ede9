//! Approvals: what was asked, who said what, and the one decision.

use std::collections::BTreeSet;

use bytes::Bytes;
use hallward::engine::Command;
use hallward::wire::Millis;
use hallward::wire::approve::{ApprovalRequest, ApprovalState, AuditAct, Decide, Decision};
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, ApprovalId, GATEWAY};
use hallward::wire::topic::Topic;
use sha2::{Digest, Sha256};

use super::super::history::Step;
use super::super::history::read;
use super::super::rules::Rules;
use super::Tally;
use super::gates::HeldBack;

/// One approval.
#[derive(Debug, Clone)]
pub(in super::super) struct Approval {
    pub(in super::super) request: ApprovalRequest,
    pub(in super::super) requester: Agent,
    /// What waits for it, where the gateway asks by itself.
    pub(in super::super) holds_back: Option<HeldBack>,
    pub(in super::super) asked_at: Millis,
    /// Who did what about it, and when; to approve something else is to approve.
    pub(in super::super) trail: Vec<(Millis, Agent, AuditAct)>,
    /// The digests that are right: absent content may count as absent or as null.
    pub(in super::super) digests: [String; 2],
    pub(in super::super) quorum: u32,
    /// Who may decide now.
    pub(in super::super) approvers: Vec<String>,
    pub(in super::super) timeout_ms: Millis,
    /// Whether others were asked after a time-out.
    pub(in super::super) escalated: bool,
    /// Whether the requester took it back.
    pub(in super::super) cancelled: bool,
    pub(in super::super) expires_at: Millis,
    /// Who said a clear `approve`.
    pub(in super::super) approvals: BTreeSet<Agent>,
    /// Whether anybody said anything else.
    pub(in super::super) objected: bool,
    /// As asked, or as the last approver who edited it would have it.
    pub(in super::super) content: Option<Json>,
    pub(in super::super) edited: bool,
    pub(in super::super) decisions: Vec<Decision>,
    /// The retained message as it stands.
    pub(in super::super) pending: Option<Bytes>,
}

/// The approval that an accepted request makes. Its id, where the gateway mints it, is that of its
/// pending message.
pub(super) fn requested(step: &Step, command: &Command, rules: &Rules) -> (ApprovalId, Approval) {
    let request: ApprovalRequest = read(&command.payload);
    let minted = step.effects.iter().find_map(|effect| match effect {
        hallward::engine::Effect::Retain {
            topic,
            payload: Some(_),
        } => match &topic.topic {
            Topic::ApprovePending { id } => Some(id.clone()),
            _ => None,
        },
        _ => None,
    });
    let id = request.id.clone().or(minted);
    let approval = begun(step.now, &command.from, request, rules);
    (id.expect("a request becomes pending"), approval)
}

/// One that nobody has said anything of.
pub(super) fn begun(
    now: Millis,
    requester: &Agent,
    request: ApprovalRequest,
    rules: &Rules,
) -> Approval {
    let timeout = request.timeout_ms.unwrap_or(rules.approval_timeout_ms);
    Approval {
        requester: requester.clone(),
        holds_back: None,
        asked_at: now,
        trail: vec![(now, requester.clone(), AuditAct::Requested)],
        digests: digests(&request.action, request.content.as_ref()),
        quorum: request.quorum.unwrap_or(1),
        expires_at: now + timeout,
        approvers: request.approvers.clone(),
        timeout_ms: timeout,
        escalated: false,
        cancelled: false,
        approvals: BTreeSet::new(),
        objected: false,
        content: request.content.clone(),
        edited: false,
        decisions: Vec::new(),
        pending: None,
        request,
    }
}

/// SHA-256 over the canonical JSON of action and content.
pub(in super::super) fn digests(action: &str, content: Option<&Json>) -> [String; 2] {
    let bare = serde_json::json!({ "action": action });
    let mut full = bare.clone();
    full["content"] = match content {
        Some(content) => serde_json::from_str(content.text()).expect("JSON"),
        None => serde_json::Value::Null,
    };
    let bare = if content.is_some() { &full } else { &bare };
    [digest(&full), digest(bare)]
}

fn gateway() -> Agent {
    Agent::new(GATEWAY).expect("a name")
}

fn digest(subject: &serde_json::Value) -> String {
    let canonical = serde_json_canonicalizer::to_vec(subject).expect("canonical JSON");
    let sum = Sha256::digest(canonical);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Approval {
    /// A vote that was accepted.
    pub(super) fn voted(&mut self, now: Millis, by: &Agent, vote: &Decide) {
        let act = match vote.decision.as_str() {
            "defer" => AuditAct::Deferred,
            "approve" => AuditAct::Approved,
            _ => AuditAct::Rejected,
        };
        // Who approves once more has said nothing new.
        let is_new = act != AuditAct::Approved || !self.approvals.contains(by);
        self.trail.extend(is_new.then(|| (now, by.clone(), act)));
        if vote.decision == "defer" {
            self.expires_at = now + vote.defer_ms.unwrap_or(self.timeout_ms);
        } else if vote.decision == "approve" {
            if let Some(edit) = vote
                .edit
                .clone()
                .filter(|edit| Some(edit) != self.content.as_ref())
            {
                // What the others approved is not what it is now.
                self.approvals.clear();
                self.digests = digests(&self.request.action, Some(&edit));
                self.content = Some(edit);
                self.edited = true;
            }
            self.approvals.insert(by.clone());
        } else {
            self.objected = true;
        }
    }

    /// Its requester takes it back.
    pub(super) fn take_back(&mut self, now: Millis) {
        self.cancelled = true;
        let act = AuditAct::Cancelled;
        self.trail.push((now, self.requester.clone(), act));
    }

    /// Time ran out for those who were asked first.
    pub(in super::super) fn escalate(&mut self, now: Millis) {
        self.escalated = true;
        self.trail.push((now, gateway(), AuditAct::Escalated));
        self.approvers.clone_from(&self.request.escalate_to);
        self.expires_at = now + self.timeout_ms;
    }

    pub(super) fn decided(&mut self, decision: Decision, tally: &mut Tally) {
        match (decision.approved, decision.timed_out) {
            (true, _) => tally.approved += 1,
            (false, true) => tally.timed_out += 1,
            (false, false) => tally.refused += 1,
        }
        self.settled(decision);
    }

    /// It has ended.
    pub(super) fn settled(&mut self, decision: Decision) {
        let act = match decision.timed_out {
            true => Some(AuditAct::TimedOut),
            // Nobody took it back: the room was closed.
            false => (decision.cancelled && !self.cancelled).then_some(AuditAct::Cancelled),
        };
        let act = act.map(|act| (decision.decided_at, gateway(), act));
        self.trail.extend(act);
        self.decisions.push(decision);
    }

    pub(in super::super) fn state(&self) -> ApprovalState {
        match self.decisions.first() {
            None => ApprovalState::Pending,
            Some(decision) if decision.approved => ApprovalState::Approved,
            Some(decision) if decision.cancelled => ApprovalState::Cancelled,
            Some(decision) if decision.timed_out => ApprovalState::TimedOut,
            Some(_) => ApprovalState::Rejected,
        }
    }

    pub(in super::super) fn is_open(&self) -> bool {
        self.decisions.is_empty()
    }
}

//! Approve messages: gates that a person holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;
use super::json::{Json, present};
use super::name::{Agent, ApprovalId, CallId, CommandId, TaskId};

/// What happens when nobody decides in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnTimeout {
    /// Not approved.
    #[default]
    Reject,
    /// Approved; only where the room allows it.
    Approve,
    /// Asked again of `escalateTo`.
    Escalate,
}

/// `approve/request/{me}`: ask for a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRequest {
    /// The requester's own id; a repeat is a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ApprovalId>,
    /// What is to be done, in a word or a sentence.
    pub action: String,
    /// What exactly is to be approved.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub content: Option<Json>,
    /// Who may decide: agents, users, or `role:NAME`; nobody named means anybody but the requester.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// How many approvals it takes; 1 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// Milliseconds until it times out; the room's default if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What a time-out means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnTimeout>,
    /// Who is asked after a time-out with `escalate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate_to: Vec<String>,
    /// The task that it stands before, or is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The call of a tool that it stands before, or is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// A hint for people: `low`, `medium`, `high`, `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency: Option<String>,
    /// Echoed in the reply and the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// W3C Trace Context, carried to whoever decides and into the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What vendors add to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// What a tool or a type of tasks asks for before anything is handed over: an approval of just
/// this.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRule {
    /// What is to be done, in a word or a sentence; the tool's name if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who may decide: agents, users, or `role:NAME`; nobody named means anybody but the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// How many approvals it takes; 1 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// Milliseconds until it times out, and so is refused; the room's default if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// `approve/cancel/{me}`: take one's own request back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelApproval {
    /// The approval.
    pub approval: ApprovalId,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `approve/pending/{id}`: what awaits a decision (retained; cleared when decided).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingApproval {
    /// The approval.
    pub id: ApprovalId,
    /// Who asks.
    pub requester: Agent,
    /// What is to be done.
    pub action: String,
    /// What exactly is to be approved.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub content: Option<Json>,
    /// Who may decide; empty means anybody but the requester.
    pub approvers: Vec<String>,
    /// How many approvals it takes.
    pub quorum: u32,
    /// Who approved so far.
    pub approved_by: Vec<Agent>,
    /// The task that it stands before, or is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The call of a tool that it stands before, or is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// A hint for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency: Option<String>,
    /// SHA-256, in hexadecimal, over the canonical JSON (RFC 8785) of `{action, content}`.
    pub digest: String,
    /// When it was asked, Unix milliseconds.
    pub requested_at: Millis,
    /// When it times out, Unix milliseconds.
    pub expires_at: Millis,
    /// Whether it timed out once and was asked again of `escalateTo`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub escalated: bool,
    /// W3C Trace Context, from the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What vendors add to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// `approve/decide/{me}/{id}`: one approver's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decide {
    /// `approve`; `defer` asks for more time; anything else is a rejection.
    pub decision: String,
    /// With `defer`: milliseconds from now until it times out; the request's own time-out if not
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defer_ms: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The digest of what was seen; a mismatch is 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The content as it should be instead.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub edit: Option<Json>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// How an approval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Go ahead.
    Approve,
    /// Do not.
    Reject,
}

/// `approve/decision/{requester}`: the outcome, exactly once per approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The approval.
    pub id: ApprovalId,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// SHA-256 over the canonical JSON (RFC 8785) of `{action, content}` as decided on, in
    /// hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether to go ahead.
    pub approved: bool,
    /// The same in a word.
    pub decision: Verdict,
    /// Who decided; empty for a time-out.
    pub by: Vec<Agent>,
    /// The last decider's reason, or that it timed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The content as approved, edited or not.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub content: Option<Json>,
    /// Whether an approver changed the content.
    pub edited: bool,
    /// When, Unix milliseconds.
    pub decided_at: Millis,
    /// Whether the time ran out.
    pub timed_out: bool,
    /// Whether the requester took it back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancelled: bool,
    /// Whether it was asked again of `escalateTo`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub escalated: bool,
    /// Echoed from the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// W3C Trace Context, from the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What vendors add to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// In place of a message of so many bytes, which is more than its reader takes: something has
    /// been left out, or cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large: Option<usize>,
}

/// Where an approval stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalState {
    /// It awaits a decision.
    Pending,
    /// Go ahead; also by a time-out, where that is allowed.
    Approved,
    /// Somebody said no.
    Rejected,
    /// Nobody decided in time.
    TimedOut,
    /// The requester took it back.
    Cancelled,
}

/// `approve/audit/{me}`: look approvals up, oldest first; answered in the reply's `data`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditQuery {
    /// Just this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// Those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ApprovalState>,
    /// Those asked at this time or later, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Millis>,
    /// Those asked before this time, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before ended: its `cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// What somebody did about an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuditAct {
    /// Asked.
    Requested,
    /// Approved.
    Approved,
    /// Approved with another content.
    Edited,
    /// Said anything but a clear `approve`.
    Rejected,
    /// Asked for more time.
    Deferred,
    /// Nobody: the time ran out, and others were asked.
    Escalated,
    /// Nobody: the time ran out.
    TimedOut,
    /// Took it back.
    Cancelled,
}

/// One line of an approval's audit trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When, Unix milliseconds.
    pub at: Millis,
    /// Who; `gateway` where it was the time.
    pub who: Agent,
    /// What.
    pub act: AuditAct,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The digest of what it was about, where that is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// An approval as the audit shows it. Contents are in it where one approval was asked for; the
/// digest says which one it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditedApproval {
    /// The approval.
    pub id: ApprovalId,
    /// Who asked.
    pub requester: Agent,
    /// The task that it stands before, or is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The call of a tool that it stands before, or is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// What for.
    pub action: String,
    /// Where it stands.
    pub state: ApprovalState,
    /// Of the content as it was last.
    pub digest: String,
    /// The content as it was last, approved or not; only where just this approval was asked for.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub content: Option<Json>,
    /// There is no room for the content any more, or none in this answer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub content_omitted: bool,
    /// Who may decide, or might last.
    pub approvers: Vec<String>,
    /// How many approvals it takes.
    pub quorum: u32,
    /// Whether an approver changed the content.
    pub edited: bool,
    /// When it was asked, Unix milliseconds.
    pub requested_at: Millis,
    /// When it times out, or would have, Unix milliseconds.
    pub expires_at: Millis,
    /// When it was decided, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Millis>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Agent>,
    /// Everything that happened to it, in order.
    pub trail: Vec<AuditEntry>,
}

/// A page of approvals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// Oldest first.
    pub approvals: Vec<AuditedApproval>,
    /// Where the next page begins, if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

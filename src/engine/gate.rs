//! Gates: work that its pattern holds back until somebody has approved it.
//!
//! The pattern that holds it back and the one that asks know nothing of each other. What they have
//! to say waits in the room, and goes to all patterns before the input is over.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::approve::ApprovalRule;
use crate::wire::json::Json;
use crate::wire::name::{Agent, ApprovalId, CallId, TaskId};

/// What is held back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Gated {
    Task(TaskId),
    Call(CallId),
}

/// What is to be approved before something goes on.
#[derive(Debug, Clone)]
pub(super) struct GateRequest {
    pub(super) id: ApprovalId,
    pub(super) gated: Gated,
    pub(super) requester: Agent,
    pub(super) user: Option<Arc<str>>,
    pub(super) action: String,
    pub(super) content: Option<Json>,
    pub(super) digest: String,
    pub(super) rule: ApprovalRule,
    pub(super) correlation_id: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) tracestate: Option<String>,
}

/// What patterns tell each other of it.
#[derive(Debug)]
pub(super) enum GateMessage {
    /// This is to be approved.
    Ask(Box<GateRequest>),
    /// It needs no approval any more.
    Withdraw(ApprovalId),
    /// It was approved, with this content.
    Open { gated: Gated, content: Option<Json> },
    /// It was not; in words why.
    Shut { gated: Gated, reason: String },
}

/// The error code of what was not approved.
pub(super) const NOT_APPROVED: &str = "not-approved";

//! A call: what was asked of whom, and the ways in which it ends.
//!
//! It is open from the moment when a provider has it until one of those; in between its provider
//! may wait for an answer.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::json::Json;
use crate::wire::name::{Agent, ApprovalId, CallId, Tool};
use crate::wire::tools::ToolError;

use crate::engine::gate::NOT_APPROVED;
use crate::engine::question::Questions;
use crate::engine::stats::ToolOutcome;

use super::states::{APPROVING, ASKING, RUNNING};

/// A call that is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct OpenCall {
    pub(super) id: CallId,
    pub(in crate::engine) tool: Tool,
    pub(super) caller: Agent,
    pub(in crate::engine) provider: Agent,
    /// How many providers have lost it: tells one run from another.
    pub(super) turn: u32,
    /// Kept only if it may run twice: nobody needs them again otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arguments: Option<Json>,
    /// Of the command that it came with, where that had an id; earlier versions did not write it
    /// down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<NonZeroU64>,
    pub(super) called_at: Millis,
    pub(super) deadline: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tracestate: Option<String>,
    /// Why nobody has it yet: until then its `provider` is the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gate: Option<Box<CallGate>>,
    /// What its provider asked, and was told.
    #[serde(default, skip_serializing_if = "Questions::is_empty")]
    pub(super) questions: Questions,
    /// What is left of its time while that stands still, in milliseconds; then `deadline` is when
    /// the answer must be there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) left_ms: u64,
}

/// What a call is that awaits its approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CallGate {
    pub(super) approval: ApprovalId,
    pub(super) arguments: Json,
    /// What the tool was then, as its digest: that is what was approved.
    pub(super) contract: String,
    /// How long it may take from then on.
    pub(super) timeout_ms: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it may skip by reference"
)]
fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

impl OpenCall {
    /// Bytes of arguments, questions and answers that it keeps.
    pub(super) fn kept_bytes(&self) -> usize {
        let arguments = self.arguments.as_ref().map_or(0, |json| json.text().len());
        let held = self.gate.as_ref();
        let held = held.map_or(0, |held| held.arguments.text().len());
        arguments + held + self.questions.bytes()
    }

    /// Whether its provider waits for an answer.
    pub(super) fn is_asking(&self) -> bool {
        self.questions.open().is_some()
    }

    /// Where it stands, as events say it.
    pub(super) fn state(&self) -> &'static str {
        match &self.gate {
            Some(_) => APPROVING,
            None if self.is_asking() => ASKING,
            None => RUNNING,
        }
    }
}

/// How a call ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CallEnd {
    /// Its provider has done it.
    Success(Option<Json>),
    /// Its provider could not.
    Error(ToolError),
    /// Nobody answered within so many milliseconds.
    TimedOut(u64),
    /// Its caller does not want it any more.
    Cancelled(String),
    /// Its provider went away, and nobody else may have it.
    Gone(Agent),
    /// Its provider took the tool back.
    Withdrawn(Agent),
    /// The tool means something else now.
    Changed,
    /// Its provider takes no message of that size any more.
    TooLarge(Agent),
    /// It was not approved.
    NotApproved(String),
    /// It was, and nobody could be called then.
    Unavailable(String),
}

impl CallEnd {
    pub(super) fn outcome(&self) -> ToolOutcome {
        match self {
            CallEnd::Success(_) => ToolOutcome::Success,
            CallEnd::Error(_) => ToolOutcome::Error,
            CallEnd::TimedOut(_) => ToolOutcome::TimedOut,
            CallEnd::Cancelled(_) => ToolOutcome::Cancelled,
            CallEnd::NotApproved(_) => ToolOutcome::NotApproved,
            CallEnd::Gone(_)
            | CallEnd::Withdrawn(_)
            | CallEnd::Changed
            | CallEnd::TooLarge(_)
            | CallEnd::Unavailable(_) => ToolOutcome::Lost,
        }
    }

    /// Whether the provider has said so itself.
    pub(super) fn is_providers_own(&self) -> bool {
        matches!(self, CallEnd::Success(_) | CallEnd::Error(_))
    }

    /// What the event says: the transition, the state that the call ends in.
    pub(super) fn told_as(&self) -> (&'static str, &'static str) {
        match self {
            CallEnd::Success(_) => ("tools.returned", "success"),
            CallEnd::Error(_) => ("tools.returned", "error"),
            CallEnd::TimedOut(_) => ("tools.expired", "error"),
            CallEnd::Cancelled(_) => ("tools.cancelled", "error"),
            CallEnd::NotApproved(_) => ("tools.refused", "error"),
            CallEnd::Gone(_)
            | CallEnd::Withdrawn(_)
            | CallEnd::Changed
            | CallEnd::TooLarge(_)
            | CallEnd::Unavailable(_) => ("tools.lost", "error"),
        }
    }

    /// What the caller gets: the result of a success, or why there is none.
    pub(super) fn into_result(self) -> (Option<Json>, Option<ToolError>) {
        match self {
            CallEnd::Success(result) => (result, None),
            CallEnd::Error(error) => (None, Some(error)),
            gateways => (None, gateways.error()),
        }
    }

    /// What the caller is told; `None` if the call was a success.
    pub(super) fn error(&self) -> Option<ToolError> {
        let gateways = |code: &str, message: String| ToolError {
            code: Some(code.to_owned()),
            message,
            data: None,
        };
        Some(match self {
            CallEnd::Success(_) => return None,
            CallEnd::Error(error) => error.clone(),
            CallEnd::TimedOut(ms) => gateways("timeout", format!("no answer within {ms} ms")),
            CallEnd::Cancelled(reason) => gateways("cancelled", reason.clone()),
            CallEnd::NotApproved(reason) => gateways(NOT_APPROVED, reason.clone()),
            CallEnd::Unavailable(reason) => gateways("unavailable", reason.clone()),
            CallEnd::Gone(provider) => gateways(
                "provider-gone",
                format!("{provider} lost its connection before it answered"),
            ),
            CallEnd::Withdrawn(provider) => gateways(
                "withdrawn",
                format!("{provider} withdrew the tool before it answered"),
            ),
            CallEnd::Changed => gateways(
                "tool-changed",
                "the tool was registered anew with another schema".to_owned(),
            ),
            CallEnd::TooLarge(provider) => gateways(
                "too-large",
                format!("its run is larger than {provider} takes now"),
            ),
        })
    }
}

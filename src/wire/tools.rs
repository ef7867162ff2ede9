//! Tool messages: a registry in the shape of MCP's `Tool`, calls, and what comes of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;
use super::approve::ApprovalRule;
use super::json::{Json, present};
use super::name::{Agent, ApprovalId, CallId, CommandId, Tool};
use super::question::GivenAnswer;

/// `tools/register/{me}/{tool}`: say what a tool is, and that one provides it. An empty payload
/// withdraws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does, for whoever chooses a tool.
    pub description: String,
    /// JSON Schema of the arguments.
    pub input_schema: Json,
    /// JSON Schema of the result, an object; results are not checked where there is none.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub output_schema: Option<Json>,
    /// Hints as MCP has them (`ToolAnnotations`); shown, not interpreted.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub annotations: Option<Json>,
    /// Milliseconds that a call may take where the caller does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Whether a call may be run twice: if its provider vanishes, another one is asked.
    #[serde(default)]
    pub idempotent: bool,
    /// Each call waits for an approval of just its arguments, which the gateway asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRule>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `tools/card/{tool}`: an MCP `Tool` object and who provides it (retained; cleared when nobody has
/// registered it any more).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolCard {
    /// The tool.
    pub name: Tool,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does.
    pub description: String,
    /// JSON Schema of the arguments.
    pub input_schema: Json,
    /// JSON Schema of the result.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub output_schema: Option<Json>,
    /// Hints as MCP has them.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub annotations: Option<Json>,
    /// Milliseconds that a call may take where the caller does not say.
    pub timeout_ms: u64,
    /// Whether a call whose provider vanishes goes to another.
    pub idempotent: bool,
    /// What each call has to be approved by first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRule>,
    /// Who can be called now: registered, subscribed to `tools/run/{tool}`, online and not
    /// draining.
    pub providers: Vec<Agent>,
}

/// `tools/call/{me}/{tool}`: have a tool run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    /// What the provider gets, as it is; `{}` if not said.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub arguments: Option<Json>,
    /// Milliseconds until the caller gives up; the tool's own if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply, to the provider and in the results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// W3C trace context, carried to the provider and the results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// W3C trace state, carried along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// `tools/run/{tool}`: a call, for exactly one provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolRun {
    /// The call.
    pub call: CallId,
    /// The tool.
    pub tool: Tool,
    /// As the caller gave them; they satisfy the input schema. Left out in a run that comes again
    /// with an answer, where the tool is not idempotent: its provider has them.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub arguments: Option<Json>,
    /// What came of the questions that were asked so far, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<GivenAnswer>,
    /// Who calls.
    pub caller: Agent,
    /// When it was called, Unix milliseconds.
    pub called_at: Millis,
    /// When nobody waits for the answer any more, Unix milliseconds.
    pub deadline: Millis,
    /// Echoed from the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Carried from the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Carried from the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// What a provider's answer, and its caller's result, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReturnStatus {
    /// Done; the call is over.
    Success,
    /// It came to nothing; the call is over.
    Error,
    /// A part of the result; more follows.
    Partial,
    /// It cannot go on without an answer to its `question`: until that comes the call's time
    /// stands still.
    Input,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolError {
    /// A short name: the provider's own, or of the gateway's `timeout`, `cancelled`,
    /// `provider-gone`, `withdrawn`, `tool-changed`, `too-large`, `not-approved`,
    /// `unavailable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In words.
    pub message: String,
    /// Whatever else the provider says.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub data: Option<Json>,
}

/// `tools/return/{me}`: a provider's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolReturn {
    /// The call; 409 if it is over.
    pub call: CallId,
    /// What the answer is.
    pub status: ReturnStatus,
    /// The result, or a part of it; with `success` it must satisfy the output schema.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub result: Option<Json>,
    /// With `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ToolError>,
    /// With `input`: what is asked of the caller.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub question: Option<Json>,
    /// With `input`: what the answer must look like, a JSON Schema.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub schema: Option<Json>,
    /// With `input`: milliseconds after which the provider goes on without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

impl ToolReturn {
    /// Says no more than that.
    pub fn new(call: CallId, status: ReturnStatus) -> ToolReturn {
        ToolReturn {
            call,
            status,
            result: None,
            error: None,
            question: None,
            schema: None,
            ttl_ms: None,
            id: None,
            correlation_id: None,
        }
    }
}

/// `tools/result/{caller}`: what came of a call; exactly one of them is `final`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    /// The call.
    pub call: CallId,
    /// The tool.
    pub tool: Tool,
    /// What it is.
    pub status: ReturnStatus,
    /// Whether the call is over with this.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// As the provider gave it.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub result: Option<Json>,
    /// Why it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ToolError>,
    /// With `input`: which question of the call this is, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<u32>,
    /// With `input`: what is asked of the caller.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub question: Option<Json>,
    /// With `input`: what the answer must look like, a JSON Schema.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub schema: Option<Json>,
    /// With `input`: when nobody waits for the answer any more, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// Who ran it last; `gateway` where it was never approved.
    pub provider: Agent,
    /// When it was called, Unix milliseconds.
    pub called_at: Millis,
    /// When this was said, Unix milliseconds.
    pub at: Millis,
    /// Echoed from the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Carried from the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Carried from the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// In place of a message of so many bytes, which is more than its reader takes: something has
    /// been left out, or cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large: Option<usize>,
}

/// `tools/cancel/{me}`: end one's own call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelCall {
    /// The call.
    pub call: CallId,
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

/// `tools/get/{me}`: one call as it stands, in the reply's `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetCall {
    /// The call.
    pub call: CallId,
    /// Whether its arguments are wanted, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub arguments: bool,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CallState {
    /// It awaits its approval; nobody has it.
    Approving,
    /// A provider has it.
    Running,
    /// Its provider waits for an answer.
    Asking,
    /// Its provider has done it.
    Success,
    /// It came to nothing; `error` says why.
    Error,
}

/// A call as `tools/get` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    /// The call.
    pub call: CallId,
    /// The tool.
    pub tool: Tool,
    /// Where it stands.
    pub state: CallState,
    /// Who called.
    pub caller: Agent,
    /// Who has it, or had it last; `gateway` where it was not approved, or not yet.
    pub provider: Agent,
    /// The approval that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// When it was called, Unix milliseconds.
    pub called_at: Millis,
    /// When its time is over, or would have been, Unix milliseconds.
    pub deadline: Millis,
    /// When it ended, Unix milliseconds; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Millis>,
    /// As the caller gave them; where they were asked for, as long as another provider may get the
    /// call.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub arguments: Option<Json>,
    /// Its final result, as its provider gave it.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub result: Option<Json>,
    /// It had a result, or an error that said more, for which there is no room any more, or none in
    /// this answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub result_omitted: bool,
    /// Why it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ToolError>,
}

/// `tools/cancelled/{provider}`: a call that its provider need not answer any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallOver {
    /// The call.
    pub call: CallId,
    /// The tool.
    pub tool: Tool,
    /// As the caller is told: `cancelled`, `timeout` …; `rerouted` if another provider has it now.
    pub code: String,
    /// In words.
    pub reason: String,
    /// When, Unix milliseconds.
    pub at: Millis,
    /// In place of a message of so many bytes, which is more than its reader takes: something has
    /// been left out, or cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large: Option<usize>,
}

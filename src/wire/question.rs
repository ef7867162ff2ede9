//! Questions in the middle of work: what a worker or a provider asks, and what it was told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;
use super::json::{Json, present};
use super::name::{Agent, CallId, CommandId, TaskId, TaskType};

/// What came of a question: an answer, or none in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GivenAnswer {
    /// Which question of the task or call it was, counted from 1.
    pub ask: u32,
    /// What was answered; absent where nobody did in time.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub answer: Option<Json>,
    /// Nobody answered in time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
}

/// `handoff/asking/{task}`: a question that awaits its answer, for whoever may give it; empty: it
/// has one, or needs none any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenQuestion {
    /// The task.
    pub task: TaskId,
    /// What kind of task.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// The attempt that asks: an answer must carry it.
    pub attempt: u32,
    /// Which question of the task this is, counted from 1.
    pub ask: u32,
    /// What is asked.
    pub question: Json,
    /// What the answer must look like: a JSON Schema.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub schema: Option<Json>,
    /// Who may answer besides the dispatcher: agents, or `role:NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answerers: Vec<String>,
    /// Who dispatched the task.
    pub dispatcher: Agent,
    /// Who asks.
    pub worker: Agent,
    /// When it was asked, Unix milliseconds.
    pub asked_at: Millis,
    /// When nobody waits for the answer any more, Unix milliseconds.
    pub expires_at: Millis,
    /// As dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// As dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// `handoff/answer/{me}`: the answer to what a task's worker asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerTask {
    /// The task.
    pub task: TaskId,
    /// The attempt that asks; another one is 409.
    pub attempt: u32,
    /// Which of its questions; the one that is open if not said, and another one is 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<u32>,
    /// The answer; it must be what the question's schema asks for.
    pub answer: Json,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `tools/answer/{me}`: the answer to what a call's provider asked its caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerCall {
    /// The call.
    pub call: CallId,
    /// Which of its questions; the one that is open if not said, and another one is 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<u32>,
    /// The answer; it must be what the question's schema asks for.
    pub answer: Json,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

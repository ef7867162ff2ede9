//! Handoff messages: tasks routed by capability, results collected.

mod gather;
mod query;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;
use super::json::{Json, present};
use super::name::{Agent, Capability, CommandId, TaskId, TaskType};
use super::question::GivenAnswer;

pub use gather::{GroupEntry, GroupResult, GroupStatus};
pub use query::{
    AttemptOutcome, AttemptView, GetTask, ListTasks, Redrive, Redriven, Skipped, States, TaskPage,
    TaskView,
};

/// Which task goes first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Priority {
    /// After everything else.
    Low,
    /// The default.
    #[default]
    Medium,
    /// Before medium.
    High,
    /// Before everything else.
    Critical,
}

/// How long a task waits before its next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// Before the second attempt, in milliseconds.
    pub initial_ms: u64,
    /// Each wait is the last one times this; 1 or more.
    pub factor: f64,
    /// No wait is longer, in milliseconds.
    pub max_ms: u64,
}

/// `handoff/dispatch/{me}`: hand a task to whoever can do it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The dispatcher's own id; a repeat is a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TaskId>,
    /// What kind of task.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// What the worker must be able to do, all of it; the type alone if not said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// Besides, the worker must be able to do one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<Capability>,
    /// What the worker gets, as it is.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub payload: Option<Json>,
    /// Which goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Milliseconds to wait before the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_ms: Option<u64>,
    /// Milliseconds after which it expires unless it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Milliseconds that a worker may be silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Attempts before it is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// How often one attempt is sent to its worker before it counts as lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deliveries: Option<u32>,
    /// The wait between attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// The same value prefers the same worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// Tasks of the room that must succeed first; one that ends otherwise fails this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// The task that this one belongs to; cancelling that one cancels this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// Tasks of one group are gathered into one group result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// How many tasks the group has; with the first of them at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_size: Option<u32>,
    /// Refuse with 503 if nobody online can do it, instead of waiting.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_online: bool,
    /// Echoed in the reply and in every result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// W3C trace context, carried to the worker, the events and the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// W3C trace state, carried along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// `handoff/work/{capability}`: the task, for exactly one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The task.
    pub task: TaskId,
    /// The fencing token: every update must carry it.
    pub attempt: u32,
    /// What kind of task.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// What it needs.
    pub capabilities: Vec<Capability>,
    /// As dispatched.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub payload: Option<Json>,
    /// What was said last of it, by a worker that had it before: with `progress`, `error` or
    /// `release`. Left out where the assignment would be larger with it than its worker takes.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_progress: Option<Json>,
    /// What came of the questions that were asked of the task so far, in their order. Left out
    /// where the assignment would be larger with them than its worker takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<GivenAnswer>,
    /// As dispatched.
    pub priority: Priority,
    /// Who wants it done.
    pub dispatcher: Agent,
    /// Milliseconds that the worker may be silent; any update starts them anew.
    pub lease_ms: u64,
    /// When it was dispatched, Unix milliseconds.
    pub created_at: Millis,
    /// When it expires, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Millis>,
    /// As dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// As dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// As dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// What a worker says of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UpdateStatus {
    /// It has begun.
    Accepted,
    /// It is at it: extends the lease; with a `result` that goes to the dispatcher as a partial
    /// one.
    Progress,
    /// Done.
    Success,
    /// Failed; tried again unless `error.retryable` is false.
    Error,
    /// Given back: somebody else may have it.
    Release,
    /// It cannot go on without an answer to its `question`: until that comes the lease rests, and
    /// the worker's place is free.
    Input,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskError {
    /// A short name of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In words.
    pub message: String,
    /// Whether another attempt may help; true if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
}

/// `handoff/update/{me}`: a worker's word on its task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// The task.
    pub task: TaskId,
    /// From the assignment; an old one is 409 and changes nothing.
    pub attempt: u32,
    /// What happened.
    pub status: UpdateStatus,
    /// The result (`success`), or a partial one (`progress`); with `error` and `release` what the
    /// next attempt is to know.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub result: Option<Json>,
    /// With `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// With `input`: what is asked.
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
    /// With `input`: who may answer besides the dispatcher: agents, or `role:NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answerers: Vec<String>,
    /// With `input`: milliseconds after which the worker goes on without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

impl Update {
    /// Says no more than that.
    pub fn new(task: TaskId, attempt: u32, status: UpdateStatus) -> Update {
        Update {
            task,
            attempt,
            status,
            result: None,
            error: None,
            question: None,
            schema: None,
            answerers: Vec::new(),
            ttl_ms: None,
            id: None,
            correlation_id: None,
        }
    }
}

/// `handoff/cancel/{me}`: either a task, with all that belongs to it, or a group of one's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancel {
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The group: what has not ended of it is cancelled, and its result comes with what there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
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

/// Where a task stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum TaskState {
    /// For its delay, or its backoff, or what it depends on.
    Waiting,
    /// For a worker.
    Queued,
    /// Sent to a worker that has not said anything yet.
    Assigned,
    /// The worker is at it.
    Running,
    /// The worker waits for an answer.
    Asking,
    /// Ended well.
    Succeeded,
    /// Ended for good after an error that no retry helps, or too many attempts.
    Dead,
    /// Its deadline came first.
    Expired,
    /// Somebody cancelled it.
    Cancelled,
}

impl TaskState {
    /// Whether the task has ended.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            TaskState::Succeeded | TaskState::Dead | TaskState::Expired | TaskState::Cancelled
        )
    }

    /// The word for it on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Waiting => "waiting",
            TaskState::Queued => "queued",
            TaskState::Assigned => "assigned",
            TaskState::Running => "running",
            TaskState::Asking => "asking",
            TaskState::Succeeded => "succeeded",
            TaskState::Dead => "dead",
            TaskState::Expired => "expired",
            TaskState::Cancelled => "cancelled",
        }
    }
}

/// How a result says it ended, or that it did not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ResultStatus {
    /// Not the end: as it comes.
    Partial,
    /// Not the end: its worker waits for an answer to its `question`.
    Input,
    /// Ended well.
    Succeeded,
    /// Failed for good.
    Dead,
    /// Its deadline came first.
    Expired,
    /// Somebody cancelled it.
    Cancelled,
}

/// `handoff/result/{dispatcher}`: exactly one final one per task, and partial ones before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// The task.
    pub task: TaskId,
    /// What kind of task.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// How it ended, or `partial`, or `input`.
    pub status: ResultStatus,
    /// Whether this is the one final result.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Which partial result of the task this is, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// What the worker returned.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub result: Option<Json>,
    /// What went wrong, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// With `input`: which question of the task this is, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<u32>,
    /// With `input`: what is asked.
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
    /// How many attempts there were; with `input` the one that asks.
    pub attempts: u32,
    /// Who had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Agent>,
    /// When it was dispatched, Unix milliseconds.
    pub created_at: Millis,
    /// When this result came about, Unix milliseconds.
    pub at: Millis,
    /// As dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// As dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// As dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// In place of a message of so many bytes, which is more than its reader takes: something has
    /// been left out, or cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large: Option<usize>,
}

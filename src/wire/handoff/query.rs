//! Looking at tasks and putting dead ones back: `handoff/get`, `handoff/list`, `handoff/redrive`,
//! and what they show.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Priority, TaskError, TaskState};
use crate::wire::Millis;
use crate::wire::json::{Json, present};
use crate::wire::name::{Agent, ApprovalId, Capability, CommandId, TaskId, TaskType};
use crate::wire::question::{GivenAnswer, OpenQuestion};
use crate::wire::reply::Code;

/// `handoff/get/{me}`: one task as it stands, in the reply's `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetTask {
    /// The task.
    pub task: TaskId,
    /// Whether its payload is wanted, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload: bool,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// One state or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a state or a list of states: waiting, queued, assigned, running, asking, succeeded, dead, expired, cancelled"
)]
pub enum States {
    /// Just this one.
    One(TaskState),
    /// Any of these.
    AnyOf(Vec<TaskState>),
}

impl States {
    /// The states, as they were given.
    pub fn as_slice(&self) -> &[TaskState] {
        match self {
            States::One(state) => std::slice::from_ref(state),
            States::AnyOf(states) => states,
        }
    }
}

/// `handoff/list/{me}`: a page of the room's tasks, in the reply's `data`. All conditions must
/// hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListTasks {
    /// Only tasks in this state, or in one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<States>,
    /// Only tasks of this type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub task_type: Option<TaskType>,
    /// Only tasks that ask for this capability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// Only tasks of this dispatcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatcher: Option<Agent>,
    /// Only tasks dispatched then or later, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Millis>,
    /// Only tasks dispatched earlier than that, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_before: Option<Millis>,
    /// The youngest first; else the oldest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub newest_first: bool,
    /// Tasks on the page at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// From the page before, with the same conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// What `handoff/list` shows. A page may have fewer tasks than its limit, even none, and still not
/// be the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskPage {
    /// The tasks, without their histories.
    pub tasks: Vec<TaskView>,
    /// Where the next page begins; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `handoff/redrive/{me}`: queue a dead task again, or the dead tasks of a type; each ends with
/// another final result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redrive {
    /// This one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The dead tasks of this type, oldest first.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub task_type: Option<TaskType>,
    /// With `type`: how many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// With `type`: from the answer to the command before, to go on behind what that one looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// What a redrive by type came to, in the reply's `data`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redriven {
    /// Tasks that were queued again.
    pub redriven: u32,
    /// Dead tasks that were looked at and had to stay.
    pub skipped: u32,
    /// Why they had to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_because: Vec<Skipped>,
    /// Dead tasks of the type that were not looked at; without skipped ones.
    pub remaining: u64,
    /// Where the next command is to go on; absent when all were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Why a redrive by type left dead tasks where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// As if that one task had been redriven: 408 out of time, 409 what it is tied to, 429 no room
    /// for it or for its result.
    pub code: Code,
    /// How many.
    pub count: u32,
    /// In words, of the first of them.
    pub reason: String,
}

/// How an attempt came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AttemptOutcome {
    /// The worker was done.
    Succeeded,
    /// The worker said that it failed.
    Failed,
    /// The worker gave it back.
    Released,
    /// The worker was silent for a whole lease, or gone.
    Lost,
    /// The task's deadline came.
    Expired,
    /// The task was cancelled.
    Cancelled,
}

/// One attempt at a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    /// Its number, the fencing token.
    pub attempt: u32,
    /// Who had it.
    pub worker: Agent,
    /// When it was assigned, Unix milliseconds.
    pub assigned_at: Millis,
    /// When it ended, Unix milliseconds; absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Millis>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AttemptOutcome>,
    /// What went wrong, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A task as `handoff/get` and `handoff/list` show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// The task.
    pub task: TaskId,
    /// What kind of task.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// Where it stands.
    pub state: TaskState,
    /// Who dispatched it.
    pub dispatcher: Agent,
    /// Who has it, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Agent>,
    /// The attempt that it is at; 0 before the first.
    pub attempt: u32,
    /// Attempts before it is dead.
    pub max_attempts: u32,
    /// What it needs, all of it.
    pub capabilities: Vec<Capability>,
    /// Of which it needs one besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<Capability>,
    /// Which goes first.
    pub priority: Priority,
    /// When it was dispatched, Unix milliseconds.
    pub created_at: Millis,
    /// When it last changed, Unix milliseconds.
    pub updated_at: Millis,
    /// When it may be handed out at the earliest, Unix milliseconds; for one that waits for its
    /// delay or backoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Millis>,
    /// The approval that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// What it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// What of that it still waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<TaskId>,
    /// The task that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// The group that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When it expires, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Millis>,
    /// The size of its assignment as a packet: what `maxBytes` of a worker is held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u32>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// Its final result, as its worker gave it. Only in the answer to `handoff/get`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub result: Option<Json>,
    /// It had a result, for which there is no room any more, or none in this answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub result_omitted: bool,
    /// As dispatched; where it was asked for, as long as the task may be handed out.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub payload: Option<Json>,
    /// What its worker said last of how far it is. Only in the answer to `handoff/get`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_progress: Option<Json>,
    /// What its worker waits to be answered. Only in the answer to `handoff/get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asking: Option<Box<OpenQuestion>>,
    /// What came of the questions before. Only in the answer to `handoff/get`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<GivenAnswer>,
    /// Its attempts, oldest first; only the latest where there were many. Only in the answer to
    /// `handoff/get`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<AttemptView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_state_is_told_all_of_them() {
        let one = serde_json::from_str::<TaskState>(r#""nope""#).unwrap_err();
        let told = serde_json::from_str::<States>(r#""nope""#).unwrap_err();
        let (one, told) = (one.to_string(), told.to_string());
        let names: Vec<&str> = one.split('`').skip(3).step_by(2).collect();
        assert!(names.len() > 7, "{one}");
        assert!(names.iter().all(|name| told.contains(name)), "{told}");
    }
}

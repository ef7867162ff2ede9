//! Groups of tasks: the one result that gathers them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ResultStatus, TaskError};
use crate::wire::Millis;
use crate::wire::json::{Json, present};
use crate::wire::name::{Agent, TaskId, TaskType};

/// Tells a group's result from a task's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GroupStatus {
    /// It is a group's.
    Group,
}

/// `handoff/result/{dispatcher}`: all results of a group, when the last of its tasks has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupResult {
    /// The group's name.
    pub group: String,
    /// `group`.
    pub status: GroupStatus,
    /// Always: a group has one result.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Whether all its tasks were dispatched; if not, no further one came for too long.
    pub complete: bool,
    /// How many tasks it was to have.
    pub size: u32,
    /// How each ended, in the order in which they were dispatched.
    pub tasks: Vec<GroupEntry>,
    /// When this result came about, Unix milliseconds.
    pub at: Millis,
    /// In place of a message of so many bytes, which is more than its reader takes: something has
    /// been left out, or cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large: Option<usize>,
}

/// How a task of a group ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupEntry {
    /// The task.
    pub task: TaskId,
    /// What kind of task.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// How it ended.
    pub status: ResultStatus,
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
    /// Its result or error had no room here; the task's own result has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub omitted: bool,
    /// How many attempts there were.
    pub attempts: u32,
    /// Who had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Agent>,
}

//! How a task ends, as it is shown and as its result says it.

use serde::{Deserialize, Serialize};

use crate::wire::handoff::{ResultStatus, TaskState};

/// How a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) enum TaskEnding {
    Succeeded,
    Dead,
    Expired,
    Cancelled,
}

impl TaskEnding {
    pub(in crate::engine) fn state(self) -> TaskState {
        match self {
            TaskEnding::Succeeded => TaskState::Succeeded,
            TaskEnding::Dead => TaskState::Dead,
            TaskEnding::Expired => TaskState::Expired,
            TaskEnding::Cancelled => TaskState::Cancelled,
        }
    }

    pub(in crate::engine) fn result(self) -> ResultStatus {
        match self {
            TaskEnding::Succeeded => ResultStatus::Succeeded,
            TaskEnding::Dead => ResultStatus::Dead,
            TaskEnding::Expired => ResultStatus::Expired,
            TaskEnding::Cancelled => ResultStatus::Cancelled,
        }
    }
}

//! Replies to commands, and the codes in them: HTTP's numbers, which people know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blackboard::{Entry, LockState, Written};
use super::json::Json;
use super::name::{ApprovalId, CallId, CommandId, TaskId};

/// A refusal's or an acceptance's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "u16", try_from = "u16")]
#[schemars(with = "u16")]
pub enum Code {
    /// 200: done.
    Done,
    /// 202: taken; the outcome comes later.
    Taken,
    /// 400: the topic or payload could not be understood.
    Malformed,
    /// 403: not this client's to do.
    Forbidden,
    /// 404: no such task, key, approval.
    NotFound,
    /// 408: it expired.
    Expired,
    /// 409: another version, attempt or state than the command names.
    Conflict,
    /// 413: larger than a limit allows.
    TooLarge,
    /// 422: well-formed, but a value is not allowed there.
    Invalid,
    /// 429: a limit on how many is reached.
    TooMany,
    /// 503: nobody can do it now.
    Unavailable,
}

impl From<Code> for u16 {
    fn from(code: Code) -> u16 {
        match code {
            Code::Done => 200,
            Code::Taken => 202,
            Code::Malformed => 400,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::Expired => 408,
            Code::Conflict => 409,
            Code::TooLarge => 413,
            Code::Invalid => 422,
            Code::TooMany => 429,
            Code::Unavailable => 503,
        }
    }
}

impl TryFrom<u16> for Code {
    type Error = String;
    fn try_from(number: u16) -> Result<Code, String> {
        Ok(match number {
            200 => Code::Done,
            202 => Code::Taken,
            400 => Code::Malformed,
            403 => Code::Forbidden,
            404 => Code::NotFound,
            408 => Code::Expired,
            409 => Code::Conflict,
            413 => Code::TooLarge,
            422 => Code::Invalid,
            429 => Code::TooMany,
            503 => Code::Unavailable,
            _ => return Err(format!("no such reply code: {number}")),
        })
    }
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{} {reason}", u16::from(*code))]
pub struct Rejection {
    /// The number.
    pub code: Code,
    /// What was expected, what came, and where.
    pub reason: String,
    /// The field, where one is to blame.
    pub path: Option<String>,
    /// The entry as it stands, with a blackboard conflict; boxed, because refusals travel in
    /// results.
    pub current: Option<Box<Entry>>,
    /// The lock as it stands, where one is in the way.
    pub lock: Option<Box<LockState>>,
    /// Whether whoever is refused waits for as much as it may, and will be refused until it has
    /// read some of it. Not told.
    pub of_own_backlog: bool,
}

impl Rejection {
    /// A refusal in words.
    pub fn new(code: Code, reason: impl Into<String>) -> Rejection {
        Rejection {
            code,
            reason: reason.into(),
            path: None,
            current: None,
            lock: None,
            of_own_backlog: false,
        }
    }

    /// The same without what stands in the way.
    pub fn in_words(&self) -> Rejection {
        Rejection {
            code: self.code,
            reason: self.reason.clone(),
            path: self.path.clone(),
            current: None,
            lock: None,
            of_own_backlog: self.of_own_backlog,
        }
    }

    /// The same, where whoever is refused has itself to thank.
    pub fn of_own_backlog(self) -> Rejection {
        Rejection {
            of_own_backlog: true,
            ..self
        }
    }

    /// The same, with the field that is to blame.
    pub fn at(mut self, path: impl Into<String>) -> Rejection {
        self.path = Some(path.into());
        self
    }

    /// The same, with the entry as it stands.
    pub fn with_current(mut self, current: Option<Entry>) -> Rejection {
        self.current = current.map(Box::new);
        self
    }

    /// The same, with the lock as it stands.
    pub fn with_lock(mut self, lock: Option<LockState>) -> Rejection {
        self.lock = lock.map(Box::new);
        self
    }
}

/// Whether a command was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReplyStatus {
    /// It has its effect, durably.
    Accepted,
    /// It has none.
    Rejected,
}

/// What the gateway answers on `reply/{me}`.
///
/// An accepted command is answered if it carried an `id` or a `correlationId`, a rejected one
/// always.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The command, by its topic: `handoff/dispatch`.
    pub command: String,
    /// Echoed from the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The command's own id, echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Accepted or rejected.
    pub status: ReplyStatus,
    /// HTTP's number for it.
    pub code: Code,
    /// In words, with every rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The field that is to blame, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The task concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The approval concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// The tool call concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The version that a blackboard write made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The room's revision after a blackboard write, or of a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What a transaction made of each key that it wrote, in the order of its operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Written>,
    /// The entry as it stands, with a 409 of the blackboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Entry>,
    /// The lock that is held now, or that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockState>,
    /// What a query found.
    #[serde(
        default,
        deserialize_with = "super::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub data: Option<Json>,
    /// In place of a message of so many bytes, which is more than its reader takes: something has
    /// been left out, or cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_large: Option<usize>,
}

/// `data` of the reply that stands for refusals which had to give way, because their reader had
/// `mailbox.max_replies` to read already. Its `command` is `reply`, its `code` that of the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DroppedRefusals {
    /// How many.
    pub dropped: u64,
    /// The first one's `id`, or its `correlationId` where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_id: Option<String>,
    /// The last one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_id: Option<String>,
}

impl Reply {
    /// An acceptance without further fields.
    pub fn accepted(command: &str, code: Code) -> Reply {
        Reply {
            command: command.to_owned(),
            correlation_id: None,
            id: None,
            status: ReplyStatus::Accepted,
            code,
            reason: None,
            path: None,
            task: None,
            approval: None,
            call: None,
            version: None,
            revision: None,
            versions: Vec::new(),
            current: None,
            lock: None,
            data: None,
            too_large: None,
        }
    }

    /// A refusal.
    pub fn rejected(command: &str, rejection: Rejection) -> Reply {
        Reply {
            status: ReplyStatus::Rejected,
            reason: Some(rejection.reason),
            path: rejection.path,
            current: rejection.current.map(|entry| *entry),
            lock: rejection.lock.map(|lock| *lock),
            ..Reply::accepted(command, rejection.code)
        }
    }
}

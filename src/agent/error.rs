//! What can go wrong, as a caller sees it: the gateway's refusals by their code, how work ended,
//! and what happens on this side of the wire.

use std::time::Duration;

use crate::wire::blackboard::{Entry, LockState};
use crate::wire::handoff::TaskResult;
use crate::wire::name::NameError;
use crate::wire::reply::{Code, Reply};
use crate::wire::tools::ToolResult;

/// Why a call came to nothing.
///
/// [`Error::is_retryable`] says whether the same call may succeed later. Ids are sent with every
/// command, so to repeat one that may have arrived does nothing twice, as long as the id is the
/// same.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// 400: the gateway could not understand it.
    #[error("{0}")]
    Malformed(Box<Refusal>),
    /// 403: not this agent's to do.
    #[error("{0}")]
    Forbidden(Box<Refusal>),
    /// 404: no such task, key, approval, call.
    #[error("{0}")]
    NotFound(Box<Refusal>),
    /// 408: its time was over already.
    #[error("{0}")]
    Expired(Box<Refusal>),
    /// 409: another version, attempt or state; [`Refusal::current`] and [`Refusal::lock`] show it.
    #[error("{0}")]
    Conflict(Box<Refusal>),
    /// 413: larger than a limit.
    #[error("{0}")]
    TooLarge(Box<Refusal>),
    /// 422: a value that is not allowed there.
    #[error("{0}")]
    Invalid(Box<Refusal>),
    /// 429, still at the deadline: a limit on how many is reached.
    #[error("{0}")]
    TooMany(Box<Refusal>),
    /// 503, still at the deadline: nobody can do it now.
    #[error("{0}")]
    Unavailable(Box<Refusal>),

    /// The task's attempts are used up, or no other one would help.
    #[error("task {} is dead after {} attempts: {}", .0.task, .0.attempts, words(.0))]
    TaskFailed(Box<TaskResult>),
    /// The task's time to live was over first.
    #[error("task {} has expired", .0.task)]
    TaskExpired(Box<TaskResult>),
    /// Somebody cancelled the task.
    #[error("task {} was cancelled: {}", .0.task, words(.0))]
    TaskCancelled(Box<TaskResult>),
    /// The tool said `error`, or the gateway for it.
    #[error("{} of {}: {}", .0.call, .0.tool, tool_words(.0))]
    ToolFailed(Box<ToolResult>),

    /// The call's own deadline.
    #[error("{what}: no answer in {after:?}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// Whether the gateway may have got it; if not, it never will.
        sent: bool,
    },
    /// The agent was closed.
    #[error("the agent is closed")]
    Disconnected,
    /// Somebody else connected under this agent's name. It stays so: two who fight for a name get
    /// nothing done.
    #[error("another connection has taken this agent's name")]
    SessionTaken,
    /// The gateway cannot be reached, or will not have this agent.
    #[error("cannot connect: {0}")]
    Unconnected(String),
    /// A bounded queue is full; which one.
    #[error("{0}")]
    Overflow(&'static str),
    /// What was to be sent cannot be written as JSON, or what came cannot be read as asked for.
    #[error("{0}")]
    Payload(String),
    /// A room, an agent, a key … that is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// What the gateway says when it refuses a command.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{command} refused: {} {reason}{}", u16::from(*code), at(path.as_deref()))]
pub struct Refusal {
    /// Which command, by its topic: `handoff/dispatch`.
    pub command: String,
    /// The number.
    pub code: Code,
    /// In words.
    pub reason: String,
    /// The field that is to blame, where one is.
    pub path: Option<String>,
    /// The entry as it stands, with a conflict on the blackboard.
    pub current: Option<Box<Entry>>,
    /// The lock that is in the way.
    pub lock: Option<Box<LockState>>,
}

fn at(path: Option<&str>) -> String {
    path.map_or_else(String::new, |path| format!(" (at {path})"))
}

fn words(result: &TaskResult) -> &str {
    let error = result.error.as_ref();
    error.map_or("no reason was given", |error| error.message.as_str())
}

fn tool_words(result: &ToolResult) -> &str {
    let error = result.error.as_ref();
    error.map_or("no reason was given", |error| error.message.as_str())
}

impl Refusal {
    /// When a rate is the reason: how long to wait, as the gateway says it.
    pub fn retry_after(&self) -> Option<Duration> {
        let (_, rest) = self.reason.split_once("in ")?;
        let (number, _) = rest.split_once(" ms")?;
        number.parse().ok().map(Duration::from_millis)
    }
}

impl Error {
    /// The refusal, if the gateway refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Error::Malformed(refusal)
            | Error::Forbidden(refusal)
            | Error::NotFound(refusal)
            | Error::Expired(refusal)
            | Error::Conflict(refusal)
            | Error::TooLarge(refusal)
            | Error::Invalid(refusal)
            | Error::TooMany(refusal)
            | Error::Unavailable(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The reply's code, if the gateway refused.
    pub fn code(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.code.into())
    }

    /// Whether the same call may succeed later, with the same id.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Error::TooMany(_) | Error::Unavailable(_) | Error::Timeout { .. } | Error::Overflow(_)
        )
    }

    /// Whether nothing more will come of this agent.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Error::Disconnected | Error::SessionTaken | Error::Unconnected(_)
        )
    }

    pub(super) fn refused(refusal: Refusal) -> Error {
        let boxed = Box::new(refusal);
        match boxed.code {
            Code::Forbidden => Error::Forbidden(boxed),
            Code::NotFound => Error::NotFound(boxed),
            Code::Expired => Error::Expired(boxed),
            Code::Conflict => Error::Conflict(boxed),
            Code::TooLarge => Error::TooLarge(boxed),
            Code::Invalid => Error::Invalid(boxed),
            Code::TooMany => Error::TooMany(boxed),
            Code::Unavailable => Error::Unavailable(boxed),
            Code::Malformed | Code::Done | Code::Taken => Error::Malformed(boxed),
        }
    }

    pub(super) fn of_reply(reply: Reply) -> Error {
        Error::refused(Refusal {
            command: reply.command,
            code: reply.code,
            reason: reply.reason.unwrap_or_default(),
            path: reply.path,
            current: reply.current.map(Box::new),
            lock: reply.lock.map(Box::new),
        })
    }

    pub(super) fn unreadable(what: &str, error: impl std::fmt::Display) -> Error {
        Error::Payload(format!("{what}: {error}"))
    }
}

//! Commands: how each is told from all others, and how hard it is tried.

use std::time::Duration;

use serde::Serialize;
use ulid::Ulid;

use super::error::Error;
use crate::wire::approve::{ApprovalRequest, AuditQuery, CancelApproval, Decide};
use crate::wire::blackboard::{Delete, Get, GetHistory, ListKeys, Lock, Set, Txn, Unlock};
use crate::wire::handoff::{Cancel, GetTask, ListTasks, Redrive, Task, Update};
use crate::wire::json::Json;
use crate::wire::mailbox::{MailboxList, MailboxPurge};
use crate::wire::name::{ApprovalId, CommandId, TaskId};
use crate::wire::observe::Replay;
use crate::wire::presence::{Announcement, PresenceList};
use crate::wire::question::{AnswerCall, AnswerTask};
use crate::wire::room::CloseRoom;
use crate::wire::tools::{CancelCall, GetCall, Registration, ToolCall, ToolReturn};

/// A random id, in no need of a registry: a ULID.
pub(super) fn fresh_id() -> String {
    Ulid::generate().to_string()
}

/// A message that the gateway answers.
pub(super) trait CommandBody: Serialize {
    /// Fills in what tells it from all others, where nobody has: an id, so that it may be sent
    /// again, and a correlation id, so that it is answered. Returns the one by which its reply is
    /// known.
    fn identify(&mut self) -> String;
}

macro_rules! commands {
    ($($body:ty $(= $id:ty)?;)*) => {$(
        impl CommandBody for $body {
            fn identify(&mut self) -> String {
                let correlation = self.correlation_id.get_or_insert_with(fresh_id).clone();
                commands!(@key self correlation $($id)?)
            }
        }
    )*};
    (@key $self:ident $correlation:ident) => { $correlation };
    (@key $self:ident $correlation:ident $id:ty) => {{
        let fresh = || <$id>::new(&fresh_id()).expect("a ULID is a name");
        let _ = $correlation;
        $self.id.get_or_insert_with(fresh).to_string()
    }};
}

commands! {
    Task = TaskId;
    Update = CommandId;
    Cancel = CommandId;
    GetTask;
    ListTasks;
    Redrive = CommandId;
    AnswerTask = CommandId;
    AnswerCall = CommandId;
    Set = CommandId;
    Delete = CommandId;
    Txn = CommandId;
    Get;
    ListKeys;
    GetHistory;
    Lock = CommandId;
    Unlock = CommandId;
    ApprovalRequest = ApprovalId;
    CancelApproval = CommandId;
    Decide = CommandId;
    AuditQuery;
    Replay;
    Announcement;
    PresenceList;
    Registration = CommandId;
    ToolCall = CommandId;
    ToolReturn = CommandId;
    CancelCall = CommandId;
    GetCall;
    MailboxList;
    MailboxPurge = CommandId;
    CloseRoom = CommandId;
}

/// Which refusals are worth another try within the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    /// 429 and 503.
    Busy,
    /// 429 alone: that nobody is there now is an answer.
    Full,
}

/// How long a command is tried, and after what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    pub(super) deadline: Duration,
    pub(super) persistence: Persistence,
}

/// Any value as JSON.
pub(super) fn json_of<T: Serialize + ?Sized>(value: &T) -> Result<Json, Error> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::unreadable("it cannot be written as JSON", error))?;
    Json::parse(&text).map_err(|error| Error::unreadable("it cannot be written as JSON", error))
}

/// A duration on the wire.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

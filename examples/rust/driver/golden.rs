//! The examples of the schemas, through the wire's types and back.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hallward::wire::{
    approve, blackboard, cbor, handoff, mailbox, observe, presence, question, reply, room, tools,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Trouble;
use super::requests::text;

fn through<T: Serialize + DeserializeOwned>(text: &[u8]) -> Result<Value, Trouble> {
    let message: T = serde_json::from_slice(text)?;
    Ok(serde_json::to_value(message)?)
}

macro_rules! types {
    ($name:expr, $text:expr; $($schema:literal => $type:ty,)*) => {
        match $name {
            $($schema => through::<$type>($text),)*
            other => Err(Trouble::Unsupported(format!("golden of {other}"))),
        }
    };
}

pub(super) fn golden(request: &Value) -> Result<Value, Trouble> {
    let fault = |words: String| Trouble::Request(words);
    let bytes = BASE64_STANDARD
        .decode(text(request, "base64")?)
        .map_err(|error| fault(error.to_string()))?;
    let json = match cbor::begins(&bytes) {
        true => cbor::to_json(&bytes).map_err(|error| fault(error.to_string()))?,
        false => bytes,
    };
    let value = types! { text(request, "type")?, &json;
        "announcement" => presence::Announcement,
        "answer-call" => question::AnswerCall,
        "answer-task" => question::AnswerTask,
        "approval-request" => approve::ApprovalRequest,
        "assignment" => handoff::Assignment,
        "audit-page" => approve::AuditPage,
        "audit-query" => approve::AuditQuery,
        "call-over" => tools::CallOver,
        "call-view" => tools::CallView,
        "cancel" => handoff::Cancel,
        "cancel-approval" => approve::CancelApproval,
        "cancel-call" => tools::CancelCall,
        "close-room" => room::CloseRoom,
        "decide" => approve::Decide,
        "decision" => approve::Decision,
        "delete" => blackboard::Delete,
        "dropped-refusals" => reply::DroppedRefusals,
        "entry" => blackboard::Entry,
        "event" => observe::Event,
        "get" => blackboard::Get,
        "get-call" => tools::GetCall,
        "get-history" => blackboard::GetHistory,
        "get-task" => handoff::GetTask,
        "group-result" => handoff::GroupResult,
        "history" => blackboard::History,
        "key-page" => blackboard::KeyPage,
        "list-keys" => blackboard::ListKeys,
        "list-tasks" => handoff::ListTasks,
        "lock" => blackboard::Lock,
        "mailbox-list" => mailbox::MailboxList,
        "mailbox-page" => mailbox::MailboxPage,
        "mailbox-purge" => mailbox::MailboxPurge,
        "open-question" => question::OpenQuestion,
        "pending-approval" => approve::PendingApproval,
        "presence" => presence::Presence,
        "presence-list" => presence::PresenceList,
        "purged" => mailbox::Purged,
        "redrive" => handoff::Redrive,
        "redriven" => handoff::Redriven,
        "registration" => tools::Registration,
        "replay" => observe::Replay,
        "replay-page" => observe::ReplayPage,
        "reply" => reply::Reply,
        "roll" => presence::Roll,
        "set" => blackboard::Set,
        "snapshot" => blackboard::Snapshot,
        "task" => handoff::Task,
        "task-page" => handoff::TaskPage,
        "task-result" => handoff::TaskResult,
        "task-view" => handoff::TaskView,
        "tool-call" => tools::ToolCall,
        "tool-card" => tools::ToolCard,
        "tool-result" => tools::ToolResult,
        "tool-return" => tools::ToolReturn,
        "tool-run" => tools::ToolRun,
        "txn" => blackboard::Txn,
        "unlock" => blackboard::Unlock,
        "update" => handoff::Update,
    }?;
    Ok(json!({"json": value}))
}

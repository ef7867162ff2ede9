//! Mailbox messages: what waits for an agent, and taking some of it out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;
use super::name::{Agent, CommandId};

/// What kind of directed message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MailKind {
    /// Another agent's message.
    Inbox,
    /// Work, or a tool's call.
    Assignment,
    /// How a task or a call ended.
    Result,
    /// How an approval ended.
    Decision,
    /// The answer to a command.
    Reply,
}

/// `mailbox/list/{me}`, or `mailbox/list/{me}/{agent}` for another's: asks what waits from this
/// room, a page at a time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailboxList {
    /// Only this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MailKind>,
    /// The page behind the message of this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Messages in one answer at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `data` of the reply to a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailboxPage {
    /// Whose mailbox.
    pub agent: Agent,
    /// What waits from this room, oldest first.
    pub mail: Vec<Mail>,
    /// `after` of the next page, where there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One message that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// Its number in the mailbox.
    pub seq: u64,
    /// What it is.
    pub kind: MailKind,
    /// Where it will arrive.
    pub topic: String,
    /// Its payload's bytes.
    pub bytes: usize,
    /// When it is dropped undelivered, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// Whether it has been sent on the present connection and waits for its acknowledgement.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sent: bool,
}

/// `mailbox/purge/{me}`, or `mailbox/purge/{me}/{agent}` for another's: takes out what waits from
/// this room. One of `seqs`, `kind` and `all` says what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailboxPurge {
    /// These messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seqs: Vec<u64>,
    /// All of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MailKind>,
    /// Everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// A repeat takes out nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `data` of the reply to a purge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// How many messages were taken out.
    pub purged: usize,
    /// Whether there may be more: say it again.
    pub more: bool,
}

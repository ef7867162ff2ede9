//! Answers: reading a command's envelope, writing replies.
//!
//! It makes an answer complete; what a command does is none of its business. That a repeat is
//! harmless is the business of `outcomes`.

use std::num::NonZeroU64;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::wire::blackboard::{LockState, Written};
use crate::wire::cbor;
use crate::wire::json::{self, Json};
use crate::wire::mailbox::{MailboxList, MailboxPurge};
use crate::wire::mirror::MessageMirrors;
use crate::wire::name::{Agent, ApprovalId, CallId, CommandId, Key, Room, TaskId};
use crate::wire::observe::Replay;
use crate::wire::presence::{Announcement, PresenceList};
use crate::wire::reply::{Code, Rejection, Reply, ReplyStatus};
use crate::wire::room::CloseRoom;
use crate::wire::topic::{RoomTopic, Topic};

use super::actor::Actor;
use super::context::Context;
use super::digest::fingerprint;
use super::effect::{Directed, DirectedKind, Effect};
use super::input::Command;
use super::mailboxes::Mailboxes;
use super::settings::Settings;
use super::shown::Dated;

/// What an accepted command comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Accepted {
    pub(super) code: Code,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) task: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) approval: Option<ApprovalId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) call: Option<CallId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) revision: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) versions: Vec<Written>,
    /// The lock that it got; always told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) lock: Option<Box<LockState>>,
    /// The outcome comes later, and the answer with it.
    #[serde(skip)]
    pub(super) is_later: bool,
    /// What a query found; a query is always answered, and never remembered.
    #[serde(skip)]
    pub(super) data: Option<Json>,
    /// What a command tells of what it did, each time that it is repeated; it is always answered,
    /// too.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) told: Option<Json>,
}

pub(super) type Outcome = Result<Accepted, Rejection>;

impl Accepted {
    pub(super) fn new(code: Code) -> Accepted {
        Accepted {
            code,
            task: None,
            approval: None,
            call: None,
            version: None,
            revision: None,
            versions: Vec::new(),
            lock: None,
            is_later: false,
            data: None,
            told: None,
        }
    }

    pub(super) fn task(code: Code, task: &TaskId) -> Accepted {
        Accepted {
            task: Some(task.clone()),
            ..Accepted::new(code)
        }
    }

    pub(super) fn locked(state: Option<LockState>) -> Accepted {
        Accepted {
            lock: state.map(Box::new),
            ..Accepted::new(Code::Done)
        }
    }

    /// What will be answered when there is an outcome.
    pub(super) fn later() -> Accepted {
        Accepted {
            is_later: true,
            ..Accepted::new(Code::Taken)
        }
    }

    pub(super) fn call(code: Code, call: &CallId) -> Accepted {
        Accepted {
            call: Some(call.clone()),
            ..Accepted::new(code)
        }
    }

    /// What is answered.
    pub(super) fn reply(self, command: &str) -> Reply {
        Reply {
            task: self.task,
            approval: self.approval,
            call: self.call,
            version: self.version,
            revision: self.revision,
            versions: self.versions,
            lock: self.lock.map(|lock| *lock),
            data: self.data.or(self.told),
            ..Reply::accepted(command, self.code)
        }
    }

    pub(super) fn found<T: Dated + Serialize>(cx: &Context, view: T) -> Accepted {
        Accepted {
            data: Some(Json::of(&cx.wall.show(view))),
            ..Accepted::new(Code::Done)
        }
    }
}

/// The fields that commands have in common.
pub(super) trait Envelope {
    /// The client-minted id, where there is one.
    fn id(&self) -> Option<&str>;
    /// Takes the correlation id out.
    fn take_correlation_id(&mut self) -> Option<String>;
}

macro_rules! envelope {
    ($type:ty, id) => {
        impl $crate::engine::replies::Envelope for $type {
            fn id(&self) -> Option<&str> {
                self.id.as_ref().map(|id| id.as_str())
            }
            fn take_correlation_id(&mut self) -> Option<String> {
                self.correlation_id.take()
            }
        }
    };
    ($type:ty) => {
        impl $crate::engine::replies::Envelope for $type {
            fn id(&self) -> Option<&str> {
                None
            }
            fn take_correlation_id(&mut self) -> Option<String> {
                self.correlation_id.take()
            }
        }
    };
}

pub(super) use envelope;

envelope!(Announcement);
envelope!(Replay);
envelope!(CloseRoom, id);
envelope!(MailboxList);
envelope!(MailboxPurge, id);
envelope!(PresenceList);

/// As much of any command as an answer to a malformed one needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remains {
    #[serde(default)]
    id: Option<CommandId>,
    #[serde(default)]
    correlation_id: Option<String>,
}

/// A command while it is handled: what came, and what its answer will carry.
pub(super) struct Call<'a> {
    pub(super) command: &'a Command,
    pub(super) mailboxes: &'a dyn Mailboxes,
    pub(super) correlation_id: Option<String>,
    pub(super) id: Option<CommandId>,
    /// Of what it says, where it has an id.
    pub(super) fingerprint: Option<NonZeroU64>,
    /// By a caller within the process, who gets the answer itself: no mailbox and no reader's limit
    /// has a say in it.
    pub(super) is_asked: bool,
    is_read: bool,
    /// Why its payload cannot be read at all.
    unread: Option<Rejection>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        command: &'a Command,
        mailboxes: &'a dyn Mailboxes,
        unread: Option<Rejection>,
        is_asked: bool,
    ) -> Call<'a> {
        Call {
            command,
            mailboxes,
            is_asked,
            correlation_id: command.mirrors.correlation_id.clone(),
            id: None,
            fingerprint: None,
            is_read: false,
            unread,
        }
    }

    pub(super) fn from(&self) -> &'a Agent {
        &self.command.from
    }

    /// Who acts, and as whose.
    pub(super) fn actor(&self) -> Actor<'a> {
        Actor {
            agent: &self.command.from,
            user: self.command.user.as_deref(),
        }
    }

    /// Reads the payload, and notes what the answer needs of it.
    pub(super) fn read<T: DeserializeOwned + Envelope>(
        &mut self,
        settings: &Settings,
    ) -> Result<T, Rejection> {
        if let Some(rejection) = &self.unread {
            return Err(rejection.clone());
        }
        let mut body: T = json::decode(&self.command.payload)?;
        self.is_read = true;
        self.id = body.id().and_then(|id| CommandId::new(id).ok());
        self.fingerprint = self.id.is_some().then(|| {
            let Command { topic, payload, .. } = self.command;
            fingerprint(&topic.format(""), payload)
        });
        self.correlate(body.take_correlation_id(), settings)?;
        Ok(body)
    }

    /// Notes what the answer to a command needs that was refused before its payload was read, or
    /// because it could not be.
    pub(super) fn read_remains(&mut self, settings: &Settings) {
        let is_message = matches!(self.command.topic.topic, Topic::Inbox { .. });
        if self.is_read || is_message {
            return;
        }
        let payload = &self.command.payload;
        let remains: Option<Remains> = match self.unread {
            None => json::decode(payload).ok(),
            // What has no JSON may be elsewhere in it.
            Some(_) => serde_cbor::from_slice(cbor::untagged(payload)).ok(),
        };
        if let Some(remains) = remains {
            self.id = remains.id;
            self.correlate(remains.correlation_id, settings).ok();
        }
    }

    /// The same, where an empty payload stands for a body without fields.
    pub(super) fn read_or_default<T: DeserializeOwned + Envelope + Default>(
        &mut self,
        settings: &Settings,
    ) -> Result<T, Rejection> {
        if self.command.payload.is_empty() {
            Ok(T::default())
        } else {
            self.read(settings)
        }
    }

    fn correlate(&mut self, id: Option<String>, settings: &Settings) -> Result<(), Rejection> {
        if let Some(id) = id {
            at_most(
                "correlationId",
                id.len(),
                settings.commands.max_correlation.0,
            )?;
            self.correlation_id = Some(id);
        }
        Ok(())
    }
}

/// The refusal of what came on a topic that carries no command.
pub(super) fn no_command() -> Rejection {
    Rejection::new(Code::Malformed, "this topic carries no command")
}

/// The refusal of what is larger than a limit.
pub(super) fn too_large(what: &str, found: usize, limit: usize) -> Rejection {
    let reason = format!("{what} may have at most {limit} bytes, but has {found}");
    Rejection::new(Code::TooLarge, reason)
}

/// Refuses with 413 a field that has too many bytes.
pub(super) fn at_most(path: &str, found: usize, limit: usize) -> Result<(), Rejection> {
    if found <= limit {
        return Ok(());
    }
    Err(too_large(path, found, limit).at(path))
}

/// The same for a text that may be absent.
pub(super) fn text_at_most(path: &str, text: Option<&str>, limit: usize) -> Result<(), Rejection> {
    at_most(path, text.map_or(0, str::len), limit)
}

/// The same for JSON that may be absent.
pub(super) fn json_at_most(path: &str, json: Option<&Json>, limit: usize) -> Result<(), Rejection> {
    at_most(path, json.map_or(0, |json| json.text().len()), limit)
}

/// Refuses with 413 a list that has too many entries.
pub(super) fn entries_at_most(path: &str, found: usize, limit: usize) -> Result<(), Rejection> {
    if found <= limit {
        return Ok(());
    }
    let reason = format!("{path} may have at most {limit} entries, but has {found}");
    Err(Rejection::new(Code::TooLarge, reason).at(path))
}

/// Refuses with 422 a number that lies outside its bounds.
pub(super) fn between(path: &str, found: u64, least: u64, most: u64) -> Result<(), Rejection> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let reason = format!("{path} must be {least} to {most}, but is {found}");
    Err(Rejection::new(Code::Invalid, reason).at(path))
}

/// How many entries a page is to have: what was asked for, or the usual number; 422 if that is not
/// 1 to `most`.
pub(super) fn page_limit(asked: Option<u32>, usual: u32, most: u32) -> Result<usize, Rejection> {
    let limit = asked.unwrap_or(usual.min(most));
    between("limit", limit.into(), 1, most.into())?;
    Ok(limit as usize)
}

/// The command's name, as replies and outcomes carry it.
pub(super) fn command_name(command: &Command) -> &'static str {
    command.topic.topic.command_name()
}

/// The answer to a command that wants one: with an id or a correlation id, a query, or a refused
/// one; or to any, if it is asked.
pub(super) fn answer(call: Call<'_>, outcome: Outcome) -> Option<Reply> {
    let wanted = call.is_asked || call.id.is_some() || call.correlation_id.is_some();
    let name = command_name(call.command);
    let tells = |accepted: &Accepted| {
        accepted.data.is_some() || accepted.told.is_some() || accepted.lock.is_some()
    };
    let reply = match outcome {
        Ok(accepted) if accepted.is_later && !call.is_asked => return None,
        Ok(accepted) if wanted || tells(&accepted) => accepted.reply(name),
        Ok(_) => return None,
        Err(rejection) => Reply::rejected(name, rejection),
    };
    Some(Reply {
        id: call.id,
        correlation_id: call.correlation_id,
        ..reply
    })
}

/// Puts a reply into its reader's mailbox.
pub(super) fn send(cx: &mut Context, to: Agent, room: Room, rest: Option<Key>, reply: Reply) {
    let me = to.clone();
    let class = match reply.status {
        ReplyStatus::Accepted => DirectedKind::Reply,
        ReplyStatus::Rejected => DirectedKind::Refusal,
    };
    cx.emit(Effect::Deliver(Directed {
        to,
        topic: RoomTopic::new(room, Topic::Reply { me, rest }),
        payload: cx.wall.encode(&reply),
        class,
        mirrors: MessageMirrors {
            correlation_id: reply.correlation_id,
            expires_at: Some(cx.after(cx.settings.mailbox.reply_ttl.ms())),
            ..MessageMirrors::default()
        },
    }));
}

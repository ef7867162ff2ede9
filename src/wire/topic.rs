//! The topic grammar of rooms: text ⇄ [`RoomTopic`], who may write which, and what becomes of a publish.

mod offer;

use std::fmt::Write as _;

use super::name::{
    Agent, ApprovalId, Capability, Category, GATEWAY, Key, LockName, NameError, Room, TaskType,
    Tool,
};
use super::reply::{Code, Rejection};

pub use offer::{Offer, is_own_mail};

/// A topic under the root: the room, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomTopic {
    /// The room.
    pub room: Room,
    /// What the rest of the topic says.
    pub topic: Topic,
}

/// Everything that can follow `rooms/{room}/`.
///
/// `me` is the writing client's own agent id; the other names are what the variant is about.
#[expect(
    missing_docs,
    reason = "the fields are the segments of the topic table in docs/protocol.md"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    PresenceAnnounce {
        me: Agent,
    },
    PresenceAgent {
        agent: Agent,
    },
    PresenceList {
        me: Agent,
    },
    HandoffDispatch {
        me: Agent,
    },
    HandoffWork {
        capability: Capability,
    },
    HandoffUpdate {
        me: Agent,
    },
    HandoffCancel {
        me: Agent,
    },
    HandoffGet {
        me: Agent,
    },
    HandoffList {
        me: Agent,
    },
    HandoffRedrive {
        me: Agent,
    },
    HandoffResult {
        dispatcher: Agent,
    },
    Inbox {
        to: Agent,
        me: Agent,
    },
    BlackboardSet {
        me: Agent,
        key: Key,
    },
    BlackboardDelete {
        me: Agent,
        key: Key,
    },
    BlackboardTxn {
        me: Agent,
    },
    BlackboardGet {
        me: Agent,
    },
    BlackboardList {
        me: Agent,
    },
    BlackboardHistory {
        me: Agent,
    },
    BlackboardLock {
        me: Agent,
        name: LockName,
    },
    BlackboardUnlock {
        me: Agent,
        name: LockName,
    },
    BlackboardState {
        key: Key,
    },
    ObserveEvents {
        source: Agent,
        category: Category,
    },
    ObserveReplay {
        me: Agent,
    },
    ApproveRequest {
        me: Agent,
    },
    ApprovePending {
        id: ApprovalId,
    },
    ApproveDecide {
        me: Agent,
        id: ApprovalId,
    },
    ApproveDecision {
        requester: Agent,
    },
    ApproveCancel {
        me: Agent,
    },
    ApproveAudit {
        me: Agent,
    },
    ToolsRegister {
        me: Agent,
        tool: Tool,
    },
    ToolsCard {
        tool: Tool,
    },
    ToolsCall {
        me: Agent,
        tool: Tool,
    },
    ToolsRun {
        tool: Tool,
    },
    ToolsReturn {
        me: Agent,
    },
    ToolsResult {
        caller: Agent,
    },
    ToolsCancel {
        me: Agent,
    },
    ToolsGet {
        me: Agent,
    },
    ToolsCancelled {
        provider: Agent,
    },
    /// `of`: whose mailbox, if it is not the writer's own.
    MailboxList {
        me: Agent,
        of: Option<Agent>,
    },
    MailboxPurge {
        me: Agent,
        of: Option<Agent>,
    },
    RoomClose {
        me: Agent,
    },
    RoomOpen {
        me: Agent,
    },
    /// `rest` is what a client appended below its own reply topic (MQTT 5 Response Topic).
    Reply {
        me: Agent,
        rest: Option<Key>,
    },
}

/// Who consumes what a topic carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A client writes, the gateway alone consumes.
    Command,
    /// A client writes, subscribers receive it as it is.
    Relayed,
    /// The gateway writes.
    Gateway,
}

/// What is to be done with a client's publish on a topic.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// Outside the root: ordinary MQTT.
    Ordinary,
    /// A command or an inbox message: the desk handles it, the ack waits for the disk.
    Desk(RoomTopic),
    /// An agent's own event: relayed as it is.
    Relayed(RoomTopic),
    /// Not allowed or not understood; `room` is where the `rejected` reply can go.
    Refused {
        /// The room of the topic, where it could be read.
        room: Option<Room>,
        /// Why.
        rejection: Rejection,
    },
}

/// Decides what becomes of a publish by client `client_id` on `topic`, where rooms live under `root`.
///
/// This is the grammar's own rule (every client-written topic names its writer), before any ACL.
pub fn admit(root: &str, client_id: &str, topic: &str) -> Admission {
    let Some(rest) = below_root(root, topic) else {
        return Admission::Ordinary;
    };
    let room = rest.split('/').next().and_then(|room| Room::new(room).ok());
    match parse_below_root(rest) {
        Err(error) => Admission::Refused {
            room,
            rejection: Rejection::new(Code::Malformed, error.to_string()),
        },
        Ok(parsed) => match parsed.topic.writer() {
            None => refused(room, format!("only the gateway writes to {topic}")),
            Some(me) if me.as_str() == GATEWAY => refused(
                room,
                format!("{GATEWAY:?} is reserved for the gateway itself"),
            ),
            Some(me) if me.as_str() != client_id => refused(
                room,
                format!(
                    "the topic names {:?} as its writer, but this session's client id is {client_id:?}",
                    me.as_str()
                ),
            ),
            Some(_) if parsed.topic.kind() == Kind::Relayed && !parsed.topic.is_inbox() => {
                Admission::Relayed(parsed)
            }
            Some(_) => Admission::Desk(parsed),
        },
    }
}

fn refused(room: Option<Room>, reason: String) -> Admission {
    Admission::Refused {
        room,
        rejection: Rejection::new(Code::Forbidden, reason),
    }
}

/// What follows the root and its slash, if the topic lies under it.
pub fn below_root<'a>(root: &str, topic: &'a str) -> Option<&'a str> {
    topic.strip_prefix(root)?.strip_prefix('/')
}

/// The room that a topic under the root is of, and what follows it: for a command, its name. Neither is looked at further.
pub fn below_room<'a>(root: &str, topic: &'a str) -> Option<(&'a str, &'a str)> {
    below_root(root, topic)?.split_once('/')
}

/// A topic under the root that the grammar does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// One of the segments is no name.
    #[error("{0}")]
    Name(#[from] NameError),
    /// The segments after the room match no row of the topic table.
    #[error(
        "no such topic in a room: {0:?} (expected one of presence, handoff, inbox, blackboard, observe, approve, tools, mailbox, room, reply with its parts)"
    )]
    Unknown(String),
}

/// Parses `{room}/…`, what stands below the root.
pub fn parse_below_root(rest: &str) -> Result<RoomTopic, TopicError> {
    let (room, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let room = Room::new(room)?;
    let mut parts = rest.splitn(4, '/');
    let part = |p: Option<&str>| p.unwrap_or("").to_owned();
    let (pattern, verb) = (part(parts.next()), part(parts.next()));
    let third = parts.next();
    let fourth = parts.next();
    let topic = parse_parts(&pattern, &verb, third, fourth)
        .transpose()?
        .ok_or_else(|| TopicError::Unknown(rest.chars().take(128).collect()))?;
    Ok(RoomTopic { room, topic })
}

fn parse_parts(
    pattern: &str,
    verb: &str,
    third: Option<&str>,
    fourth: Option<&str>,
) -> Option<Result<Topic, NameError>> {
    match pattern {
        "inbox" => {
            return two(
                Some(verb),
                third,
                fourth.is_none(),
                Agent::new,
                Agent::new,
                |to, me| Topic::Inbox { to, me },
            );
        }
        "reply" => return Some(parse_reply(verb, third, fourth)),
        _ => {}
    }
    let me = |f: fn(Agent) -> Topic| one(third, fourth, Agent::new, f);
    match (pattern, verb) {
        ("presence", "announce") => me(|me| Topic::PresenceAnnounce { me }),
        ("presence", "list") => me(|me| Topic::PresenceList { me }),
        ("presence", "agent") => me(|agent| Topic::PresenceAgent { agent }),
        ("handoff", "dispatch") => me(|me| Topic::HandoffDispatch { me }),
        ("handoff", "work") => one(third, fourth, Capability::new, |capability| {
            Topic::HandoffWork { capability }
        }),
        ("handoff", "update") => me(|me| Topic::HandoffUpdate { me }),
        ("handoff", "cancel") => me(|me| Topic::HandoffCancel { me }),
        ("handoff", "get") => me(|me| Topic::HandoffGet { me }),
        ("handoff", "list") => me(|me| Topic::HandoffList { me }),
        ("handoff", "redrive") => me(|me| Topic::HandoffRedrive { me }),
        ("handoff", "result") => me(|dispatcher| Topic::HandoffResult { dispatcher }),
        ("blackboard", "set") => two(third, fourth, true, Agent::new, Key::new, |me, key| {
            Topic::BlackboardSet { me, key }
        }),
        ("blackboard", "delete") => two(third, fourth, true, Agent::new, Key::new, |me, key| {
            Topic::BlackboardDelete { me, key }
        }),
        ("blackboard", "txn") => me(|me| Topic::BlackboardTxn { me }),
        ("blackboard", "get") => me(|me| Topic::BlackboardGet { me }),
        ("blackboard", "list") => me(|me| Topic::BlackboardList { me }),
        ("blackboard", "history") => me(|me| Topic::BlackboardHistory { me }),
        ("blackboard", "lock") => two(
            third,
            fourth,
            true,
            Agent::new,
            LockName::new,
            |me, name| Topic::BlackboardLock { me, name },
        ),
        ("blackboard", "unlock") => two(
            third,
            fourth,
            true,
            Agent::new,
            LockName::new,
            |me, name| Topic::BlackboardUnlock { me, name },
        ),
        ("blackboard", "state") => {
            Some(Key::new(&join(third?, fourth)).map(|key| Topic::BlackboardState { key }))
        }
        ("observe", "events") => two(
            third,
            fourth,
            true,
            Agent::new,
            Category::new,
            |source, category| Topic::ObserveEvents { source, category },
        ),
        ("mailbox", "list") => mailbox(third?, fourth, |me, of| Topic::MailboxList { me, of }),
        ("mailbox", "purge") => mailbox(third?, fourth, |me, of| Topic::MailboxPurge { me, of }),
        ("room", "close") => me(|me| Topic::RoomClose { me }),
        ("room", "open") => me(|me| Topic::RoomOpen { me }),
        ("observe", "replay") => me(|me| Topic::ObserveReplay { me }),
        ("approve", "request") => me(|me| Topic::ApproveRequest { me }),
        ("approve", "pending") => one(third, fourth, ApprovalId::new, |id| Topic::ApprovePending {
            id,
        }),
        ("approve", "decide") => two(
            third,
            fourth,
            true,
            Agent::new,
            ApprovalId::new,
            |me, id| Topic::ApproveDecide { me, id },
        ),
        ("approve", "decision") => me(|requester| Topic::ApproveDecision { requester }),
        ("approve", "cancel") => me(|me| Topic::ApproveCancel { me }),
        ("approve", "audit") => me(|me| Topic::ApproveAudit { me }),
        ("tools", "register") => two(third, fourth, true, Agent::new, Tool::new, |me, tool| {
            Topic::ToolsRegister { me, tool }
        }),
        ("tools", "card") => one(third, fourth, Tool::new, |tool| Topic::ToolsCard { tool }),
        ("tools", "call") => two(third, fourth, true, Agent::new, Tool::new, |me, tool| {
            Topic::ToolsCall { me, tool }
        }),
        ("tools", "run") => one(third, fourth, Tool::new, |tool| Topic::ToolsRun { tool }),
        ("tools", "return") => me(|me| Topic::ToolsReturn { me }),
        ("tools", "result") => me(|caller| Topic::ToolsResult { caller }),
        ("tools", "cancel") => me(|me| Topic::ToolsCancel { me }),
        ("tools", "get") => me(|me| Topic::ToolsGet { me }),
        ("tools", "cancelled") => me(|provider| Topic::ToolsCancelled { provider }),
        _ => None,
    }
}

fn one<T>(
    third: Option<&str>,
    fourth: Option<&str>,
    parse: fn(&str) -> Result<T, NameError>,
    make: fn(T) -> Topic,
) -> Option<Result<Topic, NameError>> {
    match (third, fourth) {
        (Some(text), None) => Some(parse(text).map(make)),
        _ => None,
    }
}

fn two<A, B>(
    first: Option<&str>,
    second: Option<&str>,
    ends: bool,
    parse_first: fn(&str) -> Result<A, NameError>,
    parse_second: fn(&str) -> Result<B, NameError>,
    make: fn(A, B) -> Topic,
) -> Option<Result<Topic, NameError>> {
    let (first, second) = (first?, second?);
    ends.then(|| Ok(make(parse_first(first)?, parse_second(second)?)))
}

fn mailbox(
    me: &str,
    of: Option<&str>,
    make: fn(Agent, Option<Agent>) -> Topic,
) -> Option<Result<Topic, NameError>> {
    let read = || Ok(make(Agent::new(me)?, of.map(Agent::new).transpose()?));
    Some(read())
}

fn parse_reply(me: &str, third: Option<&str>, fourth: Option<&str>) -> Result<Topic, NameError> {
    let rest = third
        .map(|third| Key::new(&join(third, fourth)))
        .transpose()?;
    Ok(Topic::Reply {
        me: Agent::new(me)?,
        rest,
    })
}

fn join(third: &str, fourth: Option<&str>) -> String {
    match fourth {
        Some(fourth) => format!("{third}/{fourth}"),
        None => third.to_owned(),
    }
}

impl RoomTopic {
    /// A topic of a room.
    pub fn new(room: Room, topic: Topic) -> RoomTopic {
        RoomTopic { room, topic }
    }

    /// Parses a whole topic; `None` if it does not lie under `root`.
    pub fn parse(root: &str, topic: &str) -> Option<Result<RoomTopic, TopicError>> {
        below_root(root, topic).map(parse_below_root)
    }

    /// The topic as MQTT text under `root`.
    pub fn format(&self, root: &str) -> String {
        let mut text = String::with_capacity(96);
        text.push_str(root);
        text.push('/');
        text.push_str(self.room.as_str());
        text.push('/');
        self.topic.write(&mut text);
        text
    }
}

impl Topic {
    fn write(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Topic::PresenceAnnounce { me } => write!(out, "presence/announce/{me}"),
            Topic::PresenceList { me } => write!(out, "presence/list/{me}"),
            Topic::PresenceAgent { agent } => write!(out, "presence/agent/{agent}"),
            Topic::HandoffDispatch { me } => write!(out, "handoff/dispatch/{me}"),
            Topic::HandoffWork { capability } => write!(out, "handoff/work/{capability}"),
            Topic::HandoffUpdate { me } => write!(out, "handoff/update/{me}"),
            Topic::HandoffCancel { me } => write!(out, "handoff/cancel/{me}"),
            Topic::HandoffGet { me } => write!(out, "handoff/get/{me}"),
            Topic::HandoffList { me } => write!(out, "handoff/list/{me}"),
            Topic::HandoffRedrive { me } => write!(out, "handoff/redrive/{me}"),
            Topic::HandoffResult { dispatcher } => write!(out, "handoff/result/{dispatcher}"),
            Topic::Inbox { to, me } => write!(out, "inbox/{to}/{me}"),
            Topic::BlackboardSet { me, key } => write!(out, "blackboard/set/{me}/{key}"),
            Topic::BlackboardDelete { me, key } => write!(out, "blackboard/delete/{me}/{key}"),
            Topic::BlackboardTxn { me } => write!(out, "blackboard/txn/{me}"),
            Topic::BlackboardGet { me } => write!(out, "blackboard/get/{me}"),
            Topic::BlackboardList { me } => write!(out, "blackboard/list/{me}"),
            Topic::BlackboardHistory { me } => write!(out, "blackboard/history/{me}"),
            Topic::BlackboardLock { me, name } => write!(out, "blackboard/lock/{me}/{name}"),
            Topic::BlackboardUnlock { me, name } => write!(out, "blackboard/unlock/{me}/{name}"),
            Topic::BlackboardState { key } => write!(out, "blackboard/state/{key}"),
            Topic::ObserveEvents { source, category } => {
                write!(out, "observe/events/{source}/{category}")
            }
            Topic::MailboxList { me, of } => write_mailbox(out, "list", me, of.as_ref()),
            Topic::MailboxPurge { me, of } => write_mailbox(out, "purge", me, of.as_ref()),
            Topic::RoomClose { me } => write!(out, "room/close/{me}"),
            Topic::RoomOpen { me } => write!(out, "room/open/{me}"),
            Topic::ObserveReplay { me } => write!(out, "observe/replay/{me}"),
            Topic::ApproveRequest { me } => write!(out, "approve/request/{me}"),
            Topic::ApprovePending { id } => write!(out, "approve/pending/{id}"),
            Topic::ApproveDecide { me, id } => write!(out, "approve/decide/{me}/{id}"),
            Topic::ApproveDecision { requester } => write!(out, "approve/decision/{requester}"),
            Topic::ApproveCancel { me } => write!(out, "approve/cancel/{me}"),
            Topic::ApproveAudit { me } => write!(out, "approve/audit/{me}"),
            Topic::ToolsRegister { me, tool } => write!(out, "tools/register/{me}/{tool}"),
            Topic::ToolsCard { tool } => write!(out, "tools/card/{tool}"),
            Topic::ToolsCall { me, tool } => write!(out, "tools/call/{me}/{tool}"),
            Topic::ToolsRun { tool } => write!(out, "tools/run/{tool}"),
            Topic::ToolsReturn { me } => write!(out, "tools/return/{me}"),
            Topic::ToolsResult { caller } => write!(out, "tools/result/{caller}"),
            Topic::ToolsCancel { me } => write!(out, "tools/cancel/{me}"),
            Topic::ToolsGet { me } => write!(out, "tools/get/{me}"),
            Topic::ToolsCancelled { provider } => write!(out, "tools/cancelled/{provider}"),
            Topic::Reply { me, rest: None } => write!(out, "reply/{me}"),
            Topic::Reply {
                me,
                rest: Some(rest),
            } => write!(out, "reply/{me}/{rest}"),
        };
    }

    /// The client that the topic names as its writer; `None` where the gateway writes.
    pub fn writer(&self) -> Option<&Agent> {
        match self {
            Topic::PresenceAnnounce { me }
            | Topic::PresenceList { me }
            | Topic::HandoffDispatch { me }
            | Topic::HandoffUpdate { me }
            | Topic::HandoffCancel { me }
            | Topic::HandoffGet { me }
            | Topic::HandoffList { me }
            | Topic::HandoffRedrive { me }
            | Topic::Inbox { me, .. }
            | Topic::BlackboardSet { me, .. }
            | Topic::BlackboardDelete { me, .. }
            | Topic::BlackboardTxn { me }
            | Topic::BlackboardGet { me }
            | Topic::BlackboardList { me }
            | Topic::BlackboardHistory { me }
            | Topic::BlackboardLock { me, .. }
            | Topic::BlackboardUnlock { me, .. }
            | Topic::ObserveReplay { me }
            | Topic::MailboxList { me, .. }
            | Topic::MailboxPurge { me, .. }
            | Topic::RoomClose { me }
            | Topic::RoomOpen { me }
            | Topic::ApproveRequest { me }
            | Topic::ApproveDecide { me, .. }
            | Topic::ApproveCancel { me }
            | Topic::ApproveAudit { me }
            | Topic::ToolsRegister { me, .. }
            | Topic::ToolsCall { me, .. }
            | Topic::ToolsReturn { me }
            | Topic::ToolsCancel { me }
            | Topic::ToolsGet { me } => Some(me),
            // `observe/events/gateway/…` fits the same shape; `admit` refuses that name to clients.
            Topic::ObserveEvents { source, .. } => Some(source),
            Topic::PresenceAgent { .. }
            | Topic::HandoffWork { .. }
            | Topic::HandoffResult { .. }
            | Topic::BlackboardState { .. }
            | Topic::ApprovePending { .. }
            | Topic::ApproveDecision { .. }
            | Topic::ToolsCard { .. }
            | Topic::ToolsRun { .. }
            | Topic::ToolsResult { .. }
            | Topic::ToolsCancelled { .. }
            | Topic::Reply { .. } => None,
        }
    }

    /// Who consumes the topic.
    pub fn kind(&self) -> Kind {
        match self {
            Topic::Inbox { .. } | Topic::ObserveEvents { .. } => Kind::Relayed,
            topic if topic.writer().is_some() => Kind::Command,
            _ => Kind::Gateway,
        }
    }

    fn is_inbox(&self) -> bool {
        matches!(self, Topic::Inbox { .. })
    }

    /// The agent that a directed topic (inbox, result, decision, tool result or cancellation, reply) is for. Assignments
    /// and tool runs are directed too, but their topic does not say to whom.
    pub fn addressee(&self) -> Option<&Agent> {
        match self {
            Topic::Inbox { to, .. } => Some(to),
            Topic::HandoffResult { dispatcher } => Some(dispatcher),
            Topic::ApproveDecision { requester } => Some(requester),
            Topic::ToolsResult { caller } => Some(caller),
            Topic::ToolsCancelled { provider } => Some(provider),
            Topic::Reply { me, .. } => Some(me),
            _ => None,
        }
    }

    /// Whether the topic carries directed messages: they wait in one agent's mailbox until its MQTT ack.
    pub fn is_directed(&self) -> bool {
        self.addressee().is_some()
            || matches!(self, Topic::HandoffWork { .. } | Topic::ToolsRun { .. })
    }
}

fn write_mailbox(out: &mut String, verb: &str, me: &Agent, of: Option<&Agent>) -> std::fmt::Result {
    write!(out, "mailbox/{verb}/{me}")?;
    of.map_or(Ok(()), |of| write!(out, "/{of}"))
}

/// The pattern that a command belongs to and its verb, as replies and events name it: `handoff/dispatch`.
pub fn command_name(topic: &Topic) -> &'static str {
    match topic {
        Topic::PresenceAnnounce { .. } => "presence/announce",
        Topic::PresenceList { .. } => "presence/list",
        Topic::HandoffDispatch { .. } => "handoff/dispatch",
        Topic::HandoffUpdate { .. } => "handoff/update",
        Topic::HandoffCancel { .. } => "handoff/cancel",
        Topic::HandoffGet { .. } => "handoff/get",
        Topic::HandoffList { .. } => "handoff/list",
        Topic::HandoffRedrive { .. } => "handoff/redrive",
        Topic::Inbox { .. } => "inbox",
        Topic::BlackboardSet { .. } => "blackboard/set",
        Topic::BlackboardDelete { .. } => "blackboard/delete",
        Topic::BlackboardTxn { .. } => "blackboard/txn",
        Topic::BlackboardGet { .. } => "blackboard/get",
        Topic::BlackboardList { .. } => "blackboard/list",
        Topic::BlackboardHistory { .. } => "blackboard/history",
        Topic::BlackboardLock { .. } => "blackboard/lock",
        Topic::BlackboardUnlock { .. } => "blackboard/unlock",
        Topic::ObserveEvents { .. } => "observe/events",
        Topic::ObserveReplay { .. } => "observe/replay",
        Topic::MailboxList { .. } => "mailbox/list",
        Topic::MailboxPurge { .. } => "mailbox/purge",
        Topic::RoomClose { .. } => "room/close",
        Topic::RoomOpen { .. } => "room/open",
        Topic::ApproveRequest { .. } => "approve/request",
        Topic::ApproveDecide { .. } => "approve/decide",
        Topic::ApproveCancel { .. } => "approve/cancel",
        Topic::ApproveAudit { .. } => "approve/audit",
        Topic::ToolsRegister { .. } => "tools/register",
        Topic::ToolsCall { .. } => "tools/call",
        Topic::ToolsReturn { .. } => "tools/return",
        Topic::ToolsCancel { .. } => "tools/cancel",
        Topic::ToolsGet { .. } => "tools/get",
        Topic::PresenceAgent { .. }
        | Topic::HandoffWork { .. }
        | Topic::HandoffResult { .. }
        | Topic::BlackboardState { .. }
        | Topic::ApprovePending { .. }
        | Topic::ApproveDecision { .. }
        | Topic::ToolsCard { .. }
        | Topic::ToolsRun { .. }
        | Topic::ToolsResult { .. }
        | Topic::ToolsCancelled { .. }
        | Topic::Reply { .. } => "gateway",
    }
}

impl Topic {
    /// Where an assignment of a task of this type goes when the worker offers just that.
    pub fn work(task_type: &TaskType) -> Topic {
        Topic::HandoffWork {
            capability: task_type.clone().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(topic: &str) -> Topic {
        RoomTopic::parse("rooms", topic)
            .expect("under the root")
            .expect("known")
            .topic
    }

    proptest! {
        #[test]
        fn parse_and_format_are_inverse(
            room in "[a-zA-Z0-9_.-]{1,8}", name in "[a-zA-Z0-9_.-]{1,8}", key in "[a-z0-9_.-]{1,4}(/[a-z0-9_.-]{1,4}){0,7}",
            shape in proptest::sample::select(vec![
                "presence/announce/N", "presence/agent/N", "presence/list/N", "handoff/dispatch/N", "handoff/work/N", "handoff/update/N",
                "handoff/cancel/N", "handoff/get/N", "handoff/list/N", "handoff/redrive/N", "handoff/result/N", "inbox/N/N",
                "blackboard/set/N/K", "blackboard/delete/N/K", "blackboard/txn/N", "blackboard/get/N", "blackboard/history/N",
                "blackboard/lock/N/N", "blackboard/unlock/N/N", "blackboard/state/K", "observe/events/N/N", "observe/replay/N",
                "mailbox/list/N", "mailbox/list/N/N", "mailbox/purge/N", "mailbox/purge/N/N", "room/close/N", "room/open/N",
                "approve/request/N", "approve/pending/N", "approve/decide/N/N", "approve/decision/N", "approve/cancel/N", "approve/audit/N", "tools/register/N/N",
                "tools/card/N", "tools/call/N/N", "tools/run/N", "tools/return/N", "tools/result/N", "tools/cancel/N", "tools/get/N", "tools/cancelled/N",
                "reply/N", "reply/N/K",
            ]),
        ) {
            let topic = format!("rooms/{room}/{}", shape.replace('K', &key).replace('N', &name));
            let parsed = RoomTopic::parse("rooms", &topic).expect("under the root").expect("in the table");
            prop_assert_eq!(parsed.format("rooms"), topic);
        }

        #[test]
        fn any_text_parses_or_is_refused_and_what_parses_formats_back(text in "rooms/[a-z/+#$ ]{0,40}") {
            if let Some(Ok(parsed)) = RoomTopic::parse("rooms", &text) {
                prop_assert_eq!(parsed.format("rooms"), text);
            }
        }
    }

    #[test]
    fn commands_name_their_writer_and_others_are_refused() {
        let admission = admit("rooms", "ann", "rooms/lab/handoff/dispatch/ann");
        assert!(matches!(admission, Admission::Desk(_)));
        let code = |client: &str, topic: &str| match admit("rooms", client, topic) {
            Admission::Refused { rejection, .. } => u16::from(rejection.code),
            other => panic!("{topic} by {client} should be refused, not {other:?}"),
        };
        assert_eq!(code("bob", "rooms/lab/handoff/dispatch/ann"), 403);
        assert_eq!(code("bob", "rooms/lab/blackboard/state/plan"), 403);
        assert_eq!(code("gateway", "rooms/lab/observe/events/gateway/x"), 403);
        assert_eq!(code("ann", "rooms/no room/handoff/dispatch/ann"), 400);
        assert_eq!(code("ann", "rooms/lab/handoff/nonsense/ann"), 400);
        assert_eq!(code("ann", "rooms/lab"), 400);
        assert_eq!(code("ann", "rooms/lab/blackboard/set/ann"), 400);
        assert_eq!(code("ann", "rooms/lab/handoff/dispatch/ann/more"), 400);
    }

    #[test]
    fn other_topics_are_ordinary() {
        for topic in [
            "sensors/1",
            "room/lab/handoff/dispatch/ann",
            "rooms",
            "roomsx/lab",
        ] {
            assert_eq!(admit("rooms", "ann", topic), Admission::Ordinary, "{topic}");
        }
        assert!(matches!(
            admit("rooms", "ann", "rooms/lab/observe/events/ann/log"),
            Admission::Relayed(_)
        ));
        assert!(matches!(
            admit("rooms", "ann", "rooms/lab/inbox/bob/ann"),
            Admission::Desk(_)
        ));
    }

    #[test]
    fn directed_topics_know_their_addressee() {
        assert_eq!(
            parsed("rooms/lab/inbox/bob/ann")
                .addressee()
                .map(Agent::as_str),
            Some("bob")
        );
        assert!(parsed("rooms/lab/handoff/work/draft").is_directed());
        assert!(!parsed("rooms/lab/blackboard/state/plan").is_directed());
    }
}

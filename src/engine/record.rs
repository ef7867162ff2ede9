//! Records: how the engine's state stands on disk, and which of it changed.
//!
//! A key is the room's name, a zero byte, a tag, and what the tag says; a value is a format byte and CBOR with named fields, so that
//! a later version can add some. It encodes and decodes; `recover` puts the pieces together again.
//!
//! | tag | what | rest of the key |
//! |---|---|---|
//! | 1 | [`Head`] of the room, before everything else of it | nothing |
//! | 2 | [`MemberRecord`] | the agent |
//! | 3 | task body, written once | the task's number, 8 bytes, big end first |
//! | 4 | task status, at every transition | the same |
//! | 5 | [`KeyRecord`] as earlier versions wrote it; no longer written | the key |
//! | 6 | approval | its id |
//! | 20 | tool | its name |
//! | 21 | tool call that is not over, after the tools | its id |
//! | 22 | tool call that is over | its id |
//! | 7 | outcome of a command with an id | agent, command, id, with zero bytes between |
//! | 8 | version of a key, written once; the last one is what stands | the key, a zero byte, the room's revision, 8 bytes, big end first |
//! | 10 | a task's last progress, as text | the task's number, 8 bytes, big end first |
//! | 9 | lock that somebody holds, with those who wait | its name |
//! | 32 | somebody who left | the agent |
//!
//! The head of no room (its name is empty) is the ground from which rooms start that are not remembered. Tag 33 of no room is the
//! encoding ([`Spoken`]) of the agent that follows.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::name::{
    Agent, ApprovalId, CallId, Capability, CommandId, Key, LockName, Room, Tool,
};
use crate::wire::presence::{Announcement, ConnectionState};

use super::blackboard::Version;
#[cfg(doc)]
use super::encoding::Spoken;
use super::handoff::TaskNo;
use super::member::Member;
use super::outcomes::OutcomeKey;
use super::room::RoomState;

/// The format of all values that this version writes.
const FORMAT: u8 = 1;

const HEAD: u8 = 1;
const MEMBER: u8 = 2;
const BODY: u8 = 3;
const STATE: u8 = 4;
const KEY: u8 = 5;
const APPROVAL: u8 = 6;
const OUTCOME: u8 = 7;
const VERSION: u8 = 8;
const LOCK: u8 = 9;
const PROGRESS: u8 = 10;
const TOOL: u8 = 20;
const CALL: u8 = 21;
const ENDED_CALL: u8 = 22;
const DEPARTED: u8 = 32;
const ENCODING: u8 = 33;

/// A record from which the engine cannot be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("engine record {key:?}: {problem}")]
pub struct RecordError {
    /// The record's key, as far as it is text.
    pub key: String,
    /// The key as it is.
    pub row: Vec<u8>,
    /// What is wrong with it.
    pub problem: RecordProblem,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// The key is not of the form that this version knows.
    #[error("no key that this version knows")]
    Key,
    /// The value was written by a version that uses another format.
    #[error("expected format {FORMAT}, found {0:?}")]
    Format(Option<u8>),
    /// The value cannot be read.
    #[error("value cannot be read: {0}")]
    Value(String),
    /// Its other half is missing.
    #[error("a task's body and its status must come together")]
    Alone,
}

/// What in a room must be recorded anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Member(Agent),
    Body(TaskNo),
    State(TaskNo),
    Progress(TaskNo),
    Key(Key),
    Version(Key, u64),
    Lock(LockName),
    Approval(ApprovalId),
    Outcome(OutcomeKey),
    Tool(Tool),
    Call(CallId),
    EndedCall(CallId),
    Departed(Agent),
}

/// What a key says its record is.
#[derive(Debug, PartialEq)]
pub(super) enum Place {
    Head,
    Of(Change),
}

/// A room's counters: all that is left of one that was vacated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) at: Millis,
    pub(super) last_task: u64,
    pub(super) revision: u64,
    pub(super) version_floor: u64,
    /// Since when the room is closed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) closed: Option<Millis>,
    /// What the room's keys were before this revision is not remembered of all of them. Earlier versions kept no history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) history_floor: Option<u64>,
    /// The last fencing token.
    #[serde(default)]
    pub(super) last_token: u64,
}

impl Head {
    pub(super) fn history_floor(&self) -> u64 {
        self.history_floor.unwrap_or(self.revision)
    }
}

/// An agent's place in a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct MemberRecord {
    pub(super) since: Millis,
    pub(super) last_seen: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) announcement: Option<Box<Announcement>>,
    pub(super) works: Vec<Capability>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) provides: Vec<Tool>,
    pub(super) connection: ConnectionState,
    pub(super) durable: bool,
    pub(super) left: bool,
    #[serde(default)]
    pub(super) unconfirmed: bool,
}

/// A key of the blackboard, or what is left of it, as versions without a history wrote it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) enum KeyRecord {
    Live(Version),
    Deleted {
        version: u64,
        /// The room's revision when it was deleted.
        revision: u64,
    },
}

impl MemberRecord {
    fn of(member: &Member) -> MemberRecord {
        MemberRecord {
            since: member.since,
            last_seen: member.last_seen,
            announcement: member.announcement.clone(),
            works: member.works.iter().cloned().collect(),
            provides: member.provides.iter().cloned().collect(),
            connection: member.connection,
            durable: member.durable,
            left: member.left,
            unconfirmed: member.unconfirmed,
        }
    }
}

impl RoomState {
    /// Every record that changed since the last call, each once: `None` deletes. The head is not among them.
    pub(super) fn drain_records(&mut self, put: &mut dyn FnMut(Vec<u8>, Option<Vec<u8>>)) {
        let mut changes = std::mem::take(&mut self.changes);
        changes.sort_unstable();
        changes.dedup();
        for change in changes {
            put(change.key(&self.name), self.value(&change));
        }
    }

    fn value(&self, change: &Change) -> Option<Vec<u8>> {
        match change {
            Change::Member(agent) => {
                let member = self.members.0.get(agent)?;
                Some(encode(&MemberRecord::of(member)))
            }
            Change::Body(no) => Some(encode(&self.handoff.tasks.get(no)?.body)),
            Change::State(no) => Some(encode(&self.handoff.tasks.get(no)?.status)),
            Change::Progress(no) => Some(encode(self.handoff.progress.get(*no)?)),
            // Its version stands in a record of the other kind.
            Change::Key(_) => None,
            Change::Version(key, revision) => Some(encode(self.blackboard.find(key, *revision)?)),
            Change::Lock(name) => Some(encode(self.blackboard.locks.get(name)?)),
            Change::Approval(id) => Some(encode(self.approvals.by_id.get(id)?)),
            Change::Outcome(key) => Some(encode(self.outcomes.find(key)?)),
            Change::Tool(tool) => Some(encode(self.tools.registry.definition(tool)?)),
            Change::Call(id) => Some(encode(self.tools.calls.get(id)?)),
            Change::EndedCall(id) => Some(encode(self.tools.ended.get(id)?)),
            Change::Departed(agent) => Some(encode(self.departures.get(agent)?)),
        }
    }
}

impl Change {
    pub(super) fn key(&self, room: &Room) -> Vec<u8> {
        match self {
            Change::Member(agent) => key(room, MEMBER, &[agent.as_str().as_bytes()]),
            Change::Body(no) => key(room, BODY, &[&no.0.to_be_bytes()]),
            Change::State(no) => key(room, STATE, &[&no.0.to_be_bytes()]),
            Change::Progress(no) => key(room, PROGRESS, &[&no.0.to_be_bytes()]),
            Change::Key(name) => key(room, KEY, &[name.as_str().as_bytes()]),
            Change::Version(name, revision) => {
                let parts = [name.as_str().as_bytes(), &[0], &revision.to_be_bytes()];
                key(room, VERSION, &parts)
            }
            Change::Lock(name) => key(room, LOCK, &[name.as_str().as_bytes()]),
            Change::Approval(id) => key(room, APPROVAL, &[id.as_str().as_bytes()]),
            Change::Tool(tool) => key(room, TOOL, &[tool.as_str().as_bytes()]),
            Change::Call(id) => key(room, CALL, &[id.as_str().as_bytes()]),
            Change::EndedCall(id) => key(room, ENDED_CALL, &[id.as_str().as_bytes()]),
            Change::Departed(agent) => key(room, DEPARTED, &[agent.as_str().as_bytes()]),
            Change::Outcome(OutcomeKey { agent, command, id }) => {
                let parts = [agent.as_str(), "\0", command, "\0", id.as_str()];
                key(room, OUTCOME, &parts.map(str::as_bytes))
            }
        }
    }
}

/// Where a room's counters are kept.
pub(super) fn head_key(room: &Room) -> Vec<u8> {
    key(room, HEAD, &[])
}

/// Where the counters are kept from which rooms start that are not remembered.
pub(super) fn ground_key() -> Vec<u8> {
    vec![0, HEAD]
}

/// Where it is kept how an agent wants to be spoken to.
pub(super) fn encoding_key(agent: &Agent) -> Vec<u8> {
    [&[0, ENCODING], agent.as_str().as_bytes()].concat()
}

/// Whose encoding is kept there, if it is one.
pub(super) fn agent_of_encoding(key: &[u8]) -> Option<Agent> {
    let name = key.strip_prefix(&[0, ENCODING])?;
    Agent::new(std::str::from_utf8(name).ok()?).ok()
}

fn key(room: &Room, tag: u8, rest: &[&[u8]]) -> Vec<u8> {
    let room = room.as_str().as_bytes();
    let len = rest.iter().map(|part| part.len()).sum::<usize>() + room.len() + 2;
    let mut key = Vec::with_capacity(len);
    key.extend_from_slice(room);
    key.extend_from_slice(&[0, tag]);
    for part in rest {
        key.extend_from_slice(part);
    }
    key
}

/// Reads a key.
pub(super) fn place(key: &[u8]) -> Result<(Room, Place), RecordProblem> {
    split(key).ok_or(RecordProblem::Key)
}

fn split(key: &[u8]) -> Option<(Room, Place)> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let room = Room::new(std::str::from_utf8(&key[..end]).ok()?).ok()?;
    let (tag, rest) = key[end + 1..].split_first()?;
    let text = || std::str::from_utf8(rest).ok();
    let number = || Some(TaskNo(u64::from_be_bytes(rest.try_into().ok()?)));
    let place = match *tag {
        HEAD if rest.is_empty() => Place::Head,
        MEMBER => Place::Of(Change::Member(Agent::new(text()?).ok()?)),
        BODY => Place::Of(Change::Body(number()?)),
        STATE => Place::Of(Change::State(number()?)),
        PROGRESS => Place::Of(Change::Progress(number()?)),
        KEY => Place::Of(Change::Key(Key::new(text()?).ok()?)),
        VERSION => {
            let (rest, revision) = rest.split_last_chunk()?;
            let name = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
            let revision = u64::from_be_bytes(*revision);
            Place::Of(Change::Version(Key::new(name).ok()?, revision))
        }
        LOCK => Place::Of(Change::Lock(LockName::new(text()?).ok()?)),
        APPROVAL => Place::Of(Change::Approval(ApprovalId::new(text()?).ok()?)),
        TOOL => Place::Of(Change::Tool(Tool::new(text()?).ok()?)),
        CALL => Place::Of(Change::Call(CallId::new(text()?).ok()?)),
        ENDED_CALL => Place::Of(Change::EndedCall(CallId::new(text()?).ok()?)),
        DEPARTED => Place::Of(Change::Departed(Agent::new(text()?).ok()?)),
        OUTCOME => {
            let mut parts = text()?.splitn(3, '\0');
            Place::Of(Change::Outcome(OutcomeKey {
                agent: Agent::new(parts.next()?).ok()?,
                command: parts.next()?.to_owned(),
                id: CommandId::new(parts.next()?).ok()?,
            }))
        }
        _ => return None,
    };
    Some((room, place))
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.push(FORMAT);
    serde_cbor::to_writer(&mut out, value).expect("records serialize into memory");
    out
}

pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, RecordProblem> {
    match value.split_first() {
        Some((&FORMAT, cbor)) => {
            serde_cbor::from_slice(cbor).map_err(|error| RecordProblem::Value(error.to_string()))
        }
        other => Err(RecordProblem::Format(other.map(|(format, _)| *format))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let room = Room::new("studio").unwrap();
        let changes = [
            Change::Member(Agent::new("a").unwrap()),
            Change::Departed(Agent::new("a").unwrap()),
            Change::Body(TaskNo(7)),
            Change::State(TaskNo(u64::MAX)),
            Change::Progress(TaskNo(9)),
            Change::Key(Key::new("a/b/c").unwrap()),
            Change::Version(Key::new("a/b/c").unwrap(), 256),
            Change::Lock(LockName::new("l").unwrap()),
            Change::Approval(ApprovalId::new("x").unwrap()),
            Change::Tool(Tool::new("t").unwrap()),
            Change::Call(CallId::new("a/c").unwrap()),
            Change::EndedCall(CallId::new("a/c").unwrap()),
            Change::Outcome(OutcomeKey {
                agent: Agent::new("a").unwrap(),
                command: "handoff/update".to_owned(),
                id: CommandId::new("1").unwrap(),
            }),
        ];
        for change in changes {
            let read = place(&change.key(&room));
            assert_eq!(read, Ok((room.clone(), Place::Of(change))));
        }
        let head = place(&key(&room, HEAD, &[]));
        assert_eq!(head, Ok((room, Place::Head)));
    }

    #[test]
    fn other_formats_are_refused_with_words() {
        let error = decode::<Head>(&[9, 1, 2]).unwrap_err();
        assert_eq!(error.to_string(), "expected format 1, found Some(9)");
    }
}

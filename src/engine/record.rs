//! Records: how the engine's state stands on disk.
//!
//! A key is the room's name, a zero byte, a tag, and what the tag says; a value is a format byte
//! and CBOR with named fields, so that a later version can add some. Whose tag it is knows what it
//! means; `room` lists them.
//!
//! The head of no room (its name is empty) is the ground from which rooms start that are not
//! remembered. Tag 33 of no room is the encoding of the agent that follows.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::name::{Agent, Room};

/// The format of all values that this version writes.
const FORMAT: u8 = 1;

pub(super) const HEAD: u8 = 1;
const ENCODING: u8 = 33;

/// Takes a record: `None` deletes it.
pub(super) type Put<'a> = &'a mut dyn FnMut(Vec<u8>, Option<Vec<u8>>);

/// What is only half there: its name in words, and the key of the record that came alone.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) name: String,
    pub(super) row: Vec<u8>,
}

/// What a record is about.
pub(super) trait RecordKey: Ord + Sized {
    /// Its key.
    fn key(&self, room: &Room) -> Vec<u8>;

    /// Whether a tag is of one of these, and which it is with this rest.
    fn parse(tag: u8, rest: &[u8]) -> Option<Option<Self>>;
}

/// What must be recorded anew.
#[derive(Debug)]
pub(super) struct Changes<K>(Vec<K>);

impl<K> Default for Changes<K> {
    fn default() -> Changes<K> {
        Changes(Vec::new())
    }
}

impl<K: RecordKey> Changes<K> {
    /// Once more does no harm.
    pub(super) fn note(&mut self, key: K) {
        self.0.push(key);
    }

    /// All that were noted, each once.
    pub(super) fn take(&mut self) -> Vec<K> {
        let mut changes = std::mem::take(&mut self.0);
        changes.sort_unstable();
        changes.dedup();
        changes
    }
}

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

/// A room's counters: all that is left of one that was vacated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RoomCounters {
    pub(super) seq: u64,
    pub(super) at: Millis,
    pub(super) last_task: u64,
    pub(super) revision: u64,
    pub(super) version_floor: u64,
    /// Since when the room is closed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) closed: Option<Millis>,
    /// What the room's keys were before this revision is not remembered of all of them. Earlier
    /// versions kept no history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) history_floor: Option<u64>,
    /// The last fencing token.
    #[serde(default)]
    pub(super) last_token: u64,
}

impl RoomCounters {
    pub(super) fn history_floor(&self) -> u64 {
        self.history_floor.unwrap_or(self.revision)
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

pub(super) fn key(room: &Room, tag: u8, rest: &[&[u8]]) -> Vec<u8> {
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

/// The parts of a key: the room, the tag, what the tag says.
pub(super) fn split(key: &[u8]) -> Option<(Room, u8, &[u8])> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let room = Room::new(std::str::from_utf8(&key[..end]).ok()?).ok()?;
    let (tag, rest) = key[end + 1..].split_first()?;
    Some((room, *tag, rest))
}

/// The name that the rest of a key is.
pub(super) fn name<T, E>(rest: &[u8], new: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
    new(std::str::from_utf8(rest).ok()?).ok()
}

/// The number that the rest of a key is.
pub(super) fn number(rest: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(rest.try_into().ok()?))
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
        let key = key(&room, 3, &[&7_u64.to_be_bytes()]);
        let (found, tag, rest) = split(&key).unwrap();
        assert_eq!((found, tag, number(rest)), (room, 3, Some(7)));
    }

    #[test]
    fn other_formats_are_refused_with_words() {
        let error = decode::<RoomCounters>(&[9, 1, 2]).unwrap_err();
        assert_eq!(error.to_string(), "expected format 1, found Some(9)");
    }
}

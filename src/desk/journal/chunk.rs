//! What the journal looks like in the ledger.
//!
//! | key | value |
//! |---|---|
//! | room `0` last number (8) first number (8) last time (8) bytes of the value (4) | format (1), events: time (8), length (1) and category, length (4) and JSON |
//! | `0` room | format (1), oldest number (8), newest number (8), bytes (8), time of the oldest chunk (8), time of what was lost last (8) |
//!
//! A chunk holds what happened in one room in one batch, so that a busy room costs a row a commit
//! and not one an event. Its last number comes first, so that the first key from a number on is
//! that of the chunk that has it. Numbers are big-endian. It knows bytes and nothing of when they
//! are written.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::engine::Recalled;
use crate::wire::Millis;
use crate::wire::name::Room;

const FORMAT: u8 = 1;
/// First and last number, time, and bytes.
const NUMBERS: usize = 8 + 8 + 8 + 4;

/// What a chunk's key says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkLabel {
    pub(super) first: u64,
    pub(super) last: u64,
    /// When its last event was.
    pub(super) at: Millis,
    pub(super) bytes: u32,
}

/// Events of a room that follow each other.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) label: ChunkLabel,
    value: BytesMut,
}

/// What a room's log holds: recovery reads this instead of all its chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) oldest: u64,
    pub(super) newest: u64,
    pub(super) bytes: u64,
    pub(super) oldest_at: Millis,
    pub(super) lost_at: Millis,
}

impl Chunk {
    pub(super) fn new(first: u64) -> Chunk {
        let mut value = BytesMut::with_capacity(512);
        value.put_u8(FORMAT);
        Chunk {
            label: ChunkLabel {
                first,
                last: first - 1,
                at: 0,
                bytes: 1,
            },
            value,
        }
    }

    pub(super) fn push(&mut self, at: Millis, category: &str, payload: &[u8]) {
        self.label.last += 1;
        self.label.at = at;
        self.value.put_u64(at);
        // Names have at most 64 bytes, events a few thousand.
        self.value
            .put_u8(u8::try_from(category.len()).unwrap_or(u8::MAX));
        self.value.put_slice(category.as_bytes());
        self.value
            .put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        self.value.put_slice(payload);
        self.label.bytes = u32::try_from(self.value.len()).unwrap_or(u32::MAX);
    }

    pub(super) fn into_value(self) -> (ChunkLabel, Bytes) {
        (self.label, self.value.freeze())
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.value
    }
}

impl ChunkLabel {
    pub(super) fn key(&self, room: &Room) -> Vec<u8> {
        let mut key = from(room, self.last);
        key.put_u64(self.first);
        key.put_u64(self.at);
        key.put_u32(self.bytes);
        key
    }

    /// Bytes that its record takes.
    pub(super) fn size(&self, room: &Room) -> u64 {
        (room.as_str().len() + 1 + NUMBERS) as u64 + u64::from(self.bytes)
    }

    /// Reads what follows the room in a key.
    pub(super) fn read(key: &[u8]) -> Option<ChunkLabel> {
        let mut numbers = key.get(key.len().checked_sub(NUMBERS)?..)?;
        let last = numbers.get_u64();
        Some(ChunkLabel {
            last,
            first: numbers.get_u64(),
            at: numbers.get_u64(),
            bytes: numbers.get_u32(),
        })
    }
}

/// Below every chunk that ends at this number or later.
pub(super) fn from(room: &Room, seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(room.as_str().len() + 1 + NUMBERS);
    key.extend_from_slice(room.as_str().as_bytes());
    key.push(0);
    key.put_u64(seq);
    key
}

/// Above every chunk of a room.
pub(super) fn end(room: &Room) -> Vec<u8> {
    let mut key = room.as_str().as_bytes().to_vec();
    key.push(1);
    key
}

/// The events of a chunk, from its first on; `None` in place of what cannot be read.
pub(super) fn events(first: u64, value: &[u8]) -> impl Iterator<Item = Option<Recalled<'_>>> {
    let mut rest = value.strip_prefix(&[FORMAT]);
    let mut seq = first;
    std::iter::from_fn(move || {
        let whole = rest?;
        if whole.is_empty() {
            return None;
        }
        let event = take(seq, whole);
        rest = event.map(|(_, rest)| rest);
        seq += 1;
        Some(event.map(|(event, _)| event))
    })
}

fn take(seq: u64, mut rest: &[u8]) -> Option<(Recalled<'_>, &[u8])> {
    let at = rest.try_get_u64().ok()?;
    let category_len = usize::from(rest.try_get_u8().ok()?);
    let (category, mut rest) = rest.split_at_checked(category_len)?;
    let payload_len = rest.try_get_u32().ok()?;
    let (payload, rest) = rest.split_at_checked(payload_len as usize)?;
    let event = Recalled {
        seq,
        at,
        category: std::str::from_utf8(category).ok()?,
        payload,
    };
    Some((event, rest))
}

/// Summaries come before all chunks: no room's name begins with their first byte.
pub(super) const SUMMARIES: &[u8] = &[0];

pub(super) fn summary_key(room: &Room) -> Vec<u8> {
    let mut key = SUMMARIES.to_vec();
    key.extend_from_slice(room.as_str().as_bytes());
    key
}

impl Summary {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(41);
        out.put_u8(FORMAT);
        for number in [
            self.oldest,
            self.newest,
            self.bytes,
            self.oldest_at,
            self.lost_at,
        ] {
            out.put_u64(number);
        }
        out.freeze()
    }

    pub(super) fn read(key: &[u8], value: &[u8]) -> Option<(Room, Summary)> {
        let room = std::str::from_utf8(key.strip_prefix(SUMMARIES)?).ok()?;
        let mut rest = value.strip_prefix(&[FORMAT])?;
        let mut number = || rest.try_get_u64().ok();
        let summary = Summary {
            oldest: number()?,
            newest: number()?,
            bytes: number()?,
            oldest_at: number()?,
            lost_at: number()?,
        };
        Some((Room::new(room).ok()?, summary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_summaries_are_read_as_they_were_written() {
        let room = Room::new("lab").unwrap();
        let mut chunk = Chunk::new(7);
        chunk.push(10, "handoff", b"{}");
        chunk.push(12, "presence", b"[1]");
        let (label, value) = chunk.into_value();
        assert_eq!((label.first, label.last, label.at), (7, 8, 12));
        assert_eq!(ChunkLabel::read(&label.key(&room)), Some(label));
        assert_eq!(
            label.size(&room),
            (label.key(&room).len() + value.len()) as u64
        );
        let read: Vec<_> = events(label.first, &value)
            .map(|event| event.map(|e| (e.seq, e.at, e.category, e.payload)))
            .collect();
        assert_eq!(
            read,
            [
                Some((7, 10, "handoff", &b"{}"[..])),
                Some((8, 12, "presence", &b"[1]"[..]))
            ]
        );
        let summary = Summary {
            oldest: 1,
            newest: 2,
            bytes: 3,
            oldest_at: 4,
            lost_at: 5,
        };
        let read = Summary::read(&summary_key(&room), &summary.encode());
        assert_eq!(read, Some((room, summary)));
    }

    #[test]
    fn the_first_key_from_a_number_on_is_that_of_its_chunk() {
        let room = Room::new("lab").unwrap();
        let key = |first, last| {
            let label = ChunkLabel {
                first,
                last,
                at: 9,
                bytes: 1,
            };
            label.key(&room)
        };
        assert!(from(&room, 5) < key(4, 5) && key(4, 5) < from(&room, 6));
        assert!(from(&room, 6) < key(6, 300) && key(6, 300) < end(&room));
        let longer = Room::new("lab-2").unwrap();
        assert!(end(&room) < from(&longer, 0), "rooms do not mix");
        assert!(summary_key(&longer) < from(&room, 0));
    }

    #[test]
    fn what_is_cut_short_is_said_to_be_unreadable() {
        let mut chunk = Chunk::new(1);
        chunk.push(10, "c", b"{}");
        let (_, value) = chunk.into_value();
        let read: Vec<_> = events(1, &value[..value.len() - 1]).collect();
        assert!(matches!(read[..], [None]));
    }
}

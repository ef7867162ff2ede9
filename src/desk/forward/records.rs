//! What the queues for other brokers look like in the ledger.
//!
//! | key in the space `bridge` | value |
//! |---|---|
//! | name `0` `e` sequence number (8), size of the message (4) | when it came (8), the message |
//! | name `0` `d` sequence number (8) | why (1 + so many bytes), when it came (8), the message |
//! | name `0` `n` | the next sequence number (8), as of when the queue was last empty |
//!
//! Numbers are big-endian, so that keys sort by them. Names of bridges have no null character. The
//! size is in the key so that a start reads keys alone.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::wire::Millis;
use crate::wire::message::Message;

/// What a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForwardKey {
    /// A message that waits.
    Entry { seq: u64, size: u32 },
    /// One that the other side will not have.
    Dead { seq: u64 },
    /// The counter.
    Counter,
}

fn key(name: &str, kind: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 14);
    key.extend_from_slice(name.as_bytes());
    key.extend_from_slice(&[0, kind]);
    key
}

/// Where the entries from this number on begin.
pub(super) fn entries_from(name: &str, seq: u64) -> Vec<u8> {
    let mut key = key(name, b'e');
    key.put_u64(seq);
    key
}

pub(super) fn entry_key(name: &str, seq: u64, size: u32) -> Vec<u8> {
    let mut key = entries_from(name, seq);
    key.put_u32(size);
    key
}

pub(super) fn dead_key(name: &str, seq: u64) -> Vec<u8> {
    let mut key = key(name, b'd');
    key.put_u64(seq);
    key
}

pub(super) fn counter_key(name: &str) -> Vec<u8> {
    key(name, b'n')
}

pub(super) fn read_key(key: &[u8]) -> Option<(&str, ForwardKey)> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&key[..end]).ok()?;
    let mut rest = &key[end + 1..];
    let kind = match (rest.try_get_u8().ok()?, rest.len()) {
        (b'e', 12) => ForwardKey::Entry {
            seq: rest.get_u64(),
            size: rest.get_u32(),
        },
        (b'd', 8) => ForwardKey::Dead {
            seq: rest.get_u64(),
        },
        (b'n', 0) => ForwardKey::Counter,
        _ => return None,
    };
    Some((name, kind))
}

pub(super) fn encode_entry(at: Millis, message: &Message) -> Bytes {
    let mut value = BytesMut::with_capacity(8 + message.size());
    value.put_u64(at);
    value.put_slice(message.as_bytes());
    value.freeze()
}

pub(super) fn read_entry(value: &[u8]) -> Option<(Millis, Message)> {
    let mut value = Bytes::copy_from_slice(value);
    let at = value.try_get_u64().ok()?;
    Some((at, Message::decode(value).ok()?))
}

pub(super) fn encode_dead(reason: &str, at: Millis, message: &Message) -> Bytes {
    let reason = &reason.as_bytes()[..reason.len().min(usize::from(u8::MAX))];
    let mut value = BytesMut::with_capacity(9 + reason.len() + message.size());
    value.put_u8(u8::try_from(reason.len()).unwrap_or(u8::MAX));
    value.put_slice(reason);
    value.put_u64(at);
    value.put_slice(message.as_bytes());
    value.freeze()
}

pub(super) fn read_counter(mut value: &[u8]) -> Option<u64> {
    value.try_get_u64().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_sort_by_number() {
        let keys = [
            (
                entry_key("b", 7, 300),
                ForwardKey::Entry { seq: 7, size: 300 },
            ),
            (dead_key("b", 9), ForwardKey::Dead { seq: 9 }),
            (counter_key("b"), ForwardKey::Counter),
        ];
        for (key, kind) in keys {
            assert_eq!(read_key(&key), Some(("b", kind)));
        }
        assert!(entry_key("b", 255, u32::MAX) < entry_key("b", 256, 0));
        assert!(entries_from("b", 5) < entry_key("b", 5, 0));
        assert_eq!(read_key(b"b\0e\0"), None);
        assert_eq!(read_key(b"b"), None);
    }
}

//! What the desk's own state looks like in the ledger: sessions, subscriptions, outgoing and
//! inbound QoS 2 state, retained messages.
//!
//! | space | key | value |
//! |---|---|---|
//! | session | client `0` `h` | expiry (4), offline since (8), last sequence number sent (8) |
//! | session | client `0` `s` filter | QoS, flags, retain handling, subscription id (4) |
//! | session | client `0` `r` filter | retained messages that the subscription is still to get: their sequence number (8), the topic after which |
//! | session | client `0` `o` | the user whose session and mailbox it is; absent where no user has claimed them |
//! | session | client `0` `w` | its connection's will, or that of a lost one that still waits |
//! | outbox | client `0` sequence number (8) | kind, its particulars, the message |
//! | inbound | client `0` packet id (2) | nothing |
//! | retained | topic | the message |
//!
//! Numbers are big-endian, so that keys sort by them. Client ids cannot contain the null character
//! (MQTT-1.5.4-2), so it ends them. The ledger's format version covers all of it.

pub mod will;

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::outbox_kind::OutboxKind;
use super::send_order::SentMarks;
use super::subscription::{RetainHandling, RetainedCursor, Subscription};
use crate::engine::{AssignmentKey, DirectedKind, RunKey};
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::message::{Message, Qos};
use crate::wire::name::{ApprovalId, CallId, Room, TaskId};

/// A record that does not read as what its place says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable {what} record under key {key:?}")]
pub struct DeskRecordError {
    what: &'static str,
    key: String,
    space: Space,
    row: Vec<u8>,
}

impl DeskRecordError {
    pub(super) fn new(what: &'static str, space: Space, key: &[u8]) -> DeskRecordError {
        DeskRecordError {
            what,
            key: key.escape_ascii().to_string(),
            space,
            row: key.to_vec(),
        }
    }

    /// Where it lies.
    pub fn row(&self) -> (Space, &[u8]) {
        (self.space, &self.row)
    }
}

/// A session's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRecord {
    /// Seconds that it outlives its connection.
    pub expiry: u32,
    /// When its connection was lost, Unix milliseconds; 0 while connected.
    pub offline_since: Millis,
    /// What was sent, while it is offline.
    pub sent: SentMarks,
}

impl SessionRecord {
    pub(super) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(28);
        out.put_u32(self.expiry);
        out.put_u64(self.offline_since);
        out.put_u64(self.sent.bulk);
        out.put_u64(self.sent.directed);
        out.freeze()
    }

    fn decode(mut value: &[u8]) -> Option<SessionRecord> {
        let (expiry, offline_since) = (value.try_get_u32().ok()?, value.try_get_u64().ok()?);
        // Earlier versions did not write it down, or had one priority.
        let bulk = value.try_get_u64().unwrap_or(u64::MAX);
        let directed = value.try_get_u64().unwrap_or(bulk);
        Some(SessionRecord {
            expiry,
            offline_since,
            sent: SentMarks { directed, bulk },
        })
    }
}

/// What a key of the session space is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionItem {
    /// The session itself.
    Header(SessionRecord),
    /// One of its subscriptions.
    Subscription(Subscription),
    /// The retained messages that one of them is still to get.
    RetainedCursor(Arc<str>, RetainedCursor),
    /// The user whose it is.
    Owner(Arc<str>),
    /// The will of its connection, to be read by `wills`.
    Will,
}

pub(super) fn header_key(client: &str) -> Vec<u8> {
    client_key(client, b"h")
}

pub(super) fn owner_key(client: &str) -> Vec<u8> {
    client_key(client, b"o")
}

pub(super) fn subscription_key(client: &str, filter: &str) -> Vec<u8> {
    let mut key = client_key(client, b"s");
    key.extend_from_slice(filter.as_bytes());
    key
}

pub(super) fn replay_key(client: &str, filter: &str) -> Vec<u8> {
    let mut key = client_key(client, b"r");
    key.extend_from_slice(filter.as_bytes());
    key
}

pub(super) fn will_key(client: &str) -> Vec<u8> {
    client_key(client, b"w")
}

pub(super) fn outbox_key(client: &str, seq: u64) -> Vec<u8> {
    client_key(client, &seq.to_be_bytes())
}

pub(super) fn inbound_key(client: &str, packet_id: u16) -> Vec<u8> {
    client_key(client, &packet_id.to_be_bytes())
}

fn client_key(client: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(client.len() + 1 + rest.len());
    key.extend_from_slice(client.as_bytes());
    key.push(0);
    key.extend_from_slice(rest);
    key
}

/// Splits a key into the client id and what follows.
fn split_key(key: &[u8]) -> Option<(&str, &[u8])> {
    let end = key.iter().position(|&byte| byte == 0)?;
    Some((std::str::from_utf8(&key[..end]).ok()?, &key[end + 1..]))
}

/// Reads a record of the session space.
pub(super) fn read_session<'a>(
    key: &'a [u8],
    value: &[u8],
) -> Result<(&'a str, SessionItem), DeskRecordError> {
    let read = || {
        let (client, rest) = split_key(key)?;
        let item = match rest.split_first()? {
            (b'w', []) => SessionItem::Will,
            (b'h', []) => SessionItem::Header(SessionRecord::decode(value)?),
            (b's', filter) => SessionItem::Subscription(decode_subscription(
                std::str::from_utf8(filter).ok()?,
                value,
            )?),
            (b'r', filter) => {
                let filter = std::str::from_utf8(filter).ok()?;
                SessionItem::RetainedCursor(filter.into(), RetainedCursor::decode(value)?)
            }
            (b'o', []) => SessionItem::Owner(std::str::from_utf8(value).ok()?.into()),
            _ => return None,
        };
        Some((client, item))
    };
    read().ok_or_else(|| DeskRecordError::new("session", Space::Session, key))
}

pub(super) fn encode_subscription(subscription: &Subscription) -> Bytes {
    let mut out = BytesMut::with_capacity(7);
    out.put_u8(subscription.qos.level());
    out.put_u8(u8::from(subscription.no_local) | u8::from(subscription.retain_as_published) << 1);
    out.put_u8(match subscription.retain_handling {
        RetainHandling::Always => 0,
        RetainHandling::IfNew => 1,
        RetainHandling::Never => 2,
    });
    // 0 is no legal identifier (MQTT 5, 3.8.2.1.2).
    out.put_u32(subscription.id.unwrap_or(0));
    out.freeze()
}

fn decode_subscription(filter: &str, mut value: &[u8]) -> Option<Subscription> {
    let qos = Qos::from_level(value.try_get_u8().ok()?)?;
    let flags = value.try_get_u8().ok()?;
    let retain_handling = match value.try_get_u8().ok()? {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        2 => RetainHandling::Never,
        _ => return None,
    };
    let id = value.try_get_u32().ok()?;
    Some(Subscription {
        filter: filter.into(),
        qos,
        no_local: flags & 1 != 0,
        retain_as_published: flags & 2 != 0,
        retain_handling,
        id: (id != 0).then_some(id),
    })
}

/// What a record of the outbox space holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxItem {
    /// A message that is not acknowledged.
    Message(OutboxKind, Message),
    /// PUBREC came for it; PUBCOMP did not.
    Received,
}

const RECEIVED: u8 = 0;
const QUEUED: u8 = 1;
const INBOX: u8 = 2;
const ASSIGNMENT: u8 = 3;
const RESULT: u8 = 4;
const DECISION: u8 = 5;
const REPLY: u8 = 6;
const SHARED: u8 = 7;
const RUN: u8 = 8;
const TOOL_RESULT: u8 = 9;
const NOTICE: u8 = 10;
const REFUSAL: u8 = 11;
const SUMMARY: u8 = 12;
/// The same as the two of that name, with how many answers they bring.
const ANSWERED_ASSIGNMENT: u8 = 13;
const ANSWERED_RUN: u8 = 14;

pub(super) fn encode_received() -> Bytes {
    Bytes::from_static(&[RECEIVED])
}

pub(super) fn encode_outbox(kind: &OutboxKind, message: &Message) -> Bytes {
    let mut out = BytesMut::with_capacity(message.size() + 64);
    match kind {
        OutboxKind::Queued {
            qos,
            retain,
            subscription_ids,
            share,
        } => {
            out.put_u8(if share.is_some() { SHARED } else { QUEUED });
            if let Some(share) = share {
                // A filter was read from MQTT's 16 bits.
                out.put_u16(u16::try_from(share.len()).unwrap_or(u16::MAX));
                out.put_slice(share.as_bytes());
            }
            out.put_u8(qos.level() | u8::from(*retain) << 2);
            out.put_u16(u16::try_from(subscription_ids.len()).unwrap_or(u16::MAX));
            subscription_ids
                .iter()
                .take(usize::from(u16::MAX))
                .for_each(|id| out.put_u32(*id));
        }
        OutboxKind::Inbox => out.put_u8(INBOX),
        OutboxKind::Directed(DirectedKind::Assignment(key)) => {
            out.put_u8(tag_of(ASSIGNMENT, ANSWERED_ASSIGNMENT, key.answers));
            put_name(&mut out, key.room.as_str());
            put_name(&mut out, key.task.as_str());
            out.put_u32(key.attempt);
            put_answers(&mut out, key.answers);
        }
        OutboxKind::Directed(DirectedKind::Run(key)) => {
            out.put_u8(tag_of(RUN, ANSWERED_RUN, key.answers));
            put_name(&mut out, key.room.as_str());
            put_name(&mut out, key.call.as_str());
            out.put_u32(key.turn);
            put_answers(&mut out, key.answers);
        }
        OutboxKind::Directed(DirectedKind::Result) => out.put_u8(RESULT),
        OutboxKind::Directed(DirectedKind::Decision(id)) => {
            out.put_u8(DECISION);
            put_name(&mut out, id.as_str());
        }
        OutboxKind::Directed(DirectedKind::Reply) => out.put_u8(REPLY),
        OutboxKind::Directed(DirectedKind::Refusal) => out.put_u8(REFUSAL),
        OutboxKind::Summary => out.put_u8(SUMMARY),
        OutboxKind::Directed(DirectedKind::ToolResult) => out.put_u8(TOOL_RESULT),
        OutboxKind::Directed(DirectedKind::Notice) => out.put_u8(NOTICE),
    }
    out.put_slice(message.as_bytes());
    out.freeze()
}

/// Most bring none, and are written as they always were.
fn tag_of(plain: u8, answered: u8, answers: u32) -> u8 {
    if answers == 0 { plain } else { answered }
}

fn put_answers(out: &mut BytesMut, answers: u32) {
    if answers > 0 {
        out.put_u32(answers);
    }
}

fn take_answers(value: &mut Bytes, is_answered: bool) -> Option<u32> {
    match is_answered {
        true => value.try_get_u32().ok(),
        false => Some(0),
    }
}

/// Names are at most 64 bytes long.
fn put_name(out: &mut BytesMut, name: &str) {
    out.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.put_slice(name.as_bytes());
}

fn take_name(value: &mut Bytes) -> Option<String> {
    let len = usize::from(value.try_get_u8().ok()?);
    (value.len() >= len)
        .then(|| value.split_to(len))
        .and_then(|name| String::from_utf8(name.to_vec()).ok())
}

fn take_filter(value: &mut Bytes) -> Option<Arc<str>> {
    let len = usize::from(value.try_get_u16().ok()?);
    let filter = (value.len() >= len).then(|| value.split_to(len))?;
    std::str::from_utf8(&filter).ok().map(Arc::from)
}

/// Reads a record of the outbox space: the client, the sequence number, the item.
pub(super) fn read_outbox<'a>(
    key: &'a [u8],
    value: &[u8],
) -> Result<(&'a str, u64, OutboxItem), DeskRecordError> {
    let read = || {
        let (client, mut rest) = split_key(key)?;
        let seq = rest.try_get_u64().ok()?;
        Some((client, seq, decode_outbox(Bytes::copy_from_slice(value))?))
    };
    read().ok_or_else(|| DeskRecordError::new("outbox", Space::Outbox, key))
}

fn decode_outbox(mut value: Bytes) -> Option<OutboxItem> {
    let kind = match value.try_get_u8().ok()? {
        RECEIVED => return Some(OutboxItem::Received),
        tag @ (QUEUED | SHARED) => {
            let share = match tag {
                SHARED => Some(take_filter(&mut value)?),
                _ => None,
            };
            let flags = value.try_get_u8().ok()?;
            let count = value.try_get_u16().ok()?;
            let ids: Option<Vec<u32>> = (0..count).map(|_| value.try_get_u32().ok()).collect();
            OutboxKind::Queued {
                qos: Qos::from_level(flags & 0b11)?,
                retain: flags & 0b100 != 0,
                subscription_ids: ids?,
                share,
            }
        }
        INBOX => OutboxKind::Inbox,
        tag @ (ASSIGNMENT | ANSWERED_ASSIGNMENT) => {
            OutboxKind::Directed(DirectedKind::Assignment(AssignmentKey {
                room: Room::new(&take_name(&mut value)?).ok()?,
                task: TaskId::new(&take_name(&mut value)?).ok()?,
                attempt: value.try_get_u32().ok()?,
                answers: take_answers(&mut value, tag == ANSWERED_ASSIGNMENT)?,
            }))
        }
        tag @ (RUN | ANSWERED_RUN) => OutboxKind::Directed(DirectedKind::Run(RunKey {
            room: Room::new(&take_name(&mut value)?).ok()?,
            call: CallId::new(&take_name(&mut value)?).ok()?,
            turn: value.try_get_u32().ok()?,
            answers: take_answers(&mut value, tag == ANSWERED_RUN)?,
        })),
        RESULT => OutboxKind::Directed(DirectedKind::Result),
        DECISION => OutboxKind::Directed(DirectedKind::Decision(
            ApprovalId::new(&take_name(&mut value)?).ok()?,
        )),
        REPLY => OutboxKind::Directed(DirectedKind::Reply),
        REFUSAL => OutboxKind::Directed(DirectedKind::Refusal),
        SUMMARY => OutboxKind::Summary,
        TOOL_RESULT => OutboxKind::Directed(DirectedKind::ToolResult),
        NOTICE => OutboxKind::Directed(DirectedKind::Notice),
        _ => return None,
    };
    Some(OutboxItem::Message(kind, Message::decode(value).ok()?))
}

/// Reads a record of the inbound space: the client and the packet id.
pub(super) fn read_inbound(key: &[u8]) -> Result<(&str, u16), DeskRecordError> {
    let read = || {
        let (client, mut rest) = split_key(key)?;
        Some((client, rest.try_get_u16().ok()?))
    };
    read().ok_or_else(|| DeskRecordError::new("inbound", Space::Inbound, key))
}

/// Reads a record of the retained space.
pub(super) fn read_retained(key: &[u8], value: &[u8]) -> Result<Message, DeskRecordError> {
    Message::decode(Bytes::copy_from_slice(value))
        .map_err(|_| DeskRecordError::new("retained", Space::Retained, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Parts;

    #[test]
    fn outbox_records_round_trip() {
        let message = Message::encode(&Parts {
            topic: "a/b",
            payload: b"x",
            ..Parts::default()
        });
        let assignment = AssignmentKey {
            room: Room::new("lab").unwrap(),
            task: TaskId::new("t-1").unwrap(),
            attempt: 7,
            answers: 0,
        };
        let answered = AssignmentKey {
            answers: 2,
            ..assignment.clone()
        };
        let run = RunKey {
            room: Room::new("lab").unwrap(),
            call: CallId::new("a/c-1").unwrap(),
            turn: 2,
            answers: 0,
        };
        let answered_run = RunKey {
            answers: 1,
            ..run.clone()
        };
        for kind in [
            OutboxKind::Queued {
                qos: Qos::ExactlyOnce,
                retain: true,
                subscription_ids: vec![1, 268_435_455],
                share: None,
            },
            OutboxKind::Queued {
                qos: Qos::AtLeastOnce,
                retain: false,
                subscription_ids: Vec::new(),
                share: Some("$share/g/a/+".into()),
            },
            OutboxKind::Inbox,
            OutboxKind::Directed(DirectedKind::Assignment(assignment)),
            OutboxKind::Directed(DirectedKind::Run(run)),
            OutboxKind::Directed(DirectedKind::Assignment(answered)),
            OutboxKind::Directed(DirectedKind::Run(answered_run)),
            OutboxKind::Directed(DirectedKind::Result),
            OutboxKind::Directed(DirectedKind::Decision(ApprovalId::new("a").unwrap())),
            OutboxKind::Directed(DirectedKind::Reply),
            OutboxKind::Directed(DirectedKind::Refusal),
            OutboxKind::Summary,
            OutboxKind::Directed(DirectedKind::ToolResult),
            OutboxKind::Directed(DirectedKind::Notice),
        ] {
            let value = encode_outbox(&kind, &message);
            let key = outbox_key("client", 9);
            let item = OutboxItem::Message(kind, message.clone());
            assert_eq!(read_outbox(&key, &value), Ok(("client", 9, item)));
        }
        assert_eq!(
            read_outbox(&outbox_key("c", 1), &encode_received()),
            Ok(("c", 1, OutboxItem::Received))
        );
    }

    #[test]
    fn session_records_round_trip() {
        let header = SessionRecord {
            expiry: 60,
            offline_since: 5,
            sent: SentMarks {
                directed: 12,
                bulk: 9,
            },
        };
        assert_eq!(
            read_session(&header_key("c"), &header.encode()),
            Ok(("c", SessionItem::Header(header)))
        );
        let subscription = Subscription {
            filter: "$share/g/a/+".into(),
            qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: true,
            retain_handling: RetainHandling::IfNew,
            id: Some(3),
        };
        assert_eq!(
            read_session(&owner_key("c"), b"ann"),
            Ok(("c", SessionItem::Owner("ann".into())))
        );
        let value = encode_subscription(&subscription);
        let key = subscription_key("c", "$share/g/a/+");
        assert_eq!(
            read_session(&key, &value),
            Ok(("c", SessionItem::Subscription(subscription)))
        );
    }

    #[test]
    fn unreadable_records_say_where() {
        let error = read_outbox(b"client\0short", &[1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"unreadable outbox record under key "client\\x00short""#
        );
    }
}

//! Messages of the gateway's own: retained truths, events, and how everything that it writes looks
//! on the wire.

use bytes::{BufMut, BytesMut};

use super::commits::Commits;
use super::retained::RetainedStore;
use crate::engine::Engine;
use crate::wire::cbor;
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::mirror::{self, MessageMirrors, Trace};
use crate::wire::name::{Agent, Category};
use crate::wire::observe::Event;
use crate::wire::presence::Encoding;
use crate::wire::topic::{RoomTopic, Topic};

/// Retains a message of the gateway's: a key, a presence, a pending approval. The engine's limits
/// bound them.
pub(super) fn retain_gateway_message(
    engine: &mut Engine,
    retained: &mut RetainedStore,
    commits: &mut Commits,
    topic: &RoomTopic,
    message: &Message,
) -> Message {
    if !shows_key(topic) {
        return retained.retain(message, commits);
    }
    // A key's entry is retained in memory alone: the engine's record of the key says it all, and a
    // start makes it from that.
    let numbered = retained.number(message);
    let payload = numbered.payload();
    if payload.is_empty() {
        retained.clear(numbered.topic());
    } else {
        engine.attach_key(topic, &payload);
        retained.set(numbered.clone());
    }
    commits.set_awaited(true);
    numbered
}

/// Retains the entries of all keys that the engine has recovered.
pub(super) fn show_recovered_keys(root: &str, engine: &mut Engine, retained: &mut RetainedStore) {
    engine.show_keys(&mut |topic, payload| {
        let topic = topic.format(root);
        let message = gateway_message(&topic, &payload, true, &MessageMirrors::default());
        let payload = message.payload();
        retained.set(message);
        payload
    });
}

/// Whether a retained message shows a key, as earlier versions stored it beside the key itself.
pub(super) fn is_stored_key(root: &str, message: &Message) -> bool {
    let topic = RoomTopic::parse(root, message.topic());
    message.publisher().is_empty()
        && topic.is_some_and(|topic| topic.is_ok_and(|topic| shows_key(&topic)))
}

/// The retained messages that are not in the encoding that their rooms have now, in that encoding.
pub(super) fn in_other_encoding(
    root: &str,
    engine: &Engine,
    retained: &RetainedStore,
) -> Vec<(RoomTopic, Message)> {
    let filter = format!("{root}/#");
    let reencoded = retained.matching(&filter, 0).filter_map(|message| {
        if !message.publisher().is_empty() {
            return None;
        }
        let topic = RoomTopic::parse(root, message.topic())?.ok()?;
        let payload = message.payload();
        let payload = match (engine.encoding(&topic.room), Encoding::of(&payload)) {
            (Encoding::Cbor, Encoding::Json) => cbor::from_json(&payload),
            (Encoding::Json, Encoding::Cbor) => cbor::to_json(&payload).ok()?.into(),
            _ => return None,
        };
        let mirrors = MessageMirrors::default();
        let message = gateway_message(message.topic(), &payload, true, &mirrors);
        Some((topic, message))
    });
    reencoded.collect()
}

/// An event of the gateway's for whoever observes; `payload` is the event as its room has it
/// written.
pub(super) fn event_message(
    root: &str,
    event: &Event,
    category: Category,
    payload: &[u8],
) -> Message {
    let topic = Topic::ObserveEvents {
        source: Agent::gateway(),
        category,
    };
    let topic = RoomTopic::new(event.room.clone(), topic).format(root);
    let mirrors = MessageMirrors {
        from: Some(event.who.clone()),
        trace: Trace {
            traceparent: event.traceparent.clone(),
            tracestate: None,
        },
        ..MessageMirrors::default()
    };
    gateway_message(&topic, payload, false, &mirrors)
}

fn shows_key(topic: &RoomTopic) -> bool {
    matches!(topic.topic, Topic::BlackboardState { .. })
}

/// A message of the gateway's own: JSON or CBOR, at the highest QoS, so that each subscriber gets
/// the one that it asked for.
pub(super) fn gateway_message(
    topic: &str,
    payload: &[u8],
    retain: bool,
    mirrors: &MessageMirrors,
) -> Message {
    let properties = properties(payload, mirrors);
    Message::encode(&Parts {
        topic,
        publisher: "",
        qos: Qos::ExactlyOnce,
        retain,
        retained_seq: 0,
        expires_at: mirrors.expires_at.unwrap_or(0),
        properties: &properties,
        payload,
    })
}

/// MQTT 5 properties of a message (MQTT 5 section 3.3.2.3).
fn properties(payload: &[u8], mirrors: &MessageMirrors) -> BytesMut {
    const CONTENT_TYPE: u8 = 0x03;
    const JSON: &str = "application/json";
    const CORRELATION_DATA: u8 = 0x09;
    const USER_PROPERTY: u8 = 0x26;
    let mut out = BytesMut::with_capacity(128);
    // All messages of the gateway's are objects, so that their first byte tells; one that takes a
    // retained one away is empty, which is no JSON: clients that parse by the type drop it.
    let content_type = match Encoding::of(payload) {
        _ if payload.is_empty() => None,
        Encoding::Json => Some(JSON),
        Encoding::Cbor => Some(cbor::CONTENT_TYPE),
    };
    if let Some(content_type) = content_type {
        put_property(&mut out, CONTENT_TYPE, &[content_type]);
    }
    if let Some(correlation_id) = &mirrors.correlation_id {
        put_property(&mut out, CORRELATION_DATA, &[correlation_id]);
    }
    for (name, value) in [
        (mirror::FROM, mirrors.from.as_ref().map(Agent::as_str)),
        (mirror::TRACEPARENT, mirrors.trace.traceparent.as_deref()),
        (mirror::TRACESTATE, mirrors.trace.tracestate.as_deref()),
    ] {
        if let Some(value) = value {
            put_property(&mut out, USER_PROPERTY, &[name, value]);
        }
    }
    out
}

/// A property of one string, or of a pair. The engine's limits keep every string far below the
/// 65,535 bytes that fit.
fn put_property(out: &mut BytesMut, id: u8, strings: &[&str]) {
    out.put_u8(id);
    for text in strings {
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        out.put_u16(len);
        out.put_slice(&text.as_bytes()[..usize::from(len)]);
    }
}

//! The packet decoders, for the fuzzers and their smoke tests alone. It owns nothing and serves
//! nobody; it holds what comes from the wire against what goes onto it.

use bytes::Bytes;

use crate::wire::message::{Message, Parts};

use super::accept::handshake;
use super::codec::decode::{self, Publish};
use super::codec::encode::{
    Alias, Output, PUBACK, PUBCOMP, PUBREC, PUBREL, PublishHeader, publish_len,
};
use super::codec::fixed_header::{self, FixedHeader, PacketType};
use super::config::{DoorConfig, MqttConfig};

/// Any time; expiries count from it.
const NOW: u64 = 1_000_000;

/// Cuts a stream into packets and reads each.
///
/// # Panics
/// If what was read and is written again does not read the same.
pub fn decode(v5: bool, stream: &[u8]) {
    let max = MqttConfig::default().max_packet.0;
    let mut rest = stream;
    while let Ok(Some(frame)) = fixed_header::first(rest, max) {
        packet(v5, frame.first, &rest[frame.header..frame.len()]);
        rest = &rest[frame.len()..];
    }
}

/// Reads the body of one packet.
///
/// # Panics
/// As [`decode`].
pub fn packet(v5: bool, first: u8, body: &[u8]) {
    let Ok(kind) = fixed_header::packet_type(first) else {
        return;
    };
    match kind {
        PacketType::Publish => publish(v5, first, body),
        PacketType::Connect => connect(body),
        PacketType::Subscribe => drop(decode::subscribe(v5, body)),
        PacketType::Unsubscribe => drop(decode::unsubscribe(v5, body)),
        PacketType::Disconnect => drop(decode::disconnect(v5, body)),
        PacketType::Puback => ack(v5, kind, PUBACK, body),
        PacketType::Pubrec => ack(v5, kind, PUBREC, body),
        PacketType::Pubrel => ack(v5, kind, PUBREL, body),
        PacketType::Pubcomp => ack(v5, kind, PUBCOMP, body),
        PacketType::Pingreq | PacketType::Auth => {}
    }
}

fn body_of(packet: &[u8]) -> (FixedHeader, &[u8]) {
    let frame = fixed_header::first(packet, usize::MAX)
        .expect("own packets are sound")
        .expect("own packets are whole");
    assert_eq!(frame.len(), packet.len(), "a packet is as long as it says");
    (frame, &packet[frame.header..])
}

fn publish(v5: bool, first: u8, body: &[u8]) {
    let Ok(read) = decode::publish(v5, first, body) else {
        return;
    };
    let message = Message::encode(&Parts {
        topic: read.topic,
        publisher: "",
        qos: read.qos,
        retain: read.retain,
        retained_seq: 0,
        expires_at: read
            .properties
            .expiry
            .map_or(0, |seconds| NOW + u64::from(seconds) * 1000),
        properties: &read.properties.forwarded,
        payload: read.payload,
    });
    let stored: Bytes = message.as_bytes().clone();
    assert_eq!(Message::decode(stored).as_ref(), Ok(&message));
    let head = PublishHeader {
        qos: read.qos,
        retain: read.retain,
        dup: false,
        packet_id: read.packet_id,
        subscription_ids: &[],
        alias: read.properties.alias.map(|number| Alias {
            number,
            known: read.topic.is_empty(),
        }),
        now: NOW,
    };
    let mut out = Output::default();
    out.publish(v5, &message.parts(), &head);
    assert_eq!(out.len(), publish_len(v5, &message.parts(), &head));
    let (frame, body) = body_of(out.pending());
    let again = decode::publish(v5, frame.first, body).expect("what was read can be read again");
    assert_eq!(essence(&again), essence(&read));
}

/// What must survive; an expiry of 0 seconds is the one thing that must not (it would say
/// "expired").
fn essence<'a>(publish: &'a Publish<'_>) -> impl PartialEq + std::fmt::Debug + use<'a> {
    let properties = &publish.properties;
    (
        (publish.qos, publish.retain, publish.packet_id),
        (publish.topic, publish.payload),
        (properties.alias, properties.expiry.map(|left| left.max(1))),
        (properties.response_topic, properties.correlation),
        (properties.traceparent, properties.tracestate),
        properties.forwarded.as_ref(),
    )
}

fn ack(v5: bool, kind: PacketType, first: u8, body: &[u8]) {
    let Ok(read) = decode::ack(v5, kind, body) else {
        return;
    };
    let mut out = Output::default();
    out.ack(first, read.packet_id, None);
    let (_, body) = body_of(out.pending());
    let again = decode::ack(v5, kind, body).expect("what was read can be read again");
    assert_eq!(again.packet_id, read.packet_id);
}

/// What answers it must be sound.
fn connect(body: &[u8]) {
    let Ok(read) = handshake::connect(&DoorConfig::from(MqttConfig::default()), body) else {
        return;
    };
    let mut out = Output::default();
    read.accept(&DoorConfig::from(MqttConfig::default()), false, &mut out);
    body_of(out.pending());
}

//! The packet decoders, for the fuzzers and their smoke tests alone. It owns nothing and serves nobody; it holds what comes from
//! the wire against what goes onto it.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};

use crate::wire::message::{Message, Parts};

use super::config::MqttConfig;
use super::decode::{self, Publish};
use super::encode::{Alias, Head, Output, PUBACK, PUBCOMP, PUBREC, PUBREL, publish_len};
use super::frame::{self, Frame, Kind};
use super::handshake;

/// Any time; expiries count from it.
const NOW: u64 = 1_000_000;

/// Cuts a stream into packets and reads each.
///
/// # Panics
/// If what was read and is written again does not read the same.
pub fn decode(v5: bool, stream: &[u8]) {
    let max = MqttConfig::default().max_packet_bytes;
    let mut rest = stream;
    while let Ok(Some(frame)) = frame::first(rest, max) {
        packet(v5, frame.first, &rest[frame.header..frame.len()]);
        rest = &rest[frame.len()..];
    }
}

/// Reads the body of one packet.
///
/// # Panics
/// As [`decode`].
pub fn packet(v5: bool, first: u8, body: &[u8]) {
    let Ok(kind) = frame::kind(first) else { return };
    match kind {
        Kind::Publish => publish(v5, first, body),
        Kind::Connect => connect(body),
        Kind::Subscribe => subscribe(v5, body),
        Kind::Unsubscribe => unsubscribe(v5, body),
        Kind::Disconnect => disconnect(v5, body),
        Kind::Puback => ack(v5, kind, PUBACK, body),
        Kind::Pubrec => ack(v5, kind, PUBREC, body),
        Kind::Pubrel => ack(v5, kind, PUBREL, body),
        Kind::Pubcomp => ack(v5, kind, PUBCOMP, body),
        Kind::Pingreq | Kind::Auth => {}
    }
}

fn body_of(packet: &[u8]) -> (Frame, &[u8]) {
    let frame = frame::first(packet, usize::MAX)
        .expect("own packets are sound")
        .expect("own packets are whole");
    assert_eq!(frame.len(), packet.len(), "a packet is as long as it says");
    (frame, &packet[frame.header..])
}

/// The body of a packet as mqtt-protocol-core writes it; nothing where it gets lengths wrong that took more bytes than they need.
fn rewritten(packet: &[u8]) -> Option<&[u8]> {
    let frame = frame::first(packet, usize::MAX).ok().flatten()?;
    (frame.len() == packet.len()).then(|| &packet[frame.header..])
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
        stamp: 0,
        expires_at: read
            .properties
            .expiry
            .map_or(0, |seconds| NOW + u64::from(seconds) * 1000),
        properties: &read.properties.forwarded,
        payload: read.payload,
    });
    let stored: Bytes = message.as_bytes().clone();
    assert_eq!(Message::decode(stored).as_ref(), Ok(&message));
    let head = Head {
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

/// What must survive; an expiry of 0 seconds is the one thing that must not (it would say "expired").
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

fn ack(v5: bool, kind: Kind, first: u8, body: &[u8]) {
    let Ok(read) = decode::ack(v5, kind, body) else {
        return;
    };
    let mut out = Output::default();
    out.ack(first, read.packet_id, None);
    let (_, body) = body_of(out.pending());
    let again = decode::ack(v5, kind, body).expect("what was read can be read again");
    assert_eq!(again.packet_id, read.packet_id);
}

fn connect(body: &[u8]) {
    let Ok(read) = handshake::connect(&MqttConfig::default(), body) else {
        return;
    };
    let mut out = Output::default();
    read.accept(&MqttConfig::default(), false, &mut out);
    body_of(out.pending());
    let again = if read.client.v5 {
        v5_0::Connect::parse(body).map(|(packet, _)| packet.to_continuous_buffer())
    } else {
        v3_1_1::Connect::parse(body).map(|(packet, _)| packet.to_continuous_buffer())
    };
    let Some(body) = again.as_deref().ok().and_then(rewritten) else {
        return;
    };
    let again = handshake::connect(&MqttConfig::default(), body);
    let again = again.expect("what was read can be read again");
    assert_eq!(again.client.durable, read.client.durable);
    assert_eq!(again.client.keep_alive, read.client.keep_alive);
    assert_eq!(again.will.is_some(), read.will.is_some());
    assert_eq!(
        (again.window, again.max_packet, again.expiry),
        (read.window, read.max_packet, read.expiry)
    );
}

fn subscribe(v5: bool, body: &[u8]) {
    let Ok(read) = decode::subscribe(v5, body) else {
        return;
    };
    let again = if v5 {
        v5_0::Subscribe::parse(body).map(|(packet, _)| packet.to_continuous_buffer())
    } else {
        v3_1_1::Subscribe::parse(body).map(|(packet, _)| packet.to_continuous_buffer())
    };
    let Some(body) = again.as_deref().ok().and_then(rewritten) else {
        return;
    };
    let again = decode::subscribe(v5, body).expect("what was read can be read again");
    assert_eq!(
        (again.packet_id, again.id, &again.entries),
        (read.packet_id, read.id, &read.entries)
    );
}

fn unsubscribe(v5: bool, body: &[u8]) {
    let Ok(read) = decode::unsubscribe(v5, body) else {
        return;
    };
    let again = if v5 {
        v5_0::Unsubscribe::parse(body).map(|(packet, _)| packet.to_continuous_buffer())
    } else {
        v3_1_1::Unsubscribe::parse(body).map(|(packet, _)| packet.to_continuous_buffer())
    };
    if let Some(body) = again.as_deref().ok().and_then(rewritten) {
        assert_eq!(decode::unsubscribe(v5, body), Ok(read));
    }
}

fn disconnect(v5: bool, body: &[u8]) {
    let Ok(read) = decode::disconnect(v5, body) else {
        return;
    };
    if v5 {
        let again = v5_0::Disconnect::parse(body).map(|(packet, _)| packet.to_continuous_buffer());
        if let Some(body) = again.as_deref().ok().and_then(rewritten) {
            assert_eq!(decode::disconnect(v5, body), Ok(read));
        }
    }
}

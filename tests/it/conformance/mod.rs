//! MQTT 3.1.1 and 5.0, clause by clause, from outside: raw packets to a real gateway.
//!
//! A test is named by the clause that it is about first (`mqtt_3_3_1_5_…` for MQTT-3.3.1-5); the
//! line above it lists every clause that it shows, by version. `page` holds `docs/conformance.md`
//! equal to these lines: each numbered statement of both specifications is either shown by a test
//! that exists, or has a reason why not.

mod auth;
mod closing;
mod connect;
mod durable;
mod expiry;
mod flow;
mod framing;
mod limits;
mod options;
mod page;
mod publish;
mod qos;
mod retained;
mod session;
mod shared;
mod strings;
mod subscribe;
mod topics;
mod will;
mod wire;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::harness::{Client, Connect, Gateway, Packet, Properties, Publish, Version};

use wire::text;

pub(super) const BOTH: [Version; 2] = [Version::V311, Version::V5];

/// A gateway with the defaults that tests running at the same time share: topics and client ids
/// must be a test's own. Its last user ends it.
pub(super) fn gateway() -> Arc<Gateway> {
    static SHARED: Mutex<Weak<Gateway>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Gateway::start());
        *shared = Arc::downgrade(&started);
        started
    })
}

/// Connects with a clean session.
pub(super) fn join(gateway: &Gateway, version: Version, id: &str) -> Client {
    Client::connect(gateway.mqtt, Connect::new(version, id))
}

/// `name`, made one's own for each version.
pub(super) fn own(name: &str, version: Version) -> String {
    match version {
        Version::V311 => format!("{name}-v3"),
        Version::V5 => format!("{name}-v5"),
    }
}

/// Sends these bytes on a fresh connection that was let in, and expects it to be closed; the reason
/// that DISCONNECT gives on MQTT 5, `None` on 3.1.1, where the server has no way to say one.
#[track_caller]
pub(super) fn cut_off(gateway: &Gateway, version: Version, bytes: &[u8]) -> Option<u8> {
    let mut client = Client::connect(gateway.mqtt, Connect::new(version, ""));
    client.send_raw(bytes);
    said_at_the_end(&mut client)
}

/// The reason of the DISCONNECT with which the gateway closes, if it says one.
#[track_caller]
pub(super) fn said_at_the_end(client: &mut Client) -> Option<u8> {
    client.expect_closed();
    client.take_kept(|packet| match packet {
        Packet::Disconnect { code, .. } => Some(*code),
        _ => None,
    })
}

/// Subscribes with properties and options (MQTT 5).
#[track_caller]
pub(super) fn subscribe_with(
    client: &mut Client,
    filters: &[(&str, u8)],
    properties: Properties,
) -> Vec<u8> {
    let id = client.packet_id();
    let filters = filters
        .iter()
        .map(|&(filter, options)| (filter.to_owned(), options));
    client.send(&Packet::Subscribe {
        packet_id: id,
        filters: filters.collect(),
        properties,
    });
    client.expect("SUBACK", |packet| match packet {
        Packet::SubAck { packet_id, codes } if *packet_id == id => Some(codes.clone()),
        _ => None,
    })
}

/// A PUBLISH with this packet id, to be sent as it is.
pub(super) fn numbered(topic: &str, payload: &str, qos: u8, packet_id: u16) -> Publish {
    Publish {
        packet_id: Some(packet_id),
        ..Publish::new(topic, payload, qos)
    }
}

/// Publishes and waits for the acknowledgement, so that it counts as accepted.
#[track_caller]
pub(super) fn publish(client: &mut Client, topic: &str, payload: &str, qos: u8) {
    let code = client.publish(Publish::new(topic, payload, qos));
    assert!(code < 0x80, "{topic}: refused with {code:#x}");
}

/// Publishes and waits until whoever listens has it: later subscriptions are later than that.
/// PUBACK alone says no more than that the gateway has taken it; a witness says that it has gone
/// by.
#[track_caller]
pub(super) fn publish_past(
    gateway: &Gateway,
    version: Version,
    client: &mut Client,
    (topic, payload, qos): (&str, &str, u8),
) {
    let mut witness = join(gateway, version, "");
    witness.subscribe(&[(topic, 1)]);
    publish(client, topic, payload, qos);
    let is_it = |message: &Publish| !message.retain && message.text() == payload;
    while !is_it(&witness.message()) {}
}

/// Publishes a retained message and waits until it counts.
#[track_caller]
pub(super) fn retain(client: &mut Client, topic: &str, payload: &str, qos: u8) {
    let code = client.publish(Publish::new(topic, payload, qos).retained());
    assert!(code < 0x80, "{topic}: refused with {code:#x}");
}

/// Returns when the gateway says that so many seconds have gone by: a will that waits for them is
/// the clock.
pub(super) fn wait(gateway: &Gateway, seconds: u32) {
    static CLOCKS: AtomicU32 = AtomicU32::new(0);
    let topic = format!("clock/{}", CLOCKS.fetch_add(1, Ordering::Relaxed));
    let mut watcher = join(gateway, Version::V5, &format!("{topic}/watcher"));
    watcher.subscribe(&[(&topic, 0)]);
    let mut clock = Connect::v5(&topic)
        .persistent()
        .with_will(&topic, "now", 0, false);
    if let Some(will) = &mut clock.will {
        will.properties = Properties::new().four(0x18, seconds);
    }
    Client::connect(gateway.mqtt, clock).vanish();
    watcher.message();
}

//! Clients that break the protocol.

use super::harness::*;
use crate::metrics::Count;
use crate::mqtt::MqttConfig;

/// What a connected client may not send, and the reason that MQTT 5 gives.
fn offences() -> Vec<(&'static str, Vec<u8>, u8)> {
    let deep = "/".repeat(0xff00);
    let mut deep_publish = vec![0x30, 0x83, 0xfe, 0x03, 0xff, 0x00];
    deep_publish.extend(deep.as_bytes());
    deep_publish.push(0);
    vec![
        ("a second CONNECT", connect5("me", 0, &[]), 0x82),
        ("CONNACK", vec![0x20, 3, 0, 0, 0], 0x82),
        ("SUBACK without codes", vec![0x90, 3, 0, 1, 0], 0x82),
        ("PINGRESP", vec![0xD0, 0], 0x82),
        ("a reserved type", vec![0x00, 0], 0x81),
        (
            "a length of five bytes",
            vec![0x30, 0x80, 0x80, 0x80, 0x80, 1],
            0x81,
        ),
        (
            "more than was allowed",
            vec![0x30, 0xff, 0xff, 0xff, 0x7f],
            0x95,
        ),
        (
            "SUBSCRIBE with bad flags",
            vec![0x80, 6, 0, 1, 0, 0, 1, b'a'],
            0x81,
        ),
        ("SUBSCRIBE without filters", vec![0x82, 3, 0, 1, 0], 0x82),
        (
            "SUBSCRIBE with a null",
            subscribe(true, 1, &[("a\0", 0)]),
            0x81,
        ),
        ("PUBREL with bad flags", vec![0x60, 2, 0, 1], 0x81),
        ("PUBACK cut short", vec![0x40, 1, 0], 0x81),
        ("packet id 0", publish(true, "a", 1, 0, b""), 0x82),
        ("QoS 3", vec![0x36, 6, 0, 1, b'a', 0, 1, 0], 0x81),
        ("bad UTF-8", vec![0x30, 5, 0, 2, 0xc3, 0x28, 0], 0x81),
        ("a null", publish(true, "a\0b", 0, 0, b""), 0x81),
        ("a wildcard", publish(true, "a/+", 0, 0, b""), 0x90),
        ("no topic", publish(true, "", 0, 0, b""), 0x82),
        ("65,280 slashes", deep_publish, 0x90),
        (
            "a topic longer than the packet",
            vec![0x30, 4, 0xff, 0xff, b'a', 0],
            0x81,
        ),
        (
            "a subscription identifier",
            publish_with(true, 0x30, "a", 0, &[0x0B, 1], b""),
            0x82,
        ),
        ("PINGREQ with a body", vec![0xC0, 1, 0], 0x81),
        ("AUTH out of nowhere", vec![0xF0, 0], 0x82),
    ]
}

#[tokio::test]
async fn an_offence_closes_its_connection_with_its_reason_and_no_other() {
    let mut world = World::new();
    let (mut bystander, _kept) = world.client5("bystander").await;
    for (what, bytes, reason) in offences() {
        let (mut client, _desk) = world.client5("me").await;
        client.send(&bytes).await;
        assert_eq!(client.recv().await, Got::Disconnect(reason), "{what}");
        assert_eq!(client.recv().await, Got::Closed, "{what}");
        world.asked().await;
        bystander.silent().await;
    }
    let closed: u64 = world.metrics.disconnects.values().map(Count::value).sum();
    assert_eq!(closed, offences().len() as u64);
}

#[tokio::test]
async fn older_clients_are_closed_without_a_word() {
    let mut world = World::new();
    for bytes in [
        connect4("me", true),
        vec![0x20, 2, 0, 0],
        vec![0xF0, 0],
        vec![0xE0, 1, 0],
        vec![0x40, 3, 0, 1, 0],
        publish(false, "a/#", 0, 0, b""),
        subscribe(false, 1, &[("a", 0b100)]),
    ] {
        let (mut client, _desk) = world.client4("me").await;
        client.send(&bytes).await;
        assert_eq!(client.recv().await, Got::Closed, "{bytes:?}");
        world.asked().await;
    }
}

#[tokio::test]
async fn one_packet_id_twenty_thousand_times_is_one_message() {
    let mut world = World::with(MqttConfig {
        receive_maximum: 4,
        ..MqttConfig::default()
    });
    let (mut client, _desk) = world.client5("me").await;
    let same = publish(true, "a", 2, 1, b"x");
    for _ in 0..200 {
        client.send(&same.repeat(100)).await;
        for _ in 0..100 {
            assert_eq!(client.recv().await, Got::Ack(0x50, 1, 0));
        }
    }
    assert_eq!(world.seen().await, Seen::Published("a".into(), true));
    assert!(world.saw.try_recv().is_err());
}

#[tokio::test]
async fn ids_never_released_are_bounded_by_receive_maximum() {
    let mut world = World::with(MqttConfig {
        receive_maximum: 4,
        ..MqttConfig::default()
    });
    let (mut client, _desk) = world.client5("me").await;
    for id in 1..=4 {
        client.send(&publish(true, "a", 2, id, b"")).await;
        assert_eq!(client.recv().await, Got::Ack(0x50, id, 0));
    }
    client.send(&publish(true, "a", 2, 5, b"")).await;
    assert_eq!(client.recv().await, Got::Disconnect(0x93));
}

#[tokio::test]
async fn packets_may_arrive_byte_by_byte() {
    let mut world = World::new();
    let (mut client, _desk) = world.client4("me").await;
    for byte in publish(false, "slow/but/sure", 1, 7, b"payload") {
        client.send(&[byte]).await;
    }
    assert_eq!(client.recv().await, Got::Ack(0x40, 7, 0));
    assert_eq!(
        world.seen().await,
        Seen::Published("slow/but/sure".into(), true)
    );
}

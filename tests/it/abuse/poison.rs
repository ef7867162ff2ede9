//! A publish that cannot be taken, from a client that sends it again whenever it comes back.

use crate::harness::{Client, Connect, Gateway, Packet, Publish, Setup, Version, encode};

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

fn unacknowledged(topic: &str, payload: Vec<u8>, dup: bool) -> Publish {
    Publish {
        packet_id: Some(7),
        dup,
        ..Publish::new(topic, payload, 1)
    }
}

fn acknowledged(client: &mut Client) -> u8 {
    client.expect("PUBACK", |packet| match packet {
        Packet::PubAck(ack) if ack.packet_id == 7 => Some(ack.code),
        _ => None,
    })
}

/// Comes back with the same publish until it has cost two connections; the third, with what was
/// answered there.
fn comes_back(gateway: &Gateway, connect: &Connect, publish: &Publish) -> (Client, u8) {
    for round in 0..2 {
        let mut client = Client::connect(gateway.mqtt, connect.clone());
        client.send(&Packet::Publish(Publish {
            dup: round > 0,
            ..publish.clone()
        }));
        client.expect_closed();
    }
    let mut client = Client::connect(gateway.mqtt, connect.clone());
    client.send(&Packet::Publish(Publish {
        dup: true,
        ..publish.clone()
    }));
    let code = acknowledged(&mut client);
    (client, code)
}

fn dropped(gateway: &Gateway, reason: &str) -> u64 {
    gateway.metric(&format!(
        "hallward_mqtt_publishes_dropped_total{{reason=\"{reason}\"}}"
    ))
}

#[test]
fn a_publish_that_finds_no_room_shuts_no_old_client_out_for_good() {
    let mut gateway = Setup::new()
        .with("retained.max_messages", "1")
        .with("mqtt.max_topic_levels", "16")
        .start();
    let mut watcher = Client::connect(gateway.mqtt, Connect::v5("watcher"));
    watcher.subscribe(&[("$SYS/broker/publish/dropped", 0)]);
    assert_eq!(watcher.publish(Publish::new("taken", "x", 1).retained()), 0);
    let old = Connect::v311("old").persistent();
    let mut retained = unacknowledged("no/room", b"x".to_vec(), false);
    retained.retain = true;
    let (mut client, _) = comes_back(&gateway, &old, &retained);
    client.ping();
    let told = watcher.message();
    for part in [
        "\"client\":\"old\"",
        "\"topic\":\"no/room\"",
        "retained_full",
    ] {
        assert!(told.text().contains(part), "{}", told.text());
    }
    assert_eq!(dropped(&gateway, "retained_full"), 1);
    let deep = unacknowledged(&["l"; 17].join("/"), b"x".to_vec(), false);
    for version in VERSIONS {
        let connect = Connect::new(version, &format!("diver-{version:?}")).persistent();
        let (mut client, code) = comes_back(&gateway, &connect, &deep);
        assert_eq!(code, if version == Version::V5 { 0x90 } else { 0 });
        client.ping();
    }
    assert_eq!(dropped(&gateway, "too_deep"), 2);
    assert!(gateway.stop().success());
    let log = gateway.stderr();
    let lines = log
        .lines()
        .filter(|line| line.contains("publish dropped: "));
    let old: Vec<&str> = lines
        .filter(|line| line.contains("client=\"old\""))
        .collect();
    assert_eq!(old.len(), 1, "{log}");
    assert!(
        old[0].contains("no/room") && old[0].contains("bytes="),
        "{}",
        old[0]
    );
}

#[test]
fn a_publish_that_is_too_large_costs_two_connections_and_is_then_read_away() {
    let gateway = Setup::new().with("mqtt.max_packet", "4KiB").start();
    for version in VERSIONS {
        let id = format!("camera-{version:?}").to_lowercase();
        let connect = Connect::new(version, &id).persistent();
        let reply = format!("rooms/lab/reply/{id}");
        let mut client = Client::connect(gateway.mqtt, connect.clone());
        client.subscribe(&[(&reply, 1)]);
        client.disconnect();
        let topic = format!("rooms/lab/inbox/bob/{id}");
        let large = unacknowledged(&topic, vec![b'x'; 100_000], false);
        let (mut client, code) = comes_back(&gateway, &connect, &large);
        assert_eq!(code, if version == Version::V5 { 0x97 } else { 0 });
        let told = client.message_on(&reply);
        assert!(told.text().contains("413"), "{}", told.text());
        // What comes behind it is read as ever.
        assert_eq!(client.publish(Publish::new("small", "x", 2)), 0);
        client.disconnect();
    }
    assert_eq!(dropped(&gateway, "too_large"), 2);
}

#[test]
fn what_an_old_client_sends_too_large_at_qos_0_costs_nothing_but_itself() {
    let gateway = Setup::new()
        .with("mqtt.max_packet", "4KiB")
        .with("mqtt.max_discarded", "64KiB")
        .start();
    let large = |size| Packet::Publish(Publish::new("camera", vec![b'x'; size], 0));
    let mut old = Client::connect(gateway.mqtt, Connect::v311("old"));
    old.subscribe(&[("camera", 0)]);
    // In pieces, with what comes next in the last.
    let mut bytes = encode(&large(60_000), Version::V311);
    bytes.extend(encode(&large(10), Version::V311));
    for piece in bytes.chunks(7000) {
        old.send_raw(piece);
    }
    assert_eq!(old.message().payload.len(), 10);
    old.ping();
    assert_eq!(dropped(&gateway, "too_large"), 1);
    // There is a bound, and MQTT 5 has a rule.
    old.try_send(&large(70_000)).expect("it is connected");
    old.expect_closed();
    let mut new = Client::connect(gateway.mqtt, Connect::v5("new"));
    new.send_raw(&encode(&large(60_000), Version::V5)[..100]);
    assert_eq!(new.expect_disconnect(), 0x95);
}

#[test]
fn who_wants_it_closes_each_time() {
    let gateway = Setup::new()
        .with("mqtt.max_packet", "4KiB")
        .with("mqtt.poison", "close")
        .start();
    for round in 0..4 {
        let mut client = Client::connect(gateway.mqtt, Connect::v311("camera").persistent());
        let large = unacknowledged("camera", vec![b'x'; 10_000], round > 0);
        client.send(&Packet::Publish(large));
        client.expect_closed();
    }
    assert_eq!(dropped(&gateway, "too_large"), 0);
}

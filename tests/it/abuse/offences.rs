//! Packets in the wrong direction, and properties that are wrong or far too many.

use super::bystander::Bystander;
use super::{MIB, grown};
use crate::harness::{
    Client, Connect, Gateway, Lost, Packet, Properties, Publish, Value, property,
};

#[test]
fn packets_that_only_servers_send_close_the_connection() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    for bytes in [
        &[0x20, 2, 0, 0][..],
        &[0x20, 3, 0, 0, 0],
        &[0x90, 3, 0, 1, 0],
        &[0x90, 3, 0, 1, 0x80],
        &[0x90, 2, 0, 1],
        &[0xB0, 2, 0, 1],
        &[0xB0, 4, 0, 1, 0, 0],
        &[0xD0, 0],
        &[0xF0, 0],
        &[0x00, 0],
    ] {
        let mut new = Client::connect(gateway.mqtt, Connect::v5("eve"));
        new.send_raw(bytes);
        assert!([0x81, 0x82].contains(&new.expect_disconnect()), "{bytes:?}");
        new.expect_closed();
        let mut old = Client::connect(gateway.mqtt, Connect::v311("eve"));
        old.send_raw(bytes);
        assert_eq!(
            old.receive().expect_err("closed"),
            Lost::Closed,
            "{bytes:?}"
        );
    }
    bystander.is_served();
}

#[test]
fn acks_for_nothing_change_nothing() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    for connect in [
        Connect::v5("eve"),
        Connect::v5("eve").persistent(),
        Connect::v311("eve"),
    ] {
        let mut eve = Client::connect(gateway.mqtt, connect);
        eve.subscribe(&[("eve", 2)]);
        let mut bytes = Vec::new();
        for id in 1..2_000u16 {
            let [high, low] = id.to_be_bytes();
            for first in [0x40, 0x70] {
                bytes.extend([first, 2, high, low]);
            }
        }
        eve.send_raw(&bytes);
        eve.ping();
        for qos in [1, 2] {
            assert_eq!(eve.publish(Publish::new("eve", "x", qos)), 0);
            assert_eq!(eve.message().qos, qos);
        }
        eve.ping();
        eve.disconnect();
    }
    bystander.is_served();
}

/// Connects and returns the code with which it is refused.
fn refusal(gateway: &Gateway, connect: Connect) -> Option<u8> {
    let mut client = Client::open(gateway.mqtt, connect.version).expect("accepted");
    client.send(&Packet::Connect(connect));
    match client.receive() {
        Ok(Packet::ConnAck { code, .. }) => Some(code),
        Err(Lost::Closed) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_will_properties_are_refused_however_often_and_cost_nothing() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let with = |id, value| Properties::new().with(id, value);
    let twice = Properties::new()
        .four(property::MESSAGE_EXPIRY, 1)
        .four(property::MESSAGE_EXPIRY, 1);
    let bad = [
        with(0x01, Value::Byte(2)),
        with(0x18, Value::Byte(1)),
        with(0x21, Value::Two(1)),
        with(property::SESSION_EXPIRY, Value::Four(1)),
        with(0x23, Value::Two(1)),
        with(0x0B, Value::Variable(1)),
        with(0x7e, Value::Byte(1)),
        with(property::RESPONSE_TOPIC, Value::Text("a/#".into())),
        twice,
    ];
    let mut before = 0;
    for round in 0..100 {
        for properties in &bad {
            let mut connect = Connect::v5("eve").with_will("wills/eve", "dead", 1, false);
            let will = connect.will.as_mut().expect("just set");
            will.properties = properties.clone();
            let code = refusal(&gateway, connect);
            assert!(code != Some(0), "{properties:?}");
        }
        if round == 10 {
            before = gateway.resident();
        }
    }
    let held = grown(&gateway, before);
    assert!(held < 8 * MIB, "{held} bytes");
    bystander.is_served();
}

#[test]
fn ten_thousand_user_properties_go_through_or_are_refused_whole() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let many = (0..10_000).fold(Properties::new(), |all, n| all.user("k", &n.to_string()));
    let mut eve = Client::connect(gateway.mqtt, Connect::v5("eve"));
    eve.subscribe(&[("many", 1)]);
    let mut publish = Publish::new("many", "x", 1);
    publish.properties = many.clone();
    assert_eq!(eve.publish(publish), 0);
    let came = eve.message();
    assert_eq!(came.properties, many, "all of them, in order");
    // Too many for a first packet.
    let mut connect = Connect::v5("mallory");
    connect.properties = many.clone();
    assert_ne!(refusal(&gateway, connect), Some(0));
    // A command's, which the gateway reads itself.
    let mut command = Publish::new("rooms/lab/blackboard/set/eve/k", r#"{"value":1}"#, 1);
    command.properties = many;
    assert_eq!(eve.publish(command), 0);
    // Larger than a packet may be: closed at its header.
    eve.send_raw(&[0x32, 0x80, 0x80, 0x80, 0x01]);
    assert_eq!(eve.expect_disconnect(), 0x95);
    bystander.is_served();
}

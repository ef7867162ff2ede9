//! QoS 2 whose other half never comes.

use super::bystander::Bystander;
use super::{MIB, grown};
use crate::harness::{Ack, Client, Connect, Gateway, Packet, Publish, Version, encode};

fn qos2(id: u16, dup: bool) -> Packet {
    Packet::Publish(Publish {
        packet_id: Some(id),
        dup,
        ..Publish::new("once", id.to_string(), 2)
    })
}

fn pubrec(client: &mut Client) -> u16 {
    client.expect("PUBREC", |packet| match packet {
        Packet::PubRec(ack) => Some(ack.packet_id),
        _ => None,
    })
}

#[test]
fn one_packet_id_twenty_thousand_times_is_one_message_and_no_memory() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut sub = Client::connect(gateway.mqtt, Connect::v5("sub"));
    sub.subscribe(&[("once", 2), ("marker", 1)]);
    for connect in [
        Connect::v311("eve"),
        Connect::v311("mallory").persistent(),
        Connect::v5("trudy").persistent(),
    ] {
        let version = connect.version;
        let mut eve = Client::connect(gateway.mqtt, connect);
        let mut before = 0;
        for round in 0..200 {
            let mut bytes = Vec::new();
            for repeat in 0..100 {
                bytes.extend(encode(&qos2(7, round + repeat > 0), version));
            }
            eve.send_raw(&bytes);
            // Repeats that come while the first is on its way to the disk are answered with it.
            eve.ping();
            if round == 10 {
                before = gateway.resident();
            }
        }
        assert_eq!(pubrec(&mut eve), 7);
        eve.publish(Publish::new("marker", "x", 1));
        assert_eq!(sub.message().text(), "7");
        assert_eq!(sub.message().topic, "marker", "one message");
        let held = grown(&gateway, before);
        assert!(held < 8 * MIB, "{held} bytes");
    }
    bystander.is_served();
}

#[test]
fn ids_never_released_are_bounded_by_receive_maximum_on_mqtt_5() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut eve = Client::connect(gateway.mqtt, Connect::v5("eve").persistent());
    for id in 1..=1024 {
        eve.send(&qos2(id, false));
        assert_eq!(pubrec(&mut eve), id);
    }
    eve.send(&qos2(1025, false));
    assert_eq!(eve.expect_disconnect(), 0x93);
    bystander.is_served();
}

#[test]
fn every_id_there_is_may_stay_unreleased_on_3_1_1_and_costs_little() {
    let mut gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let before = gateway.resident();
    let mut eve = Client::connect(gateway.mqtt, Connect::v311("eve").persistent());
    for chunk in (1..=u16::MAX).collect::<Vec<_>>().chunks(500) {
        let bytes: Vec<u8> = chunk
            .iter()
            .flat_map(|id| encode(&qos2(*id, false), Version::V311))
            .collect();
        eve.send_raw(&bytes);
        chunk
            .iter()
            .for_each(|id| assert_eq!(pubrec(&mut eve), *id));
    }
    let held = grown(&gateway, before);
    assert!(held < 64 * MIB, "{held} bytes");
    bystander.is_served();
    // After a crash they are still known for repeats, and can be released.
    gateway.kill();
    gateway.restart();
    let mut eve = Client::connect(gateway.mqtt, Connect::v311("eve").persistent());
    assert!(eve.session_present);
    let mut sub = Client::connect(gateway.mqtt, Connect::v5("sub"));
    sub.subscribe(&[("once", 2)]);
    for id in [1, 30_000, u16::MAX] {
        eve.send(&qos2(id, true));
        assert_eq!(pubrec(&mut eve), id);
        eve.send(&Packet::PubRel(Ack::ok(id)));
        eve.expect("PUBCOMP", |packet| match packet {
            Packet::PubComp(ack) => (ack.packet_id == id).then_some(()),
            _ => None,
        });
    }
    eve.publish(Publish::new("once", "new", 1));
    assert_eq!(
        sub.message().text(),
        "new",
        "no repeat was taken for a message"
    );
}

#[test]
fn crash_after_pubrec_and_then_a_repeat_is_one_delivery() {
    let mut gateway = Gateway::start();
    let mut sub = Client::connect(gateway.mqtt, Connect::v311("sub").persistent());
    sub.subscribe(&[("once", 2)]);
    sub.disconnect();
    for id in 1..=10 {
        let mut eve = Client::connect(gateway.mqtt, Connect::v311("eve").persistent());
        eve.send(&qos2(id, false));
        if id % 2 == 0 {
            // Else the crash comes at whatever moment it comes.
            assert_eq!(pubrec(&mut eve), id);
        }
        gateway.kill();
        gateway.restart();
        let mut eve = Client::connect(gateway.mqtt, Connect::v311("eve").persistent());
        eve.send(&qos2(id, true));
        assert_eq!(pubrec(&mut eve), id);
        eve.send(&Packet::PubRel(Ack::ok(id)));
        eve.expect("PUBCOMP", |packet| {
            matches!(packet, Packet::PubComp(_)).then_some(())
        });
        eve.disconnect();
    }
    let mut sub = Client::connect(gateway.mqtt, Connect::v311("sub").persistent());
    for id in 1..=10 {
        assert_eq!(sub.message().text(), id.to_string(), "each once");
    }
    sub.publish(Publish::new("once", "last", 1));
    assert_eq!(sub.message().text(), "last");
}

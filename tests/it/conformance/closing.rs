//! PINGREQ and DISCONNECT (MQTT sections 3.12 and 3.14), and how a connection ends.

use super::wire::{Wire, connect, frame, text};
use super::{BOTH, gateway, join, own, publish};
use crate::harness::{Client, Connect, Packet, Properties, Publish, Version, property};

/// 5.0: MQTT-3.12.4-1. 3.1.1: MQTT-3.12.4-1.
#[test]
fn mqtt_3_12_4_1_every_pingreq_is_answered() {
    let gateway = gateway();
    for level in [4, 5] {
        let mut wire = Wire::open(&gateway);
        wire.send(&connect(level, 2, &[], &[&text("")])).expect();
        wire.send(&[0xC0, 0, 0xC0, 0, 0xC0, 0]);
        for _ in 0..3 {
            assert_eq!(wire.expect(), (0xD0, vec![]));
        }
    }
}

/// 5.0: MQTT-3.14.4-1, MQTT-3.14.4-2, MQTT-4.13.2-1.
#[test]
fn mqtt_3_14_4_1_after_our_disconnect_there_is_nothing() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "end-sender");
    let mut wire = Wire::open(&gateway);
    wire.send(&connect(5, 2, &[], &[&text("end")])).expect();
    wire.send(&frame(0x82, &[&[0, 1, 0], &text("end"), &[0]]))
        .expect();
    // Deliveries, an answer that is due, and then the offence.
    for number in 0..20 {
        sender.publish(Publish::new("end", number.to_string(), 1));
    }
    wire.send(&[0xC0, 0, 0x00, 0x00]);
    for number in 20..40 {
        sender.publish(Publish::new("end", number.to_string(), 1));
    }
    let mut last = 0;
    while let Some((first, _)) = wire.packet() {
        assert_ne!(last, 0xE0, "{first:#x} after DISCONNECT");
        last = first;
    }
    assert_eq!(last, 0xE0);
}

/// 5.0: MQTT-3.14.4-2, MQTT-4.13.2-1.
#[test]
fn mqtt_3_14_4_2_what_a_client_sends_behind_its_disconnect_is_not_heard() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("behind", version);
        let mut watcher = join(&gateway, version, &format!("{topic}-watcher"));
        watcher.subscribe(&[(&topic, 0)]);
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let mut client = join(&gateway, version, &topic);
        let mut bytes = frame(0x30, &[&text(&topic), none, b"before"]);
        bytes.extend([0xE0, 0]);
        bytes.extend(frame(0x30, &[&text(&topic), none, b"behind"]));
        client.send_raw(&bytes);
        client.expect_closed();
        assert_eq!(watcher.message().text(), "before");
        publish(&mut watcher, &topic, "marker", 0);
        watcher.expect_silence_until(|message| message.text() == "marker");
    }
}

/// 5.0: MQTT-4.13.1-1, MQTT-3.14.2-1. 3.1.1: MQTT-4.8.0-1.
#[test]
fn mqtt_4_13_1_1_an_offence_costs_the_connection_of_who_committed_it_alone() {
    let gateway = gateway();
    for version in BOTH {
        let mut innocent = join(&gateway, version, &own("innocent", version));
        for bytes in [&[0x00, 0x00][..], &[0xC0, 1, 0], &[0x30, 1, 0], &[0x36, 0]] {
            let said = super::cut_off(&gateway, version, bytes);
            assert_eq!(said.is_some(), version == Version::V5);
        }
        innocent.ping();
    }
}

/// 5.0: MQTT-4.1.0-1. 3.1.1: MQTT-4.8.0-1.
#[test]
fn mqtt_4_1_0_1_an_offence_does_not_cost_the_session() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("survives", version);
        let lasting = || Connect::new(version, &id).persistent();
        let mut client = Client::connect(gateway.mqtt, lasting());
        client.subscribe(&[(&id, 1)]);
        client.send_raw(&[0x00, 0x00]);
        client.expect_closed();
        assert!(Client::connect(gateway.mqtt, lasting()).session_present);
    }
}

/// 5.0: MQTT-3.14.2-1.
#[test]
fn mqtt_3_14_2_1_every_way_in_which_a_client_may_leave() {
    let gateway = gateway();
    for code in [
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    ] {
        let mut client = join(&gateway, Version::V5, "many-ways");
        let properties = Properties::new().text(0x1F, "so long").user("a", "b");
        client.send(&Packet::Disconnect { code, properties });
        assert_eq!(super::said_at_the_end(&mut client), None, "{code:#x}");
    }
    for bytes in [&[0xE0, 0][..], &[0xE0, 1, 0], &[0xE0, 2, 0, 0]] {
        let mut client = join(&gateway, Version::V5, "many-ways");
        client.send_raw(bytes);
        assert_eq!(super::said_at_the_end(&mut client), None, "{bytes:?}");
    }
}

/// 5.0: MQTT-3.14.2-2.
#[test]
fn mqtt_3_14_2_2_our_disconnect_says_nothing_of_the_session_expiry() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.mqtt, Connect::v5("no-expiry").persistent());
    let _new = Client::connect(gateway.mqtt, Connect::v5("no-expiry").persistent());
    let properties = client.expect("DISCONNECT", |packet| match packet {
        Packet::Disconnect { properties, .. } => Some(properties.clone()),
        _ => None,
    });
    assert_eq!(properties.find(property::SESSION_EXPIRY), None);
}

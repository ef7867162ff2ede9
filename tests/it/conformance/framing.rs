//! The fixed header: lengths, reserved flags, packet types, packet ids (MQTT section 2).

use super::wire::{Wire, connect, frame, text};
use super::{BOTH, cut_off, gateway, join, own, publish};
use crate::harness::{Client, Connect, Packet, Version};

fn malformed(version: Version) -> Option<u8> {
    (version == Version::V5).then_some(0x81)
}

/// Valid bodies, so that the flags alone are wrong.
fn bodies(version: Version) -> Vec<(u8, u8, Vec<u8>)> {
    let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    let id = [0, 1];
    vec![
        (0x40, 0, id.to_vec()),
        (0x50, 0, id.to_vec()),
        (0x60, 2, id.to_vec()),
        (0x70, 0, id.to_vec()),
        (0x80, 2, [&id[..], none, &text("a"), &[0]].concat()),
        (0xA0, 2, [&id[..], none, &text("a")].concat()),
        (0xC0, 0, vec![]),
        (0xE0, 0, vec![]),
    ]
}

/// 5.0: MQTT-2.1.3-1, MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1, MQTT-3.14.1-1, MQTT-4.13.1-1,
/// MQTT-4.13.2-1. 3.1.1: MQTT-2.2.2-1, MQTT-2.2.2-2, MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1,
/// MQTT-3.14.1-1, MQTT-4.8.0-1.
#[test]
fn mqtt_2_1_3_1_reserved_flags_that_are_not_as_listed_close_the_connection() {
    let gateway = gateway();
    for version in BOTH {
        for (kind, right, body) in bodies(version) {
            for flags in (0..16).filter(|flags| *flags != right) {
                let said = cut_off(&gateway, version, &frame(kind | flags, &[&body]));
                assert_eq!(said, malformed(version), "{version:?} {:#x}", kind | flags);
            }
        }
    }
}

/// 5.0: MQTT-3.15.1-1.
#[test]
fn mqtt_3_15_1_1_reserved_flags_of_auth_close_the_connection() {
    let gateway = gateway();
    for flags in 1..16 {
        let said = cut_off(&gateway, Version::V5, &frame(0xF0 | flags, &[&[0x18, 0]]));
        assert_eq!(said, Some(0x81), "{flags:#x}");
    }
}

/// 5.0: MQTT-2.1.3-1. 3.1.1: MQTT-2.2.2-2.
#[test]
fn mqtt_2_1_3_1_reserved_flags_of_connect_close_the_connection() {
    let gateway = gateway();
    for level in [4, 5] {
        for flags in 1..16u8 {
            let mut packet = connect(level, 2, &[], &[&text("c")]);
            packet[0] |= flags;
            let mut wire = Wire::open(&gateway);
            wire.send(&packet).expect_end();
        }
    }
}

/// 5.0: MQTT-4.13.1-1. 3.1.1: MQTT-4.8.0-1.
#[test]
fn mqtt_4_13_1_1_what_only_servers_send_is_a_protocol_error() {
    let gateway = gateway();
    for version in BOTH {
        let expected = (version == Version::V5).then_some(0x82);
        for packet in [
            frame(0x20, &[&[0, 0, 0]]),
            frame(0x90, &[&[0, 1, 0, 0]]),
            frame(0xB0, &[&[0, 1, 0, 0]]),
            frame(0xD0, &[]),
        ] {
            let said = cut_off(&gateway, version, &packet);
            assert_eq!(said, expected, "{version:?} {packet:?}");
        }
        let said = cut_off(&gateway, version, &[0x00, 0]);
        assert_eq!(said, malformed(version), "type 0");
    }
    let said = cut_off(&gateway, Version::V311, &frame(0xF0, &[&[0x18, 0]]));
    assert_eq!(said, None, "3.1.1 has no type 15");
}

/// 5.0: MQTT-1.5.5-1.
#[test]
fn mqtt_1_5_5_1_numbers_take_no_more_bytes_than_they_need() {
    let gateway = gateway();
    // What the gateway sends is checked by the client of all these tests; what it is sent, here.
    for packet in [
        // Remaining Length.
        vec![0xC0, 0x80, 0x00],
        vec![0x30, 0x84, 0x00, 0, 1, b'a', 0],
        vec![0xC0, 0x80, 0x80, 0x80, 0x80, 0x00],
        // Property Length.
        frame(0x30, &[&text("a"), &[0x80, 0x00]]),
        frame(0x82, &[&[0, 1], &[0x80, 0x00], &text("a"), &[0]]),
        frame(0x62, &[&[0, 1, 0], &[0x80, 0x00]]),
        // Subscription Identifier.
        frame(0x82, &[&[0, 1], &[3, 0x0B, 0x81, 0x00], &text("a"), &[0]]),
    ] {
        let said = cut_off(&gateway, Version::V5, &packet);
        assert_eq!(said, Some(0x81), "{packet:02x?}");
    }
}

/// 5.0: MQTT-4.13.1-1. 3.1.1: MQTT-4.8.0-1.
#[test]
fn mqtt_4_13_1_1_bodies_that_are_too_short_or_too_long_close_the_connection() {
    let gateway = gateway();
    for version in BOTH {
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        for packet in [
            frame(0x30, &[]),
            frame(0x30, &[&[0]]),
            frame(0x30, &[&[0, 9, b'a']]),
            frame(0x32, &[&text("a"), &[0]]),
            frame(0x40, &[]),
            frame(0x40, &[&[1]]),
            frame(0x82, &[&[0]]),
            frame(0x82, &[&[0, 1], none, &text("a")]),
            frame(0x82, &[&[0, 1], none, &text("a"), &[0], &[0]]),
            frame(0xA2, &[&[0, 1], none, &[0, 2, b'a']]),
            frame(0xC0, &[&[0]]),
        ] {
            let said = cut_off(&gateway, version, &packet);
            assert_eq!(said, malformed(version), "{version:?} {packet:02x?}");
        }
    }
    for packet in [
        frame(0x40, &[&[0, 1, 0]]),
        frame(0xE0, &[&[0]]),
        frame(0x62, &[&[0, 1, 0, 0]]),
    ] {
        let said = cut_off(&gateway, Version::V311, &packet);
        assert_eq!(said, None, "no reason codes on 3.1.1: {packet:02x?}");
    }
    // A property block that is longer than the packet, and one that ends within a property.
    for properties in [&[5u8, 0x01, 1][..], &[1, 0x02], &[3, 0x02, 0, 0]] {
        let said = cut_off(
            &gateway,
            Version::V5,
            &frame(0x30, &[&text("a"), properties]),
        );
        assert_eq!(said, Some(0x81), "{properties:02x?}");
    }
}

/// 5.0: MQTT-2.2.1-3. 3.1.1: MQTT-2.3.1-1.
#[test]
fn mqtt_2_2_1_3_packet_id_0_is_refused() {
    let gateway = gateway();
    for version in BOTH {
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let expected = (version == Version::V5).then_some(0x82);
        for packet in [
            frame(0x32, &[&text("a"), &[0, 0], none]),
            frame(0x34, &[&text("a"), &[0, 0], none]),
            frame(0x82, &[&[0, 0], none, &text("a"), &[0]]),
            frame(0xA2, &[&[0, 0], none, &text("a")]),
        ] {
            let said = cut_off(&gateway, version, &packet);
            assert_eq!(said, expected, "{version:?} {packet:02x?}");
        }
    }
}

/// 5.0: MQTT-2.2.1-2. 3.1.1: MQTT-2.3.1-5.
#[test]
fn mqtt_2_2_1_2_a_publish_of_qos_0_has_no_packet_id() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("noid", version);
        let mut client = join(&gateway, version, &id);
        client.subscribe(&[(&id, 0)]);
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        // Two bytes in that place are payload.
        client.send_raw(&frame(0x30, &[&text(&id), none, b"\x00\x07x"]));
        let message = client.message();
        assert_eq!(message.payload, b"\x00\x07x");
        assert_eq!(message.packet_id, None);
    }
}

/// 5.0: MQTT-2.2.1-4, MQTT-4.3.2-1, MQTT-4.3.3-1. 3.1.1: MQTT-2.3.1-4, MQTT-4.3.2-1, MQTT-4.3.3-1.
#[test]
fn mqtt_2_2_1_4_packet_ids_in_flight_differ_and_are_never_0() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("ids", version);
        let mut client = join(&gateway, version, &id).by_hand();
        client.subscribe(&[(&format!("{id}/+"), 2)]);
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..100 {
            publish(
                &mut sender,
                &format!("{id}/{}", number % 7),
                "x",
                1 + number % 2,
            );
            let message = client.message();
            let packet_id = message.packet_id.expect("QoS 1 and 2 have one");
            assert!(
                packet_id != 0 && seen.insert(packet_id),
                "{packet_id} twice"
            );
        }
    }
}

/// 5.0: MQTT-2.2.1-5, MQTT-2.2.1-6, MQTT-3.8.4-2, MQTT-3.10.4-5. 3.1.1: MQTT-2.3.1-6, MQTT-2.3.1-7,
/// MQTT-3.8.4-2, MQTT-3.10.4-4.
#[test]
fn mqtt_2_2_1_5_acknowledgements_carry_the_packet_id_of_what_they_acknowledge() {
    let gateway = gateway();
    for (level, none) in [(4, &[][..]), (5, &[0u8][..])] {
        let mut wire = Wire::open(&gateway);
        wire.send(&connect(level, 2, &[], &[&text("")]));
        wire.expect();
        for id in [[0x00, 0x01], [0x12, 0x34], [0xFF, 0xFF]] {
            for (packet, answer) in [
                (frame(0x32, &[&text("ids/a"), &id, none]), 0x40),
                (frame(0x34, &[&text("ids/a"), &id, none]), 0x50),
                (frame(0x62, &[&id]), 0x70),
                (frame(0x82, &[&id, none, &text("ids/b"), &[1]]), 0x90),
                (frame(0xA2, &[&id, none, &text("ids/b")]), 0xB0),
            ] {
                wire.send(&packet);
                let (first, body) = wire.expect();
                assert_eq!((first, &body[..2]), (answer, &id[..]));
            }
        }
    }
}

/// 5.0: MQTT-2.2.2-1.
#[test]
fn mqtt_2_2_2_1_no_properties_are_a_length_of_0() {
    let gateway = gateway();
    let mut wire = Wire::open(&gateway);
    wire.send(&connect(5, 2, &[], &[&text("noprops")]));
    wire.expect();
    wire.send(&frame(0x82, &[&[0, 1, 0], &text("noprops/a"), &[0]]));
    assert_eq!(wire.expect(), (0x90, vec![0, 1, 0, 0]));
    wire.send(&frame(0x30, &[&text("noprops/a"), &[0], b"x"]));
    assert_eq!(
        wire.expect(),
        (0x30, [&text("noprops/a")[..], &[0], b"x"].concat())
    );
    wire.send(&frame(0xA2, &[&[0, 2, 0], &text("noprops/a")]));
    assert_eq!(wire.expect(), (0xB0, vec![0, 2, 0, 0]));
    // A client that leaves the length out is malformed.
    let said = cut_off(&gateway, Version::V5, &frame(0x30, &[&text("a")]));
    assert_eq!(said, Some(0x81));
}

/// 5.0: MQTT-4.2.0-1. 3.1.1: MQTT-7.1.1-1.
#[test]
fn mqtt_4_2_0_1_packets_come_through_however_the_stream_is_cut() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("cut", version);
        let mut client = Client::open(gateway.mqtt, version).expect("accepts");
        let level = if version == Version::V5 { 5 } else { 4 };
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let mut bytes = connect(level, 2, &[], &[&text(&id)]);
        bytes.extend(frame(0x82, &[&[0, 1], none, &text(&id), &[0]]));
        for number in 0..3u8 {
            bytes.extend(frame(0x30, &[&text(&id), none, &[number; 200]]));
        }
        bytes.chunks(1).for_each(|byte| client.send_raw(byte));
        client.expect("CONNACK", |packet| {
            matches!(packet, Packet::ConnAck { code: 0, .. }).then_some(())
        });
        for number in 0..3 {
            assert_eq!(client.message().payload, [number; 200]);
        }
        let mut other = Client::connect(gateway.mqtt, Connect::new(version, &format!("{id}-2")));
        let at_once: Vec<u8> = (0..50).flat_map(|_| [0xC0, 0]).collect();
        other.send_raw(&at_once);
        for _ in 0..50 {
            other.expect("PINGRESP", |packet| {
                matches!(packet, Packet::PingResp).then_some(())
            });
        }
    }
}

//! UTF-8 (MQTT 5 section 1.5.4, 3.1.1 section 1.5.3): in every string field of every packet that a
//! client sends.

use super::wire::{Wire, binary, block, connect, frame, text};
use super::{BOTH, cut_off, gateway, join, own, publish};
use crate::harness::Version;

/// A surrogate, a byte that is never UTF-8, a sequence that is cut short, one that is too long, and
/// a null character.
const BAD: [&[u8]; 5] = [
    b"a\xED\xA0\x80",
    b"\xFF",
    b"ab\xE2\x82",
    b"\xC0\x80",
    b"a\0b",
];

/// What comes before the string in a packet body, the first byte, and what comes after.
type Place = (&'static str, u8, Vec<u8>, Vec<u8>);

fn places(version: Version) -> Vec<Place> {
    let none: Vec<u8> = match version {
        Version::V311 => vec![],
        Version::V5 => vec![0],
    };
    let id = [0, 1];
    let with = |more: &[u8]| [&id[..], more].concat();
    let mut places = vec![
        ("topic", 0x30, vec![], [&none[..], b"x"].concat()),
        ("filter", 0x82, with(&none), vec![0]),
        ("filter to leave", 0xA2, with(&none), vec![]),
    ];
    if version == Version::V5 {
        places.extend(places_in_properties());
    }
    places
}

/// Property lengths are filled in by [`packet`]: here the place is within the block.
fn places_in_properties() -> Vec<Place> {
    let subscribed = [&text("a")[..], &[0]].concat();
    let mut places = Vec::new();
    for (what, id) in [("content type", 0x03u8), ("response topic", 0x08)] {
        places.push((what, 0x31, vec![id], b"x".to_vec()));
    }
    for (first, rest) in [
        (0x31, b"x".to_vec()),
        (0x83, subscribed),
        (0xA3, text("a")),
        (0x41, vec![]),
        (0x51, vec![]),
        (0x63, vec![]),
        (0x71, vec![]),
        (0xE1, vec![]),
    ] {
        places.push(("name of a user property", first, vec![0x26], rest));
    }
    for first in [0x41, 0xE1] {
        places.push(("reason string", first, vec![0x1F], vec![]));
    }
    places
}

/// The packet with a bad string in its place. An odd first byte marks places in properties.
fn packet(place: &Place, bad: &[u8]) -> Vec<u8> {
    let (_, first, before, after) = place;
    let string = binary(bad);
    let in_properties = matches!(first, 0x31 | 0x83 | 0xA3 | 0x41 | 0x51 | 0x63 | 0x71 | 0xE1);
    if !in_properties {
        return frame(*first, &[before, &string, after]);
    }
    let value = if before[0] == 0x26 {
        [string, text("v")].concat()
    } else {
        string
    };
    let properties = block(&[before, &value]);
    let head: Vec<u8> = match first {
        0x31 => text("a"),
        0xE1 => vec![0],
        0x83 | 0xA3 => vec![0, 1],
        _ => vec![0, 1, 0],
    };
    let first = match first {
        0x83 => 0x82,
        0xA3 => 0xA2,
        0x63 => 0x62,
        0x41 | 0x51 | 0x71 | 0xE1 => first & 0xF0,
        _ => 0x30,
    };
    frame(first, &[&head, &properties, after])
}

/// 5.0: MQTT-1.5.4-1, MQTT-1.5.4-2, MQTT-3.3.2-1, MQTT-3.3.2-13, MQTT-3.3.2-19, MQTT-3.8.3-1,
/// MQTT-3.10.3-1, MQTT-4.7.3-2. 3.1.1: MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-3.3.2-1, MQTT-3.8.3-1,
/// MQTT-3.10.3-1, MQTT-4.7.3-2.
#[test]
fn mqtt_1_5_4_1_a_string_that_is_no_utf_8_or_has_a_null_closes_the_connection() {
    let gateway = gateway();
    for version in BOTH {
        let expected = (version == Version::V5).then_some(0x81);
        for place in places(version) {
            for bad in BAD {
                let said = cut_off(&gateway, version, &packet(&place, bad));
                assert_eq!(
                    said, expected,
                    "{version:?} {} {:#x} {bad:?}",
                    place.0, place.1
                );
            }
        }
    }
}

/// 5.0: MQTT-1.5.7-1.
#[test]
fn mqtt_1_5_7_1_both_halves_of_a_user_property_are_strings() {
    let gateway = gateway();
    for bad in BAD {
        for (name, value) in [(binary(bad), text("v")), (text("n"), binary(bad))] {
            let properties = block(&[&[0x26], &name, &value]);
            let said = cut_off(
                &gateway,
                Version::V5,
                &frame(0x30, &[&text("a"), &properties]),
            );
            assert_eq!(said, Some(0x81), "{bad:?}");
        }
    }
}

/// 5.0: MQTT-3.1.3-4, MQTT-3.1.3-11, MQTT-3.1.3-12. 3.1.1: MQTT-3.1.3-4, MQTT-3.1.3-10,
/// MQTT-3.1.3-11.
#[test]
fn mqtt_3_1_3_4_strings_of_connect_are_utf_8() {
    let gateway = gateway();
    for bad in BAD {
        let bad = binary(bad);
        let (id, will) = (text("c"), text("w"));
        for level in [4, 5] {
            let none: &[u8] = if level == 5 { &[0] } else { &[] };
            for (what, packet) in [
                ("client id", connect(level, 2, &[], &[&bad])),
                (
                    "will topic",
                    connect(level, 6, &[], &[&id, none, &bad, &will]),
                ),
                ("user name", connect(level, 0x82, &[], &[&id, &bad])),
            ] {
                let mut wire = Wire::open(&gateway);
                wire.send(&packet);
                if level == 5 {
                    let (first, body) = wire.expect();
                    assert_eq!(
                        (first, &body[..2]),
                        (0x20, &[0, 0x81][..]),
                        "{what} {bad:?}"
                    );
                }
                wire.expect_end();
            }
        }
    }
}

/// 5.0: MQTT-1.5.7-1, MQTT-1.5.4-1, MQTT-1.5.4-2.
#[test]
fn mqtt_1_5_4_2_strings_in_the_properties_of_connect_and_of_its_will_are_utf_8() {
    let gateway = gateway();
    let id = text("c");
    for bad in BAD {
        let pair = [&[0x26][..], &binary(bad), &text("v")].concat();
        let content_type = [&[0x03][..], &binary(bad)].concat();
        let will = |properties: &[u8]| {
            let block = block(&[properties]);
            connect(5, 6, &[], &[&id, &block, &text("t"), &text("p")])
        };
        for packet in [
            connect(5, 2, &[&pair], &[&id]),
            will(&pair),
            will(&content_type),
        ] {
            let mut wire = Wire::open(&gateway);
            wire.send(&packet);
            let (first, body) = wire.expect();
            assert_eq!((first, &body[..2]), (0x20, &[0, 0x81][..]), "{bad:?}");
            wire.expect_end();
        }
    }
}

/// 5.0: MQTT-1.5.4-3, MQTT-4.7.3-4. 3.1.1: MQTT-1.5.3-3, MQTT-4.7.3-4.
#[test]
fn mqtt_1_5_4_3_a_byte_order_mark_is_a_character_like_any_other() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("bom", version);
        let mut client = join(&gateway, version, &id);
        let (marked, plain) = (format!("\u{FEFF}{id}/\u{FEFF}x"), format!("{id}/x"));
        client.subscribe(&[(&marked, 1), (&plain, 1)]);
        publish(&mut client, &marked, "marked", 1);
        assert_eq!(client.message().topic, marked);
        client.unsubscribe(&[&plain]);
        // Another form of the same letter is another topic, too.
        let (composed, apart) = (format!("{id}/\u{E9}"), format!("{id}/e\u{301}"));
        client.subscribe(&[(&composed, 1)]);
        publish(&mut client, &apart, "apart", 1);
        publish(&mut client, &plain, "plain", 1);
        publish(&mut client, &composed, "composed", 1);
        assert_eq!(client.message().text(), "composed");
    }
}

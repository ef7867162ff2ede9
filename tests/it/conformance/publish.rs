//! PUBLISH (MQTT section 3.3): flags, topics, and what is carried through unaltered.

use super::wire::{frame, text};
use super::{BOTH, cut_off, gateway, join, numbered, own, publish, subscribe_with};
use crate::harness::{Ack, Client, Connect, Packet, Properties, Publish, Value, Version, property};

/// 5.0: MQTT-3.3.1-2, MQTT-3.3.1-4. 3.1.1: MQTT-3.3.1-2, MQTT-3.3.1-4.
#[test]
fn mqtt_3_3_1_4_flags_that_cannot_be_are_malformed() {
    let gateway = gateway();
    for version in BOTH {
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let expected = (version == Version::V5).then_some(0x81);
        for first in [0x36, 0x37, 0x3E, 0x3F] {
            let packet = frame(first, &[&text("a"), &[0, 1], none]);
            assert_eq!(
                cut_off(&gateway, version, &packet),
                expected,
                "QoS 3: {first:#x}"
            );
        }
        for first in [0x38, 0x39] {
            let packet = frame(first, &[&text("a"), none]);
            assert_eq!(
                cut_off(&gateway, version, &packet),
                expected,
                "DUP at QoS 0"
            );
        }
    }
}

/// 5.0: MQTT-3.3.1-2, MQTT-3.3.1-3, MQTT-4.3.1-1, MQTT-4.3.2-2, MQTT-4.3.3-2.
/// 3.1.1: MQTT-3.3.1-2, MQTT-3.3.1-3, MQTT-4.3.1-1, MQTT-4.3.2-1, MQTT-4.3.3-1.
#[test]
fn mqtt_3_3_1_3_dup_is_not_passed_on() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("dup", version);
        let mut durable = Client::connect(
            gateway.mqtt,
            Connect::new(version, &format!("{id}-durable")).persistent(),
        );
        let mut live = join(&gateway, version, &format!("{id}-live"));
        durable.subscribe(&[(&id, 2)]);
        live.subscribe(&[(&id, 2)]);
        let mut sender = join(&gateway, version, &id);
        for qos in [1, 2] {
            let mut again = numbered(&id, "x", qos, 9);
            again.dup = true;
            sender.send(&Packet::Publish(again));
            if qos == 2 {
                sender.expect("PUBREC", |packet| {
                    matches!(packet, Packet::PubRec(_)).then_some(())
                });
                sender.send(&Packet::PubRel(Ack::ok(9)));
            }
            for receiver in [&mut durable, &mut live] {
                let message = receiver.message();
                assert_eq!((message.qos, message.dup), (qos, false));
            }
        }
        publish(&mut sender, &id, "x", 0);
        assert!(!live.message().dup);
    }
}

/// 5.0: MQTT-3.3.2-2, MQTT-4.7.0-1. 3.1.1: MQTT-3.3.2-2, MQTT-4.7.1-1.
#[test]
fn mqtt_3_3_2_2_a_topic_name_has_no_wildcards() {
    let gateway = gateway();
    for version in BOTH {
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let expected = (version == Version::V5).then_some(0x90);
        for topic in ["a/+", "#", "+/a", "a/#", "a+b", "a#"] {
            for (first, id) in [(0x30, &[][..]), (0x32, &[0, 1]), (0x35, &[0, 1])] {
                let packet = frame(first, &[&text(topic), id, none]);
                assert_eq!(cut_off(&gateway, version, &packet), expected, "{topic}");
            }
        }
    }
}

/// 5.0: MQTT-4.7.3-1. 3.1.1: MQTT-4.7.3-1.
#[test]
fn mqtt_4_7_3_1_a_topic_name_has_a_character() {
    let gateway = gateway();
    for version in BOTH {
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let said = cut_off(&gateway, version, &frame(0x30, &[&text(""), none, b"x"]));
        assert_eq!(said, (version == Version::V5).then_some(0x82));
    }
}

/// 5.0: MQTT-4.7.3-3. 3.1.1: MQTT-4.7.3-3.
#[test]
fn mqtt_4_7_3_3_a_topic_may_be_as_long_as_a_string_can_be() {
    let gateway = gateway();
    for version in BOTH {
        let mut client = join(&gateway, version, &own("longest", version));
        let longest = format!("{}/{}", own("longest", version), "x".repeat(65_535 - 11));
        let longest = &longest[..65_535.min(longest.len())];
        assert!(client.subscribe(&[(longest, 1)])[0] <= 1);
        publish(&mut client, longest, "far", 1);
        assert_eq!(client.message().topic, longest);
    }
}

/// 5.0: MQTT-3.3.2-3. 3.1.1: MQTT-3.3.2-3.
#[test]
fn mqtt_3_3_2_3_what_is_delivered_matches_what_was_subscribed() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("matches", version);
        let mut client = join(&gateway, version, &id);
        client.subscribe(&[(&format!("{id}/+/x/#"), 1), (&format!("{id}/exact"), 1)]);
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        for (topic, matches) in [
            ("a/x", true),
            ("a/x/y/z", true),
            ("/x", true),
            ("exact", true),
            ("exact/", false),
            ("a/b/x", false),
            ("a/X", false),
            ("", false),
            ("Exact", false),
        ] {
            let topic = format!("{id}/{topic}");
            publish(&mut sender, &topic, "x", 1);
            if matches {
                assert_eq!(client.message().topic, topic);
            }
        }
        publish(&mut sender, &format!("{id}/exact"), "marker", 1);
        client.expect_silence_until(|message| message.text() == "marker");
    }
}

/// 5.0: MQTT-3.3.4-1, MQTT-4.3.2-4, MQTT-4.3.3-8. 3.1.1: MQTT-3.3.4-1, MQTT-4.3.2-2, MQTT-4.3.3-2.
#[test]
fn mqtt_3_3_4_1_each_qos_has_its_answer() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("answers", version);
        // With and without somebody durable who wants it: the answer is the same.
        let mut keeper = Client::connect(
            gateway.mqtt,
            Connect::new(version, &format!("{id}-keeper")).persistent(),
        );
        keeper.subscribe(&[(&format!("{id}/kept"), 2)]);
        let mut client = join(&gateway, version, &id);
        for topic in [format!("{id}/kept"), format!("{id}/live")] {
            client.send(&Packet::Publish(Publish::new(&topic, "0", 0)));
            client.send(&Packet::Publish(numbered(&topic, "1", 1, 11)));
            let first = client
                .receive()
                .expect("an answer to QoS 1, and none to QoS 0");
            assert!(
                matches!(first, Packet::PubAck(Ack { packet_id: 11, .. })),
                "{first:?}"
            );
            client.send(&Packet::Publish(numbered(&topic, "2", 2, 12)));
            let second = client.receive().expect("an answer to QoS 2");
            assert!(
                matches!(second, Packet::PubRec(Ack { packet_id: 12, .. })),
                "{second:?}"
            );
            client.send(&Packet::PubRel(Ack::ok(12)));
            let third = client.receive().expect("an answer to PUBREL");
            assert!(
                matches!(
                    third,
                    Packet::PubComp(Ack {
                        packet_id: 12,
                        code: 0
                    })
                ),
                "{third:?}"
            );
        }
    }
}

fn everything() -> Properties {
    Properties::new()
        .user("z", "first")
        .with(0x01, Value::Byte(1))
        .text(property::CONTENT_TYPE, "text/\u{FEFF}plain")
        .user("a", "second")
        .text(property::RESPONSE_TOPIC, "somewhere/else")
        .user("z", "third")
        .user("", "")
        .binary(property::CORRELATION_DATA, &[0, 1, 0xFF])
        .user("z", "first")
}

/// 5.0: MQTT-3.3.2-4, MQTT-3.3.2-15, MQTT-3.3.2-16, MQTT-3.3.2-17, MQTT-3.3.2-18, MQTT-3.3.2-20.
#[test]
fn mqtt_3_3_2_17_properties_are_carried_unaltered_and_in_order() {
    let gateway = gateway();
    let mut live = join(&gateway, Version::V5, "carried-live");
    let mut durable = Client::connect(gateway.mqtt, Connect::v5("carried-durable").persistent());
    let mut member = join(&gateway, Version::V5, "carried-member");
    for qos in 0..3 {
        live.subscribe(&[("carried", qos)]);
        durable.subscribe(&[("carried", qos)]);
        member.subscribe(&[("$share/g/carried", qos)]);
        let mut sender = join(&gateway, Version::V5, "carried-sender");
        let mut message = Publish::new("carried", "text", qos);
        message.properties = everything();
        sender.publish(message);
        for receiver in [&mut live, &mut durable, &mut member] {
            assert_eq!(receiver.message().properties, everything(), "QoS {qos}");
        }
    }
    // Retained, after a while, and to a session that was away.
    let mut sender = join(&gateway, Version::V5, "carried-sender");
    let mut message = Publish::new("carried", "kept", 1).retained();
    message.properties = everything();
    durable.disconnect();
    sender.publish(message);
    let mut late = join(&gateway, Version::V5, "carried-late");
    late.subscribe(&[("carried", 1)]);
    assert_eq!(late.message().properties, everything());
    let mut durable = Client::connect(gateway.mqtt, Connect::v5("carried-durable").persistent());
    assert_eq!(durable.message().properties, everything());
    // 3.1.1 gets the message without them.
    let mut old = join(&gateway, Version::V311, "carried-old");
    old.subscribe(&[("carried", 1)]);
    assert_eq!(old.message().text(), "kept");
}

/// 5.0: MQTT-3.3.2-14.
#[test]
fn mqtt_3_3_2_14_a_response_topic_is_a_topic_name() {
    let gateway = gateway();
    for topic in ["a/+", "#", "a/#", ""] {
        let properties = [&[0x08][..], &text(topic)].concat();
        let length = [u8::try_from(properties.len()).expect("short")];
        let packet = frame(0x30, &[&text("a"), &length, &properties]);
        assert_eq!(
            cut_off(&gateway, Version::V5, &packet),
            Some(0x82),
            "{topic}"
        );
    }
}

/// 5.0: MQTT-3.3.4-6, MQTT-4.13.1-1.
#[test]
fn mqtt_3_3_4_6_properties_of_publish_are_checked() {
    let gateway = gateway();
    for (properties, code) in [
        (&[0x0B, 1][..], 0x82),
        (&[0x01, 2], 0x81),
        (&[0x01, 0, 0x01, 0], 0x82),
        (&[0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1], 0x82),
        (&[0x23, 0, 1, 0x23, 0, 1], 0x82),
        (&[0x11, 0, 0, 0, 1], 0x81),
        (&[0x7E, 0], 0x81),
    ] {
        let length = [u8::try_from(properties.len()).expect("short")];
        let packet = frame(0x30, &[&text("a"), &length, properties]);
        assert_eq!(
            cut_off(&gateway, Version::V5, &packet),
            Some(code),
            "{properties:02x?}"
        );
    }
}

/// 5.0: MQTT-3.3.2-4, MQTT-3.4.2-1, MQTT-3.5.2-1.
#[test]
fn mqtt_3_3_2_4_a_payload_that_is_not_the_text_that_it_claims_to_be_is_refused() {
    let gateway = gateway();
    let mut client = join(&gateway, Version::V5, "claims");
    client.subscribe(&[("claims", 2)]);
    let claiming = |payload: &[u8], claim: u8, qos: u8| {
        let mut message = Publish::new("claims", payload, qos);
        message.properties = Properties::new().with(0x01, Value::Byte(claim));
        message
    };
    for qos in [1, 2] {
        assert_eq!(client.publish(claiming(b"\xFF\xFE", 1, qos)), 0x99);
    }
    client.publish(claiming(b"\xFF\xFE", 1, 0));
    // Bytes that claim to be nothing are fine, and so is text.
    client.publish(claiming(b"\xFF", 0, 1));
    assert_eq!(client.message().payload, b"\xFF");
    client.publish(claiming("\u{E9}\0".as_bytes(), 1, 1));
    let message = client.message();
    assert_eq!(message.payload, "\u{E9}\0".as_bytes());
    assert_eq!(message.properties.find(0x01), Some(&Value::Byte(1)));
}

/// 5.0: MQTT-3.3.4-2, MQTT-3.3.4-3, MQTT-3.3.4-4. 3.1.1: MQTT-3.3.5-1.
#[test]
fn mqtt_3_3_4_2_overlapping_subscriptions_get_one_copy_at_the_highest_qos_with_all_identifiers() {
    let gateway = gateway();
    for version in BOTH {
        for lasting in [false, true] {
            let id = own(&format!("overlap-{lasting}"), version);
            let mut connect = Connect::new(version, &id);
            if lasting {
                connect = connect.persistent();
            }
            let mut client = Client::connect(gateway.mqtt, connect);
            for (number, filter, qos) in
                [(7, "a/b", 0), (300, "+/b", 2), (9, "a/#", 1), (1, "c", 2)]
            {
                let properties = match version {
                    Version::V5 => {
                        Properties::new().with(property::SUBSCRIPTION_ID, Value::Variable(number))
                    }
                    Version::V311 => Properties::new(),
                };
                subscribe_with(&mut client, &[(&format!("{id}/{filter}"), qos)], properties);
            }
            subscribe_with(&mut client, &[(&format!("{id}/a/+"), 0)], Properties::new());
            for qos in 0..3 {
                publish(&mut client, &format!("{id}/a/b"), "x", qos);
                let message = client.message();
                assert_eq!(message.qos, qos);
                let mut ids: Vec<u32> =
                    message.properties.0.iter().filter_map(identifier).collect();
                ids.sort_unstable();
                let all: &[u32] = if version == Version::V5 {
                    &[7, 9, 300]
                } else {
                    &[]
                };
                assert_eq!(ids, all, "{version:?} lasting {lasting} QoS {qos}");
            }
            publish(&mut client, &format!("{id}/a/b"), "marker", 2);
            client.expect_silence_until(|message| message.text() == "marker");
        }
    }
}

fn identifier((id, value): &(u8, Value)) -> Option<u32> {
    match value {
        Value::Variable(number) if *id == property::SUBSCRIPTION_ID => Some(*number),
        _ => None,
    }
}

/// 3.1.1: MQTT-3.3.5-2.
#[test]
fn mqtt_3_3_5_2_a_publish_that_is_not_allowed_is_acknowledged_on_3_1_1() {
    let gateway = gateway();
    let mut watcher = join(&gateway, Version::V311, "forbidden-watcher");
    watcher.subscribe(&[("$forbidden", 0), ("rooms/r/presence/agent/forbidden", 0)]);
    let mut client = join(&gateway, Version::V311, "forbidden");
    for topic in ["$forbidden", "rooms/r/presence/agent/forbidden"] {
        for qos in 0..3 {
            assert_eq!(client.publish(Publish::new(topic, "x", qos)), 0);
        }
        publish(&mut watcher, "forbidden/marker", "x", 1);
    }
    watcher.subscribe(&[("forbidden/marker", 0)]);
    publish(&mut watcher, "forbidden/marker", "marker", 1);
    watcher.expect_silence_until(|message| message.text() == "marker");
}

//! Subscription options of MQTT 5 (section 3.8.3.1): No Local, Retain As Published, Retain
//! Handling.

use super::wire::{frame, text};
use super::{cut_off, gateway, join, publish, retain, subscribe_with};
use crate::harness::{Client, Connect, Packet, Properties, Publish, Value, Version, property};

const NO_LOCAL: u8 = 0b100;
const RETAIN_AS_PUBLISHED: u8 = 0b1000;
const IF_NEW: u8 = 1 << 4;
const NEVER: u8 = 2 << 4;

fn both_kinds(id: &str) -> [(Connect, String); 2] {
    [
        (Connect::v5(id), id.to_owned()),
        (
            Connect::v5(&format!("{id}-kept")).persistent(),
            format!("{id}-kept"),
        ),
    ]
}

/// 5.0: MQTT-3.8.3-3.
#[test]
fn mqtt_3_8_3_3_no_local_keeps_ones_own_messages_away() {
    let gateway = gateway();
    for (connect, id) in both_kinds("local") {
        let mut client = Client::connect(gateway.mqtt, connect);
        let mut other = join(&gateway, Version::V5, &format!("{id}-other"));
        for qos in 0..3 {
            client.subscribe(&[(&format!("{id}/+"), qos | NO_LOCAL)]);
            publish(&mut client, &format!("{id}/a"), "own", qos);
            publish(&mut other, &format!("{id}/a"), "other's", qos);
            assert_eq!(client.message().text(), "other's");
        }
        // An own message that was retained is an own message.
        retain(&mut client, &format!("{id}/kept"), "own", 1);
        client.subscribe(&[(&format!("{id}/kept"), 1 | NO_LOCAL)]);
        // Another subscription may want it all the same.
        client.subscribe(&[(&format!("{id}/b"), 1)]);
        publish(&mut client, &format!("{id}/b"), "wanted", 1);
        client.expect_silence_until(|message| message.text() == "wanted");
    }
}

/// 5.0: MQTT-3.8.3-4.
#[test]
fn mqtt_3_8_3_4_no_local_on_a_share_is_a_protocol_error() {
    let gateway = gateway();
    for (filter, options) in [("$share/g/a", NO_LOCAL), ("$share/g/#", 2 | NO_LOCAL)] {
        let packet = frame(0x82, &[&[0, 1, 0], &text(filter), &[options]]);
        assert_eq!(cut_off(&gateway, Version::V5, &packet), Some(0x82));
    }
}

/// 5.0: MQTT-3.3.1-12, MQTT-3.3.1-13.
#[test]
fn mqtt_3_3_1_13_retain_as_published_keeps_the_flag() {
    let gateway = gateway();
    for (connect, id) in both_kinds("published") {
        let mut client = Client::connect(gateway.mqtt, connect);
        let mut sender = join(&gateway, Version::V5, &format!("{id}-sender"));
        for options in [0, RETAIN_AS_PUBLISHED] {
            for qos in 0..3 {
                client.subscribe(&[(&format!("{id}/+"), qos | NEVER | options)]);
                for flag in [false, true] {
                    let mut message = Publish::new(&format!("{id}/{qos}"), "x", qos);
                    message.retain = flag;
                    sender.publish(message);
                    let kept = flag && options == RETAIN_AS_PUBLISHED;
                    assert_eq!(client.message().retain, kept, "{options} {qos} {flag}");
                }
            }
        }
    }
}

/// 5.0: MQTT-3.3.1-9, MQTT-3.3.1-10, MQTT-3.3.1-11.
#[test]
fn mqtt_3_3_1_10_retain_handling_says_when_retained_messages_are_sent() {
    let gateway = gateway();
    for (connect, id) in both_kinds("handling") {
        let mut client = Client::connect(gateway.mqtt, connect);
        let topic = format!("{id}/topic");
        retain(&mut client, &topic, "kept", 1);
        let marker = format!("{id}/marker");
        client.subscribe(&[(&marker, 1)]);
        // Of what the client is subscribed to before: nothing, this filter, this filter with
        // another QoS.
        for (options, expected) in [
            (NEVER, false),
            (IF_NEW, false),
            (0, true),
            (0, true),
            (IF_NEW, false),
            (NEVER, false),
        ] {
            client.subscribe(&[(&topic, 1 | options)]);
            publish(&mut client, &marker, "marker", 1);
            if expected {
                assert_eq!(client.message().text(), "kept");
            }
            client.expect_silence_until(|message| message.text() == "marker");
        }
        client.unsubscribe(&[&topic]);
        client.subscribe(&[(&topic, 1 | IF_NEW)]);
        let kept = client.message();
        assert_eq!(
            (kept.text(), kept.retain),
            ("kept", true),
            "a new one again"
        );
    }
}

/// 5.0: MQTT-3.8.3-5, MQTT-4.13.1-1.
#[test]
fn mqtt_3_8_3_5_reserved_options_are_malformed() {
    let gateway = gateway();
    for options in [0x40, 0x80, 0xC1] {
        let packet = frame(0x82, &[&[0, 1, 0], &text("a"), &[options]]);
        assert_eq!(
            cut_off(&gateway, Version::V5, &packet),
            Some(0x81),
            "{options:#x}"
        );
    }
    // QoS 3 and Retain Handling 3 are protocol errors.
    for options in [0x03, 0x30, 0x33] {
        let packet = frame(0x82, &[&[0, 1, 0], &text("a"), &[options]]);
        assert_eq!(
            cut_off(&gateway, Version::V5, &packet),
            Some(0x82),
            "{options:#x}"
        );
    }
}

/// 5.0: MQTT-3.3.4-3, MQTT-3.8.4-3.
#[test]
fn mqtt_3_3_4_3_the_identifier_is_that_of_the_subscription_as_it_is_now() {
    let gateway = gateway();
    let identified =
        |number| Properties::new().with(property::SUBSCRIPTION_ID, Value::Variable(number));
    for (connect, id) in both_kinds("identified") {
        let mut client = Client::connect(gateway.mqtt, connect);
        let topic = format!("{id}/a");
        retain(&mut client, &topic, "kept", 1);
        for number in [1, 127, 128, 16_384, 268_435_455] {
            subscribe_with(&mut client, &[(&topic, 1)], identified(number));
            let kept = client.message();
            assert_eq!(kept.properties, identified(number), "retained");
            publish(&mut client, &topic, "new", 1);
            assert_eq!(client.message().properties, identified(number));
        }
        client.subscribe(&[(&topic, 1 | NEVER)]);
        publish(&mut client, &topic, "new", 1);
        assert_eq!(
            client.message().properties,
            Properties::new(),
            "none any more"
        );
    }
}

/// 5.0: MQTT-4.13.1-1.
#[test]
fn mqtt_4_13_1_1_properties_of_subscribe_are_checked() {
    let gateway = gateway();
    for (properties, code) in [
        (&[2u8, 0x0B, 0][..], 0x82),
        (&[4, 0x0B, 1, 0x0B, 2], 0x82),
        (&[2, 0x24, 1], 0x81),
        (&[6, 0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], 0x81),
    ] {
        let packet = frame(0x82, &[&[0, 1], properties, &text("a"), &[0]]);
        assert_eq!(
            cut_off(&gateway, Version::V5, &packet),
            Some(code),
            "{properties:02x?}"
        );
    }
    let packet = frame(0xA2, &[&[0, 1], &[2, 0x0B, 1], &text("a")]);
    assert_eq!(
        cut_off(&gateway, Version::V5, &packet),
        Some(0x81),
        "not in UNSUBSCRIBE"
    );
    let mut client = join(&gateway, Version::V5, "with-user");
    let codes = subscribe_with(
        &mut client,
        &[("with-user", 0)],
        Properties::new().user("a", "b"),
    );
    assert_eq!(codes, [0]);
    client.send(&Packet::PingReq);
}

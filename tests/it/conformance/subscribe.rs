//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (MQTT sections 3.8 to 3.11).

use super::wire::{Wire, connect, frame, text};
use super::{BOTH, cut_off, gateway, join, own, publish};
use crate::harness::{Ack, Client, Connect, Packet, Publish, Version};

/// 5.0: MQTT-3.8.3-2, MQTT-3.10.3-2. 3.1.1: MQTT-3.8.3-3, MQTT-3.10.3-2, MQTT-4.8.0-1.
#[test]
fn mqtt_3_8_3_2_without_a_filter_it_is_a_protocol_error() {
    let gateway = gateway();
    for version in BOTH {
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        for first in [0x82, 0xA2] {
            let said = cut_off(&gateway, version, &frame(first, &[&[0, 1], none]));
            assert_eq!(said, (version == Version::V5).then_some(0x82), "{first:#x}");
        }
    }
}

/// 3.1.1: MQTT-3.8.3-4.
#[test]
fn mqtt_3_8_3_4_reserved_bits_beside_the_qos_are_malformed() {
    let gateway = gateway();
    for options in [0x03, 0x04, 0x08, 0x10, 0x80, 0xFF] {
        let packet = frame(0x82, &[&[0, 1], &text("a"), &[options]]);
        assert_eq!(
            cut_off(&gateway, Version::V311, &packet),
            None,
            "{options:#x}"
        );
    }
}

/// 5.0: MQTT-3.8.4-1, MQTT-3.8.4-5, MQTT-3.8.4-6, MQTT-3.8.4-7, MQTT-3.9.3-1.
/// 3.1.1: MQTT-3.8.4-1, MQTT-3.8.4-4, MQTT-3.8.4-5, MQTT-3.9.3-1.
#[test]
fn mqtt_3_8_4_6_suback_has_a_code_for_each_filter_in_order() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("codes-in-order", version);
        let mut client = join(&gateway, version, &id);
        let named: Vec<(String, u8)> = [2, 0, 1, 1, 2, 0, 2]
            .iter()
            .enumerate()
            .map(|(at, qos)| (format!("{id}/{at}"), *qos))
            .collect();
        let filters: Vec<(&str, u8)> = named
            .iter()
            .map(|(name, qos)| (name.as_str(), *qos))
            .collect();
        assert_eq!(client.subscribe(&filters), [2, 0, 1, 1, 2, 0, 2]);
        // Each as if it had come alone; of two that are the same the later one counts.
        for (topic, qos) in &named {
            publish(&mut client, topic, "x", 2);
            assert_eq!(client.message().qos, *qos);
        }
        let twice = format!("{id}/twice");
        assert_eq!(client.subscribe(&[(&twice, 2), (&twice, 0)]), [2, 0]);
        publish(&mut client, &twice, "x", 2);
        assert_eq!(client.message().qos, 0);
    }
}

/// 5.0: MQTT-3.8.4-8. 3.1.1: MQTT-3.8.4-6.
#[test]
fn mqtt_3_8_4_8_the_qos_of_a_delivery_is_the_lower_of_both() {
    let gateway = gateway();
    for version in BOTH {
        for lasting in [false, true] {
            let id = own(&format!("lower-{lasting}"), version);
            let mut connect = Connect::new(version, &id);
            if lasting {
                connect = connect.persistent();
            }
            let mut client = Client::connect(gateway.mqtt, connect);
            let mut sender = join(&gateway, version, &format!("{id}-sender"));
            for granted in 0..3 {
                for retained in [false, true] {
                    for sent in 0..3 {
                        let topic = format!("{id}/{granted}/{sent}/{retained}");
                        let mut message = Publish::new(&topic, "x", sent);
                        message.retain = retained;
                        if retained {
                            sender.publish(message);
                            sender.ping();
                            client.subscribe(&[(&topic, granted)]);
                        } else {
                            client.subscribe(&[(&topic, granted)]);
                            sender.publish(message);
                        }
                        assert_eq!(client.message().qos, granted.min(sent), "{topic}");
                    }
                }
            }
        }
    }
}

/// 5.0: MQTT-3.8.4-3. 3.1.1: MQTT-3.8.4-3.
#[test]
fn mqtt_3_8_4_3_the_same_filter_again_replaces_the_subscription() {
    let gateway = gateway();
    for version in BOTH {
        for lasting in [false, true] {
            let id = own(&format!("replaced-{lasting}"), version);
            let mut connect = Connect::new(version, &id);
            if lasting {
                connect = connect.persistent();
            }
            let mut client = Client::connect(gateway.mqtt, connect);
            for filter in [format!("{id}/a"), format!("{id}/+")] {
                for qos in [0, 2, 1, 0, 1] {
                    client.subscribe(&[(&filter, qos)]);
                    publish(&mut client, &format!("{id}/a"), "x", 2);
                    assert_eq!(client.message().qos, qos, "{filter} lasting {lasting}");
                }
                assert!(client.unsubscribe(&[&filter]).iter().all(|code| *code == 0));
                publish(&mut client, &format!("{id}/a"), "nobody wants it", 2);
            }
        }
    }
}

/// 5.0: MQTT-3.10.4-1, MQTT-3.10.4-4, MQTT-3.10.4-5, MQTT-3.10.4-6, MQTT-3.11.3-1, MQTT-3.11.3-2.
/// 3.1.1: MQTT-3.10.4-1, MQTT-3.10.4-4, MQTT-3.10.4-5, MQTT-3.10.4-6.
#[test]
fn mqtt_3_10_4_1_only_the_very_same_filter_is_unsubscribed() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("same", version);
        let mut client = join(&gateway, version, &id);
        let in_id = |rest: &str| format!("{id}/{rest}");
        let all = ["a", "+", "#", "a/b"].map(in_id);
        let filters: Vec<(&str, u8)> = all.iter().map(|filter| (filter.as_str(), 1)).collect();
        client.subscribe(&filters);
        let left = client.unsubscribe(&[
            &in_id("A"),
            &in_id("a"),
            &in_id("+/b"),
            &in_id("#"),
            &in_id("a"),
        ]);
        if version == Version::V5 {
            assert_eq!(left, [0x11, 0, 0x11, 0, 0x11]);
        }
        // What is left: `+` and `a/b`.
        publish(&mut client, &in_id("a"), "by +", 1);
        assert_eq!(client.message().text(), "by +");
        publish(&mut client, &in_id("a/b"), "by a/b", 1);
        assert_eq!(client.message().text(), "by a/b");
        publish(&mut client, &in_id("a/b/c"), "nobody", 1);
        client.unsubscribe(&[&in_id("nothing")]);
        publish(&mut client, &in_id("a"), "marker", 1);
        client.expect_silence_until(|message| message.text() == "marker");
    }
}

/// 5.0: MQTT-3.10.4-2. 3.1.1: MQTT-3.10.4-2.
#[test]
fn mqtt_3_10_4_2_after_unsuback_nothing_new_comes() {
    let gateway = gateway();
    for version in BOTH {
        for lasting in [false, true] {
            let id = own(&format!("leaves-{lasting}"), version);
            let mut connect = Connect::new(version, &id);
            if lasting {
                connect = connect.persistent();
            }
            let mut client = Client::connect(gateway.mqtt, connect);
            let mut sender = join(&gateway, version, &format!("{id}-sender"));
            for qos in 0..3 {
                client.subscribe(&[(&id, qos), (&format!("{id}/marker"), 1)]);
                publish(&mut sender, &id, "wanted", qos);
                assert_eq!(client.message().text(), "wanted");
                client.unsubscribe(&[&id]);
                publish(&mut sender, &id, "not any more", qos);
                publish(&mut sender, &format!("{id}/marker"), "marker", 1);
                client.expect_silence_until(|message| message.text() == "marker");
            }
        }
    }
}

/// 5.0: MQTT-3.10.4-3. 3.1.1: MQTT-3.10.4-3.
#[test]
fn mqtt_3_10_4_3_deliveries_that_were_begun_are_completed() {
    let gateway = gateway();
    for version in BOTH {
        for lasting in [false, true] {
            let id = own(&format!("begun-{lasting}"), version);
            let mut connect = Connect::new(version, &id);
            if lasting {
                connect = connect.persistent();
            }
            let mut client = Client::connect(gateway.mqtt, connect).by_hand();
            client.subscribe(&[(&id, 2)]);
            let mut sender = join(&gateway, version, &format!("{id}-sender"));
            publish(&mut sender, &id, "one", 1);
            publish(&mut sender, &id, "two", 2);
            let ids = [client.message(), client.message()].map(|message| message.packet_id);
            let [Some(one), Some(two)] = ids else {
                panic!("{ids:?}")
            };
            client.unsubscribe(&[&id]);
            client.send(&Packet::PubAck(Ack::ok(one)));
            client.send(&Packet::PubRec(Ack::ok(two)));
            let released = client.receive().expect("PUBREL");
            assert!(
                matches!(released, Packet::PubRel(ack) if ack.packet_id == two),
                "{released:?}"
            );
            client.send(&Packet::PubComp(Ack::ok(two)));
            client.ping();
        }
    }
}

/// 5.0: MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-1, MQTT-4.8.2-1, MQTT-4.8.2-2.
/// 3.1.1: MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.3-1, MQTT-4.8.0-1.
#[test]
fn mqtt_4_7_1_1_filters_that_are_none_are_refused_one_by_one() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("no-filter", version);
        let mut client = join(&gateway, version, &id);
        let no_share = ["$share", "$share/", "$share/g", "$share/g/", "$share//a"];
        let no_filter = [
            "",
            "#/a",
            "a/#/b",
            "a#",
            "a/b#",
            "##",
            "+a",
            "a+",
            "a/b+/c",
            "++",
            "$share/g+/a",
            "$share/#/a",
            "$share/g#x/a",
            "$share/g/a#",
            "$share/g/+a",
        ];
        for bad in no_filter.into_iter().chain(no_share) {
            // 3.1.1 has no word for it, and knows no shared subscriptions.
            if version == Version::V311 && !no_share.contains(&bad) {
                for packet in [
                    frame(0x82, &[&[0, 1], &text(&id), &[1], &text(bad), &[1]]),
                    frame(0xA2, &[&[0, 1], &text(&id), &text(bad)]),
                ] {
                    assert_eq!(cut_off(&gateway, version, &packet), None, "{bad}");
                }
                continue;
            }
            let codes = client.subscribe(&[(&id, 1), (bad, 1)]);
            let expected = if version == Version::V5 { 0x8F } else { 0x80 };
            assert_eq!(codes, [1, expected], "{bad}");
        }
        let good = [
            "#",
            "+",
            "a/#",
            "+/+",
            "/",
            "/+",
            "a//b",
            "+/a/#",
            " ",
            "$share/g/#",
            "$share/ /+/a",
        ];
        for filter in good {
            assert_eq!(client.subscribe(&[(filter, 1)]), [1], "{filter}");
            client.unsubscribe(&[filter]);
        }
    }
}

/// 5.0: MQTT-3.8.4-7, MQTT-3.9.3-2. 3.1.1: MQTT-3.8.4-5, MQTT-3.9.3-2.
#[test]
fn mqtt_3_8_4_7_a_subscription_beyond_the_limit_fails_alone() {
    let gateway = crate::harness::Setup::new()
        .with("mqtt.max_subscriptions", "3")
        .start();
    for version in BOTH {
        let mut client = join(&gateway, version, &own("limited", version));
        assert_eq!(client.subscribe(&[("a", 0), ("b", 1)]), [0, 1]);
        let codes = client.subscribe(&[("c", 2), ("d", 0), ("a", 2)]);
        let expected = if version == Version::V5 { 0x97 } else { 0x80 };
        assert_eq!(codes, [2, expected, 2]);
    }
}

/// 5.0: MQTT-3.8.4-1, MQTT-3.10.4-4. 3.1.1: MQTT-3.8.4-1, MQTT-3.10.4-4.
#[test]
fn mqtt_3_8_4_1_many_at_once_are_answered_in_order() {
    let gateway = gateway();
    for (level, none) in [(4, &[][..]), (5, &[0u8][..])] {
        let mut wire = Wire::open(&gateway);
        let mut bytes = connect(level, 2, &[], &[&text("")]);
        for id in 1..=200u8 {
            bytes.extend(frame(0x82, &[&[0, id], none, &text("many"), &[id % 3]]));
            bytes.extend(frame(0xA2, &[&[1, id], none, &text("many")]));
        }
        wire.send(&bytes);
        wire.expect();
        for id in 1..=200u8 {
            let (first, body) = wire.expect();
            assert_eq!(
                (first, &body[..2], body.last()),
                (0x90, &[0, id][..], Some(&(id % 3)))
            );
            let (first, body) = wire.expect();
            assert_eq!((first, &body[..2]), (0xB0, &[1, id][..]));
        }
    }
}

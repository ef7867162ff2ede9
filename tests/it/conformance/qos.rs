//! The flows of QoS 1 and 2 (MQTT sections 3.4 to 3.7 and 4.3), while the connection stands.

use super::wire::frame;
use super::{BOTH, cut_off, gateway, join, numbered, own, publish, said_at_the_end};
use crate::harness::{Ack, Client, Connect, Gateway, Packet, Publish, Version};

/// Somebody who receives on the topic, once live and once with a session that lasts, for both take
/// different ways.
fn receivers(gateway: &Gateway, version: Version, topic: &str, qos: u8) -> [Client; 2] {
    let live = Connect::new(version, &format!("{topic}-live"));
    let durable = Connect::new(version, &format!("{topic}-durable")).persistent();
    [live, durable].map(|connect| {
        let mut client = Client::connect(gateway.mqtt, connect).by_hand();
        client.subscribe(&[(topic, qos)]);
        client
    })
}

fn take(client: &mut Client, what: &str) -> (u16, String) {
    let message = client.message();
    assert_eq!(message.text(), what);
    (
        message.packet_id.expect("QoS 1 or 2"),
        message.text().to_owned(),
    )
}

#[track_caller]
fn expect_ack(client: &mut Client, expected: u8, id: u16) -> u8 {
    client.expect("an acknowledgement", |packet| {
        let (kind, ack) = match packet {
            Packet::PubAck(ack) => (0x40, ack),
            Packet::PubRec(ack) => (0x50, ack),
            Packet::PubRel(ack) => (0x62, ack),
            Packet::PubComp(ack) => (0x70, ack),
            _ => return None,
        };
        (kind == expected && ack.packet_id == id).then_some(ack.code)
    })
}

/// 5.0: MQTT-4.3.2-5. 3.1.1: MQTT-4.3.2-2.
#[test]
fn mqtt_4_3_2_5_after_puback_the_same_id_is_a_new_message() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("reused", version);
        let mut receivers = receivers(&gateway, version, &topic, 1);
        let mut sender = join(&gateway, version, &topic);
        for round in 0..6 {
            let mut message = numbered(&topic, &round.to_string(), 1, 5);
            message.dup = round % 2 == 1;
            sender.send(&Packet::Publish(message));
            assert_eq!(expect_ack(&mut sender, 0x40, 5), 0);
        }
        for receiver in &mut receivers {
            for round in 0..6 {
                take(receiver, &round.to_string());
            }
        }
    }
}

/// 5.0: MQTT-4.3.3-10, MQTT-4.3.3-11, MQTT-4.3.3-12. 3.1.1: MQTT-4.3.3-2.
#[test]
fn mqtt_4_3_3_10_until_pubrel_the_same_id_is_the_same_message() {
    let gateway = gateway();
    for version in BOTH {
        for lasting in [false, true] {
            let topic = own(&format!("repeat-{lasting}"), version);
            let mut receivers = receivers(&gateway, version, &topic, 1);
            let mut connect = Connect::new(version, &topic);
            if lasting {
                connect = connect.persistent();
            }
            let mut sender = Client::connect(gateway.mqtt, connect);
            for round in ["one", "two"] {
                for dup in [false, true, true, false] {
                    let mut message = numbered(&topic, round, 2, 77);
                    message.dup = dup;
                    sender.send(&Packet::Publish(message));
                    assert_eq!(expect_ack(&mut sender, 0x50, 77), 0);
                }
                sender.send(&Packet::PubRel(Ack::ok(77)));
                assert_eq!(expect_ack(&mut sender, 0x70, 77), 0);
            }
            publish(&mut sender, &topic, "marker", 1);
            for receiver in &mut receivers {
                for expected in ["one", "two", "marker"] {
                    take(receiver, expected);
                }
            }
        }
    }
}

/// 5.0: MQTT-4.3.3-9, MQTT-3.5.2-1.
#[test]
fn mqtt_4_3_3_9_after_a_refusal_the_same_id_is_a_new_message() {
    let gateway = gateway();
    let mut receivers = receivers(&gateway, Version::V5, "refused-id", 2);
    let mut sender = join(&gateway, Version::V5, "refused-id");
    sender.send(&Packet::Publish(numbered("$refused", "x", 2, 3)));
    assert_eq!(expect_ack(&mut sender, 0x50, 3), 0x87);
    sender.send(&Packet::Publish(numbered("refused-id", "new", 2, 3)));
    assert_eq!(expect_ack(&mut sender, 0x50, 3), 0);
    sender.send(&Packet::PubRel(Ack::ok(3)));
    assert_eq!(expect_ack(&mut sender, 0x70, 3), 0);
    receivers
        .iter_mut()
        .for_each(|receiver| drop(take(receiver, "new")));
}

/// 5.0: MQTT-3.7.2-1, MQTT-4.3.3-11. 3.1.1: MQTT-4.3.3-2.
#[test]
fn mqtt_3_7_2_1_pubrel_of_an_unknown_id_is_answered() {
    let gateway = gateway();
    for version in BOTH {
        let mut client = join(&gateway, version, &own("unknown", version));
        client.send(&Packet::PubRel(Ack::ok(99)));
        let expected = if version == Version::V5 { 0x92 } else { 0 };
        assert_eq!(expect_ack(&mut client, 0x70, 99), expected);
    }
}

/// 5.0: MQTT-3.6.2-1. 3.1.1: MQTT-4.3.3-1.
#[test]
fn mqtt_3_6_2_1_pubrec_of_an_unknown_id_is_answered() {
    let gateway = gateway();
    for version in BOTH {
        let mut client = join(&gateway, version, &own("unknown-rec", version)).by_hand();
        client.send(&Packet::PubRec(Ack::ok(99)));
        let expected = if version == Version::V5 { 0x92 } else { 0 };
        assert_eq!(expect_ack(&mut client, 0x62, 99), expected);
        // PUBACK and PUBCOMP of nothing are no reason to part.
        client.send(&Packet::PubAck(Ack::ok(98)));
        client.send(&Packet::PubComp(Ack::ok(97)));
        client.ping();
    }
}

/// 5.0: MQTT-4.3.3-3, MQTT-4.3.3-4, MQTT-4.3.3-5, MQTT-4.3.3-6, MQTT-3.6.2-1.
/// 3.1.1: MQTT-2.3.1-3, MQTT-2.3.1-4, MQTT-2.3.1-6, MQTT-4.3.3-1.
#[test]
fn mqtt_4_3_3_4_pubrec_is_answered_with_pubrel_of_the_same_id_each_time() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("rec", version);
        let mut sender = join(&gateway, version, &topic);
        for mut receiver in receivers(&gateway, version, &topic, 2) {
            publish(&mut sender, &topic, "x", 2);
            let (id, _) = take(&mut receiver, "x");
            for _ in 0..3 {
                receiver.send(&Packet::PubRec(Ack::ok(id)));
                assert_eq!(expect_ack(&mut receiver, 0x62, id), 0);
            }
            // Its id is taken until PUBCOMP.
            for _ in 0..3 {
                publish(&mut sender, &topic, "other", 2);
                let (other, _) = take(&mut receiver, "other");
                assert_ne!(other, id);
            }
            receiver.send(&Packet::PubComp(Ack::ok(id)));
            receiver.ping();
            receiver.disconnect();
        }
    }
}

/// 5.0: MQTT-4.3.3-4, MQTT-4.4.0-2.
#[test]
fn mqtt_4_4_0_2_a_delivery_that_is_refused_is_over() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "refuses");
    for mut receiver in receivers(&gateway, Version::V5, "refuses", 2) {
        for (qos, code) in [(1, 0x80), (1, 0x87), (2, 0x80), (2, 0x97)] {
            publish(&mut sender, "refuses", "no", qos);
            let (packet_id, _) = take(&mut receiver, "no");
            let refusal = Ack { packet_id, code };
            receiver.send(&match qos {
                1 => Packet::PubAck(refusal),
                _ => Packet::PubRec(refusal),
            });
            // Neither PUBREL nor the message comes.
            publish(&mut sender, "refuses", "next", 1);
            let next = receiver.receive().expect("the next message");
            assert!(
                matches!(&next, Packet::Publish(message) if message.text() == "next"),
                "{next:?}"
            );
        }
    }
    let resumed = Client::connect(gateway.mqtt, Connect::v5("refuses-durable").persistent());
    let mut resumed = resumed.by_hand();
    for _ in 0..4 {
        let message = resumed.message();
        assert_eq!(message.text(), "next", "what was refused is not sent again");
    }
}

/// 5.0: MQTT-4.4.0-1, MQTT-4.3.2-3, MQTT-4.3.3-3. 3.1.1: MQTT-4.3.2-1, MQTT-4.3.3-1.
#[test]
fn mqtt_4_4_0_1_nothing_is_sent_again_while_the_connection_stands() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("patient", version);
        let mut sender = join(&gateway, version, &topic);
        for mut receiver in receivers(&gateway, version, &topic, 2) {
            publish(&mut sender, &topic, "one", 1);
            publish(&mut sender, &topic, "two", 2);
            let (one, _) = take(&mut receiver, "one");
            let (two, _) = take(&mut receiver, "two");
            for _ in 0..5 {
                receiver.ping();
            }
            receiver.send(&Packet::PubAck(Ack::ok(one)));
            receiver.send(&Packet::PubRec(Ack::ok(two)));
            let next = receiver.receive().expect("PUBREL");
            assert!(matches!(next, Packet::PubRel(_)), "{next:?}");
            receiver.disconnect();
        }
    }
}

/// 5.0: MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1, MQTT-3.14.2-1, MQTT-4.13.1-1.
#[test]
fn mqtt_3_4_2_1_reason_codes_that_a_packet_does_not_have_are_malformed() {
    let gateway = gateway();
    for (first, codes) in [
        (0x40, &[0x01u8, 0x11, 0x81, 0x92, 0xFF][..]),
        (0x50, &[0x01, 0x81, 0x92, 0xFF]),
        (0x62, &[0x10, 0x80, 0x91, 0xFF]),
        (0x70, &[0x10, 0x80, 0x91, 0xFF]),
        (0xE0, &[0x01, 0x10, 0x7F, 0xFF]),
    ] {
        for &code in codes {
            let packet = if first == 0xE0 {
                frame(first, &[&[code]])
            } else {
                frame(first, &[&[0, 1, code]])
            };
            let said = cut_off(&gateway, Version::V5, &packet);
            assert_eq!(said, Some(0x81), "{first:#x} {code:#x}");
        }
    }
}

/// 5.0: MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.14.2-1, MQTT-3.9.3-2, MQTT-3.11.3-2. 3.1.1:
/// MQTT-3.9.3-2.
#[test]
fn mqtt_3_9_3_2_the_gateways_own_codes_are_of_the_lists() {
    let gateway = gateway();
    for version in BOTH {
        let mut client = join(&gateway, version, &own("codes", version));
        let acks = [
            client.publish(Publish::new("codes/x", "x", 1)),
            client.publish(Publish::new("codes/x", "x", 2)),
            client.publish(Publish::new("$codes", "x", 1)),
            client.publish(Publish::new("rooms/r/handoff/get/nobody", "{}", 1)),
            client.publish(Publish::new("rooms/r/nonsense", "{}", 2)),
            client.publish(Publish::new(
                &format!("rooms/r/blackboard/set/{}/k", own("codes", version)),
                "no",
                1,
            )),
        ];
        let known = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
        assert!(acks.iter().all(|code| known.contains(code)), "{acks:02x?}");
        let refused = acks.iter().filter(|code| **code >= 0x80).count();
        assert_eq!(
            refused,
            if version == Version::V5 { 4 } else { 0 },
            "{acks:02x?}"
        );
        let bad = match version {
            Version::V5 => "a/#/b",
            Version::V311 => "$share//a",
        };
        let granted = client.subscribe(&[("a", 0), (bad, 1), ("b", 2), ("$share/g", 0)]);
        match version {
            Version::V5 => assert_eq!(granted, [0, 0x8F, 2, 0x8F]),
            Version::V311 => assert_eq!(granted, [0, 0x80, 2, 0x80]),
        }
        let left = client.unsubscribe(&["a", "never", bad]);
        match version {
            Version::V5 => assert_eq!(left, [0, 0x11, 0x8F]),
            Version::V311 => assert!(left.is_empty()),
        }
    }
}

/// 5.0: MQTT-4.6.0-5, MQTT-4.6.0-6. 3.1.1: MQTT-4.6.0-5, MQTT-4.6.0-6.
#[test]
fn mqtt_4_6_0_5_messages_of_one_client_keep_their_order_on_a_topic() {
    let gateway = gateway();
    for version in BOTH {
        for qos in 0..3u8 {
            let topic = own(&format!("order-{qos}"), version);
            let mut watchers = [
                Connect::new(version, &format!("{topic}-live")),
                Connect::new(version, &format!("{topic}-durable")).persistent(),
            ]
            .map(|connect| Client::connect(gateway.mqtt, connect));
            let mut sender = join(&gateway, version, &topic);
            // Retained ones take another way through the gateway than the others. They must not
            // overtake, nor be overtaken.
            for wanted in [1, 2] {
                let watchers = &mut watchers[..wanted];
                watchers
                    .iter_mut()
                    .for_each(|watcher| drop(watcher.subscribe(&[(&topic, qos)])));
                for number in 0..200u16 {
                    let mut message = Publish::new(&topic, number.to_string(), qos);
                    message.retain = number % 3 == 0;
                    message.packet_id = (qos > 0).then_some(number + 1);
                    sender.send(&Packet::Publish(message));
                }
                if qos == 2 {
                    (1..=200).for_each(|id| assert_eq!(expect_ack(&mut sender, 0x50, id), 0));
                    (1..=200).for_each(|id| sender.send(&Packet::PubRel(Ack::ok(id))));
                }
                let durable_at_0 = qos == 0 && wanted == 2;
                for watcher in watchers {
                    // What is retained from the round before is no part of the order.
                    let fresh = std::iter::repeat_with(|| watcher.message()).filter(|m| !m.retain);
                    let seen: Vec<String> = fresh.take(200).map(|m| m.text().to_owned()).collect();
                    let sent: Vec<String> = (0..200).map(|number| number.to_string()).collect();
                    assert_eq!(seen, sent, "{version:?} QoS {qos}, durable {durable_at_0}");
                }
            }
        }
    }
}

/// 5.0: MQTT-4.3.3-13.
#[test]
fn mqtt_4_3_3_13_expiry_does_not_end_the_flow_of_the_sender() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "expires-in-flight");
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("expires-keeper").persistent());
    keeper.subscribe(&[("expires-in-flight", 2)]);
    keeper.disconnect();
    let mut message = numbered("expires-in-flight", "x", 2, 4);
    message.properties =
        crate::harness::Properties::new().four(crate::harness::property::MESSAGE_EXPIRY, 1);
    sender.send(&Packet::Publish(message.clone()));
    assert_eq!(expect_ack(&mut sender, 0x50, 4), 0);
    // By now it may have expired; the flow goes on as if not.
    message.dup = true;
    sender.send(&Packet::Publish(message));
    assert_eq!(expect_ack(&mut sender, 0x50, 4), 0);
    sender.send(&Packet::PubRel(Ack::ok(4)));
    assert_eq!(expect_ack(&mut sender, 0x70, 4), 0);
}

/// 5.0: MQTT-4.13.1-1.
#[test]
fn mqtt_4_13_1_1_pubrel_before_pubrec_is_a_protocol_error_or_waits() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "hasty");
    let mut bytes = Vec::new();
    for packet in [
        frame(0x34, &[&super::text("hasty"), &[0, 1, 0], b"x"]),
        frame(0x62, &[&[0, 1]]),
    ] {
        bytes.extend(packet);
    }
    sender.send_raw(&bytes);
    sender.ping();
    assert_eq!(expect_ack(&mut sender, 0x50, 1), 0);
    assert_eq!(expect_ack(&mut sender, 0x70, 1), 0);
    // The desk has to write this one down first: PUBREL comes before its PUBREC could go.
    let mut retained = frame(0x35, &[&super::text("hasty"), &[0, 2, 0], b"x"]);
    retained.extend(frame(0x62, &[&[0, 2]]));
    sender.send_raw(&retained);
    assert_eq!(said_at_the_end(&mut sender), Some(0x82));
}

/// 5.0: MQTT-4.13.1-1, MQTT-3.14.2-1. 3.1.1: MQTT-4.8.0-1.
#[test]
fn mqtt_4_13_1_1_an_acknowledgement_of_the_wrong_kind_costs_the_connection_and_no_message() {
    let (puback, pubrec, pubcomp) = (0x40u8, 0x50u8, 0x70u8);
    let gateway = gateway();
    for version in BOTH {
        for (round, (qos, acks)) in [
            (1, &[pubrec][..]),
            (1, &[pubcomp]),
            (2, &[puback]),
            (2, &[pubcomp]),
            (2, &[pubrec, puback]),
        ]
        .into_iter()
        .enumerate()
        {
            let id = own(&format!("wrong-ack-{round}"), version);
            let lasting = || Connect::new(version, &id).persistent();
            let mut client = Client::connect(gateway.mqtt, lasting()).by_hand();
            client.subscribe(&[(&id, qos)]);
            let mut sender = join(&gateway, version, &format!("{id}-sender"));
            publish(&mut sender, &id, "kept", qos);
            let (packet_id, _) = take(&mut client, "kept");
            for &ack in acks {
                client.send_raw(&frame(ack, &[&packet_id.to_be_bytes()]));
                if ack == pubrec && qos == 2 {
                    expect_ack(&mut client, 0x62, packet_id);
                }
            }
            let said = said_at_the_end(&mut client);
            assert_eq!(said, (version == Version::V5).then_some(0x82), "{acks:?}");
            let mut again = Client::connect(gateway.mqtt, lasting()).by_hand();
            if acks.len() == 1 {
                assert_eq!(take(&mut again, "kept").0, packet_id, "{acks:?}");
            } else {
                expect_ack(&mut again, 0x62, packet_id);
            }
        }
    }
}

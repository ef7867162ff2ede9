//! What happens again after a lost connection, and after `kill -9` (MQTT sections 4.4 and 4.6): the
//! same packet ids, in the same order, marked as repeats, and nothing twice where QoS 2 was asked
//! for.

use std::collections::{BTreeMap, BTreeSet};

use super::{BOTH, gateway, join, numbered, own, publish};
use crate::harness::{Ack, Client, Connect, Gateway, Packet, Publish, Version};

fn lasting(gateway: &Gateway, version: Version, id: &str) -> Client {
    Client::connect(gateway.mqtt, Connect::new(version, id).persistent()).by_hand()
}

/// Breaks the connection, or the gateway, and comes back.
fn come_back(gateway: &mut Gateway, client: Client, id: &str, crash: bool) -> Client {
    let version = client.version;
    if crash {
        gateway.kill();
        gateway.restart();
    }
    client.vanish();
    let client = lasting(gateway, version, id);
    assert!(client.session_present, "{id}");
    client
}

/// QoS, packet id, DUP and payload of the next packet, which must be PUBLISH.
#[track_caller]
fn next(client: &mut Client) -> (u8, u16, bool, String) {
    match client.receive() {
        Ok(Packet::Publish(message)) => {
            let id = message.packet_id.expect("QoS 1 or 2");
            (message.qos, id, message.dup, message.text().to_owned())
        }
        other => panic!("PUBLISH expected, but came {other:?}"),
    }
}

#[track_caller]
fn next_pubrel(client: &mut Client) -> u16 {
    match client.receive() {
        Ok(Packet::PubRel(ack)) => ack.packet_id,
        other => panic!("PUBREL expected, but came {other:?}"),
    }
}

#[track_caller]
fn expect_ack(client: &mut Client, wanted: impl Fn(&Packet) -> bool) {
    client.expect("an acknowledgement", |packet| wanted(packet).then_some(()));
}

/// 5.0: MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.3.2-3, MQTT-4.3.3-3, MQTT-4.3.3-5, MQTT-4.3.3-6,
/// MQTT-4.6.0-5. 3.1.1: MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-2.3.1-4, MQTT-4.3.2-1, MQTT-4.3.3-1,
/// MQTT-4.6.0-1, MQTT-4.6.0-6.
#[test]
fn mqtt_4_4_0_1_what_was_not_acknowledged_is_sent_again_the_same() {
    let mut gateway = Gateway::start();
    for version in BOTH {
        for crash in [false, true] {
            let id = own(&format!("again-{crash}"), version);
            let mut client = lasting(&gateway, version, &id);
            client.subscribe(&[(&format!("{id}/+"), 2)]);
            let mut sender = join(&gateway, version, &format!("{id}-sender"));
            for (at, qos) in [1, 2, 2, 1, 2, 1, 2, 1].into_iter().enumerate() {
                // Different topics: the order holds across them for what is sent again.
                publish(
                    &mut sender,
                    &format!("{id}/{}", at % 3),
                    &at.to_string(),
                    qos,
                );
            }
            let first: Vec<_> = (0..8).map(|_| next(&mut client)).collect();
            assert!(first.iter().all(|(_, _, dup, _)| !dup));
            let ids: Vec<u16> = first.iter().map(|(_, id, ..)| *id).collect();
            client.send(&Packet::PubAck(Ack::ok(ids[3])));
            for at in [4, 1] {
                client.send(&Packet::PubRec(Ack::ok(ids[at])));
                assert_eq!(next_pubrel(&mut client), ids[at]);
            }
            client.send(&Packet::PubComp(Ack::ok(ids[4])));
            client.ping();
            // Acknowledgements may reach the disk later; a repeat of what they were for is allowed
            // to QoS 1 alone.
            let mut client = come_back(&mut gateway, client, &id, crash);
            assert_eq!(
                next_pubrel(&mut client),
                ids[1],
                "PUBREL, and not the message"
            );
            if crash {
                // That PUBCOMP came may have been forgotten, not that PUBREC did.
                assert_eq!(next_pubrel(&mut client), ids[4]);
            }
            let mut again = Vec::new();
            while again.len() < 5 {
                let message = next(&mut client);
                if crash && message.1 == ids[3] {
                    continue;
                }
                again.push(message);
            }
            let expected: Vec<_> = [0, 2, 5, 6, 7]
                .map(|at: usize| (first[at].0, ids[at], true, first[at].3.clone()))
                .into();
            assert_eq!(again, expected, "{version:?} crash {crash}");
            // And once more, as long as nothing is acknowledged.
            let mut client = come_back(&mut gateway, client, &id, false);
            assert_eq!(next_pubrel(&mut client), ids[1]);
            if crash {
                assert_eq!(next_pubrel(&mut client), ids[4]);
            }
            assert_eq!(next(&mut client), expected[0]);
        }
    }
}

/// 5.0: MQTT-3.3.1-3, MQTT-4.3.2-2, MQTT-4.3.3-2. 3.1.1: MQTT-3.3.1-3, MQTT-4.3.2-1, MQTT-4.3.3-1.
#[test]
fn mqtt_3_3_1_3_what_was_never_sent_is_no_repeat() {
    let mut gateway = Gateway::start();
    for version in BOTH {
        for crash in [false, true] {
            let id = own(&format!("never-{crash}"), version);
            let mut client = lasting(&gateway, version, &id);
            client.subscribe(&[(&id, 2)]);
            let mut sender = join(&gateway, version, &format!("{id}-sender"));
            publish(&mut sender, &id, "sent", 1);
            let (_, sent, ..) = next(&mut client);
            client.disconnect();
            publish(&mut sender, &id, "waits", 1);
            publish(&mut sender, &id, "waits, too", 2);
            if crash {
                gateway.kill();
                gateway.restart();
            }
            let mut client = lasting(&gateway, version, &id);
            assert_eq!(next(&mut client), (1, sent, true, "sent".to_owned()));
            for expected in ["waits", "waits, too"] {
                let (.., dup, text) = next(&mut client);
                assert_eq!(
                    (dup, text.as_str()),
                    (false, expected),
                    "{version:?} crash {crash}"
                );
            }
        }
    }
}

/// 5.0: MQTT-4.3.3-10, MQTT-4.3.3-12. 3.1.1: MQTT-4.3.3-2.
#[test]
fn mqtt_4_3_3_10_a_message_that_is_sent_again_after_a_crash_is_taken_once() {
    let mut gateway = Gateway::start();
    for version in BOTH {
        for crash in [false, true] {
            let id = own(&format!("taken-{crash}"), version);
            let mut keeper = lasting(&gateway, version, &format!("{id}-keeper"));
            keeper.subscribe(&[(&id, 2)]);
            keeper.disconnect();
            let mut sender = lasting(&gateway, version, &id);
            let mut message = numbered(&id, "once", 2, 21);
            sender.send(&Packet::Publish(message.clone()));
            expect_ack(&mut sender, |packet| matches!(packet, Packet::PubRec(_)));
            // The client has not heard the PUBREC, as far as the gateway can know.
            let mut sender = come_back(&mut gateway, sender, &id, crash);
            message.dup = true;
            sender.send(&Packet::Publish(message.clone()));
            expect_ack(&mut sender, |packet| matches!(packet, Packet::PubRec(_)));
            sender.send(&Packet::PubRel(Ack::ok(21)));
            expect_ack(&mut sender, |packet| matches!(packet, Packet::PubComp(_)));
            // PUBCOMP was lost: PUBREL comes again, and is answered.
            let mut sender = come_back(&mut gateway, sender, &id, crash);
            sender.send(&Packet::PubRel(Ack::ok(21)));
            expect_ack(&mut sender, |packet| matches!(packet, Packet::PubComp(_)));
            // The id is free: the same bytes are another message now.
            message.dup = false;
            sender.send(&Packet::Publish(message));
            expect_ack(&mut sender, |packet| matches!(packet, Packet::PubRec(_)));
            sender.send(&Packet::PubRel(Ack::ok(21)));
            expect_ack(&mut sender, |packet| matches!(packet, Packet::PubComp(_)));
            publish(&mut sender, &id, "marker", 1);
            let mut keeper = lasting(&gateway, version, &format!("{id}-keeper"));
            for expected in ["once", "once", "marker"] {
                assert_eq!(next(&mut keeper).3, expected);
            }
        }
    }
}

/// 5.0: MQTT-4.3.3-5, MQTT-4.3.3-6. 3.1.1: MQTT-4.3.3-1.
#[test]
fn mqtt_4_3_3_6_after_pubrel_the_message_is_never_sent_again() {
    let mut gateway = Gateway::start();
    for version in BOTH {
        for crash in [false, true] {
            let id = own(&format!("released-{crash}"), version);
            let mut client = lasting(&gateway, version, &id);
            client.subscribe(&[(&id, 2)]);
            let mut sender = join(&gateway, version, &format!("{id}-sender"));
            publish(&mut sender, &id, "once", 2);
            let (_, packet_id, ..) = next(&mut client);
            client.send(&Packet::PubRec(Ack::ok(packet_id)));
            assert_eq!(next_pubrel(&mut client), packet_id);
            for round in 0..3 {
                client = come_back(&mut gateway, client, &id, crash && round == 0);
                assert_eq!(next_pubrel(&mut client), packet_id);
            }
            client.send(&Packet::PubComp(Ack::ok(packet_id)));
            client.ping();
            let mut client = come_back(&mut gateway, client, &id, false);
            let mut sender = join(&gateway, version, &format!("{id}-sender"));
            publish(&mut sender, &id, "marker", 1);
            assert_eq!(next(&mut client).3, "marker");
        }
    }
}

/// 5.0: MQTT-4.4.0-1. 3.1.1: MQTT-4.4.0-1.
#[test]
fn mqtt_4_4_0_1_a_clean_session_is_sent_nothing_again() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("nothing", version);
        let mut client = lasting(&gateway, version, &id);
        client.subscribe(&[(&id, 2)]);
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        publish(&mut sender, &id, "one", 1);
        publish(&mut sender, &id, "two", 2);
        next(&mut client);
        let (_, two, ..) = next(&mut client);
        client.send(&Packet::PubRec(Ack::ok(two)));
        next_pubrel(&mut client);
        client.vanish();
        let mut clean = join(&gateway, version, &id).by_hand();
        clean.subscribe(&[(&id, 1)]);
        publish(&mut sender, &id, "marker", 1);
        assert_eq!(next(&mut clean).3, "marker");
    }
}

/// 5.0: MQTT-4.4.0-1, MQTT-4.6.0-5. 3.1.1: MQTT-4.6.0-1, MQTT-4.6.0-6.
#[test]
fn mqtt_4_6_0_5_a_long_backlog_comes_in_order_through_a_small_window_and_lost_connections() {
    let mut gateway = crate::harness::Setup::new()
        .with("mqtt.max_inflight", "5")
        .start();
    for version in BOTH {
        let id = own("backlog", version);
        let mut client = lasting(&gateway, version, &id);
        client.subscribe(&[(&id, 2)]);
        client.disconnect();
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        for number in 0..60u8 {
            publish(&mut sender, &id, &number.to_string(), 1 + number % 2);
        }
        let mut seen: Vec<u8> = Vec::new();
        let (mut ids, mut released) = (BTreeMap::<u16, u8>::new(), BTreeSet::<u8>::new());
        let mut round = 0;
        let mut client = lasting(&gateway, version, &id);
        while seen.len() < 60 {
            round += 1;
            for step in 0..9 {
                let packet = match client.receive().expect("there is more to come") {
                    Packet::PubRel(ack) => {
                        released.extend(ids.get(&ack.packet_id));
                        client.send(&Packet::PubComp(ack));
                        continue;
                    }
                    Packet::Publish(message) => message,
                    other => panic!("{other:?}"),
                };
                let number: u8 = packet.text().parse().expect("a number");
                // What was acknowledged shortly before may come again, marked, and at QoS 2 only
                // until PUBREL.
                if seen.contains(&number) {
                    assert!(packet.dup && !released.contains(&number), "{number} twice");
                } else {
                    assert_eq!(usize::from(number), seen.len(), "in order");
                    if step > 6 {
                        break;
                    }
                    seen.push(number);
                }
                let ack = Ack::ok(packet.packet_id.expect("QoS 1 or 2"));
                ids.insert(ack.packet_id, number);
                client.send(&match packet.qos {
                    1 => Packet::PubAck(ack),
                    _ => Packet::PubRec(ack),
                });
                if seen.len() == 60 {
                    break;
                }
            }
            client.ping();
            client = come_back(&mut gateway, client, &id, round % 4 == 0);
        }
    }
}

/// 5.0: MQTT-4.6.0-5. 3.1.1: MQTT-4.6.0-6.
#[test]
fn mqtt_4_6_0_5_pubrel_goes_in_the_order_of_pubrec() {
    let gateway = gateway();
    for version in BOTH {
        for kind in ["durable", "live", "mixed"] {
            let id = own(&format!("rel-order-{kind}"), version);
            let mut client = match kind {
                "durable" => lasting(&gateway, version, &id),
                _ => join(&gateway, version, &id).by_hand(),
            };
            // A share's messages come from the desk, others straight from who publishes.
            let share = format!("$share/g/{id}/0");
            client.subscribe(&[(if kind == "mixed" { &share } else { "unused" }, 2)]);
            client.subscribe(&[(&format!("{id}/1"), 2)]);
            let topic = |at: usize| format!("{id}/{}", if kind == "mixed" { at % 2 } else { 1 });
            let mut sender = join(&gateway, version, &format!("{id}-sender"));
            for at in 0..20 {
                publish(&mut sender, &topic(at), "x", 2);
            }
            let mut ids: Vec<u16> = (0..20).map(|_| next(&mut client).1).collect();
            ids.reverse();
            for id in &ids {
                client.send(&Packet::PubRec(Ack::ok(*id)));
            }
            let released: Vec<u16> = (0..20).map(|_| next_pubrel(&mut client)).collect();
            assert_eq!(released, ids, "{version:?} {kind}");
        }
    }
}

/// 5.0: MQTT-2.2.1-4. 3.1.1: MQTT-2.3.1-4.
#[test]
fn mqtt_2_2_1_4_packet_ids_of_one_session_do_not_meet_after_a_crash() {
    let mut gateway = Gateway::start();
    let id = "no-meeting";
    let mut client = lasting(&gateway, Version::V5, id);
    client.subscribe(&[(id, 2)]);
    let mut sender = join(&gateway, Version::V5, "no-meeting-sender");
    publish(&mut sender, id, "one", 2);
    let (_, one, ..) = next(&mut client);
    client.send(&Packet::PubRec(Ack::ok(one)));
    assert_eq!(next_pubrel(&mut client), one);
    let mut client = come_back(&mut gateway, client, id, true);
    assert_eq!(next_pubrel(&mut client), one);
    let mut sender = join(&gateway, Version::V5, "no-meeting-sender");
    for number in 0..5 {
        sender.publish(Publish::new(id, number.to_string(), 1 + number % 2));
        assert_ne!(next(&mut client).1, one, "it is taken until PUBCOMP");
    }
}

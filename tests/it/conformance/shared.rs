//! Shared subscriptions (MQTT 5 section 4.8.2); 3.1.1 clients may use them as well.

use std::collections::BTreeMap;

use super::{BOTH, gateway, join, own, publish, retain, subscribe_with};
use crate::harness::{
    Ack, Client, Connect, Gateway, Packet, Properties, Publish, Value, Version, property,
};

fn lasting(gateway: &Gateway, id: &str) -> Client {
    Client::connect(gateway.mqtt, Connect::v5(id).persistent()).by_hand()
}

/// Reads until every one of `count` messages has come to one of the members; how many came to each.
fn drain(
    members: &mut [Client],
    topic: &str,
    sender: &mut Client,
    qos: u8,
    count: usize,
) -> Vec<usize> {
    for number in 0..count {
        publish(sender, topic, &number.to_string(), qos);
    }
    let mut seen = BTreeMap::new();
    let mut counts = Vec::new();
    for (at, member) in members.iter_mut().enumerate() {
        // The marker is the member's own, and comes behind what it was given before.
        let marker = format!("{topic}/marker/{at}");
        member.subscribe(&[(&marker, 1)]);
        publish(sender, &marker, "marker", 1);
        loop {
            let message = member.message();
            if message.topic == marker {
                break;
            }
            *seen.entry(message.text().to_owned()).or_insert(0) += 1;
        }
        counts.push(seen.values().sum::<usize>() - counts.iter().sum::<usize>());
    }
    assert!(
        seen.values().all(|times| *times == 1),
        "each to one member only: {seen:?}"
    );
    counts
}

/// 5.0: MQTT-4.8.2-3.
#[test]
fn mqtt_4_8_2_3_each_message_goes_to_one_member_in_turn() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("turns", version);
        let mut members: Vec<Client> = (0..3)
            .map(|at| join(&gateway, version, &format!("{topic}-{at}")))
            .collect();
        for member in &mut members {
            member.subscribe(&[(&format!("$share/g/{topic}"), 2)]);
        }
        let mut sender = join(&gateway, version, &topic);
        for qos in 1..3 {
            assert_eq!(
                drain(&mut members, &topic, &mut sender, qos, 30),
                [10, 10, 10]
            );
        }
    }
}

/// 5.0: MQTT-4.8.2-3, MQTT-3.8.4-8.
#[test]
fn mqtt_4_8_2_3_members_get_their_own_qos_and_identifier() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "own-qos");
    let mut members: Vec<Client> = (0..3u8)
        .map(|granted| {
            let mut member = join(&gateway, Version::V5, &format!("own-qos-{granted}"));
            let identifier = Value::Variable(u32::from(granted) + 1);
            let properties = Properties::new().with(property::SUBSCRIPTION_ID, identifier);
            assert_eq!(
                subscribe_with(&mut member, &[("$share/g/own-qos", granted)], properties),
                [granted]
            );
            member
        })
        .collect();
    for sent in 0..3 {
        (0..3).for_each(|_| publish(&mut sender, "own-qos", "x", sent));
        for (granted, member) in (0..3u8).zip(&mut members) {
            let message = member.message();
            assert_eq!(message.qos, sent.min(granted));
            let identifier = message.properties.find(property::SUBSCRIPTION_ID);
            assert_eq!(identifier, Some(&Value::Variable(u32::from(granted) + 1)));
        }
    }
}

/// 5.0: MQTT-4.8.2-1.
#[test]
fn mqtt_4_8_2_1_groups_are_told_apart_by_name_and_filter() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "groups");
    let mut one = join(&gateway, Version::V5, "groups-one");
    let mut two = join(&gateway, Version::V5, "groups-two");
    // The same name with two filters, two names with the same filter, and no group at all.
    one.subscribe(&[("$share/g/groups/+", 1), ("groups/a", 1)]);
    two.subscribe(&[("$share/g/groups/a", 1), ("$share/h/groups/a", 1)]);
    publish(&mut sender, "groups/a", "x", 1);
    for member in [&mut one, &mut two] {
        assert_eq!(member.message().topic, "groups/a");
        assert_eq!(member.message().topic, "groups/a");
    }
}

/// 5.0: MQTT-3.3.1-9, MQTT-3.3.1-12.
#[test]
fn mqtt_3_3_1_9_a_share_is_sent_no_retained_messages() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "share-retained");
    retain(&mut sender, "share-retained", "kept", 1);
    let mut member = join(&gateway, Version::V5, "share-retained-member");
    member.subscribe(&[("$share/g/share-retained", 1)]);
    retain(&mut sender, "share-retained", "new", 1);
    let message = member.message();
    assert_eq!((message.text(), message.retain), ("new", false));
}

/// 5.0: MQTT-3.10.4-1.
#[test]
fn mqtt_3_10_4_1_leaving_a_share_leaves_the_rest_to_the_others() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "leaving");
    let mut stays = join(&gateway, Version::V5, "leaving-stays");
    let mut leaves = join(&gateway, Version::V5, "leaving-leaves");
    for member in [&mut stays, &mut leaves] {
        member.subscribe(&[("$share/g/leaving", 1)]);
    }
    assert_eq!(
        leaves.unsubscribe(&["leaving", "$share/h/leaving"]),
        [0x11, 0x11]
    );
    assert_eq!(leaves.unsubscribe(&["$share/g/leaving"]), [0]);
    for number in 0..4 {
        publish(&mut sender, "leaving", &number.to_string(), 1);
        assert_eq!(stays.message().text(), number.to_string());
    }
}

/// 5.0: MQTT-4.8.2-3.
#[test]
fn mqtt_4_8_2_3_what_a_lost_member_has_not_acknowledged_goes_to_another() {
    let gateway = gateway();
    for (round, end) in ["vanish", "disconnect", "unsubscribe and leave"]
        .iter()
        .enumerate()
    {
        let topic = format!("lost-{round}");
        let mut sender = join(&gateway, Version::V5, &topic);
        let share = format!("$share/g/{topic}");
        let mut first = join(&gateway, Version::V5, &format!("{topic}-first")).by_hand();
        first.subscribe(&[(&share, 2)]);
        for number in 0..6 {
            publish(&mut sender, &topic, &number.to_string(), 1);
        }
        let ids: Vec<u16> = (0..6).filter_map(|_| first.message().packet_id).collect();
        first.send(&Packet::PubAck(Ack::ok(ids[0])));
        first.send(&Packet::PubAck(Ack::ok(ids[3])));
        first.ping();
        let mut second = join(&gateway, Version::V5, &format!("{topic}-second"));
        second.subscribe(&[(&share, 2)]);
        match round {
            0 => first.vanish(),
            1 => first.disconnect(),
            _ => {
                first.unsubscribe(&[&share]);
                first.disconnect();
            }
        }
        for expected in ["1", "2", "4", "5"] {
            let message = second.message();
            assert_eq!(
                (message.text(), message.dup),
                (expected, false),
                "{end}: in their order"
            );
        }
        publish(&mut sender, &topic, "marker", 1);
        second.expect_silence_until(|message| message.text() == "marker");
    }
}

/// 5.0: MQTT-4.8.2-4, MQTT-4.8.2-5.
#[test]
fn mqtt_4_8_2_5_a_qos_2_delivery_that_was_begun_goes_to_nobody_else() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "begun");
    let mut first = lasting(&gateway, "begun-first");
    first.subscribe(&[("$share/g/begun", 2)]);
    publish(&mut sender, "begun", "for the first", 2);
    let begun = first.message().packet_id.expect("QoS 2");
    publish(&mut sender, "begun", "received", 2);
    let received = first.message().packet_id.expect("QoS 2");
    first.send(&Packet::PubRec(Ack::ok(received)));
    first.expect("PUBREL", |packet| {
        matches!(packet, Packet::PubRel(_)).then_some(())
    });
    let mut second = join(&gateway, Version::V5, "begun-second");
    second.subscribe(&[("$share/g/begun", 2)]);
    first.vanish();
    // It is completed when the member is back.
    let mut first = lasting(&gateway, "begun-first");
    assert!(first.session_present);
    let again = first.message();
    assert_eq!(
        (again.text(), again.dup, again.packet_id),
        ("for the first", true, Some(begun))
    );
    first.expect("PUBREL", |packet| match packet {
        Packet::PubRel(ack) => (ack.packet_id == received).then_some(()),
        _ => None,
    });
    // And if it never is, it is nobody's.
    first.vanish();
    join(&gateway, Version::V5, "begun-first").disconnect();
    publish(&mut sender, "begun", "marker", 1);
    second.expect_silence_until(|message| message.text() == "marker");
}

/// 5.0: MQTT-4.8.2-6.
#[test]
fn mqtt_4_8_2_6_what_a_member_refuses_is_not_offered_to_another() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "offered");
    let mut refuses = join(&gateway, Version::V5, "offered-refuses").by_hand();
    refuses.subscribe(&[("$share/g/offered", 2)]);
    for qos in [1, 2] {
        publish(&mut sender, "offered", "no", qos);
        let packet_id = refuses.message().packet_id.expect("QoS 1 or 2");
        let refusal = Ack {
            packet_id,
            code: 0x83,
        };
        refuses.send(&match qos {
            1 => Packet::PubAck(refusal),
            _ => Packet::PubRec(refusal),
        });
    }
    refuses.ping();
    let mut other = join(&gateway, Version::V5, "offered-other");
    other.subscribe(&[("$share/g/offered", 2)]);
    refuses.vanish();
    publish(&mut sender, "offered", "marker", 1);
    other.expect_silence_until(|message| message.text() == "marker");
}

/// 5.0: MQTT-4.8.2-3.
#[test]
fn mqtt_4_8_2_3_a_member_that_is_away_is_the_last_choice() {
    let mut gateway = Gateway::start();
    let mut sender = join(&gateway, Version::V5, "away");
    let mut away = lasting(&gateway, "away-away");
    away.subscribe(&[("$share/g/away", 1)]);
    away.disconnect();
    publish(&mut sender, "away", "nobody else is there", 1);
    let mut here = lasting(&gateway, "away-here");
    here.subscribe(&[("$share/g/away", 1)]);
    // What nobody was sent yet does not wait for one who may never come back.
    assert_eq!(here.message().text(), "nobody else is there");
    for number in 0..4 {
        publish(&mut sender, "away", &number.to_string(), 1);
        assert_eq!(here.message().text(), number.to_string());
    }
    here.disconnect();
    publish(&mut sender, "away", "nobody is there again", 1);
    // Groups and what waits for their members survive a crash.
    gateway.kill();
    gateway.restart();
    let mut away = lasting(&gateway, "away-away");
    assert_eq!(away.message().text(), "nobody is there again");
    let mut sender = join(&gateway, Version::V5, "away");
    publish(&mut sender, "away", "after", 1);
    assert_eq!(away.message().text(), "after");
}

/// 5.0: MQTT-4.8.2-3.
#[test]
fn mqtt_4_8_2_3_what_waits_for_a_session_that_ends_goes_to_another_member() {
    let mut gateway = Gateway::start();
    let mut sender = join(&gateway, Version::V5, "inherits");
    let mut away = lasting(&gateway, "inherits-away");
    away.subscribe(&[("$share/g/inherits", 2)]);
    away.disconnect();
    publish(&mut sender, "inherits", "one", 1);
    publish(&mut sender, "inherits", "never begun", 2);
    let mut here = lasting(&gateway, "inherits-here");
    here.subscribe(&[("$share/g/inherits", 2)]);
    gateway.kill();
    gateway.restart();
    let mut here = lasting(&gateway, "inherits-here");
    join(&gateway, Version::V5, "inherits-away").disconnect();
    assert_eq!(here.message().text(), "one");
    assert_eq!(here.message().text(), "never begun");
}

/// 5.0: MQTT-3.3.4-2, MQTT-3.3.4-5.
#[test]
fn mqtt_3_3_4_5_who_is_in_a_share_and_subscribed_beside_it_gets_a_copy_of_each() {
    let gateway = gateway();
    let mut sender = join(&gateway, Version::V5, "beside");
    let mut member = join(&gateway, Version::V5, "beside-member");
    let identified =
        |number| Properties::new().with(property::SUBSCRIPTION_ID, Value::Variable(number));
    subscribe_with(&mut member, &[("$share/g/beside", 1)], identified(1));
    subscribe_with(&mut member, &[("beside", 0)], identified(2));
    sender.publish(Publish::new("beside", "x", 1));
    let mut copies = [member.message(), member.message()];
    copies.sort_by_key(|copy| copy.qos);
    let [beside, shared] = copies.map(|copy| (copy.qos, copy.properties));
    assert_eq!(beside, (0, identified(2)));
    assert_eq!(shared, (1, identified(1)));
}

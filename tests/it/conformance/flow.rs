//! Flow control and topic aliases (MQTT 5 sections 4.9 and 3.3.2.3.4), both ways.

use super::wire::{frame, text};
use super::{cut_off, gateway, join, numbered, publish, said_at_the_end};
use crate::harness::{
    Ack, Client, Connect, Gateway, Packet, Properties, Publish, Setup, Value, Version, property,
};

fn receiving(id: &str, maximum: u16) -> Connect {
    let mut connect = Connect::v5(id);
    connect.properties = Properties::new().with(property::RECEIVE_MAXIMUM, Value::Two(maximum));
    connect
}

/// 5.0: MQTT-3.3.4-9, MQTT-3.3.4-10, MQTT-4.9.0-1, MQTT-4.9.0-2, MQTT-4.9.0-3.
#[test]
fn mqtt_3_3_4_9_no_more_than_receive_maximum_is_in_flight() {
    let gateway = gateway();
    for (round, lasting) in [(0, false), (1, true)] {
        let topic = format!("window-{round}");
        let mut connect = receiving(&topic, 3);
        if lasting {
            connect = connect.persistent();
        }
        let mut client = Client::connect(gateway.mqtt, connect).by_hand();
        client.subscribe(&[(&topic, 2)]);
        let mut sender = join(&gateway, Version::V5, &format!("{topic}-sender"));
        for number in 0..6 {
            publish(&mut sender, &topic, &number.to_string(), 1 + number % 2);
        }
        let taken: Vec<_> = (0..3).map(|_| client.message()).collect();
        // Everything else goes on: answers, QoS 0.
        client.ping();
        assert_eq!(client.subscribe(&[(&format!("{topic}/other"), 0)]), [0]);
        publish(&mut sender, &format!("{topic}/other"), "QoS 0", 0);
        assert_eq!(client.message().text(), "QoS 0");
        // "1" was of QoS 2: PUBREC alone makes no room, PUBCOMP does.
        let two = taken[1].packet_id.expect("QoS 2");
        client.send(&Packet::PubRec(Ack::ok(two)));
        client.expect("PUBREL", |packet| {
            matches!(packet, Packet::PubRel(_)).then_some(())
        });
        client.ping();
        client.send(&Packet::PubComp(Ack::ok(two)));
        assert_eq!(client.message().text(), "3");
        client.send(&Packet::PubAck(Ack::ok(taken[2].packet_id.expect("QoS 1"))));
        assert_eq!(client.message().text(), "4");
        // A refusal makes room, too.
        let packet_id = taken[0].packet_id.expect("QoS 1");
        client.send(&Packet::PubAck(Ack {
            packet_id,
            code: 0x80,
        }));
        assert_eq!(client.message().text(), "5");
        client.ping();
    }
}

/// Who acknowledges its mail when its work is done asks meanwhile, and waits for the answer.
#[test]
fn an_answer_of_qos_0_passes_a_window_that_is_full() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.mqtt, receiving("busy", 2)).by_hand();
    client.subscribe(&[("rooms/lab/inbox/busy/+", 1), ("rooms/lab/reply/busy", 0)]);
    let mut sender = join(&gateway, Version::V5, "ed");
    for number in 0..4 {
        publish(
            &mut sender,
            "rooms/lab/inbox/busy/ed",
            &number.to_string(),
            1,
        );
    }
    let taken: Vec<_> = (0..2).map(|_| client.message()).collect();
    for round in 0..3 {
        let set = format!(r#"{{"value":{round},"id":"set-{round}"}}"#);
        publish(&mut client, "rooms/lab/blackboard/set/busy/k", &set, 1);
        let reply = client.message();
        assert_eq!(
            (reply.topic.as_str(), reply.qos),
            ("rooms/lab/reply/busy", 0)
        );
        assert!(
            reply.text().contains(&format!("set-{round}")),
            "{}",
            reply.text()
        );
    }
    client.send(&Packet::PubAck(Ack::ok(taken[0].packet_id.expect("QoS 1"))));
    assert_eq!(client.message().text(), "2");
    client.ping();
}

/// 5.0: MQTT-3.3.4-7, MQTT-3.14.2-1.
#[test]
fn mqtt_3_3_4_7_a_client_that_sends_more_than_it_may_is_cut_off() {
    let gateway = Setup::new().with("mqtt.receive_maximum", "2").start();
    let mut client = join(&gateway, Version::V5, "greedy");
    assert_eq!(
        client.granted.find(property::RECEIVE_MAXIMUM),
        Some(&Value::Two(2))
    );
    for id in 1..=2 {
        client.send(&Packet::Publish(numbered("greedy", "x", 2, id)));
    }
    client.ping();
    // Repeats of the two are no third one, QoS 0 needs no room.
    client.send(&Packet::Publish(numbered("greedy", "x", 2, 2)));
    client.publish(Publish::new("greedy", "x", 0));
    client.ping();
    client.send(&Packet::Publish(numbered("greedy", "x", 1, 3)));
    assert_eq!(said_at_the_end(&mut client), Some(0x93));
}

/// 5.0: MQTT-4.9.0-1.
#[test]
fn mqtt_4_9_0_1_a_new_connection_has_the_whole_quota() {
    let gateway = Setup::new().with("mqtt.receive_maximum", "2").start();
    let lasting = || Connect::v5("quota").persistent();
    let mut client = Client::connect(gateway.mqtt, lasting());
    for id in 1..=2 {
        client.send(&Packet::Publish(numbered("quota", "x", 2, id)));
        client.expect("PUBREC", |packet| {
            matches!(packet, Packet::PubRec(_)).then_some(())
        });
    }
    client.vanish();
    // Both had their PUBREC: what goes again is PUBREL, which no quota counts.
    let mut client = Client::connect(gateway.mqtt, lasting());
    assert!(client.session_present);
    let mut bytes = Vec::new();
    for id in [1u8, 2] {
        bytes.extend(frame(0x62, &[&[0, id]]));
    }
    for id in [3u8, 4] {
        bytes.extend(frame(0x32, &[&text("quota"), &[0, id, 0], b"x"]));
    }
    client.send_raw(&bytes);
    for id in 3..=4 {
        client.expect("PUBACK", |packet| match packet {
            Packet::PubAck(ack) => (ack.packet_id == id).then_some(()),
            _ => None,
        });
    }
    client.ping();
}

fn aliased(topic: &str, alias: u16, payload: &str, qos: u8) -> Publish {
    let mut message = Publish::new(topic, payload, qos);
    message.properties = Properties::new().with(property::TOPIC_ALIAS, Value::Two(alias));
    message
}

/// 5.0: MQTT-3.3.2-12, MQTT-3.3.2-7.
#[test]
fn mqtt_3_3_2_12_topic_aliases_stand_for_their_topic() {
    let gateway = Setup::new().with("mqtt.topic_alias_max", "3").start();
    let mut watcher = join(&gateway, Version::V5, "alias-watcher");
    watcher.subscribe(&[("alias/#", 2)]);
    let mut client = join(&gateway, Version::V5, "alias");
    assert_eq!(client.granted.find(0x22), Some(&Value::Two(3)));
    for qos in 0..3 {
        for alias in 1..=3 {
            client.publish(aliased(&format!("alias/{alias}"), alias, "set", qos));
            client.publish(aliased("", alias, "used", qos));
            client.publish(aliased(
                &format!("alias/new/{alias}"),
                alias,
                "changed",
                qos,
            ));
            client.publish(aliased("", alias, "used", qos));
            for expected in ["alias/", "alias/", "alias/new/", "alias/new/"] {
                let message = watcher.message();
                assert_eq!(message.topic, format!("{expected}{alias}"));
                assert_eq!(
                    message.properties,
                    Properties::new(),
                    "the alias is the publisher's own"
                );
            }
        }
    }
    // Another client's are its own, and so are those of the next connection.
    for id in ["alias", "alias-other"] {
        let mut other = join(&gateway, Version::V5, id);
        other.send(&Packet::Publish(aliased("", 1, "nobody set it", 0)));
        assert_eq!(said_at_the_end(&mut other), Some(0x82));
    }
}

/// 5.0: MQTT-3.3.2-7, MQTT-3.3.2-12.
#[test]
fn mqtt_3_3_2_7_a_repeat_sets_its_alias_all_the_same() {
    let gateway = gateway();
    let lasting = || Connect::v5("alias-repeat").persistent();
    let mut watcher = join(&gateway, Version::V5, "alias-repeat-watcher");
    watcher.subscribe(&[("alias-repeat", 2)]);
    let mut client = Client::connect(gateway.mqtt, lasting());
    client.send(&Packet::Publish(numbered("alias-repeat", "first", 2, 8)));
    client.expect("PUBREC", |packet| {
        matches!(packet, Packet::PubRec(_)).then_some(())
    });
    client.vanish();
    let mut client = Client::connect(gateway.mqtt, lasting());
    let mut again = aliased("alias-repeat", 1, "first", 2);
    (again.packet_id, again.dup) = (Some(8), true);
    client.send(&Packet::Publish(again));
    client.publish(aliased("", 1, "by alias", 1));
    assert_eq!(watcher.message().text(), "first");
    assert_eq!(watcher.message().text(), "by alias");
}

/// 5.0: MQTT-3.3.2-8, MQTT-3.3.2-9, MQTT-3.2.2-17, MQTT-3.2.2-18, MQTT-3.14.2-1.
#[test]
fn mqtt_3_3_2_8_aliases_out_of_range_are_invalid() {
    let gateway = gateway();
    for alias in [0u16, 17, 65_535] {
        let properties = [&[3, 0x23][..], &alias.to_be_bytes()].concat();
        let packet = frame(0x30, &[&text("a"), &properties]);
        assert_eq!(
            cut_off(&gateway, Version::V5, &packet),
            Some(0x94),
            "{alias}"
        );
    }
    let none = Setup::new().with("mqtt.topic_alias_max", "0").start();
    let client = join(&none, Version::V5, "no-alias");
    assert_eq!(client.granted.find(0x22), None);
    let packet = frame(0x30, &[&text("a"), &[3, 0x23, 0, 1]]);
    assert_eq!(cut_off(&none, Version::V5, &packet), Some(0x94));
}

/// What a subscriber that allows so many aliases is sent, as topic and alias.
fn seen_with(gateway: &Gateway, id: &str, maximum: Option<u16>) -> Vec<(String, Option<u16>)> {
    let mut connect = Connect::v5(id);
    if let Some(maximum) = maximum {
        connect.properties = Properties::new().with(0x22, Value::Two(maximum));
    }
    let mut client = Client::connect(gateway.mqtt, connect);
    client.subscribe(&[(&format!("{id}/+"), 1)]);
    let mut sender = join(gateway, Version::V5, &format!("{id}-sender"));
    for number in 0..12 {
        publish(
            &mut sender,
            &format!("{id}/{}", number % 4),
            "x",
            number % 2,
        );
    }
    (0..12)
        .map(|_| client.message())
        .map(
            |message| match message.properties.find(property::TOPIC_ALIAS) {
                Some(Value::Two(alias)) => (message.topic, Some(*alias)),
                _ => (message.topic, None),
            },
        )
        .collect()
}

/// 5.0: MQTT-3.1.2-26, MQTT-3.1.2-27, MQTT-3.3.2-8, MQTT-3.3.2-11.
#[test]
fn mqtt_3_1_2_26_aliases_to_a_client_stay_within_what_it_allows() {
    let gateway = gateway();
    for (round, none) in [None, Some(0)].into_iter().enumerate() {
        let seen = seen_with(&gateway, &format!("no-aliases-{round}"), none);
        assert!(
            seen.iter()
                .all(|(topic, alias)| alias.is_none() && !topic.is_empty()),
            "{seen:?}"
        );
    }
    let seen = seen_with(&gateway, "two-aliases", Some(2));
    let mut known = std::collections::BTreeMap::<u16, String>::new();
    for (at, (topic, alias)) in seen.into_iter().enumerate() {
        assert!(
            alias.is_none_or(|alias| (1..=2).contains(&alias)),
            "{alias:?}"
        );
        let topic = match (alias, topic.is_empty()) {
            (Some(alias), true) => known[&alias].clone(),
            (Some(alias), false) => {
                known.insert(alias, topic.clone());
                topic
            }
            (None, _) => topic,
        };
        assert_eq!(topic, format!("two-aliases/{}", at % 4));
    }
}

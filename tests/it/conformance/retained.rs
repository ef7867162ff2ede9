//! Retained messages (MQTT 5 section 3.3.1.3): kept one a topic, shown to who comes later.

use super::{BOTH, gateway, join, own, publish, publish_past, retain};
use crate::harness::{Client, Gateway, Publish, Version};

/// What a newcomer finds under a filter, in any order, up to a marker.
fn found(gateway: &Gateway, version: Version, filter: &str) -> Vec<(String, String, u8)> {
    let mut newcomer = join(gateway, version, "");
    newcomer.subscribe(&[(filter, 2), ("retained/marker", 1)]);
    publish(&mut newcomer, "retained/marker", "marker", 1);
    let mut found = Vec::new();
    loop {
        let message = newcomer.message();
        if message.text() == "marker" {
            return found;
        }
        assert!(
            message.retain,
            "it was sent because of the new subscription: {message:?}"
        );
        let text = message.text().to_owned();
        found.push((message.topic, text, message.qos));
    }
}

/// 5.0: MQTT-3.3.1-5, MQTT-3.3.1-9. 3.1.1: MQTT-3.3.1-5, MQTT-3.3.1-6, MQTT-3.3.1-7, MQTT-3.3.1-8.
#[test]
fn mqtt_3_3_1_5_the_last_one_is_kept_with_its_qos() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("last", version);
        let mut client = join(&gateway, version, &topic);
        for (payload, qos) in [("one", 1), ("two", 2), ("zero", 0), ("two again", 2)] {
            client.publish(Publish::new(&topic, payload, qos).retained());
            client.ping();
            let expected = vec![(topic.clone(), payload.to_owned(), qos)];
            let mut seen = found(&gateway, version, &topic);
            // QoS 0 has no acknowledgement that would say when it counts.
            while qos == 0 && seen != expected {
                seen = found(&gateway, version, &topic);
            }
            assert_eq!(seen, expected);
        }
        retain(&mut client, &format!("{topic}/a"), "a", 1);
        retain(&mut client, &format!("{topic}/a/b"), "b", 1);
        let under = |filter: &str| {
            let mut topics: Vec<String> = found(&gateway, version, filter)
                .into_iter()
                .map(|(topic, ..)| topic)
                .collect();
            topics.sort();
            topics
        };
        assert_eq!(under(&format!("{topic}/+")), [format!("{topic}/a")]);
        assert_eq!(
            under(&format!("{topic}/#")),
            [topic.clone(), format!("{topic}/a"), format!("{topic}/a/b")]
        );
    }
}

/// 5.0: MQTT-3.3.1-6, MQTT-3.3.1-7. 3.1.1: MQTT-3.3.1-10, MQTT-3.3.1-11.
#[test]
fn mqtt_3_3_1_6_an_empty_one_clears_the_topic_and_is_delivered_like_any_other() {
    let gateway = gateway();
    for version in BOTH {
        for qos in [1, 2] {
            let topic = own(&format!("cleared-{qos}"), version);
            let mut watcher = join(&gateway, version, &format!("{topic}-watcher"));
            watcher.subscribe(&[(&topic, 2)]);
            let mut client = join(&gateway, version, &topic);
            retain(&mut client, &topic, "kept", qos);
            retain(&mut client, &topic, "", qos);
            assert_eq!(watcher.message().text(), "kept");
            let empty = watcher.message();
            assert_eq!(
                (empty.payload.len(), empty.qos, empty.retain),
                (0, qos, false)
            );
            assert_eq!(found(&gateway, version, &topic), []);
        }
    }
}

/// 5.0: MQTT-3.3.1-8. 3.1.1: MQTT-3.3.1-12.
#[test]
fn mqtt_3_3_1_8_without_the_flag_nothing_is_kept_or_replaced() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("unflagged", version);
        let mut client = join(&gateway, version, &topic);
        publish_past(&gateway, version, &mut client, (&topic, "passes by", 1));
        assert_eq!(found(&gateway, version, &topic), []);
        retain(&mut client, &topic, "kept", 1);
        for payload in ["passes by", ""] {
            publish_past(&gateway, version, &mut client, (&topic, payload, 1));
        }
        let kept = vec![(topic.clone(), "kept".to_owned(), 1)];
        assert_eq!(found(&gateway, version, &topic), kept);
    }
}

/// 5.0: MQTT-3.3.1-12. 3.1.1: MQTT-3.3.1-9.
#[test]
fn mqtt_3_3_1_12_who_was_there_already_sees_no_flag() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("there", version);
        let mut live = join(&gateway, version, &topic);
        let lasting = crate::harness::Connect::new(version, &format!("{topic}-durable"));
        let mut durable = Client::connect(gateway.mqtt, lasting.persistent());
        for receiver in [&mut live, &mut durable] {
            receiver.subscribe(&[(&topic, 1)]);
        }
        let mut sender = join(&gateway, version, &format!("{topic}-sender"));
        retain(&mut sender, &topic, "kept", 1);
        for receiver in [&mut live, &mut durable] {
            assert!(!receiver.message().retain);
        }
    }
}

/// 3.1.1: MQTT-3.1.2-7.
#[test]
fn mqtt_3_1_2_7_retained_messages_outlive_the_session_of_who_sent_them() {
    let mut gateway = Gateway::start();
    for version in BOTH {
        let topic = own("outlives", version);
        let mut client = join(&gateway, version, &topic);
        retain(&mut client, &topic, "kept", 1);
        client.disconnect();
        join(&gateway, version, &topic).vanish();
        let kept = vec![(topic.clone(), "kept".to_owned(), 1)];
        assert_eq!(found(&gateway, version, &topic), kept);
        gateway.kill();
        gateway.restart();
        assert_eq!(found(&gateway, version, &topic), kept);
    }
}

/// 5.0: MQTT-3.8.4-4. 3.1.1: MQTT-3.8.4-3.
#[test]
fn mqtt_3_8_4_4_subscribing_again_shows_it_again_and_loses_nothing() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("again", version);
        let mut client = join(&gateway, version, &topic);
        retain(&mut client, &topic, "kept", 1);
        client.subscribe(&[(&topic, 1)]);
        assert!(client.message().retain);
        let mut sender = join(&gateway, version, &format!("{topic}-sender"));
        for round in 0..20 {
            let payload = round.to_string();
            let sent =
                crate::harness::Packet::Publish(super::numbered(&topic, &payload, 1, round + 1));
            sender.send(&sent);
            client.subscribe(&[(&topic, 1)]);
            let (one, other) = (client.message(), client.message());
            let (again, new) = if one.retain {
                (one, other)
            } else {
                (other, one)
            };
            assert_eq!((again.text(), new.text()), ("kept", payload.as_str()));
            assert!(again.retain && !new.retain);
        }
    }
}

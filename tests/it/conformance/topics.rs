//! Topic names and filters (MQTT section 4.7): what matches what.

use super::{BOTH, gateway, join, own, publish};
use crate::harness::{Client, Connect, Gateway, Publish};

/// 5.0: MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-4. 3.1.1: MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.3-4.
#[test]
fn mqtt_4_7_1_2_wildcards_match_whole_levels() {
    let gateway = gateway();
    let table: &[(&str, &[&str], &[&str])] = &[
        (
            "a/#",
            &["a", "a/", "a/b", "a/b/c", "a//"],
            &["b", "ab", "/a", "A/b"],
        ),
        ("a/+", &["a/b", "a/", "a/ "], &["a", "a/b/c", "a/b/"]),
        ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c", "a/b/C"]),
        ("+/b", &["a/b", "/b"], &["b", "a/a/b"]),
        ("a//b", &["a//b"], &["a/b", "a///b"]),
        ("/", &["/"], &["", "//"]),
    ];
    for version in BOTH {
        let id = own("levels", version);
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        for (filter, matching, other) in table {
            let kinds = [
                Connect::new(version, &id),
                Connect::new(version, &format!("{id}-durable")).persistent(),
            ];
            for (kind, connect) in kinds.into_iter().enumerate() {
                let mut client = Client::connect(gateway.mqtt, connect);
                // Everything below a level of its own, so that tests do not meet.
                let share = if kind == 0 { "" } else { "$share/levels/" };
                let of = |topic: &str| format!("{id}/{topic}");
                client.subscribe(&[(&of(filter), 1), (&of("marker"), 1)]);
                client.subscribe(&[(&format!("{share}{}", of(filter)), 1)]);
                let copies = if kind == 0 { 1 } else { 2 };
                for topic in matching.iter().chain(*other) {
                    publish(&mut sender, &of(topic), topic, 1);
                }
                publish(&mut sender, &of("marker"), "marker", 1);
                for topic in *matching {
                    for _ in 0..copies {
                        assert_eq!(client.message_on(&of(topic)).text(), *topic, "{filter}");
                    }
                }
                client.expect_silence_until(|message| message.text() == "marker");
                client.unsubscribe(&[
                    &of(filter),
                    &of("marker"),
                    &format!("{share}{}", of(filter)),
                ]);
                client.disconnect();
            }
        }
    }
}

/// 5.0: MQTT-4.7.2-1. 3.1.1: MQTT-4.7.2-1.
#[test]
fn mqtt_4_7_2_1_a_leading_wildcard_does_not_match_a_leading_dollar() {
    let gateway = Gateway::start();
    for version in BOTH {
        let id = own("dollar", version);
        let mut client = join(&gateway, version, &id);
        client.subscribe(&[("#", 1), ("+/broker/#", 1), ("+/x", 1)]);
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        // Nobody may publish there, which is the one way to be sure; what is not refused would
        // come.
        for topic in ["$SYS/x", "$SYS/broker/uptime", "$x"] {
            sender.publish(Publish::new(topic, "x", 1));
        }
        publish(&mut sender, "dollar/$x", "in the middle it is a letter", 1);
        client.expect_silence_until(|message| message.topic == "dollar/$x");
    }
}

/// 5.0: MQTT-4.7.3-4. 3.1.1: MQTT-4.7.3-4.
#[test]
fn mqtt_4_7_3_4_topics_are_compared_as_they_are() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("as-is", version);
        let mut client = join(&gateway, version, &id);
        let forms = [
            "x",
            "X",
            " x",
            "x ",
            "x/",
            "/x",
            "x\u{301}",
            "\u{FFFD}",
            "\u{10FFFF}",
            "%78",
            "\\x",
            "\u{1}",
        ];
        for form in forms {
            client.subscribe(&[(&format!("{id}/{form}"), 1)]);
        }
        for form in forms {
            publish(&mut client, &format!("{id}/{form}"), form, 1);
            let message = client.message();
            assert_eq!(
                (message.topic, message.payload),
                (format!("{id}/{form}"), form.as_bytes().to_vec())
            );
        }
    }
}

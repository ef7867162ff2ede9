//! CONNECT and CONNACK (MQTT sections 3.1 and 3.2): who is let in, and what both sides say of it.

use std::collections::BTreeSet;

use super::wire::{Wire, binary, block, connect, frame, text};
use super::{BOTH, cut_off, gateway, join, own, publish, publish_past, said_at_the_end};
use crate::harness::{
    Client, Connect, Gateway, Packet, Properties, Setup, Value, Version, property,
};

/// What a first packet is answered with; `None` if with nothing. The connection must be closed
/// behind it.
#[track_caller]
fn refusal(gateway: &Gateway, bytes: &[u8]) -> Option<(u8, Vec<u8>)> {
    let mut wire = Wire::open(gateway);
    wire.send(bytes);
    let answer = wire.packet()?;
    wire.expect_end();
    Some(answer)
}

/// CONNACK with this reason code, Session Present 0, on MQTT 5.
#[track_caller]
fn refused_v5(gateway: &Gateway, bytes: &[u8], code: u8) {
    let (first, body) = refusal(gateway, bytes).expect("CONNACK");
    assert_eq!((first, &body[..2]), (0x20, &[0, code][..]), "{bytes:02x?}");
}

fn level(version: Version) -> u8 {
    match version {
        Version::V311 => 4,
        Version::V5 => 5,
    }
}

/// 5.0: MQTT-3.1.0-1. 3.1.1: MQTT-3.1.0-1.
#[test]
fn mqtt_3_1_0_1_the_first_packet_must_be_connect() {
    let gateway = gateway();
    for packet in [
        frame(0x30, &[&text("a"), b"x"]),
        frame(0x40, &[&[0, 1]]),
        frame(0x62, &[&[0, 1]]),
        frame(0x82, &[&[0, 1], &text("a"), &[0]]),
        frame(0xC0, &[]),
        frame(0xE0, &[]),
        frame(0xF0, &[]),
        frame(0x20, &[&[0, 0]]),
        frame(0x00, &[]),
    ] {
        assert_eq!(refusal(&gateway, &packet), None, "{packet:02x?}");
    }
}

/// 5.0: MQTT-3.1.0-2, MQTT-3.2.0-2. 3.1.1: MQTT-3.1.0-2.
#[test]
fn mqtt_3_1_0_2_a_second_connect_is_a_protocol_error() {
    let gateway = gateway();
    for version in BOTH {
        let again = connect(level(version), 2, &[], &[&text("second")]);
        let said = cut_off(&gateway, version, &again);
        assert_eq!(said, (version == Version::V5).then_some(0x82));
    }
}

/// 5.0: MQTT-3.1.2-1, MQTT-3.1.4-2. 3.1.1: MQTT-3.1.2-1.
#[test]
fn mqtt_3_1_2_1_another_protocol_name_is_not_served() {
    let gateway = gateway();
    for name in ["mqtt", "MQTTX", "HTTP", ""] {
        for level in [4, 5] {
            let packet = frame(0x10, &[&text(name), &[level, 2, 0, 0, 0], &text("c")]);
            assert_eq!(refusal(&gateway, &packet), None, "{name}");
        }
    }
}

/// 5.0: MQTT-3.1.2-2, MQTT-3.2.2-8. 3.1.1: MQTT-3.1.2-2, MQTT-3.2.2-5.
#[test]
fn mqtt_3_1_2_2_another_version_is_refused_in_words_that_its_client_may_know() {
    let gateway = gateway();
    let with = |name: &str, level: u8| frame(0x10, &[&text(name), &[level, 2, 0, 0], &text("c")]);
    for old in [
        with("MQIsdp", 3),
        with("MQTT", 3),
        with("MQTT", 0),
        with("MQTT", 0x84),
    ] {
        assert_eq!(
            refusal(&gateway, &old),
            Some((0x20, vec![0, 1])),
            "{old:02x?}"
        );
    }
    for level in [6, 9, 0x7F] {
        let answer = refusal(&gateway, &with("MQTT", level));
        let (first, body) = answer.expect("CONNACK");
        assert_eq!((first, &body[..2]), (0x20, &[0, 0x84][..]));
    }
}

/// 5.0: MQTT-3.1.2-3, MQTT-3.1.2-11, MQTT-3.1.2-12, MQTT-3.1.2-13, MQTT-3.1.4-1, MQTT-3.2.2-6,
/// MQTT-3.2.2-7. 3.1.1: MQTT-3.1.2-3, MQTT-3.1.2-11, MQTT-3.1.2-13, MQTT-3.1.2-14, MQTT-3.1.2-15,
/// MQTT-3.1.2-22, MQTT-3.1.4-1, MQTT-3.2.2-6.
#[test]
fn mqtt_3_1_2_3_flags_that_contradict_each_other_are_malformed() {
    let gateway = gateway();
    let id = text("flags");
    let will = |level: u8| {
        let none: &[u8] = if level == 5 { &[0] } else { &[] };
        [none, &text("t"), &text("p")].concat()
    };
    for level in [4, 5] {
        let will = will(level);
        let mut packets = vec![
            ("reserved", connect(level, 0x03, &[], &[&id])),
            ("will QoS 1 without will", connect(level, 0x0A, &[], &[&id])),
            ("will QoS 2 without will", connect(level, 0x12, &[], &[&id])),
            (
                "will retain without will",
                connect(level, 0x22, &[], &[&id]),
            ),
            ("will QoS 3", connect(level, 0x1E, &[], &[&id, &will])),
        ];
        if level == 4 {
            packets.push(("password alone", connect(4, 0x42, &[], &[&id, &text("p")])));
        }
        for (what, packet) in packets {
            if level == 5 {
                refused_v5(&gateway, &packet, 0x81);
            } else {
                assert_eq!(refusal(&gateway, &packet), None, "{what}");
            }
        }
    }
}

/// 5.0: MQTT-3.1.2-9, MQTT-3.1.2-16, MQTT-3.1.2-17, MQTT-3.1.2-18, MQTT-3.1.2-19, MQTT-3.1.3-1,
/// MQTT-3.1.3-3, MQTT-3.1.4-1. 3.1.1: MQTT-3.1.2-9, MQTT-3.1.2-11, MQTT-3.1.2-18, MQTT-3.1.2-19,
/// MQTT-3.1.2-20, MQTT-3.1.2-21, MQTT-3.1.3-1, MQTT-3.1.3-3.
#[test]
fn mqtt_3_1_3_1_the_payload_of_connect_is_what_its_flags_say() {
    let gateway = gateway();
    let (id, user) = (text("payload"), text("u"));
    for level in [4, 5] {
        let none: &[u8] = if level == 5 { &[0] } else { &[] };
        let will = [none, &text("t"), &text("p")].concat();
        for (what, packet) in [
            ("no client id", connect(level, 2, &[], &[])),
            ("will flag, no will", connect(level, 6, &[], &[&id])),
            (
                "will flag, no will message",
                connect(level, 6, &[], &[&id, none, &text("t")]),
            ),
            (
                "will without the flag",
                connect(level, 2, &[], &[&id, &will]),
            ),
            ("user flag, no user", connect(level, 0x82, &[], &[&id])),
            (
                "user without the flag",
                connect(level, 2, &[], &[&id, &user]),
            ),
            (
                "password flag, no password",
                connect(level, 0xC2, &[], &[&id, &user]),
            ),
            (
                "password without the flag",
                connect(level, 0x82, &[], &[&id, &user, &user]),
            ),
        ] {
            if level == 5 {
                let answer =
                    refusal(&gateway, &packet).unwrap_or_else(|| panic!("{what}: CONNACK"));
                assert_eq!(&answer.1[..2], [0, 0x81], "{what}");
            } else {
                assert_eq!(refusal(&gateway, &packet), None, "{what}");
            }
        }
        let all = connect(level, 0xC6, &[], &[&id, &will, &user, &binary(&[0xFF, 0])]);
        let mut wire = Wire::open(&gateway);
        wire.send(&all);
        assert_eq!(&wire.expect().1[..2], [0, 0], "in this order it is right");
    }
}

/// 5.0: MQTT-3.1.2-18, MQTT-3.1.2-19.
#[test]
fn mqtt_3_1_2_19_mqtt_5_allows_a_password_without_a_user_name() {
    let gateway = gateway();
    let packet = connect(5, 0x42, &[], &[&text("token"), &text("secret")]);
    let mut wire = Wire::open(&gateway);
    wire.send(&packet);
    assert_eq!(&wire.expect().1[..2], [0, 0]);
}

/// 5.0: MQTT-3.1.4-1, MQTT-4.13.1-1.
#[test]
fn mqtt_3_1_4_1_properties_of_connect_are_checked() {
    let gateway = gateway();
    let id = text("properties");
    let pair = [&[0x26][..], &text("a"), &text("b")].concat();
    for (properties, code) in [
        (&[0x21, 0, 0][..], 0x82),
        (&[0x27, 0, 0, 0, 0], 0x82),
        (&[0x17, 2], 0x82),
        (&[0x19, 2], 0x82),
        (&[0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1], 0x82),
        (&[0x16, 0, 1, 7], 0x82),
        (&[0x02, 0, 0, 0, 1], 0x81),
        (&[0x24, 1], 0x81),
        (&[0x7F, 1], 0x81),
        (&[0x11, 0, 0], 0x81),
    ] {
        refused_v5(&gateway, &connect(5, 2, &[properties], &[&id]), code);
    }
    for (properties, code) in [
        (&[0x18, 0, 0, 0, 1, 0x18, 0, 0, 0, 1][..], 0x82),
        (&[0x01, 2], 0x81),
        (&[0x11, 0, 0, 0, 1], 0x81),
        (&[0x23, 0, 1], 0x81),
    ] {
        let block = block(&[properties]);
        let packet = connect(5, 6, &[], &[&id, &block, &text("t"), &text("p")]);
        refused_v5(&gateway, &packet, code);
    }
    let mut wire = Wire::open(&gateway);
    wire.send(&connect(
        5,
        2,
        &[&pair, &pair, &[0x17, 0, 0x19, 1, 0x22, 0, 9]],
        &[&id],
    ));
    assert_eq!(&wire.expect().1[..2], [0, 0]);
}

/// 5.0: MQTT-3.1.3-2, MQTT-3.1.3-5. 3.1.1: MQTT-3.1.3-2, MQTT-3.1.3-5.
#[test]
fn mqtt_3_1_3_5_all_client_ids_that_must_be_allowed_are() {
    let gateway = gateway();
    let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for version in BOTH {
        let mut clients: Vec<Client> = Vec::new();
        for at in (0..letters.len() - 22).step_by(13) {
            clients.push(join(&gateway, version, &letters[at..at + 23]));
        }
        clients.push(join(&gateway, version, "a"));
        // More than must be: long ones, and any character.
        clients.push(join(&gateway, version, &"long".repeat(100)));
        clients.push(join(&gateway, version, "/+#$ \u{1F980}"));
        clients.iter_mut().for_each(Client::ping);
    }
}

/// 5.0: MQTT-3.1.3-6, MQTT-3.1.3-7, MQTT-3.2.2-16. 3.1.1: MQTT-3.1.3-6.
#[test]
fn mqtt_3_1_3_6_a_client_without_an_id_is_given_one_of_its_own() {
    let gateway = gateway();
    let mut ids = BTreeSet::new();
    for clean in [true, false, true] {
        let mut connect = Connect::v5("").persistent();
        connect.clean = clean;
        let client = Client::connect(gateway.mqtt, connect);
        assert!(!client.session_present);
        match client.granted.find(property::ASSIGNED_CLIENT_ID) {
            Some(Value::Text(id)) => assert!(!id.is_empty() && ids.insert(id.clone()), "{id}"),
            other => panic!("an assigned client id expected, but came {other:?}"),
        }
        client.disconnect();
    }
    // It is a client id like any other: the session goes on under it.
    let id = ids.first().expect("three").clone();
    assert!(Client::connect(gateway.mqtt, Connect::v5(&id).persistent()).session_present);
    let named = join(&gateway, Version::V5, "named");
    assert_eq!(named.granted.find(property::ASSIGNED_CLIENT_ID), None);
    // 3.1.1 is not told; two such clients do not meet.
    let (mut one, mut other) = (
        join(&gateway, Version::V311, ""),
        join(&gateway, Version::V311, ""),
    );
    one.ping();
    other.ping();
}

/// 3.1.1: MQTT-3.1.3-7, MQTT-3.1.3-8, MQTT-3.2.2-4, MQTT-3.2.2-5.
#[test]
fn mqtt_3_1_3_8_a_lasting_session_needs_a_client_id_on_3_1_1() {
    let gateway = gateway();
    let packet = connect(4, 0, &[], &[&text("")]);
    assert_eq!(refusal(&gateway, &packet), Some((0x20, vec![0, 2])));
}

/// 5.0: MQTT-3.1.3-8, MQTT-3.2.2-6, MQTT-3.2.2-7. 3.1.1: MQTT-3.1.3-9, MQTT-3.2.2-4, MQTT-3.2.2-5.
#[test]
fn mqtt_3_1_3_8_a_client_id_that_is_taken_for_ever_is_refused() {
    let gateway = gateway();
    let id = text("gateway");
    let answer = refusal(&gateway, &connect(4, 2, &[], &[&id]));
    assert_eq!(answer, Some((0x20, vec![0, 2])));
    refused_v5(&gateway, &connect(5, 2, &[], &[&id]), 0x85);
}

/// 5.0: MQTT-3.1.4-3, MQTT-3.14.2-1. 3.1.1: MQTT-3.1.4-2.
#[test]
fn mqtt_3_1_4_3_a_client_that_connects_again_takes_its_session_over() {
    let gateway = gateway();
    for first in BOTH {
        for second in BOTH {
            let id = format!("taken-{first:?}-{second:?}");
            let mut old = join(&gateway, first, &id);
            let mut new = join(&gateway, second, &id);
            let said = said_at_the_end(&mut old);
            assert_eq!(said, (first == Version::V5).then_some(0x8E), "{id}");
            new.ping();
        }
    }
}

/// 5.0: MQTT-3.1.4-5, MQTT-3.2.0-1, MQTT-3.2.2-1, MQTT-3.14.0-1. 3.1.1: MQTT-3.1.4-4, MQTT-3.2.0-1.
#[test]
fn mqtt_3_2_0_1_connack_comes_before_everything_else() {
    let gateway = gateway();
    for version in BOTH {
        // Messages wait for it, and it pings in the same breath.
        let id = own("first", version);
        let mut keeper = Client::connect(gateway.mqtt, Connect::new(version, &id).persistent());
        keeper.subscribe(&[(&id, 1)]);
        keeper.disconnect();
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        publish(&mut sender, &id, "waits", 1);
        let properties: &[&[u8]] = if version == Version::V5 {
            &[&[0x11, 0, 0, 0, 60]]
        } else {
            &[]
        };
        let mut bytes = connect(level(version), 0, properties, &[&text(&id)]);
        bytes.extend([0xC0, 0]);
        let mut wire = Wire::open(&gateway);
        wire.send(&bytes);
        let (first, body) = wire.expect();
        assert_eq!(
            (first, &body[..2]),
            (0x20, &[1, 0][..]),
            "only bit 0 of the flags"
        );
        let rest: BTreeSet<u8> = [wire.expect().0, wire.expect().0].into();
        assert_eq!(rest, BTreeSet::from([0x32, 0xD0]));
    }
}

/// 5.0: MQTT-3.1.4-6. 3.1.1: MQTT-3.1.4-5.
#[test]
fn mqtt_3_1_4_6_nothing_that_follows_a_refused_connect_is_processed() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("after-refusal", version);
        let mut watcher = join(&gateway, version, &format!("{topic}-watcher"));
        watcher.subscribe(&[(&topic, 0)]);
        let none: &[u8] = if version == Version::V5 { &[0] } else { &[] };
        let mut bytes = connect(level(version), 2, &[], &[&text("gateway")]);
        bytes.extend(frame(0x30, &[&text(&topic), none, b"sneaked in"]));
        let (first, _) = refusal(&gateway, &bytes).expect("CONNACK");
        assert_eq!(first, 0x20);
        publish(&mut watcher, &topic, "marker", 0);
        watcher.expect_silence_until(|message| message.text() == "marker");
    }
}

/// 5.0: MQTT-3.2.2-22. 3.1.1: MQTT-3.1.2-24.
#[test]
fn mqtt_3_2_2_22_without_a_word_of_ours_the_clients_keep_alive_counts() {
    let gateway = gateway();
    for version in BOTH {
        let mut connect = Connect::new(version, &own("silent", version));
        connect.keep_alive = 1;
        let mut client = Client::connect(gateway.mqtt, connect);
        assert_eq!(client.granted.find(property::SERVER_KEEP_ALIVE), None);
        let said = said_at_the_end(&mut client);
        assert_eq!(said, (version == Version::V5).then_some(0x8D));
    }
}

/// 5.0: MQTT-3.1.2-22. 3.1.1: MQTT-3.1.2-24.
#[test]
fn mqtt_3_1_2_22_silence_beyond_the_keep_alive_is_a_lost_connection() {
    let gateway = gateway();
    for version in BOTH {
        let topic = own("silence", version);
        let mut watcher = join(&gateway, version, &format!("{topic}-watcher"));
        watcher.subscribe(&[(&topic, 1)]);
        let connect = Connect::new(version, &topic).with_will(&topic, "lost", 1, false);
        let client = Client::connect(
            gateway.mqtt,
            Connect {
                keep_alive: 1,
                ..connect
            },
        );
        assert_eq!(
            watcher.message().text(),
            "lost",
            "the will: as if the network had failed"
        );
        drop(client);
    }
}

/// 5.0: MQTT-3.1.2-22.
#[test]
fn mqtt_3_1_2_22_the_keep_alive_that_we_ask_for_is_the_one_that_counts() {
    let gateway = Setup::new().with("mqtt.max_keep_alive", "1s").start();
    for asked in [0, 600] {
        let mut connect = Connect::v5(&format!("asks-{asked}"));
        connect.keep_alive = asked;
        let mut client = Client::connect(gateway.mqtt, connect);
        let told = client.granted.find(property::SERVER_KEEP_ALIVE);
        assert_eq!(told, Some(&Value::Two(1)), "asked for {asked}");
        assert_eq!(said_at_the_end(&mut client), Some(0x8D));
    }
}

/// 5.0: MQTT-3.1.2-28.
#[test]
fn mqtt_3_1_2_28_no_response_information_for_who_does_not_ask() {
    let gateway = gateway();
    for asked in [None, Some(0)] {
        let mut connect = Connect::v5("response");
        if let Some(value) = asked {
            connect.properties = Properties::new().with(0x19, Value::Byte(value));
        }
        let client = Client::connect(gateway.mqtt, connect);
        assert_eq!(client.granted.find(0x1A), None);
    }
}

/// 5.0: MQTT-3.2.2-9, MQTT-3.2.2-12, MQTT-3.2.2-13.
#[test]
fn mqtt_3_2_2_9_everything_is_supported_so_nothing_is_ruled_out() {
    let gateway = gateway();
    let mut connect = Connect::v5("all").with_will("all/will", "w", 2, true);
    connect.clean = true;
    let mut client = Client::connect(gateway.mqtt, connect);
    for (id, what) in [
        (0x24, "Maximum QoS"),
        (0x25, "Retain Available"),
        (0x28, "Wildcard Subscription Available"),
        (0x29, "Subscription Identifier Available"),
        (0x2A, "Shared Subscription Available"),
    ] {
        assert_eq!(client.granted.find(id), None, "{what}: absent means yes");
    }
    assert_eq!(
        client.subscribe(&[("all/a", 2), ("$share/g/all/+", 2)]),
        [2, 2]
    );
}

/// 3.1.1: MQTT-3.8.3-2.
#[test]
fn mqtt_3_8_3_2_wildcards_are_supported() {
    let gateway = gateway();
    let mut client = join(&gateway, Version::V311, "wild");
    assert_eq!(
        client.subscribe(&[("wild/+", 0), ("wild/#", 1), ("+/wild", 2)]),
        [0, 1, 2]
    );
}

/// 5.0: MQTT-3.14.0-1, MQTT-3.2.2-8.
#[test]
fn mqtt_3_14_0_1_a_client_that_is_not_let_in_gets_connack_and_never_disconnect() {
    let gateway = gateway();
    for (packet, code) in [
        (connect(5, 3, &[], &[&text("c")]), 0x81),
        (connect(5, 2, &[&[0x21, 0, 0]], &[&text("c")]), 0x82),
        (connect(5, 2, &[], &[&text("gateway")]), 0x85),
        (
            connect(5, 6, &[], &[&text("c"), &[0], &text("a/#"), &text("p")]),
            0x90,
        ),
        (
            connect(5, 6, &[], &[&text("c"), &[0], &text("$SYS/x"), &text("p")]),
            0x87,
        ),
        (
            connect(
                5,
                6,
                &[],
                &[&text("c"), &[2, 1, 1], &text("t"), &binary(&[0xFF])],
            ),
            0x99,
        ),
    ] {
        refused_v5(&gateway, &packet, code);
    }
}

/// 5.0: MQTT-3.1.4-2.
#[test]
fn mqtt_3_1_4_2_a_client_beyond_a_limit_is_turned_away_in_words() {
    let gateway = Setup::new().with("session.max_sessions", "1").start();
    let mut first = join(&gateway, Version::V5, "first");
    refused_v5(&gateway, &connect(5, 2, &[], &[&text("second")]), 0x97);
    let answer = refusal(&gateway, &connect(4, 2, &[], &[&text("third")]));
    assert_eq!(answer, Some((0x20, vec![0, 3])));
    first.ping();
}

/// 5.0: MQTT-3.1.2-4, MQTT-3.1.4-4, MQTT-3.2.2-2. 3.1.1: MQTT-3.1.2-6, MQTT-3.1.4-3, MQTT-3.2.2-1.
#[test]
fn mqtt_3_1_2_4_a_clean_start_forgets_the_old_session() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("forgets", version);
        let mut client = Client::connect(gateway.mqtt, Connect::new(version, &id).persistent());
        client.subscribe(&[(&id, 1)]);
        client.disconnect();
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        publish(&mut sender, &id, "for the old session", 1);
        let mut clean = join(&gateway, version, &id);
        assert!(!clean.session_present);
        // The subscription is gone, and so is what waited.
        publish_past(&gateway, version, &mut sender, (&id, "for nobody", 1));
        clean.subscribe(&[(&id, 1)]);
        publish(&mut sender, &id, "new", 1);
        assert_eq!(clean.message().text(), "new");
        clean.disconnect();
        let after = Client::connect(gateway.mqtt, Connect::new(version, &id).persistent());
        assert!(
            !after.session_present,
            "a clean session leaves nothing behind"
        );
    }
}

/// 5.0: MQTT-3.1.2-5, MQTT-3.1.2-6, MQTT-3.2.2-3. 3.1.1: MQTT-3.1.2-4, MQTT-3.2.2-2, MQTT-3.2.2-3.
#[test]
fn mqtt_3_1_2_5_a_session_is_resumed_if_there_is_one_and_made_if_there_is_none() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("resumes", version);
        let lasting = || Connect::new(version, &id).persistent();
        let mut client = Client::connect(gateway.mqtt, lasting());
        assert!(!client.session_present, "there is none yet");
        client.subscribe(&[(&id, 1)]);
        client.disconnect();
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        publish(&mut sender, &id, "meanwhile", 1);
        let mut client = Client::connect(gateway.mqtt, lasting());
        assert!(client.session_present);
        assert_eq!(client.message().text(), "meanwhile");
        publish(&mut sender, &id, "now", 1);
        assert_eq!(client.message().text(), "now");
        client.expect_nothing_kept();
    }
}

/// 5.0: MQTT-4.13.1-1.
#[test]
fn mqtt_4_13_1_1_a_shutdown_says_so() {
    let mut gateway = Gateway::start();
    let mut client = join(&gateway, Version::V5, "told");
    let mut other = join(&gateway, Version::V311, "not-told");
    assert!(gateway.stop().success());
    assert_eq!(said_at_the_end(&mut client), Some(0x8B));
    assert_eq!(said_at_the_end(&mut other), None);
}

impl Client {
    /// Whether every packet that came was looked at.
    #[track_caller]
    fn expect_nothing_kept(&mut self) {
        self.ping();
        let more = self.take_kept(|packet| match packet {
            Packet::PingResp => None,
            other => Some(format!("{other:?}")),
        });
        assert_eq!(more, None);
    }
}

//! Sessions (MQTT section 4.1): how long they last, and what they hold while nobody is there.

use super::wire::{block, frame};
use super::{BOTH, gateway, join, numbered, own, publish, said_at_the_end, wait};
use crate::harness::{
    Client, Connect, Gateway, Packet, Properties, Publish, Setup, Value, Version, property,
};

fn lasting(id: &str, seconds: u32) -> Connect {
    let mut connect = Connect::v5(id);
    connect.clean = false;
    connect.properties = Properties::new().four(property::SESSION_EXPIRY, seconds);
    connect
}

fn leave(client: &mut Client, expiry: u32) {
    let properties = Properties::new().four(property::SESSION_EXPIRY, expiry);
    client.send(&Packet::Disconnect {
        code: 0,
        properties,
    });
}

/// 5.0: MQTT-3.1.2-23, MQTT-4.1.0-2. 3.1.1: MQTT-3.1.2-5, MQTT-4.1.0-1.
#[test]
fn mqtt_3_1_2_23_a_session_is_kept_for_its_time() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("kept", version);
        let connect = || Connect::new(version, &id).persistent();
        let mut client = Client::connect(gateway.mqtt, connect());
        client.subscribe(&[
            (&format!("{id}/a"), 1),
            (&format!("{id}/b"), 2),
            (&format!("{id}/c"), 0),
        ]);
        client.unsubscribe(&[&format!("{id}/b")]);
        client.vanish();
        let mut sender = join(&gateway, version, &format!("{id}-sender"));
        let mut witness = join(&gateway, version, &format!("{id}-witness"));
        witness.subscribe(&[(&format!("{id}/a"), 0)]);
        for (topic, qos) in [("a", 2), ("b", 1), ("c", 1), ("a", 1), ("a", 0)] {
            publish(&mut sender, &format!("{id}/{topic}"), "meanwhile", qos);
        }
        // What goes at QoS 0 has come to whoever was there.
        (0..3).for_each(|_| assert_eq!(witness.message().text(), "meanwhile"));
        let mut client = Client::connect(gateway.mqtt, connect());
        assert!(client.session_present);
        for _ in 0..2 {
            let message = client.message();
            assert_eq!((message.topic, message.qos), (format!("{id}/a"), 1));
        }
        publish(&mut sender, &format!("{id}/c"), "marker", 1);
        client.expect_silence_until(|message| message.text() == "marker");
    }
}

/// 5.0: MQTT-4.1.0-2, MQTT-3.2.2-3.
#[test]
fn mqtt_4_1_0_2_a_session_whose_time_is_over_is_gone() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.mqtt, lasting("over", 1));
    client.subscribe(&[("over", 1)]);
    client.vanish();
    let mut sender = join(&gateway, Version::V5, "over-sender");
    publish(&mut sender, "over", "too late", 1);
    wait(&gateway, 2);
    let mut client = Client::connect(gateway.mqtt, lasting("over", 1));
    assert!(!client.session_present);
    client.subscribe(&[("over", 1)]);
    publish(&mut sender, "over", "marker", 1);
    client.expect_silence_until(|message| message.text() == "marker");
    // Absent is 0: it ends with the connection. So it does for 0 on a session that was to last.
    for expiry in [None, Some(0)] {
        let mut connect = lasting("absent", expiry.unwrap_or_default());
        if expiry.is_none() {
            connect.properties = Properties::new();
        }
        Client::connect(gateway.mqtt, lasting("absent", 600)).disconnect();
        let resumed = Client::connect(gateway.mqtt, connect);
        assert!(resumed.session_present);
        resumed.disconnect();
        assert!(!Client::connect(gateway.mqtt, lasting("absent", 0)).session_present);
    }
}

/// 5.0: MQTT-4.1.0-1. 3.1.1: MQTT-4.1.0-2.
#[test]
fn mqtt_4_1_0_1_a_session_lasts_while_its_connection_stands() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("stands", version);
        let mut connect = Connect::new(version, &id);
        if version == Version::V5 {
            connect = lasting(&id, 1);
        }
        let mut client = Client::connect(gateway.mqtt, connect);
        client.subscribe(&[(&id, 1)]);
        wait(&gateway, 2);
        publish(&mut client, &id, "still there", 1);
        assert_eq!(client.message().text(), "still there");
    }
}

/// 5.0: MQTT-4.1.0-2.
#[test]
fn mqtt_4_1_0_2_a_client_may_change_the_time_as_it_leaves() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.mqtt, lasting("changes", 1));
    leave(&mut client, 600);
    client.expect_closed();
    wait(&gateway, 2);
    let mut client = Client::connect(gateway.mqtt, lasting("changes", 600));
    assert!(client.session_present, "longer");
    leave(&mut client, 0);
    client.expect_closed();
    assert!(
        !Client::connect(gateway.mqtt, lasting("changes", 600)).session_present,
        "now"
    );
}

/// 5.0: MQTT-4.13.1-1.
#[test]
fn mqtt_4_13_1_1_a_session_without_time_cannot_be_given_some_at_the_end() {
    let gateway = gateway();
    let none = [lasting("no-time", 0), Connect::v5("no-time")];
    for connect in none {
        let mut client = Client::connect(gateway.mqtt, connect);
        leave(&mut client, 5);
        assert_eq!(said_at_the_end(&mut client), Some(0x82));
    }
    // Nor on a connection that gives none to a session that had some.
    Client::connect(gateway.mqtt, lasting("had-time", 600)).disconnect();
    let mut client = Client::connect(gateway.mqtt, lasting("had-time", 0));
    assert!(client.session_present);
    leave(&mut client, 5);
    assert_eq!(said_at_the_end(&mut client), Some(0x82));
}

/// 5.0: MQTT-3.14.1-1, MQTT-3.14.2-1, MQTT-4.13.1-1.
#[test]
fn mqtt_4_13_1_1_properties_of_disconnect_are_checked() {
    let gateway = gateway();
    for (properties, code) in [
        (&[0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1][..], 0x82),
        (&[0x21, 0, 1], 0x81),
        (&[0x7E], 0x81),
        (&[0x11, 0], 0x81),
    ] {
        let mut client = Client::connect(gateway.mqtt, lasting("bad-goodbye", 600));
        client.send_raw(&frame(0xE0, &[&[0], &block(&[properties])]));
        assert_eq!(
            said_at_the_end(&mut client),
            Some(code),
            "{properties:02x?}"
        );
    }
}

/// 5.0: MQTT-3.1.2-23.
#[test]
fn mqtt_3_1_2_23_a_shorter_time_than_asked_for_is_told() {
    let gateway = Setup::new().with("mqtt.max_session_expiry", "60s").start();
    let told = |seconds| {
        let client = Client::connect(gateway.mqtt, lasting("told", seconds));
        client.granted.find(property::SESSION_EXPIRY).cloned()
    };
    assert_eq!(told(u32::MAX), Some(Value::Four(60)));
    assert_eq!(told(61), Some(Value::Four(60)));
    assert_eq!(told(60), None);
    assert_eq!(told(0), None);
}

/// 5.0: MQTT-3.1.2-5, MQTT-3.1.3-2. 3.1.1: MQTT-3.1.2-4, MQTT-3.1.3-2.
#[test]
fn mqtt_3_1_3_2_a_session_is_the_client_ids_and_goes_on_in_the_other_version() {
    let gateway = gateway();
    let mut old = Client::connect(gateway.mqtt, Connect::v311("either").persistent());
    old.subscribe(&[("either", 1)]);
    old.disconnect();
    let mut other = Client::connect(gateway.mqtt, Connect::v311("Either").persistent());
    assert!(!other.session_present, "another id is another session");
    publish(&mut other, "either", "one", 1);
    let mut new = Client::connect(gateway.mqtt, Connect::v5("either").persistent());
    assert!(new.session_present);
    assert_eq!(new.message().text(), "one");
    new.disconnect();
    let old = Client::connect(gateway.mqtt, Connect::v311("either").persistent());
    assert!(old.session_present);
}

/// 5.0: MQTT-4.5.0-1. 3.1.1: MQTT-4.5.0-1.
#[test]
fn mqtt_4_5_0_1_an_acknowledged_message_is_in_every_matching_session() {
    let mut gateway = Gateway::start();
    for version in BOTH {
        let id = own("every", version);
        let connect = |at| Connect::new(version, &format!("{id}-{at}")).persistent();
        let mut sender = join(&gateway, version, &id);
        for at in 0..4 {
            let mut client = Client::connect(gateway.mqtt, connect(at));
            client.subscribe(&[(&format!("{id}/#"), 1 + at % 2)]);
            if at % 2 == 0 {
                client.disconnect();
            } else {
                client.vanish();
            }
        }
        publish(&mut sender, &format!("{id}/x"), "one", 1);
        publish(&mut sender, &format!("{id}/x"), "two", 2);
        // Acknowledged is durable: not even kill -9 takes it back.
        gateway.kill();
        gateway.restart();
        for at in 0..4 {
            let mut client = Client::connect(gateway.mqtt, connect(at));
            assert!(client.session_present);
            assert_eq!(client.message().text(), "one");
            assert_eq!(client.message().text(), "two");
        }
    }
}

/// 5.0: MQTT-3.1.2-23, MQTT-4.1.0-2.
#[test]
fn mqtt_4_1_0_2_the_time_of_a_session_runs_while_the_gateway_is_down() {
    let mut gateway = Gateway::start();
    Client::connect(gateway.mqtt, lasting("short", 1)).disconnect();
    Client::connect(gateway.mqtt, lasting("long", 600)).disconnect();
    wait(&gateway, 2);
    gateway.kill();
    gateway.restart();
    assert!(!Client::connect(gateway.mqtt, lasting("short", 1)).session_present);
    assert!(Client::connect(gateway.mqtt, lasting("long", 600)).session_present);
}

/// 5.0: MQTT-4.1.0-2, MQTT-3.1.2-8.
#[test]
fn mqtt_4_1_0_2_who_is_first_after_a_start_does_not_find_what_ended_before() {
    let clock = gateway();
    let mut gateway = Gateway::start();
    let mut watcher = Client::connect(gateway.mqtt, lasting("watcher", 600));
    watcher.subscribe(&[("first", 1)]);
    let mut short = lasting("first", 4).with_will("first", "gone", 1, false);
    if let Some(will) = &mut short.will {
        will.properties = Properties::new().four(0x18, 600);
    }
    Client::connect(gateway.mqtt, short).vanish();
    // That it is gone is on disk by then.
    wait(&gateway, 1);
    gateway.kill();
    wait(&clock, 4);
    gateway.restart();
    assert!(!Client::connect(gateway.mqtt, lasting("first", 600)).session_present);
    let mut watcher = Client::connect(gateway.mqtt, lasting("watcher", 600));
    assert_eq!(watcher.message().text(), "gone");
}

/// 5.0: MQTT-4.5.0-1. 3.1.1: MQTT-4.5.0-1.
#[test]
fn mqtt_4_5_0_1_a_full_queue_is_never_silent() {
    for (key, value) in [
        ("session.max_queued_messages", "10"),
        ("session.max_queued_bytes", "64KiB"),
    ] {
        let refuse = Setup::new().with("session.when_full", "refuse");
        let gateway = refuse.with(key, value).start();
        let connect = || Connect::v5("full").persistent();
        let mut client = Client::connect(gateway.mqtt, connect());
        client.subscribe(&[("full", 1)]);
        client.disconnect();
        let mut sender = join(&gateway, Version::V5, "sender");
        let mut taken = 0;
        let refused = loop {
            match sender.publish(Publish::new("full", format!("{taken:04000}"), 1)) {
                0 => taken += 1,
                code => break code,
            }
            assert!(taken < 100, "{key}: nothing holds it back");
        };
        assert_eq!(refused, 0x97, "{key}");
        // What was acknowledged is there, in order; what was refused is not.
        let mut client = Client::connect(gateway.mqtt, connect());
        for number in 0..taken {
            assert_eq!(client.message().text(), format!("{number:04000}"));
        }
        // Room comes with the acknowledgements.
        while sender.publish(Publish::new("full", "marker", 1)) != 0 {}
        client.expect_silence_until(|message| message.text() == "marker");
    }
}

/// 3.1.1: MQTT-4.8.0-2.
#[test]
fn mqtt_4_8_0_2_what_3_1_1_cannot_be_refused_in_words_is_not_acknowledged() {
    let gateway = Setup::new()
        .with("session.max_queued_messages", "10")
        .with("session.when_full", "refuse")
        .start();
    let lasting = || Connect::v311("full").persistent();
    let mut client = Client::connect(gateway.mqtt, lasting());
    client.subscribe(&[("full", 1)]);
    client.disconnect();
    let mut sender = join(&gateway, Version::V311, "sender");
    for id in 1..=12 {
        sender.send(&Packet::Publish(numbered("full", &id.to_string(), 1, id)));
    }
    sender.expect_closed();
    let acknowledged = std::iter::from_fn(|| {
        sender.take_kept(|packet| matches!(packet, Packet::PubAck(_)).then_some(()))
    });
    assert_eq!(
        acknowledged.count(),
        10,
        "what has an acknowledgement is kept"
    );
    let mut client = Client::connect(gateway.mqtt, lasting());
    for id in 1..=10 {
        assert_eq!(client.message().text(), id.to_string());
    }
}

//! The will (MQTT 5 sections 3.1.2.5 and 3.1.3.2): stored, published once, or not at all.

use super::{BOTH, gateway, join, own, publish};
use crate::harness::{
    Client, Connect, Gateway, Packet, Properties, Publish, Value, Version, property,
};

const WILL_DELAY: u8 = 0x18;

fn disconnect(client: &mut Client, code: u8, properties: Properties) {
    client.send(&Packet::Disconnect { code, properties });
    client.expect_closed();
}

/// A session with a will on the topic of its name.
fn willing(version: Version, id: &str, qos: u8, retain: bool) -> Connect {
    Connect::new(version, id).with_will(id, "gone", qos, retain)
}

fn watch(gateway: &Gateway, version: Version, topic: &str) -> Client {
    let mut watcher = join(gateway, version, &format!("{topic}-watcher"));
    watcher.subscribe(&[(topic, 2)]);
    watcher
}

#[track_caller]
fn silent_until_marker(watcher: &mut Client, topic: &str) {
    publish(watcher, topic, "marker", 1);
    watcher.expect_silence_until(|message| message.text() == "marker");
}

/// 5.0: MQTT-3.1.2-7, MQTT-3.1.2-8, MQTT-3.1.2-12, MQTT-3.1.2-14. 3.1.1: MQTT-3.1.2-8,
/// MQTT-3.1.2-14, MQTT-3.1.2-16.
#[test]
fn mqtt_3_1_2_8_a_connection_that_breaks_publishes_the_will_as_it_was_asked_for() {
    let gateway = gateway();
    for version in BOTH {
        for qos in 0..3 {
            let id = own(&format!("breaks-{qos}"), version);
            let mut watcher = watch(&gateway, version, &id);
            Client::connect(gateway.mqtt, willing(version, &id, qos, false)).vanish();
            let will = watcher.message();
            assert_eq!((will.text(), will.qos, will.retain), ("gone", qos, false));
            let mut late = watch(&gateway, version, &format!("{id}/late"));
            late.subscribe(&[(&id, 2)]);
            publish(&mut late, &id, "marker", 1);
            late.expect_silence_until(|message| message.text() == "marker");
        }
    }
}

/// 5.0: MQTT-3.1.2-15. 3.1.1: MQTT-3.1.2-17.
#[test]
fn mqtt_3_1_2_15_a_will_may_be_retained() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("keeps", version);
        let mut watcher = watch(&gateway, version, &id);
        Client::connect(gateway.mqtt, willing(version, &id, 1, true)).vanish();
        assert!(!watcher.message().retain, "for who was there already");
        let mut late = join(&gateway, version, &format!("{id}-late"));
        late.subscribe(&[(&id, 1)]);
        let will = late.message();
        assert_eq!((will.text(), will.retain), ("gone", true));
    }
}

/// 5.0: MQTT-3.1.2-10, MQTT-3.14.4-3. 3.1.1: MQTT-3.1.2-10, MQTT-3.14.4-3.
#[test]
fn mqtt_3_14_4_3_who_says_goodbye_leaves_no_will() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("goodbye", version);
        let mut watcher = watch(&gateway, version, &id);
        Client::connect(gateway.mqtt, willing(version, &id, 1, false)).disconnect();
        silent_until_marker(&mut watcher, &id);
        // Nor on the next connection, which has none.
        join(&gateway, version, &id).vanish();
        join(&gateway, version, &id).disconnect();
        silent_until_marker(&mut watcher, &id);
    }
}

/// 5.0: MQTT-3.1.2-10. 3.1.1: MQTT-3.1.2-10, MQTT-3.1.2-12.
#[test]
fn mqtt_3_1_2_10_a_will_is_published_once() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("once", version);
        let mut watcher = watch(&gateway, version, &id);
        let lasting = willing(version, &id, 1, false).persistent();
        Client::connect(gateway.mqtt, lasting).vanish();
        assert_eq!(watcher.message().text(), "gone");
        // The session goes on, without the will of the connection before.
        let second = Client::connect(gateway.mqtt, Connect::new(version, &id).persistent());
        assert!(second.session_present);
        second.vanish();
        Client::connect(gateway.mqtt, Connect::new(version, &id)).disconnect();
        silent_until_marker(&mut watcher, &id);
    }
}

/// 5.0: MQTT-3.1.2-8.
#[test]
fn mqtt_3_1_2_8_a_client_may_leave_and_ask_for_its_will() {
    let gateway = gateway();
    for code in [0x04, 0x80, 0x81, 0x93, 0x99] {
        let id = format!("asks-will-{code}");
        let mut watcher = watch(&gateway, Version::V5, &id);
        let mut client = Client::connect(gateway.mqtt, willing(Version::V5, &id, 1, false));
        disconnect(&mut client, code, Properties::new());
        assert_eq!(watcher.message().text(), "gone", "{code:#x}");
    }
}

/// 5.0: MQTT-3.1.2-8. 3.1.1: MQTT-3.1.2-8.
#[test]
fn mqtt_3_1_2_8_a_client_that_we_cut_off_leaves_its_will() {
    let gateway = gateway();
    for version in BOTH {
        let id = own("offends", version);
        let mut watcher = watch(&gateway, version, &id);
        let mut client = Client::connect(gateway.mqtt, willing(version, &id, 1, false));
        client.send_raw(&[0x00, 0x00]);
        assert_eq!(watcher.message().text(), "gone");
        // So does one whose session is taken over.
        let taken = Client::connect(gateway.mqtt, willing(version, &id, 1, false));
        let _new = join(&gateway, version, &id);
        assert_eq!(watcher.message().text(), "gone");
        drop(taken);
    }
}

fn delayed(id: &str, seconds: u32) -> Connect {
    let mut connect = willing(Version::V5, id, 1, false).persistent();
    let will = connect.will.as_mut().expect("set above");
    will.properties = Properties::new().four(WILL_DELAY, seconds);
    connect
}

/// 5.0: MQTT-3.1.2-8.
#[test]
fn mqtt_3_1_2_8_a_will_waits_for_its_delay() {
    let gateway = gateway();
    let mut watcher = watch(&gateway, Version::V5, "waits");
    Client::connect(gateway.mqtt, delayed("waits", 1)).vanish();
    publish(&mut watcher, "waits", "before", 1);
    assert_eq!(watcher.message().text(), "before");
    assert_eq!(watcher.message().text(), "gone");
}

/// 5.0: MQTT-3.1.3-9, MQTT-3.1.2-8.
#[test]
fn mqtt_3_1_3_9_a_client_that_is_back_in_time_takes_its_will_back() {
    let gateway = gateway();
    let mut watcher = watch(&gateway, Version::V5, "back");
    Client::connect(gateway.mqtt, delayed("back", 1)).vanish();
    let back = Client::connect(gateway.mqtt, Connect::v5("back").persistent());
    assert!(back.session_present);
    // The same on a take-over, which breaks no connection before it replaces it.
    Client::connect(gateway.mqtt, delayed("back", 1)).ping();
    let back = Client::connect(gateway.mqtt, Connect::v5("back").persistent());
    // A second will of the same delay, sent later, comes first: that of the client that is back
    // does not.
    Client::connect(gateway.mqtt, {
        let mut other = delayed("other", 2);
        other.will.as_mut().expect("a will").topic = "back".to_owned();
        other.will.as_mut().expect("a will").payload = b"marker".to_vec();
        other
    })
    .vanish();
    watcher.expect_silence_until(|message| message.text() == "marker");
    back.disconnect();
}

/// 5.0: MQTT-3.1.2-8.
#[test]
fn mqtt_3_1_2_8_the_end_of_the_session_ends_the_delay() {
    let gateway = gateway();
    let mut watcher = watch(&gateway, Version::V5, "ends");
    // It ends with its connection, by its own wish, by its expiry, by a clean start.
    let mut no_time = delayed("ends", 600);
    no_time.properties = Properties::new();
    Client::connect(gateway.mqtt, no_time).vanish();
    assert_eq!(watcher.message().text(), "gone");
    let mut leaves = Client::connect(gateway.mqtt, delayed("ends", 600));
    let no_time = Properties::new().four(property::SESSION_EXPIRY, 0);
    disconnect(&mut leaves, 0x04, no_time);
    assert_eq!(watcher.message().text(), "gone");
    let mut short = delayed("ends", 600);
    short.properties = Properties::new().four(property::SESSION_EXPIRY, 1);
    Client::connect(gateway.mqtt, short).vanish();
    assert_eq!(watcher.message().text(), "gone");
    Client::connect(gateway.mqtt, delayed("ends", 600)).vanish();
    let _clean = join(&gateway, Version::V5, "ends");
    assert_eq!(watcher.message().text(), "gone");
}

/// 5.0: MQTT-3.1.3-10, MQTT-3.3.2-4, MQTT-3.3.2-15, MQTT-3.3.2-16, MQTT-3.3.2-17, MQTT-3.3.2-20.
#[test]
fn mqtt_3_1_3_10_the_properties_of_a_will_are_published_with_it() {
    let gateway = gateway();
    let mut watcher = watch(&gateway, Version::V5, "carries");
    let carried = Properties::new()
        .with(0x01, Value::Byte(1))
        .text(property::CONTENT_TYPE, "text/plain")
        .user("b", "1")
        .user("a", "2")
        .text(property::RESPONSE_TOPIC, "carries/answer")
        .user("b", "3")
        .binary(property::CORRELATION_DATA, &[0, 0xFF]);
    let mut connect = willing(Version::V5, "carries", 1, false);
    let asked = Properties::new()
        .four(property::MESSAGE_EXPIRY, 90)
        .four(WILL_DELAY, 0);
    connect.will.as_mut().expect("a will").properties =
        Properties([asked.0, carried.0.clone()].concat());
    Client::connect(gateway.mqtt, connect).vanish();
    let Publish { properties, .. } = watcher.message();
    let (expiry, rest): (Vec<_>, Vec<_>) = properties
        .0
        .into_iter()
        .partition(|(id, _)| *id == property::MESSAGE_EXPIRY);
    assert_eq!(
        expiry,
        [(property::MESSAGE_EXPIRY, Value::Four(90))],
        "from when it is published"
    );
    assert_eq!(Properties(rest), carried);
}

/// 5.0: MQTT-3.1.2-7, MQTT-3.1.2-8. 3.1.1: MQTT-3.1.2-8.
#[test]
fn mqtt_3_1_2_7_a_will_outlives_the_gateway_that_stored_it() {
    let mut gateway = Gateway::start();
    for version in BOTH {
        let id = own("crashed", version);
        let mut keeper = Client::connect(
            gateway.mqtt,
            Connect::new(version, &format!("{id}-keeper")).persistent(),
        );
        keeper.subscribe(&[(&id, 1)]);
        let lasting = Client::connect(gateway.mqtt, willing(version, &id, 1, false).persistent());
        gateway.kill();
        gateway.restart();
        let mut keeper = Client::connect(
            gateway.mqtt,
            Connect::new(version, &format!("{id}-keeper")).persistent(),
        );
        assert_eq!(
            keeper.message().text(),
            "gone",
            "its connection broke with the gateway"
        );
        drop(lasting);
    }
}

//! Message expiry (MQTT 5 section 3.3.2.3.3): the time that is left goes with the message, and what
//! is too old stays.

use super::{gateway, join, publish, wait};
use crate::harness::{Ack, Client, Connect, Packet, Properties, Publish, Value, Version, property};

fn expiring(topic: &str, payload: &str, qos: u8, seconds: u32) -> Publish {
    let mut message = Publish::new(topic, payload, qos);
    message.properties = Properties::new().four(property::MESSAGE_EXPIRY, seconds);
    message
}

fn left(message: &Publish) -> Option<u32> {
    match message.properties.find(property::MESSAGE_EXPIRY) {
        Some(Value::Four(seconds)) => Some(*seconds),
        _ => None,
    }
}

/// 5.0: MQTT-3.3.2-6.
#[test]
fn mqtt_3_3_2_6_the_time_that_is_left_goes_with_the_message() {
    let gateway = gateway();
    let mut live = join(&gateway, Version::V5, "left-live");
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("left-kept").persistent());
    for client in [&mut live, &mut keeper] {
        client.subscribe(&[("left", 1)]);
    }
    keeper.disconnect();
    let mut sender = join(&gateway, Version::V5, "left");
    sender.publish(expiring("left", "x", 1, 100).retained());
    assert_eq!(left(&live.message()), Some(100), "at once");
    wait(&gateway, 2);
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("left-kept").persistent());
    let mut late = join(&gateway, Version::V5, "left-late");
    late.subscribe(&[("left", 1)]);
    for client in [&mut keeper, &mut late] {
        let seconds = left(&client.message()).expect("it has some left");
        assert!((60..100).contains(&seconds), "{seconds}");
    }
    sender.publish(Publish::new("left", "for ever", 1));
    assert_eq!(left(&live.message()), None, "none where none was given");
}

/// 5.0: MQTT-3.3.2-5.
#[test]
fn mqtt_3_3_2_5_what_could_not_be_delivered_in_time_is_deleted() {
    let gateway = gateway();
    let mut away = Client::connect(gateway.mqtt, Connect::v5("old-away").persistent());
    let slow = Connect {
        properties: Properties::new().with(property::RECEIVE_MAXIMUM, Value::Two(1)),
        ..Connect::v5("old-slow")
    };
    let mut slow = Client::connect(gateway.mqtt, slow).by_hand();
    for client in [&mut away, &mut slow] {
        client.subscribe(&[("old", 1)]);
    }
    away.disconnect();
    let mut sender = join(&gateway, Version::V5, "old");
    publish(&mut sender, "old", "first", 1);
    let first = slow.message().packet_id.expect("QoS 1");
    sender.publish(expiring("old", "too old", 1, 1));
    sender.publish(expiring("old", "kept too old", 1, 1).retained());
    publish(&mut sender, "old", "last", 1);
    wait(&gateway, 2);
    slow.send(&Packet::PubAck(Ack::ok(first)));
    assert_eq!(slow.message().text(), "last");
    let mut away = Client::connect(gateway.mqtt, Connect::v5("old-away").persistent());
    assert_eq!(away.message().text(), "first");
    assert_eq!(away.message().text(), "last");
    let mut late = join(&gateway, Version::V5, "old-late");
    late.subscribe(&[("old", 1)]);
    publish(&mut sender, "old", "marker", 1);
    late.expect_silence_until(|message| message.text() == "marker");
}

/// 5.0: MQTT-4.3.3-7.
#[test]
fn mqtt_4_3_3_7_what_was_sent_once_does_not_expire() {
    let gateway = gateway();
    let lasting = || Connect::v5("sent-once").persistent();
    let mut client = Client::connect(gateway.mqtt, lasting()).by_hand();
    client.subscribe(&[("sent-once", 2)]);
    let mut sender = join(&gateway, Version::V5, "sent-once-sender");
    sender.publish(expiring("sent-once", "begun", 2, 1));
    let begun = client.message().packet_id.expect("QoS 2");
    client.vanish();
    wait(&gateway, 2);
    publish(&mut sender, "sent-once", "later", 2);
    let mut client = Client::connect(gateway.mqtt, lasting()).by_hand();
    let again = client.message();
    assert_eq!(
        (again.text(), again.packet_id, again.dup),
        ("begun", Some(begun), true)
    );
    assert_eq!(client.message().text(), "later");
}

/// 5.0: MQTT-3.3.2-5.
#[test]
fn mqtt_3_3_2_5_an_expiry_of_0_is_over_at_once_for_who_is_away() {
    let gateway = gateway();
    let lasting = || Connect::v5("zero-away").persistent();
    let mut away = Client::connect(gateway.mqtt, lasting());
    away.subscribe(&[("zero", 1)]);
    away.disconnect();
    let mut sender = join(&gateway, Version::V5, "zero");
    sender.publish(expiring("zero", "gone", 1, 0).retained());
    publish(&mut sender, "zero", "marker", 1);
    let mut away = Client::connect(gateway.mqtt, lasting());
    away.expect_silence_until(|message| message.text() == "marker");
    let mut late = join(&gateway, Version::V5, "zero-late");
    late.subscribe(&[("zero", 1)]);
    publish(&mut sender, "zero", "marker", 1);
    late.expect_silence_until(|message| message.text() == "marker");
}

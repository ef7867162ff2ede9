//! How deep topics and filters may be.

use mqtt_protocol_core::mqtt::packet::v5_0;

use super::harness::*;
use crate::mqtt::MqttConfig;

fn shallow() -> World {
    World::with(MqttConfig {
        max_topic_levels: 3,
        max_subscriptions: 3,
        ..MqttConfig::default()
    })
}

#[tokio::test]
async fn topics_may_be_as_deep_as_allowed_and_no_deeper() {
    let mut world = shallow();
    let (mut client, _desk) = world.client5("me").await;
    client.send(&publish(true, "a/b/c", 1, 1, b"")).await;
    assert_eq!(client.recv().await, Got::Ack(0x40, 1, 0));
    client.send(&publish(true, "a/b/c/d", 1, 2, b"")).await;
    assert_eq!(client.recv().await, Got::Disconnect(0x90));
    assert_eq!(world.metrics.too_deep.value(), 1);
}

#[tokio::test]
async fn filters_too_deep_are_refused_one_by_one_wildcards_and_shares_included() {
    let mut world = shallow();
    let (mut client, _desk) = world.client5("me").await;
    let deep = [("+/+/+/#", 1), ("$share/g/a/b/c/d", 1), ("///", 0)];
    client.send(&subscribe(true, 1, &deep)).await;
    assert_eq!(client.recv().await, Got::Suback(1, vec![0x8F; 3]));
    assert_eq!(world.metrics.too_deep.value(), 3);
    let (mut client, _desk) = world.client4("me").await;
    client.send(&subscribe(false, 1, &deep)).await;
    assert_eq!(client.recv().await, Got::Suback(1, vec![0x80; 3]));
    client.send(&unsubscribe(false, 2, &["a/b/c/d"])).await;
    assert_eq!(client.recv().await, Got::Unsuback(2, Vec::new()));
}

#[tokio::test]
async fn a_will_too_deep_is_refused_with_its_connection() {
    let world = shallow();
    let connect = v5_0::Connect::builder().client_id("me").unwrap();
    let connect = connect.clean_start(true).will_message(
        "a/b/c/d",
        b"".to_vec(),
        mqtt_protocol_core::mqtt::packet::Qos::AtMostOnce,
        false,
    );
    let connect = connect.unwrap().build().unwrap().to_continuous_buffer();
    let mut client = world.dial();
    client.send(&connect).await;
    match client.recv().await {
        Got::Connack { code, .. } => assert_eq!(code, 0x90),
        other => panic!("expected CONNACK, came {other:?}"),
    }
}

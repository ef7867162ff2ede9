//! Clients that publish faster than they may.

use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::v5_0;
use tokio::time::Instant;

use super::harness::*;
use crate::desk::port::Connection;
use crate::mqtt::MqttConfig;
use crate::setting::Size;

fn slow_publishers() -> World {
    World::with(MqttConfig {
        max_publish_rate: 1,
        publish_burst: 1,
        ..MqttConfig::default()
    })
}

/// Connects with a keep-alive of one second.
async fn watched(world: &mut World) -> (Client, Connection) {
    let connect = v5_0::Connect::builder().client_id("me").unwrap();
    let connect = connect.clean_start(true).keep_alive(1).build().unwrap();
    world.client(true, &connect.to_continuous_buffer()).await
}

#[tokio::test(start_paused = true)]
async fn a_client_that_publishes_too_fast_is_read_at_its_rate_and_loses_nothing() {
    let mut world = slow_publishers();
    let (mut client, _desk) = watched(&mut world).await;
    let begin = Instant::now();
    let mut flood: Vec<u8> = Vec::new();
    for id in 1..=5 {
        flood.extend(publish(true, "a", 1, id, b"x"));
    }
    client.send(&flood).await;
    for id in 1..=5 {
        assert_eq!(client.recv().await, Got::Ack(0x40, id, 0));
    }
    let took = begin.elapsed();
    assert!((4..6).contains(&took.as_secs()), "{took:?}");
    assert_eq!(world.metrics.throttled.value(), 4);
    assert_eq!(world.metrics.throttled_now.value(), 0);
    client.silent().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_read_stays_connected_and_gets_its_deliveries() {
    let mut world = World::with(MqttConfig {
        max_byte_rate: Size(2),
        byte_burst: Size(1),
        ..MqttConfig::default()
    });
    let (mut client, desk) = watched(&mut world).await;
    // 60 bytes, which take 30 seconds: 20 times its keep-alive.
    client.send(&publish(true, "a", 0, 0, &[0; 54])).await;
    client.send(&[0xC0, 0]).await;
    assert_eq!(world.seen().await, Seen::Published("a".into(), false));
    let begin = Instant::now();
    desk.responses
        .send(delivery(0, None, 0, message("t", 0, b"meanwhile")))
        .unwrap();
    assert_eq!(client.recv().await.delivered().payload, b"meanwhile");
    assert_eq!(world.metrics.throttled_now.value(), 1);
    assert_eq!(client.recv().await, Got::Pingresp);
    assert!(begin.elapsed() > Duration::from_secs(25));
    // Now its own silence counts again.
    assert_eq!(client.recv().await, Got::Disconnect(0x8D));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_not_read_can_still_be_told_to_go() {
    let mut world = slow_publishers();
    let (mut client, _desk) = watched(&mut world).await;
    let twice = publish(true, "a", 0, 0, b"x").repeat(2);
    client.send(&twice).await;
    assert_eq!(world.seen().await, Seen::Published("a".into(), false));
    world.stop.send_replace(true);
    assert_eq!(client.recv().await, Got::Disconnect(0x8B));
    client.gone().await;
    assert_eq!(world.metrics.throttled_now.value(), 0);
}

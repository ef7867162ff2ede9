//! What is refused, dropped and closed without memory.

use super::harness::*;
use crate::desk::Account;
use crate::desk::port::{Full, Request, Response};
use crate::mqtt::MqttConfig;

impl World {
    /// Others hold all the memory that there is.
    fn fill(&self) {
        self.memory.reserve(Account::Outgoing, 64 << 20);
    }

    fn empty(&self) {
        self.memory.release(Account::Outgoing, 64 << 20);
    }
}

#[tokio::test]
async fn without_memory_the_desk_is_asked_nothing_more_and_mqtt_5_is_told() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    world.fill();
    client.send(&publish(true, "kept/a", 1, 1, b"x")).await;
    assert_eq!(client.recv().await, Got::Ack(0x40, 1, 0x97));
    client.send(&publish(true, "kept/a", 2, 2, b"x")).await;
    assert_eq!(client.recv().await, Got::Ack(0x50, 2, 0x97));
    client.send(&publish(true, "kept/a", 0, 0, b"x")).await;
    client.silent().await;
    assert_eq!(world.memory.outcomes.refused.value(), 3);
    // What nobody has to keep goes on.
    client.send(&publish(true, "live/a", 1, 3, b"x")).await;
    assert_eq!(client.recv().await, Got::Ack(0x40, 3, 0));
    assert_eq!(world.seen().await, Seen::Published("live/a".into(), true));
    world.empty();
    client.send(&publish(true, "kept/a", 1, 4, b"x")).await;
    assert_eq!(world.asked_to_publish().await.0, Some(4));
    drop(desk);
}

#[tokio::test]
async fn without_memory_a_3_1_1_publisher_is_closed_rather_than_deceived() {
    let mut world = World::new();
    let (mut client, _desk) = world.client4("me").await;
    world.fill();
    client.send(&publish(false, "kept/a", 0, 0, b"x")).await;
    client.silent().await;
    client.send(&publish(false, "kept/a", 1, 1, b"x")).await;
    assert_eq!(client.recv().await, Got::Closed);
}

#[tokio::test]
async fn what_the_desk_has_no_room_for_is_refused_or_closed_likewise() {
    let mut world = World::new();
    for v5 in [true, false] {
        let (mut client, desk) = if v5 {
            world.client5("me").await
        } else {
            world.client4("me").await
        };
        client.send(&publish(v5, "kept/a", 1, 7, b"x")).await;
        let (packet_id, _) = world.asked_to_publish().await;
        let packet_id = packet_id.unwrap();
        let no_room = Response::NoRoom {
            packet_id,
            full: Full::Retained,
            message: message("kept/a", 1, b"x"),
        };
        desk.responses.send(no_room).unwrap();
        let expected = if v5 {
            Got::Ack(0x40, 7, 0x97)
        } else {
            Got::Closed
        };
        assert_eq!(client.recv().await, expected);
    }
}

#[tokio::test]
async fn publishes_on_their_way_to_the_desk_are_counted() {
    let mut world = World::new();
    let (mut client, _desk) = world.client5("me").await;
    let flood: Vec<u8> = (1..=50)
        .flat_map(|id| publish(true, "kept/a", 1, id, &[0; 90]))
        .collect();
    client.send(&flood).await;
    client.silent().await;
    assert!(world.memory.reserved(Account::Requests) > 50 * 90);
    // In place of the desk.
    while let Ok(Request::Publish { publication, .. }) = world.desk.try_recv() {
        world
            .memory
            .release(Account::Requests, publication.message.size());
    }
}

#[tokio::test]
async fn without_memory_a_large_packet_ends_its_connection_and_small_ones_pass() {
    let mut world = World::new();
    let (mut client, _desk) = world.client5("me").await;
    // A PUBLISH of 256 KiB, of which 64 have come.
    client.send(&[0x30, 0x80, 0x80, 0x10, 0, 1, b'a', 0]).await;
    client.send(&vec![0; 64 * 1024]).await;
    while world.memory.reserved(Account::Incoming) < 60 * 1024 {
        tokio::task::yield_now().await;
    }
    let (mut other, _kept) = world.client5("other").await;
    world.fill();
    other.send(&publish(true, "live/a", 0, 0, b"x")).await;
    assert_eq!(world.seen().await, Seen::Published("live/a".into(), false));
    client.send(&[0; 1024]).await;
    assert_eq!(client.recv().await, Got::Disconnect(0x97));
    assert_eq!(world.memory.outcomes.closed.value(), 1);
    client.gone().await;
    assert_eq!(world.memory.reserved(Account::Incoming), 0);
    other.silent().await;
}

#[tokio::test]
async fn without_memory_a_stranger_is_held_to_a_small_first_packet() {
    let world = World::new();
    world.fill();
    let mut client = world.dial();
    // CONNECT of 60,000 bytes.
    client.send(&[0x10, 0xe0, 0xd4, 0x03]).await;
    client.send(&vec![0; 40_000]).await;
    assert_eq!(client.recv().await, Got::Closed);
    assert_eq!(world.memory.outcomes.closed.value(), 1);
    client.gone().await;
}

/// A subscriber with a window of one, which is taken.
async fn slow_subscriber(world: &mut World, qos: u8) -> (Client, crate::desk::port::Connection) {
    let (mut client, desk) = world.client5("slow").await;
    world.subscribe(&mut client, &desk, "a", qos).await;
    (client, desk)
}

#[tokio::test]
async fn without_memory_a_subscriber_that_must_not_miss_is_closed_with_a_reason() {
    let mut world = World::with(MqttConfig {
        max_inflight: 1,
        ..MqttConfig::default()
    });
    let (mut client, _desk) = slow_subscriber(&mut world, 1).await;
    for _ in 0..20 {
        world.plane.send(&message("a", 1, &[0; 1024]));
    }
    client.recv().await.delivered();
    while world.memory.reserved(Account::Outgoing) < 16 * 1024 {
        tokio::task::yield_now().await;
    }
    client.silent().await;
    world.fill();
    world.plane.send(&message("a", 1, b"one more"));
    assert_eq!(client.recv().await, Got::Disconnect(0x97));
    client.gone().await;
    world.empty();
    assert_eq!(world.memory.reserved(Account::Outgoing), 0);
    assert_eq!(world.memory.outcomes.closed.value(), 1);
}

#[tokio::test]
async fn without_memory_what_may_be_lost_is_dropped_and_counted() {
    let mut world = World::new();
    world.pipe = 1024;
    let (mut client, _desk) = slow_subscriber(&mut world, 0).await;
    world.fill();
    for _ in 0..100 {
        world.plane.send(&message("a", 0, &[0; 1024]));
    }
    while world.memory.outcomes.dropped.value() < 60 {
        tokio::task::yield_now().await;
    }
    assert!(client.recv().await.delivered().payload.len() == 1024);
    world.empty();
}

#[tokio::test]
async fn ids_of_3_1_1_clients_are_bounded_by_memory_too() {
    let mut world = World::new();
    let (mut client, _desk) = world.client4("me").await;
    for id in 1..=2_000u16 {
        client.send(&publish(false, "a", 2, id, b"")).await;
        assert_eq!(client.recv().await, Got::Ack(0x50, id, 0));
    }
    client.silent().await;
    assert_eq!(world.memory.reserved(Account::Incoming), 2_000 * 16);
    world.fill();
    client.send(&publish(false, "a", 2, 2_001, b"")).await;
    assert_eq!(client.recv().await, Got::Ack(0x50, 2_001, 0));
    assert_eq!(client.recv().await, Got::Closed);
}

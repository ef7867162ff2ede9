//! What comes from the live plane, and readers that are slow.

use super::harness::*;
use crate::desk::port::{Request, Response};
use crate::mqtt::MqttConfig;
use crate::setting::Size;
use crate::wire::message::{Message, Parts, Qos};

#[tokio::test]
async fn a_message_comes_at_the_lower_of_both_qos() {
    let mut world = World::new();
    for granted in 0..3 {
        let (mut client, desk) = world.client5("me").await;
        world.subscribe(&mut client, &desk, "a", granted).await;
        for qos in 0..3 {
            world.plane.send(&message("a", qos, b"x"));
            let got = client.recv().await.delivered();
            assert_eq!(got.qos, qos.min(granted));
            assert_eq!(got.id.is_some(), got.qos > 0);
        }
    }
}

#[tokio::test]
async fn live_flows_of_both_kinds_run_to_their_end() {
    let mut world = World::new();
    let (mut client, desk) = world.client4("me").await;
    world.subscribe(&mut client, &desk, "#", 2).await;
    world.plane.send(&message("a", 1, b""));
    world.plane.send(&message("b", 2, b""));
    assert_eq!(client.recv().await.delivered().id, Some(1));
    assert_eq!(client.recv().await.delivered().id, Some(2));
    client.send(&packet(0x40, &[&[0, 1]])).await;
    client.send(&packet(0x50, &[&[0, 2]])).await;
    assert_eq!(client.recv().await, Got::Ack(0x62, 2, 0));
    client.send(&packet(0x50, &[&[0, 2]])).await;
    assert_eq!(client.recv().await, Got::Ack(0x62, 2, 0), "asked again");
    client.send(&packet(0x70, &[&[0, 2]])).await;
    client.silent().await;
    // The desk has heard nothing of it.
    assert!(world.desk.try_recv().is_err());
    assert_eq!(world.metrics.stray_acks.value(), 0);
    client.send(&packet(0x40, &[&[0, 77]])).await;
    client.silent().await;
    assert_eq!(world.metrics.stray_acks.value(), 1);
}

#[tokio::test]
async fn durable_sessions_get_only_qos_0_from_the_live_plane() {
    let mut world = World::new();
    let (mut client, desk) = world.client(true, &connect5("me", 60, &[])).await;
    world.subscribe(&mut client, &desk, "a", 1).await;
    world.plane.send(&message("a", 1, b"from the desk"));
    world.plane.send(&message("a", 0, b"live"));
    assert_eq!(client.recv().await.delivered().payload, b"live");
}

#[tokio::test]
async fn expired_messages_are_not_delivered() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    world.subscribe(&mut client, &desk, "a", 0).await;
    let old = Parts {
        topic: "a",
        expires_at: 1,
        ..Parts::default()
    };
    world.plane.send(&Message::encode(&old));
    world.plane.send(&message("a", 0, b"fresh"));
    assert_eq!(client.recv().await.delivered().payload, b"fresh");
    assert_eq!(world.metrics.undelivered.expired.value(), 1);
}

#[tokio::test]
async fn gaps_close_whoever_was_promised_none() {
    let mut world = World::new();
    let (mut hearer, desk) = world.client5("hearer").await;
    world.subscribe(&mut hearer, &desk, "a", 0).await;
    world.plane.report(5, false);
    world.plane.send(&message("a", 0, b"on"));
    assert_eq!(hearer.recv().await.delivered().payload, b"on");
    assert_eq!(world.metrics.undelivered.lagged.value(), 5);
    world.subscribe(&mut hearer, &desk, "b", 1).await;
    world.plane.report(1, false);
    assert_eq!(hearer.recv().await, Got::Disconnect(0x97));
}

#[tokio::test]
async fn whoever_held_publishers_up_for_too_long_is_closed() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    world.subscribe(&mut client, &desk, "a", 1).await;
    world.plane.report(0, true);
    assert_eq!(client.recv().await, Got::Disconnect(0x97));
}

#[tokio::test]
async fn a_full_window_holds_publishers_back_then_closes() {
    let mut world = World::with(MqttConfig {
        max_inflight: 1,
        max_pending_messages: 8,
        max_pending_bytes: Size(64 * 1024),
        ..MqttConfig::default()
    });
    let (mut client, desk) = world.client5("me").await;
    world.subscribe(&mut client, &desk, "a", 1).await;
    for _ in 0..6 {
        world.plane.send(&message("a", 1, b""));
    }
    assert_eq!(world.seen().await, Seen::Congested(true));
    // What was on its way when publishers were told: many, as long as they are small.
    for _ in 0..100 {
        world.plane.send(&message("a", 1, b""));
    }
    for id in 1..=106u16 {
        assert_eq!(client.recv().await.delivered().id, Some(id));
        client.send(&packet(0x40, &[&id.to_be_bytes()])).await;
    }
    assert_eq!(world.seen().await, Seen::Congested(false));
    client.silent().await;
    for _ in 0..10 {
        world.plane.send(&message("a", 1, &[0; 10_000]));
    }
    assert_eq!(client.recv().await.delivered().id, Some(107));
    assert_eq!(client.recv().await, Got::Disconnect(0x97));
}

#[tokio::test]
async fn slow_clients_lose_the_oldest_of_qos_0() {
    let mut world = World::with(MqttConfig {
        write_high_water: Size(64),
        write_buffer: Size(400),
        ..MqttConfig::default()
    });
    world.pipe = 64;
    let (mut client, desk) = world.client5("me").await;
    world.subscribe(&mut client, &desk, "a", 0).await;
    for number in 0..100u8 {
        world.plane.send(&message("a", 0, &[number]));
    }
    // The pipe and the output are full, the queue holds the newest.
    let mut got = Vec::new();
    while got.last() != Some(&99) {
        got.push(client.recv().await.delivered().payload[0]);
    }
    assert!(got.len() < 60, "{got:?}");
    assert!(got.is_sorted(), "{got:?}");
    assert_eq!(
        world.metrics.undelivered.slow_reader.value(),
        100 - got.len() as u64
    );
    let backlog = desk.backlog.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(backlog, 0);
}

#[tokio::test]
async fn own_messages_come_back_unless_asked_not_to() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    world.subscribe(&mut client, &desk, "a", 0).await;
    client.send(&publish(true, "a", 0, 0, b"echo")).await;
    assert_eq!(client.recv().await.delivered().payload, b"echo");
}

#[tokio::test]
async fn the_live_plane_knows_what_must_not_be_lost() {
    let mut world = World::new();
    let (mut clean, desk) = world.client5("clean").await;
    world.subscribe(&mut clean, &desk, "maybe", 0).await;
    world.subscribe(&mut clean, &desk, "surely", 1).await;
    // More is wanted of a filter that stands.
    world.subscribe(&mut clean, &desk, "maybe", 2).await;
    let (mut durable, desk) = world.client(true, &connect5("durable", 60, &[])).await;
    world.subscribe(&mut durable, &desk, "kept", 1).await;
    assert_eq!(*world.plane.relied_on.lock().unwrap(), ["surely", "maybe"]);
}

#[tokio::test]
async fn what_comes_between_subscribe_and_suback_follows_the_suback() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    client.send(&subscribe(true, 7, &[("a/+", 1)])).await;
    assert_eq!(world.seen().await, Seen::Subscribed("a/+".to_owned()));
    let Request::Subscribe { packet_id, .. } = world.asked().await else {
        panic!("expected Subscribe")
    };
    world.plane.send(&message("a/b", 1, b"early"));
    world.plane.send(&message("b", 1, b"nobody's"));
    client.silent().await;
    let granted = Response::Subscribed {
        packet_id,
        results: vec![Ok(Qos::AtLeastOnce)],
        retained: Vec::new(),
        retained_room: 1024,
        retained_seq: 0,
    };
    desk.responses.send(granted).unwrap();
    assert_eq!(client.recv().await, Got::Suback(7, vec![1]));
    assert_eq!(client.recv().await.delivered().payload, b"early");
    client.silent().await;
}

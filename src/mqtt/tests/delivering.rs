//! Deliveries: QoS, packet ids, the window, and aliases.

use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Property, ReceiveMaximum, TopicAliasMaximum,
};

use super::harness::*;
use crate::desk::port::{Connection, Request, Response, Stage};
use crate::mqtt::MqttConfig;
use crate::setting::Size;
use crate::wire::message::{Message, Parts, Qos};

async fn acknowledged(world: &mut World) -> (u64, Stage) {
    match world.asked().await {
        Request::Acknowledge { seq, stage, .. } => (seq, stage),
        other => panic!("expected Acknowledge, came {other:?}"),
    }
}

fn say(desk: &Connection, response: Response) {
    desk.responses.send(response).unwrap();
}

#[tokio::test]
async fn qos_0_is_done_once_it_is_written() {
    let mut world = World::new();
    let (mut client, desk) = world.client4("me").await;
    say(&desk, delivery(0, None, 0, message("a", 0, b"1")));
    say(&desk, delivery(5, None, 0, message("a", 0, b"2")));
    assert_eq!(client.recv().await.delivered().payload, b"1");
    assert_eq!(client.recv().await.delivered().payload, b"2");
    assert_eq!(acknowledged(&mut world).await, (5, Stage::Done));
}

#[tokio::test]
async fn qos_1_keeps_the_desks_packet_id() {
    let mut world = World::new();
    let (mut client, desk) = world.client(true, &connect5("me", 60, &[])).await;
    let Response::Deliver(mut again) = delivery(5, Some(700), 1, message("a", 1, b"x")) else {
        panic!()
    };
    again.dup = true;
    again.subscription_ids = vec![3, 4];
    say(&desk, Response::Deliver(again));
    let got = client.recv().await.delivered();
    assert_eq!(
        (got.id, got.dup, got.properties.len()),
        (Some(700), true, 2)
    );
    client.send(&packet(0x40, &[&700u16.to_be_bytes()])).await;
    assert_eq!(acknowledged(&mut world).await, (5, Stage::Done));
}

#[tokio::test]
async fn qos_2_waits_for_the_desk_between_pubrec_and_pubrel() {
    let mut world = World::new();
    for durable in [true, false] {
        let connect = connect5("me", if durable { 60 } else { 0 }, &[]);
        let (mut client, desk) = world.client(true, &connect).await;
        let packet_id = durable.then_some(9);
        say(&desk, delivery(5, packet_id, 2, message("a", 2, b"x")));
        let id = client.recv().await.delivered().id.unwrap();
        let ack = |first| packet(first, &[&id.to_be_bytes()]);
        client.send(&ack(0x50)).await;
        assert_eq!(acknowledged(&mut world).await, (5, Stage::Received));
        client.send(&ack(0x50)).await;
        client.silent().await;
        say(&desk, Response::Release { seq: 5, packet_id });
        assert_eq!(client.recv().await, Got::Ack(0x62, id, 0));
        client.send(&ack(0x70)).await;
        assert_eq!(acknowledged(&mut world).await, (5, Stage::Completed));
    }
}

#[tokio::test]
async fn an_error_in_pubrec_ends_the_flow() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    say(&desk, delivery(5, Some(1), 2, message("a", 2, b"x")));
    client.recv().await.delivered();
    client.send(&packet(0x50, &[&[0, 1, 0x97]])).await;
    assert_eq!(acknowledged(&mut world).await, (5, Stage::Done));
    // An id that was never sent has nothing to release.
    client.send(&packet(0x50, &[&[0, 2]])).await;
    assert_eq!(client.recv().await, Got::Ack(0x62, 2, 0x92));
}

#[tokio::test]
async fn the_clients_receive_maximum_is_kept_across_desk_and_live_plane() {
    let mut world = World::new();
    let two = ReceiveMaximum::new(2).unwrap().into();
    let (mut client, desk) = world.client(true, &connect5("me", 0, &[two])).await;
    world.subscribe(&mut client, &desk, "a", 1).await;
    say(&desk, delivery(5, None, 1, message("inbox", 1, b"1")));
    assert_eq!(client.recv().await.delivered().id, Some(1));
    for payload in [b"2", b"3", b"4"] {
        world.plane.send(&message("a", 1, payload));
    }
    assert_eq!(client.recv().await.delivered().id, Some(2));
    client.silent().await;
    client.send(&packet(0x40, &[&[0, 1]])).await;
    assert_eq!(client.recv().await.delivered().payload, b"3");
    assert_eq!(acknowledged(&mut world).await, (5, Stage::Done));
    client.silent().await;
    client.send(&packet(0x40, &[&[0, 2]])).await;
    assert_eq!(client.recv().await.delivered().payload, b"4");
}

#[tokio::test]
async fn what_is_too_large_for_the_client_is_as_good_as_delivered() {
    let mut world = World::new();
    let small = MaximumPacketSize::new(40).unwrap().into();
    let (mut client, desk) = world.client(true, &connect5("me", 60, &[small])).await;
    say(&desk, delivery(5, Some(1), 1, message("a", 1, &[0; 40])));
    say(&desk, delivery(6, Some(2), 1, message("a", 1, b"small")));
    assert_eq!(acknowledged(&mut world).await, (5, Stage::Done));
    assert_eq!(client.recv().await.delivered().payload, b"small");
    assert_eq!(world.metrics.undelivered.too_large_for_client.value(), 1);
}

#[tokio::test]
async fn a_retained_snapshot_is_whole_and_never_overtaken() {
    let mut world = World::with(MqttConfig {
        max_inflight: 2,
        write_buffer: Size(200),
        max_pending_messages: 4,
        ..MqttConfig::default()
    });
    let (mut client, desk) = world.client5("me").await;
    client.send(&subscribe(true, 1, &[("s/#", 1)])).await;
    world.seen().await;
    let Request::Subscribe { packet_id, .. } = world.asked().await else {
        panic!()
    };
    let state = |number: u8| {
        Message::encode(&Parts {
            topic: "s/k",
            qos: Qos::AtLeastOnce,
            retain: true,
            payload: &[number],
            ..Parts::default()
        })
    };
    say(
        &desk,
        Response::Subscribed {
            packet_id,
            results: vec![Ok(Qos::AtLeastOnce)],
            retained: (0..50).map(|number| (0, state(number))).collect(),
            retained_room: 1024,
            retained_seq: 0,
        },
    );
    assert_eq!(client.recv().await, Got::Suback(1, vec![1]));
    world.plane.send(&message("s/k", 0, &[50]));
    world.plane.send(&message("s/k", 1, &[51]));
    for number in 0..50u8 {
        let got = client.recv().await.delivered();
        assert_eq!((got.payload[0], got.retain), (number, true));
        client
            .send(&packet(0x40, &[&got.id.unwrap().to_be_bytes()]))
            .await;
    }
    let mut last = [client.recv().await, client.recv().await].map(|got| got.delivered().payload[0]);
    last.sort_unstable();
    assert_eq!(last, [50, 51]);
}

/// Topics of the next deliveries, and the alias beside each.
async fn shown(client: &mut Client, count: usize) -> Vec<(String, Option<u16>)> {
    let mut all = Vec::new();
    for _ in 0..count {
        let got = client.recv().await.delivered();
        let alias = got.properties.iter().find_map(|property| match property {
            Property::TopicAlias(alias) => Some(alias.val()),
            _ => None,
        });
        all.push((got.topic, alias));
    }
    all
}

#[tokio::test]
async fn topics_get_the_aliases_that_the_client_takes() {
    let mut world = World::new();
    for (takes, expected) in [
        (
            1,
            [("long/one", Some(1)), ("long/two", None), ("", Some(1))],
        ),
        (
            0,
            [("long/one", None), ("long/two", None), ("long/one", None)],
        ),
    ] {
        let maximum = Property::TopicAliasMaximum(TopicAliasMaximum::new(takes).unwrap());
        let (mut client, desk) = world.client(true, &connect5("me", 0, &[maximum])).await;
        for topic in ["long/one", "long/two", "long/one"] {
            say(&desk, delivery(0, None, 0, message(topic, 0, b"x")));
        }
        let expected = expected.map(|(topic, alias)| (topic.to_owned(), alias));
        assert_eq!(shown(&mut client, 3).await, expected);
    }
}

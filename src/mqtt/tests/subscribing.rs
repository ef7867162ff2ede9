//! SUBSCRIBE and UNSUBSCRIBE, at the desk and on the live plane.

use super::harness::*;
use crate::desk::port::{Request, Response, RetainHandling, Subscription};
use crate::mqtt::MqttConfig;
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::reply::Code;

async fn asked_to_subscribe(world: &mut World) -> (u16, Vec<Subscription>) {
    match world.asked().await {
        Request::Subscribe {
            packet_id,
            subscriptions,
            ..
        } => (packet_id, subscriptions),
        other => panic!("expected Subscribe, came {other:?}"),
    }
}

#[tokio::test]
async fn the_live_plane_is_joined_before_the_desk_looks() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    // QoS 2, no local, retain as published, retain if new; with identifier 200.
    let filters = [&text("a/#")[..], &[0b0001_1110]].concat();
    client
        .send(&packet(0x82, &[&[0, 9, 3, 0x0B, 0xC8, 1], &filters]))
        .await;
    assert_eq!(world.seen().await, Seen::Subscribed("a/#".into()));
    let (packet_id, asked) = asked_to_subscribe(&mut world).await;
    let expected = Subscription {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::IfNew,
        id: Some(200),
        ..subscription("a/#", 2)
    };
    assert_eq!((packet_id, asked), (9, vec![expected]));
    let retained = Message::encode(&Parts {
        topic: "a/b",
        qos: Qos::AtLeastOnce,
        retain: true,
        retained_seq: 3,
        payload: b"stands",
        ..Parts::default()
    });
    let answer = Response::Subscribed {
        packet_id,
        results: vec![Ok(Qos::ExactlyOnce)],
        retained: vec![(0, retained.clone())],
        retained_room: 1024,
        retained_seq: 3,
    };
    desk.responses.send(answer).unwrap();
    // The broadcast of what is in the snapshot is not delivered twice; the next change is.
    world.plane.send(&retained);
    let parts = Parts {
        retained_seq: 4,
        retain: false,
        payload: b"next",
        ..retained.parts()
    };
    world.plane.send(&Message::encode(&parts));
    assert_eq!(client.recv().await, Got::Suback(9, vec![2]));
    let first = client.recv().await.delivered();
    assert_eq!(
        (first.payload.as_slice(), first.retain, first.qos),
        (&b"stands"[..], true, 1)
    );
    assert_eq!(first.properties.len(), 1, "the subscription identifier");
    let second = client.recv().await.delivered();
    assert_eq!(
        (second.payload.as_slice(), second.retain),
        (&b"next"[..], false)
    );
    client.silent().await;
}

#[tokio::test]
async fn bad_filters_are_answered_one_by_one() {
    let mut world = World::new();
    for v5 in [true, false] {
        let connect = if v5 {
            connect5("me", 0, &[])
        } else {
            connect4("me", true)
        };
        let (mut client, desk) = world.client(v5, &connect).await;
        let failure = |code| if v5 { code } else { 0x80 };
        // One that breaks the grammar closes the connection of 3.1.1.
        let bad = if v5 { "a/#/b" } else { "$share//a" };
        client
            .send(&subscribe(v5, 1, &[(bad, 0), ("$share/g", 1)]))
            .await;
        assert_eq!(client.recv().await, Got::Suback(1, vec![failure(0x8F); 2]));
        client
            .send(&subscribe(v5, 2, &[("x", 0), (bad, 0), ("y", 1)]))
            .await;
        assert_eq!(world.seen().await, Seen::Subscribed("x".into()));
        assert_eq!(world.seen().await, Seen::Subscribed("y".into()));
        let (packet_id, asked) = asked_to_subscribe(&mut world).await;
        assert_eq!(asked.len(), 2);
        let answer = Response::Subscribed {
            packet_id,
            results: vec![Err(Code::Forbidden), Ok(Qos::AtMostOnce)],
            retained: Vec::new(),
            retained_room: 1024,
            retained_seq: 0,
        };
        desk.responses.send(answer).unwrap();
        let codes = vec![failure(0x87), failure(0x8F), 0];
        assert_eq!(client.recv().await, Got::Suback(2, codes));
        assert_eq!(world.seen().await, Seen::Unsubscribed("x".into()));
    }
}

#[tokio::test]
async fn what_the_desk_serves_alone_opens_no_link() {
    let mut world = World::new();
    let (mut client, _desk) = world.client5("me").await;
    let filters = [("$share/g/jobs", 1), ("rooms/r/handoff/work/cut", 1)];
    client.send(&subscribe(true, 1, &filters)).await;
    let (_, asked) = asked_to_subscribe(&mut world).await;
    assert_eq!(asked.len(), 2);
    assert!(world.saw.try_recv().is_err());
}

#[tokio::test]
async fn no_local_on_a_share_is_a_protocol_error() {
    let mut world = World::new();
    let (mut client, _desk) = world.client5("me").await;
    client
        .send(&subscribe(true, 1, &[("$share/g/jobs", 0b100)]))
        .await;
    assert_eq!(client.recv().await, Got::Disconnect(0x82));
}

#[tokio::test]
async fn unsubscribing_ends_deliveries_and_says_what_was_there() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    world.subscribe(&mut client, &desk, "a", 0).await;
    client
        .send(&unsubscribe(true, 2, &["a", "b", "c/#/d"]))
        .await;
    let Request::Unsubscribe {
        packet_id, filters, ..
    } = world.asked().await
    else {
        panic!()
    };
    assert_eq!(filters.len(), 2);
    let existed = vec![true, false];
    desk.responses
        .send(Response::Unsubscribed { packet_id, existed })
        .unwrap();
    assert_eq!(client.recv().await, Got::Unsuback(2, vec![0, 0x11, 0x8F]));
    assert_eq!(world.seen().await, Seen::Unsubscribed("a".into()));
    world.plane.send(&message("a", 0, b"late"));
    client.silent().await;

    let (mut client, desk) = world.client4("old").await;
    client.send(&unsubscribe(false, 3, &["never"])).await;
    world.asked().await;
    desk.responses
        .send(Response::Unsubscribed {
            packet_id: 3,
            existed: vec![false],
        })
        .unwrap();
    assert_eq!(client.recv().await, Got::Unsuback(3, vec![]));
}

#[tokio::test]
async fn leaving_and_joining_again_at_once_keeps_the_link() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    world.subscribe(&mut client, &desk, "a", 0).await;
    client.send(&unsubscribe(true, 2, &["a"])).await;
    client.send(&subscribe(true, 3, &[("a", 0)])).await;
    world.asked().await;
    world.asked().await;
    let existed = vec![true];
    desk.responses
        .send(Response::Unsubscribed {
            packet_id: 2,
            existed,
        })
        .unwrap();
    let answer = Response::Subscribed {
        packet_id: 3,
        results: vec![Ok(Qos::AtMostOnce)],
        retained: Vec::new(),
        retained_room: 1024,
        retained_seq: 0,
    };
    desk.responses.send(answer).unwrap();
    assert_eq!(client.recv().await, Got::Unsuback(2, vec![0]));
    assert_eq!(client.recv().await, Got::Suback(3, vec![0]));
    world.plane.send(&message("a", 0, b"still here"));
    assert_eq!(client.recv().await.delivered().payload, b"still here");
}

#[tokio::test]
async fn requests_keep_the_order_of_their_packets() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    let packets = [
        publish(true, "kept/1", 0, 0, b""),
        subscribe(true, 1, &[("a", 0)]),
        publish(true, "kept/2", 0, 0, b""),
    ];
    client.send(&packets.concat()).await;
    assert_eq!(world.asked_to_publish().await.1.message.topic(), "kept/1");
    asked_to_subscribe(&mut world).await;
    desk.responses.send(granted(1, 0)).unwrap();
    assert_eq!(world.asked_to_publish().await.1.message.topic(), "kept/2");
}

#[tokio::test]
async fn a_publish_waits_until_the_subscription_before_it_stands() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    let packets = [
        subscribe(true, 1, &[("a", 1)]),
        subscribe(true, 2, &[("a/#", 1)]),
        publish(true, "a", 1, 3, b"to myself"),
    ];
    client.send(&packets.concat()).await;
    for packet_id in 1..=2 {
        assert_eq!(asked_to_subscribe(&mut world).await.0, packet_id);
    }
    desk.responses.send(granted(1, 1)).unwrap();
    desk.responses.send(granted(2, 1)).unwrap();
    assert_eq!(client.recv().await, Got::Suback(1, vec![1]));
    assert_eq!(client.recv().await, Got::Suback(2, vec![1]));
    assert_eq!(client.recv().await, Got::Ack(0x40, 3, 0));
}

fn granted(packet_id: u16, qos: u8) -> Response {
    Response::Subscribed {
        packet_id,
        results: vec![Ok(Qos::from_level(qos).unwrap())],
        retained: Vec::new(),
        retained_room: 1024,
        retained_seq: 0,
    }
}

#[tokio::test]
async fn many_filters_are_asked_for_in_parts_and_acknowledged_at_once() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    let names: Vec<String> = (0..20).map(|n| format!("f{n:02}")).collect();
    let mut filters: Vec<(&str, u8)> = names.iter().map(|name| (&**name, 1)).collect();
    filters[3] = ("#/x", 1);
    client.send(&subscribe(true, 7, &filters)).await;
    // A later packet waits for all parts of the earlier.
    client.send(&unsubscribe(true, 8, &["f19"])).await;
    for _ in 0..19 {
        world.seen().await;
    }
    let mut asked = Vec::new();
    for len in [8, 8, 3] {
        let (packet_id, part) = asked_to_subscribe(&mut world).await;
        assert_eq!((packet_id, part.len()), (7, len));
        let results = part.iter().map(|own| match &*own.filter {
            "f10" => Err(Code::TooMany),
            _ => Ok(Qos::AtLeastOnce),
        });
        let answer = Response::Subscribed {
            packet_id,
            results: results.collect(),
            retained: Vec::new(),
            retained_room: 1024,
            retained_seq: 0,
        };
        asked.extend(part);
        desk.responses.send(answer).unwrap();
    }
    assert_eq!(asked.len(), 19);
    let mut codes = vec![1; 20];
    (codes[3], codes[10]) = (0x8F, 0x97);
    assert_eq!(client.recv().await, Got::Suback(7, codes));
    let next = world.asked().await;
    assert!(
        matches!(next, Request::Unsubscribe { packet_id: 8, .. }),
        "{next:?}"
    );
}

#[tokio::test]
async fn filters_beyond_the_limit_get_no_further() {
    let mut world = World::with(MqttConfig {
        max_subscriptions: 2,
        ..MqttConfig::default()
    });
    let (mut client, desk) = world.client5("me").await;
    client
        .send(&subscribe(true, 7, &[("a", 0), ("b", 0), ("c", 0)]))
        .await;
    let (packet_id, part) = asked_to_subscribe(&mut world).await;
    assert_eq!(part.len(), 2);
    let answer = Response::Subscribed {
        packet_id,
        results: vec![Ok(Qos::AtMostOnce); 2],
        retained: Vec::new(),
        retained_room: 1024,
        retained_seq: 0,
    };
    desk.responses.send(answer).unwrap();
    assert_eq!(client.recv().await, Got::Suback(7, vec![0, 0, 0x97]));
    client.send(&subscribe(true, 8, &[("d", 0)])).await;
    assert_eq!(client.recv().await, Got::Suback(8, vec![0x97]));
}

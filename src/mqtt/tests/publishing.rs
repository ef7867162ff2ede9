//! PUBLISH: what goes where, and how it is acknowledged.

use super::harness::*;
use crate::desk::port::{Request, Response, Route};
use crate::mqtt::MqttConfig;
use crate::wire::message::Qos;
use crate::wire::reply::Code;

fn published(packet_id: u16, verdict: Result<(), Code>) -> Response {
    Response::Published {
        packet_id,
        verdict,
        words: None,
        of_own_backlog: false,
    }
}

#[tokio::test]
async fn what_nobody_keeps_goes_live_and_is_acknowledged_at_once() {
    let mut world = World::new();
    for v5 in [false, true] {
        let connect = if v5 {
            connect5("me", 0, &[])
        } else {
            connect4("me", true)
        };
        let (mut client, _desk) = world.client(v5, &connect).await;
        let packets = [
            publish(v5, "a", 0, 0, b"0"),
            publish(v5, "b", 1, 1, b"1"),
            publish(v5, "c", 2, 2, b"2"),
            publish(v5, "c", 2, 2, b"2"),
        ];
        client.send(&packets.concat()).await;
        assert_eq!(client.recv().await, Got::Ack(0x40, 1, 0));
        assert_eq!(client.recv().await, Got::Ack(0x50, 2, 0));
        assert_eq!(client.recv().await, Got::Ack(0x50, 2, 0), "the repeat");
        for (topic, reliable) in [("a", false), ("b", true), ("c", true)] {
            assert_eq!(world.seen().await, Seen::Published(topic.into(), reliable));
        }
        client.send(&packet(0x62, &[&[0, 2]])).await;
        assert_eq!(client.recv().await, Got::Ack(0x70, 2, 0));
        // The id is free again.
        client.send(&publish(v5, "d", 2, 2, b"")).await;
        assert_eq!(client.recv().await, Got::Ack(0x50, 2, 0));
        assert_eq!(world.seen().await, Seen::Published("d".into(), true));
        client.send(&packet(0x62, &[&[0, 9]])).await;
        let unknown = if v5 { 0x92 } else { 0 };
        assert_eq!(client.recv().await, Got::Ack(0x70, 9, unknown));
        client.silent().await;
    }
}

#[tokio::test]
async fn acks_of_what_is_kept_wait_for_the_desk() {
    let mut world = World::new();
    let (mut client, desk) = world.client4("me").await;
    client.send(&publish(false, "kept/a", 1, 1, b"x")).await;
    client
        .send(&publish(false, "rooms/r/handoff/dispatch/me", 1, 2, b"{}"))
        .await;
    client
        .send(&publish_with(false, 0x33, "plain", 3, &[], b"retained"))
        .await;
    for id in [1, 2, 3] {
        let (packet_id, publication) = world.asked_to_publish().await;
        assert_eq!(packet_id, Some(id));
        assert_eq!(publication.message.publisher(), "me");
        assert_eq!(publication.message.retain(), id == 3);
        assert_eq!(matches!(publication.route, Route::Engine { .. }), id == 2);
    }
    client.silent().await;
    for id in [2, 1, 3] {
        desk.responses.send(published(id, Ok(()))).unwrap();
        assert_eq!(client.recv().await, Got::Ack(0x40, id, 0));
    }
}

#[tokio::test]
async fn refusals_are_said_in_mqtt_5_and_acknowledged_in_3() {
    let mut world = World::new();
    for v5 in [true, false] {
        let connect = if v5 {
            connect5("me", 0, &[])
        } else {
            connect4("me", true)
        };
        let (mut client, desk) = world.client(v5, &connect).await;
        for (topic, code, reason) in [
            ("rooms/r/handoff/dispatch/you", Code::Forbidden, 0x87),
            ("rooms/r/nonsense", Code::Malformed, 0x90),
            ("rooms/r/handoff/dispatch/me", Code::Malformed, 0x99),
            ("rooms/r/handoff/dispatch/me", Code::TooMany, 0x97),
            ("rooms/r/handoff/dispatch/me", Code::Conflict, 0x83),
        ] {
            let reason = if v5 { reason } else { 0 };
            client.send(&publish(v5, topic, 1, 1, b"")).await;
            let (_, publication) = world.asked_to_publish().await;
            let refused = matches!(&publication.route, Route::Refused { from: Some(from), room: Some(_), .. }
                if from.as_str() == "me");
            assert_eq!(refused, !topic.ends_with("dispatch/me"));
            desk.responses.send(published(1, Err(code))).unwrap();
            assert_eq!(
                client.recv().await,
                Got::Ack(0x40, 1, reason),
                "{topic} {code:?}"
            );

            client.send(&publish(v5, topic, 2, 7, b"")).await;
            world.asked_to_publish().await;
            desk.responses.send(published(7, Err(code))).unwrap();
            assert_eq!(client.recv().await, Got::Ack(0x50, 7, reason));
            if !v5 {
                // It has not learnt of the refusal and goes on; the desk need not know.
                client.send(&packet(0x62, &[&[0, 7]])).await;
                assert_eq!(client.recv().await, Got::Ack(0x70, 7, 0));
            }
        }
    }
}

#[tokio::test]
async fn exactly_once_at_the_desk_is_answered_once_per_step() {
    let mut world = World::new();
    let (mut client, desk) = world.client(true, &connect5("me", 60, &[])).await;
    // A durable session's QoS 2 is the desk's, whoever listens: the id must outlive the connection.
    let first = publish(true, "plain", 2, 4, b"x");
    client.send(&first).await;
    assert_eq!(world.asked_to_publish().await.0, Some(4));
    client.send(&first).await;
    client.silent().await;
    desk.responses.send(published(4, Ok(()))).unwrap();
    assert_eq!(client.recv().await, Got::Ack(0x50, 4, 0));
    client.send(&first).await;
    assert_eq!(client.recv().await, Got::Ack(0x50, 4, 0));
    client.send(&packet(0x62, &[&[0, 4]])).await;
    assert!(matches!(
        world.asked().await,
        Request::Release { packet_id: 4, .. }
    ));
    client.send(&packet(0x62, &[&[0, 4]])).await;
    client.silent().await;
    desk.responses
        .send(Response::Released { packet_id: 4 })
        .unwrap();
    assert_eq!(client.recv().await, Got::Ack(0x70, 4, 0));
    assert_eq!(
        world
            .metrics
            .publishes_received
            .of(Qos::ExactlyOnce)
            .value(),
        3
    );
}

#[tokio::test]
async fn commands_carry_their_mqtt_5_mirrors() {
    let mut world = World::new();
    let (mut client, _desk) = world.client5("me").await;
    let properties = |reply: &str| {
        let mut block = vec![0x08];
        block.extend(text(reply));
        block.extend([0x09, 0, 2, b'c', b'1', 0x02, 0, 0, 0, 9]);
        block
    };
    for (reply, expected) in [
        ("rooms/r/reply/me/x/y", Some("x/y")),
        ("rooms/r/reply/me", None),
        ("rooms/r/reply/you/x", None),
        ("rooms/q/reply/me/x", None),
        ("elsewhere", None),
    ] {
        let topic = "rooms/r/presence/announce/me";
        client
            .send(&publish_with(
                true,
                0x30,
                topic,
                0,
                &properties(reply),
                b"{}",
            ))
            .await;
        let (_, publication) = world.asked_to_publish().await;
        let Route::Engine { from, mirrors, .. } = publication.route else {
            panic!()
        };
        assert_eq!(from.as_str(), "me");
        assert_eq!(mirrors.correlation_id.as_deref(), Some("c1"));
        assert_eq!(mirrors.ttl_ms, Some(9_000));
        assert_eq!(
            mirrors.reply_rest.as_ref().map(|rest| rest.as_str()),
            expected,
            "{reply}"
        );
        assert!(publication.message.expires_at() > 0);
    }
}

#[tokio::test]
async fn properties_travel_unchanged_and_in_order() {
    let mut world = World::new();
    let (mut hearer, desk) = world.client5("hearer").await;
    world.subscribe(&mut hearer, &desk, "a", 0).await;
    let (mut client, _desk) = world.client5("me").await;
    let user = |key: &str| [&[0x26][..], &text(key), &text("v")].concat();
    let block = [user("z"), vec![0x01, 1], vec![0x02, 0, 0, 1, 0], user("a")].concat();
    client
        .send(&publish_with(true, 0x30, "a", 0, &block, b"hi"))
        .await;
    let got = hearer.recv().await.delivered();
    let shown: Vec<String> = got
        .properties
        .iter()
        .map(|p| p.id().as_str().to_owned())
        .collect();
    let expected = [
        "user_property",
        "payload_format_indicator",
        "user_property",
        "message_expiry_interval",
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn topics_for_the_broker_alone_are_refused() {
    let mut world = World::new();
    let (mut client, _desk) = world.client5("me").await;
    client
        .send(&publish(true, "$SYS/broker/uptime", 0, 0, b""))
        .await;
    client
        .send(&publish(true, "$SYS/broker/uptime", 1, 1, b""))
        .await;
    client.send(&publish(true, "$share/g/x", 2, 2, b"")).await;
    assert_eq!(client.recv().await, Got::Ack(0x40, 1, 0x87));
    assert_eq!(client.recv().await, Got::Ack(0x50, 2, 0x87));
    assert_eq!(world.metrics.refused_dollar.value(), 3);
    let (mut client, _desk) = world.client4("me").await;
    client.send(&publish(false, "$SYS/x", 1, 1, b"")).await;
    assert_eq!(client.recv().await, Got::Ack(0x40, 1, 0));
    client.silent().await;
    assert!(world.saw.try_recv().is_err());
}

#[tokio::test]
async fn topic_aliases_are_remembered_and_checked() {
    let mut world = World::new();
    let (mut client, _desk) = world.client5("me").await;
    client
        .send(&publish_with(
            true,
            0x30,
            "long/name",
            0,
            &[0x23, 0, 16],
            b"",
        ))
        .await;
    client
        .send(&publish_with(true, 0x30, "", 0, &[0x23, 0, 16], b""))
        .await;
    for _ in 0..2 {
        assert_eq!(
            world.seen().await,
            Seen::Published("long/name".into(), false)
        );
    }
    for (topic, alias, reason) in [("a", 17, 0x94), ("a", 0, 0x94), ("", 3, 0x82)] {
        let (mut client, _desk) = world.client5("me").await;
        client
            .send(&publish_with(true, 0x30, topic, 0, &[0x23, 0, alias], b""))
            .await;
        assert_eq!(client.recv().await, Got::Disconnect(reason));
        world.asked().await;
    }
}

fn two_at_once() -> MqttConfig {
    MqttConfig {
        receive_maximum: 2,
        ..MqttConfig::default()
    }
}

#[tokio::test]
async fn mqtt_5_clients_that_exceed_receive_maximum_are_closed() {
    let mut world = World::with(two_at_once());
    let (mut client, _desk) = world.client5("me").await;
    for id in 1..=3 {
        client.send(&publish(true, "kept/a", 1, id, b"")).await;
    }
    assert_eq!(client.recv().await, Got::Disconnect(0x93));
}

#[tokio::test]
async fn older_clients_are_left_unread_instead() {
    let mut world = World::with(two_at_once());
    let (mut client, desk) = world.client4("me").await;
    for id in 1..=3 {
        client.send(&publish(false, "kept/a", 1, id, b"")).await;
    }
    client.send(&[0xC0, 0]).await;
    assert_eq!(world.asked_to_publish().await.0, Some(1));
    assert_eq!(world.asked_to_publish().await.0, Some(2));
    assert!(world.desk.try_recv().is_err());
    desk.responses.send(published(1, Ok(()))).unwrap();
    assert_eq!(client.recv().await, Got::Ack(0x40, 1, 0));
    assert_eq!(world.asked_to_publish().await.0, Some(3));
    // What comes behind is read once there is room again.
    desk.responses.send(published(2, Ok(()))).unwrap();
    assert_eq!(client.recv().await, Got::Ack(0x40, 2, 0));
    assert_eq!(client.recv().await, Got::Pingresp);
}

#[tokio::test]
async fn a_busy_desk_slows_the_client_and_loses_nothing() {
    let mut world = World::new();
    let (mut client, desk) = world.client4("me").await;
    // Far more than the desk's channel and the session hold together.
    let flood: Vec<u8> = (1..=2_000u16)
        .flat_map(|id| publish(false, "kept/a", 0, id, b""))
        .collect();
    let sending = async {
        client.send(&flood).await;
        client
    };
    let taking = async {
        // Responses get through while requests wait.
        desk.responses
            .send(delivery(0, None, 0, message("t", 0, b"through")))
            .unwrap();
        for _ in 0..2_000 {
            world.asked_to_publish().await;
        }
    };
    let (mut client, ()) = tokio::join!(sending, taking);
    assert_eq!(client.recv().await.delivered().payload, b"through");
    client.silent().await;
}

#[tokio::test]
async fn a_held_up_live_plane_stops_reading_but_not_delivering() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    world.plane.hold(true);
    client.send(&publish(true, "a", 1, 1, b"")).await;
    assert_eq!(client.recv().await, Got::Ack(0x40, 1, 0));
    client.send(&[0xC0, 0]).await;
    desk.responses
        .send(delivery(0, None, 0, message("t", 0, b"still")))
        .unwrap();
    assert_eq!(client.recv().await.delivered().payload, b"still");
    world.plane.hold(false);
    assert_eq!(client.recv().await, Got::Pingresp);
}

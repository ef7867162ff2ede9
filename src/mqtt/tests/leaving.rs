//! How connections end, and what becomes of wills and sessions.

use mqtt_protocol_core::mqtt::packet::v5_0;

use super::harness::*;
use crate::desk::port::{CloseReason, Request, Response};

async fn closed(world: &mut World) -> (bool, Option<u32>) {
    match world.asked().await {
        Request::Close {
            publish_will,
            expiry,
            ..
        } => (publish_will, expiry),
        other => panic!("expected Close, came {other:?}"),
    }
}

#[tokio::test]
async fn disconnect_says_whether_the_will_is_meant() {
    let mut world = World::new();
    for (disconnect, publish_will) in [
        (&[0xE0, 0][..], false),
        (&[0xE0, 1, 0], false),
        (&[0xE0, 1, 4], true),
    ] {
        let (mut client, _desk) = world.client5("me").await;
        client.send(disconnect).await;
        assert_eq!(closed(&mut world).await, (publish_will, None));
        assert_eq!(client.recv().await, Got::Closed);
    }
    let (mut client, _desk) = world.client4("me").await;
    client.send(&[0xE0, 0]).await;
    assert_eq!(closed(&mut world).await, (false, None));
}

#[tokio::test]
async fn a_connection_that_breaks_publishes_the_will() {
    let mut world = World::new();
    let (client, _desk) = world.client4("me").await;
    client.gone().await;
    assert_eq!(closed(&mut world).await, (true, None));
    assert_eq!(world.metrics.connections_open.value(), 0);
}

#[tokio::test]
async fn the_expiry_can_be_changed_but_not_from_none() {
    use mqtt_protocol_core::mqtt::packet::SessionExpiryInterval;
    use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;
    let leave = v5_0::Disconnect::builder()
        .reason_code(DisconnectReasonCode::NormalDisconnection)
        .props(vec![SessionExpiryInterval::new(7).unwrap().into()])
        .build()
        .unwrap()
        .to_continuous_buffer();
    let mut world = World::new();
    let (mut client, _desk) = world.client(true, &connect5("me", 60, &[])).await;
    client.send(&leave).await;
    assert_eq!(closed(&mut world).await, (false, Some(7)));
    let (mut client, _desk) = world.client5("me").await;
    client.send(&leave).await;
    assert_eq!(client.recv().await, Got::Disconnect(0x82));
    assert_eq!(closed(&mut world).await, (true, None));
}

#[tokio::test]
async fn a_resumed_session_is_not_extended_by_a_connection_that_gave_it_no_time() {
    use mqtt_protocol_core::mqtt::packet::SessionExpiryInterval;
    let leave = v5_0::Disconnect::builder()
        .reason_code(
            mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode::NormalDisconnection,
        )
        .props(vec![SessionExpiryInterval::new(7).unwrap().into()])
        .build()
        .unwrap()
        .to_continuous_buffer();
    let mut world = World::new();
    let mut client = world.dial();
    client.send(&connect5("me", 0, &[])).await;
    let open = world.asked_to_open().await;
    let resumed = Response::Opened {
        session_present: true,
        durable: true,
        subscriptions: Vec::new(),
        unreleased: Vec::new(),
    };
    open.connection.responses.send(resumed).unwrap();
    let got = client.recv().await;
    assert!(matches!(got, Got::Connack { present: true, .. }), "{got:?}");
    client.send(&leave).await;
    assert_eq!(client.recv().await, Got::Disconnect(0x82));
    assert_eq!(closed(&mut world).await, (true, None));
}

#[tokio::test]
async fn what_was_published_before_leaving_still_goes_out() {
    let mut world = World::new();
    let (mut client, _desk) = world.client5("me").await;
    let last = [
        publish(true, "b", 0, 0, b"1"),
        publish(true, "kept/a", 0, 0, b"2"),
        publish(true, "kept/a", 0, 0, b"3"),
        vec![0xE0, 0],
    ];
    client.send(&last.concat()).await;
    assert_eq!(world.seen().await, Seen::Published("b".into(), false));
    assert_eq!(world.asked_to_publish().await.1.message.topic(), "kept/a");
    assert_eq!(world.asked_to_publish().await.1.message.topic(), "kept/a");
    assert_eq!(closed(&mut world).await, (false, None));
}

#[tokio::test]
async fn the_desk_closes_with_a_reason() {
    let mut world = World::new();
    for (reason, code) in [
        (CloseReason::TakenOver, 0x8E),
        (CloseReason::ShuttingDown, 0x8B),
        (CloseReason::QuotaExceeded, 0x97),
    ] {
        let (mut client, desk) = world.client5("me").await;
        desk.responses.send(Response::Close(reason)).unwrap();
        assert_eq!(client.recv().await, Got::Disconnect(code));
        assert_eq!(client.recv().await, Got::Closed);
        assert_eq!(closed(&mut world).await, (true, None));
        let (mut client, desk) = world.client4("me").await;
        desk.responses.send(Response::Close(reason)).unwrap();
        assert_eq!(client.recv().await, Got::Closed);
        assert_eq!(closed(&mut world).await, (true, None));
    }
}

#[tokio::test]
async fn a_desk_that_is_gone_closes_every_connection() {
    let mut world = World::new();
    let (mut client, desk) = world.client5("me").await;
    drop(desk);
    assert_eq!(client.recv().await, Got::Disconnect(0x8B));
}

#[tokio::test]
async fn silence_ends_a_connection_at_one_and_a_half_times_its_keep_alive() {
    let mut world = World::new();
    let connect = v5_0::Connect::builder()
        .client_id("me")
        .unwrap()
        .clean_start(true);
    let connect = connect
        .keep_alive(1)
        .build()
        .unwrap()
        .to_continuous_buffer();
    let (mut client, _desk) = world.client(true, &connect).await;
    assert_eq!(client.recv().await, Got::Disconnect(0x8D));
    assert_eq!(closed(&mut world).await, (true, None));
}

#[tokio::test]
async fn an_idle_connection_holds_little() {
    let world = World::new();
    let (near, far) = tokio::io::duplex(64);
    let task = std::sync::Arc::clone(&world.door).serve_stream(
        far,
        crate::mqtt::Peer::default(),
        world.stop.subscribe(),
    );
    let size = size_of_val(&task);
    let running = size_of::<crate::mqtt::connection::Running<FakePlane, tokio::net::TcpStream>>();
    assert!(size < 2 * 1024, "the task is {size} bytes");
    assert!(running < 1536, "what it works on is {running} bytes");
    drop(near);
    let socket = future_size(crate::mqtt::ServerContext::<FakePlane>::serve_socket);
    assert!(socket < 2 * 1024, "the task of a socket is {socket} bytes");
}

/// The size of what a function of three arguments returns.
fn future_size<A, B, C, R>(_: impl FnOnce(A, B, C) -> R) -> usize {
    size_of::<R>()
}

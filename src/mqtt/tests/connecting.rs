//! CONNECT: who is let in, and what CONNACK says.

use std::net::Ipv4Addr;

use mqtt_protocol_core::mqtt::packet::{
    AuthenticationMethod, MessageExpiryInterval, Property, Qos as WireQos, ReceiveMaximum,
    WillDelayInterval, v3_1_1, v5_0,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::harness::*;
use crate::desk::port::{CloseReason, Request, Response, Route};
use crate::mqtt::{Listener, MqttConfig, Transport, serve};
use crate::setting::{ms, seconds};

fn refused(code: u8) -> Got {
    Got::Connack {
        present: false,
        code,
        properties: Vec::new(),
    }
}

/// Takes the Reason String off a refusal of MQTT 5, which must have one and nothing else.
fn without_words(got: Got) -> Got {
    match got {
        Got::Connack {
            present,
            code: code @ 0x80..,
            properties,
        } => {
            assert!(matches!(properties[..], [Property::ReasonString(_)]));
            Got::Connack {
                present,
                code,
                properties: Vec::new(),
            }
        }
        other => other,
    }
}

async fn answer(v5: bool, connect: &[u8]) -> Got {
    let world = World::new();
    let mut client = world.dial();
    client.v5 = v5;
    client.send(connect).await;
    let got = client.recv().await;
    if got != Got::Closed {
        assert_eq!(client.recv().await, Got::Closed);
    }
    without_words(got)
}

#[tokio::test]
async fn both_versions_are_let_in_on_one_port() {
    let mut world = World::with(MqttConfig {
        max_session_expiry: seconds(u32::MAX.into()),
        ..MqttConfig::default()
    });
    for (connect, expiry) in [
        (connect4("old", true), 0),
        (connect4("old", false), u32::MAX),
    ] {
        let mut client = world.dial();
        client.v5 = false;
        client.send(&connect).await;
        let open = world.opened().await;
        assert_eq!(
            (&*open.client_id, open.expiry, open.clean_start),
            ("old", expiry, expiry == 0)
        );
        assert_eq!(open.window, 256);
        assert_eq!(client.recv().await, refused(0));
    }
    let mut client = world.dial();
    client
        .send(&connect5(
            "new",
            60,
            &[ReceiveMaximum::new(7).unwrap().into()],
        ))
        .await;
    let open = world.opened().await;
    assert_eq!((&*open.client_id, open.expiry, open.window), ("new", 60, 7));
    let Got::Connack {
        code: 0,
        properties,
        ..
    } = client.recv().await
    else {
        panic!()
    };
    assert!(
        properties
            .iter()
            .any(|p| matches!(p, Property::ReceiveMaximum(v) if v.val() == 1024))
    );
    assert!(
        properties
            .iter()
            .any(|p| matches!(p, Property::MaximumPacketSize(v) if v.val() == 1 << 20))
    );
    assert!(
        properties
            .iter()
            .any(|p| matches!(p, Property::TopicAliasMaximum(v) if v.val() == 16))
    );
    assert_eq!(properties.len(), 3);
}

#[tokio::test]
async fn what_is_granted_differently_is_said() {
    let mut world = World::with(MqttConfig {
        max_session_expiry: seconds(100),
        max_keep_alive: seconds(30),
        ..MqttConfig::default()
    });
    let mut client = world.dial();
    client.send(&connect5("", 1000, &[])).await;
    let open = world.opened().await;
    assert_eq!(open.expiry, 100);
    let Got::Connack { properties, .. } = client.recv().await else {
        panic!()
    };
    assert!(
        properties
            .iter()
            .any(|p| matches!(p, Property::SessionExpiryInterval(v) if v.val() == 100))
    );
    assert!(
        properties
            .iter()
            .any(|p| matches!(p, Property::ServerKeepAlive(v) if v.val() == 30))
    );
    assert!(properties.iter().any(
        |p| matches!(p, Property::AssignedClientIdentifier(v) if v.val() == &*open.client_id)
    ));
    assert_eq!(open.client_id.len(), 26);
}

#[tokio::test]
async fn ids_that_cannot_be_are_refused() {
    assert_eq!(answer(false, &connect4("", false)).await, refused(2));
    assert_eq!(answer(false, &connect4("gateway", true)).await, refused(2));
    assert_eq!(
        answer(true, &connect5("gateway", 0, &[])).await,
        refused(0x85)
    );
}

#[tokio::test]
async fn other_versions_are_told_so() {
    let level = |level| packet(0x10, &[b"\0\x04MQTT", &[level, 2, 0, 0, 0, 1, b'a']]);
    let old = packet(0x10, &[b"\0\x06MQIsdp", &[3, 2, 0, 0, 0, 1, b'a']]);
    assert_eq!(answer(false, &old).await, refused(1));
    assert_eq!(answer(false, &level(3)).await, refused(1));
    assert_eq!(answer(false, &level(0x84)).await, refused(1));
    assert_eq!(answer(true, &level(6)).await, refused(0x84));
    let other = packet(0x10, &[b"\0\x04HTTP", &[4, 2, 0, 0, 0, 1, b'a']]);
    assert_eq!(answer(false, &other).await, Got::Closed);
}

#[tokio::test]
async fn enhanced_authentication_is_not_there() {
    let method = AuthenticationMethod::new("x").unwrap().into();
    assert_eq!(
        answer(true, &connect5("a", 0, &[method])).await,
        refused(0x8C)
    );
}

#[tokio::test]
async fn flags_that_contradict_each_other_are_malformed() {
    for flags in [0x03, 0x1E, 0x22, 0x0A] {
        let old = packet(0x10, &[b"\0\x04MQTT", &[4, flags, 0, 0, 0, 1, b'a']]);
        assert_eq!(answer(false, &old).await, Got::Closed);
        let new = packet(0x10, &[b"\0\x04MQTT", &[5, flags, 0, 0, 0, 0, 1, b'a']]);
        assert_eq!(answer(true, &new).await, refused(0x81));
    }
}

#[tokio::test]
async fn wills_are_judged_as_publishes_are() {
    let will4 = |topic: &str| {
        let builder = v3_1_1::Connect::builder().client_id("me").unwrap();
        let builder = builder.clean_session(true);
        let builder = builder
            .will_message(topic, "bye", WireQos::AtLeastOnce, true)
            .unwrap();
        builder.build().unwrap().to_continuous_buffer()
    };
    let will5 = |topic: &str| {
        let builder = v5_0::Connect::builder().client_id("me").unwrap();
        let builder = builder.clean_start(true);
        let builder = builder
            .will_message(topic, "bye", WireQos::AtLeastOnce, false)
            .unwrap();
        let properties: Vec<Property> = vec![
            WillDelayInterval::new(9).unwrap().into(),
            MessageExpiryInterval::new(5).unwrap().into(),
        ];
        builder
            .will_props(properties)
            .build()
            .unwrap()
            .to_continuous_buffer()
    };
    for topic in [
        "rooms/r/handoff/dispatch/you",
        "rooms/r/blackboard/state/k",
        "$SYS/x",
    ] {
        assert_eq!(answer(false, &will4(topic)).await, refused(5), "{topic}");
        assert_eq!(answer(true, &will5(topic)).await, refused(0x87), "{topic}");
    }
    assert_eq!(answer(true, &will5("a/#")).await, refused(0x90));

    let mut world = World::new();
    let mut client = world.dial();
    client.send(&will5("last/words")).await;
    let open = world.opened().await;
    assert_eq!((open.will_delay, open.will_expiry), (9, Some(5)));
    let will = open.will.unwrap();
    assert_eq!(
        (will.message.topic(), &will.message.payload()[..]),
        ("last/words", &b"bye"[..])
    );
    assert_eq!(will.message.expires_at(), 0);
    assert!(matches!(will.route, Route::Subscribers));
    client.send(&[0xC0, 0]).await;
    let mut client = world.dial();
    client.send(&will5("rooms/r/presence/announce/me")).await;
    assert!(matches!(
        world.opened().await.will.unwrap().route,
        Route::Engine { .. }
    ));
}

#[tokio::test]
async fn a_session_goes_on_where_it_stopped() {
    let mut world = World::new();
    let mut client = world.dial();
    client.send(&connect5("me", 60, &[])).await;
    let open = world.asked_to_open().await;
    let desk = open.connection;
    let opened = Response::Opened {
        session_present: true,
        durable: true,
        subscriptions: vec![subscription("news/+", 1), subscription("$share/g/jobs", 1)],
        unreleased: vec![5],
    };
    desk.responses.send(opened).unwrap();
    desk.responses
        .send(Response::Release {
            seq: 3,
            packet_id: Some(8),
        })
        .unwrap();
    assert_eq!(world.seen().await, Seen::Subscribed("news/+".into()));
    assert!(matches!(
        client.recv().await,
        Got::Connack {
            present: true,
            code: 0,
            ..
        }
    ));
    assert_eq!(client.recv().await, Got::Ack(0x62, 8, 0));
    client.send(&packet(0x70, &[&[0, 8]])).await;
    assert!(matches!(
        world.asked().await,
        Request::Acknowledge { seq: 3, .. }
    ));
    world.plane.send(&message("news/a", 0, b"live"));
    assert_eq!(client.recv().await.delivered().payload, b"live");
    // The id that was taken before is known still: a repeat is answered and goes nowhere.
    client
        .send(&publish_with(true, 0x3C, "kept/x", 5, &[], b""))
        .await;
    assert_eq!(client.recv().await, Got::Ack(0x50, 5, 0));
    client.send(&packet(0x62, &[&[0, 5]])).await;
    assert!(matches!(
        world.asked().await,
        Request::Release { packet_id: 5, .. }
    ));
    desk.responses
        .send(Response::Released { packet_id: 5 })
        .unwrap();
    assert_eq!(client.recv().await, Got::Ack(0x70, 5, 0));
}

#[tokio::test]
async fn a_desk_that_declines_is_heard() {
    let mut world = World::new();
    let mut client = world.dial();
    client.send(&connect5("me", 0, &[])).await;
    let open = world.asked_to_open().await;
    open.connection
        .responses
        .send(Response::Close(CloseReason::ShuttingDown))
        .unwrap();
    assert_eq!(without_words(client.recv().await), refused(0x88));
    assert!(matches!(
        world.asked().await,
        Request::Close {
            publish_will: false,
            ..
        }
    ));
}

#[tokio::test]
async fn packets_sent_before_connack_wait_for_it() {
    let mut world = World::new();
    let mut client = world.dial();
    client
        .send(&[connect5("me", 0, &[]), publish(true, "a", 1, 1, b"x")].concat())
        .await;
    world.opened().await;
    assert!(matches!(client.recv().await, Got::Connack { code: 0, .. }));
    assert_eq!(client.recv().await, Got::Ack(0x40, 1, 0));
}

#[tokio::test]
async fn strangers_who_say_nothing_are_closed_at_the_deadline() {
    let world = World::with(MqttConfig {
        connect_timeout: ms(20),
        ..MqttConfig::default()
    });
    let mut quiet = world.dial();
    assert_eq!(quiet.recv().await, Got::Closed);
    let mut halfway = world.dial();
    halfway.send(&connect5("me", 0, &[])[..9]).await;
    assert_eq!(halfway.recv().await, Got::Closed);
}

#[tokio::test]
async fn strangers_cannot_make_us_hold_much() {
    let world = World::new();
    for first in [
        &[0x30, 3, 0, 1, b'a'][..],
        &[0xC0, 0],
        &[0x10, 0xff, 0xff, 0xff, 0x7f],
        &[0x10, 0x81, 0x80, 0x80, 0x80, 0x01],
        &[0x10, 0x80, 0x80, 0x08],
        b"GET / HTTP/1.1\r\n",
        &[0x11, 12],
    ] {
        let mut client = world.dial();
        client.send(first).await;
        assert_eq!(client.recv().await, Got::Closed, "{first:?}");
    }
}

#[tokio::test]
async fn the_listener_bounds_connections_and_stops_with_a_word() {
    let mut world = World::with(MqttConfig {
        max_connections: 1,
        ..MqttConfig::default()
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve(
        world.door.clone(),
        vec![Listener {
            socket: listener,
            transport: Transport::default(),
        }],
        world.stop.subscribe(),
    ));
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(&connect5("me", 0, &[])).await.unwrap();
    world.opened().await;
    let mut connack = [0; 2];
    within(first.read_exact(&mut connack)).await.unwrap();
    assert_eq!(connack[0], 0x20);

    let mut second = TcpStream::connect(address).await.unwrap();
    let refused = within(second.read(&mut [0; 8])).await;
    assert!(matches!(refused, Ok(0) | Err(_)), "{refused:?}");
    assert_eq!(world.metrics.connections_refused.too_many.value(), 1);

    world.stop.send_replace(true);
    let mut rest = Vec::new();
    within(first.read_to_end(&mut rest)).await.unwrap();
    let disconnect = |bytes: &[u8]| bytes[0] == 0xE0 && bytes[2] == 0x8B;
    assert!(rest.windows(3).any(disconnect), "{rest:?}");
    drop(first);
    assert!(matches!(world.asked().await, Request::Close { .. }));
    within(serving).await.unwrap();
    assert_eq!(world.metrics.connections_open.value(), 0);
}

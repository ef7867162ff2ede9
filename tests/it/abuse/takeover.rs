//! One client id, many connections; and connections that nobody is at the other end of.

use std::time::{Duration, Instant};

use super::bystander::Bystander;
use super::{MIB, grown};
use crate::harness::{
    Client, Connect, Gateway, Lost, Packet, Properties, Publish, Setup, Value, Version, property,
};

const STORM: usize = 500;

/// CONNECT, SUBSCRIBE, PUBLISH and UNSUBSCRIBE in one breath; nobody waits for any answer.
fn rush(gateway: &Gateway, version: Version, n: usize) -> Client {
    let mut client = Client::open(gateway.mqtt, version)
        .expect("accepted")
        .by_hand();
    let packets = [
        Packet::Connect(Connect::new(version, "contested").persistent()),
        Packet::Subscribe {
            packet_id: 1,
            filters: vec![
                ("storm/#".into(), 1),
                (format!("storm/{n}"), 2),
                ("$share/g/storm".into(), 1),
            ],
            properties: Properties::new(),
        },
        Packet::Publish(Publish {
            packet_id: Some(2),
            ..Publish::new("storm/all", n.to_string(), 1)
        }),
        Packet::Unsubscribe {
            packet_id: 3,
            filters: vec![format!("storm/{n}"), "$share/g/storm".into()],
        },
    ];
    for packet in packets {
        // It may be taken over already.
        if client.try_send(&packet).is_err() {
            break;
        }
    }
    client
}

#[test]
fn takeover_storm_leaves_one_connection_and_its_session_whole() {
    for version in [Version::V5, Version::V311] {
        let gateway = Gateway::start();
        let mut bystander = Bystander::at(&gateway);
        let mut first = Client::connect(
            gateway.mqtt,
            Connect::new(version, "contested").persistent(),
        );
        first.subscribe(&[("kept/one", 1), ("kept/two", 2), ("$share/g/kept", 1)]);
        let mut crowd = vec![first];
        for n in 0..STORM {
            crowd.push(rush(&gateway, version, n));
            if n % 50 == 0 {
                bystander.is_served();
            }
        }
        // Once each was let in, refused or closed, no further one can come before the last.
        for client in &mut crowd[1..] {
            match client.receive() {
                Ok(Packet::ConnAck { code, .. }) => assert!([0, 3, 0x88].contains(&code)),
                Err(Lost::Closed) => {}
                other => panic!("CONNACK expected: {other:?}"),
            }
        }
        let mut last = Client::connect(
            gateway.mqtt,
            Connect::new(version, "contested").persistent(),
        );
        assert!(last.session_present);
        for mut client in crowd {
            loop {
                match client.receive() {
                    Ok(Packet::Disconnect { code, .. }) => assert_eq!(code, 0x8E),
                    Ok(_) => {}
                    Err(Lost::Closed) => break,
                    Err(Lost::Late) => panic!("it should have given way"),
                }
            }
        }
        // Every subscription from before the storm stands, once.
        let mut ann = Client::connect(gateway.mqtt, Connect::v5("ann"));
        for (topic, qos) in [("kept/one", 1), ("kept/two", 2), ("kept", 1)] {
            assert_eq!(ann.publish(Publish::new(topic, "after", qos)), 0);
            let message = last.message_on(topic);
            assert_eq!((message.text(), message.qos), ("after", qos));
        }
        ann.publish(Publish::new("storm/all", "end", 1));
        while last.message_on("storm/all").text() != "end" {}
        last.ping();
        let extra = last.take_kept(|packet| match packet {
            Packet::Publish(publish) if publish.topic.starts_with("kept") => Some(publish.clone()),
            _ => None,
        });
        assert_eq!(extra, None, "nothing comes twice");
        let connected = gateway.metric("hallward_sessions_connected");
        assert_eq!(connected, 3, "the last one, ann and the bystander");
        bystander.is_served();
    }
}

#[test]
fn connections_and_sessions_that_come_and_go_leave_no_memory_behind() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut before = 0;
    for round in 0..3_000 {
        let mut connect = Connect::v5("visitor").with_will("wills/visitor", "gone", 1, false);
        connect.properties = connect.properties.four(property::SESSION_EXPIRY, 86_400);
        let will = connect.will.as_mut().expect("just set");
        will.properties = Properties::new().with(0x18, Value::Four(3_600));
        Client::connect(gateway.mqtt, connect).vanish();
        if round == 1_000 {
            before = gateway.resident();
        }
    }
    let held = grown(&gateway, before);
    assert!(held < 8 * MIB, "{held} bytes");
    bystander.is_served();
}

#[test]
fn half_open_connections_end_at_one_and_a_half_keep_alives_and_leave_their_wills() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut heirs = Client::connect(gateway.mqtt, Connect::v5("heirs"));
    heirs.subscribe(&[("wills/+", 1)]);
    let begun = Instant::now();
    let silent: Vec<Client> = (0..20)
        .map(|n| {
            let version = if n % 2 == 0 {
                Version::V5
            } else {
                Version::V311
            };
            let topic = format!("wills/{n}");
            let mut connect =
                Connect::new(version, &format!("silent-{n}")).with_will(&topic, "dead", 1, false);
            connect.keep_alive = 1;
            Client::connect(gateway.mqtt, connect)
        })
        .collect();
    for _ in &silent {
        assert_eq!(heirs.message().text(), "dead");
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(1_500),
        "not before"
    );
    for mut client in silent {
        if client.version == Version::V5 {
            assert_eq!(client.expect_disconnect(), 0x8D);
        }
        client.expect_closed();
    }
    bystander.is_served();
}

#[test]
fn keep_alives_beyond_the_limit_are_lowered_and_enforced() {
    let gateway = Setup::new().with("mqtt.max_keep_alive", "1s").start();
    for asked in [0, u16::MAX] {
        let mut connect = Connect::v5("silent");
        connect.keep_alive = asked;
        let mut client = Client::connect(gateway.mqtt, connect);
        assert_eq!(client.granted.find(0x13), Some(&Value::Two(1)));
        assert_eq!(client.expect_disconnect(), 0x8D);
    }
}

/// DISCONNECT on one socket and CONNECT on the next, before the gateway can have read either.
#[test]
fn who_leaves_and_comes_back_in_one_breath_has_left() {
    let gateway = Gateway::start();
    let lasting = || {
        let mut connect = Connect::v5("hasty").persistent();
        connect.properties = Properties::new().four(property::SESSION_EXPIRY, 300);
        connect
    };
    let leave = |client: &mut Client, expiry| {
        client.send(&Packet::Disconnect {
            code: 0,
            properties: Properties::new().four(property::SESSION_EXPIRY, expiry),
        });
    };
    // Kept open, so that nothing but the DISCONNECT says that they are gone.
    let mut left = Vec::new();
    for _ in 0..40 {
        let mut client = Client::connect(gateway.mqtt, lasting());
        assert!(!client.session_present);
        leave(&mut client, 0);
        left.push(client);
    }
    let mut heir = Client::connect(gateway.mqtt, Connect::v5("heir"));
    heir.subscribe(&[("last/words", 1)]);
    left.push(Client::connect(gateway.mqtt, lasting()));
    for n in 0..40 {
        let mut client = Client::connect(gateway.mqtt, lasting());
        assert!(client.session_present);
        client.send(&Packet::Publish(Publish {
            packet_id: Some(1),
            ..Publish::new("last/words", n.to_string(), 1)
        }));
        leave(&mut client, 300);
        left.push(client);
    }
    assert!(Client::connect(gateway.mqtt, lasting()).session_present);
    for n in 0..40 {
        assert_eq!(heir.message().text(), n.to_string());
    }
}

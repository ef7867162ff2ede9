//! Those who do not take what they asked for: memory capped, others undisturbed.

use super::bystander::Bystander;
use super::{MIB, grown};
use crate::harness::{Client, Connect, Gateway, Packet, Publish, Setup};

#[test]
fn slow_reader_loses_qos_0_and_nobody_else_does() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut reader = Client::connect(gateway.mqtt, Connect::v5("reader"));
    reader.subscribe(&[("flood", 0), ("after", 0)]);
    let mut sender = Client::connect(gateway.mqtt, Connect::v5("sender"));
    let payload = vec![b'x'; 4 * 1024];
    let mut before = 0;
    // 128 MiB to somebody who does not read a byte.
    for round in 0..256 {
        for _ in 0..128 {
            sender.send(&Packet::Publish(Publish::new("flood", payload.clone(), 0)));
        }
        sender.ping();
        if round == 16 {
            before = gateway.resident();
        }
        if round % 32 == 0 {
            bystander.is_served();
        }
    }
    let held = grown(&gateway, before);
    assert!(held < 24 * MIB, "{held} bytes");
    let slow = r#"hallward_mqtt_messages_dropped_total{reason="slow_reader"}"#;
    let lagged = r#"hallward_mqtt_messages_dropped_total{reason="lagged"}"#;
    assert!(
        gateway.metric(slow) + gateway.metric(lagged) > 0,
        "what is dropped is counted"
    );
    // Once it reads, the newest is there.
    sender.publish(Publish::new("after", "the flood", 0));
    assert_eq!(reader.message_on("after").text(), "the flood");
    bystander.is_served();
}

#[test]
fn unread_qos_1_holds_its_publisher_back_and_then_costs_the_subscriber_its_connection() {
    let gateway = Setup::new()
        .with("live.patience", "500ms")
        .with("mqtt.max_pending_messages", "1000")
        .start();
    let mut bystander = Bystander::at(&gateway);
    let mut reader = Client::connect(gateway.mqtt, Connect::v5("reader")).by_hand();
    reader.subscribe(&[("flood", 1)]);
    let mut sender = Client::connect(gateway.mqtt, Connect::v5("sender"));
    let before = gateway.resident();
    // Every one is acknowledged, as soon as nobody has to be waited for any more.
    let payload = vec![b'x'; 1024];
    for round in 0..40 {
        let first = round * 500 + 1;
        for id in first..first + 500 {
            sender.send(&Packet::Publish(Publish {
                packet_id: Some(id),
                ..Publish::new("flood", payload.clone(), 1)
            }));
        }
        for _ in 0..500 {
            sender.expect("PUBACK", |packet| {
                matches!(packet, Packet::PubAck(_)).then_some(())
            });
        }
        bystander.is_served();
    }
    assert_eq!(reader.expect_disconnect(), 0x97);
    let held = grown(&gateway, before);
    assert!(held < 64 * MIB, "{held} bytes");
    bystander.is_served();
}

#[test]
fn persistent_subscriber_that_never_acknowledges_cannot_hold_publishers_up_for_ever() {
    let gateway = Setup::new()
        .with("live.patience", "500ms")
        .with("session.max_queued_messages", "100")
        .start();
    let mut bystander = Bystander::at(&gateway);
    for connect in [
        Connect::v5("mule").persistent(),
        Connect::v311("mule").persistent(),
    ] {
        let v5 = connect.properties.0.len() == 1;
        let mut mule = Client::connect(gateway.mqtt, connect).by_hand();
        mule.subscribe(&[("#", 1)]);
        let mut sender = Client::connect(gateway.mqtt, Connect::v5("sender"));
        for n in 0..300 {
            let code = sender.publish(Publish::new("queue", n.to_string(), 1));
            assert!([0, 0x97].contains(&code), "{n}: {code:#x}");
            if n % 100 == 0 {
                // What alone it does is to stay alive.
                let _ = mule.try_send(&Packet::PingReq);
            }
        }
        if v5 {
            assert_eq!(mule.expect_disconnect(), 0x97);
        }
        mule.expect_closed();
    }
    assert!(gateway.metric("hallward_desk_disconnects_too_slow_total") >= 2);
    bystander.is_served();
}

#[test]
fn slow_writer_keeps_nobody_waiting() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut hearer = Client::connect(gateway.mqtt, Connect::v5("hearer"));
    hearer.subscribe(&[("slow", 1)]);
    let mut writers: Vec<Client> = (0..50)
        .map(|n| Client::connect(gateway.mqtt, Connect::v311(&format!("writer-{n}"))))
        .collect();
    let packet = b"\x32\x0b\x00\x04slow\x00\x01abc";
    for (at, byte) in packet.iter().enumerate() {
        for writer in &mut writers {
            writer.send_raw(&[*byte]);
        }
        if at % 3 == 0 {
            bystander.is_served();
        }
    }
    for writer in &mut writers {
        writer.expect("PUBACK", |packet| {
            matches!(packet, Packet::PubAck(_)).then_some(())
        });
        assert_eq!(hearer.message().text(), "abc");
    }
    bystander.is_served();
}

#[test]
fn packets_announced_large_and_never_sent_cost_what_was_sent() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let before = gateway.resident();
    let mut announcers: Vec<Client> = (0..300)
        .map(|n| Client::connect(gateway.mqtt, Connect::v5(&format!("announcer-{n}"))))
        .collect();
    for announcer in &mut announcers {
        // 1 MiB is announced, a little of it comes.
        announcer.send_raw(&[0x30, 0xf0, 0xff, 0x3f, 0, 1, b'a', 0]);
        announcer.send_raw(&[b'x'; 512]);
    }
    bystander.is_served();
    let held = grown(&gateway, before);
    assert!(held < 24 * MIB, "{held} bytes for {}", announcers.len());
}

#[test]
fn pings_whose_answers_are_not_read_are_left_unread() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut deaf = Client::connect(gateway.mqtt, Connect::v5("deaf"));
    let socket = deaf.socket().expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    let before = gateway.resident();
    let pings = [0xC0, 0].repeat(32 * 1024);
    let mut sent = 0;
    // Until it is not read any more.
    loop {
        match std::io::Write::write(&mut (&socket), &pings) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                bystander.is_served();
                if std::io::Write::write(&mut (&socket), &pings[..2]).is_err() {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 512 << 20, "it is read for ever");
    }
    let held = grown(&gateway, before);
    assert!(held < 16 * MIB, "{held} bytes");
    // Read at last, every one is answered. The last ping may have gone half.
    let mut answered = 0;
    let mut buffer = vec![0; 64 * 1024];
    while answered < sent {
        if sent % 2 == 1 && std::io::Write::write(&mut (&socket), &[0]).is_ok() {
            sent += 1;
        }
        match std::io::Read::read(&mut (&socket), &mut buffer) {
            Ok(0) => panic!("closed after {answered} of {sent} bytes"),
            Ok(count) => answered += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
    socket.set_nonblocking(false).expect("a socket");
    deaf.ping();
    bystander.is_served();
}

//! Maximum Packet Size both ways (MQTT 5 section 3.1.2.11.4), and Reason Strings, which must not
//! make a packet too large.

use std::sync::atomic::{AtomicU32, Ordering};

use super::wire::{Wire, connect, frame, text};
use super::{cut_off, gateway, join, publish, said_at_the_end};
use crate::harness::{
    Client, Connect, Gateway, Packet, Properties, Publish, Setup, Value, Version, property,
};

fn small(id: &str, maximum: u32) -> Connect {
    let mut connect = Connect::v5(id);
    connect.properties = Properties::new().four(property::MAXIMUM_PACKET_SIZE, maximum);
    connect
}

/// 5.0: MQTT-3.1.2-24, MQTT-3.1.2-25.
#[test]
fn mqtt_3_1_2_25_what_is_too_large_for_one_is_dropped_for_that_one_alone() {
    let gateway = gateway();
    let lasting = |id| small(id, 100).persistent();
    for (round, connect) in [small("small-0", 100), lasting("small-1")]
        .into_iter()
        .enumerate()
    {
        let topic = format!("small/{round}");
        let mut limited = Client::connect(gateway.mqtt, connect);
        let mut other = join(&gateway, Version::V5, &format!("large-{round}"));
        for client in [&mut limited, &mut other] {
            client.subscribe(&[(&topic, 2)]);
        }
        let mut sender = join(&gateway, Version::V5, &format!("small-sender-{round}"));
        for qos in 0..3 {
            // 2 bytes of header, topic, packet id, property length.
            let head = 2 + 2 + topic.len() + if qos > 0 { 2 } else { 0 } + 1;
            publish(&mut sender, &topic, &"x".repeat(100 - head), qos);
            publish(&mut sender, &topic, &"x".repeat(101 - head), qos);
            publish(&mut sender, &topic, "next", qos);
            assert_eq!(
                limited.message().payload.len(),
                100 - head,
                "as large as can be"
            );
            assert_eq!(limited.message().text(), "next");
            for expected in [100 - head, 101 - head, 4] {
                assert_eq!(other.message().payload.len(), expected);
            }
        }
        // It counts as sent: there is room in the window, and it does not come again.
        limited.disconnect();
    }
    let mut resumed = Client::connect(gateway.mqtt, Connect::v5("small-1").persistent());
    let mut sender = join(&gateway, Version::V5, "small-sender-1");
    publish(&mut sender, "small/1", "marker", 1);
    resumed.expect_silence_until(|message| message.text() == "marker");
}

/// 5.0: MQTT-3.1.2-25.
#[test]
fn mqtt_3_1_2_25_what_is_too_large_takes_no_place_in_the_window() {
    let gateway = gateway();
    for lasting in [false, true] {
        let topic = format!("no-place-{lasting}");
        let mut connect = small(&topic, 100);
        connect.properties = connect
            .properties
            .with(property::RECEIVE_MAXIMUM, Value::Two(1));
        if lasting {
            connect = connect.persistent();
        }
        let mut client = Client::connect(gateway.mqtt, connect).by_hand();
        client.subscribe(&[(&topic, 2)]);
        let mut sender = join(&gateway, Version::V5, &format!("{topic}-sender"));
        for qos in [1, 2, 1] {
            publish(&mut sender, &topic, &"x".repeat(200), qos);
        }
        publish(&mut sender, &topic, "fits", 1);
        assert_eq!(client.message().text(), "fits");
    }
}

/// 5.0: MQTT-3.1.2-24, MQTT-3.2.2-19.
#[test]
fn mqtt_3_1_2_24_answers_are_not_too_large_either() {
    let gateway = gateway();
    for maximum in 1..40u8 {
        let mut wire = Wire::open(&gateway);
        let properties = [0x27, 0, 0, 0, maximum];
        wire.send(&connect(5, 2, &[&properties], &[&text("tiny")]));
        let filters: Vec<u8> = (0..30)
            .flat_map(|_| [&text("a")[..], &[9]].concat())
            .collect();
        wire.send(&frame(0x82, &[&[0, 1, 0], &filters]));
        wire.send(&frame(0x32, &[&text("$no"), &[0, 1, 0], b"x"]));
        while let Some((first, body)) = wire.packet() {
            assert!(
                body.len() + 2 <= usize::from(maximum),
                "{first:#x} {body:02x?} for {maximum}"
            );
            if first == 0x40 {
                break;
            }
        }
    }
}

/// 5.0: MQTT-3.2.2-15, MQTT-3.14.2-1, MQTT-4.13.1-1.
#[test]
fn mqtt_3_2_2_15_a_packet_that_is_too_large_closes_the_connection() {
    let gateway = Setup::new().with("mqtt.max_packet", "64KiB").start();
    let mut client = join(&gateway, Version::V5, "fits");
    let limit = client.granted.find(property::MAXIMUM_PACKET_SIZE);
    assert_eq!(limit, Some(&Value::Four(65_536)));
    // 4 bytes of fixed header, the topic, no properties.
    let largest = 65_536 - 4 - 6 - 1;
    client.subscribe(&[("fits", 0)]);
    client.publish(Publish::new("fits", vec![0; largest], 0));
    assert_eq!(client.message().payload.len(), largest);
    client.send(&Packet::Publish(Publish::new(
        "fits",
        vec![0; largest + 1],
        0,
    )));
    assert_eq!(said_at_the_end(&mut client), Some(0x95));
    for version in super::BOTH {
        // The header alone tells; nothing needs to follow.
        let said = cut_off(&gateway, version, &[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
        assert_eq!(said, (version == Version::V5).then_some(0x95));
    }
}

const REASON_STRING: u8 = 0x1F;

/// The Reason String of a property block, with its length in front.
fn reason_string(block: &[u8]) -> Option<String> {
    let (&low, mut rest) = block.split_first()?;
    let mut length = usize::from(low & 0x7f);
    if low & 0x80 != 0 {
        let (&high, behind) = rest.split_first()?;
        (length, rest) = (length | usize::from(high) << 7, behind);
    }
    assert_eq!(length, rest.len());
    let (&id, value) = rest.split_first()?;
    assert_eq!(id, REASON_STRING);
    Some(String::from_utf8(value[2..].to_vec()).expect("UTF-8"))
}

/// Every refusal that an acknowledgement can say, as (packet, what begins its answer, where the
/// properties are).
fn refusals() -> Vec<(Vec<u8>, Vec<u8>, usize)> {
    vec![
        (
            frame(0x32, &[&text("$no"), &[0, 1, 0], b"x"]),
            vec![0x40, 0, 1, 0x87],
            3,
        ),
        (
            frame(0x34, &[&text("$no"), &[0, 2, 0], b"x"]),
            vec![0x50, 0, 2, 0x87],
            3,
        ),
        (
            frame(0x32, &[&text("rooms/r/no"), &[0, 3, 0], b"x"]),
            vec![0x40, 0, 3, 0x90],
            3,
        ),
        (frame(0x62, &[&[0, 4]]), vec![0x70, 0, 4, 0x92], 3),
        (frame(0x50, &[&[0, 5]]), vec![0x62, 0, 5, 0x92], 3),
        (
            frame(0x82, &[&[0, 6, 0], &text("a#"), &[0]]),
            vec![0x90, 0, 6],
            2,
        ),
        (frame(0xA2, &[&[0, 7, 0], &text("a#")]), vec![0xB0, 0, 7], 2),
    ]
}

/// The answer of a connection that was let in with these properties.
fn ask(gateway: &Gateway, properties: &[&[u8]], bytes: &[u8]) -> (u8, Vec<u8>) {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let id = format!("asks{}", ASKED.fetch_add(1, Ordering::Relaxed));
    let mut wire = Wire::open(gateway);
    wire.send(&connect(5, 2, properties, &[&text(&id)]));
    wire.expect();
    wire.send(bytes).expect()
}

/// 5.0: MQTT-3.4.2-2, MQTT-3.5.2-2, MQTT-3.6.2-2, MQTT-3.7.2-2, MQTT-3.9.2-1, MQTT-3.11.2-1.
#[test]
fn mqtt_3_4_2_2_acknowledgements_that_refuse_say_why_if_that_fits() {
    let gateway = gateway();
    for (packet, begins, at) in refusals() {
        let (first, body) = ask(&gateway, &[], &packet);
        assert_eq!(
            (first, &body[..begins.len() - 1]),
            (begins[0], &begins[1..])
        );
        let codes = if at == 2 { 1 } else { 0 };
        let words = reason_string(&body[at..body.len() - codes]).expect("a Reason String");
        assert!(!words.is_empty());
        // Without room for the words, the packet is the same without them.
        let tight: u32 = u32::try_from(body.len() + 2 - 1).expect("short");
        let tight = [&[0x27][..], &tight.max(30).to_be_bytes()].concat();
        let (first, shorter) = ask(&gateway, &[&tight], &packet);
        assert_eq!(
            (first, &shorter[..begins.len() - 1]),
            (begins[0], &begins[1..])
        );
        if body.len() + 2 > 30 {
            assert!(shorter.len() < 10, "{shorter:02x?}");
        }
    }
}

/// 5.0: MQTT-3.1.2-29.
#[test]
fn mqtt_3_1_2_29_who_wants_no_problem_information_gets_none() {
    let gateway = gateway();
    for (packet, begins, at) in refusals() {
        let (first, body) = ask(&gateway, &[&[0x17, 0]], &packet);
        assert_eq!(
            (first, &body[..begins.len() - 1]),
            (begins[0], &begins[1..])
        );
        if at == 2 {
            assert_eq!(body[2], 0, "no properties: {body:02x?}");
        } else {
            assert_eq!(body.len(), 3, "{body:02x?}");
        }
    }
    // It may, and does, on CONNACK and DISCONNECT.
    let (first, body) = ask(&gateway, &[&[0x17, 0]], &[0x00, 0x00]);
    assert_eq!(first, 0xE0);
    assert!(reason_string(&body[1..]).is_some());
}

/// 5.0: MQTT-3.14.2-2, MQTT-3.14.2-3, MQTT-3.2.2-19.
#[test]
fn mqtt_3_14_2_3_disconnect_and_a_refusing_connack_say_why_if_that_fits() {
    let gateway = gateway();
    let (first, body) = ask(&gateway, &[], &[0x00, 0x00]);
    assert_eq!(first, 0xE0);
    assert_eq!(body[0], 0x81);
    assert!(reason_string(&body[1..]).is_some_and(|words| !words.is_empty()));
    let (first, body) = ask(&gateway, &[&[0x27, 0, 0, 0, 24]], &[0x00, 0x00]);
    assert_eq!(first, 0xE0);
    assert!(body == [0x81] || body == [0x81, 0], "{body:02x?}");
    for (properties, fits) in [(&[][..], true), (&[0x27, 0, 0, 0, 8], false)] {
        let mut wire = Wire::open(&gateway);
        wire.send(&connect(5, 2, &[properties], &[&text("gateway")]));
        let (first, body) = wire.expect();
        assert_eq!((first, &body[..2]), (0x20, &[0, 0x85][..]));
        assert_eq!(reason_string(&body[2..]).is_some(), fits);
        wire.expect_end();
    }
}

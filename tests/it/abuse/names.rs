//! Topics, filters and client ids of every legal and illegal kind, and the name spaces that are not
//! the clients'.

use super::bystander::Bystander;
use super::{read_to_end, stranger};
use crate::harness::{Client, Connect, Gateway, Lost, Packet, Properties, Publish, Version};
use std::io::Write;

/// Sends PUBLISH with this topic, as bytes, and returns what the gateway says before it closes;
/// `None` if it does not.
fn publish_raw(client: &mut Client, topic: &[u8]) -> Option<u8> {
    let v5 = client.version == Version::V5;
    let mut body = u16::try_from(topic.len())
        .expect("fits")
        .to_be_bytes()
        .to_vec();
    body.extend(topic);
    body.extend(if v5 { &[0, b'x'][..] } else { b"x" });
    let mut packet = vec![0x30];
    let mut left = body.len();
    while left > 0x7f {
        packet.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    packet.push(left as u8);
    packet.extend(body);
    client.send_raw(&packet);
    let _ = client.try_send(&Packet::PingReq);
    match client.receive() {
        Ok(Packet::PingResp) => None,
        Ok(Packet::Disconnect { code, .. }) => Some(code),
        Err(Lost::Closed) => Some(0),
        other => panic!("{topic:?}: {other:?}"),
    }
}

#[test]
fn deep_and_bad_topics_close_their_connection_alone() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let deep = "/".repeat(65_400).into_bytes();
    let deep_levels = "a/".repeat(32_000).into_bytes();
    for (topic, code) in [
        (&b""[..], 0x82),
        (b"#", 0x90),
        (b"a/+/b", 0x90),
        (b"a\0b", 0x81),
        (b"\xff\xfe", 0x81),
        (b"\xed\xa0\x80", 0x81),
        (b"\xc0\xaf", 0x81),
        (&deep, 0x90),
        (&deep_levels, 0x90),
    ] {
        let mut new = Client::connect(gateway.mqtt, Connect::v5("eve"));
        assert_eq!(publish_raw(&mut new, topic), Some(code), "{topic:.40?}");
        let mut old = Client::connect(gateway.mqtt, Connect::v311("eve"));
        assert_eq!(publish_raw(&mut old, topic), Some(0), "{topic:.40?}");
    }
    let long = vec![b'x'; 65_535];
    let odd = [
        "é".as_bytes(),
        "\u{FEFF}a".as_bytes(),
        b" ",
        b"//",
        &long,
        "\u{10FFFF}/日本".as_bytes(),
    ];
    let mut eve = Client::connect(gateway.mqtt, Connect::v5("eve"));
    for topic in odd {
        assert_eq!(
            publish_raw(&mut eve, topic),
            None,
            "{topic:.40?} is allowed"
        );
    }
    bystander.is_served();
}

#[test]
fn deep_and_bad_filters_are_refused_one_by_one() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let deep = "+/".repeat(32_000) + "#";
    let slashes = "/".repeat(65_400);
    let filters = [
        "a/#/b",
        "a+",
        "#a",
        "+a/b",
        "a/b#",
        "$share",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/g/a#",
        &deep,
        &slashes,
    ];
    for filter in filters {
        for connect in [Connect::v5("eve"), Connect::v311("eve")] {
            let mut eve = Client::connect(gateway.mqtt, connect);
            let v5 = eve.version == Version::V5;
            let refused = |packet| match packet {
                Ok(Packet::SubAck { codes, .. }) => codes == [if v5 { 0x8F } else { 0x80 }],
                Ok(Packet::UnsubAck { codes, .. }) => !v5 || codes == [0x8F],
                // No filter at all is a malformed packet.
                Ok(Packet::Disconnect { code, .. }) => [0x81, 0x82, 0x8F].contains(&code),
                other => matches!(other, Err(Lost::Closed)) && !v5,
            };
            eve.send(&Packet::Subscribe {
                packet_id: 1,
                filters: vec![(filter.to_owned(), 1)],
                properties: Properties::new(),
            });
            assert!(refused(eve.receive()), "{filter:.40}");
            let mut eve = Client::connect(gateway.mqtt, Connect::new(eve.version, "eve"));
            eve.send(&Packet::Unsubscribe {
                packet_id: 1,
                filters: vec![filter.to_owned()],
            });
            assert!(refused(eve.receive()), "{filter:.40}");
        }
    }
    let mut eve = Client::connect(gateway.mqtt, Connect::v5("eve"));
    // As deep as is allowed, and matched against topics that are.
    let deepest = "+/".repeat(127) + "#";
    assert_eq!(eve.subscribe(&[(&deepest, 0)]), [0]);
    let topic = "a/".repeat(127) + "a";
    eve.publish(Publish::new(&topic, "deep", 0));
    assert_eq!(eve.message().text(), "deep");
    bystander.is_served();
}

#[test]
fn client_ids_of_every_legal_kind_are_let_in() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let long = "x".repeat(65_400);
    for id in [
        "a/b",
        "+",
        "#",
        "$SYS",
        "$share/g/a",
        "../../etc/passwd",
        "é",
        "日本語",
        "\u{10FFFF}",
        " ",
        "a b",
        "'; drop table",
        "%s%n",
        "\u{FEFF}",
        "\r\n",
        "rooms",
        &long,
    ] {
        for connect in [Connect::v311(id), Connect::v5(id).persistent()] {
            let mut client = Client::connect(gateway.mqtt, connect);
            client.subscribe(&[("ids/+", 1)]);
            assert_eq!(client.publish(Publish::new("ids/x", "x", 1)), 0, "{id:.40}");
            assert_eq!(client.message().text(), "x", "{id:.40}");
            client.disconnect();
        }
    }
    for connect in [Connect::v5(""), Connect::v311("")] {
        Client::connect(gateway.mqtt, connect).ping();
    }
    bystander.is_served();
}

#[test]
fn client_ids_of_an_illegal_kind_are_refused() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    for (connect, code) in [
        (Connect::v5("gateway"), 0x85),
        (Connect::v311("gateway"), 2),
        (Connect::v311("").persistent(), 2),
    ] {
        let id = connect.client_id.clone();
        let mut client = Client::open(gateway.mqtt, connect.version).expect("accepted");
        client.send(&Packet::Connect(connect));
        match client.receive() {
            Ok(Packet::ConnAck { code: came, .. }) => assert_eq!(came, code, "{id}"),
            other => panic!("{id}: {other:?}"),
        }
        client.expect_closed();
    }
    for id in [&b"\xff"[..], b"a\0", b"\xed\xa0\x80"] {
        let mut packet = b"\x10\x00\x00\x04MQTT\x04\x02\x00\x00\x00".to_vec();
        packet.push(id.len() as u8);
        packet.extend(id);
        packet[1] = (packet.len() - 2) as u8;
        let mut stranger = stranger(&gateway);
        stranger.write_all(&packet).expect("accepted");
        let answer = read_to_end(stranger);
        assert!(answer.len() <= 4 && answer.get(3) != Some(&0), "{answer:?}");
    }
    bystander.is_served();
}

/// Topics that only the gateway writes.
const GATEWAYS: &[&str] = &[
    "$SYS/broker/version",
    "$anything",
    "$share/g/a",
    "rooms/lab/blackboard/state/plan",
    "rooms/lab/presence/agent/ann",
    "rooms/lab/approve/pending/1",
    "rooms/lab/approve/decision/eve",
    "rooms/lab/handoff/work/write",
    "rooms/lab/handoff/result/eve",
    "rooms/lab/reply/ann",
    "rooms/lab/observe/events/gateway/x",
    "rooms/lab/observe/events/ann/x",
    "rooms/lab/inbox/ann/bob",
];

#[test]
fn names_of_the_gateway_cannot_be_written_by_publish_will_or_retained() {
    let gateway = Gateway::start();
    let mut ann = Client::connect(gateway.mqtt, Connect::v5("ann"));
    ann.subscribe(&[
        ("$anything", 1),
        ("$SYS/broker/version", 1),
        ("rooms/lab/#", 1),
        ("marker", 1),
    ]);
    let mut eve = Client::connect(gateway.mqtt, Connect::v5("eve"));
    for topic in GATEWAYS {
        for qos in [1, 2] {
            let publish = Publish::new(topic, "forged", qos);
            assert_eq!(eve.publish(publish.clone()), 0x87, "{topic}");
            assert_eq!(eve.publish(publish.retained()), 0x87, "{topic}, retained");
        }
        eve.publish(Publish::new(topic, "forged", 0).retained());
        for retain in [false, true] {
            let connect = Connect::v5("mallory").with_will(topic, "forged", 1, retain);
            let mut mallory = Client::open(gateway.mqtt, Version::V5).expect("accepted");
            mallory.send(&Packet::Connect(connect));
            match mallory.receive() {
                Ok(Packet::ConnAck { code, .. }) => assert_eq!(code, 0x87, "will on {topic}"),
                other => panic!("will on {topic}: {other:?}"),
            }
        }
    }
    eve.publish(Publish::new("marker", "x", 1));
    loop {
        let message = ann.message();
        assert_ne!(message.text(), "forged", "{}", message.topic);
        if message.topic == "marker" {
            break;
        }
    }
    let mut late = Client::connect(gateway.mqtt, Connect::v5("late"));
    late.subscribe(&[("#", 1), ("$SYS/#", 1), ("$anything", 1)]);
    late.publish(Publish::new("marker", "x", 1));
    loop {
        let message = late.message();
        assert_ne!(message.text(), "forged", "{} is retained", message.topic);
        if message.topic == "marker" {
            break;
        }
    }
}

#[test]
fn shares_reach_no_further_than_plain_filters() {
    let gateway = Gateway::start();
    let mut ann = Client::connect(gateway.mqtt, Connect::v5("ann"));
    ann.subscribe(&[("rooms/lab/inbox/ann/#", 1)]);
    let mut eve = Client::connect(gateway.mqtt, Connect::v5("eve"));
    eve.subscribe(&[
        ("$share/g/rooms/lab/inbox/ann/#", 1),
        ("$share/g/#", 1),
        ("$share/g/$SYS/#", 1),
    ]);
    let mut bob = Client::connect(gateway.mqtt, Connect::v5("bob"));
    for n in 0..10 {
        assert_eq!(
            bob.publish(Publish::new("rooms/lab/inbox/ann/bob", n.to_string(), 1)),
            0
        );
    }
    for n in 0..10 {
        assert_eq!(
            ann.message().text(),
            n.to_string(),
            "no share takes ann's mail"
        );
    }
}

#[test]
fn unsubscribe_of_a_share_never_subscribed_says_so_and_harms_nobody() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut member = Client::connect(gateway.mqtt, Connect::v5("member"));
    member.subscribe(&[("$share/g/jobs", 1)]);
    let mut eve = Client::connect(gateway.mqtt, Connect::v5("eve"));
    let filters = [
        "$share/g/jobs",
        "$share/h/jobs",
        "$share/g/other",
        "jobs",
        "#",
    ];
    for _ in 0..3 {
        assert_eq!(eve.unsubscribe(&filters), [0x11; 5]);
    }
    assert_eq!(eve.publish(Publish::new("jobs", "one", 1)), 0);
    assert_eq!(member.message().text(), "one");
    assert_eq!(
        member.unsubscribe(&["$share/g/jobs", "$share/g/jobs"]),
        [0, 0x11]
    );
    bystander.is_served();
}

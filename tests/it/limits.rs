//! Every limit: the metrics that show it exist, and the ones of the front door do what
//! `docs/limits.md` says. Those of rooms are met in the engine's own tests.

use hallward::config::SECTIONS;
use hallward::wire::reply::{Code, Reply};
use serde_json::json;

use crate::harness::{Ack, Agent, Client, Connect, Gateway, Packet, Publish, Setup, Version};

/// The sum of a metric over its labels.
fn metric(gateway: &Gateway, name: &str) -> u64 {
    let (_, metrics) = gateway.get("/metrics");
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = rest.strip_prefix(' ').or_else(|| {
            let labels = rest.strip_prefix('{')?;
            labels.split_once("} ").map(|(_, value)| value)
        })?;
        Some(value.parse::<f64>().expect("a number"))
    });
    let values: Vec<f64> = values.collect();
    assert!(!values.is_empty(), "no {name} in {metrics}");
    format!("{}", values.iter().sum::<f64>())
        .parse()
        .expect("a whole number")
}

#[test]
fn the_page_of_limits_names_metrics_that_exist() {
    let gateway = Gateway::start();
    let (_, metrics) = gateway.get("/metrics");
    for row in SECTIONS.iter().flat_map(|section| section.rows) {
        let (_, metrics_of_row) = row.reached.unwrap_or_default();
        for name in metrics_of_row.split(", ").filter(|name| !name.is_empty()) {
            let name = format!("hallward_{name}");
            let shown = metrics.lines().any(|line| {
                let rest = line.strip_prefix(&name);
                rest.is_some_and(|rest| rest.starts_with([' ', '{']))
            });
            assert!(shown, "{}: there is no metric {name}", row.key);
        }
    }
}

const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// A persistent session that is subscribed and away.
fn absent(gateway: &Gateway, id: &str, filter: &str) {
    let mut client = Client::connect(gateway.mqtt, Connect::v5(id).persistent());
    client.subscribe(&[(filter, 1)]);
    client.disconnect();
}

#[test]
fn no_more_deliveries_are_unacknowledged_than_may_be() {
    let gateway = Setup::new().with("mqtt.max_inflight", "2").start();
    for version in VERSIONS {
        for persistent in [false, true] {
            let id = format!("reader-{version:?}-{persistent}");
            let connect = Connect::new(version, &id);
            let connect = if persistent {
                connect.persistent()
            } else {
                connect
            };
            let mut reader = Client::connect(gateway.mqtt, connect).by_hand();
            reader.subscribe(&[(&id, 1)]);
            let mut writer = Client::connect(gateway.mqtt, Connect::v5("writer"));
            for n in 0..5 {
                assert_eq!(writer.publish(Publish::new(&id, format!("{n}"), 1)), 0);
            }
            let first = reader.message();
            assert_eq!((first.text(), reader.message().text()), ("0", "1"));
            reader.ping();
            let more =
                reader.take_kept(|packet| matches!(packet, Packet::Publish(_)).then_some(()));
            assert_eq!(more, None, "{id}");
            reader.send(&Packet::PubAck(Ack::ok(first.packet_id.expect("QoS 1"))));
            assert_eq!(reader.message().text(), "2");
            reader.vanish();
        }
    }
}

#[test]
fn subscriptions_end_at_their_limit() {
    let gateway = Setup::new().with("mqtt.max_subscriptions", "2").start();
    for (version, refusal) in VERSIONS.into_iter().zip([0x80, 0x97]) {
        let mut client = Client::connect(gateway.mqtt, Connect::new(version, "greedy"));
        assert_eq!(client.subscribe(&[("a", 0), ("b", 1)]), [0, 1]);
        assert_eq!(client.subscribe(&[("c", 0), ("a", 1)]), [refusal, 1]);
        assert_eq!(
            client.subscribe(&[("a", 0), ("b", 0), ("c", 0)]),
            [0, 0, refusal]
        );
        client.unsubscribe(&["a"]);
        assert_eq!(client.subscribe(&[("c", 0)]), [0]);
        client.disconnect();
    }
    assert_eq!(
        metric(&gateway, "hallward_mqtt_subscriptions_refused_total"),
        4
    );
}

#[test]
fn a_full_queue_misses_what_comes_and_disturbs_nobody_else() {
    let mut gateway = Setup::new()
        .with("session.max_queued_messages", "3")
        .start();
    absent(&gateway, "away", "news");
    let mut reader = Client::connect(gateway.mqtt, Connect::v5("reader"));
    reader.subscribe(&[("news", 1)]);
    for connect in [Connect::v5("five"), Connect::v311("old")] {
        let mut sender = Client::connect(gateway.mqtt, connect);
        for n in 0..5 {
            assert_eq!(sender.publish(Publish::new("news", n.to_string(), 1)), 0);
            assert_eq!(reader.message().text(), n.to_string());
        }
    }
    let (_, metrics) = gateway.get("/metrics");
    let dropped = r#"hallward_desk_messages_dropped_total{reason="queue_full"} 7"#;
    assert!(metrics.contains(dropped), "{metrics}");
    gateway.kill();
    gateway.restart();
    let mut away = Client::connect(gateway.mqtt, Connect::v5("away").persistent());
    for n in 0..3 {
        assert_eq!(away.message().text(), n.to_string(), "the oldest stay");
    }
    // Answered behind the acknowledgements: from here on there is room.
    away.subscribe(&[("other", 1)]);
    let mut sender = Client::connect(gateway.mqtt, Connect::v5("five"));
    assert_eq!(sender.publish(Publish::new("news", "last", 1)), 0);
    assert_eq!(away.message().text(), "last");
}

#[test]
fn a_full_queue_refuses_the_publisher_where_that_is_wanted_and_keeps_what_was_acknowledged() {
    let mut gateway = Setup::new()
        .with("session.max_queued_messages", "3")
        .with("session.when_full", "refuse")
        .start();
    absent(&gateway, "away", "news");
    let mut five = Client::connect(gateway.mqtt, Connect::v5("five"));
    let codes: Vec<u8> = (0..5)
        .map(|n| five.publish(Publish::new("news", format!("{n}"), 1)))
        .collect();
    assert_eq!(codes, [0, 0, 0, 0x97, 0x97]);
    assert_eq!(five.publish(Publish::new("news", "twice", 2)), 0x97);
    let mut old = Client::connect(gateway.mqtt, Connect::v311("old"));
    old.send(&Packet::Publish(Publish {
        packet_id: Some(1),
        ..Publish::new("news", "no word for it", 1)
    }));
    old.expect_closed();
    assert_eq!(
        old.take_kept(|packet| matches!(packet, Packet::PubAck(_)).then_some(())),
        None
    );
    let refused = metric(&gateway, "hallward_desk_publishes_refused_total");
    assert_eq!(refused, 4);
    gateway.kill();
    gateway.restart();
    let mut away = Client::connect(gateway.mqtt, Connect::v5("away").persistent());
    for n in 0..3 {
        assert_eq!(away.message().text(), n.to_string());
    }
    away.ping();
    let mut five = Client::connect(gateway.mqtt, Connect::v5("five"));
    assert_eq!(five.publish(Publish::new("news", "last", 2)), 0);
    assert_eq!(
        away.message().text(),
        "last",
        "nothing that was refused came"
    );
}

#[test]
fn a_full_retained_store_refuses_new_topics() {
    let gateway = Setup::new().with("retained.max_messages", "2").start();
    let mut five = Client::connect(gateway.mqtt, Connect::v5("five"));
    for (topic, text, code) in [
        ("a", "1", 0),
        ("b", "1", 0),
        ("c", "1", 0x97),
        ("a", "2", 0),
        ("b", "", 0),
        ("c", "2", 0),
    ] {
        let publish = Publish::new(topic, text, 1).retained();
        assert_eq!(five.publish(publish), code, "{topic} {text}");
    }
    let mut old = Client::connect(gateway.mqtt, Connect::v311("old"));
    old.send(&Packet::Publish(Publish {
        packet_id: Some(1),
        ..Publish::new("d", "1", 1).retained()
    }));
    old.expect_closed();
    let refused = metric(&gateway, "hallward_desk_publishes_refused_total");
    assert_eq!(refused, 2);
}

#[test]
fn sessions_end_at_their_limit() {
    let gateway = Setup::new().with("session.max_sessions", "2").start();
    absent(&gateway, "one", "a");
    absent(&gateway, "two", "a");
    let mut three = Client::open(gateway.mqtt, Version::V5).expect("accepted");
    three.send(&Packet::Connect(Connect::v5("three")));
    match three.receive() {
        Ok(Packet::ConnAck { code: 0x97, .. }) => {}
        other => panic!("CONNACK 0x97 expected, but came {other:?}"),
    }
    assert_eq!(metric(&gateway, "hallward_sessions_refused_total"), 1);
    Client::connect(gateway.mqtt, Connect::v5("two").persistent());
}

#[test]
fn topics_end_at_their_depth() {
    let gateway = Setup::new().with("mqtt.max_topic_levels", "16").start();
    let (fits, deeper) = (["l"; 16].join("/"), ["l"; 17].join("/"));
    let mut client = Client::connect(gateway.mqtt, Connect::v5("diver"));
    assert_eq!(
        client.subscribe(&[(&fits, 1), (&deeper, 1), (&["+"; 17].join("/"), 1)]),
        [1, 0x8F, 0x8F]
    );
    assert_eq!(client.publish(Publish::new(&fits, "x", 1)), 0);
    assert_eq!(client.message().topic, fits);
    client.send(&Packet::Publish(Publish::new(&deeper, "x", 0)));
    assert_eq!(client.expect_disconnect(), 0x90);
    assert_eq!(metric(&gateway, "hallward_mqtt_topics_too_deep_total"), 3);
}

#[test]
fn a_client_that_publishes_too_fast_is_slowed_and_others_are_not() {
    let gateway = Setup::new()
        .with("mqtt.max_publish_rate", "20")
        .with("mqtt.publish_burst", "1")
        .start();
    let mut reader = Client::connect(gateway.mqtt, Connect::v5("reader"));
    reader.subscribe(&[("fast", 0), ("slow", 0)]);
    let mut flood = Client::connect(gateway.mqtt, Connect::v311("flood"));
    for n in 0..20 {
        flood.send(&Packet::Publish(Publish::new("fast", format!("{n}"), 0)));
    }
    assert_eq!(reader.message_on("fast").text(), "0");
    let mut other = Client::connect(gateway.mqtt, Connect::v311("other"));
    other.publish(Publish::new("slow", "through", 0));
    assert_eq!(reader.message_on("slow").text(), "through");
    for n in 1..20 {
        assert_eq!(
            reader.message_on("fast").text(),
            n.to_string(),
            "nothing is lost"
        );
    }
    assert!(metric(&gateway, "hallward_mqtt_throttled_total") > 0);
    flood.ping();
    assert_eq!(metric(&gateway, "hallward_mqtt_throttled_clients"), 0);
}

#[test]
fn memory_for_what_waits_is_bounded_and_what_was_acknowledged_is_kept() {
    const KIB: usize = 1024;
    let mut gateway = Setup::new()
        .with("memory.max_queued", "16MiB")
        .with("session.max_queued_bytes", "1GiB")
        .with("retained.max_bytes", "4MiB")
        .start();
    absent(&gateway, "away", "bulk");
    let mut writer = Client::connect(gateway.mqtt, Connect::v5("writer"));
    let block = vec![b'x'; 512 * KIB];
    // How many are taken until one is refused.
    let mut until_refused = |publish: &dyn Fn(usize) -> Publish| {
        let codes = (0..100).map(|n| writer.publish(publish(n)));
        let codes: Vec<u8> = codes.take_while(|code| *code == 0).collect();
        assert!(codes.len() < 100, "memory has no end");
        codes.len()
    };
    let taken = until_refused(&|_| Publish::new("bulk", block.clone(), 1));
    // The one on its way may count twice for a moment: as a packet and as a request.
    assert!((22..=23).contains(&taken), "{taken} of 512 KiB in 12 MiB");
    let held = metric(&gateway, "hallward_queued_bytes");
    assert!(
        (11_000 * KIB as u64..12_300 * KIB as u64).contains(&held),
        "{held}"
    );
    assert!(
        gateway
            .get("/readyz")
            .1
            .contains("warning: memory.max_queued is ")
    );
    // What is retained has a limit of its own, and takes nobody's place.
    let retained =
        until_refused(&|n| Publish::new(&format!("kept/{n}"), block.clone(), 1).retained());
    assert_eq!(retained, 7, "of 512 KiB and some in 4 MiB");
    until_refused(&|_| Publish::new("rooms/lab/inbox/away/writer", vec![b'x'; 200 * KIB], 1));
    writer.subscribe(&[("rooms/lab/reply/writer", 1)]);
    let refused = writer.message_on("rooms/lab/reply/writer");
    assert!(refused.text().contains("429"), "{}", refused.text());
    assert_eq!(writer.publish(Publish::new("for/who/is/here", block, 1)), 0);
    assert!(metric(&gateway, "hallward_memory_refusals_total") >= 2);
    gateway.kill();
    gateway.restart();
    assert!(metric(&gateway, "hallward_queued_bytes") > 11_000 * KIB as u64);
    let mut away = Client::connect(gateway.mqtt, Connect::v5("away").persistent());
    for _ in 0..taken {
        assert_eq!(away.message_on("bulk").payload.len(), 512 * KIB);
    }
    away.ping();
    let mut writer = Client::connect(gateway.mqtt, Connect::v5("writer"));
    assert_eq!(writer.publish(Publish::new("bulk", "room again", 1)), 0);
    assert_eq!(away.message_on("bulk").text(), "room again");
}

/// It cannot be told in PUBACK: its bulk is slowed down, what was refused is counted for it, and
/// mail to it is not touched.
#[test]
fn a_dispatcher_of_3_1_1_that_goes_on_beyond_its_results_is_held_back_and_closed() {
    let gateway = Setup::new()
        .with("mailbox.max_results", "3")
        .with("mailbox.max_messages", "2")
        .with("mailbox.max_replies", "4")
        .with("mqtt.patience", "1s")
        .start();
    let mut bulk = Client::connect(gateway.mqtt, Connect::v311("bulk")).by_hand();
    let mut sent = 0;
    loop {
        let id = bulk.packet_id();
        let body = format!(r#"{{"id":"t{sent}","type":"draft","correlationId":"c"}}"#);
        let mut publish = Publish::new("rooms/lab/handoff/dispatch/bulk", body, 1);
        publish.packet_id = Some(id);
        if bulk.try_send(&Packet::Publish(publish)).is_err() {
            break;
        }
        sent += 1;
        // The first of them all at once.
        if sent > 20 && bulk.receive().is_err() {
            break;
        }
    }
    assert!(sent > 4, "{sent}");
    assert!(metric(&gateway, "hallward_mqtt_throttled_total") > 0);
    assert!(gateway.stderr().contains("no room for its publish"));
    let mut other = Agent::join(&gateway, "lab", "other");
    for _ in 0..2 {
        assert_eq!(other.tell("inbox/bulk/other", &json!("stop")), 0);
    }
    assert_eq!(
        other.tell("inbox/bulk/other", &json!("stop")),
        0x97,
        "its mail is full now"
    );
    let mut bulk = Agent::join(&gateway, "lab", "bulk");
    let told: Vec<Reply> = (0..4).map(|_| bulk.next("reply/bulk")).collect();
    let summary = told.iter().find(|reply| reply.command == "reply");
    let summary = summary.expect("more than four replies were due");
    let data = summary.data.as_ref().expect("it counts").text().to_owned();
    assert!(data.contains(r#""firstId":"t3""#), "{data}");
    assert!(
        told.iter().all(|reply| reply.code == Code::TooMany),
        "{told:?}"
    );
}

//! What other brokers refuse, and how much they take.

use serde_json::json;

use super::broker::Broker;
use super::{cloud, number, publish, publisher, until, until_connected};
use crate::harness::{Client, Connect, Properties, Publish, property};

#[test]
fn a_refused_message_is_kept_apart_and_those_behind_it_are_not_held_up() {
    let broker = Broker::new();
    let gateway = cloud(broker.address, json!({})).start();
    let mut guest = broker.welcome();
    let mut client = publisher(&gateway);
    for text in ["1", "2", "3"] {
        publish(&mut client, text);
    }
    let ids: Vec<u16> = (0..3).map(|_| guest.publish().id).collect();
    guest.answer(ids[0], 0);
    guest.answer(ids[1], 0x87);
    guest.answer(ids[2], 0x10);
    until("an empty queue", || {
        number(&gateway, "backlog_messages", "") == 0
    });
    assert_eq!(number(&gateway, "dead_total", "not_authorized"), 1);
    assert_eq!(number(&gateway, "dead_letters", ""), 1);
    assert_eq!(number(&gateway, "acked_total", ""), 2);
}

#[test]
fn a_quota_is_waited_for_and_order_is_kept() {
    let broker = Broker::new();
    let gateway = cloud(broker.address, json!({ "window": 1 })).start();
    let mut guest = broker.welcome();
    let mut client = publisher(&gateway);
    publish(&mut client, "1");
    publish(&mut client, "2");
    for _ in 0..5 {
        let sent = guest.publish();
        assert_eq!(sent.text, "1");
        guest.answer(sent.id, 0x97);
    }
    for text in ["1", "2"] {
        let sent = guest.publish();
        assert_eq!(sent.text, text);
        guest.answer(sent.id, 0);
    }
    until("the queue's end", || {
        number(&gateway, "acked_total", "") == 2
    });
    assert_eq!(number(&gateway, "deferred_total", ""), 5);
}

#[test]
fn receive_maximum_is_kept_also_after_a_connection_was_lost() {
    const RECEIVE_MAXIMUM_2: &[u8] = &[0x21, 0, 2];
    let broker = Broker::new();
    let gateway = cloud(broker.address, json!({})).start();
    let mut guest = broker.guest(0, RECEIVE_MAXIMUM_2);
    let mut client = publisher(&gateway);
    for text in ["1", "2", "3", "4"] {
        publish(&mut client, text);
    }
    assert_eq!(guest.texts(2), ["1", "2"]);
    drop(guest);
    let mut guest = broker.guest(0, RECEIVE_MAXIMUM_2);
    // After a closing the first goes alone.
    let first = guest.publish();
    assert_eq!(first.text, "1");
    guest.answer(first.id, 0);
    let (second, third) = (guest.publish(), guest.publish());
    assert_eq!([&*second.text, &*third.text], ["2", "3"]);
    guest.answer(second.id, 0);
    assert_eq!(guest.publish().text, "4");
}

#[test]
fn what_a_broker_closes_at_is_given_up_and_the_others_go_on() {
    let broker = Broker::new();
    let gateway = cloud(broker.address, json!({})).start();
    let mut client = publisher(&gateway);
    publish(&mut client, "poison");
    publish(&mut client, "cure");
    for _ in 0..3 {
        let mut guest = broker.welcome();
        assert_eq!(guest.publish().text, "poison");
    }
    let mut guest = broker.welcome();
    let sent = guest.publish();
    assert_eq!(sent.text, "cure");
    guest.answer(sent.id, 0);
    until("an empty queue", || {
        number(&gateway, "backlog_messages", "") == 0
    });
    assert_eq!(number(&gateway, "dead_total", "closes"), 1);
}

#[test]
fn what_is_too_large_for_the_broker_is_not_sent() {
    const MAXIMUM_PACKET_SIZE_100: &[u8] = &[0x27, 0, 0, 0, 100];
    let broker = Broker::new();
    let gateway = cloud(broker.address, json!({})).start();
    let mut guest = broker.guest(0, MAXIMUM_PACKET_SIZE_100);
    let mut client = publisher(&gateway);
    publish(&mut client, &"x".repeat(200));
    publish(&mut client, "fits");
    assert_eq!(guest.publish().text, "fits");
    assert_eq!(number(&gateway, "dead_total", "too_large"), 1);
}

#[test]
fn an_acknowledgement_that_does_not_come_ends_the_connection() {
    let broker = Broker::new();
    let gateway = cloud(broker.address, json!({ "ack_timeout": "200ms" })).start();
    let mut silent = broker.welcome();
    let mut client = publisher(&gateway);
    publish(&mut client, "1");
    assert_eq!(silent.publish().text, "1");
    silent.gone();
    let mut guest = broker.welcome();
    let sent = guest.publish();
    assert_eq!(sent.text, "1");
    guest.answer(sent.id, 0);
    until("an acknowledgement", || {
        number(&gateway, "acked_total", "") == 1
    });
    assert_eq!(number(&gateway, "reconnects_total", "ack_timeout"), 1);
}

#[test]
fn a_connect_that_is_refused_is_counted_and_tried_again() {
    let broker = Broker::new();
    let gateway = cloud(broker.address, json!({})).start();
    for _ in 0..2 {
        broker.guest(0x87, &[]).gone();
    }
    let _guest = broker.welcome();
    until_connected(&gateway, true);
    assert_eq!(number(&gateway, "reconnects_total", "refused"), 2);
}

#[test]
fn a_bridge_whose_place_somebody_took_says_so() {
    let broker = Broker::new();
    let gateway = cloud(broker.address, json!({})).start();
    broker.welcome().dismiss(0x8E);
    let mut client = publisher(&gateway);
    publish(&mut client, "1");
    // Whoever says that it shuts down does not mean the message.
    for _ in 0..4 {
        let mut guest = broker.welcome();
        assert_eq!(guest.publish().text, "1");
        guest.dismiss(0x8B);
    }
    let mut guest = broker.welcome();
    let sent = guest.publish();
    guest.answer(sent.id, 0);
    until("an acknowledgement", || {
        number(&gateway, "acked_total", "") == 1
    });
    assert_eq!(number(&gateway, "reconnects_total", "taken_over"), 1);
    assert_eq!(number(&gateway, "reconnects_total", "network"), 4);
}

#[test]
fn properties_expiry_and_the_retain_flag_go_along() {
    let broker = Broker::new();
    let gateway = cloud(broker.address, json!({})).start();
    let mut client = publisher(&gateway);
    let publish = Publish {
        properties: Properties::new()
            .four(property::MESSAGE_EXPIRY, 1_000)
            .text(property::CONTENT_TYPE, "text/plain"),
        ..Publish::new("out/a/b", "kept", 2).retained()
    };
    assert_eq!(client.publish(publish), 0);
    let mut guest = broker.welcome();
    let sent = guest.publish();
    assert_eq!(
        (&*sent.topic, &*sent.text, sent.retain),
        ("site/a/b", "kept", true)
    );
    let content_type = b"\x03\x00\x0atext/plain";
    let expiry = |seconds: u32| [&[2][..], &seconds.to_be_bytes()].concat();
    let found = |part: &[u8]| sent.properties.windows(part.len()).any(|own| own == part);
    assert!(found(content_type), "{sent:?}");
    assert!(
        (900..=1_000).any(|seconds| found(&expiry(seconds))),
        "{sent:?}"
    );
}

#[test]
fn a_rule_that_strips_retain_and_one_that_excepts_do() {
    let broker = Broker::new();
    let rules = json!([{ "filter": "out/+/x", "template": "t/{1}", "retain": "strip", "except": ["out/no/#"] }]);
    let gateway = cloud(broker.address, json!({ "rule": rules })).start();
    let mut client = Client::connect(gateway.mqtt, Connect::v311("publisher"));
    for topic in ["out/no/x", "out/a", "out/yes/x"] {
        assert_eq!(client.publish(Publish::new(topic, "1", 1).retained()), 0);
    }
    let mut guest = broker.welcome();
    let sent = guest.publish();
    assert_eq!((&*sent.topic, sent.retain), ("t/yes", false));
}

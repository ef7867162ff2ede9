//! Subscriptions by the thousand: as many as are allowed and no more, and none at the cost of
//! others.

use super::bystander::Bystander;
use super::{MIB, grown};
use crate::harness::{Client, Connect, Gateway, Packet, Properties, Publish, Setup};

/// Filters that all match a/b/c/d/e/f/g/h/i/j, all different.
fn overlapping(count: usize) -> Vec<String> {
    (0..count)
        .map(|bits| {
            let levels = (0..10u8).map(|level| {
                if bits >> level & 1 == 1 {
                    "+".to_owned()
                } else {
                    char::from(b'a' + level).to_string()
                }
            });
            levels.collect::<Vec<_>>().join("/")
        })
        .collect()
}

const TOPIC: &str = "a/b/c/d/e/f/g/h/i/j";

#[test]
fn subscriptions_end_at_their_limit_and_the_live_plane_never_hears_of_the_rest() {
    let gateway = Setup::new().with("mqtt.max_subscriptions", "50").start();
    let mut bystander = Bystander::at(&gateway);
    for connect in [Connect::v5("bomber"), Connect::v5("bomber").persistent()] {
        let mut bomber = Client::connect(gateway.mqtt, connect);
        let filters: Vec<String> = (0..20_000).map(|n| format!("bomb/{n}")).collect();
        let asked: Vec<(&str, u8)> = filters.iter().map(|filter| (&**filter, 1)).collect();
        let codes = bomber.subscribe(&asked);
        assert_eq!(codes[..50], [1; 50]);
        assert!(
            codes[50..].iter().all(|code| *code == 0x97),
            "quota exceeded"
        );
        assert_eq!(
            bomber.subscribe(&[("bomb/0", 0), ("one/more", 0)]),
            [0, 0x97]
        );
        let in_use = gateway.metric("hallward_live_filters");
        assert!(in_use <= 60, "{in_use} filters on the live plane");
        let freed = bomber.unsubscribe(&["bomb/1"]);
        assert_eq!(freed, [0]);
        assert_eq!(
            bomber.subscribe(&[("one/more", 0)]),
            [0],
            "there is room again"
        );
        bomber.disconnect();
    }
    bystander.is_served();
}

#[test]
fn one_packet_with_one_filter_a_thousand_times_does_not_multiply_what_is_retained() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("keeper"));
    for n in 0..2_000 {
        let packet = Publish::new(&format!("kept/{n}"), vec![b'x'; 100], 1).retained();
        assert_eq!(keeper.publish(packet), 0);
    }
    let before = gateway.resident();
    let mut bomber = Client::connect(gateway.mqtt, Connect::v5("bomber")).by_hand();
    // Nothing of what comes is acknowledged.
    for packet_id in 1..=20 {
        let packet = Packet::Subscribe {
            packet_id,
            filters: vec![("kept/#".to_owned(), 1); 50_000],
            properties: Properties::new(),
        };
        if bomber.try_send(&packet).is_err() {
            break;
        }
    }
    assert_eq!(bomber.expect_disconnect(), 0x97);
    bystander.is_served();
    let held = grown(&gateway, before);
    assert!(held < 64 * MIB, "{held} bytes");
    // Who asks like anybody else gets everything.
    let mut reader = Client::connect(gateway.mqtt, Connect::v5("reader"));
    assert_eq!(reader.subscribe(&[("kept/#", 1), ("kept/+", 0)]), [1, 0]);
    for _ in 0..4_000 {
        reader.message();
    }
    bystander.is_served();
}

#[test]
fn a_thousand_overlapping_filters_bring_each_message_once_and_cost_others_nothing() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let before = gateway.resident();
    let filters = overlapping(1_000);
    let mut bomber = Client::connect(gateway.mqtt, Connect::v5("bomber"));
    for chunk in filters.chunks(100) {
        let asked: Vec<(&str, u8)> = chunk.iter().map(|filter| (&**filter, 0)).collect();
        assert!(bomber.subscribe(&asked).iter().all(|code| *code == 0));
        bystander.is_served();
    }
    let mut sender = Client::connect(gateway.mqtt, Connect::v5("sender"));
    for n in 0..200 {
        sender.publish(Publish::new(TOPIC, n.to_string(), 0));
        sender.ping();
        assert_eq!(bomber.message().text(), n.to_string(), "once");
    }
    // Far more than the logs of the live plane hold, had each filter its own.
    for round in 0..20 {
        for n in 0..400 {
            sender.publish(Publish::new(TOPIC, format!("{round} {n}"), 0));
        }
        sender.publish(Publish::new(TOPIC, "end of round", 1));
        while bomber.message().text() != "end of round" {}
    }
    bystander.is_served();
    let held = grown(&gateway, before);
    assert!(held < 64 * MIB, "{held} bytes");
    let gone: Vec<&str> = filters.iter().map(|filter| &**filter).collect();
    assert_eq!(bomber.unsubscribe(&gone), [0; 1_000]);
    sender.publish(Publish::new(TOPIC, "late", 1));
    bomber.ping();
    bystander.is_served();
}

#[test]
fn deep_wildcards_match_in_no_time() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut bomber = Client::connect(gateway.mqtt, Connect::v5("bomber").persistent());
    let deep: Vec<String> = (1..125).map(|depth| "+/".repeat(depth) + "#").collect();
    for chunk in deep.chunks(20) {
        let mut asked: Vec<(&str, u8)> = chunk.iter().map(|filter| (&**filter, 1)).collect();
        let shared: Vec<String> = chunk
            .iter()
            .map(|filter| format!("$share/g/{filter}"))
            .collect();
        asked.extend(shared.iter().map(|filter| (&**filter, 1)));
        assert!(bomber.subscribe(&asked).iter().all(|code| *code == 1));
    }
    let mut sender = Client::connect(gateway.mqtt, Connect::v5("sender"));
    let topic = "x/".repeat(127) + "x";
    for n in 0..20 {
        assert_eq!(sender.publish(Publish::new(&topic, n.to_string(), 1)), 0);
        bomber.message_on(&topic);
    }
    bystander.is_served();
}

#[test]
fn subscribing_and_unsubscribing_without_end_leaves_nothing_behind() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let mut churner = Client::connect(gateway.mqtt, Connect::v5("churner"));
    let mut before = 0;
    for round in 0..60 {
        let filters: Vec<String> = (0..100).map(|n| format!("churn/{round}/{n}/+")).collect();
        let asked: Vec<(&str, u8)> = filters.iter().map(|filter| (&**filter, 1)).collect();
        churner.subscribe(&asked);
        let gone: Vec<&str> = filters.iter().map(|filter| &**filter).collect();
        assert_eq!(churner.unsubscribe(&gone), [0; 100]);
        if round == 20 {
            before = gateway.resident();
        }
    }
    let held = grown(&gateway, before);
    assert!(held < 32 * MIB, "{held} bytes");
    bystander.is_served();
}

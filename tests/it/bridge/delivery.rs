//! Nothing that was acknowledged here is lost on its way there, and it comes in order.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::json;

use super::mosquitto::Mosquitto;
use super::proxy::Proxy;
use super::{cloud, number, publish, publisher, until, until_connected};
use crate::harness::{Agent, Client, Gateway, Packet, Publish};

/// Messages of each round.
const EACH: usize = 30;
/// As the configuration has it, where tests say nothing else.
const WINDOW: usize = 100;

/// What has come to the other side.
#[derive(Default)]
struct Record {
    came: Vec<String>,
}

impl Record {
    /// Reads until this text comes.
    fn until(&mut self, recorder: &mut Client, last: &str) {
        loop {
            let text = recorder.message_on("site/a").text().to_owned();
            let is_last = text == last;
            self.came.push(text);
            if is_last {
                return;
            }
        }
    }

    /// Reads what is left of a connection that has ended.
    fn rest(&mut self, mut recorder: Client) {
        while let Ok(packet) = recorder.receive() {
            if let Packet::Publish(publish) = packet {
                self.came.push(publish.text().to_owned());
            }
        }
    }

    /// Everything is there, each for the first time in its order, and repeats are few.
    fn check(&self, sent: &[String], cuts: usize) {
        let mut known = BTreeSet::new();
        let first: Vec<&String> = self
            .came
            .iter()
            .filter(|text| known.insert(*text))
            .collect();
        let missing: Vec<_> = sent.iter().filter(|text| !known.contains(text)).collect();
        assert_eq!(missing, [""; 0], "lost");
        let place = |text: &String| sent.iter().position(|own| own == text);
        let places: Vec<usize> = first.iter().filter_map(|text| place(text)).collect();
        assert!(places.is_sorted(), "out of order: {first:?}");
        let repeats = self.came.len() - known.len();
        assert!(repeats <= cuts * WINDOW, "{repeats} repeats");
    }
}

/// Publishes one round, acknowledged.
fn round(client: &mut Client, round: usize, sent: &mut Vec<String>) {
    for n in 0..EACH {
        let text = format!("{round}-{n}");
        assert_eq!(publish(client, &text), 0);
        sent.push(text);
    }
}

#[test]
fn nothing_is_lost_and_all_is_in_order_when_the_other_broker_is_killed() {
    const ROUNDS: usize = 5;
    let mut mosquitto = Mosquitto::start();
    let proxy = Proxy::to(mosquitto.address);
    let gateway = cloud(proxy.address, json!({ "preset": "mosquitto" })).start();
    let (mut sent, mut record) = (Vec::new(), Record::default());
    let mut recorder = mosquitto.recorder();
    let mut client = publisher(&gateway);
    for n in 0..ROUNDS {
        round(&mut client, n, &mut sent);
        // Some of them have come, some are on their way.
        record.until(&mut recorder, &format!("{n}-3"));
        // Nobody there may take what nobody records.
        proxy.refuse(true);
        mosquitto.kill();
        record.rest(recorder);
        round(&mut client, n + ROUNDS, &mut sent);
        mosquitto.launch();
        recorder = mosquitto.recorder();
        proxy.refuse(false);
    }
    assert_eq!(publish(&mut client, "end"), 0);
    record.until(&mut recorder, "end");
    record.check(&sent, ROUNDS);
    until("an empty queue", || {
        number(&gateway, "backlog_messages", "") == 0
    });
}

#[test]
fn nothing_is_lost_and_all_is_in_order_when_the_gateway_is_killed() {
    const ROUNDS: usize = 5;
    let mosquitto = Mosquitto::start();
    let mut gateway = cloud(mosquitto.address, json!({ "protocol": "3.1.1" })).start();
    let (mut sent, mut record) = (Vec::new(), Record::default());
    let mut recorder = mosquitto.recorder();
    for n in 0..ROUNDS {
        let mut client = publisher(&gateway);
        round(&mut client, n, &mut sent);
        // These may get lost: nobody has acknowledged them.
        for late in 0..EACH {
            let packet_id = Some(client.packet_id());
            let _ = client.try_send(&Packet::Publish(Publish {
                packet_id,
                ..Publish::new("out/a", format!("late {n}-{late}"), 1)
            }));
        }
        gateway.kill();
        gateway.restart();
    }
    let mut client = publisher(&gateway);
    assert_eq!(publish(&mut client, "end"), 0);
    record.until(&mut recorder, "end");
    // A crash may also repeat what was acknowledged a moment before.
    record.check(&sent, 2 * ROUNDS);
}

#[test]
fn nothing_is_lost_where_the_network_cuts_and_swallows() {
    const ROUNDS: usize = 6;
    for protocol in ["5", "3.1.1"] {
        let mosquitto = Mosquitto::start();
        let proxy = Proxy::to(mosquitto.address);
        let more = json!({ "protocol": protocol, "ack_timeout": "300ms" });
        let gateway = cloud(proxy.address, more).start();
        let (mut sent, mut record) = (Vec::new(), Record::default());
        let mut recorder = mosquitto.recorder();
        let mut client = publisher(&gateway);
        for n in 0..ROUNDS {
            round(&mut client, 2 * n, &mut sent);
            if n % 2 == 0 {
                proxy.cut();
            } else {
                proxy.swallow();
            }
            round(&mut client, 2 * n + 1, &mut sent);
            // It has come through since.
            record.until(&mut recorder, &format!("{}-{}", 2 * n + 1, EACH - 1));
        }
        record.check(&sent, ROUNDS);
        until("acknowledgements", || {
            number(&gateway, "backlog_messages", "") == 0
        });
    }
}

/// The gateway, whose bridge goes nowhere and may keep three messages, after five; how each was
/// acknowledged.
fn five_for_three(proxy: &Proxy, rule: &str) -> (Gateway, Vec<u8>) {
    let more = json!({ "max_messages": 3, "when_full": rule });
    let gateway = cloud(proxy.address, more).start();
    let mut client = publisher(&gateway);
    let codes = ["1", "2", "3", "4", "5"].map(|text| publish(&mut client, text));
    (gateway, codes.to_vec())
}

#[test]
fn a_full_queue_does_what_its_rule_says_and_waits_for_a_broker_that_was_not_there() {
    for (rule, codes, came, counted) in [
        ("refuse", [0, 0, 0, 0x97, 0x97], ["1", "2", "3"], ""),
        ("drop_oldest", [0; 5], ["3", "4", "5"], "oldest"),
        ("drop_newest", [0; 5], ["1", "2", "3"], "newest"),
    ] {
        let mut mosquitto = Mosquitto::prepared("allow_anonymous true");
        let proxy = Proxy::to(mosquitto.address);
        let (mut gateway, acknowledged) = five_for_three(&proxy, rule);
        assert_eq!(acknowledged, codes, "{rule}");
        assert_eq!(number(&gateway, "backlog_messages", ""), 3);
        let count = match counted {
            "" => number(&gateway, "refused_total", ""),
            reason => number(&gateway, "dropped_total", reason),
        };
        assert_eq!(count, 2, "{rule}");
        until("a line of the log", || {
            gateway.stderr().contains("bridge_full")
        });
        gateway.kill();
        gateway.restart();
        // Nobody there may take what nobody records.
        proxy.refuse(true);
        mosquitto.launch();
        let mut recorder = mosquitto.recorder();
        proxy.refuse(false);
        let found = came.map(|_| recorder.message_on("site/a").text().to_owned());
        assert_eq!(found, came, "{rule}");
    }
}

#[test]
fn credentials_are_read_at_each_connect_and_nothing_is_lost_while_they_are_wrong() {
    let mut mosquitto = Mosquitto::prepared("allow_anonymous false\npassword_file passwords");
    let directory = mosquitto.directory().to_owned();
    let (passwords, own) = (directory.join("passwords"), directory.join("own"));
    for (first, user, password) in [("-c", "bridge", "right"), ("", "recorder", "r")] {
        let mut command = Command::new("mosquitto_passwd");
        command.arg("-b");
        command.args((!first.is_empty()).then_some(first));
        let done = command.arg(&passwords).args([user, password]).status();
        assert!(done.expect("mosquitto_passwd").success());
    }
    let absolute = format!("password_file {}", passwords.display());
    let configuration = directory.join("mosquitto.conf");
    let text = fs::read_to_string(&configuration).expect("readable");
    fs::write(
        &configuration,
        text.replace("password_file passwords", &absolute),
    )
    .expect("writable");
    fs::write(&own, "wrong\n").expect("writable");
    mosquitto.launch();
    let more = json!({ "username": "bridge", "password_file": own });
    let gateway = cloud(mosquitto.address, more).start();
    let mut client = publisher(&gateway);
    assert_eq!(publish(&mut client, "patience"), 0);
    until("a refusal", || {
        number(&gateway, "reconnects_total", "refused") > 0
    });
    assert_eq!(number(&gateway, "backlog_messages", ""), 1);
    assert!(!gateway.stderr().contains("wrong"), "no secret in the log");
    let connect = crate::harness::Connect::v5("recorder").by("recorder", "r");
    let mut recorder = Client::connect(mosquitto.address, connect);
    recorder.subscribe(&[("site/#", 0)]);
    fs::write(&own, "right\n").expect("writable");
    assert_eq!(recorder.message_on("site/a").text(), "patience");
    until_connected(&gateway, true);
}

#[test]
fn what_the_gateway_itself_tells_goes_along_where_a_rule_matches() {
    let mosquitto = Mosquitto::start();
    let mut recorder = mosquitto.recorder();
    let rules = json!([{ "filter": "rooms/#", "template": "site/{#}" }]);
    let gateway = cloud(mosquitto.address, json!({ "rule": rules })).start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("plan", json!(1));
    let mut missing = vec![
        "/presence/agent/ann",
        "/observe/events/gateway/",
        "/blackboard/state/plan",
    ];
    while !missing.is_empty() {
        let topic = recorder.message().topic;
        assert!(topic.starts_with("site/lab/"), "{topic}");
        missing.retain(|part| !topic.contains(part));
    }
}

#[test]
fn a_bridge_that_is_stopped_and_started_sends_nothing_twice() {
    let mosquitto = Mosquitto::start();
    let mut gateway = cloud(mosquitto.address, json!({})).start();
    let (mut sent, mut record) = (Vec::new(), Record::default());
    let mut recorder = mosquitto.recorder();
    for n in 0..3 {
        let mut client = publisher(&gateway);
        round(&mut client, n, &mut sent);
        record.until(&mut recorder, &format!("{n}-{}", EACH - 1));
        until("acknowledgements", || {
            number(&gateway, "backlog_messages", "") == 0
        });
        assert!(gateway.stop().success());
        gateway.restart();
    }
    let mut client = publisher(&gateway);
    publish(&mut client, "end");
    record.until(&mut recorder, "end");
    record.check(&sent, 0);
}

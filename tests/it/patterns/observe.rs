//! Observe: every transition is told, in order and without a gap.

use hallward::wire::observe::Event;
use serde_json::json;

use crate::harness::{Agent, Connect, Gateway, Packet, Publish, Setup};

fn observer(gateway: &Gateway) -> Agent {
    let mut observer = Agent::join_v311(gateway, "lab", "observer");
    observer.listen("observe/events/gateway/+");
    observer
}

/// The events up to the one that says this of this.
fn events_until(observer: &mut Agent, what: &str, subject: &str) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let message = observer.message();
        if !message
            .topic
            .starts_with("rooms/lab/observe/events/gateway/")
        {
            continue;
        }
        events.push(serde_json::from_slice(&message.payload).expect("an event"));
        let last = events.last().expect("just pushed");
        if last.what == what && last.subject == subject {
            return events;
        }
    }
}

fn assert_gapless(events: &[Event]) {
    for pair in events.windows(2) {
        assert_eq!(pair[0].seq + 1, pair[1].seq, "{pair:#?}");
        assert!(pair[0].at <= pair[1].at, "{pair:#?}");
    }
}

fn said(events: &[Event], subject: &str) -> Vec<String> {
    events
        .iter()
        .filter(|event| event.subject == subject)
        .map(|event| event.what.clone())
        .collect()
}

#[test]
fn every_pattern_tells_what_happens_without_a_gap() {
    let gateway = Setup::new().with("handoff.backoff_initial", "10ms").start();
    let mut observer = observer(&gateway);
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    boss.set("plan", json!(1));
    boss.dispatch(json!({"type": "draft", "id": "task-1"}));
    let first = worker.assignment("draft");
    worker.update(&first, "error", json!({"error": {"message": "x"}}));
    let second = worker.assignment("draft");
    worker.succeed(&second, json!(1));
    let approval = boss.request(json!({"action": "publish", "id": "gate-1"}));
    worker.decide(&approval, json!({"decision": "approve"}));
    boss.accepted("blackboard/delete/boss/plan", json!({}));
    boss.set("end", json!(1));
    let events = events_until(&mut observer, "blackboard.set", "end");
    assert_gapless(&events);
    assert!(events.iter().all(|event| event.room.as_str() == "lab"));
    assert_eq!(
        said(&events, "plan"),
        ["blackboard.set", "blackboard.deleted"]
    );
    let task = said(&events, "task-1");
    assert_eq!(
        task.iter()
            .filter(|what| *what == "handoff.assigned")
            .count(),
        2,
        "{task:?}"
    );
    assert!(
        task.first()
            .is_some_and(|what| what.starts_with("handoff.")),
        "{task:?}"
    );
    let gate = said(&events, "gate-1");
    assert_eq!(
        gate.first().map(String::as_str),
        Some("approve.requested"),
        "{gate:?}"
    );
    assert_eq!(
        gate.last().map(String::as_str),
        Some("approve.decided"),
        "{gate:?}"
    );
    assert!(!said(&events, "worker").is_empty(), "presence is told, too");
    let write = events
        .iter()
        .find(|event| event.subject == "plan")
        .expect("told");
    assert_eq!(write.who.as_str(), "boss");
}

#[test]
fn events_never_carry_what_the_user_wrote() {
    let gateway = Gateway::start();
    let mut observer = observer(&gateway);
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.set("plan", json!("a secret"));
    boss.dispatch(json!({"type": "draft", "payload": "a secret"}));
    boss.request(json!({"action": "publish", "content": "a secret"}));
    boss.set("end", json!(1));
    loop {
        let message = observer.message();
        assert!(!message.text().contains("a secret"), "{message:?}");
        if message.text().contains(r#""end""#) {
            break;
        }
    }
}

#[test]
fn the_count_goes_on_after_a_kill() {
    let mut gateway = Gateway::start();
    let mut watching = observer(&gateway);
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("one", json!(1));
    let before = events_until(&mut watching, "blackboard.set", "one");
    let last = before.last().expect("one at least").seq;
    gateway.kill();
    gateway.restart();
    let mut watching = observer(&gateway);
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("two", json!(2));
    let after = events_until(&mut watching, "blackboard.set", "two");
    assert_gapless(&after);
    assert!(after[0].seq > last, "{} after {last}", after[0].seq);
}

#[test]
fn an_agents_own_events_are_relayed_as_they_are() {
    let gateway = Gateway::start();
    let mut observer = Agent::join_v311(&gateway, "lab", "observer");
    observer.listen("observe/events/ann/+");
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let text = r#"{"severity":"info",  "payload":{"n":1.0}}"#;
    ann.tell_raw("observe/events/ann/log", text);
    let message = observer.message_on("rooms/lab/observe/events/ann/log");
    assert_eq!(message.text(), text);
}

#[test]
fn nobody_speaks_for_another_or_for_the_gateway() {
    let gateway = Gateway::start();
    let mut observer = Agent::join(&gateway, "lab", "observer");
    observer.listen("observe/events/+/log");
    let mut eve = Agent::join(&gateway, "lab", "eve");
    for source in ["ann", "gateway"] {
        let topic = format!("rooms/lab/observe/events/{source}/log");
        assert_eq!(eve.publish(Publish::new(&topic, "{}", 1)), 0x87);
        assert_eq!(u16::from(eve.reply().code), 403);
    }
    eve.tell_raw("observe/events/eve/log", "{}");
    observer.expect_silence_until(|message| message.topic.ends_with("/eve/log"));
}

#[test]
fn an_agents_will_is_its_last_event() {
    let gateway = Gateway::start();
    let mut observer = Agent::join_v311(&gateway, "lab", "observer");
    observer.listen("observe/events/+/last");
    let topic = "rooms/lab/observe/events/ann/last";
    let will = |id| Connect::v5(id).with_will(topic, r#"{"severity":"error"}"#, 1, false);
    Agent::join_as(&gateway, "lab", will("ann")).disconnect();
    Agent::join_as(&gateway, "lab", will("ann")).vanish();
    assert_eq!(observer.message_on(topic).text(), r#"{"severity":"error"}"#);
    observer.tell_raw("observe/events/observer/last", "{}");
    observer.expect_silence_until(|message| message.topic.ends_with("/observer/last"));
}

#[test]
fn a_connection_that_ends_is_told_with_its_reason() {
    let gateway = Setup::new().with("mqtt.max_packet", "4KiB").start();
    let mut observer = observer(&gateway);
    let mut why = || {
        let events = events_until(&mut observer, "presence.away", "worker");
        let event = events.last().expect("at least one");
        let detail = event.detail.as_ref().expect("a detail").text();
        let detail: serde_json::Value = serde_json::from_str(detail).expect("JSON");
        detail["reason"].as_str().expect("a reason").to_owned()
    };
    let join = || Agent::worker(&gateway, "lab", "worker", "draft");
    join().vanish();
    assert_eq!(why(), "connection lost");
    let taken_over = join();
    let worker = join();
    assert_eq!(why(), "taken over by a new connection");
    drop(taken_over);
    worker.disconnect();
    assert_eq!(why(), "disconnected");
    let mut worker = join();
    worker.send(&Packet::Publish(Publish::new("x", "x".repeat(5000), 0)));
    assert_eq!(why(), "packet too large");
}

//! Replay: the past of a room by number and by time, while it goes on, and after a crash.

use hallward::wire::observe::{Event, ReplayPage};
use serde_json::{Value, json};

use crate::harness::{Agent, Gateway, Publish, Setup};

fn replay(agent: &mut Agent, asked: Value) -> ReplayPage {
    let topic = format!("observe/replay/{}", agent.id);
    let reply = agent.accepted(&topic, asked);
    serde_json::from_str(reply.data.expect("a page").text()).expect("a page")
}

/// Everything, in pages of so many.
fn replay_all(agent: &mut Agent, limit: usize) -> Vec<Event> {
    let (mut all, mut next) = (Vec::new(), 1);
    loop {
        let page = replay(agent, json!({ "fromSeq": next, "limit": limit }));
        assert!(page.complete && page.oldest == 1, "{page:?}");
        all.extend(page.events);
        next = page.next;
        if page.end {
            assert_eq!(next, page.newest + 1);
            return all;
        }
    }
}

fn live(observer: &mut Agent, until: &str) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    while events.last().is_none_or(|event| event.subject != until) {
        let message = observer.message();
        if message.topic.contains("/observe/events/gateway/") {
            events.push(serde_json::from_slice(&message.payload).expect("an event"));
        }
    }
    events
}

#[test]
fn the_past_is_what_was_seen_live_also_after_a_kill() {
    let mut gateway = Gateway::start();
    let mut observer = Agent::join_v311(&gateway, "lab", "observer");
    observer.listen("observe/events/gateway/+");
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    for _ in 0..5 {
        boss.dispatch(json!({ "type": "draft" }));
        let assignment = worker.assignment("draft");
        worker.succeed(&assignment, json!(1));
    }
    boss.set("end", json!(1));
    let seen = live(&mut observer, "end");
    let past = replay_all(&mut boss, 7);
    assert!(
        past.ends_with(&seen),
        "{seen:#?} is not the end of {past:#?}"
    );
    assert!(past.iter().map(|event| event.seq).eq(1..=past.len() as u64));

    gateway.kill();
    gateway.restart();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let after = replay_all(&mut boss, 100);
    assert_eq!(after[..past.len()], past);
    assert!(after.len() > past.len(), "what the restart did came after");
}

#[test]
fn a_filter_and_a_time_pick_from_the_past() {
    let gateway = Gateway::start();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    ann.set("one", json!(1));
    ann.announce(json!({ "role": "writer" }));
    ann.set("two", json!(2));
    let all = replay_all(&mut ann, 100);
    let board = json!({ "filter": "observe/events/gateway/blackboard" });
    let page = replay(&mut ann, board);
    let subjects: Vec<_> = page
        .events
        .iter()
        .map(|event| event.subject.as_str())
        .collect();
    assert_eq!(subjects, ["one", "two"]);
    let last = all.last().expect("some").at;
    let page = replay(&mut ann, json!({ "since": last + 1 }));
    assert!(
        page.events.is_empty() && page.end && page.complete,
        "{page:?}"
    );
    let page = replay(&mut ann, json!({ "until": last + 1 }));
    assert_eq!(page.events, all);
    ann.rejected(
        422,
        "observe/replay/ann",
        json!({ "fromSeq": 1, "since": 1 }),
    );
}

#[test]
fn what_has_been_trimmed_is_said_so() {
    let gateway = Setup::new()
        .with("observe.max_bytes_per_room", "256KiB")
        .with("rooms.max_metadata", "8KiB")
        .start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    // Each event says its reason: some hundreds of them fill the room.
    for number in 0..200 {
        let id = format!("t{number}");
        ann.dispatch(json!({ "type": "draft", "id": id }));
        let cancel = json!({ "task": id, "reason": "x".repeat(2000) });
        ann.accepted("handoff/cancel/ann", cancel);
    }
    let page = replay(&mut ann, json!({ "fromSeq": 1 }));
    assert!(!page.complete && page.oldest > 1, "{page:?}");
    assert_eq!(page.events[0].seq, page.oldest);
    let (_, metrics) = gateway.get("/metrics");
    let trimmed = metrics
        .lines()
        .find_map(|line| line.strip_prefix("hallward_journal_trimmed_total "));
    assert_ne!(trimmed, Some("0"));
}

#[test]
fn nothing_is_kept_where_the_configuration_says_so() {
    let gateway = Setup::new().with("observe.keep", "nothing").start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("one", json!(1));
    let page = replay(&mut ann, json!({ "fromSeq": 1 }));
    assert!(
        page.events.is_empty() && !page.complete && page.end,
        "{page:?}"
    );
}

#[test]
fn what_agents_tell_is_part_of_the_past_where_they_ask_for_an_acknowledgement() {
    let mut gateway = Gateway::start();
    let mut observer = Agent::join_v311(&gateway, "lab", "observer");
    observer.listen("observe/events/#");
    let mut wanda = Agent::join(&gateway, "lab", "wanda");
    for (qos, said) in [(0, "passing"), (1, "kept"), (2, "kept, too")] {
        let topic = "rooms/lab/observe/events/wanda/log";
        let message = Publish::new(topic, json!({ "said": said }).to_string(), qos);
        assert_eq!(wanda.publish(message), 0);
    }
    let topic = "rooms/lab/observe/events/wanda/log";
    for said in ["passing", "kept", "kept, too"] {
        let message = observer.message_on(topic);
        assert_eq!(
            message.payload,
            json!({ "said": said }).to_string().as_bytes()
        );
    }
    gateway.kill();
    gateway.restart();
    let mut wendy = Agent::join(&gateway, "lab", "wendy");
    let asked = json!({ "fromSeq": 1, "filter": "observe/events/wanda/+" });
    let told: Vec<String> = replay(&mut wendy, asked)
        .events
        .iter()
        .map(|event| {
            event
                .payload
                .as_ref()
                .expect("what was said")
                .text()
                .to_owned()
        })
        .collect();
    assert_eq!(told, [r#"{"said":"kept"}"#, r#"{"said":"kept, too"}"#]);
}

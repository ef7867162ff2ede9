//! Blackboard: versions, conditions, deletes, the past, transactions, and what late joiners see.

use hallward::wire::blackboard::{History, KeyPage, Snapshot};
use serde_json::{Value, json};

use crate::harness::{Agent, Gateway, Setup};

fn value(entry: &hallward::wire::blackboard::Entry) -> Value {
    serde_json::from_str(entry.value.text()).expect("JSON")
}

#[test]
fn versions_count_the_writes_of_a_key_and_revisions_those_of_the_room() {
    let gateway = Gateway::start();
    let mut watcher = Agent::join_v311(&gateway, "lab", "watcher");
    watcher.listen("blackboard/state/#");
    let mut ann = Agent::join(&gateway, "lab", "ann");
    assert_eq!(ann.set("plan", json!({"step": 1})), 1);
    assert_eq!(ann.set("plan", json!({"step": 2})), 2);
    assert_eq!(ann.set("notes/today", json!("x")), 1);
    let states = [
        watcher.state("plan").expect("set"),
        watcher.state("plan").expect("set"),
        watcher.state("notes/today").expect("set"),
    ];
    assert_eq!(states.each_ref().map(|entry| entry.version), [1, 2, 1]);
    assert_eq!(states.each_ref().map(|entry| entry.revision), [1, 2, 3]);
    assert_eq!(value(&states[1]), json!({"step": 2}));
    assert_eq!(
        (states[0].key.as_str(), states[0].updated_by.as_str()),
        ("plan", "ann")
    );
}

#[test]
fn values_are_carried_byte_for_byte_and_null_is_a_value() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("blackboard/state/#");
    let text = r#"{ "z":1.10, "a":12345678901234567890123, "n":null }"#;
    ann.tell_raw("blackboard/set/ann/raw", format!(r#"{{"value":{text}}}"#));
    assert_eq!(ann.state("raw").expect("set").value.text(), text);
    ann.set("nothing", json!(null));
    assert!(ann.state("nothing").expect("set").value.is_null());
}

#[test]
fn if_version_zero_writes_only_what_is_absent() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut bob = Agent::join(&gateway, "lab", "bob");
    let first = ann.accepted(
        "blackboard/set/ann/leader",
        json!({"value": "ann", "ifVersion": 0}),
    );
    assert_eq!(first.version, Some(1));
    let second = bob.rejected(
        409,
        "blackboard/set/bob/leader",
        json!({"value": "bob", "ifVersion": 0}),
    );
    let current = second.current.expect("the entry as it stands");
    assert_eq!((current.version, current.value.text()), (1, r#""ann""#));
}

#[test]
fn a_write_on_an_old_version_is_refused_with_the_current_one() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("plan", json!(1));
    ann.set("plan", json!(2));
    let refused = ann.rejected(
        409,
        "blackboard/set/ann/plan",
        json!({"value": 3, "ifVersion": 1}),
    );
    let current = refused.current.expect("the entry as it stands");
    assert_eq!((current.version, current.value.text()), (2, "2"));
    let accepted = ann.accepted(
        "blackboard/set/ann/plan",
        json!({"value": 3, "ifVersion": 2}),
    );
    assert_eq!(accepted.version, Some(3));
}

#[test]
fn a_deleted_key_is_gone_and_its_versions_go_on() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("blackboard/state/#");
    ann.set("plan", json!(1));
    ann.set("plan", json!(2));
    ann.state("plan");
    ann.state("plan");
    ann.rejected(409, "blackboard/delete/ann/plan", json!({"ifVersion": 1}));
    ann.accepted("blackboard/delete/ann/plan", json!({"ifVersion": 2}));
    assert!(ann.state("plan").is_none());
    ann.rejected(404, "blackboard/delete/ann/plan", json!({}));
    let again = ann.accepted(
        "blackboard/set/ann/plan",
        json!({"value": 3, "ifVersion": 0}),
    );
    assert!(again.version > Some(2), "never a version twice: {again:?}");
    let entry = ann.state("plan").expect("set");
    assert_eq!(Some(entry.version), again.version);
}

#[test]
fn an_empty_payload_deletes_without_condition() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("blackboard/state/#");
    ann.set("plan", json!(1));
    ann.state("plan");
    assert_eq!(ann.tell_raw("blackboard/delete/ann/plan", ""), 0);
    assert!(ann.state("plan").is_none());
}

#[test]
fn who_comes_late_has_it_all() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("a", json!(1));
    ann.set("b/c", json!(2));
    ann.set("gone", json!(3));
    ann.accepted("blackboard/delete/ann/gone", json!({}));
    let mut late = Agent::join_v311(&gateway, "lab", "late");
    late.listen("blackboard/state/#");
    let mut seen = vec![late.message(), late.message()];
    seen.sort_by(|one, other| one.topic.cmp(&other.topic));
    assert_eq!(seen[0].topic, "rooms/lab/blackboard/state/a");
    assert_eq!(seen[1].topic, "rooms/lab/blackboard/state/b/c");
    assert!(seen.iter().all(|message| message.retain), "{seen:?}");
    ann.set("mark", json!(true));
    late.expect_silence_until(|message| message.topic.ends_with("/mark"));
}

#[test]
fn a_snapshot_shows_a_prefix_as_it_stands() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("plan/a", json!(1));
    ann.set("plan/b", json!(2));
    ann.set("planning", json!(3));
    let reply = ann.accepted("blackboard/get/ann", json!({"prefix": "plan"}));
    assert_eq!(reply.revision.or(Some(3)), Some(3));
    let data = reply.data.expect("a query has data");
    assert!(
        data.text().contains("plan/a") && data.text().contains("plan/b"),
        "{data:?}"
    );
    assert!(!data.text().contains("planning"), "{data:?}");
}

#[test]
fn a_key_deletes_itself_when_its_time_is_over() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("blackboard/state/#");
    ann.accepted(
        "blackboard/set/ann/brief",
        json!({"value": 1, "ttlMs": 100}),
    );
    assert!(ann.state("brief").expect("set").expires_at.is_some());
    assert!(ann.state("brief").is_none());
}

#[test]
fn a_repeated_write_is_one_version() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let write = json!({"value": 1, "id": "w-1"});
    assert_eq!(
        ann.accepted("blackboard/set/ann/plan", write.clone())
            .version,
        Some(1)
    );
    ann.set("plan", json!(2));
    let repeat = ann.accepted("blackboard/set/ann/plan", write);
    assert_eq!(repeat.version, Some(1), "the first outcome");
    assert_eq!(ann.set("plan", json!(3)), 3);
}

#[test]
fn versions_and_state_survive_a_kill() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("plan", json!("kept"));
    ann.accepted(
        "blackboard/set/ann/plan",
        json!({"value": "kept too", "id": "w-2"}),
    );
    ann.set("gone", json!(1));
    ann.accepted("blackboard/delete/ann/gone", json!({}));
    gateway.kill();
    gateway.restart();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("blackboard/state/plan");
    assert_eq!(ann.state("plan").expect("retained").version, 2);
    let repeat = ann.accepted(
        "blackboard/set/ann/plan",
        json!({"value": "kept too", "id": "w-2"}),
    );
    assert_eq!(repeat.version, Some(2), "ids are remembered across a crash");
    assert!(
        ann.set("gone", json!(2)) > 1,
        "deleted versions are remembered across a crash"
    );
}

/// More than is done at once: whoever asks waits for all of it.
#[test]
fn who_asks_first_after_a_start_finds_no_key_whose_time_was_over() {
    let mut gateway = Gateway::start();
    let clock = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for key in 0..2_500 {
        ann.tell(
            &format!("blackboard/set/ann/k{key}"),
            &json!({"value": 1, "ttlMs": 5_000}),
        );
    }
    ann.vanish();
    gateway.kill();
    crate::conformance::wait(&clock, 6);
    gateway.restart();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let found = ann.accepted("blackboard/get/ann", json!({}));
    let data = found.data.expect("a page");
    let board: Snapshot = serde_json::from_str(data.text()).expect("a snapshot");
    assert!(board.entries.is_empty(), "{} are left", board.entries.len());
}

#[test]
fn a_value_beyond_its_limit_is_too_large() {
    let gateway = Setup::new().with("blackboard.max_value", "1KiB").start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.rejected(
        413,
        "blackboard/set/ann/big",
        json!({"value": "x".repeat(2000)}),
    );
    assert_eq!(ann.set("big", json!("x".repeat(900))), 1);
}

#[test]
fn a_merge_leaves_what_it_does_not_name_as_it_was_written() {
    let gateway = Gateway::start();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    ann.listen("blackboard/state/#");
    let text = r#"{ "z":1.10, "a":12345678901234567890123, "n":{"x":null} }"#;
    ann.tell_raw("blackboard/set/ann/raw", format!(r#"{{"value":{text}}}"#));
    ann.state("raw").expect("set");
    let patch = json!({"value": {"z": null, "n": {"y": 2}}, "merge": true, "ifVersion": 1});
    ann.accepted("blackboard/set/ann/raw", patch);
    let merged = ann.state("raw").expect("set");
    let expected = r#"{ "a":12345678901234567890123, "n":{"x":null,"y":2} }"#;
    assert_eq!((merged.version, merged.value.text()), (2, expected));
}

#[test]
fn twenty_thousand_keys_are_listed_a_page_at_a_time() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for batch in 0..200 {
        let ops = (0..100).map(|n| {
            let key = format!("k/{:05}", batch * 100 + n);
            json!({"op": "set", "key": key, "value": n})
        });
        ann.accepted(
            "blackboard/txn/ann",
            json!({"ops": ops.collect::<Vec<_>>()}),
        );
    }
    ann.set("k", json!(0));
    ann.set("k-1", json!("beside"));
    let mut seen = Vec::new();
    let mut asked = json!({"prefix": "k", "limit": 200});
    loop {
        let reply = ann.accepted("blackboard/list/ann", asked.clone());
        let data = reply.data.expect("a query has data");
        let page: KeyPage = serde_json::from_str(data.text()).expect("a page");
        seen.extend(page.keys.iter().map(|line| line.key.to_string()));
        let Some(cursor) = page.cursor else {
            break;
        };
        asked["cursor"] = json!(cursor);
    }
    assert_eq!(
        (seen.len(), &*seen[0], &*seen[20_000]),
        (20_001, "k", "k/19999")
    );
    assert!(seen.is_sorted(), "by name, each once");
    let refused = ann.rejected(422, "blackboard/list/ann", json!({"cursor": "a//b"}));
    assert_eq!(refused.path.as_deref(), Some("cursor"));
}

#[test]
fn the_past_of_a_key_and_of_the_room_survive_a_kill() {
    let mut gateway = Setup::new().with("blackboard.history", "3").start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for n in 1..=3 {
        ann.set("plan", json!(n));
    }
    ann.accepted("blackboard/delete/ann/plan", json!({}));
    gateway.kill();
    gateway.restart();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let reply = ann.accepted("blackboard/history/ann", json!({"key": "plan"}));
    let data = reply.data.expect("a query has data");
    let history: History = serde_json::from_str(data.text()).expect("a history");
    let seen: Vec<_> = history
        .versions
        .iter()
        .map(|version| (version.version, version.deleted))
        .collect();
    assert_eq!(seen, [(2, false), (3, false), (3, true)]);
    let then = ann.accepted("blackboard/get/ann", json!({"revision": 2}));
    let data = then.data.expect("a query has data");
    let snapshot: Snapshot = serde_json::from_str(data.text()).expect("a snapshot");
    assert_eq!(snapshot.entries[0].value.text(), "2");
    let lost = ann.rejected(404, "blackboard/get/ann", json!({"revision": 1}));
    assert_eq!(lost.path.as_deref(), Some("revision"));
}

#[test]
fn a_transaction_is_all_or_nothing_and_one_revision() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("blackboard/state/#");
    ann.set("from", json!(10));
    ann.state("from");
    let transfer = json!({"id": "t-1", "ops": [
        {"op": "set", "key": "from", "value": 7, "ifVersion": 1},
        {"op": "set", "key": "to", "value": 3, "ifVersion": 0},
    ]});
    let reply = ann.accepted("blackboard/txn/ann", transfer.clone());
    assert_eq!((reply.revision, reply.versions.len()), (Some(2), 2));
    let (from, to) = (
        ann.state("from").expect("set"),
        ann.state("to").expect("set"),
    );
    assert_eq!((from.revision, to.revision), (2, 2));
    let stale = json!({"ops": [
        {"op": "delete", "key": "to"},
        {"op": "check", "key": "from", "ifVersion": 1},
    ]});
    let refused = ann.rejected(409, "blackboard/txn/ann", stale);
    assert_eq!(refused.path.as_deref(), Some("ops[1]"));
    assert_eq!(refused.current.expect("the entry").version, 2);
    gateway.kill();
    gateway.restart();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let again = ann.accepted("blackboard/txn/ann", transfer);
    assert_eq!(
        (again.revision, again.versions),
        (reply.revision, reply.versions)
    );
    ann.listen("blackboard/state/to");
    assert_eq!(ann.state("to").expect("retained").value.text(), "3");
}

#[test]
fn a_watcher_of_a_prefix_misses_nothing_between_what_is_retained_and_what_comes() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for n in 0..50 {
        ann.set("plan/step", json!(n));
        ann.set("other", json!(n));
    }
    let writer = std::thread::spawn(move || {
        for n in 50..250 {
            ann.set("plan/step", json!(n));
            ann.set("other", json!(n));
        }
        ann
    });
    // They join while the writer writes: from what is retained on, each sees every version once.
    for n in 0..3 {
        let mut watcher = Agent::join_v311(&gateway, "lab", &format!("watcher-{n}"));
        watcher.listen("blackboard/state/plan/#");
        let mut next = None;
        loop {
            let entry = watcher.state("plan/step").expect("set");
            assert_eq!(next.unwrap_or(entry.version), entry.version, "watcher {n}");
            if entry.version == 250 {
                break;
            }
            next = Some(entry.version + 1);
        }
    }
    let mut ann = writer.join().expect("the writer ends");
    let mut late = Agent::join(&gateway, "lab", "late");
    late.listen("blackboard/state/plan/#");
    assert_eq!(late.state("plan/step").expect("retained").version, 250);
    ann.set("other", json!("no part of it"));
    ann.set("plan/mark", json!(true));
    let topic = late.topic("blackboard/state/plan/mark");
    late.expect_silence_until(|message| message.topic == topic);
}

//! Blackboard: versions, conditions, deletes, time to live, snapshots.

mod history;
mod locks;
mod schemas;
mod txn;

use crate::wire::blackboard::{Entry, Snapshot};
use crate::wire::reply::ReplyStatus;

use super::*;

fn set(world: &mut World, key: &str, body: Value) -> Verdict {
    world.send("a", &format!("blackboard/set/{key}"), body)
}

fn delete(world: &mut World, key: &str, body: Value) -> Verdict {
    world.send("a", &format!("blackboard/delete/{key}"), body)
}

fn version(world: &World, key: &str) -> Option<u64> {
    let entry = world.retained(&format!("blackboard/state/{key}"))?;
    entry["version"].as_u64()
}

fn snapshot(world: &mut World, query: &Value) -> Snapshot {
    world
        .send_raw("v", "blackboard/get", query.to_string())
        .unwrap();
    let reply = world.last_reply("v");
    serde_json::from_str(reply.data.unwrap().text()).unwrap()
}

#[test]
fn every_write_counts_the_keys_version_and_the_rooms_revision() {
    let mut world = World::new();
    set(
        &mut world,
        "plan/a",
        json!({ "value": { "x": null }, "id": "1" }),
    )
    .unwrap();
    set(&mut world, "plan/b", json!({ "value": 1 })).unwrap();
    set(&mut world, "plan/a", json!({ "value": null, "id": "2" })).unwrap();
    let reply = world.last_reply("a");
    assert_eq!((reply.version, reply.revision), (Some(2), Some(3)));
    let entry: Entry =
        serde_json::from_value(world.retained("blackboard/state/plan/a").unwrap()).unwrap();
    assert!(entry.value.is_null());
    assert_eq!(entry.updated_by, agent("a"));
    assert_eq!(
        (entry.version, entry.revision, entry.updated_at),
        (2, 3, START)
    );
    assert_eq!(world.story("plan/a"), ["blackboard.set", "blackboard.set"]);
    world.check();
}

#[test]
fn a_condition_that_does_not_hold_is_a_conflict_with_the_entry_as_it_stands() {
    let mut world = World::new();
    set(&mut world, "k", json!({ "value": 1, "ifVersion": 0 })).unwrap();
    assert_eq!(
        set(&mut world, "k", json!({ "value": 2, "ifVersion": 0 })),
        Err(Code::Conflict)
    );
    let reply = world.last_reply("a");
    assert_eq!(reply.status, ReplyStatus::Rejected);
    assert_eq!(reply.current.unwrap().version, 1);
    assert_eq!(
        set(&mut world, "k", json!({ "value": 2, "ifVersion": 7 })),
        Err(Code::Conflict)
    );
    assert_eq!(
        set(&mut world, "new", json!({ "value": 2, "ifVersion": 7 })),
        Err(Code::Conflict)
    );
    assert_eq!(world.last_reply("a").current, None);
    set(&mut world, "k", json!({ "value": 2, "ifVersion": 1 })).unwrap();
    assert_eq!(
        delete(&mut world, "k", json!({ "ifVersion": 1 })),
        Err(Code::Conflict)
    );
    delete(&mut world, "k", json!({ "ifVersion": 2 })).unwrap();
    assert_eq!(version(&world, "k"), None);
}

#[test]
fn a_deleted_keys_version_is_never_used_again_not_even_after_a_crash() {
    let mut world = World::new();
    set(&mut world, "k", json!({ "value": 1 })).unwrap();
    set(&mut world, "k", json!({ "value": 1 })).unwrap();
    world.send_raw("a", "blackboard/delete/k", "").unwrap();
    assert_eq!(delete(&mut world, "k", json!({})), Err(Code::NotFound));
    world.crash();
    set(
        &mut world,
        "k",
        json!({ "value": 1, "ifVersion": 0, "id": "x" }),
    )
    .unwrap();
    assert_eq!(version(&world, "k"), Some(3));
    assert_eq!(world.last_reply("a").revision, Some(4));
    world.check();
}

#[test]
fn forgotten_tombstones_leave_a_floor_for_new_keys() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.blackboard.max_tombstones_per_room = 1
    }));
    for key in ["a", "b"] {
        for _ in 0..3 {
            set(&mut world, key, json!({ "value": 1 })).unwrap();
        }
    }
    delete(&mut world, "a", json!({})).unwrap();
    delete(&mut world, "b", json!({})).unwrap();
    world.crash();
    set(&mut world, "a", json!({ "value": 1 })).unwrap();
    assert_eq!(version(&world, "a"), Some(4));
    set(&mut world, "c", json!({ "value": 1 })).unwrap();
    assert_eq!(version(&world, "c"), Some(4), "not from 1, but never twice");
    world.check();
}

#[test]
fn a_key_with_a_time_to_live_deletes_itself() {
    let mut world = World::new();
    set(&mut world, "k", json!({ "value": 1, "ttlMs": 1_000 })).unwrap();
    assert_eq!(world.next_timer(), Some((1_000, Timer::KeyExpiry)));
    world.pass(999);
    set(&mut world, "k", json!({ "value": 2, "ttlMs": 1_000 })).unwrap();
    world.pass(999);
    assert_eq!(version(&world, "k"), Some(2));
    world.crash();
    world.pass(1);
    assert_eq!(version(&world, "k"), None);
    assert_eq!(
        world.story("k"),
        ["blackboard.set", "blackboard.set", "blackboard.expired"]
    );
    assert_eq!(world.engine.stats().keys, 0);
    set(&mut world, "k", json!({ "value": 2, "ttlMs": 1_000 })).unwrap();
    set(&mut world, "k", json!({ "value": 2 })).unwrap();
    world.pass(5_000);
    assert_eq!(
        version(&world, "k"),
        Some(4),
        "a write without one takes it away"
    );
}

#[test]
fn two_writes_at_the_same_time_with_the_same_time_to_live_leave_one_timer() {
    let mut world = World::new();
    for _ in 0..2 {
        set(&mut world, "k", json!({ "value": 1, "ttlMs": 1_000 })).unwrap();
    }
    world.pass(1_000);
    assert_eq!(version(&world, "k"), None);
    assert_eq!(
        world.next_timer(),
        Some((24 * 60 * 60_000, Timer::Retention)),
        "the deserted room's"
    );
}

#[test]
fn a_snapshot_is_everything_below_a_prefix() {
    let mut world = World::new();
    for key in ["a", "a/b", "a/b/c", "a-b", "a.b", "ab", "b"] {
        set(&mut world, key, json!({ "value": key })).unwrap();
    }
    let keys = |snapshot: Snapshot| -> Vec<String> {
        snapshot
            .entries
            .iter()
            .map(|entry| entry.key.to_string())
            .collect()
    };
    let found = snapshot(&mut world, &json!({ "prefix": "a" }));
    assert_eq!(found.revision, 7);
    assert_eq!(keys(found), ["a", "a/b", "a/b/c"]);
    let found = snapshot(&mut world, &json!({ "prefix": "a/b" }));
    assert_eq!(keys(found), ["a/b", "a/b/c"]);
    let found = snapshot(&mut world, &json!({ "prefix": "nothing" }));
    assert!(found.entries.is_empty());
    world.send_raw("v", "blackboard/get", "").unwrap();
    let reply = world.last_reply("v");
    let all: Snapshot = serde_json::from_str(reply.data.unwrap().text()).unwrap();
    assert_eq!(all.entries.len(), 7);
}

#[test]
fn a_snapshot_that_is_too_large_is_refused() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.blackboard.max_snapshot = Size(10)
    }));
    set(&mut world, "k/a", json!({ "value": "12345678" })).unwrap();
    assert_eq!(
        world.send("v", "blackboard/get", json!({})),
        Err(Code::TooLarge)
    );
    let nothing = snapshot(&mut world, &json!({ "prefix": "j" }));
    assert!(nothing.entries.is_empty());
}

#[test]
fn a_repeated_write_with_an_id_is_one_write() {
    let mut world = World::new();
    for _ in 0..2 {
        set(
            &mut world,
            "k",
            json!({ "value": 1, "ifVersion": 0, "id": "x" }),
        )
        .unwrap();
    }
    world.crash();
    set(
        &mut world,
        "k",
        json!({ "value": 1, "ifVersion": 0, "id": "x" }),
    )
    .unwrap();
    assert_eq!(version(&world, "k"), Some(1));
    let replies = world.replies("a");
    assert!(replies.iter().all(|reply| reply == &replies[0]));
    assert_eq!(replies.len(), 3);
}

#[test]
fn values_and_keys_are_bounded() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.blackboard.max_value = Size(10);
        settings.blackboard.max_keys_per_room = 3;
        settings.blackboard.max_bytes_per_room = Size(20);
    }));
    assert_eq!(
        set(&mut world, "k", json!({ "value": "123456789" })),
        Err(Code::TooLarge)
    );
    set(&mut world, "a", json!({ "value": "12345678" })).unwrap();
    set(&mut world, "b", json!({ "value": "12345678" })).unwrap();
    assert_eq!(
        set(&mut world, "c", json!({ "value": "12345678" })),
        Err(Code::TooMany)
    );
    set(&mut world, "b", json!({ "value": "1" })).unwrap();
    set(&mut world, "c", json!({ "value": "1" })).unwrap();
    assert_eq!(
        set(&mut world, "d", json!({ "value": 1 })),
        Err(Code::TooMany)
    );
    delete(&mut world, "a", json!({})).unwrap();
    set(&mut world, "d", json!({ "value": 1 })).unwrap();
    assert_eq!(
        set(&mut world, "d", json!({ "value": 1, "ttlMs": 0 })),
        Err(Code::Invalid)
    );
    assert_eq!(
        set(&mut world, "d", json!({ "ttlMs": 5 })),
        Err(Code::Malformed)
    );
    assert_eq!(
        world.last_reply("a").reason.unwrap(),
        "missing field `value` at line 1 column 11"
    );
    assert_eq!(world.last_reply("a").path.as_deref(), Some("value"));
}

#[test]
fn a_merge_changes_what_it_names_and_nothing_else() {
    let mut world = World::new();
    let raw = r#"{"value":{"z":1.10, "big":12345678901234567890123,"n":{"x":null,"y":1}}}"#;
    world.send_raw("a", "blackboard/set/k", raw).unwrap();
    let patch = json!({ "value": { "n": { "y": null, "w": 2 } }, "merge": true, "ifVersion": 1 });
    set(&mut world, "k", patch).unwrap();
    let found = snapshot(&mut world, &json!({}));
    let text = found.entries[0].value.text();
    assert_eq!(
        text,
        r#"{"z":1.10, "big":12345678901234567890123,"n":{"x":null,"w":2}}"#
    );
    assert_eq!(version(&world, "k"), Some(2));
    let create = json!({ "value": { "a": null, "b": 1 }, "merge": true });
    set(&mut world, "new", create).unwrap();
    assert_eq!(
        world.retained("blackboard/state/new").unwrap()["value"],
        json!({ "b": 1 })
    );
    world.check();
}

#[test]
fn the_result_of_a_merge_is_bounded_as_any_value_is() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.blackboard.max_value = Size(20)
    }));
    set(&mut world, "k", json!({ "value": { "a": "123456" } })).unwrap();
    let more = json!({ "value": { "b": "123456" }, "merge": true });
    assert_eq!(set(&mut world, "k", more), Err(Code::TooLarge));
    assert_eq!(world.last_reply("a").path.as_deref(), Some("value"));
    assert_eq!(version(&world, "k"), Some(1));
    let mut world = World::new();
    let deep = format!(
        r#"{{"value":{}1{},"merge":true}}"#,
        r#"{"a":"#.repeat(65),
        "}".repeat(65)
    );
    assert_eq!(
        world.send_raw("a", "blackboard/set/k", deep),
        Err(Code::Invalid)
    );
}

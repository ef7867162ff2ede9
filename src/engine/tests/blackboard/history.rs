//! What keys were: past versions, snapshots of the past, and where both end.

use crate::wire::blackboard::{History, Version};

use super::*;

fn history(world: &mut World, key: &str) -> Vec<Version> {
    let query = json!({ "key": key });
    world.send("v", "blackboard/history", query).unwrap();
    let data = world.last_reply("v").data.unwrap();
    let history: History = serde_json::from_str(data.text()).unwrap();
    assert_eq!(history.key.as_str(), key);
    history.versions
}

/// Each version as its number and its value; a deletion has none.
fn seen(world: &mut World, key: &str) -> Vec<(u64, Option<String>)> {
    let versions = history(world, key).into_iter();
    let text = |version: &Version| version.value.as_ref().map(|value| value.text().to_owned());
    versions
        .map(|version| (version.version, text(&version)))
        .collect()
}

fn value(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Keys and values at a revision.
fn at(world: &mut World, revision: u64) -> Vec<(String, String)> {
    let found = snapshot(world, &json!({ "revision": revision }));
    assert_eq!(found.revision, revision);
    let entries = found.entries.into_iter();
    entries
        .map(|entry| (entry.key.to_string(), entry.value.text().to_owned()))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    expected.iter().map(owned).collect()
}

#[test]
fn the_last_versions_of_a_key_are_kept_with_its_deletes() {
    let mut world = World::with(Settings::tuned(|settings| settings.blackboard.history = 4));
    set(&mut world, "k", json!({ "value": 1 })).unwrap();
    world.pass(5);
    set(&mut world, "k", json!({ "value": null })).unwrap();
    delete(&mut world, "k", json!({})).unwrap();
    assert_eq!(
        seen(&mut world, "k"),
        [(1, value("1")), (2, value("null")), (2, None)]
    );
    let versions = history(&mut world, "k");
    assert_eq!(versions[1].updated_at, START + 5);
    assert_eq!(
        versions
            .iter()
            .map(|version| version.revision)
            .collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(versions[2].deleted && versions[2].updated_by == agent("a"));
    set(&mut world, "k", json!({ "value": 3, "ttlMs": 10 })).unwrap();
    world.crash();
    world.pass(10);
    let kept = [(2, value("null")), (2, None), (3, value("3")), (3, None)];
    assert_eq!(seen(&mut world, "k"), kept, "the first one had to go");
    assert_eq!(history(&mut world, "k")[3].updated_by, Agent::gateway());
    world.crash();
    assert_eq!(seen(&mut world, "k"), kept);
    let query = json!({ "key": "k", "limit": 1 });
    world.send("v", "blackboard/history", query).unwrap();
    let data = world.last_reply("v").data.unwrap();
    assert!(data.text().contains(r#""deleted":true"#) && !data.text().contains("value"));
    world.check();
}

#[test]
fn history_of_what_never_was_is_not_found() {
    let mut world = World::new();
    for (query, code) in [
        (json!({ "key": "k" }), Code::NotFound),
        (json!({}), Code::Malformed),
        (json!({ "key": "k", "limit": 0 }), Code::Invalid),
    ] {
        assert_eq!(world.send("v", "blackboard/history", query), Err(code));
    }
    assert_eq!(world.engine.stats().rooms, 0);
}

#[test]
fn a_snapshot_of_the_past_shows_every_key_as_it_was() {
    let mut world = World::new();
    set(&mut world, "a", json!({ "value": 1 })).unwrap();
    set(&mut world, "b", json!({ "value": 2 })).unwrap();
    set(&mut world, "a", json!({ "value": 3 })).unwrap();
    delete(&mut world, "b", json!({})).unwrap();
    set(&mut world, "b", json!({ "value": 5 })).unwrap();
    delete(&mut world, "a", json!({})).unwrap();
    for _ in 0..2 {
        let expected: [&[(&str, &str)]; 7] = [
            &[],
            &[("a", "1")],
            &[("a", "1"), ("b", "2")],
            &[("a", "3"), ("b", "2")],
            &[("a", "3")],
            &[("a", "3"), ("b", "5")],
            &[("b", "5")],
        ];
        for (revision, expected) in (0..).zip(expected) {
            assert_eq!(at(&mut world, revision), pairs(expected), "{revision}");
        }
        world.crash();
    }
    let inner = snapshot(&mut world, &json!({ "revision": 3, "prefix": "b" }));
    assert_eq!(inner.entries.len(), 1);
    let future = json!({ "revision": 7 });
    assert_eq!(
        world.send("v", "blackboard/get", future),
        Err(Code::NotFound)
    );
    assert_eq!(world.last_reply("v").path.as_deref(), Some("revision"));
}

#[test]
fn a_revision_that_history_does_not_reach_is_refused_and_never_guessed() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.blackboard.history = 2;
        settings.blackboard.max_tombstones_per_room = 1;
    }));
    for n in 1..=3 {
        set(&mut world, "x/k", json!({ "value": n })).unwrap();
    }
    set(&mut world, "y", json!({ "value": 4 })).unwrap();
    let unknown = |world: &mut World, query: Value| {
        let verdict = world.send("v", "blackboard/get", query);
        assert_eq!(verdict, Err(Code::NotFound));
        world.last_reply("v").reason.unwrap()
    };
    let reason = unknown(&mut world, json!({ "revision": 1 }));
    assert!(
        reason.contains("x/k reaches back to revision 2"),
        "{reason}"
    );
    assert_eq!(at(&mut world, 2), pairs(&[("x/k", "2")]));
    let other = snapshot(&mut world, &json!({ "revision": 1, "prefix": "y" }));
    assert!(other.entries.is_empty(), "it did not exist yet");
    delete(&mut world, "y", json!({})).unwrap();
    delete(&mut world, "x/k", json!({})).unwrap();
    // The tombstone of y is one too many.
    for _ in 0..2 {
        let reason = unknown(&mut world, json!({ "revision": 4 }));
        assert!(reason.contains("reaches back to revision 5"), "{reason}");
        assert_eq!(at(&mut world, 5), pairs(&[("x/k", "3")]));
        world.crash();
    }
    assert_eq!(
        world.send("v", "blackboard/history", json!({ "key": "y" })),
        Err(Code::NotFound)
    );
    world.check();
}

#[test]
fn bytes_of_the_past_are_bounded_and_the_oldest_go() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.blackboard.max_history_bytes_per_room = Size(1_000)
    }));
    let long = "x".repeat(300);
    for key in ["a", "b", "c", "a", "b", "c"] {
        set(&mut world, key, json!({ "value": long })).unwrap();
    }
    assert_eq!(history(&mut world, "a").len(), 1, "the oldest is a's");
    assert_eq!(history(&mut world, "b").len(), 2);
    assert_eq!(world.engine.stats().forgotten_early, 1);
    let records = world.disk.keys().filter(|key| key[2] == 8).count();
    assert_eq!(records, 5);
    world.check();
    let mut none = World::with(Settings::tuned(|settings| settings.blackboard.history = 1));
    set(&mut none, "a", json!({ "value": 1 })).unwrap();
    set(&mut none, "a", json!({ "value": 2 })).unwrap();
    assert_eq!(seen(&mut none, "a"), [(2, value("2"))]);
    assert_eq!(none.disk.keys().filter(|key| key[2] == 8).count(), 1);
}

#[test]
fn a_history_that_is_too_large_can_be_asked_for_in_part() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.blackboard.max_snapshot = Size(10)
    }));
    for _ in 0..2 {
        set(&mut world, "k", json!({ "value": "123456" })).unwrap();
    }
    let all = world.send("v", "blackboard/history", json!({ "key": "k" }));
    assert_eq!(all, Err(Code::TooLarge));
    assert_eq!(world.last_reply("v").path.as_deref(), Some("limit"));
    world
        .send("v", "blackboard/history", json!({ "key": "k", "limit": 1 }))
        .unwrap();
}

#[test]
fn a_vacated_rooms_past_is_not_made_up_when_it_comes_back() {
    let mut world = World::new();
    set(&mut world, "k", json!({ "value": 1 })).unwrap();
    delete(&mut world, "k", json!({})).unwrap();
    world.pass(3 * 24 * 60 * 60_000);
    assert_eq!(world.engine.stats().rooms, 0);
    world.crash();
    set(&mut world, "other", json!({ "value": 1 })).unwrap();
    let past = world.send("v", "blackboard/get", json!({ "revision": 1 }));
    assert_eq!(past, Err(Code::NotFound));
    assert_eq!(at(&mut world, 2), []);
    assert_eq!(at(&mut world, 3), pairs(&[("other", "1")]));
}

#[test]
fn keys_that_were_written_before_there_was_a_history_are_read() {
    // As the version before wrote them: format 1, then CBOR.
    let record = |value: Value| [vec![1], serde_cbor::to_vec(&value).unwrap()].concat();
    let live = json!({ "Live": { "value": "7", "version": 2, "revision": 3, "updated_at": 5, "updated_by": "a", "expires_at": START + 50 } });
    let deleted = json!({ "Deleted": { "version": 4, "revision": 4 } });
    let head = json!({ "seq": 0, "at": 5, "last_task": 0, "revision": 4, "version_floor": 0 });
    let mut world = World::new();
    world.disk.insert(b"r\0\x01".to_vec(), record(head));
    world.disk.insert(b"r\0\x05gone".to_vec(), record(deleted));
    world.disk.insert(b"r\0\x05k".to_vec(), record(live));
    world.crash();
    assert_eq!(at(&mut world, 4), pairs(&[("k", "7")]));
    let past = world.send("v", "blackboard/get", json!({ "revision": 3 }));
    assert_eq!(past, Err(Code::NotFound), "who knows what there was");
    set(
        &mut world,
        "k",
        json!({ "value": 8, "ifVersion": 2, "ttlMs": 99 }),
    )
    .unwrap();
    set(&mut world, "gone", json!({ "value": 9, "ifVersion": 0 })).unwrap();
    assert!(!world.disk.keys().any(|key| key[2] == 5), "written anew");
    for _ in 0..2 {
        assert_eq!(seen(&mut world, "k"), [(2, value("7")), (3, value("8"))]);
        assert_eq!(seen(&mut world, "gone"), [(4, None), (5, value("9"))]);
        assert_eq!(at(&mut world, 5), pairs(&[("k", "8")]));
        world.crash();
    }
    world.pass(99);
    assert_eq!(version(&world, "k"), None);
    world.check();
}

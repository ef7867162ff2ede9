//! Transactions: all or nothing, as one revision.

use super::*;

fn txn(world: &mut World, ops: Value) -> Verdict {
    world.send(
        "a",
        "blackboard/txn",
        json!({ "ops": ops, "id": null, "correlationId": "c" }),
    )
}

#[test]
fn all_writes_of_a_transaction_are_one_revision_and_the_reply_lists_their_versions() {
    let mut world = World::new();
    set(&mut world, "a", json!({ "value": { "n": 1 } })).unwrap();
    set(&mut world, "b", json!({ "value": 2 })).unwrap();
    let before = world.effects.len();
    txn(
        &mut world,
        json!([
            { "op": "check", "key": "b", "ifVersion": 1 },
            { "op": "set", "key": "a", "value": { "m": 2 }, "merge": true, "ifVersion": 1 },
            { "op": "set", "key": "c", "value": null, "ifVersion": 0, "ttlMs": 1_000 },
            { "op": "delete", "key": "b" },
        ]),
    )
    .unwrap();
    let reply = world.last_reply("a");
    let versions = reply.versions.iter();
    let versions: Vec<_> = versions
        .map(|written| (written.key.as_str(), written.version))
        .collect();
    assert_eq!(versions, [("a", 2), ("c", 1), ("b", 1)]);
    assert_eq!((reply.revision, reply.version), (Some(3), None));
    let entry = |key: &str| world.retained(&format!("blackboard/state/{key}"));
    assert_eq!(entry("a").unwrap()["value"], json!({ "n": 1, "m": 2 }));
    assert_eq!(entry("a").unwrap()["revision"], 3);
    assert_eq!(entry("c").unwrap()["revision"], 3);
    assert_eq!(entry("b"), None);
    assert_eq!(world.story("b"), ["blackboard.set", "blackboard.deleted"]);
    let retained = world.effects[before..].iter();
    assert_eq!(
        retained
            .filter(|effect| matches!(effect, Effect::Retain { .. }))
            .count(),
        3
    );
    world.check();
    world.crash();
    let past = snapshot(&mut world, &json!({ "revision": 2 }));
    assert_eq!(past.entries.len(), 2, "before it, a and b");
    world.pass(1_000);
    assert_eq!(version(&world, "c"), None);
}

#[test]
fn one_condition_that_does_not_hold_undoes_all_and_is_named() {
    let mut world = World::new();
    set(&mut world, "a", json!({ "value": 1 })).unwrap();
    let disk = world.disk.clone();
    for (ops, code, path) in [
        (
            json!([{ "op": "set", "key": "b", "value": 1 }, { "op": "set", "key": "a", "value": 2, "ifVersion": 7 }]),
            Code::Conflict,
            "ops[1]",
        ),
        (
            json!([{ "op": "delete", "key": "a" }, { "op": "check", "key": "a", "ifVersion": 0 }]),
            Code::Conflict,
            "ops[1]",
        ),
        (
            json!([{ "op": "set", "key": "b", "value": 1 }, { "op": "delete", "key": "c" }]),
            Code::NotFound,
            "ops[1]",
        ),
        (
            json!([{ "op": "set", "key": "b", "value": 1 }, { "op": "delete", "key": "b" }]),
            Code::Invalid,
            "ops[1].key",
        ),
        (
            json!([{ "op": "set", "key": "b", "value": 1 }, { "op": "set", "key": "c" }]),
            Code::Malformed,
            "ops[1].value",
        ),
        (
            json!([{ "op": "set", "key": "b", "value": 1 }, { "op": "check", "key": "c" }]),
            Code::Malformed,
            "ops[1].ifVersion",
        ),
        (
            json!([{ "op": "set", "key": "b", "value": 1, "ttlMs": 0 }]),
            Code::Invalid,
            "ops[0].ttlMs",
        ),
        (json!([]), Code::Invalid, "ops"),
        (
            json!([{ "op": "add", "key": "b" }]),
            Code::Malformed,
            "ops[0].op",
        ),
        (
            json!([{ "op": "set", "key": "b c" }]),
            Code::Malformed,
            "ops[0].key",
        ),
    ] {
        assert_eq!(txn(&mut world, ops.clone()), Err(code), "{ops}");
        let reply = world.last_reply("a");
        assert_eq!(reply.path.as_deref(), Some(path), "{ops}");
        let current = reply.current.map(|entry| entry.version);
        assert_eq!(current, (code == Code::Conflict).then_some(1), "{ops}");
    }
    assert_eq!(world.disk, disk);
    assert_eq!(world.retains, 1);
}

#[test]
fn a_transaction_of_conditions_alone_writes_nothing() {
    let mut world = World::new();
    set(&mut world, "a", json!({ "value": 1 })).unwrap();
    let ops = json!([{ "op": "check", "key": "a", "ifVersion": 1 }, { "op": "check", "key": "b", "ifVersion": 0 }]);
    txn(&mut world, ops).unwrap();
    let reply = world.last_reply("a");
    assert_eq!((reply.revision, reply.versions.len()), (Some(1), 0));
}

#[test]
fn a_repeated_transaction_is_one() {
    let mut world = World::new();
    let ops = json!({ "ops": [{ "op": "set", "key": "a", "value": 1 }, { "op": "set", "key": "b", "value": 1 }], "id": "t" });
    world.send("a", "blackboard/txn", ops.clone()).unwrap();
    world.crash();
    world.send("a", "blackboard/txn", ops).unwrap();
    let replies = world.replies("a");
    assert_eq!(replies[0], replies[1]);
    assert_eq!(replies[1].versions.len(), 2);
    assert_eq!(version(&world, "a"), Some(1));
    world.check();
}

#[test]
fn a_transaction_may_move_what_would_not_fit_twice() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.blackboard.max_keys_per_room = 1;
        settings.blackboard.max_bytes_per_room = Size(10);
        settings.blackboard.max_txn_ops = 2;
    }));
    set(&mut world, "a", json!({ "value": "1234567" })).unwrap();
    let put = json!({ "op": "set", "key": "b", "value": "1234567" });
    assert_eq!(txn(&mut world, json!([put])), Err(Code::TooMany));
    txn(&mut world, json!([put, { "op": "delete", "key": "a" }])).unwrap();
    assert_eq!(version(&world, "b"), Some(1));
    assert_eq!(txn(&mut world, json!([put, put, put])), Err(Code::TooLarge));
    assert_eq!(world.last_reply("a").path.as_deref(), Some("ops"));
}

//! Limits of handoff and of rooms: each with the code that names it.

use super::*;

fn refused(task: Value) -> Code {
    let mut world = World::new();
    let verdict = world.send("boss", "handoff/dispatch", task);
    assert_eq!(
        world.replies("boss").len(),
        1,
        "a refusal is always answered"
    );
    verdict.expect_err("this task is not to be had")
}

fn with(field: &str, value: Value) -> Value {
    let mut task = json!({ "type": "draft" });
    task[field] = value;
    task
}

#[test]
fn what_this_version_does_not_have_is_said_so() {
    for (field, value) in [
        ("dependsOn", json!(["a"])),
        ("parent", json!("a")),
        ("group", json!("a")),
        ("groupSize", json!(2)),
    ] {
        assert_eq!(refused(with(field, value)), Code::NotImplemented, "{field}");
    }
    let mut world = World::new();
    for (verb, feature) in [
        ("blackboard/txn", "blackboard/txn"),
        ("blackboard/history", "blackboard/history"),
        ("blackboard/lock/l", "blackboard/lock"),
        ("blackboard/unlock/l", "blackboard/unlock"),
    ] {
        assert_eq!(world.send("a", verb, json!({})), Err(Code::NotImplemented));
        let reply = world.last_reply("a");
        assert!(reply.reason.unwrap().starts_with(feature));
    }
    let merge = json!({ "value": {}, "merge": true });
    assert_eq!(
        world.send("a", "blackboard/set/k", merge),
        Err(Code::NotImplemented)
    );
}

#[test]
fn tasks_are_checked() {
    for (field, value, code) in [
        ("payload", json!("x".repeat(262_143)), Code::TooLarge),
        ("capabilities", json!(vec!["c"; 17]), Code::TooLarge),
        ("anyOf", json!(vec!["c"; 17]), Code::TooLarge),
        ("correlationId", json!("x".repeat(513)), Code::TooLarge),
        ("traceparent", json!("x".repeat(513)), Code::TooLarge),
        ("affinity", json!("x".repeat(129)), Code::TooLarge),
        ("ttlMs", json!(0), Code::Expired),
        ("ttlMs", json!(u64::MAX), Code::Invalid),
        ("notBeforeMs", json!(u64::MAX), Code::Invalid),
        ("leaseMs", json!(1), Code::Invalid),
        ("leaseMs", json!(u64::MAX), Code::Invalid),
        ("maxAttempts", json!(0), Code::Invalid),
        ("maxAttempts", json!(101), Code::Invalid),
        (
            "backoff",
            json!({ "initialMs": 1, "factor": 0.5, "maxMs": 9 }),
            Code::Invalid,
        ),
        (
            "backoff",
            json!({ "initialMs": 10, "factor": 2, "maxMs": 9 }),
            Code::Invalid,
        ),
        (
            "backoff",
            json!({ "initialMs": 1, "factor": 2, "maxMs": u64::MAX }),
            Code::Invalid,
        ),
        ("id", json!("a b"), Code::Malformed),
        ("type", json!(null), Code::Malformed),
    ] {
        assert_eq!(refused(with(field, value)), code, "{field}");
    }
    assert_eq!(refused(json!({})), Code::Malformed);
}

#[test]
fn a_result_always_fits_because_no_task_is_taken_beyond() {
    let mut world = World::new();
    world.mailboxes.free_messages.insert(agent("boss"), 2);
    world.dispatch("boss", "1", "draft");
    world.dispatch("boss", "2", "draft");
    let third = json!({ "id": "3", "type": "draft" });
    assert_eq!(
        world.send("boss", "handoff/dispatch", third.clone()),
        Err(Code::TooMany)
    );
    world.dispatch("boss", "2", "draft");
    world.crash();
    assert_eq!(
        world.send("boss", "handoff/dispatch", third.clone()),
        Err(Code::TooMany)
    );
    world.mailboxes.free_messages.insert(agent("boss"), 3);
    world.dispatch_with("boss", third);
    world.mailboxes.free_bytes.insert(agent("one"), 0);
    let task = json!({ "type": "draft" });
    assert_eq!(
        world.send("one", "handoff/dispatch", task),
        Err(Code::TooMany)
    );
}

#[test]
fn unfinished_tasks_of_a_room_are_bounded_in_number_and_bytes() {
    let mut world = World::with(Settings {
        max_tasks_per_room: 2,
        max_task_bytes_per_room: 10,
        ..Settings::default()
    });
    world.dispatch_with(
        "boss",
        json!({ "id": "1", "type": "draft", "payload": "12345" }),
    );
    let large = json!({ "id": "2", "type": "draft", "payload": "12345" });
    assert_eq!(
        world.send("boss", "handoff/dispatch", large),
        Err(Code::TooMany)
    );
    world.dispatch_with("boss", json!({ "id": "2", "type": "draft", "payload": 1 }));
    let third = json!({ "id": "3", "type": "draft" });
    assert_eq!(
        world.send("boss", "handoff/dispatch", third.clone()),
        Err(Code::TooMany)
    );
    world
        .send("boss", "handoff/cancel", json!({ "task": "1" }))
        .unwrap();
    world.dispatch_with("boss", third);
}

#[test]
fn ended_tasks_beyond_the_limit_are_forgotten_oldest_first() {
    let mut world = World::with(Settings {
        max_ended_tasks_per_room: 1,
        ..Settings::default()
    });
    world.worker("w", "draft");
    for id in ["1", "2"] {
        world.dispatch("boss", id, "draft");
        world.success("w", id, 1);
    }
    assert_eq!(
        world.send("v", "handoff/get", json!({ "task": "1" })),
        Err(Code::NotFound)
    );
    assert_eq!(world.state("2"), TaskState::Succeeded);
    assert_eq!(world.engine.stats().forgotten_early, 1);
    world.check();
}

#[test]
fn different_needs_are_bounded() {
    let mut world = World::with(Settings {
        max_routes_per_room: 1,
        ..Settings::default()
    });
    world.dispatch("boss", "1", "a");
    let other = json!({ "id": "2", "type": "b" });
    assert_eq!(
        world.send("boss", "handoff/dispatch", other.clone()),
        Err(Code::TooMany)
    );
    world
        .send("boss", "handoff/cancel", json!({ "task": "1" }))
        .unwrap();
    world.dispatch_with("boss", other);
    world.worker("w", "b");
    assert_eq!(world.assignments("w").len(), 1);
}

#[test]
fn rooms_are_bounded_and_refusals_make_none() {
    let mut world = World::with(Settings {
        max_rooms: 1,
        ..Settings::default()
    });
    assert_eq!(
        world.send_raw("a", "handoff/dispatch", "{"),
        Err(Code::Malformed)
    );
    assert_eq!(
        world.send("a", "handoff/get", json!({ "task": "t" })),
        Err(Code::NotFound)
    );
    assert_eq!(world.engine.stats().rooms, 0);
    world.dispatch("boss", "t", "draft");
    world.connect("a");
    assert_eq!(world.subscribe("a", "rooms/s/#"), Err(Code::TooMany));
    let set = World::command("a", topic("rooms/s/blackboard/set/a/k"), r#"{"value":1}"#);
    assert_eq!(world.input(Input::Command(set)), Err(Code::TooMany));
    let stats = world.engine.stats();
    assert_eq!(stats.rooms, 1);
    assert_eq!(stats.refusals.of(Code::TooMany), 1);
    assert_eq!(stats.refusals.of(Code::NotFound), 1);
    assert_eq!(stats.commands, 4);
}

#[test]
fn a_result_or_error_that_is_too_large_is_refused_and_the_task_goes_on() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.dispatch("boss", "t", "draft");
    let mut update = json!({ "task": "t", "attempt": 1, "status": "success" });
    update["result"] = "x".repeat(262_143).into();
    assert_eq!(
        world.send("w", "handoff/update", update.clone()),
        Err(Code::TooLarge)
    );
    update["result"] = 1.into();
    update["error"] = json!({ "message": "x".repeat(2_049) });
    assert_eq!(
        world.send("w", "handoff/update", update),
        Err(Code::TooLarge)
    );
    let mut cancel = json!({ "task": "t" });
    cancel["reason"] = "x".repeat(2_049).into();
    assert_eq!(
        world.send("boss", "handoff/cancel", cancel),
        Err(Code::TooLarge)
    );
    assert_eq!(world.state("t"), TaskState::Assigned);
}

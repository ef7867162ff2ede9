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
    world.mailboxes.free_results.insert(agent("boss"), 2);
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
    world.mailboxes.free_results.insert(agent("boss"), 3);
    world.dispatch_with("boss", third);
    world.mailboxes.free_result_bytes.insert(agent("one"), 0);
    let task = json!({ "type": "draft" });
    assert_eq!(
        world.send("one", "handoff/dispatch", task),
        Err(Code::TooMany)
    );
}

#[test]
fn unfinished_tasks_of_a_room_are_bounded_in_number_and_bytes() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_tasks_per_room = 2;
        settings.handoff.max_task_bytes_per_room = Size(10);
    }));
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
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_ended_tasks_per_room = 1
    }));
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
fn what_waits_for_a_capability_is_bounded_and_so_is_how_fast_it_comes() {
    let mut settings = Settings::default();
    let slow = crate::engine::CapabilityConfig {
        dispatch_rate: Some(10),
        dispatch_burst: Some(2),
        ..Default::default()
    };
    let few = crate::engine::CapabilityConfig {
        max_queued: Some(1),
        ..Default::default()
    };
    settings.handoff.capabilities =
        BTreeMap::from([("slow", slow), ("few", few)].map(|(name, limits)| {
            let name = crate::wire::name::Capability::new(name).unwrap();
            (name, limits)
        }));
    let mut world = World::with(settings);
    let send = |world: &mut World, kind: &str| {
        world.send("boss", "handoff/dispatch", json!({ "type": kind }))
    };
    assert_eq!(send(&mut world, "few"), Ok(()));
    assert_eq!(send(&mut world, "few"), Err(Code::TooMany));
    let both = json!({ "type": "x", "capabilities": ["slow", "few"] });
    assert_eq!(
        world.send("boss", "handoff/dispatch", both),
        Err(Code::TooMany)
    );
    world.worker("w", "few");
    assert_eq!(send(&mut world, "few"), Ok(()), "one is at work, one waits");
    for _ in 0..2 {
        assert_eq!(send(&mut world, "slow"), Ok(()));
    }
    assert_eq!(send(&mut world, "slow"), Err(Code::TooMany));
    let reason = world.last_reply("boss").reason.unwrap();
    assert!(reason.ends_with("try again in 100 ms"), "{reason}");
    assert_eq!(send(&mut world, "other"), Ok(()));
    world.pass(99);
    assert_eq!(send(&mut world, "slow"), Err(Code::TooMany));
    world.pass(1);
    assert_eq!(send(&mut world, "slow"), Ok(()));
    assert_eq!(send(&mut world, "slow"), Err(Code::TooMany));
    world.pass(10_000);
    for expected in [Ok(()), Ok(()), Err(Code::TooMany)] {
        assert_eq!(send(&mut world, "slow"), expected, "no more than the burst");
    }
}

#[test]
fn a_type_may_have_defaults_of_its_own() {
    let of_type = crate::engine::TaskTypeDefaults {
        lease: Some(ms(7_000)),
        max_attempts: Some(1),
        backoff_initial: Some(ms(10)),
        priority: Some(crate::wire::handoff::Priority::High),
        ttl: Some(ms(50_000)),
        result_retention: Some(ms(1_000)),
        ..Default::default()
    };
    let careful = crate::engine::TaskTypeDefaults {
        require_online: true,
        ..Default::default()
    };
    let types = [("draft", of_type), ("careful", careful)].map(|(name, of_type)| {
        let name = crate::wire::name::TaskType::new(name).unwrap();
        (name, of_type)
    });
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.types = BTreeMap::from(types)
    }));
    let careful = json!({ "type": "careful" });
    assert_eq!(
        world.send("boss", "handoff/dispatch", careful),
        Err(Code::Unavailable)
    );
    world.dispatch("boss", "usual", "review");
    world
        .send("boss", "handoff/cancel", json!({ "task": "usual" }))
        .unwrap();
    world.worker("w", "draft");
    world.dispatch("boss", "t", "draft");
    let view = world.view("t");
    assert_eq!(
        (view.max_attempts, view.deadline),
        (1, Some(START + 50_000))
    );
    assert_eq!(view.priority, crate::wire::handoff::Priority::High);
    let own = json!({ "id": "own", "type": "draft", "maxAttempts": 2, "leaseMs": 200, "priority": "low" });
    world.dispatch_with("boss", own);
    assert_eq!(world.view("own").max_attempts, 2);
    world.success("w", "t", 1);
    world.crash();
    world.pass(999);
    assert_eq!(world.state("t"), TaskState::Succeeded);
    world.pass(1);
    let get = json!({ "task": "t" });
    assert_eq!(world.send("v", "handoff/get", get), Err(Code::NotFound));
    assert_eq!(
        world.state("usual"),
        TaskState::Cancelled,
        "kept for longer"
    );
}

#[test]
fn different_needs_are_bounded() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_routes_per_room = 1
    }));
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
    let mut world = World::with(Settings::tuned(|settings| settings.rooms.max_rooms = 1));
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

//! Crashes: at any point the engine is rebuilt from its records and brings everything to the same
//! end.

use super::*;

/// Two workers with durable sessions, a bit of everything, and at last all tasks ended.
fn story(crash_after: Option<usize>) -> World {
    let mut world = World::new();
    world.crash_after = crash_after;
    for name in ["w", "x"] {
        world.connect_as(name, false, true);
        world.offers(name, "draft");
    }
    world
        .send("w", "presence/announce", json!({ "role": "writer" }))
        .unwrap();
    world.dispatch_with(
        "boss",
        json!({ "id": "plain", "type": "draft", "payload": "p".repeat(2_000) }),
    );
    world.dispatch_with(
        "boss",
        json!({ "id": "later", "type": "draft", "notBeforeMs": 5_000 }),
    );
    world.dispatch_with(
        "boss",
        json!({ "id": "nobody", "type": "rare", "ttlMs": 600_000 }),
    );
    world.dispatch_with("boss", json!({ "id": "cancelled", "type": "rare" }));
    world
        .send(
            "boss",
            "handoff/cancel",
            json!({ "task": "cancelled", "id": "c" }),
        )
        .unwrap();
    world
        .send("w", "blackboard/set/plan", json!({ "value": 1, "id": "s" }))
        .unwrap();
    world
        .send(
            "w",
            "blackboard/set/gone",
            json!({ "value": 1, "ttlMs": 50_000 }),
        )
        .unwrap();
    world
        .send(
            "w",
            "approve/request",
            json!({ "id": "p", "action": "publish", "quorum": 2 }),
        )
        .unwrap();
    world
        .send("a", "approve/decide/p", json!({ "decision": "approve" }))
        .unwrap();
    world
        .send(
            "w",
            "approve/request",
            json!({ "id": "q", "action": "x", "timeoutMs": 9_000 }),
        )
        .unwrap();
    for _ in 0..60 {
        reconnect(&mut world);
        work(&mut world);
        world.pass(10_000);
    }
    world
        .send("b", "approve/decide/p", json!({ "decision": "approve" }))
        .ok();
    world
}

/// Who lost its connection in a crash comes back with its session.
fn reconnect(world: &mut World) {
    for name in ["w", "x"] {
        let connection = world.presence(name).unwrap().connection;
        if connection != crate::wire::presence::ConnectionState::Online {
            world.connect_as(name, true, true);
        }
    }
}

/// Workers finish whatever they were sent; what they did already is refused.
fn work(world: &mut World) {
    for name in ["w", "x"] {
        for (task, attempt) in world.assignments(name) {
            let _ = world.update(name, &task, attempt, "success");
        }
    }
}

#[test]
fn a_crash_anywhere_changes_nothing_in_the_end() {
    let untouched = story(None);
    untouched.check();
    assert!(untouched.inputs > 30);
    for crash_after in 1..=untouched.inputs.min(60) {
        let mut world = story(Some(crash_after));
        let mut results = world.final_results("boss");
        results.sort_by(|left, right| left.0.cmp(&right.0));
        let ended = [
            ("cancelled", TaskState::Cancelled),
            ("later", TaskState::Succeeded),
            ("nobody", TaskState::Expired),
            ("plain", TaskState::Succeeded),
        ];
        assert_eq!(
            results,
            ended.map(|(task, state)| (task.to_owned(), state)),
            "{crash_after}"
        );
        assert_eq!(world.decisions("w").len(), 2, "{crash_after}");
        assert_eq!(
            world.retained("blackboard/state/plan").unwrap()["version"],
            1
        );
        assert_eq!(world.retained("blackboard/state/gone"), None);
        assert!(world.view("plain").worker.is_some());
        world.check();
    }
}

#[test]
fn records_alone_give_the_same_records_again() {
    let mut world = story(None);
    let before = world.disk.clone();
    world.restart();
    world.end_batch();
    assert_eq!(world.disk, before, "recovery itself changes nothing");
    assert!(world.engine.poll_effect().is_none());
}

#[test]
fn worker_that_returns_after_a_crash_keeps_its_task() {
    let mut world = World::new();
    world.connect_as("w", false, true);
    world.offers("w", "draft");
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "leaseMs": 1_000 }),
    );
    world.crash();
    let presence = world.presence("w").unwrap();
    assert_eq!(
        presence.connection,
        crate::wire::presence::ConnectionState::Away
    );
    world.pass(29_999);
    assert_eq!(world.state("t"), TaskState::Assigned);
    world.connect_as("w", true, true);
    assert_eq!(world.assignments("w").len(), 2);
    world.success("w", "t", 1);
    assert_eq!(world.final_results("boss").len(), 1);
    world.check();
}

#[test]
fn no_lease_runs_out_because_the_gateway_was_down() {
    for (lease_ms, until_back) in [(1_000, 29_999), (100_000, 29_999), (100_000, 1)] {
        let mut world = World::new();
        world.connect_as("w", false, true);
        world.offers("w", "draft");
        world.dispatch_with(
            "boss",
            json!({ "id": "t", "type": "draft", "leaseMs": lease_ms }),
        );
        world.pass(lease_ms - 1);
        world.now += 60 * 60_000;
        world.crash();
        world.pass(until_back);
        assert_eq!(world.state("t"), TaskState::Assigned);
        world.connect_as("w", true, true);
        world.pass(lease_ms - 1);
        assert_eq!(world.state("t"), TaskState::Assigned, "a whole lease");
        world.pass(1);
        assert_eq!(world.state("t"), TaskState::Waiting, "and no more");
        world.check();
    }
}

#[test]
fn worker_that_does_not_return_after_a_crash_loses_its_task() {
    for durable in [true, false] {
        let mut world = World::new();
        world.connect_as("w", false, durable);
        world.offers("w", "draft");
        world.dispatch("boss", "t", "draft");
        world.crash();
        world.pass(30_000);
        assert_eq!(world.state("t"), TaskState::Waiting);
        assert_eq!(world.presence("w").is_some(), durable);
        world.check();
    }
}

#[test]
fn what_came_due_while_the_gateway_was_down_happens_at_once() {
    let mut world = World::new();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "ttlMs": 1_000 }),
    );
    world
        .send(
            "a",
            "approve/request",
            json!({ "id": "p", "action": "x", "timeoutMs": 1_000 }),
        )
        .unwrap();
    world
        .send(
            "a",
            "blackboard/set/k",
            json!({ "value": 1, "ttlMs": 1_000 }),
        )
        .unwrap();
    world.now += 5_000;
    world.crash();
    assert_eq!(
        world.final_results("boss"),
        [("t".to_owned(), TaskState::Expired)]
    );
    assert!(world.decisions("a")[0].timed_out);
    assert_eq!(world.retained("blackboard/state/k"), None);
}

#[test]
fn nobody_is_given_work_before_the_engine_knows_who_is_there() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "notBeforeMs": 1_000 }),
    );
    world.now += 5_000;
    world.crash();
    assert_eq!(world.state("t"), TaskState::Queued);
    assert!(world.assignments("w").is_empty());
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let (one, other) = (story(None), story(None));
    assert_eq!(format!("{:?}", one.effects), format!("{:?}", other.effects));
    assert_eq!(one.disk, other.disk);
}

#[test]
fn a_large_payload_leaves_the_disk_when_its_task_ends() {
    let mut world = World::new();
    world.worker("w", "draft");
    for (id, size) in [("small", 100), ("large", 10_000)] {
        let payload = "p".repeat(size);
        world.dispatch_with(
            "boss",
            json!({ "id": id, "type": "draft", "payload": payload }),
        );
        world.success("w", id, 1);
    }
    let size: usize = world.disk.values().map(Vec::len).sum();
    assert!(size < 2_000, "{size}");
    world.crash();
    assert_eq!(world.state("large"), TaskState::Succeeded);
}

#[test]
fn records_that_cannot_be_read_are_named() {
    let mut world = World::new();
    world.dispatch("boss", "t", "draft");
    let settings = Settings::default;
    for (key, value) in world.disk.clone() {
        let mut newer = world.disk.clone();
        newer.insert(key.clone(), [&[2], &value[1..]].concat());
        let error = Engine::recover(settings(), 1, newer).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected format 1, found Some(2)"),
            "{error}"
        );
        let mut cut = world.disk.clone();
        cut.insert(key, value[..value.len() - 1].to_vec());
        assert!(Engine::recover(settings(), 1, cut).is_err());
    }
    let half = |tag| {
        world
            .disk
            .clone()
            .into_iter()
            .filter(move |(key, _)| key[2] != tag)
    };
    assert!(Engine::recover(settings(), 1, half(3)).is_err());
    assert!(Engine::recover(settings(), 1, half(4)).is_err());
    let unknown = [(b"nonsense".to_vec(), vec![1])];
    assert!(Engine::recover(settings(), 1, unknown).is_err());
}

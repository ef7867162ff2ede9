//! Handoff, from dispatch to result.

mod absence;
mod asking;
mod attempts;

use super::*;

fn world_with_worker() -> World {
    let mut world = World::new();
    world.worker("w", "draft");
    world
}

fn assigned(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
    pairs
        .iter()
        .map(|(task, attempt)| ((*task).to_owned(), *attempt))
        .collect()
}

#[test]
fn a_task_goes_to_a_capable_worker_and_its_result_comes_back() {
    let mut world = world_with_worker();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "payload": { "b": 1.10, "a": null }, "correlationId": "c" }),
    );
    let sent = world
        .directed
        .iter()
        .find(|directed| directed.to == agent("w"))
        .unwrap();
    assert_eq!(sent.topic.format(ROOT), "rooms/r/handoff/work/draft");
    let assignment: Assignment = parse(&sent.payload);
    assert_eq!(assignment.payload.unwrap().text(), r#"{"a":null,"b":1.1}"#);
    assert_eq!(assignment.lease_ms, 60_000);
    assert_eq!(world.state("t"), TaskState::Assigned);
    world.update("w", "t", 1, "accepted").unwrap();
    assert_eq!(world.state("t"), TaskState::Running);
    world
        .send(
            "w",
            "handoff/update",
            json!({ "task": "t", "attempt": 1, "status": "success", "result": [1.0] }),
        )
        .unwrap();
    assert_eq!(world.state("t"), TaskState::Succeeded);
    let results = world.results("boss");
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].result.as_ref().unwrap().text(), "[1.0]");
    assert_eq!(results[0].correlation_id.as_deref(), Some("c"));
    assert_eq!(results[0].worker, Some(agent("w")));
    assert!(results[0].is_final);
    assert_eq!(
        world.story("t"),
        [
            "handoff.dispatched",
            "handoff.assigned",
            "handoff.running",
            "handoff.succeeded"
        ]
    );
    world.check();
}

#[test]
fn a_task_that_nobody_can_do_waits_for_somebody_who_can() {
    let mut world = World::new();
    world.dispatch("boss", "t", "draft");
    assert_eq!(world.state("t"), TaskState::Queued);
    world.worker("other", "review");
    assert_eq!(world.state("t"), TaskState::Queued);
    world.worker("w", "draft");
    assert_eq!(world.assignments("w"), assigned(&[("t", 1)]));
}

#[test]
fn require_online_refuses_what_nobody_online_can_do() {
    let mut world = World::new();
    let task = json!({ "id": "t", "type": "draft", "requireOnline": true });
    assert_eq!(
        world.send("boss", "handoff/dispatch", task.clone()),
        Err(Code::Unavailable)
    );
    world.worker("w", "draft");
    world.dispatch("boss", "first", "draft");
    world.dispatch_with("boss", task);
    assert_eq!(world.state("t"), TaskState::Queued, "capable, if busy");
    world.disconnect("w");
    let task = json!({ "id": "u", "type": "draft", "requireOnline": true });
    assert_eq!(
        world.send("boss", "handoff/dispatch", task),
        Err(Code::Unavailable)
    );
}

#[test]
fn a_worker_gets_as_many_tasks_as_its_capacity_and_the_most_urgent_first() {
    let mut world = World::new();
    for (id, priority) in [
        ("low", "low"),
        ("old", "medium"),
        ("new", "medium"),
        ("top", "critical"),
    ] {
        world.dispatch_with(
            "boss",
            json!({ "id": id, "type": "draft", "priority": priority }),
        );
    }
    world.connect("w");
    world
        .send("w", "presence/announce", json!({ "capacity": 2 }))
        .unwrap();
    world.offers("w", "draft");
    assert_eq!(world.assignments("w"), assigned(&[("top", 1), ("old", 1)]));
    world.success("w", "top", 1);
    world.success("w", "old", 1);
    assert_eq!(
        world.assignments("w"),
        assigned(&[("top", 1), ("old", 1), ("new", 1), ("low", 1)])
    );
}

#[test]
fn all_capabilities_are_needed_and_one_by_subscription() {
    let mut world = World::new();
    world.worker("half", "draft");
    world.connect("deaf");
    world
        .send(
            "deaf",
            "presence/announce",
            json!({ "capabilities": ["draft", "german"] }),
        )
        .unwrap();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "text", "capabilities": ["german", "draft"] }),
    );
    assert_eq!(world.state("t"), TaskState::Queued);
    world.worker("both", "draft");
    world
        .send(
            "both",
            "presence/announce",
            json!({ "capabilities": ["german"] }),
        )
        .unwrap();
    assert_eq!(world.assignments("both"), assigned(&[("t", 1)]));
    let sent = world
        .directed
        .iter()
        .rfind(|directed| directed.to == agent("both"))
        .unwrap();
    assert_eq!(sent.topic.format(ROOT), "rooms/r/handoff/work/draft");
}

#[test]
fn draining_and_overloaded_workers_get_no_new_work() {
    for status in ["draining", "overloaded"] {
        let mut world = world_with_worker();
        world
            .send("w", "presence/announce", json!({ "status": status }))
            .unwrap();
        world.dispatch("boss", "t", "draft");
        assert_eq!(world.state("t"), TaskState::Queued);
        world
            .send("w", "presence/announce", json!({ "status": "idle" }))
            .unwrap();
        assert_eq!(world.state("t"), TaskState::Assigned);
    }
}

#[test]
fn work_is_spread_over_workers_by_load() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.connect(name);
        world
            .send(name, "presence/announce", json!({ "capacity": 2 }))
            .unwrap();
        world.offers(name, "draft");
    }
    for id in ["1", "2", "3", "4"] {
        world.dispatch("boss", id, "draft");
    }
    assert_eq!(world.assignments("a"), assigned(&[("1", 1), ("3", 1)]));
    assert_eq!(world.assignments("b"), assigned(&[("2", 1), ("4", 1)]));
}

#[test]
fn the_same_affinity_prefers_the_same_worker_while_it_is_free() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.connect(name);
        world
            .send(name, "presence/announce", json!({ "capacity": 2 }))
            .unwrap();
        world.offers(name, "draft");
    }
    for id in ["1", "2", "3"] {
        world.dispatch_with(
            "boss",
            json!({ "id": id, "type": "draft", "affinity": "customer-7" }),
        );
    }
    assert_eq!(world.assignments("a"), assigned(&[("1", 1), ("2", 1)]));
    assert_eq!(world.assignments("b"), assigned(&[("3", 1)]));
    world.success("a", "1", 1);
    world.dispatch_with(
        "boss",
        json!({ "id": "4", "type": "draft", "affinity": "customer-7" }),
    );
    assert_eq!(
        world.assignments("b"),
        assigned(&[("3", 1), ("4", 1)]),
        "the last one counts"
    );
    world.check();
}

#[test]
fn a_worker_that_lets_a_lease_run_out_is_shown_as_overloaded_until_it_speaks_again() {
    let mut world = world_with_worker();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "maxAttempts": 1 }),
    );
    world.dispatch("boss", "u", "draft");
    world.pass(60_000);
    let status = |world: &World| world.presence("w").unwrap().status;
    assert_eq!(status(&world), crate::wire::presence::Status::Overloaded);
    world.update("w", "u", 1, "progress").unwrap();
    assert_eq!(status(&world), crate::wire::presence::Status::Busy);
}

#[test]
fn a_deadline_ends_a_task_wherever_it_stands() {
    let mut world = World::new();
    let task = |id| json!({ "id": id, "type": "draft", "ttlMs": 5_000 });
    world.dispatch_with("boss", task("queued"));
    world.pass(5_000);
    assert_eq!(world.state("queued"), TaskState::Expired);
    world.worker("w", "draft");
    world.dispatch_with("boss", task("held"));
    world.pass(5_000);
    assert_eq!(world.revoked(), [("w".to_owned(), "held".to_owned(), 1)]);
    assert_eq!(world.update("w", "held", 1, "success"), Err(Code::Conflict));
    let mut waiting = task("waiting");
    waiting["notBeforeMs"] = 9_000.into();
    world.dispatch_with("boss", waiting);
    world.pass(5_000);
    assert_eq!(
        world.final_results("boss"),
        ["queued", "held", "waiting"].map(|task| (task.to_owned(), TaskState::Expired))
    );
    assert_eq!(world.presence("w").unwrap().in_flight, 0);
}

#[test]
fn a_delayed_task_waits_for_its_time() {
    let mut world = world_with_worker();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "notBeforeMs": 500 }),
    );
    assert_eq!(world.state("t"), TaskState::Waiting);
    assert_eq!(world.next_timer(), Some((500, Timer::Due)));
    world.pass(500);
    assert_eq!(world.state("t"), TaskState::Assigned);
}

#[test]
fn of_tasks_that_come_due_together_the_most_urgent_goes_first() {
    let mut world = world_with_worker();
    for (id, priority) in [("a", "low"), ("b", "critical")] {
        let task = json!({ "id": id, "type": "draft", "notBeforeMs": 500, "priority": priority });
        world.dispatch_with("boss", task);
    }
    world.pass(500);
    assert_eq!(world.assignments("w"), assigned(&[("b", 1)]));
}

#[test]
fn a_cancelled_task_ends_at_once_and_only_once() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    let cancel = json!({ "task": "t", "reason": "changed my mind" });
    world
        .send("boss", "handoff/cancel", cancel.clone())
        .unwrap();
    assert_eq!(
        world.final_results("boss"),
        [("t".to_owned(), TaskState::Cancelled)]
    );
    assert_eq!(
        world.results("boss")[0].error.as_ref().unwrap().message,
        "changed my mind"
    );
    assert_eq!(world.revoked().len(), 1);
    assert_eq!(world.update("w", "t", 1, "success"), Err(Code::Conflict));
    assert_eq!(
        world.send("boss", "handoff/cancel", cancel),
        Err(Code::Conflict)
    );
    let unknown = json!({ "task": "no" });
    assert_eq!(
        world.send("boss", "handoff/cancel", unknown),
        Err(Code::NotFound)
    );
}

#[test]
fn progress_with_a_result_goes_to_the_dispatcher_as_a_partial_one() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    let update = json!({ "task": "t", "attempt": 1, "status": "progress", "result": "half" });
    world.send("w", "handoff/update", update.clone()).unwrap();
    let results = world.results("boss");
    assert!(!results[0].is_final);
    assert_eq!(results[0].result.as_ref().unwrap().text(), "\"half\"");
    world.mailboxes.free_results.insert(agent("boss"), 1);
    assert_eq!(
        world.send("w", "handoff/update", update),
        Err(Code::TooMany)
    );
    world.success("w", "t", 1);
    assert_eq!(
        world.final_results("boss").len(),
        1,
        "there was room for the final one"
    );
}

#[test]
fn a_dead_task_can_be_put_back_and_ends_again() {
    let mut world = world_with_worker();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "maxAttempts": 1, "payload": "p" }),
    );
    assert_eq!(
        world.send("op", "handoff/redrive", json!({ "task": "t" })),
        Err(Code::Conflict)
    );
    world.update("w", "t", 1, "error").unwrap();
    world
        .send("op", "handoff/redrive", json!({ "task": "t" }))
        .unwrap();
    assert_eq!(world.assignments("w"), assigned(&[("t", 1), ("t", 2)]));
    world.success("w", "t", 2);
    assert_eq!(
        world.final_results("boss"),
        [TaskState::Dead, TaskState::Succeeded].map(|state| ("t".to_owned(), state))
    );
    world.check();
}

#[test]
fn a_repeated_dispatch_is_one_task_and_anothers_id_is_a_conflict() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.dispatch("boss", "t", "draft");
    assert_eq!(world.assignments("w").len(), 1);
    let replies = world.replies("boss");
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0], replies[1]);
    let again = json!({ "id": "t", "type": "draft" });
    assert_eq!(
        world.send("other", "handoff/dispatch", again.clone()),
        Err(Code::Conflict)
    );
    world.success("w", "t", 1);
    world.dispatch_with("boss", again);
    assert_eq!(world.final_results("boss").len(), 1);
}

#[test]
fn a_task_without_an_id_gets_one() {
    let mut world = World::new();
    for _ in 0..2 {
        world.dispatch_with("boss", json!({ "type": "draft", "correlationId": "c" }));
    }
    let ids: Vec<_> = world
        .replies("boss")
        .into_iter()
        .map(|reply| reply.task.unwrap())
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0].as_str().len(), 26);
}

#[test]
fn an_ended_task_is_remembered_for_a_while_and_then_forgotten() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.success("w", "t", 1);
    assert_eq!(world.next_timer().unwrap().1, Timer::Retention);
    world.pass(24 * 60 * 60 * 1_000 - 1);
    assert_eq!(world.state("t"), TaskState::Succeeded);
    world.pass(1);
    assert_eq!(
        world.send("v", "handoff/get", json!({ "task": "t" })),
        Err(Code::NotFound)
    );
    assert_eq!(world.engine.stats().tasks, TaskCounts::default());
    let left = world
        .disk
        .keys()
        .filter(|key| matches!(key[2], 3 | 4))
        .count();
    assert_eq!(left, 0, "its records are gone too");
    assert_eq!(world.next_timer(), None);
}

#[test]
fn a_traced_task_carries_its_trace_everywhere() {
    let mut world = world_with_worker();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "traceparent": "00-a-b-01" }),
    );
    world.success("w", "t", 1);
    let events = world.events.iter().filter(|event| event.subject == "t");
    assert!(events.clone().count() >= 3);
    assert!(
        events
            .clone()
            .all(|event| event.traceparent.as_deref() == Some("00-a-b-01"))
    );
    assert_eq!(
        world.results("boss")[0].traceparent.as_deref(),
        Some("00-a-b-01")
    );
}

#[test]
fn a_view_shows_where_a_task_stands() {
    let mut world = world_with_worker();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "priority": "high", "ttlMs": 9_000 }),
    );
    world.pass(10);
    world.update("w", "t", 1, "error").unwrap();
    let view = world.view("t");
    assert_eq!(view.worker.as_ref().map(Agent::as_str), Some("w"));
    assert_eq!((view.attempt, view.max_attempts), (1, 3));
    assert_eq!((view.created_at, view.updated_at), (START, START + 10));
    assert_eq!(view.deadline, Some(START + 9_000));
    assert!(view.error.is_some());
}

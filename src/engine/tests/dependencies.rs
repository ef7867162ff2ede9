//! Handoff: dependencies, parents and children, groups.

use super::*;

use crate::wire::handoff::{GroupResult, ResultStatus};

fn task(id: &str, more: Value) -> Value {
    let mut task = json!({ "id": id, "type": "draft" });
    for (field, value) in more.as_object().unwrap() {
        task[field] = value.clone();
    }
    task
}

/// A world with a worker that takes many tasks at once.
fn busy_world(settings: Settings) -> World {
    let mut world = World::with(settings);
    world.worker("w", "draft");
    world
        .send("w", "presence/announce", json!({ "capacity": 50 }))
        .unwrap();
    world
}

fn cancel(world: &mut World, id: &str) -> Verdict {
    world.send(
        "boss",
        "handoff/cancel",
        json!({ "task": id, "reason": "no need" }),
    )
}

fn group_results(world: &World, name: &str) -> Vec<GroupResult> {
    let results: Vec<Value> =
        world.directed_to(name, |topic| matches!(topic, Topic::HandoffResult { .. }));
    let groups = results.into_iter().filter(|one| one["status"] == "group");
    groups
        .map(|one| serde_json::from_value(one).unwrap())
        .collect()
}

#[test]
fn a_task_waits_until_everything_that_it_depends_on_has_succeeded() {
    let mut world = busy_world(Settings::default());
    world.dispatch("boss", "a", "draft");
    world.dispatch("boss", "b", "draft");
    world.success("w", "a", 1);
    world.dispatch_with("boss", task("c", json!({ "dependsOn": ["a", "b", "b"] })));
    let view = world.view("c");
    assert_eq!(view.state, TaskState::Waiting);
    assert_eq!((view.depends_on.len(), view.waits_for.len()), (2, 1));
    world.crash();
    world.pass(1_000);
    assert_eq!(world.state("c"), TaskState::Waiting);
    world.worker("w", "draft");
    world.success("w", "b", 1);
    assert_eq!(world.state("c"), TaskState::Assigned);
    world.dispatch_with("boss", task("d", json!({ "dependsOn": ["a", "b"] })));
    assert_eq!(world.state("d"), TaskState::Assigned, "nothing to wait for");
    world.check();
}

#[test]
fn a_delay_and_dependencies_are_both_waited_for() {
    let mut world = busy_world(Settings::default());
    world.dispatch("boss", "a", "draft");
    for (id, delay) in [("soon", 10), ("late", 5_000)] {
        world.dispatch_with(
            "boss",
            task(id, json!({ "dependsOn": ["a"], "notBeforeMs": delay })),
        );
    }
    world.pass(20);
    assert_eq!(world.state("soon"), TaskState::Waiting);
    world.success("w", "a", 1);
    assert_eq!(world.state("soon"), TaskState::Assigned);
    assert_eq!(world.state("late"), TaskState::Waiting);
    world.pass(5_000);
    assert_eq!(world.state("late"), TaskState::Assigned);
}

#[test]
fn what_does_not_succeed_fails_all_that_depends_on_it_with_the_reason() {
    for crash in [false, true] {
        let mut world = busy_world(Settings::default());
        world.dispatch_with("boss", task("a", json!({ "maxAttempts": 1 })));
        world.dispatch_with("boss", task("b", json!({ "dependsOn": ["a"] })));
        world.dispatch_with("boss", task("c", json!({ "dependsOn": ["b"] })));
        let failed = json!({ "task": "a", "attempt": 1, "status": "error", "error": { "message": "no ink" } });
        world.send("w", "handoff/update", failed).unwrap();
        if crash {
            world.crash();
        }
        world.pass(0);
        assert_eq!(
            world.final_results("boss"),
            ["a", "b", "c"].map(|id| (id.to_owned(), TaskState::Dead))
        );
        let error = world.results("boss")[2].error.clone().unwrap();
        assert_eq!(error.code.as_deref(), Some("dependency-failed"));
        assert_eq!(
            error.message,
            "it depends on b, which is dead: it depends on a, which is dead: no ink"
        );
        // What comes too late fares no other.
        world.dispatch_with("boss", task("d", json!({ "dependsOn": ["a"] })));
        world.pass(0);
        assert_eq!(world.state("d"), TaskState::Dead);
        world.check();
    }
}

#[test]
fn cancelled_and_expired_tasks_fail_their_dependants_too() {
    let mut world = World::new();
    world.dispatch_with("boss", task("a", json!({ "ttlMs": 100 })));
    world.dispatch("boss", "b", "draft");
    world.dispatch_with("boss", task("c", json!({ "dependsOn": ["a"] })));
    world.dispatch_with("boss", task("d", json!({ "dependsOn": ["b"] })));
    cancel(&mut world, "b").unwrap();
    world.pass(100);
    assert_eq!(world.state("c"), TaskState::Dead);
    assert_eq!(world.state("d"), TaskState::Dead);
}

#[test]
fn dependencies_must_exist_and_are_bounded() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_dependencies_per_task = 2;
        settings.handoff.max_dependants_per_task = 1;
    }));
    let mut dispatch = |task| world.send("boss", "handoff/dispatch", task);
    assert_eq!(
        dispatch(task("x", json!({ "dependsOn": ["x"] }))),
        Err(Code::NotFound)
    );
    assert_eq!(
        dispatch(task("y", json!({ "dependsOn": ["a", "b", "c"] }))),
        Err(Code::TooLarge)
    );
    dispatch(task("a", json!({}))).unwrap();
    dispatch(task("b", json!({ "dependsOn": ["a"] }))).unwrap();
    assert_eq!(
        dispatch(task("c", json!({ "dependsOn": ["a"] }))),
        Err(Code::TooMany)
    );
    assert_eq!(world.last_reply("boss").path.as_deref(), Some("dependsOn"));
    cancel(&mut world, "b").unwrap();
    world.dispatch_with("boss", task("c", json!({ "dependsOn": ["a"] })));
}

#[test]
fn a_chain_that_died_can_be_put_back_from_its_beginning() {
    let mut world = busy_world(Settings::default());
    world.dispatch_with("boss", task("a", json!({ "maxAttempts": 1 })));
    world.dispatch_with("boss", task("b", json!({ "dependsOn": ["a"] })));
    world.update("w", "a", 1, "error").unwrap();
    world.pass(0);
    let redrive =
        |world: &mut World, id| world.send("op", "handoff/redrive", json!({ "task": id }));
    assert_eq!(redrive(&mut world, "b"), Err(Code::Conflict));
    redrive(&mut world, "a").unwrap();
    redrive(&mut world, "b").unwrap();
    assert_eq!(world.state("b"), TaskState::Waiting);
    world.crash();
    world.worker("w", "draft");
    world.success("w", "a", 2);
    assert_eq!(world.state("b"), TaskState::Assigned);
    world.check();
}

#[test]
fn cancelling_a_task_cancels_all_that_belongs_to_it_and_tells_its_workers() {
    let mut world = busy_world(Settings::default());
    world.dispatch("boss", "top", "draft");
    world.dispatch_with("boss", task("left", json!({ "parent": "top" })));
    world.dispatch_with(
        "w",
        task("below", json!({ "parent": "left", "notBeforeMs": 9_000 })),
    );
    world.dispatch_with("boss", task("right", json!({ "parent": "top" })));
    world.dispatch("boss", "other", "draft");
    // Whose parent has ended still belongs to the one above.
    world.success("w", "left", 1);
    world.crash();
    cancel(&mut world, "top").unwrap();
    for (id, state) in [
        ("top", TaskState::Cancelled),
        ("left", TaskState::Succeeded),
        ("below", TaskState::Cancelled),
        ("right", TaskState::Cancelled),
        ("other", TaskState::Assigned),
    ] {
        assert_eq!(world.state(id), state, "{id}");
    }
    let error = world.view("below").error.unwrap();
    assert_eq!(
        error.message,
        "it belongs to top, which was cancelled: no need"
    );
    let told: Vec<Reply> = world
        .replies("w")
        .into_iter()
        .filter(|reply| reply.command == "handoff/work")
        .collect();
    let tasks: Vec<_> = told
        .iter()
        .map(|reply| (reply.task.clone().unwrap().to_string(), reply.code))
        .collect();
    assert_eq!(
        tasks,
        ["top", "right"].map(|id| (id.to_owned(), Code::Conflict))
    );
    assert!(told[0].reason.as_ref().unwrap().contains("no need"));
    world.check();
}

#[test]
fn a_worker_whose_task_expires_is_told() {
    let mut world = busy_world(Settings::default());
    world.dispatch_with("boss", task("t", json!({ "ttlMs": 100 })));
    world.pass(100);
    let reply = world.last_reply("w");
    assert_eq!(
        (reply.command.as_str(), reply.code),
        ("handoff/work", Code::Expired)
    );
}

#[test]
fn parents_must_be_at_it_and_families_are_bounded() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_depth = 2;
        settings.handoff.max_descendants_per_task = 3;
    }));
    let child = |id: &str, parent: &str| task(id, json!({ "parent": parent }));
    let mut dispatch = |task| world.send("boss", "handoff/dispatch", task);
    assert_eq!(dispatch(child("a", "a")), Err(Code::NotFound));
    dispatch(task("a", json!({}))).unwrap();
    dispatch(child("b", "a")).unwrap();
    dispatch(child("c", "b")).unwrap();
    assert_eq!(dispatch(child("d", "c")), Err(Code::Invalid));
    dispatch(child("d", "b")).unwrap();
    assert_eq!(dispatch(child("e", "a")), Err(Code::TooMany));
    cancel(&mut world, "d").unwrap();
    assert_eq!(
        world.send("boss", "handoff/dispatch", child("e", "d")),
        Err(Code::Conflict)
    );
    world.dispatch_with("boss", child("e", "a"));
    world.crash();
    let verdict = world.send("boss", "handoff/dispatch", child("f", "a"));
    assert_eq!(verdict, Err(Code::TooMany));
    cancel(&mut world, "a").unwrap();
    assert_eq!(world.final_results("boss").len(), 5);
    world.check();
}

#[test]
fn a_dead_child_of_a_cancelled_parent_stays_dead() {
    let mut world = busy_world(Settings::default());
    world.dispatch("boss", "top", "draft");
    world.dispatch_with(
        "boss",
        task("child", json!({ "parent": "top", "maxAttempts": 1 })),
    );
    world.update("w", "child", 1, "error").unwrap();
    cancel(&mut world, "top").unwrap();
    assert_eq!(world.state("child"), TaskState::Dead);
    let redrive = json!({ "task": "child" });
    assert_eq!(
        world.send("op", "handoff/redrive", redrive),
        Err(Code::Conflict)
    );
}

#[test]
fn a_group_has_one_result_that_lists_all_in_the_order_of_dispatch() {
    for crash in [false, true] {
        let mut world = busy_world(Settings::default());
        for id in ["a", "b", "c"] {
            world.dispatch_with(
                "boss",
                task(
                    id,
                    json!({ "group": "g", "groupSize": 3, "maxAttempts": 1 }),
                ),
            );
        }
        let done =
            |id| json!({ "task": id, "attempt": 1, "status": "success", "result": { "of": id } });
        world.send("w", "handoff/update", done("c")).unwrap();
        world.update("w", "b", 1, "error").unwrap();
        assert!(group_results(&world, "boss").is_empty());
        if crash {
            world.crash();
            world.worker("w", "draft");
        }
        world.send("w", "handoff/update", done("a")).unwrap();
        let results = group_results(&world, "boss");
        assert_eq!(results.len(), 1);
        assert!(results[0].complete && results[0].is_final);
        let told: Vec<_> = results[0]
            .tasks
            .iter()
            .map(|one| (one.task.as_str(), one.status))
            .collect();
        assert_eq!(
            told,
            [
                ("a", ResultStatus::Succeeded),
                ("b", ResultStatus::Dead),
                ("c", ResultStatus::Succeeded)
            ]
        );
        assert_eq!(
            results[0].tasks[2].result.as_ref().unwrap().text(),
            r#"{"of":"c"}"#
        );
        assert!(results[0].tasks[1].error.is_some());
        assert!(
            world
                .events
                .iter()
                .any(|event| event.what == "handoff.gathered" && event.subject == "g")
        );
        world.check();
        world.crash();
        world.pass(24 * 60 * 60 * 1_000);
        assert_eq!(group_results(&world, "boss").len(), 1, "only once");
        assert_eq!(world.engine.stats().tasks, TaskCounts::default());
    }
}

#[test]
fn a_group_that_never_gets_all_its_tasks_is_gathered_as_it_is() {
    let mut world = busy_world(Settings::tuned(|settings| {
        settings.handoff.result_retention = ms(10_000)
    }));
    world.dispatch_with("boss", task("a", json!({ "group": "g", "groupSize": 3 })));
    world.success("w", "a", 1);
    world.pass(9_000);
    world.dispatch_with("boss", task("b", json!({ "group": "g" })));
    world.success("w", "b", 1);
    world.pass(9_000);
    assert_eq!(world.state("a"), TaskState::Succeeded, "it is still wanted");
    world.pass(1_000);
    let results = group_results(&world, "boss");
    assert_eq!(
        (results.len(), results[0].complete, results[0].tasks.len()),
        (1, false, 2)
    );
    world.pass(10_000);
    assert_eq!(world.engine.stats().tasks, TaskCounts::default());
    assert_eq!(world.next_timer(), None);
}

#[test]
fn its_dispatcher_can_end_a_group_early() {
    let mut world = busy_world(Settings::default());
    let grouped = json!({ "group": "g", "groupSize": 4 });
    for id in ["1", "2", "3"] {
        world.dispatch_with("boss", task(id, grouped.clone()));
    }
    world.dispatch_with("boss", task("below", json!({ "parent": "3" })));
    let done = json!({ "task": "1", "attempt": 1, "status": "success", "result": 7 });
    world.send("w", "handoff/update", done).unwrap();
    let end = json!({ "group": "g", "reason": "enough" });
    assert_eq!(
        world.send("other", "handoff/cancel", end.clone()),
        Err(Code::NotFound)
    );
    world.send("boss", "handoff/cancel", end.clone()).unwrap();
    let result = &group_results(&world, "boss")[0];
    assert!(!result.complete && result.size == 4);
    let ends: Vec<_> = result.tasks.iter().map(|entry| entry.status).collect();
    let cancelled = crate::wire::handoff::ResultStatus::Cancelled;
    let succeeded = crate::wire::handoff::ResultStatus::Succeeded;
    assert_eq!(ends, [succeeded, cancelled, cancelled]);
    assert_eq!(result.tasks[0].result.as_ref().unwrap().text(), "7");
    assert_eq!(result.tasks[1].error.as_ref().unwrap().message, "enough");
    assert_eq!(world.state("below"), TaskState::Cancelled);
    world.crash();
    assert_eq!(group_results(&world, "boss").len(), 1);
    assert_eq!(
        world.send("boss", "handoff/cancel", end),
        Err(Code::NotFound)
    );
    assert_eq!(
        world.final_results("boss").len(),
        4,
        "each of them has its own, too"
    );
    for bad in [json!({}), json!({ "task": "1", "group": "g" })] {
        assert_eq!(
            world.send("boss", "handoff/cancel", bad),
            Err(Code::Invalid)
        );
    }
}

#[test]
fn a_group_of_which_all_are_there_is_complete_when_it_is_cancelled() {
    let mut world = World::new();
    let grouped = json!({ "group": "g", "groupSize": 2 });
    for id in ["1", "2"] {
        world.dispatch_with("boss", task(id, grouped.clone()));
    }
    world
        .send("boss", "handoff/cancel", json!({ "group": "g" }))
        .unwrap();
    let results = group_results(&world, "boss");
    assert_eq!(results.len(), 1);
    assert!(results[0].complete);
}

#[test]
fn what_has_no_room_in_a_group_result_is_said_to_be_left_out() {
    let mut world = busy_world(Settings::tuned(|settings| {
        settings.handoff.max_group_result = Size(40)
    }));
    for id in ["a", "b"] {
        world.dispatch_with("boss", task(id, json!({ "group": "g", "groupSize": 2 })));
    }
    for id in ["a", "b"] {
        let done =
            json!({ "task": id, "attempt": 1, "status": "success", "result": "x".repeat(30) });
        world.send("w", "handoff/update", done).unwrap();
    }
    let results = group_results(&world, "boss");
    let told: Vec<_> = results[0]
        .tasks
        .iter()
        .map(|one| (one.omitted, one.result.is_some()))
        .collect();
    assert_eq!(told, [(false, true), (true, false)]);
    assert!(world.results("boss").iter().all(|one| one.result.is_some()));
}

#[test]
fn a_dead_task_that_lives_again_is_waited_for_by_its_group() {
    let mut world = busy_world(Settings::default());
    for id in ["a", "b"] {
        world.dispatch_with(
            "boss",
            task(
                id,
                json!({ "group": "g", "groupSize": 2, "maxAttempts": 1 }),
            ),
        );
    }
    world.update("w", "a", 1, "error").unwrap();
    world
        .send("op", "handoff/redrive", json!({ "task": "a" }))
        .unwrap();
    world.success("w", "b", 1);
    assert!(group_results(&world, "boss").is_empty());
    world.crash();
    world.worker("w", "draft");
    world.success("w", "a", 2);
    let results = group_results(&world, "boss");
    assert_eq!(results[0].tasks[0].status, ResultStatus::Succeeded);
    world.check();
}

#[test]
fn groups_are_checked_and_bounded() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_groups_per_room = 2
    }));
    let member =
        |id: &str, group: &str, size: u32| task(id, json!({ "group": group, "groupSize": size }));
    let mut dispatch = |from, task| world.send(from, "handoff/dispatch", task);
    assert_eq!(
        dispatch("boss", task("x", json!({ "group": "g" }))),
        Err(Code::Invalid)
    );
    assert_eq!(
        dispatch("boss", task("x", json!({ "groupSize": 2 }))),
        Err(Code::Invalid)
    );
    assert_eq!(dispatch("boss", member("x", "g", 0)), Err(Code::Invalid));
    assert_eq!(
        dispatch("boss", member("x", "g", 1_001)),
        Err(Code::Invalid)
    );
    dispatch("boss", member("a", "g", 2)).unwrap();
    assert_eq!(dispatch("boss", member("x", "g", 3)), Err(Code::Conflict));
    dispatch("other", member("o", "g", 1)).unwrap();
    assert_eq!(dispatch("boss", member("x", "h", 2)), Err(Code::TooMany));
    dispatch("boss", member("b", "g", 2)).unwrap();
    assert_eq!(dispatch("boss", member("x", "g", 2)), Err(Code::Conflict));
    world.mailboxes.free_results.insert(agent("third"), 1);
    world.settings.handoff.max_groups_per_room = 9;
    world.crash();
    assert_eq!(
        world.send("third", "handoff/dispatch", member("t", "h", 2)),
        Err(Code::TooMany)
    );
    world.dispatch("third", "alone", "draft");
    assert_eq!(world.view("a").group.as_deref(), Some("g"));
}

#[test]
fn partial_results_are_counted_also_across_a_crash() {
    let mut world = busy_world(Settings::default());
    world.dispatch("boss", "t", "draft");
    let progress = json!({ "task": "t", "attempt": 1, "status": "progress", "result": 1 });
    world.send("w", "handoff/update", progress.clone()).unwrap();
    world.crash();
    world.worker("w", "draft");
    world.send("w", "handoff/update", progress).unwrap();
    world.success("w", "t", 1);
    let parts: Vec<_> = world
        .results("boss")
        .iter()
        .map(|result| result.part)
        .collect();
    assert_eq!(parts, [Some(1), Some(2), None]);
}

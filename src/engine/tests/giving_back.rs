//! What comes back from workers: tasks that they give back, what they had found out, and work that
//! came late.

use super::*;

fn world() -> World {
    let mut world = World::new();
    world.connect("boss");
    world.worker("w", "draft");
    world
}

fn with_result(world: &mut World, from: &str, attempt: u32, status: &str, result: Value) {
    let update = json!({ "task": "t", "attempt": attempt, "status": status, "result": result });
    assert_eq!(world.send(from, "handoff/update", update), Ok(()));
}

fn last_assignment(world: &World, name: &str) -> Assignment {
    let all: Vec<Assignment> =
        world.directed_to(name, |topic| matches!(topic, Topic::HandoffWork { .. }));
    all.into_iter().next_back().unwrap()
}

/// DISCONNECT in good order, of a session that ends with it.
fn says_good_bye(world: &mut World) {
    let input = Input::Disconnected {
        agent: agent("w"),
        why: "disconnected",
        gives_back: true,
    };
    world.input(input).unwrap();
}

#[test]
fn giving_back_costs_no_attempt_and_another_worker_has_it_at_once() {
    let mut world = world();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "maxAttempts": 1 }),
    );
    for (from, to, attempt) in [("w", "x", 1), ("x", "w", 2), ("w", "x", 3)] {
        world.worker(to, "draft");
        world.update(from, "t", attempt, "release").unwrap();
        let view = world.view("t");
        assert_eq!(view.worker.unwrap().as_str(), to);
        assert_eq!(view.attempt, attempt + 1);
    }
    world.success("x", "t", 4);
}

#[test]
fn who_gave_a_task_back_waits_for_it_and_whoever_comes_meanwhile_does_not() {
    let mut world = world();
    world.dispatch("boss", "t", "draft");
    world.update("w", "t", 1, "release").unwrap();
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.worker("x", "draft");
    assert_eq!(world.view("t").worker.unwrap().as_str(), "x");
    world.update("x", "t", 2, "release").unwrap();
    assert_eq!(world.view("t").worker.unwrap().as_str(), "w");
    world.disconnect("x");
    world.update("w", "t", 3, "release").unwrap();
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.pass(1_000);
    assert_eq!(world.view("t").worker.unwrap().as_str(), "w");
}

#[test]
fn what_was_given_back_is_for_whoever_comes_also_after_a_restart() {
    let mut world = world();
    world.dispatch("boss", "t", "draft");
    world.update("w", "t", 1, "release").unwrap();
    world.crash();
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.connect_as("w", true, true);
    assert_eq!(
        world.state("t"),
        TaskState::Waiting,
        "it has just given it back"
    );
    world.worker("x", "draft");
    assert_eq!(world.view("t").worker.unwrap().as_str(), "x");
    world.check();
}

#[test]
fn a_task_that_everybody_gives_back_is_dead_in_the_end() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_releases = 2
    }));
    world.connect("boss");
    world.worker("w", "draft");
    world.worker("x", "draft");
    world.dispatch("boss", "t", "draft");
    for attempt in 1..=3 {
        let worker = world.view("t").worker.unwrap();
        world
            .update(worker.as_str(), "t", attempt, "release")
            .unwrap();
        world.crash();
        for name in ["w", "x"] {
            world.worker(name, "draft");
        }
    }
    assert_eq!(world.state("t"), TaskState::Dead);
    let error = world.results("boss")[0].error.clone().unwrap();
    assert_eq!(error.code.as_deref(), Some("released"));
}

#[test]
fn a_worker_that_says_good_bye_gives_its_tasks_back_at_once() {
    let mut world = world();
    world.dispatch("boss", "t", "draft");
    world.worker("x", "draft");
    says_good_bye(&mut world);
    let view = world.view("t");
    assert_eq!((view.worker.unwrap().as_str(), view.attempt), ("x", 2));
    assert!(world.story("t").contains(&"handoff.released".to_owned()));
}

#[test]
fn who_comes_just_to_say_a_word_gives_nothing_back_by_leaving() {
    let mut world = world();
    world.dispatch("boss", "t", "draft");
    world.disconnect("w");
    for status in ["accepted", "progress"] {
        world.connect("w");
        world.update("w", "t", 1, status).unwrap();
        says_good_bye(&mut world);
    }
    world.connect("w");
    world.success("w", "t", 1);
}

#[test]
fn the_next_attempt_is_told_what_was_said_last_also_after_a_crash() {
    let mut world = world();
    world.dispatch("boss", "t", "draft");
    with_result(&mut world, "w", 1, "progress", json!({ "rows": 100 }));
    with_result(&mut world, "w", 1, "progress", json!({ "rows": 200 }));
    assert!(last_assignment(&world, "w").last_progress.is_none());
    let text = |json: Option<crate::wire::json::Json>| json.unwrap().text().to_owned();
    assert_eq!(text(world.view("t").last_progress), r#"{"rows":200}"#);
    world.crash();
    world.worker("w", "draft");
    world.pass(60_000);
    world.pass(1_000);
    let again = last_assignment(&world, "w");
    assert_eq!(again.attempt, 2);
    assert_eq!(text(again.last_progress), r#"{"rows":200}"#);
    world.success("w", "t", 2);
    assert!(world.view("t").last_progress.is_none());
}

#[test]
fn what_comes_beside_an_error_or_a_release_is_kept_for_the_next_attempt() {
    for status in ["error", "release"] {
        let mut world = world();
        world.dispatch("boss", "t", "draft");
        with_result(&mut world, "w", 1, status, json!(777));
        world.pass(1_000);
        let next = last_assignment(&world, "w");
        assert_eq!(
            (next.attempt, next.last_progress.unwrap().text()),
            (2, "777")
        );
    }
}

#[test]
fn a_small_reader_gets_the_assignment_without_what_was_said_before() {
    let mut world = world();
    world.dispatch("boss", "t", "draft");
    let fits = last_assignment(&world, "w");
    let bytes = world.view("t").bytes.unwrap();
    world
        .send("w", "presence/announce", json!({ "maxBytes": bytes + 20 }))
        .unwrap();
    with_result(&mut world, "w", 1, "release", json!("x".repeat(100)));
    world.pass(1_000);
    let next = last_assignment(&world, "w");
    assert_eq!((fits.attempt, next.attempt), (1, 2));
    assert!(next.last_progress.is_none());
}

#[test]
fn progress_without_room_is_not_kept_and_counted() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_task_bytes_per_room = Size(50)
    }));
    world.connect("boss");
    world.worker("w", "draft");
    world.dispatch("boss", "t", "draft");
    with_result(&mut world, "w", 1, "progress", json!("small"));
    with_result(&mut world, "w", 1, "progress", json!("x".repeat(100)));
    assert_eq!(world.view("t").last_progress.unwrap().text(), r#""small""#);
    // The newest takes the place of the one before it.
    with_result(&mut world, "w", 1, "progress", json!("x".repeat(45)));
    with_result(&mut world, "w", 1, "progress", json!("y".repeat(45)));
    let last = world.view("t").last_progress.unwrap();
    assert_eq!(last.text(), format!(r#""{}""#, "y".repeat(45)));
    assert_eq!(world.engine.stats().forgotten_early, 1);
}

#[test]
fn work_that_came_late_counts_while_nobody_else_has_it() {
    // In its backoff, in the queue, with the same worker again.
    for waits in [60_000, 61_000, 61_500] {
        let mut world = world();
        world.dispatch("boss", "t", "draft");
        let busy = json!({ "capacity": u32::from(waits == 61_500) });
        world.send("w", "presence/announce", busy).unwrap();
        world.pass(waits);
        with_result(&mut world, "w", 1, "success", json!("done"));
        assert_eq!(world.state("t"), TaskState::Succeeded);
        let results = world.results("boss");
        assert_eq!(results.len(), 1);
        assert_eq!(results[0].result.as_ref().unwrap().text(), r#""done""#);
        // A repeat is harmless, another result is refused, nothing more is handed out.
        with_result(&mut world, "w", 1, "success", json!("done"));
        let other = json!({ "task": "t", "attempt": 1, "status": "success", "result": 2 });
        let refused = world.send("w", "handoff/update", other);
        assert_eq!(refused, Err(Code::Conflict));
        world.pass(200_000);
        assert_eq!(world.results("boss").len(), 1);
    }
}

#[test]
fn work_that_came_late_is_refused_once_somebody_else_had_it() {
    let mut world = world();
    world.dispatch("boss", "t", "draft");
    let busy = json!({ "capacity": 0 });
    world.send("w", "presence/announce", busy).unwrap();
    world.worker("x", "draft");
    world.pass(61_000);
    assert_eq!(world.view("t").worker.unwrap().as_str(), "x");
    assert_eq!(world.update("w", "t", 1, "success"), Err(Code::Conflict));
    world.update("x", "t", 2, "release").unwrap();
    assert_eq!(world.update("w", "t", 1, "success"), Err(Code::Conflict));
    // An error that came late is no work.
    world.pass(70_000);
    assert_eq!(world.update("x", "t", 2, "error"), Err(Code::Conflict));
}

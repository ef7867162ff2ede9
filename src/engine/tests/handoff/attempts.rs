//! Attempts: leases, errors, words that come late, and what is said twice.

use super::*;

#[test]
fn an_old_attempt_is_refused_and_changes_nothing() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world
        .send("w", "presence/announce", json!({ "capacity": 0 }))
        .unwrap();
    world.worker("x", "draft");
    world.pass(61_000);
    world.pass(1_000);
    assert_eq!(world.assignments("x"), assigned(&[("t", 2)]));
    assert_eq!(world.update("w", "t", 1, "success"), Err(Code::Conflict));
    assert_eq!(world.update("w", "t", 2, "success"), Err(Code::Conflict));
    assert_eq!(world.update("w", "no", 1, "success"), Err(Code::NotFound));
    assert_eq!(world.state("t"), TaskState::Assigned);
    world.success("x", "t", 2);
    assert_eq!(world.final_results("boss").len(), 1);
}

#[test]
fn the_same_last_word_twice_is_harmless_and_another_one_is_refused() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.success("w", "t", 1);
    world.success("w", "t", 1);
    assert_eq!(world.update("w", "t", 1, "error"), Err(Code::Conflict));
    assert_eq!(world.update("x", "t", 1, "success"), Err(Code::Conflict));
    assert_eq!(world.update("w", "t", 1, "progress"), Err(Code::Conflict));
    assert_eq!(world.final_results("boss").len(), 1);
}

#[test]
fn another_result_of_a_task_that_has_ended_is_a_conflict_also_after_a_crash() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    let says = |world: &mut World, result: Value| {
        let mut update = json!({ "task": "t", "attempt": 1, "status": "success" });
        update["result"] = result;
        world.send("w", "handoff/update", update)
    };
    says(&mut world, json!({ "pages": 3 })).unwrap();
    for _ in 0..2 {
        assert_eq!(says(&mut world, json!({ "pages": 3 })), Ok(()));
        assert_eq!(says(&mut world, json!({ "pages": 4 })), Err(Code::Conflict));
        assert_eq!(world.update("w", "t", 1, "success"), Err(Code::Conflict));
        let reason = world.last_reply("w").reason.unwrap();
        assert!(reason.contains("something else"), "{reason}");
        world.crash();
    }
    assert_eq!(world.results("boss").len(), 1);
    assert_eq!(world.state("t"), TaskState::Succeeded);
}

#[test]
fn another_error_of_a_task_that_it_ended_is_a_conflict() {
    let mut world = world_with_worker();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "maxAttempts": 1 }),
    );
    let says = |world: &mut World, message: &str| {
        let error = json!({ "message": message });
        let update = json!({ "task": "t", "attempt": 1, "status": "error", "error": error });
        world.send("w", "handoff/update", update)
    };
    assert_eq!(says(&mut world, "no ink"), Ok(()));
    assert_eq!(says(&mut world, "no ink"), Ok(()));
    assert_eq!(says(&mut world, "no paper"), Err(Code::Conflict));
    assert_eq!(world.results("boss").len(), 1);
}

#[test]
fn a_lease_that_runs_out_puts_the_task_back_until_attempts_are_used_up() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    assert_eq!(world.next_timer(), Some((60_000, Timer::Lease)));
    world.pass(60_000);
    assert_eq!(world.state("t"), TaskState::Waiting);
    assert_eq!(world.revoked(), [("w".to_owned(), "t".to_owned(), 1)]);
    assert_eq!(world.next_timer(), Some((1_000, Timer::Due)));
    world.pass(1_000 + 60_000);
    assert_eq!(
        world.next_timer(),
        Some((2_000, Timer::Due)),
        "the wait doubles"
    );
    world.pass(2_000 + 60_000);
    assert_eq!(world.state("t"), TaskState::Dead);
    let results = world.results("boss");
    assert_eq!(results.len(), 1);
    assert_eq!(results[0].attempts, 3);
    assert_eq!(
        results[0].error.as_ref().unwrap().code.as_deref(),
        Some("lease-over")
    );
    world.check();
}

#[test]
fn every_word_of_the_worker_extends_its_lease() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    for _ in 0..5 {
        world.pass(50_000);
        world.update("w", "t", 1, "progress").unwrap();
    }
    assert_eq!(world.state("t"), TaskState::Running);
    assert_eq!(world.next_timer(), Some((60_000, Timer::Lease)));
    world.success("w", "t", 1);
    assert_eq!(world.assignments("w").len(), 1);
}

#[test]
fn an_error_is_tried_again_and_one_that_no_retry_helps_is_not() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.update("w", "t", 1, "error").unwrap();
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.pass(1_000);
    let error = json!({ "code": "bad-input", "message": "no", "retryable": false });
    let update = json!({ "task": "t", "attempt": 2, "status": "error", "error": error });
    world.send("w", "handoff/update", update.clone()).unwrap();
    assert_eq!(world.state("t"), TaskState::Dead);
    let results = world.results("boss");
    assert_eq!(results[0].error.as_ref().unwrap().message, "no");
    world.send("w", "handoff/update", update).unwrap();
    assert_eq!(world.results("boss").len(), 1);
}

#[test]
fn a_late_word_on_an_attempt_that_the_gateway_ended_is_refused() {
    let mut world = world_with_worker();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "maxAttempts": 1, "leaseMs": 1_000 }),
    );
    world.pass(1_000);
    assert_eq!(world.state("t"), TaskState::Dead);
    let late = world.update("w", "t", 1, "error");
    assert_eq!(late, Err(Code::Conflict));
    assert_eq!(
        world.results("boss")[0].worker.as_ref().unwrap().as_str(),
        "w"
    );
}

#[test]
fn a_released_task_is_not_handed_back_at_once() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.update("w", "t", 1, "release").unwrap();
    assert_eq!(world.assignments("w").len(), 1);
    world.pass(1_000);
    assert_eq!(world.assignments("w"), assigned(&[("t", 1), ("t", 2)]));
}

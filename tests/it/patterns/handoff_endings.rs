//! Handoff: how tasks end, exactly once, and what cannot end them.

use hallward::wire::handoff::{Assignment, ResultStatus, TaskState};
use serde_json::json;

use crate::harness::{Agent, Gateway, Setup};

fn quick_retry() -> Gateway {
    Setup::new().with("handoff.backoff_initial", "10ms").start()
}

fn boss(gateway: &Gateway) -> Agent {
    let mut boss = Agent::join(gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    boss
}

fn fail(worker: &mut Agent, assignment: &Assignment) {
    let reply = worker.update(
        assignment,
        "error",
        json!({"error": {"code": "E1", "message": "it broke"}}),
    );
    assert_eq!(u16::from(reply.code), 200, "{reply:?}");
}

#[test]
fn a_task_that_fails_is_tried_again_and_is_dead_after_its_last_attempt() {
    let gateway = quick_retry();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let task = boss.dispatch(json!({"type": "draft", "maxAttempts": 2}));
    for attempt in [1, 2] {
        let assignment = worker.assignment("draft");
        assert_eq!(assignment.attempt, attempt);
        fail(&mut worker, &assignment);
    }
    let result = boss.result();
    assert_eq!(
        (result.status, result.is_final, result.attempts),
        (ResultStatus::Dead, true, 2)
    );
    let error = result.error.expect("an error");
    assert_eq!(
        (error.code.as_deref(), error.message.as_str()),
        (Some("E1"), "it broke")
    );
    assert_eq!(boss.task(&task).state, TaskState::Dead);
    worker.expect_no_mail();
    boss.expect_no_mail();
}

#[test]
fn an_error_that_no_retry_helps_is_the_end() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    boss.dispatch(json!({"type": "draft", "maxAttempts": 5}));
    let assignment = worker.assignment("draft");
    worker.update(
        &assignment,
        "error",
        json!({"error": {"message": "no such customer", "retryable": false}}),
    );
    let result = boss.result();
    assert_eq!((result.status, result.attempts), (ResultStatus::Dead, 1));
}

#[test]
fn a_task_given_back_is_handed_out_anew() {
    let gateway = quick_retry();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    boss.dispatch(json!({"type": "draft"}));
    let first = worker.assignment("draft");
    let reply = worker.update(&first, "release", json!({}));
    assert_eq!(u16::from(reply.code), 200, "{reply:?}");
    let second = worker.assignment("draft");
    assert_eq!((&second.task, second.attempt), (&first.task, 2));
    worker.succeed(&second, json!("done"));
    assert_eq!(boss.result().status, ResultStatus::Succeeded);
}

#[test]
fn partial_results_come_as_they_are_made() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    boss.dispatch(json!({"type": "draft"}));
    let assignment = worker.assignment("draft");
    worker.update(&assignment, "progress", json!({"result": "half"}));
    worker.succeed(&assignment, json!("whole"));
    let partial = boss.result();
    assert_eq!(
        (partial.status, partial.is_final),
        (ResultStatus::Partial, false)
    );
    assert_eq!(partial.result.expect("a result").text(), r#""half""#);
    assert!(boss.result().is_final);
}

#[test]
fn a_waiting_task_can_be_cancelled() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let task = boss.dispatch(json!({"type": "draft"}));
    boss.accepted(
        "handoff/cancel/boss",
        json!({"task": task, "reason": "changed my mind"}),
    );
    assert_eq!(boss.result().status, ResultStatus::Cancelled);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    worker.expect_no_mail();
    assert_eq!(boss.task(&task).state, TaskState::Cancelled);
}

#[test]
fn a_running_task_can_be_cancelled_and_its_worker_is_too_late() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let task = boss.dispatch(json!({"type": "draft"}));
    let assignment = worker.assignment("draft");
    boss.accepted("handoff/cancel/boss", json!({"task": task}));
    assert_eq!(boss.result().status, ResultStatus::Cancelled);
    let late = worker.update(&assignment, "success", json!({"result": 1}));
    assert_eq!(u16::from(late.code), 409, "{late:?}");
    boss.expect_no_mail();
}

#[test]
fn a_task_that_nobody_finished_in_time_expires() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let queued = boss.dispatch(json!({"type": "nobody-does-this", "ttlMs": 100}));
    let expired = boss.result();
    assert_eq!(
        (expired.task.as_str(), expired.status),
        (queued.as_str(), ResultStatus::Expired)
    );
    let running = boss.dispatch(json!({"type": "draft", "ttlMs": 300}));
    let assignment = worker.assignment("draft");
    assert!(assignment.deadline.is_some());
    let expired = boss.result();
    assert_eq!(
        (expired.task.as_str(), expired.status),
        (running.as_str(), ResultStatus::Expired)
    );
    let late = worker.update(&assignment, "success", json!({"result": 1}));
    assert_eq!(u16::from(late.code), 409, "{late:?}");
}

#[test]
fn a_stale_attempt_changes_nothing() {
    let gateway = quick_retry();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let task = boss.dispatch(json!({"type": "draft"}));
    let stale = worker.assignment("draft");
    fail(&mut worker, &stale);
    let fresh = worker.assignment("draft");
    let before = boss.task(&task);
    for status in ["accepted", "progress", "success", "error", "release"] {
        let reply = worker.update(&stale, status, json!({"error": {"message": "x"}}));
        assert_eq!(u16::from(reply.code), 409, "{status}: {reply:?}");
    }
    assert_eq!(boss.task(&task), before);
    worker.succeed(&fresh, json!("done"));
    assert_eq!(boss.result().attempts, 2);
}

#[test]
fn an_update_from_who_does_not_have_the_task_changes_nothing() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let mut thief = Agent::join(&gateway, "lab", "thief");
    let task = boss.dispatch(json!({"type": "draft"}));
    let assignment = worker.assignment("draft");
    let before = boss.task(&task);
    let reply = thief.update(&assignment, "success", json!({"result": "mine"}));
    assert!(matches!(u16::from(reply.code), 403 | 409), "{reply:?}");
    assert_eq!(boss.task(&task), before);
}

#[test]
fn an_unknown_task_is_not_found() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    boss.rejected(
        404,
        "handoff/update/boss",
        json!({"task": "no-such", "attempt": 1, "status": "success"}),
    );
    boss.rejected(404, "handoff/cancel/boss", json!({"task": "no-such"}));
    boss.rejected(404, "handoff/get/boss", json!({"task": "no-such"}));
}

#[test]
fn a_repeated_dispatch_is_one_task() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let task = json!({"type": "draft", "id": "once"});
    assert_eq!(boss.dispatch(task.clone()), "once");
    let assignment = worker.assignment("draft");
    assert_eq!(boss.dispatch(task.clone()), "once");
    worker.expect_no_mail();
    worker.succeed(&assignment, json!("done"));
    assert!(boss.result().is_final);
    assert_eq!(boss.dispatch(task), "once");
    worker.expect_no_mail();
    boss.expect_no_mail();
}

#[test]
fn a_repeated_update_is_one_result() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    boss.dispatch(json!({"type": "draft"}));
    let assignment = worker.assignment("draft");
    for _ in 0..2 {
        let reply = worker.update(&assignment, "success", json!({"result": 1, "id": "u-1"}));
        assert_eq!(u16::from(reply.code), 200, "{reply:?}");
    }
    // Without an id, too, a repeat is harmless; whatever it says, the first word stands.
    worker.update(&assignment, "success", json!({"result": 2}));
    let other = worker.update(&assignment, "error", json!({"error": {"message": "x"}}));
    assert_eq!(u16::from(other.code), 409, "{other:?}");
    assert_eq!(boss.result().result.expect("a result").text(), "1");
    boss.expect_no_mail();
}

#[test]
fn a_dispatcher_that_was_offline_gets_its_result_when_it_returns() {
    let gateway = Gateway::start();
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let mut dispatcher = Agent::join_v311(&gateway, "lab", "dispatcher");
    let task = dispatcher.dispatch(json!({"type": "draft"}));
    dispatcher.disconnect();
    let assignment = worker.assignment("draft");
    worker.succeed(&assignment, json!("done"));
    let mut dispatcher = Agent::join_v311(&gateway, "lab", "dispatcher");
    assert!(!dispatcher.session_present, "it asked for a clean session");
    dispatcher.listen("handoff/result/dispatcher");
    let result = dispatcher.result();
    assert_eq!(
        (result.task.as_str(), result.status),
        (task.as_str(), ResultStatus::Succeeded)
    );
    dispatcher.expect_no_mail();
}

#[test]
fn tasks_survive_a_kill_at_every_stage() {
    let mut gateway = quick_retry();
    let mut one = boss(&gateway);
    let queued = one.dispatch(json!({"type": "later", "payload": 1}));
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let running = one.dispatch(json!({"type": "draft", "payload": 2}));
    let assignment = worker.assignment("draft");
    worker.update(&assignment, "accepted", json!({}));
    gateway.kill();
    gateway.restart();
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let again = worker.assignment("draft");
    assert_eq!(
        (again.task.as_str(), again.attempt),
        (running.as_str(), assignment.attempt)
    );
    worker.succeed(&again, json!("done"));
    gateway.kill();
    gateway.restart();
    let mut two = boss(&gateway);
    assert_eq!(two.result().task.as_str(), running);
    let mut later = Agent::worker(&gateway, "lab", "later", "later");
    assert_eq!(later.assignment("later").task.as_str(), queued);
}

//! Handoff: tasks that depend on tasks, belong to tasks, and are gathered in groups.

use hallward::wire::handoff::{GroupResult, ResultStatus, TaskState};
use serde_json::json;

use crate::harness::{Agent, Gateway};

fn boss(gateway: &Gateway) -> Agent {
    let mut boss = Agent::join(gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    boss
}

#[test]
fn a_task_comes_when_what_it_depends_on_has_succeeded_and_fails_with_what_has_not() {
    let mut gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let first = boss.dispatch(json!({"type": "research"}));
    let second = boss.dispatch(json!({"type": "draft", "dependsOn": [first]}));
    let third = boss.dispatch(json!({"type": "print", "dependsOn": [second]}));
    assert_eq!(boss.task(&second).waits_for.len(), 1);
    boss.vanish();
    gateway.kill();
    gateway.restart();
    let mut worker = Agent::worker(&gateway, "lab", "worker", "research");
    worker.listen("handoff/work/draft");
    let research = worker.assignment("research");
    worker.succeed(&research, json!("done"));
    let draft = worker.assignment("draft");
    assert_eq!(draft.task.as_str(), second);
    worker.update(
        &draft,
        "error",
        json!({"error": {"message": "no ink", "retryable": false}}),
    );
    let mut boss = self::boss(&gateway);
    assert_eq!(boss.result().status, ResultStatus::Succeeded);
    assert_eq!(boss.result().status, ResultStatus::Dead);
    let doomed = boss.result();
    assert_eq!(
        (doomed.task.as_str(), doomed.status),
        (third.as_str(), ResultStatus::Dead)
    );
    assert!(doomed.error.expect("a reason").message.ends_with("no ink"));
}

#[test]
fn cancelling_a_parent_cancels_its_children_and_tells_their_workers() {
    let gateway = Gateway::start();
    let mut boss = boss(&gateway);
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let parent = boss.dispatch(json!({"type": "article"}));
    let child = boss.dispatch(json!({"type": "draft", "parent": parent}));
    assert_eq!(worker.assignment("draft").task.as_str(), child);
    boss.accepted(
        "handoff/cancel/boss",
        json!({"task": parent, "reason": "not needed"}),
    );
    let told = worker.reply();
    assert_eq!(
        (told.command.as_str(), u16::from(told.code)),
        ("handoff/work", 409)
    );
    assert_eq!(told.task.expect("which one").as_str(), child);
    assert_eq!(boss.task(&child).state, TaskState::Cancelled);
    assert_eq!(boss.result().task.as_str(), parent);
    assert_eq!(boss.result().task.as_str(), child);
}

#[test]
fn a_group_is_gathered_across_a_crash() {
    let mut gateway = Gateway::start();
    let mut boss = boss(&gateway);
    for id in ["one", "two"] {
        boss.dispatch(json!({"id": id, "type": "draft", "group": "parts", "groupSize": 2}));
    }
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let first = worker.assignment("draft");
    worker.succeed(&first, json!("first"));
    assert!(boss.result().is_final);
    gateway.kill();
    gateway.restart();
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let second = worker.assignment("draft");
    worker.succeed(&second, json!("second"));
    let mut boss = self::boss(&gateway);
    // The first may come again: its acknowledgement was perhaps lost in the crash.
    while boss.result().task.as_str() != "two" {}
    let gathered: GroupResult = boss.next("handoff/result/boss");
    assert!(gathered.complete);
    let told: Vec<_> = gathered.tasks.iter().map(|one| one.task.as_str()).collect();
    assert_eq!(told, ["one", "two"]);
    assert_eq!(
        gathered.tasks[0].result.as_ref().expect("kept").text(),
        r#""first""#
    );
}

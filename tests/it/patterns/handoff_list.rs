//! Handoff: lists, histories, redrive by type, and workers that can take only so much.

use hallward::wire::handoff::{AttemptOutcome, Redriven, TaskPage};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{Agent, Gateway};

fn data<T: DeserializeOwned>(agent: &mut Agent, verb: &str, body: Value) -> T {
    let reply = agent.accepted(&format!("handoff/{verb}/{}", agent.id.clone()), body);
    let data = reply.data.expect("a query has data");
    serde_json::from_str(data.text()).expect("as the schema says")
}

#[test]
fn tasks_are_listed_page_by_page_also_after_a_crash() {
    let mut gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let tasks: Vec<String> = (0..5)
        .map(|_| boss.dispatch(json!({"type": "draft"})))
        .collect();
    boss.dispatch(json!({"type": "review"}));
    boss.vanish();
    gateway.kill();
    gateway.restart();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut found = Vec::new();
    let mut asked = json!({"type": "draft", "state": "queued", "limit": 2});
    loop {
        let page: TaskPage = data(&mut boss, "list", asked.clone());
        assert!(page.tasks.len() <= 2);
        found.extend(page.tasks.into_iter().map(|view| view.task.to_string()));
        match page.cursor {
            Some(cursor) => asked["cursor"] = cursor.into(),
            None => break,
        }
    }
    assert_eq!(found, tasks);
}

#[test]
fn a_dead_task_tells_its_history_and_lives_again_with_the_others_of_its_type() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    for _ in 0..2 {
        boss.dispatch(json!({"type": "draft", "maxAttempts": 1}));
        let assignment = worker.assignment("draft");
        worker.update(
            &assignment,
            "error",
            json!({"error": {"message": "no ink"}}),
        );
        let dead = boss.result();
        let history = boss.task(dead.task.as_str()).history;
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].outcome, Some(AttemptOutcome::Failed));
        assert_eq!(history[0].error.as_deref(), Some("no ink"));
    }
    let told: Redriven = data(&mut boss, "redrive", json!({"type": "draft", "limit": 1}));
    assert_eq!((told.redriven, told.remaining), (1, 1));
    assert_eq!(worker.assignment("draft").attempt, 2);
}

#[test]
fn a_small_device_gets_what_fits_and_somebody_else_the_rest() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut small = Agent::join_v311(&gateway, "lab", "small");
    small.announce(json!({"maxBytes": 240, "capacity": 9}));
    small.listen("handoff/work/pump");
    let large = boss.dispatch(json!({"type": "pump", "payload": "x".repeat(100)}));
    let little = boss.dispatch(json!({"type": "pump", "payload": 1, "id": "t1"}));
    assert_eq!(small.assignment("pump").task.as_str(), little);
    small.expect_no_mail();
    let mut other = Agent::worker(&gateway, "lab", "other", "pump");
    assert_eq!(other.assignment("pump").task.as_str(), large);
}

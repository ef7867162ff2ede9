//! Handoff: which worker gets which task, and keeps it.

use hallward::wire::handoff::{Assignment, ResultStatus, TaskState};
use serde_json::{Value, json};

use crate::harness::{Agent, Connect, Gateway, Properties, Publish, Setup, property};

#[test]
fn a_task_goes_to_who_subscribed_for_it_and_its_result_comes_back() {
    let gateway = Gateway::start();
    let mut boss = Agent::join_v311(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let payload = json!({"b": 1, "a": [null, 1.50, "é"]});
    let task =
        boss.dispatch(json!({"type": "draft", "payload": payload, "correlationId": "ignored"}));
    let assignment = worker.assignment("draft");
    assert_eq!(assignment.task.as_str(), task);
    assert_eq!(
        (assignment.attempt, assignment.dispatcher.as_str()),
        (1, "boss")
    );
    let carried: Value =
        serde_json::from_str(assignment.payload.as_ref().expect("a payload").text()).expect("JSON");
    assert_eq!(carried, payload);
    assert_eq!(boss.task(&task).state, TaskState::Assigned);
    worker.update(&assignment, "accepted", json!({}));
    assert_eq!(boss.task(&task).state, TaskState::Running);
    worker.succeed(&assignment, json!({"words": 3}));
    let result = boss.result();
    assert_eq!(
        (result.status, result.is_final, result.attempts),
        (ResultStatus::Succeeded, true, 1)
    );
    assert_eq!(result.result.expect("a result").text(), r#"{"words":3}"#);
    assert_eq!(result.worker.expect("a worker").as_str(), "worker");
}

#[test]
fn user_payloads_are_carried_byte_for_byte() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let payload = r#"{ "z":1.10, "a":12345678901234567890123, "n":null }"#;
    boss.tell_raw(
        "handoff/dispatch/boss",
        format!(r#"{{"type":"draft","payload":{payload}}}"#),
    );
    let assignment = worker.assignment("draft");
    assert_eq!(
        assignment.payload.as_ref().expect("a payload").text(),
        payload
    );
    let update = format!(
        r#"{{"task":"{}","attempt":1,"status":"success","result":{payload}}}"#,
        assignment.task
    );
    worker.tell_raw("handoff/update/worker", update);
    assert_eq!(boss.result().result.expect("a result").text(), payload);
}

#[test]
fn a_task_waits_for_the_first_worker_that_can_do_it() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let task = boss.dispatch(json!({"type": "draft"}));
    let mut other = Agent::worker(&gateway, "lab", "other", "review");
    assert_eq!(boss.task(&task).state, TaskState::Queued);
    other.expect_no_mail();
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    assert_eq!(worker.assignment("draft").task.as_str(), task);
}

#[test]
fn a_shared_subscription_offers_the_capability_too() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::join(&gateway, "lab", "worker");
    assert_eq!(
        worker.subscribe(&[("$share/team/rooms/lab/handoff/work/draft", 1)]),
        [1]
    );
    let task = boss.dispatch(json!({"type": "draft"}));
    assert_eq!(worker.assignment("draft").task.as_str(), task);
}

#[test]
fn a_wildcard_watches_and_gets_no_work() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut watcher = Agent::join(&gateway, "lab", "watcher");
    watcher.listen("handoff/work/+");
    let task = boss.dispatch(json!({"type": "draft"}));
    assert_eq!(boss.task(&task).state, TaskState::Queued);
    boss.rejected(
        503,
        "handoff/dispatch/boss",
        json!({"type": "draft", "requireOnline": true}),
    );
}

#[test]
fn a_task_goes_to_who_announced_what_it_needs() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    worker.announce(json!({"capabilities": ["legal"]}));
    let task = boss.dispatch(json!({"type": "contract", "capabilities": ["draft", "legal"]}));
    assert_eq!(worker.assignment("draft").task.as_str(), task);
}

#[test]
fn all_needed_capabilities_must_be_there() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut half = Agent::worker(&gateway, "lab", "half", "draft");
    let mut whole = Agent::worker(&gateway, "lab", "whole", "draft");
    whole.listen("handoff/work/legal");
    let task = boss.dispatch(json!({"type": "contract", "capabilities": ["draft", "legal"]}));
    let assignment: hallward::wire::handoff::Assignment = {
        let message = whole.message();
        assert!(
            message.topic.starts_with("rooms/lab/handoff/work/"),
            "{message:?}"
        );
        serde_json::from_slice(&message.payload).expect("an assignment")
    };
    assert_eq!(assignment.task.as_str(), task);
    half.expect_no_mail();
}

#[test]
fn the_most_urgent_goes_first_and_the_oldest_among_equals() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    for (id, priority) in [
        ("a", "low"),
        ("b", "medium"),
        ("c", "critical"),
        ("d", "high"),
        ("e", "medium"),
    ] {
        boss.dispatch(json!({"type": "draft", "id": id, "priority": priority}));
    }
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    for expected in ["c", "d", "b", "e", "a"] {
        let assignment = worker.assignment("draft");
        assert_eq!(assignment.task.as_str(), expected);
        worker.succeed(&assignment, json!(null));
    }
}

#[test]
fn two_workers_share_the_tasks() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut one = Agent::worker(&gateway, "lab", "one", "draft");
    let mut two = Agent::worker(&gateway, "lab", "two", "draft");
    let mut tasks = vec![
        boss.dispatch(json!({"type": "draft"})),
        boss.dispatch(json!({"type": "draft"})),
    ];
    let mut got = vec![
        one.assignment("draft").task.as_str().to_owned(),
        two.assignment("draft").task.as_str().to_owned(),
    ];
    tasks.sort();
    got.sort();
    assert_eq!(got, tasks);
    let third = boss.dispatch(json!({"type": "draft"}));
    assert_eq!(
        boss.task(&third).state,
        TaskState::Queued,
        "both are at their capacity"
    );
    one.expect_no_mail();
    two.expect_no_mail();
}

#[test]
fn capacity_bounds_what_a_worker_has_at_once() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    worker.announce(json!({"capacity": 2}));
    for id in ["a", "b", "c"] {
        boss.dispatch(json!({"type": "draft", "id": id}));
    }
    let first = worker.assignment("draft");
    assert_eq!(worker.assignment("draft").task.as_str(), "b");
    worker.expect_no_mail();
    worker.succeed(&first, json!(1));
    assert_eq!(worker.assignment("draft").task.as_str(), "c");
}

#[test]
fn a_draining_worker_gets_nothing_new() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    worker.announce(json!({"status": "draining"}));
    let task = boss.dispatch(json!({"type": "draft"}));
    assert_eq!(boss.task(&task).state, TaskState::Queued);
    worker.expect_no_mail();
    worker.announce(json!({"status": "idle"}));
    assert_eq!(worker.assignment("draft").task.as_str(), task);
}

#[test]
fn the_task_of_a_worker_that_vanished_moves_after_the_grace() {
    let gateway = Setup::new()
        .with("rooms.reconnect_grace", "200ms")
        .with("handoff.backoff_initial", "10ms")
        .start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    let mut lost = Agent::worker(&gateway, "lab", "lost", "draft");
    let task = boss.dispatch(json!({"type": "draft"}));
    assert_eq!(lost.assignment("draft").attempt, 1);
    let mut other = Agent::worker(&gateway, "lab", "other", "draft");
    lost.vanish();
    let assignment = other.assignment("draft");
    assert_eq!(
        (assignment.task.as_str(), assignment.attempt),
        (task.as_str(), 2)
    );
    other.succeed(&assignment, json!("done"));
    let result = boss.result();
    assert_eq!(
        (result.attempts, result.worker.expect("a worker").as_str()),
        (2, "other")
    );
}

#[test]
fn a_worker_that_is_silent_beyond_its_lease_loses_the_task() {
    let gateway = Setup::new().with("handoff.backoff_initial", "10ms").start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut silent = Agent::worker(&gateway, "lab", "silent", "draft");
    boss.dispatch(json!({"type": "draft", "leaseMs": 200, "maxAttempts": 100}));
    let stale = silent.assignment("draft");
    assert_eq!(stale.lease_ms, 200);
    let mut other = Agent::worker(&gateway, "lab", "other", "draft");
    // The silent one may be handed it once more before the other is there.
    let moved = other.assignment("draft");
    assert!(moved.attempt >= 2, "{moved:?}");
    let late = silent.update(&stale, "success", json!({"result": "too late"}));
    assert_eq!(u16::from(late.code), 409, "{late:?}");
    other.succeed(&moved, json!("in time"));
}

#[test]
fn a_worker_that_returns_in_time_gets_its_assignment_again() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    boss.dispatch(json!({"type": "draft", "payload": {"n": 7}}));
    let first = worker.assignment("draft");
    worker.vanish();
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let again = worker.assignment("draft");
    assert_eq!(again, first);
    worker.succeed(&again, json!("done"));
    assert_eq!(boss.result().attempts, 1);
}

#[test]
fn a_worker_that_returns_to_its_session_gets_again_what_it_had_acknowledged() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    let mut worker = Agent::join_as(&gateway, "lab", Connect::v311("worker").persistent());
    worker.listen("handoff/work/draft");
    boss.dispatch(json!({"type": "draft"}));
    let assignment = worker.assignment("draft");
    worker.vanish();
    let mut worker = Agent::join_as(&gateway, "lab", Connect::v311("worker").persistent());
    assert!(worker.session_present);
    assert_eq!(worker.assignment("draft"), assignment);
    worker.succeed(&assignment, json!("done"));
    assert_eq!(boss.result().attempts, 1);
}

#[test]
fn message_expiry_is_a_deadline() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let mut publish = Publish::new("rooms/lab/handoff/dispatch/boss", r#"{"type":"draft"}"#, 1);
    publish.properties = Properties::new().four(property::MESSAGE_EXPIRY, 60);
    assert_eq!(boss.publish(publish), 0);
    let assignment = worker.assignment("draft");
    let deadline = assignment.deadline.expect("from the Message Expiry");
    assert_eq!(deadline - assignment.created_at, 60_000);
}

#[test]
fn the_trace_and_the_sender_are_user_properties_too() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    boss.listen("observe/events/gateway/handoff");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let (parent, state) = (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "vendor=1",
    );
    let mut publish = Publish::new("rooms/lab/handoff/dispatch/boss", r#"{"type":"draft"}"#, 1);
    publish.properties = Properties::new()
        .user("traceparent", parent)
        .user("tracestate", state);
    assert_eq!(boss.publish(publish), 0);
    let shown = |publish: &Publish| {
        ["from", "traceparent", "tracestate"]
            .map(|name| publish.properties.find_user(name).map(str::to_owned))
    };
    let given = |from: &str| [from, parent, state].map(|text| Some(text.to_owned()));

    let message = worker.message_on("rooms/lab/handoff/work/draft");
    assert_eq!(shown(&message), given("boss"));
    let assignment: Assignment = serde_json::from_slice(&message.payload).expect("an assignment");
    assert_eq!(assignment.traceparent.as_deref(), Some(parent));

    worker.succeed(&assignment, json!("done"));
    let message = boss.message_on("rooms/lab/handoff/result/boss");
    assert_eq!(shown(&message), given("worker"));
    let event = boss.message_on("rooms/lab/observe/events/gateway/handoff");
    assert_eq!(
        shown(&event)[..2],
        given("boss")[..2],
        "the first event is the dispatch"
    );
}

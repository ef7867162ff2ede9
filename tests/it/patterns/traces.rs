//! MQTT 5 properties and fields of the body stand for each other, whichever version each side
//! speaks: above all the trace, from what was asked to what came of it.

use hallward::wire::approve::PendingApproval;
use hallward::wire::observe::Event;
use hallward::wire::tools::{ReturnStatus, ToolResult};
use serde_json::{Value as Json, json};

use crate::harness::{Agent, Gateway, Properties, Publish, Value, property};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "vendor=1";

fn properties() -> Properties {
    Properties::new()
        .user("traceparent", PARENT)
        .user("tracestate", STATE)
}

fn in_body(mut body: Json) -> Json {
    body["traceparent"] = PARENT.into();
    body["tracestate"] = STATE.into();
    body
}

/// Publishes with the trace in the properties only.
fn tell_v5(agent: &mut Agent, rest: &str, body: &Json) {
    let mut publish = Publish::new(&agent.topic(rest), body.to_string(), 1);
    publish.properties = properties();
    assert_eq!(agent.publish(publish), 0);
}

/// The trace as a body and as properties tell it.
fn told(message: &Publish) -> [[Option<String>; 2]; 2] {
    let body: Json = serde_json::from_slice(&message.payload).expect("JSON");
    let names = ["traceparent", "tracestate"];
    [
        names.map(|name| body[name].as_str().map(str::to_owned)),
        names.map(|name| message.properties.find_user(name).map(str::to_owned)),
    ]
}

fn trace() -> [Option<String>; 2] {
    [PARENT, STATE].map(|text| Some(text.to_owned()))
}

#[track_caller]
fn in_body_alone(message: &Publish) {
    assert_eq!(told(message), [trace(), [None, None]], "{}", message.topic);
}

#[track_caller]
fn in_both(message: &Publish) {
    assert_eq!(told(message), [trace(), trace()], "{}", message.topic);
}

/// Dispatches, has the worker send a part and the whole, and returns what the worker and then the
/// dispatcher saw.
fn hand_off(boss: &mut Agent, worker: &mut Agent, task: Json, properties: bool) -> Vec<Publish> {
    boss.listen("handoff/result/boss");
    match properties {
        true => tell_v5(boss, "handoff/dispatch/boss", &task),
        false => drop(boss.tell("handoff/dispatch/boss", &in_body(task))),
    }
    let message = worker.message_on("rooms/lab/handoff/work/draft");
    let assignment = serde_json::from_slice(&message.payload).expect("an assignment");
    worker.update(&assignment, "progress", json!({"result": "half"}));
    worker.succeed(&assignment, json!("whole"));
    let results = [0; 2].map(|_| boss.message_on("rooms/lab/handoff/result/boss"));
    std::iter::once(message).chain(results).collect()
}

#[test]
fn a_trace_goes_from_an_mqtt_5_dispatcher_by_a_3_1_1_worker_and_back() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::join_v311(&gateway, "lab", "worker");
    worker.listen("handoff/work/draft");
    let seen = hand_off(&mut boss, &mut worker, json!({"type": "draft"}), true);
    in_body_alone(&seen[0]);
    in_both(&seen[1]);
    in_both(&seen[2]);
}

#[test]
fn a_trace_goes_from_a_3_1_1_dispatcher_by_an_mqtt_5_worker_and_back() {
    let gateway = Gateway::start();
    let mut boss = Agent::join_v311(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let mut watcher = Agent::join(&gateway, "lab", "watcher");
    watcher.listen("observe/events/gateway/handoff");
    let seen = hand_off(&mut boss, &mut worker, json!({"type": "draft"}), false);
    in_both(&seen[0]);
    in_body_alone(&seen[1]);
    in_body_alone(&seen[2]);
    for what in ["dispatched", "assigned", "running", "progress", "succeeded"] {
        let message = watcher.message_on("rooms/lab/observe/events/gateway/handoff");
        let event: Event = serde_json::from_slice(&message.payload).expect("an event");
        assert_eq!(event.what, format!("handoff.{what}"));
        assert_eq!(event.traceparent.as_deref(), Some(PARENT), "{what}");
        let shown = message.properties.find_user("traceparent");
        assert_eq!(shown, Some(PARENT), "{what}");
    }
}

/// Calls a tool, has it answered in two parts, and returns what the provider and then the caller
/// saw.
fn call(caller: &mut Agent, provider: &mut Agent, properties: bool) -> Vec<Publish> {
    caller.listen("tools/result/ann");
    let tool = json!({"description": "d", "inputSchema": {"type": "object"}});
    provider.provide("spell", tool);
    let body = json!({"arguments": {}});
    match properties {
        true => tell_v5(caller, "tools/call/ann/spell", &body),
        false => drop(caller.tell("tools/call/ann/spell", &in_body(body))),
    }
    let message = provider.message_on("rooms/lab/tools/run/spell");
    let run: Json = serde_json::from_slice(&message.payload).expect("a run");
    let id = run["call"].as_str().expect("an id").to_owned();
    provider.answer(&id, "partial", json!({"result": 1}));
    provider.answer(&id, "success", json!({"result": 2}));
    let results = [0; 2].map(|_| caller.message_on("rooms/lab/tools/result/ann"));
    let last: ToolResult = serde_json::from_slice(&results[1].payload).expect("a result");
    assert_eq!(last.status, ReturnStatus::Success);
    std::iter::once(message).chain(results).collect()
}

#[test]
fn a_trace_goes_with_a_call_of_a_tool_whatever_version_each_side_speaks() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut speller = Agent::join_v311(&gateway, "lab", "speller");
    let seen = call(&mut ann, &mut speller, true);
    in_body_alone(&seen[0]);
    in_both(&seen[1]);
    in_both(&seen[2]);
    ann.disconnect();
    speller.disconnect();

    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    let mut speller = Agent::join(&gateway, "lab", "speller");
    let seen = call(&mut ann, &mut speller, false);
    in_both(&seen[0]);
    in_body_alone(&seen[1]);
    in_body_alone(&seen[2]);
}

#[test]
fn a_trace_goes_with_an_approval_to_who_decides_and_into_the_decision() {
    let gateway = Gateway::start();
    let mut boss = Agent::join_v311(&gateway, "lab", "boss");
    boss.listen("approve/pending/+");
    let mut watcher = Agent::join(&gateway, "lab", "watcher");
    watcher.listen("observe/events/gateway/approve");
    for (id, version_5) in [("five", true), ("three", false)] {
        let mut editor = match version_5 {
            true => Agent::join(&gateway, "lab", "editor"),
            false => Agent::join_v311(&gateway, "lab", "editor"),
        };
        editor.listen("approve/decision/editor");
        let request = json!({"id": id, "action": "publish"});
        match version_5 {
            true => tell_v5(&mut editor, "approve/request/editor", &request),
            false => drop(editor.tell("approve/request/editor", &in_body(request))),
        }
        let pending: PendingApproval = boss.next(&format!("approve/pending/{id}"));
        let shown = [pending.traceparent, pending.tracestate];
        assert_eq!(shown, trace());
        boss.decide(id, json!({"decision": "approve"}));
        let message = editor.message_on("rooms/lab/approve/decision/editor");
        match version_5 {
            true => in_both(&message),
            false => in_body_alone(&message),
        }
        for what in ["requested", "voted", "decided"] {
            let event: Event = watcher.next("observe/events/gateway/approve");
            assert_eq!(event.what, format!("approve.{what}"));
            assert_eq!(event.traceparent.as_deref(), Some(PARENT), "{what}");
        }
        editor.disconnect();
    }
}

#[test]
fn what_the_body_says_of_the_trace_goes_before_the_properties_and_is_not_mixed_with_them() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let task = json!({"type": "draft", "traceparent": "00-own-own-00"});
    tell_v5(&mut boss, "handoff/dispatch/boss", &task);
    let message = worker.message_on("rooms/lab/handoff/work/draft");
    let own = || [Some("00-own-own-00".to_owned()), None];
    assert_eq!(told(&message), [own(), own()]);
}

#[test]
fn every_property_shows_what_the_body_says() {
    let gateway = Gateway::start();
    let mut boss = Agent::join_v311(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let task = in_body(json!({"type": "draft", "correlationId": "c7", "ttlMs": 60_000}));
    boss.tell("handoff/dispatch/boss", &task);
    let message = worker.message_on("rooms/lab/handoff/work/draft");
    in_both(&message);
    let shown = &message.properties;
    assert_eq!(shown.find_user("from"), Some("boss"));
    let correlation = shown.find(property::CORRELATION_DATA);
    assert_eq!(correlation, Some(&Value::Binary(b"c7".to_vec())));
    let content = shown.find(property::CONTENT_TYPE);
    assert_eq!(content, Some(&Value::Text("application/json".to_owned())));
    let Some(Value::Four(seconds)) = shown.find(property::MESSAGE_EXPIRY) else {
        panic!("no Message Expiry in {shown:?}");
    };
    assert!((1..=60).contains(seconds), "{seconds} s are left");
}

#[test]
fn every_property_stands_for_what_the_body_does_not_say() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("reply/boss/mine");
    boss.listen("handoff/result/boss");
    let mut worker = Agent::join_v311(&gateway, "lab", "worker");
    worker.listen("handoff/work/draft");
    let mut publish = Publish::new("rooms/lab/handoff/dispatch/boss", r#"{"type":"draft"}"#, 1);
    publish.properties = properties()
        .binary(property::CORRELATION_DATA, b"c8")
        .text(property::RESPONSE_TOPIC, "rooms/lab/reply/boss/mine")
        .four(property::MESSAGE_EXPIRY, 60);
    assert_eq!(boss.publish(publish), 0);
    let reply: Json = boss.next("reply/boss/mine");
    assert_eq!(reply["correlationId"], "c8");
    let assignment = worker.assignment("draft");
    assert_eq!(assignment.correlation_id.as_deref(), Some("c8"));
    let deadline = assignment.deadline.expect("from the Message Expiry");
    assert_eq!(deadline - assignment.created_at, 60_000);
    worker.succeed(&assignment, json!(1));
    let message = boss.message_on("rooms/lab/handoff/result/boss");
    let correlation = message.properties.find(property::CORRELATION_DATA);
    assert_eq!(correlation, Some(&Value::Binary(b"c8".to_vec())));
}

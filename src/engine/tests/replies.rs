//! Replies: who gets one, where, with what in it.

use crate::wire::mirror::{CommandMirrors, Trace};
use crate::wire::name::Key;
use crate::wire::reply::{Rejection, ReplyStatus};

use super::*;

#[test]
fn an_accepted_command_is_answered_if_it_asks_for_it() {
    let mut world = World::new();
    world
        .send("a", "blackboard/set/k", json!({ "value": 1 }))
        .unwrap();
    assert!(world.replies("a").is_empty());
    world
        .send(
            "a",
            "blackboard/set/k",
            json!({ "value": 1, "correlationId": "c" }),
        )
        .unwrap();
    let reply = world.last_reply("a");
    assert_eq!(reply.command, "blackboard/set");
    assert_eq!(reply.status, ReplyStatus::Accepted);
    assert_eq!(reply.code, Code::Done);
    assert_eq!(reply.correlation_id.as_deref(), Some("c"));
    world
        .send("a", "blackboard/set/k", json!({ "value": 1, "id": "i" }))
        .unwrap();
    assert_eq!(world.last_reply("a").id.unwrap().as_str(), "i");
}

#[test]
fn a_refused_command_is_always_answered_even_where_its_payload_is_broken() {
    let mut world = World::new();
    assert_eq!(
        world.send_raw("a", "handoff/update", "{"),
        Err(Code::Malformed)
    );
    let reply = world.last_reply("a");
    assert_eq!(reply.status, ReplyStatus::Rejected);
    assert!(reply.reason.is_some());
    let wrong =
        json!({ "task": 5, "attempt": 1, "status": "success", "id": "i", "correlationId": "c" });
    assert_eq!(
        world.send("a", "handoff/update", wrong),
        Err(Code::Malformed)
    );
    let reply = world.last_reply("a");
    assert_eq!(reply.path.as_deref(), Some("task"));
    assert_eq!(reply.id.unwrap().as_str(), "i");
    assert_eq!(reply.correlation_id.as_deref(), Some("c"));
}

#[test]
fn mqtt_5_properties_stand_in_for_what_the_payload_does_not_say() {
    let mut world = World::new();
    let command = Command {
        mirrors: CommandMirrors {
            correlation_id: Some("property".to_owned()),
            reply_rest: Some(Key::new("x/y").unwrap()),
            ttl_ms: Some(1_000),
            trace: Trace {
                traceparent: Some("00-trace".to_owned()),
                tracestate: None,
            },
            is_cbor: false,
        },
        ..World::command(
            "a",
            topic("rooms/r/handoff/dispatch/a"),
            r#"{"id":"t","type":"draft"}"#,
        )
    };
    world.input(Input::Command(command)).unwrap();
    let reply = world.directed.last().unwrap().clone();
    assert_eq!(reply.topic.format(ROOT), "rooms/r/reply/a/x/y");
    assert_eq!(reply.mirrors.correlation_id.as_deref(), Some("property"));
    assert_eq!(reply.class, DirectedKind::Reply);
    assert_eq!(reply.mirrors.expires_at, Some(START + 60 * 60_000));
    assert_eq!(world.view("t").deadline, Some(START + 1_000));
    world.pass(1_000);
    assert_eq!(
        world.results("a")[0].correlation_id.as_deref(),
        Some("property")
    );
}

#[test]
fn a_publish_that_was_refused_before_is_answered_in_its_room() {
    let mut world = World::new();
    world
        .input(Input::Refused {
            from: agent("a"),
            room: topic("rooms/r/reply/a").room,
            command: "handoff/oops".to_owned(),
            rejection: Rejection::new(Code::Malformed, "no such topic"),
        })
        .unwrap();
    let reply = world.last_reply("a");
    assert_eq!(
        (reply.command.as_str(), reply.code),
        ("handoff/oops", Code::Malformed)
    );
    assert_eq!(world.engine.stats().refusals.of(Code::Malformed), 1);
}

#[test]
fn an_id_means_something_only_with_its_agent_and_its_command() {
    let mut world = World::new();
    let set = json!({ "value": 1, "id": "i" });
    world.send("a", "blackboard/set/k", set.clone()).unwrap();
    world.send("b", "blackboard/set/k", set).unwrap();
    world
        .send("a", "blackboard/delete/k", json!({ "id": "i" }))
        .unwrap();
    assert_eq!(world.last_reply("b").version, Some(2));
    assert_eq!(world.engine.stats().keys, 0);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of commands")]
fn an_id_stands_for_what_was_said_with_it() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.connect("p");
    for tool in ["spell", "count"] {
        world
            .subscribe("p", &format!("rooms/r/tools/run/{tool}"))
            .unwrap();
        let card = json!({ "description": "", "inputSchema": { "type": "object" } });
        world
            .send("p", &format!("tools/register/{tool}"), card)
            .unwrap();
    }
    let said = [
        (
            "handoff/dispatch",
            json!({ "type": "draft" }),
            "handoff/dispatch",
            json!({ "type": "draft", "payload": 1 }),
        ),
        (
            "handoff/dispatch",
            json!({ "type": "none", "id": "u" }),
            "handoff/dispatch",
            json!({ "type": "nobody", "id": "u" }),
        ),
        (
            "handoff/cancel",
            json!({ "task": "u" }),
            "handoff/cancel",
            json!({ "task": "i" }),
        ),
        (
            "blackboard/set/k",
            json!({ "value": 1 }),
            "blackboard/set/k",
            json!({ "value": 2 }),
        ),
        (
            "blackboard/set/l",
            json!({ "value": 1, "id": "l" }),
            "blackboard/set/m",
            json!({ "value": 1, "id": "l" }),
        ),
        (
            "blackboard/delete/k",
            json!({}),
            "blackboard/delete/l",
            json!({}),
        ),
        (
            "blackboard/txn",
            json!({ "ops": [{ "op": "set", "key": "a", "value": 1 }] }),
            "blackboard/txn",
            json!({ "ops": [{ "op": "set", "key": "b", "value": 1 }] }),
        ),
        (
            "blackboard/lock/x",
            json!({}),
            "blackboard/lock/y",
            json!({}),
        ),
        (
            "blackboard/unlock/x",
            json!({}),
            "blackboard/unlock/x",
            json!({ "token": 9 }),
        ),
        (
            "approve/request",
            json!({ "action": "read" }),
            "approve/request",
            json!({ "action": "delete all" }),
        ),
        (
            "approve/cancel",
            json!({ "approval": "i" }),
            "approve/cancel",
            json!({ "approval": "j" }),
        ),
        (
            "tools/call/spell",
            json!({ "arguments": { "text": "a" } }),
            "tools/call/spell",
            json!({ "arguments": { "text": "b" } }),
        ),
        (
            "tools/call/spell",
            json!({ "id": "j" }),
            "tools/call/count",
            json!({ "id": "j" }),
        ),
        (
            "tools/cancel",
            json!({ "call": "a/i" }),
            "tools/cancel",
            json!({ "call": "a/j" }),
        ),
        (
            "mailbox/purge",
            json!({ "all": true }),
            "mailbox/purge",
            json!({ "seqs": [7] }),
        ),
    ];
    for (first, body, ..) in &said {
        world
            .send("a", first, with_id(body))
            .unwrap_or_else(|code| panic!("{first} {body}: {code:?}"));
    }
    for round in 0..2 {
        for (first, body, other, otherwise) in &said {
            assert_eq!(
                world.send("a", other, with_id(otherwise)),
                Err(Code::Conflict),
                "{other} {otherwise}"
            );
            let reply = world.last_reply("a");
            assert_eq!(reply.path.as_deref(), Some("id"), "{reply:?}");
            assert!(
                reply
                    .reason
                    .unwrap()
                    .ends_with("was used for another command")
            );
            world
                .send("a", first, with_id(body))
                .unwrap_or_else(|code| panic!("{first} {body} in round {round}: {code:?}"));
        }
        world.crash();
    }
    assert_eq!(world.engine.stats().keys, 2, "l and a");
}

fn with_id(body: &serde_json::Value) -> serde_json::Value {
    let mut body = body.clone();
    body.as_object_mut()
        .unwrap()
        .entry("id")
        .or_insert(json!("i"));
    body
}

#[test]
fn who_waits_for_a_lock_may_ask_again_but_not_for_something_else() {
    let mut world = World::new();
    world.send("a", "blackboard/lock/x", json!({})).unwrap();
    let waits = json!({ "id": "i", "wait": true, "waitMs": 5_000 });
    world.send("b", "blackboard/lock/x", waits.clone()).unwrap();
    world.crash();
    world.send("b", "blackboard/lock/x", waits).unwrap();
    let longer = json!({ "id": "i", "wait": true, "waitMs": 9_000 });
    assert_eq!(
        world.send("b", "blackboard/lock/x", longer.clone()),
        Err(Code::Conflict)
    );
    assert_eq!(world.last_reply("b").path.as_deref(), Some("id"));
    world.send("a", "blackboard/unlock/x", json!({})).unwrap();
    assert_eq!(
        world.send("b", "blackboard/lock/x", longer),
        Err(Code::Conflict)
    );
}

#[test]
fn what_earlier_versions_remember_answers_whatever_comes_under_its_id() {
    let mut world = World::new();
    let ask = |action: &str| json!({ "id": "i", "action": action });
    world
        .send("a", "blackboard/set/k", json!({ "id": "i", "value": 1 }))
        .unwrap();
    world
        .send(
            "a",
            "handoff/dispatch",
            json!({ "id": "i", "type": "draft" }),
        )
        .unwrap();
    world.send("a", "approve/request", ask("read")).unwrap();
    let mut without = 0;
    for record in world.disk.values_mut() {
        let Ok(serde_cbor::Value::Map(mut fields)) = serde_cbor::from_slice(&record[1..]) else {
            continue;
        };
        let name = serde_cbor::Value::Text("fingerprint".to_owned());
        without += usize::from(fields.remove(&name).is_some());
        *record = [
            vec![1],
            serde_cbor::to_vec(&serde_cbor::Value::Map(fields)).unwrap(),
        ]
        .concat();
    }
    assert_eq!(without, 3);
    world.crash();
    world
        .send("a", "blackboard/set/k", json!({ "id": "i", "value": 2 }))
        .unwrap();
    assert_eq!(world.last_reply("a").version, Some(1));
    world
        .send(
            "a",
            "handoff/dispatch",
            json!({ "id": "i", "type": "other" }),
        )
        .unwrap();
    world
        .send("a", "approve/request", ask("delete all"))
        .unwrap();
}

#[test]
fn a_refusal_is_not_remembered_so_a_repeat_may_succeed() {
    let mut world = World::new();
    let delete = json!({ "id": "i" });
    assert_eq!(
        world.send("a", "blackboard/delete/k", delete.clone()),
        Err(Code::NotFound)
    );
    world
        .send("a", "blackboard/set/k", json!({ "value": 1 }))
        .unwrap();
    world.send("a", "blackboard/delete/k", delete).unwrap();
}

#[test]
fn a_repeated_update_with_an_id_returns_its_first_outcome() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.dispatch("boss", "t", "draft");
    let error = json!({ "task": "t", "attempt": 1, "status": "error", "id": "u" });
    world.send("w", "handoff/update", error.clone()).unwrap();
    world.pass(5_000);
    world.send("w", "handoff/update", error).unwrap();
    assert_eq!(
        world.view("t").attempt,
        2,
        "the second attempt is not touched"
    );
    assert_eq!(world.state("t"), TaskState::Assigned);
}

#[test]
fn outcomes_are_forgotten_after_a_while_and_beyond_their_limit() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.commands.max_outcomes_per_room = 2
    }));
    let set = |id: &str| json!({ "value": 1, "id": id });
    for id in ["1", "2", "3"] {
        world.send("a", "blackboard/set/k", set(id)).unwrap();
        world.pass(10);
    }
    world.send("a", "blackboard/set/k", set("2")).unwrap();
    assert_eq!(world.last_reply("a").version, Some(2));
    world.send("a", "blackboard/set/k", set("1")).unwrap();
    assert_eq!(world.last_reply("a").version, Some(4), "it was forgotten");
    world.crash();
    world.pass(24 * 60 * 60_000);
    world.send("a", "blackboard/set/k", set("3")).unwrap();
    assert_eq!(world.last_reply("a").version, Some(5));
    let outcomes = world.disk.keys().filter(|key| key[2] == 7).count();
    assert_eq!(outcomes, 1);
}

#[test]
fn the_clock_never_goes_back() {
    let mut world = World::new();
    world.dispatch("boss", "t", "draft");
    world.now = 5;
    world.dispatch("boss", "u", "draft");
    assert_eq!(world.view("u").created_at, START);
    world.crash();
    world.dispatch("boss", "v", "draft");
    assert_eq!(world.view("v").created_at, START);
}

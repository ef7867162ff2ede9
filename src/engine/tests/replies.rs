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
    assert_eq!(reply.class, Class::Reply);
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
    let mut world = World::with(Settings {
        max_outcomes_per_room: 2,
        ..Settings::default()
    });
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

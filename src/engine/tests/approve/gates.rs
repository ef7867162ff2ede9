//! Gates: work that the gateway itself holds back until somebody has said yes; and who is one
//! person.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::{ApprovalConfig, SamePerson, TaskTypeDefaults};
use crate::wire::name::TaskType;
use crate::wire::tools::{CallState, CallView, ReturnStatus, ToolResult, ToolRun};

use super::*;

/// Tasks of the type `publish` have to be approved by somebody whose role is `chief`.
pub(super) fn gated_types() -> BTreeMap<TaskType, TaskTypeDefaults> {
    let of_type = TaskTypeDefaults {
        approval: Some(ApprovalConfig {
            approvers: vec!["role:chief".to_owned()],
            timeout: Some("1m".parse().unwrap()),
            ..ApprovalConfig::default()
        }),
        ..TaskTypeDefaults::default()
    };
    [("publish".parse().unwrap(), of_type)].into()
}

pub(super) fn gated() -> World {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.types = gated_types();
    }));
    world.connect("chief");
    world
        .send("chief", "presence/announce", json!({ "role": "chief" }))
        .unwrap();
    world.connect("boss");
    world.worker("w", "publish");
    world
}

fn dispatch_gated(world: &mut World) -> String {
    let task = json!({ "id": "t", "type": "publish", "payload": { "text": "Tides" }, "correlationId": "c" });
    world.dispatch_with("boss", task);
    world.last_reply("boss").approval.unwrap().to_string()
}

fn awaiting(world: &World, id: &str) -> Option<PendingApproval> {
    let pending = world.retained(&format!("approve/pending/{id}"))?;
    Some(serde_json::from_value(pending).unwrap())
}

fn say(world: &mut World, who: &str, id: &str, decision: Value) -> Verdict {
    world.send(who, &format!("approve/decide/{id}"), decision)
}

#[test]
fn a_task_of_such_a_type_goes_to_nobody_before_it_is_approved() {
    let mut world = gated();
    let id = dispatch_gated(&mut world);
    assert_eq!(world.state("t"), TaskState::Waiting);
    assert_eq!(world.view("t").approval.unwrap().as_str(), id);
    let shown = awaiting(&world, &id).unwrap();
    assert_eq!(shown.task.unwrap().as_str(), "t");
    assert_eq!(
        (shown.action.as_str(), shown.requester.as_str()),
        ("publish", "boss")
    );
    assert_eq!(shown.content.unwrap().text(), r#"{"text":"Tides"}"#);
    let seen = json!({ "decision": "approve", "digest": shown.digest });
    assert_eq!(
        say(&mut world, "boss", &id, seen.clone()),
        Err(Code::Forbidden)
    );
    assert_eq!(
        say(&mut world, "w", &id, seen.clone()),
        Err(Code::Forbidden)
    );
    assert_eq!(
        say(
            &mut world,
            "chief",
            &id,
            json!({ "decision": "approve", "digest": "x" })
        ),
        Err(Code::Conflict)
    );
    assert_eq!(say(&mut world, "chief", &id, seen), Ok(()));
    assert_eq!(world.assignments("w"), [("t".to_owned(), 1)]);
    assert_eq!(awaiting(&world, &id), None);
    assert_eq!(world.decisions("boss"), [], "what comes of it tells");
    world.success("w", "t", 1);
    world.check();
}

#[test]
fn what_is_not_approved_is_dead_and_can_be_asked_for_again() {
    for refuse in [true, false] {
        let mut world = gated();
        let id = dispatch_gated(&mut world);
        world.crash();
        let announce = |world: &mut World| {
            world.connect("chief");
            let said = json!({ "role": "chief" });
            world.send("chief", "presence/announce", said).unwrap();
        };
        match refuse {
            true => {
                announce(&mut world);
                say(
                    &mut world,
                    "chief",
                    &id,
                    json!({ "decision": "no", "reason": "dull" }),
                )
                .unwrap();
            }
            false => world.pass(60_000),
        }
        assert_eq!(world.state("t"), TaskState::Dead);
        let told = world.results("boss").pop().unwrap();
        assert_eq!(told.error.unwrap().code.as_deref(), Some("not-approved"));
        assert_eq!(
            say(&mut world, "chief", &id, json!({ "decision": "approve" })),
            Err(Code::Conflict)
        );
        world
            .send("boss", "handoff/redrive", json!({ "task": "t" }))
            .unwrap();
        assert_eq!(world.state("t"), TaskState::Waiting);
        let again = world.view("t").approval.unwrap().to_string();
        assert_ne!(again, id);
        announce(&mut world);
        say(
            &mut world,
            "chief",
            &again,
            json!({ "decision": "approve" }),
        )
        .unwrap();
        world.connect("w");
        world.offers("w", "publish");
        assert_eq!(world.assignments("w").len(), 1);
        world.check();
    }
}

#[test]
fn what_was_edited_is_what_is_handed_out() {
    let mut world = gated();
    let id = dispatch_gated(&mut world);
    let edit = json!({ "decision": "approve", "edit": { "text": "Ebb" } });
    assert_eq!(say(&mut world, "chief", &id, edit), Ok(()));
    let is_work = |topic: &Topic| matches!(topic, Topic::HandoffWork { .. });
    let sent: Vec<Assignment> = world.directed_to("w", is_work);
    assert_eq!(
        sent[0].payload.as_ref().unwrap().text(),
        r#"{"text":"Ebb"}"#
    );
    world.check();
}

#[test]
fn nobody_is_asked_about_what_is_over() {
    let mut world = gated();
    let id = dispatch_gated(&mut world);
    world
        .send("boss", "handoff/cancel", json!({ "task": "t" }))
        .unwrap();
    assert_eq!(awaiting(&world, &id), None);
    assert_eq!(
        say(&mut world, "chief", &id, json!({ "decision": "approve" })),
        Err(Code::Conflict)
    );
    // The requester takes the request back, and with it the task.
    world.dispatch_with("boss", json!({ "id": "u", "type": "publish" }));
    let id = world.view("u").approval.unwrap();
    world
        .send("boss", "approve/cancel", json!({ "approval": id }))
        .unwrap();
    assert_eq!(world.state("u"), TaskState::Dead);
    world.check();
}

#[test]
fn a_delay_and_a_dependency_are_waited_for_as_well() {
    let mut world = gated();
    world.dispatch("boss", "first", "else");
    let task =
        json!({ "id": "t", "type": "publish", "notBeforeMs": 5_000, "dependsOn": ["first"] });
    world.dispatch_with("boss", task);
    let id = world.view("t").approval.unwrap().to_string();
    say(&mut world, "chief", &id, json!({ "decision": "approve" })).unwrap();
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.worker("x", "else");
    world.success("x", "first", 1);
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.pass(5_000);
    assert_eq!(world.state("t"), TaskState::Assigned);
}

#[test]
fn more_than_may_wait_is_refused_at_once() {
    let mut world = gated();
    world.reconfigure(|settings| settings.approve.max_pending_per_room = 1);
    dispatch_gated(&mut world);
    let second = json!({ "id": "u", "type": "publish" });
    assert_eq!(
        world.send("boss", "handoff/dispatch", second),
        Err(Code::TooMany)
    );
    let odd = json!({ "id": "u", "type": "publish", "payload": 1 });
    world.reconfigure(|settings| settings.approve.max_pending_per_room = 9);
    assert_eq!(world.send("boss", "handoff/dispatch", odd), Ok(()));
    let odd = r#"{ "id": "v", "type": "publish", "payload": {"n":1.00000000000000001} }"#;
    assert_eq!(
        world.send_raw("boss", "handoff/dispatch", odd),
        Err(Code::Invalid)
    );
}

fn tool(approval: Value) -> Value {
    json!({
        "description": "wipes", "approval": approval,
        "inputSchema": { "type": "object", "properties": { "n": { "type": "integer" } } },
    })
}

pub(super) fn with_tool() -> World {
    let mut world = World::new();
    world.connect("p");
    world.subscribe("p", "rooms/r/tools/run/wipe").unwrap();
    let registration =
        tool(json!({ "action": "wipe it", "approvers": ["boss"], "timeoutMs": 60_000 }));
    assert_eq!(world.send("p", "tools/register/wipe", registration), Ok(()));
    world
}

fn call_wipe(world: &mut World) -> String {
    let call = json!({ "id": "1", "arguments": { "n": 1 } });
    assert_eq!(world.send("ann", "tools/call/wipe", call), Ok(()));
    world.last_reply("ann").approval.unwrap().to_string()
}

fn view(world: &mut World) -> CallView {
    world
        .send("ann", "tools/get", json!({ "call": "ann/1" }))
        .unwrap();
    let data = world.last_reply("ann").data.unwrap();
    serde_json::from_str(data.text()).unwrap()
}

fn runs(world: &World) -> Vec<ToolRun> {
    world.directed_to("p", |topic| matches!(topic, Topic::ToolsRun { .. }))
}

fn outcome(world: &World) -> (ReturnStatus, Option<String>) {
    let is_result = |topic: &Topic| matches!(topic, Topic::ToolsResult { .. });
    let result = world
        .directed_to::<ToolResult>("ann", is_result)
        .pop()
        .unwrap();
    assert!(result.is_final);
    (result.status, result.error.and_then(|error| error.code))
}

#[test]
fn a_call_of_such_a_tool_runs_once_it_is_approved() {
    let mut world = with_tool();
    let card = world.retained("tools/card/wipe").unwrap();
    assert_eq!(card["approval"]["approvers"], json!(["boss"]));
    let id = call_wipe(&mut world);
    let held = view(&mut world);
    assert_eq!(
        (held.state, held.provider.as_str()),
        (CallState::Approving, "gateway")
    );
    assert_eq!(held.approval.unwrap().as_str(), id);
    let shown = awaiting(&world, &id).unwrap();
    assert_eq!(
        (shown.action.as_str(), shown.call.unwrap().as_str()),
        ("wipe it", "ann/1")
    );
    assert_eq!(runs(&world), []);
    world.crash();
    world.connect("p");
    world.subscribe("p", "rooms/r/tools/run/wipe").unwrap();
    world.pass(40_000);
    let edit = json!({ "decision": "approve", "edit": { "n": 2 } });
    assert_eq!(say(&mut world, "boss", &id, edit), Ok(()));
    let run = runs(&world).pop().unwrap();
    assert_eq!(run.arguments.unwrap().text(), r#"{"n":2}"#);
    assert_eq!(run.deadline, START + 70_000, "its time begins then");
    let said = json!({ "call": "ann/1", "status": "success", "result": 1 });
    assert_eq!(world.send("p", "tools/return", said), Ok(()));
    assert_eq!(outcome(&world).0, ReturnStatus::Success);
    assert_eq!(
        world.story("ann/1"),
        ["tools.called", "tools.approved", "tools.returned"]
    );
    assert_eq!(world.decisions("ann"), []);
    world.check();
}

#[test]
fn a_call_that_is_not_approved_never_runs() {
    for (end, code) in [
        ("reject", "not-approved"),
        ("time", "not-approved"),
        ("cancel", "cancelled"),
        ("gone", "unavailable"),
        ("unfit", "unavailable"),
    ] {
        let mut world = with_tool();
        let id = call_wipe(&mut world);
        match end {
            "time" => world.pass(60_000),
            "cancel" => world
                .send("ann", "tools/cancel", json!({ "call": "ann/1" }))
                .unwrap(),
            "gone" => {
                world.end_session("p");
                say(&mut world, "boss", &id, json!({ "decision": "approve" })).unwrap();
            }
            "unfit" => {
                let edit = json!({ "decision": "approve", "edit": { "n": "two" } });
                say(&mut world, "boss", &id, edit).unwrap();
            }
            word => say(&mut world, "boss", &id, json!({ "decision": word })).unwrap(),
        }
        assert_eq!(
            outcome(&world),
            (ReturnStatus::Error, Some(code.to_owned())),
            "{end}"
        );
        assert_eq!(awaiting(&world, &id), None);
        assert_eq!(runs(&world), []);
        world.check();
    }
}

#[test]
fn providers_agree_on_the_approval_and_the_rule_must_be_one_that_can_be_kept() {
    let mut world = with_tool();
    world.connect("q");
    world.subscribe("q", "rooms/r/tools/run/wipe").unwrap();
    let other = tool(json!({ "approvers": ["somebody"] }));
    assert_eq!(
        world.send("q", "tools/register/wipe", other),
        Err(Code::Conflict)
    );
    for odd in [
        json!({ "approvers": ["a b"] }),
        json!({ "quorum": 0 }),
        json!({ "timeoutMs": 0 }),
    ] {
        assert_eq!(
            world.send("q", "tools/register/other", tool(odd)),
            Err(Code::Invalid)
        );
    }
}

#[test]
fn what_runs_is_the_tool_that_was_approved() {
    let mut world = with_tool();
    let id = call_wipe(&mut world);
    world.send_raw("p", "tools/register/wipe", "").unwrap();
    world.connect("q");
    world.subscribe("q", "rooms/r/tools/run/wipe").unwrap();
    let other = json!({ "description": "formats", "inputSchema": { "type": "object" } });
    world.send("q", "tools/register/wipe", other).unwrap();
    say(&mut world, "boss", &id, json!({ "decision": "approve" })).unwrap();
    assert_eq!(
        outcome(&world),
        (ReturnStatus::Error, Some("tool-changed".to_owned()))
    );
    assert!(runs(&world).is_empty());
    world.check();
}

#[test]
fn no_more_await_approval_than_may_however_many_are_redriven_at_once() {
    let mut world = gated();
    for id in ["a", "b", "c"] {
        world.dispatch("boss", id, "publish");
        let approval = world.view(id).approval.unwrap().to_string();
        say(&mut world, "chief", &approval, json!({ "decision": "no" })).unwrap();
    }
    world.reconfigure(|settings| settings.approve.max_pending_per_room = 2);
    world
        .send(
            "boss",
            "handoff/redrive",
            json!({ "type": "publish", "correlationId": "c" }),
        )
        .unwrap();
    assert_eq!(world.engine.stats().pending_approvals, 2);
    assert_eq!(world.state("c"), TaskState::Dead);
}

/// A command of an agent that is this user's.
fn as_user(world: &mut World, user: &str, who: &str, verb: &str, body: Value) -> Verdict {
    let at = format!("rooms/r/{}", verb.replace("{me}", who));
    let command = Command {
        user: Some(Arc::from(user)),
        ..World::command(who, topic(&at), body.to_string())
    };
    world.input(Input::Command(command))
}

fn of_ann(same_person: SamePerson, request: Value) -> World {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.approve.same_person = same_person;
    }));
    let mut asked = json!({ "id": "p", "action": "publish" });
    asked
        .as_object_mut()
        .unwrap()
        .extend(request.as_object().unwrap().clone());
    as_user(&mut world, "ann", "ann-1", "approve/request/{me}", asked).unwrap();
    world
}

fn yes(world: &mut World, user: &str, who: &str) -> Verdict {
    let decision = json!({ "decision": "approve" });
    as_user(world, user, who, "approve/decide/{me}/p", decision)
}

#[test]
fn nobody_approves_its_own_request_by_another_agent_of_its_own() {
    let mut world = of_ann(SamePerson::User, json!({}));
    assert_eq!(yes(&mut world, "ann", "ann-2"), Err(Code::Forbidden));
    world.crash();
    assert_eq!(yes(&mut world, "ann", "ann-2"), Err(Code::Forbidden));
    assert_eq!(yes(&mut world, "ben", "ben-1"), Ok(()));
    let mut world = of_ann(SamePerson::Agent, json!({}));
    assert_eq!(yes(&mut world, "ann", "ann-2"), Ok(()));
}

#[test]
fn a_redrive_asks_as_the_same_person() {
    let mut world = gated();
    let ann = |world: &mut World, who: &str, verb: &str, body: Value| {
        as_user(world, "ann", who, verb, body)
    };
    let chief = json!({ "role": "chief" });
    ann(&mut world, "ann-2", "presence/announce/{me}", chief).unwrap();
    let task = json!({ "id": "t", "type": "publish" });
    ann(&mut world, "ann-1", "handoff/dispatch/{me}", task).unwrap();
    for _ in 0..2 {
        let id = world.view("t").approval.unwrap();
        let topic = format!("approve/decide/{{me}}/{id}");
        let yes = json!({ "decision": "approve" });
        assert_eq!(ann(&mut world, "ann-2", &topic, yes), Err(Code::Forbidden));
        ann(
            &mut world,
            "ann-1",
            "approve/cancel/{me}",
            json!({ "approval": id }),
        )
        .unwrap();
        ann(
            &mut world,
            "ann-1",
            "handoff/redrive/{me}",
            json!({ "task": "t" }),
        )
        .unwrap();
        world.crash();
        let chief = json!({ "role": "chief" });
        ann(&mut world, "ann-2", "presence/announce/{me}", chief).unwrap();
    }
}

#[test]
fn a_person_counts_once_and_is_meant_by_its_user_name() {
    let request = json!({ "quorum": 2, "approvers": ["ben", "role:chief", "cat"] });
    let mut world = of_ann(SamePerson::User, request.clone());
    assert_eq!(yes(&mut world, "dan", "dan-1"), Err(Code::Forbidden));
    assert_eq!(yes(&mut world, "ben", "ben-1"), Ok(()));
    assert_eq!(yes(&mut world, "ben", "ben-1"), Ok(()), "a repeat");
    assert_eq!(yes(&mut world, "ben", "ben-2"), Err(Code::Conflict));
    world.crash();
    assert_eq!(yes(&mut world, "ben", "ben-2"), Err(Code::Conflict));
    assert_eq!(yes(&mut world, "cat", "cat"), Ok(()));
    assert!(world.decisions("ann-1")[0].approved);
    let mut world = of_ann(SamePerson::Agent, request);
    assert_eq!(yes(&mut world, "ben", "ben-1"), Ok(()));
    assert_eq!(yes(&mut world, "ben", "ben-2"), Ok(()));
    assert!(world.decisions("ann-1")[0].approved);
}

#[test]
fn who_could_only_ask_itself_is_refused() {
    let mut world = World::new();
    let asked = json!({ "id": "p", "action": "publish", "approvers": ["ann"] });
    let verdict = as_user(&mut world, "ann", "ann-1", "approve/request/{me}", asked);
    assert_eq!(verdict, Err(Code::Invalid));
}

#[test]
fn a_repeated_dispatch_is_told_the_same_approval_whatever_has_become_of_it() {
    let mut world = gated();
    let id = dispatch_gated(&mut world);
    let again = |world: &mut World| {
        assert_eq!(dispatch_gated(world), id);
        world.crash();
        assert_eq!(dispatch_gated(world), id);
        world.connect("chief");
        let said = json!({ "role": "chief" });
        world.send("chief", "presence/announce", said).unwrap();
    };
    again(&mut world);
    say(&mut world, "chief", &id, json!({ "decision": "no" })).unwrap();
    again(&mut world);
    world
        .send("boss", "handoff/redrive", json!({ "task": "t" }))
        .unwrap();
    again(&mut world);
    let other = world.view("t").approval.unwrap().to_string();
    let edit = json!({ "decision": "approve", "edit": { "text": "Ebb" } });
    say(&mut world, "chief", &other, edit).unwrap();
    again(&mut world);
    world
        .send("boss", "handoff/cancel", json!({ "task": "t" }))
        .unwrap();
    again(&mut world);
}

#[test]
fn a_task_that_was_not_to_be_approved_at_first_is_told_of_no_approval_when_repeated() {
    let mut world = World::new();
    world.worker("w", "publish");
    let task = json!({ "id": "t", "type": "publish", "maxAttempts": 1, "correlationId": "c" });
    world.dispatch_with("boss", task.clone());
    let failed = json!({ "task": "t", "attempt": 1, "status": "error" });
    world.send("w", "handoff/update", failed).unwrap();
    world.reconfigure(|settings| settings.handoff.types = gated_types());
    world
        .send("boss", "handoff/redrive", json!({ "task": "t" }))
        .unwrap();
    assert!(world.view("t").approval.is_some());
    world.dispatch_with("boss", task);
    assert_eq!(world.last_reply("boss").approval, None);
}

#[test]
fn what_was_given_back_too_often_awaits_its_approval_after_a_restart_as_well() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_releases = 1;
    }));
    world.worker("w", "publish");
    world.dispatch("boss", "t", "publish");
    for attempt in 1..=2 {
        let release = json!({ "task": "t", "attempt": attempt, "status": "release" });
        world.send("w", "handoff/update", release).unwrap();
        world.pass(60_000);
    }
    assert_eq!(world.state("t"), TaskState::Dead);
    world.reconfigure(|settings| settings.handoff.types = gated_types());
    world
        .send("boss", "handoff/redrive", json!({ "task": "t" }))
        .unwrap();
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.crash();
    world.worker("x", "publish");
    assert_eq!(world.assignments("x"), []);
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.check();
}

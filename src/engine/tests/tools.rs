//! Tools: the registry, calls, answers, and providers that vanish.

mod asking;
mod cards;
mod ended;
mod ends;
mod returns;

use crate::wire::tools::{CallOver, ReturnStatus, ToolCard, ToolResult, ToolRun};

use super::*;

/// `spell` with a schema for its arguments and one for its result.
fn spell() -> Value {
    json!({
        "title": "Spell",
        "description": "finds misspelt words",
        "inputSchema": {
            "type": "object",
            "properties": { "text": { "type": "string" } },
            "required": ["text"],
        },
        "outputSchema": { "type": "object", "properties": { "words": { "type": "array", "items": { "type": "string" } } }, "required": ["words"] },
        "annotations": { "readOnlyHint": true },
    })
}

fn idempotent() -> Value {
    let mut tool = spell();
    tool["idempotent"] = true.into();
    tool
}

/// A provider that is connected, subscribed and registered.
fn provide(world: &mut World, name: &str, tool: Value) {
    world.connect(name);
    world.subscribe(name, "rooms/r/tools/run/spell").unwrap();
    assert_eq!(world.send(name, "tools/register/spell", tool), Ok(()));
}

fn with_provider(tool: Value) -> World {
    let mut world = World::new();
    provide(&mut world, "p1", tool);
    world
}

fn call(world: &mut World, caller: &str) -> String {
    call_with(world, caller, json!({ "correlationId": "c" }))
}

/// Calls `spell`; returns the call's id.
fn call_with(world: &mut World, caller: &str, mut body: Value) -> String {
    body["arguments"] = json!({ "text": "helo" });
    assert_eq!(world.send(caller, "tools/call/spell", body), Ok(()));
    let reply = world.last_reply(caller);
    assert_eq!(reply.code, Code::Taken);
    reply.call.expect("a call has an id").to_string()
}

fn runs(world: &World, provider: &str) -> Vec<ToolRun> {
    world.directed_to(provider, |topic| matches!(topic, Topic::ToolsRun { .. }))
}

fn results(world: &World, caller: &str) -> Vec<ToolResult> {
    world.directed_to(caller, |topic| matches!(topic, Topic::ToolsResult { .. }))
}

fn notices(world: &World, provider: &str) -> Vec<(String, String)> {
    let is_notice = |topic: &Topic| matches!(topic, Topic::ToolsCancelled { .. });
    let notices: Vec<CallOver> = world.directed_to(provider, is_notice);
    let told = notices.into_iter();
    told.map(|over| (over.call.to_string(), over.code))
        .collect()
}

fn answer(world: &mut World, provider: &str, call: &str, status: &str, result: Value) -> Verdict {
    let said = json!({ "call": call, "status": status, "result": result });
    world.send(provider, "tools/return", said)
}

fn card(world: &World) -> Option<ToolCard> {
    let card = world.retained("tools/card/spell")?;
    Some(serde_json::from_value(card).unwrap())
}

/// Who can be called, by the card.
fn providers(world: &World) -> Vec<String> {
    let card = card(world).expect("there is a card");
    card.providers
        .iter()
        .map(|agent| agent.to_string())
        .collect()
}

/// The one final result: its status and the error's code.
fn the_result(world: &World, caller: &str) -> (ReturnStatus, Option<String>) {
    let finals = results(world, caller);
    let mut finals = finals.into_iter().filter(|result| result.is_final);
    let result = finals.next().expect("there is a final result");
    assert!(finals.next().is_none(), "a second final result");
    (result.status, result.error.and_then(|error| error.code))
}

fn lost(code: &str) -> (ReturnStatus, Option<String>) {
    (ReturnStatus::Error, Some(code.to_owned()))
}

#[test]
fn a_call_goes_to_its_provider_and_comes_back_with_its_result() {
    let mut world = with_provider(spell());
    let trace = json!({ "correlationId": "c", "traceparent": "00-1-2-01", "tracestate": "v=1" });
    let id = call_with(&mut world, "ann", trace);
    let run = &runs(&world, "p1")[0];
    assert_eq!(run.call.as_str(), id);
    assert_eq!((run.tool.as_str(), run.caller.as_str()), ("spell", "ann"));
    assert_eq!(run.arguments.as_ref().unwrap().text(), r#"{"text":"helo"}"#);
    assert_eq!((run.called_at, run.deadline), (START, START + 30_000));
    assert_eq!(run.traceparent.as_deref(), Some("00-1-2-01"));
    assert_eq!(
        answer(
            &mut world,
            "p1",
            &id,
            "success",
            json!({ "words": ["helo"] })
        ),
        Ok(())
    );
    let result = &results(&world, "ann")[0];
    assert!(result.is_final && result.status == ReturnStatus::Success);
    assert_eq!(
        result.result.as_ref().unwrap().text(),
        r#"{"words":["helo"]}"#
    );
    assert_eq!(result.provider.as_str(), "p1");
    assert_eq!(result.correlation_id.as_deref(), Some("c"));
    assert_eq!(result.tracestate.as_deref(), Some("v=1"));
    assert_eq!(notices(&world, "p1"), []);
    assert_eq!(world.story(&id), ["tools.called", "tools.returned"]);
    world.check();
}

#[test]
fn a_card_shows_the_tool_and_who_can_be_called() {
    let mut world = World::new();
    world.connect("p1");
    world.send("p1", "tools/register/spell", spell()).unwrap();
    assert_eq!(providers(&world), [""; 0], "nobody listens yet");
    world
        .subscribe("p1", "$share/g/rooms/r/tools/run/spell")
        .unwrap();
    assert_eq!(providers(&world), ["p1"]);
    let shown = card(&world).unwrap();
    assert_eq!((shown.name.as_str(), shown.timeout_ms), ("spell", 30_000));
    assert_eq!(shown.title.as_deref(), Some("Spell"));
    assert_eq!(
        shown.annotations.unwrap().text(),
        r#"{"readOnlyHint":true}"#
    );
    world
        .send("p1", "presence/announce", json!({ "status": "draining" }))
        .unwrap();
    assert_eq!(providers(&world), [""; 0]);
    world.send("p1", "presence/announce", json!({})).unwrap();
    assert_eq!(providers(&world), ["p1"]);
    world.unsubscribe("p1", "rooms/r/tools/run/spell");
    assert_eq!(providers(&world), [""; 0]);
    world.send_raw("p1", "tools/register/spell", "").unwrap();
    assert_eq!(card(&world), None);
    let again = world.send_raw("p1", "tools/register/spell", "");
    assert_eq!(again, Err(Code::NotFound));
    world.check();
}

#[test]
fn whoever_leaves_the_room_provides_nothing_any_more() {
    let mut world = with_provider(spell());
    world.send_raw("p1", "presence/announce", "").unwrap();
    assert_eq!(card(&world), None);
    world.send("p1", "presence/announce", json!({})).unwrap();
    world.send("p1", "tools/register/spell", spell()).unwrap();
    assert_eq!(providers(&world), ["p1"], "its subscription still stands");
    world.disconnect("p1");
    assert_eq!(providers(&world), [""; 0]);
    world.pass(30_000);
    assert_eq!(
        card(&world),
        None,
        "a clean session is gone after its grace"
    );
    world.check();
}

#[test]
fn arguments_that_do_not_fit_are_refused_before_anybody_is_called() {
    let mut world = with_provider(spell());
    for (arguments, path) in [
        (json!({ "text": 7 }), "/arguments/text"),
        (json!({}), "/arguments"),
        (json!([]), "/arguments"),
    ] {
        let body = json!({ "arguments": arguments });
        assert_eq!(
            world.send("ann", "tools/call/spell", body),
            Err(Code::Invalid)
        );
        let reply = world.last_reply("ann");
        assert_eq!(reply.path.as_deref(), Some(path), "{:?}", reply.reason);
    }
    assert_eq!(
        world.send("ann", "tools/call/spell", json!({})),
        Err(Code::Invalid)
    );
    assert!(runs(&world, "p1").is_empty() && results(&world, "ann").is_empty());
}

#[test]
fn a_call_that_nobody_can_answer_is_refused_at_once() {
    let mut world = World::new();
    let body = json!({ "arguments": { "text": "x" } });
    let nobody = |world: &mut World| {
        let refused = world.send("ann", "tools/call/spell", body.clone());
        assert_eq!(refused, Err(Code::Unavailable));
    };
    nobody(&mut world);
    world.connect("p1");
    world.send("p1", "tools/register/spell", spell()).unwrap();
    nobody(&mut world);
    world.subscribe("p1", "rooms/r/tools/run/+").unwrap();
    nobody(&mut world);
    world.subscribe("p1", "rooms/r/tools/run/spell").unwrap();
    call(&mut world, "ann");
    world.disconnect("p1");
    nobody(&mut world);
    world.check();
}

#[test]
fn a_result_that_does_not_fit_is_refused_and_may_be_said_better() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    let bad = answer(
        &mut world,
        "p1",
        &id,
        "success",
        json!({ "words": ["a", 7] }),
    );
    assert_eq!(bad, Err(Code::Invalid));
    assert_eq!(
        world.last_reply("p1").path.as_deref(),
        Some("/result/words/1")
    );
    let nothing = json!({ "call": id, "status": "success" });
    assert_eq!(
        world.send("p1", "tools/return", nothing),
        Err(Code::Invalid)
    );
    assert!(results(&world, "ann").is_empty());
    answer(&mut world, "p1", &id, "success", json!({ "words": ["a"] })).unwrap();
    assert_eq!(the_result(&world, "ann"), (ReturnStatus::Success, None));
    world.check();
}

#[test]
fn a_provider_that_withdraws_gives_its_calls_away() {
    let mut world = with_provider(spell());
    call(&mut world, "ann");
    world.send_raw("p1", "tools/register/spell", "").unwrap();
    assert_eq!(the_result(&world, "ann"), lost("withdrawn"));
    world.check();
}

#[test]
fn a_provider_that_stops_listening_finishes_what_it_has() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    world.unsubscribe("p1", "rooms/r/tools/run/spell");
    let body = json!({ "arguments": { "text": "x" } });
    let refused = world.send("bob", "tools/call/spell", body);
    assert_eq!(refused, Err(Code::Unavailable));
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    assert_eq!(the_result(&world, "ann").0, ReturnStatus::Success);
}

#[test]
fn calls_go_to_the_least_loaded_and_then_to_who_waited_longest() {
    let mut world = World::new();
    for name in ["p1", "p2", "p3"] {
        provide(&mut world, name, spell());
    }
    let ids: Vec<String> = (0..3).map(|_| call(&mut world, "ann")).collect();
    for name in ["p1", "p2", "p3"] {
        assert_eq!(runs(&world, name).len(), 1, "{name}");
    }
    answer(&mut world, "p2", &ids[1], "success", json!({ "words": [] })).unwrap();
    call(&mut world, "ann");
    assert_eq!(runs(&world, "p2").len(), 2);
    answer(&mut world, "p3", &ids[2], "success", json!({ "words": [] })).unwrap();
    answer(&mut world, "p1", &ids[0], "success", json!({ "words": [] })).unwrap();
    call(&mut world, "ann");
    assert_eq!(runs(&world, "p1").len(), 2, "it was called before p3");
    world.check();
}

#[test]
fn nobody_gets_more_calls_at_once_than_it_may() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.tools.max_calls_per_provider = 2
    }));
    provide(&mut world, "p1", spell());
    let id = call(&mut world, "ann");
    call(&mut world, "ann");
    let body = json!({ "arguments": { "text": "x" } });
    let third = world.send("ann", "tools/call/spell", body);
    assert_eq!(third, Err(Code::TooMany));
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    call(&mut world, "ann");
    world.check();
}

#[test]
fn a_repeated_call_is_made_once() {
    let mut world = with_provider(spell());
    let body = || json!({ "id": "n1" });
    let first = call_with(&mut world, "ann", body());
    assert_eq!(first, "ann/n1");
    assert_eq!(call_with(&mut world, "ann", body()), first);
    world.crash();
    assert_eq!(call_with(&mut world, "ann", body()), first);
    assert_eq!(runs(&world, "p1").len(), 1);
}

#[test]
fn two_providers_must_agree_on_what_the_tool_is() {
    let mut world = with_provider(spell());
    let mut other = spell();
    other["outputSchema"] = json!({ "type": "object" });
    world.connect("p2");
    let refused = world.send("p2", "tools/register/spell", other.clone());
    assert_eq!(refused, Err(Code::Conflict));
    let refused = world.send("p2", "tools/register/spell", idempotent());
    assert_eq!(refused, Err(Code::Conflict));
    let mut words = spell();
    words["description"] = "other words".into();
    world.send("p2", "tools/register/spell", words).unwrap();
    assert_eq!(card(&world).unwrap().description, "other words");
    world.disconnect("p1");
    world.subscribe("p2", "rooms/r/tools/run/spell").unwrap();
    world.send("p2", "tools/register/spell", other).unwrap();
    assert_eq!(
        providers(&world),
        ["p2"],
        "whom nobody can call cannot object"
    );
    world.connect_as("p1", true, false);
    assert_eq!(providers(&world), ["p2"], "p1 stands by what is no more");
    let refused = world.send("p1", "tools/register/spell", spell());
    assert_eq!(refused, Err(Code::Conflict));
    world.check();
}

#[test]
fn a_tool_that_becomes_another_ends_the_calls_of_what_it_was() {
    let mut world = with_provider(spell());
    call(&mut world, "ann");
    let mut other = spell();
    other["inputSchema"] = json!({});
    world.send("p1", "tools/register/spell", other).unwrap();
    assert_eq!(the_result(&world, "ann"), lost("tool-changed"));
    let mut words = spell();
    words["inputSchema"] = json!({});
    words["description"] = "better words".into();
    let id = call(&mut world, "bob");
    world.send("p1", "tools/register/spell", words).unwrap();
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    assert_eq!(the_result(&world, "bob").0, ReturnStatus::Success);
    world.check();
}

#[test]
fn registrations_are_checked() {
    let mut world = World::new();
    for (field, value, code, path) in [
        (
            "inputSchema",
            json!({ "type": "no such type" }),
            Code::Invalid,
            Some("inputSchema"),
        ),
        (
            "outputSchema",
            json!({ "$ref": "https://example.org/x" }),
            Code::Invalid,
            Some("outputSchema"),
        ),
        (
            "inputSchema",
            json!({ "title": "x".repeat(32 * 1024) }),
            Code::TooLarge,
            Some("inputSchema"),
        ),
        (
            "annotations",
            json!("x".repeat(8 * 1024)),
            Code::TooLarge,
            Some("annotations"),
        ),
        (
            "title",
            json!("x".repeat(129)),
            Code::TooLarge,
            Some("title"),
        ),
        (
            "description",
            json!("x".repeat(2049)),
            Code::TooLarge,
            Some("description"),
        ),
        ("timeoutMs", json!(0), Code::Invalid, Some("timeoutMs")),
        (
            "description",
            Value::Null,
            Code::Malformed,
            Some("description"),
        ),
    ] {
        let mut tool = spell();
        tool[field] = value;
        assert_eq!(
            world.send("p1", "tools/register/spell", tool),
            Err(code),
            "{field}"
        );
        assert_eq!(world.last_reply("p1").path.as_deref(), path);
    }
    assert_eq!(card(&world), None);
    assert_eq!(world.engine.stats().rooms, 0, "a refusal makes no room");
}

#[test]
fn tools_and_calls_have_their_limits() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.tools.max_per_room = 3;
        settings.tools.max_per_agent = 2;
        settings.tools.max_providers = 2;
        settings.tools.max_calls_per_room = 3;
        settings.tools.max_calls_per_caller = 2;
        settings.tools.max_call_bytes_per_room = Size(20);
    }));
    let register = |world: &mut World, who: &str, tool: &str| {
        world.send(who, &format!("tools/register/{tool}"), idempotent())
    };
    for tool in ["spell", "b"] {
        assert_eq!(register(&mut world, "p1", tool), Ok(()));
    }
    assert_eq!(register(&mut world, "p1", "c"), Err(Code::TooMany));
    assert_eq!(register(&mut world, "p2", "c"), Ok(()));
    assert_eq!(register(&mut world, "p2", "d"), Err(Code::TooMany));
    assert_eq!(register(&mut world, "p2", "spell"), Ok(()));
    assert_eq!(register(&mut world, "p3", "spell"), Err(Code::TooMany));
    assert_eq!(world.subscribe("p1", "rooms/r/tools/run/spell"), Ok(()));
    assert_eq!(world.subscribe("p1", "rooms/r/tools/run/b"), Ok(()));
    assert_eq!(
        world.subscribe("p1", "rooms/r/tools/run/c"),
        Err(Code::TooMany)
    );
    let body = |text: &str| json!({ "arguments": { "text": text } });
    let mut refused = |who: &str, text: &str| world.send(who, "tools/call/spell", body(text));
    assert_eq!(refused("ann", &"x".repeat(70_000)), Err(Code::TooLarge));
    assert_eq!(refused("ann", "xxxxxxxxxxxx"), Err(Code::TooMany), "bytes");
    // Eleven bytes each.
    assert_eq!(refused("ann", ""), Ok(()));
    assert_eq!(refused("ann", ""), Err(Code::TooMany), "bytes are kept");
    world.check();
}

#[test]
fn calls_are_limited_for_each_caller_and_in_all() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.tools.max_calls_per_room = 3;
        settings.tools.max_calls_per_caller = 2;
    }));
    provide(&mut world, "p1", spell());
    let id = call(&mut world, "ann");
    call(&mut world, "ann");
    let body = json!({ "arguments": { "text": "x" } });
    let third = world.send("ann", "tools/call/spell", body.clone());
    assert_eq!(third, Err(Code::TooMany));
    call(&mut world, "bob");
    let fourth = world.send("bob", "tools/call/spell", body.clone());
    assert_eq!(fourth, Err(Code::TooMany));
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    world.mailboxes.free_results.insert(agent("cat"), 0);
    let no_room = world.send("cat", "tools/call/spell", body.clone());
    assert_eq!(no_room, Err(Code::TooMany), "for the result");
    call(&mut world, "bob");
    world.check();
}

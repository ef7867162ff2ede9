//! Calls that are over: what is told of them, for how long, and what gives way.

use crate::wire::tools::{CallState, CallView};

use super::*;

const DAY: u64 = 24 * 60 * 60_000;

fn get(world: &mut World, who: &str, asked: Value) -> CallView {
    assert_eq!(world.send(who, "tools/get", asked.clone()), Ok(()));
    let reply = world.last_reply(who);
    let call = reply.call.map(|call| call.to_string());
    assert_eq!(call.as_deref(), asked["call"].as_str());
    serde_json::from_str(reply.data.expect("a call").text()).unwrap()
}

fn view(world: &mut World, call: &str) -> CallView {
    get(world, "ann", json!({ "call": call }))
}

fn is_unknown(world: &mut World, call: &str) -> bool {
    let asked = world.send("ann", "tools/get", json!({ "call": call }));
    let is_unknown = asked == Err(Code::NotFound);
    assert!(is_unknown || asked == Ok(()), "{asked:?}");
    is_unknown
}

/// A call of ann's that `p1` answers at once.
fn answered(world: &mut World, words: &str) -> String {
    let id = call(world, "ann");
    let said = answer(world, "p1", &id, "success", json!({ "words": [words] }));
    assert_eq!(said, Ok(()));
    id
}

#[test]
fn a_call_can_be_asked_for_while_it_runs_and_until_it_is_forgotten() {
    let mut world = with_provider(idempotent());
    let id = call(&mut world, "ann");
    for _ in 0..2 {
        let running = view(&mut world, &id);
        assert_eq!(running.state, CallState::Running);
        assert_eq!(
            (running.called_at, running.deadline, running.ended_at),
            (START, START + 30_000, None)
        );
        assert_eq!((running.arguments, running.result), (None, None));
        let whole = json!({ "call": id, "arguments": true });
        let whole = get(&mut world, "ann", whole).arguments.unwrap();
        assert_eq!(whole.text(), r#"{"text":"helo"}"#);
        world.crash();
    }
    world.pass(5);
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    for who in ["ann", "bob", "ann"] {
        let over = get(&mut world, who, json!({ "call": id, "arguments": true }));
        assert_eq!(over.state, CallState::Success);
        let names = (over.tool.as_str(), over.caller.as_str());
        assert_eq!((names, over.provider.as_str()), (("spell", "ann"), "p1"));
        assert_eq!(over.result.unwrap().text(), r#"{"words":[]}"#);
        assert_eq!((over.called_at, over.ended_at), (START, Some(START + 5)));
        assert_eq!((over.arguments, over.error), (None, None));
        assert!(!over.result_omitted);
        world.check();
        world.crash();
    }
    world.pass(DAY - 1);
    assert!(!is_unknown(&mut world, &id));
    world.pass(1);
    assert!(is_unknown(&mut world, &id));
    assert_eq!(world.last_reply("ann").path.as_deref(), Some("call"));
    assert!(is_unknown(&mut world, "ann/never"));
    world.check();
}

#[test]
fn what_ended_without_an_answer_says_why() {
    let mut world = with_provider(spell());
    let why = |world: &mut World, id: &str| {
        let over = view(world, id);
        assert_eq!((over.state, over.result), (CallState::Error, None));
        over.error.unwrap().code.unwrap()
    };
    let late = call(&mut world, "ann");
    world.pass(30_000);
    assert_eq!(why(&mut world, &late), "timeout");
    let unwanted = call(&mut world, "ann");
    let cancel = json!({ "call": unwanted });
    world.send("ann", "tools/cancel", cancel).unwrap();
    assert_eq!(why(&mut world, &unwanted), "cancelled");
    let failed = call(&mut world, "ann");
    let error = json!({ "code": "ink", "message": "out of ink", "data": { "left": 0 } });
    let said = json!({ "call": failed, "status": "error", "error": error });
    world.send("p1", "tools/return", said).unwrap();
    let told = view(&mut world, &failed).error.unwrap();
    assert_eq!(told.data.unwrap().text(), r#"{"left":0}"#);
    assert_eq!(why(&mut world, &failed), "ink");
    let lost = call(&mut world, "ann");
    world.disconnect("p1");
    world.pass(1_000);
    world.crash();
    assert_eq!(why(&mut world, &lost), "provider-gone");
    assert_eq!(why(&mut world, &late), "timeout");
    world.check();
}

#[test]
fn the_oldest_results_give_way_where_there_is_no_room_for_more() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.tools.max_result_bytes_per_room = Size(40)
    }));
    provide(&mut world, "p1", spell());
    // Fifteen bytes each.
    let first = answered(&mut world, "abc");
    let second = answered(&mut world, "abc");
    assert!(!view(&mut world, &first).result_omitted);
    let long = call(&mut world, "ann");
    let error = json!({ "message": "é".repeat(105), "data": [] });
    let said = json!({ "call": long, "status": "error", "error": error });
    world.send("p1", "tools/return", said).unwrap();
    for _ in 0..2 {
        let gone = view(&mut world, &first);
        assert_eq!((gone.state, gone.result), (CallState::Success, None));
        assert!(gone.result_omitted);
        assert!(!view(&mut world, &second).result_omitted);
        let told = view(&mut world, &long);
        assert_eq!(told.error.unwrap().message.len(), 210);
        world.crash();
    }
    assert_eq!(world.engine.stats().forgotten_early, 0, "a new process");
    world.reconfigure(|settings| settings.tools.max_result_bytes_per_room = Size(11));
    assert_eq!(world.engine.stats().forgotten_early, 2);
    assert!(view(&mut world, &second).result_omitted);
    let short = view(&mut world, &long);
    assert!(short.result_omitted);
    let error = short.error.unwrap();
    assert_eq!((error.message, error.data), ("é".repeat(100), None));
    world.check();
}

#[test]
fn the_oldest_calls_are_forgotten_where_there_are_too_many() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.tools.max_ended_calls_per_room = 3
    }));
    provide(&mut world, "p1", spell());
    let mut calls = Vec::new();
    for _ in 0..4 {
        world.pass(1);
        calls.push(answered(&mut world, ""));
    }
    assert!(is_unknown(&mut world, &calls[0]));
    assert!(!is_unknown(&mut world, &calls[1]));
    let stats = world.engine.stats();
    assert_eq!((stats.ended_calls, stats.forgotten_early), (3, 1));
    world.reconfigure(|settings| settings.tools.max_ended_calls_per_room = 1);
    assert!(is_unknown(&mut world, &calls[2]));
    assert!(!is_unknown(&mut world, &calls[3]));
    let stats = world.engine.stats();
    assert_eq!((stats.ended_calls, stats.forgotten_early), (1, 3));
    world.check();
}

#[test]
fn a_limit_that_falls_far_is_reached_a_portion_at_a_time() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.tools.max_calls_per_provider = 20_000;
        settings.tools.max_calls_per_caller = 20_000;
        settings.tools.max_calls_per_room = 20_000;
    }));
    let tool = json!({ "description": "d", "inputSchema": {} });
    provide(&mut world, "p1", tool);
    for _ in 0..10_005 {
        world.send("ann", "tools/call/spell", json!({})).unwrap();
    }
    // All of them at once.
    world.send_raw("p1", "tools/register/spell", "").unwrap();
    assert_eq!(world.engine.stats().ended_calls, 10_005);
    world.reconfigure(|settings| settings.tools.max_ended_calls_per_room = 2);
    assert_eq!(world.engine.stats().ended_calls, 5);
    let tool = json!({ "description": "d", "inputSchema": {} });
    world.send("p1", "tools/register/spell", tool).unwrap();
    call(&mut world, "ann");
    world.send_raw("p1", "tools/register/spell", "").unwrap();
    assert_eq!(world.engine.stats().ended_calls, 2);
    world.check();
}

#[test]
fn what_is_over_is_remembered_as_the_new_settings_say() {
    let mut world = with_provider(spell());
    let first = answered(&mut world, "");
    world.reconfigure(|settings| settings.tools.result_retention = ms(3 * DAY));
    world.pass(2 * DAY);
    assert!(!is_unknown(&mut world, &first));
    world.reconfigure(|settings| settings.tools.result_retention = ms(1_000));
    world.pass(0);
    assert!(is_unknown(&mut world, &first));
    world.reconfigure(|settings| settings.tools.result_retention = ms(0));
    let second = answered(&mut world, "");
    assert!(is_unknown(&mut world, &second), "nothing is to be kept");
    assert_eq!(world.engine.stats().ended_calls, 0);
    world.check();
}

#[test]
fn a_call_is_not_run_again_under_its_id_while_it_is_remembered() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.commands.max_outcomes_per_room = 1;
        settings.tools.result_retention = ms(2 * DAY);
    }));
    provide(&mut world, "p1", spell());
    let id = call_with(&mut world, "ann", json!({ "id": "1" }));
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    // Another outcome takes the place of the first.
    call_with(&mut world, "bob", json!({ "id": "2" }));
    for _ in 0..2 {
        assert_eq!(call_with(&mut world, "ann", json!({ "id": "1" })), id);
        let other = json!({ "id": "1", "arguments": { "text": "other" } });
        let other = world.send("ann", "tools/call/spell", other);
        assert_eq!(other, Err(Code::Conflict));
        world.crash();
    }
    assert_eq!(world.story(&id), ["tools.called", "tools.returned"]);
    world.check();
}

#[test]
fn a_closed_room_still_tells_and_goes_when_it_remembers_nothing() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    world.send_raw("boss", "room/close", "").unwrap();
    let over = view(&mut world, &id);
    assert_eq!(over.error.unwrap().code.as_deref(), Some("cancelled"));
    world.send_raw("boss", "room/open", "").unwrap();
    for who in ["p1", "ann", "boss"] {
        world.end_session(who);
    }
    world.pass(DAY - 1);
    assert_eq!(world.engine.stats().rooms, 1);
    world.check();
    world.pass(8 * DAY);
    let stats = world.engine.stats();
    assert_eq!((stats.rooms, stats.ended_calls), (0, 0));
    assert!(world.disk.len() <= 2, "{:?}", world.disk);
}

#[test]
fn who_takes_little_is_told_that_there_was_more() {
    let mut world = with_provider(json!({ "description": "d", "inputSchema": {} }));
    let id = call(&mut world, "ann");
    let long = "x".repeat(2_000);
    answer(&mut world, "p1", &id, "success", json!(long)).unwrap();
    let small = json!({ "maxBytes": 1_500 });
    world.send("tiny", "presence/announce", small).unwrap();
    let short = get(&mut world, "tiny", json!({ "call": id }));
    assert_eq!((short.state, short.result), (CallState::Success, None));
    assert!(short.result_omitted);
    assert!(!view(&mut world, &id).result_omitted);
    let failed = call(&mut world, "ann");
    let error = json!({ "message": long });
    let said = json!({ "call": failed, "status": "error", "error": error });
    world.send("p1", "tools/return", said).unwrap();
    let short = get(&mut world, "tiny", json!({ "call": failed }));
    assert!(short.result_omitted);
    assert_eq!(short.error.unwrap().message, "x".repeat(200));
}

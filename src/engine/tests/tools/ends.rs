//! How calls end: results in parts, errors, time-outs, cancellation, and providers that vanish.

use super::*;

#[test]
fn parts_come_in_order_before_the_one_final_result() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    for part in 1..=3 {
        answer(&mut world, "p1", &id, "partial", json!({ "part": part })).unwrap();
    }
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    let results = results(&world, "ann");
    let said = results
        .iter()
        .map(|result| result.result.as_ref().unwrap().text());
    let said: Vec<&str> = said.collect();
    assert_eq!(
        said,
        [
            r#"{"part":1}"#,
            r#"{"part":2}"#,
            r#"{"part":3}"#,
            r#"{"words":[]}"#
        ]
    );
    assert_eq!(results.iter().filter(|result| result.is_final).count(), 1);
    world.check();
}

#[test]
fn a_part_that_does_not_fit_in_the_mailbox_is_refused() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    world.mailboxes.free_results.insert(agent("ann"), 1);
    let part = answer(&mut world, "p1", &id, "partial", json!(1));
    assert_eq!(part, Err(Code::TooMany), "the last place is promised");
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    assert_eq!(the_result(&world, "ann").0, ReturnStatus::Success);
}

#[test]
fn an_error_is_the_providers_own() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    let error =
        json!({ "code": "no-dictionary", "message": "which language?", "data": { "a": 1 } });
    let said = json!({ "call": id, "status": "error", "error": error });
    world.send("p1", "tools/return", said).unwrap();
    assert_eq!(the_result(&world, "ann"), lost("no-dictionary"));
    let id = call(&mut world, "bob");
    let said = json!({ "call": id, "status": "error" });
    world.send("p1", "tools/return", said).unwrap();
    assert_eq!(the_result(&world, "bob"), (ReturnStatus::Error, None));
}

#[test]
fn a_call_that_takes_too_long_ends_and_its_provider_is_told() {
    let mut world = with_provider(spell());
    let id = call_with(
        &mut world,
        "ann",
        json!({ "correlationId": "c", "timeoutMs": 200 }),
    );
    assert_eq!(world.next_timer(), Some((200, Timer::Call)));
    world.pass(199);
    assert!(results(&world, "ann").is_empty());
    world.pass(1);
    assert_eq!(the_result(&world, "ann"), lost("timeout"));
    assert_eq!(notices(&world, "p1"), [(id.clone(), "timeout".to_owned())]);
    let late = answer(&mut world, "p1", &id, "success", json!({ "words": [] }));
    assert_eq!(late, Err(Code::Conflict));
    assert_eq!(the_result(&world, "ann"), lost("timeout"));
    assert_eq!(world.story(&id), ["tools.called", "tools.expired"]);
    world.check();
}

#[test]
fn the_tools_own_time_counts_where_the_call_says_none() {
    let mut tool = spell();
    tool["timeoutMs"] = 500.into();
    let mut world = with_provider(tool);
    call(&mut world, "ann");
    assert_eq!(runs(&world, "p1")[0].deadline, START + 500);
    let long = json!({ "arguments": { "text": "x" }, "timeoutMs": 3_600_001 });
    assert_eq!(
        world.send("ann", "tools/call/spell", long),
        Err(Code::Invalid)
    );
}

#[test]
fn a_caller_may_cancel_its_call_and_nobody_else() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    let cancel = json!({ "call": id, "reason": "found it" });
    let others = world.send("bob", "tools/cancel", cancel.clone());
    assert_eq!(others, Err(Code::Forbidden));
    world.send("ann", "tools/cancel", cancel.clone()).unwrap();
    assert_eq!(the_result(&world, "ann"), lost("cancelled"));
    assert_eq!(
        notices(&world, "p1"),
        [(id.clone(), "cancelled".to_owned())]
    );
    let late = answer(&mut world, "p1", &id, "success", json!({ "words": [] }));
    assert_eq!(late, Err(Code::Conflict));
    assert_eq!(
        world.send("ann", "tools/cancel", cancel),
        Err(Code::Conflict)
    );
    world.check();
}

#[test]
fn a_provider_that_vanishes_costs_its_caller_an_error_at_once_and_not_the_time_out() {
    let mut world = with_provider(spell());
    provide(&mut world, "p2", spell());
    let id = call(&mut world, "ann");
    let provider = if runs(&world, "p1").is_empty() {
        "p2"
    } else {
        "p1"
    };
    world.disconnect(provider);
    assert_eq!(world.next_timer(), Some((1_000, Timer::ProviderGrace)));
    world.pass(1_000);
    assert_eq!(the_result(&world, "ann"), lost("provider-gone"));
    let both = runs(&world, "p1").len() + runs(&world, "p2").len();
    assert_eq!(both, 1, "what may run once only is not run again");
    world.connect_as(provider, true, false);
    let late = answer(&mut world, provider, &id, "success", json!({ "words": [] }));
    assert_eq!(late, Err(Code::Conflict));
    world.check();
}

#[test]
fn an_idempotent_call_goes_to_another_provider() {
    let mut world = with_provider(idempotent());
    provide(&mut world, "p2", idempotent());
    let id = call(&mut world, "ann");
    assert_eq!(
        runs(&world, "p1").len(),
        1,
        "who registered first waited longest"
    );
    world.disconnect("p1");
    world.pass(1_000);
    assert!(results(&world, "ann").is_empty());
    let second = &runs(&world, "p2")[0];
    assert_eq!(
        second,
        &runs(&world, "p1")[0],
        "the same call, with the same deadline"
    );
    assert_eq!(notices(&world, "p1"), [(id.clone(), "rerouted".to_owned())]);
    world.connect_as("p1", true, false);
    let late = answer(
        &mut world,
        "p1",
        &id,
        "success",
        json!({ "words": ["late"] }),
    );
    assert_eq!(late, Err(Code::Conflict));
    answer(&mut world, "p2", &id, "success", json!({ "words": [] })).unwrap();
    assert_eq!(the_result(&world, "ann"), (ReturnStatus::Success, None));
    let story = ["tools.called", "tools.rerouted", "tools.returned"];
    assert_eq!(world.story(&id), story);
    world.check();
}

#[test]
fn an_idempotent_call_ends_when_the_last_provider_is_gone() {
    let mut world = with_provider(idempotent());
    provide(&mut world, "p2", idempotent());
    call(&mut world, "ann");
    world.disconnect("p1");
    world.pass(1_000);
    world.end_session("p2");
    assert_eq!(the_result(&world, "ann"), lost("provider-gone"));
    world.check();
}

#[test]
fn a_call_may_come_back_to_a_provider_that_lost_it() {
    let mut world = with_provider(idempotent());
    provide(&mut world, "p2", idempotent());
    let id = call(&mut world, "ann");
    world.disconnect("p1");
    world.pass(1_000);
    world.connect_as("p1", true, false);
    world.disconnect("p2");
    world.pass(1_000);
    assert_eq!(runs(&world, "p1").len(), 2);
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    assert_eq!(the_result(&world, "ann").0, ReturnStatus::Success);
    world.check();
}

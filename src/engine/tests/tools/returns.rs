//! Providers that come back, with their session and without, also over a crash.

use super::*;

#[test]
fn a_provider_that_is_back_soon_keeps_its_calls() {
    for (resumed, later) in [(true, 5_000), (false, 999)] {
        let mut world = with_provider(spell());
        let id = call(&mut world, "ann");
        world.disconnect("p1");
        world.pass(999);
        world.connect_as("p1", resumed, false);
        world.pass(later);
        answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
        assert_eq!(the_result(&world, "ann").0, ReturnStatus::Success);
        assert_eq!(runs(&world, "p1").len(), 1);
        world.check();
    }
}

#[test]
fn a_provider_that_comes_back_without_its_session_is_sent_again_what_may_run_twice() {
    let mut world = with_provider(idempotent());
    provide(&mut world, "p2", idempotent());
    let id = call(&mut world, "ann");
    assert_eq!(runs(&world, "p1").len(), 1);
    world.disconnect("p1");
    world.connect("p1");
    assert_eq!(runs(&world, "p1").len(), 1, "it does not listen yet");
    world.pass(500);
    world.subscribe("p1", "rooms/r/tools/run/spell").unwrap();
    let again = runs(&world, "p1");
    assert_eq!(again.len(), 2);
    assert_eq!(again[0], again[1], "the same call");
    world.pass(10_000);
    assert!(runs(&world, "p2").is_empty(), "it keeps it");
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    assert_eq!(the_result(&world, "ann").0, ReturnStatus::Success);
    world.check();
}

#[test]
fn what_a_provider_without_its_session_does_not_listen_to_goes_to_another() {
    let mut world = with_provider(idempotent());
    provide(&mut world, "p2", idempotent());
    let id = call(&mut world, "ann");
    world.disconnect("p1");
    world.connect("p1");
    world.pass(1_000);
    assert_eq!(runs(&world, "p2").len(), 1);
    answer(&mut world, "p2", &id, "success", json!({ "words": [] })).unwrap();
    world.check();
}

#[test]
fn what_may_run_only_once_ends_soon_after_its_provider_came_back_without_its_session() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    world.disconnect("p1");
    world.pass(500);
    world.connect("p1");
    world.subscribe("p1", "rooms/r/tools/run/spell").unwrap();
    let next = call(&mut world, "ann");
    world.disconnect("p1");
    world.connect_as("p1", true, false);
    world.pass(999);
    assert!(results(&world, "ann").is_empty());
    world.pass(1);
    assert_eq!(the_result(&world, "ann"), lost("provider-gone"));
    assert_eq!(
        answer(&mut world, "p1", &id, "success", json!({ "words": [] })),
        Err(Code::Conflict)
    );
    answer(&mut world, "p1", &next, "success", json!({ "words": [] })).unwrap();
    assert_eq!(runs(&world, "p1").len(), 2, "once each");
    world.check();
}

#[test]
fn a_run_that_was_not_acknowledged_comes_to_the_new_session_and_stays() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    world.mailboxes.unacknowledged.push(id.clone());
    world.disconnect("p1");
    world.connect("p1");
    world.pass(10_000);
    answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
    assert_eq!(the_result(&world, "ann").0, ReturnStatus::Success);
    world.check();
}

#[test]
fn after_a_restart_of_the_gateway_providers_are_not_taken_to_have_forgotten() {
    for tool in [spell(), idempotent()] {
        let may_run_twice = tool["idempotent"] == true;
        let mut world = with_provider(tool);
        let id = call(&mut world, "ann");
        world.crash();
        world.pass(10_000);
        world.connect("p1");
        world.subscribe("p1", "rooms/r/tools/run/spell").unwrap();
        world.pass(10_000);
        assert_eq!(runs(&world, "p1").len(), 1 + usize::from(may_run_twice));
        answer(&mut world, "p1", &id, "success", json!({ "words": [] })).unwrap();
        assert_eq!(the_result(&world, "ann").0, ReturnStatus::Success);
        world.check();
    }
}

#[test]
fn where_there_is_no_grace_a_call_is_lost_with_the_connection() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.tools.provider_grace = ms(0)
    }));
    provide(&mut world, "p1", spell());
    call(&mut world, "ann");
    world.disconnect("p1");
    assert_eq!(the_result(&world, "ann"), lost("provider-gone"));
    world.check();
}

#[test]
fn calls_outlive_a_crash_of_the_gateway() {
    let mut world = with_provider(spell());
    let id = call(&mut world, "ann");
    world.pass(10_000);
    world.crash();
    assert_eq!(providers(&world), [""; 0], "nobody is connected yet");
    world.connect("p1");
    world.subscribe("p1", "rooms/r/tools/run/spell").unwrap();
    assert_eq!(providers(&world), ["p1"], "it is still registered");
    answer(
        &mut world,
        "p1",
        &id,
        "success",
        json!({ "words": ["helo"] }),
    )
    .unwrap();
    assert_eq!(the_result(&world, "ann").0, ReturnStatus::Success);
    world.check();
}

#[test]
fn a_provider_that_does_not_come_back_after_a_crash_loses_its_calls() {
    for durable in [false, true] {
        let mut world = World::new();
        world.connect_as("p1", false, durable);
        world.subscribe("p1", "rooms/r/tools/run/spell").unwrap();
        world.send("p1", "tools/register/spell", spell()).unwrap();
        let slow = json!({ "correlationId": "c", "timeoutMs": 60_000 });
        call_with(&mut world, "ann", slow);
        world.crash();
        world.pass(29_999);
        assert!(results(&world, "ann").is_empty());
        world.pass(1);
        assert_eq!(the_result(&world, "ann"), lost("provider-gone"));
        assert_eq!(card(&world).is_some(), durable);
        world.check();
    }
}

#[test]
fn a_time_out_counts_on_over_a_crash() {
    let mut world = with_provider(spell());
    let brief = json!({ "correlationId": "c", "timeoutMs": 1_000 });
    call_with(&mut world, "ann", brief);
    world.crash();
    world.pass(1_000);
    assert_eq!(the_result(&world, "ann"), lost("timeout"));
    world.check();
}

#[test]
fn a_new_session_provides_only_what_it_subscribes_to_again() {
    let mut world = with_provider(spell());
    world.send("p1", "tools/register/other", spell()).unwrap();
    world.disconnect("p1");
    world.connect("p1");
    assert_eq!(providers(&world), [""; 0]);
    world.subscribe("p1", "rooms/r/tools/run/spell").unwrap();
    assert_eq!(providers(&world), ["p1"]);
    assert!(world.retained("tools/card/other").is_some());
    world.pass(30_000);
    assert!(world.retained("tools/card/other").is_none());
    assert_eq!(providers(&world), ["p1"]);
    world.check();
}

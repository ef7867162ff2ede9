//! Who gets which work when there is more than enough, or what it can take.

use super::*;

#[test]
fn what_waits_behind_more_urgent_work_has_every_other_turn_after_a_while() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_wait_by_priority = ms(1_000)
    }));
    let dispatch = |world: &mut World, from: &str, id: &str, priority: &str| {
        let task = json!({ "id": id, "type": "draft", "priority": priority });
        world.dispatch_with(from, task);
    };
    for id in 0..6 {
        dispatch(&mut world, "flood", &format!("low-{id}"), "low");
    }
    dispatch(&mut world, "boss", "mine", "low");
    for id in 0..8 {
        dispatch(&mut world, "boss", &format!("high-{id}"), "high");
    }
    world.worker("w", "draft");
    let finish = |world: &mut World, times: usize| {
        for _ in 0..times {
            let (task, attempt) = world.assignments("w").pop().unwrap();
            world.success("w", &task, attempt);
        }
        world
            .assignments("w")
            .into_iter()
            .map(|(task, _)| task)
            .collect::<Vec<_>>()
    };
    assert_eq!(finish(&mut world, 1), ["high-0", "high-1"]);
    world.pass(999);
    assert_eq!(finish(&mut world, 1)[2..], ["high-2"]);
    world.pass(1);
    world.crash();
    world.worker("w", "draft");
    world.update("w", "high-2", 1, "success").unwrap();
    let order = finish(&mut world, 5);
    assert_eq!(
        order[order.len() - 6..],
        ["high-3", "low-0", "high-4", "mine", "high-5", "low-1"]
    );
}

#[test]
fn a_flooding_dispatcher_does_not_starve_the_others() {
    let mut world = World::new();
    for id in 0..100 {
        world.dispatch("flood", &format!("f{id}"), "draft");
    }
    for id in 0..3 {
        world.dispatch("boss", &format!("b{id}"), "draft");
    }
    world.worker("w", "draft");
    for _ in 0..6 {
        let (task, attempt) = world.assignments("w").pop().unwrap();
        world.success("w", &task, attempt);
    }
    let order: Vec<String> = world
        .assignments("w")
        .into_iter()
        .map(|(task, _)| task)
        .collect();
    assert_eq!(order, ["f0", "b0", "f1", "b1", "f2", "b2", "f3"]);
}

#[test]
fn one_of_the_capabilities_in_any_of_is_enough() {
    let mut world = World::new();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "anyOf": ["french", "german"] }),
    );
    world.worker("w", "draft");
    assert_eq!(world.state("t"), TaskState::Queued);
    world.worker("x", "german");
    assert_eq!(world.state("t"), TaskState::Queued);
    world.crash();
    world.worker("w", "draft");
    world
        .send(
            "w",
            "presence/announce",
            json!({ "capabilities": ["french"] }),
        )
        .unwrap();
    assert_eq!(world.assignments("w"), [("t".to_owned(), 1)]);
    assert_eq!(world.view("t").any_of.len(), 2);
    let only_german = json!({ "type": "draft", "anyOf": ["german"], "requireOnline": true });
    assert_eq!(
        world.send("boss", "handoff/dispatch", only_german),
        Err(Code::Unavailable)
    );
}

#[test]
fn an_assignment_comes_on_a_topic_that_its_worker_listens_to_even_if_it_is_an_any_of() {
    let mut world = World::new();
    world.worker("w", "french");
    world
        .send(
            "w",
            "presence/announce",
            json!({ "capabilities": ["draft"] }),
        )
        .unwrap();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "anyOf": ["french"] }),
    );
    let sent = world
        .directed
        .iter()
        .find(|directed| directed.to == agent("w"))
        .unwrap();
    assert_eq!(sent.topic.format(ROOT), "rooms/r/handoff/work/french");
    world.connect("w");
    world.offers("w", "french");
    assert_eq!(
        world.assignments("w").len(),
        2,
        "and again after a new session"
    );
}

#[test]
fn a_small_worker_is_never_sent_what_it_cannot_take() {
    let mut world = World::new();
    world.worker("small", "draft");
    world
        .send(
            "small",
            "presence/announce",
            json!({ "maxBytes": 240, "capacity": 5 }),
        )
        .unwrap();
    world.dispatch_with(
        "boss",
        json!({ "id": "large", "type": "draft", "payload": "x".repeat(200), "priority": "high" }),
    );
    world.dispatch("boss", "little", "draft");
    assert_eq!(
        world.assignments("small"),
        [("little".to_owned(), 1)],
        "nor does it stand in the way"
    );
    assert_eq!(world.state("large"), TaskState::Queued);
    let view = world.view("large");
    assert!(view.bytes.unwrap() > 240, "{view:?}");
    let must = json!({ "type": "draft", "payload": "x".repeat(200), "requireOnline": true });
    assert_eq!(
        world.send("boss", "handoff/dispatch", must),
        Err(Code::Unavailable)
    );
    assert!(world.last_reply("boss").reason.unwrap().contains("bytes"));
    world.crash();
    world.worker("large", "draft");
    assert_eq!(world.assignments("large"), [("large".to_owned(), 1)]);
    let sizes = world
        .directed
        .iter()
        .filter(|directed| directed.to == agent("small"));
    assert!(sizes.map(|directed| directed.payload.len()).max().unwrap() <= 240);
}

#[test]
fn a_worker_that_comes_back_smaller_keeps_what_it_is_at_and_gives_back_what_it_may_not_have_seen() {
    let mut world = World::new();
    world.connect_as("w", false, true);
    let announce = |world: &mut World, said| world.send("w", "presence/announce", said).unwrap();
    announce(&mut world, json!({ "capacity": 2 }));
    world.offers("w", "draft");
    for id in ["t", "u"] {
        let task = json!({ "id": id, "type": "draft", "payload": "x".repeat(200) });
        world.dispatch_with("boss", task);
    }
    world.update("w", "t", 1, "accepted").unwrap();
    announce(&mut world, json!({ "capacity": 2, "maxBytes": 100 }));
    assert_eq!(world.state("u"), TaskState::Assigned, "it has it already");
    world.disconnect("w");
    world.connect_as("w", true, true);
    assert_eq!(world.assignments("w").len(), 2, "nothing is sent again");
    assert_eq!(world.state("t"), TaskState::Running, "it is at it");
    assert_eq!(world.state("u"), TaskState::Waiting);
}

//! Work on its way: when its lease begins, how often it is sent, and how much of it at once.

use super::*;
use crate::engine::TaskResults;

fn world() -> World {
    let mut world = World::new();
    world.connect("boss");
    world.worker("w", "draft");
    world
}

/// The worker's program dies and is started again; its session does not outlive it.
fn dies_and_is_back(world: &mut World) {
    world.disconnect("w");
    world.pass(300);
    world.worker("w", "draft");
}

#[test]
fn a_task_that_kills_its_worker_is_taken_from_it() {
    for says in [None, Some("accepted")] {
        let mut world = World::with(Settings::tuned(|settings| {
            settings.handoff.max_deliveries = 3
        }));
        world.connect("boss");
        world.worker("w", "draft");
        let task = json!({ "id": "t", "type": "draft", "maxAttempts": 2, "maxDeliveries": 2 });
        world.dispatch_with("boss", task);
        for _ in 0..20 {
            if let Some(says) = says {
                let attempt = world.view("t").attempt;
                let _ = world.update("w", "t", attempt, says);
            }
            dies_and_is_back(&mut world);
            world.pass(1_000);
        }
        assert_eq!(world.state("t"), TaskState::Dead);
        let error = world.results("boss")[0].error.clone().unwrap();
        assert_eq!(error.code.as_deref(), Some("redelivered"));
        let sent = |attempt| {
            let of_it = world.assignments("w");
            of_it.iter().filter(|(_, own)| *own == attempt).count()
        };
        assert_eq!((sent(1), sent(2)), (2, 2));
    }
}

#[test]
fn deliveries_are_counted_over_a_crash_of_the_gateway() {
    let mut world = world();
    let task = json!({ "id": "t", "type": "draft", "maxAttempts": 1, "maxDeliveries": 2 });
    world.dispatch_with("boss", task);
    dies_and_is_back(&mut world);
    world.crash();
    assert_eq!(world.state("t"), TaskState::Assigned);
    world.worker("w", "draft");
    assert_eq!(world.state("t"), TaskState::Dead);
}

#[test]
fn a_worker_that_gets_on_with_its_task_may_come_back_for_it_as_often_as_it_will() {
    let mut world = world();
    world.dispatch("boss", "t", "draft");
    for _ in 0..20 {
        world.update("w", "t", 1, "progress").unwrap();
        dies_and_is_back(&mut world);
    }
    world.success("w", "t", 1);
}

#[test]
fn a_program_that_hangs_loses_its_task_though_its_connection_comes_back_again_and_again() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_deliveries = 100
    }));
    world.connect("boss");
    world.connect_as("w", false, true);
    world.offers("w", "draft");
    world.dispatch("boss", "t", "draft");
    // A lease of a minute, of which ten seconds pass on each connection.
    for _ in 0..5 {
        world.pass(10_000);
        world.disconnect("w");
        world.pass(20_000);
        world.connect_as("w", true, true);
        assert_eq!(world.view("t").attempt, 1);
    }
    world.pass(9_999);
    assert_eq!(world.state("t"), TaskState::Assigned);
    world.pass(1);
    assert_eq!(world.state("t"), TaskState::Waiting);
    let story = world.story("t");
    assert_eq!(story.last().map(String::as_str), Some("handoff.lost"));
}

#[test]
fn the_lease_begins_when_the_task_is_sent() {
    let mut world = world();
    world.is_stuck = true;
    world.dispatch("boss", "t", "draft");
    world.pass(50_000);
    world.is_stuck = false;
    // Whatever the next input is, the message goes out.
    world.input(Input::Tick).unwrap();
    world.pass(59_999);
    assert_eq!(world.state("t"), TaskState::Assigned);
    world.pass(1);
    assert_eq!(world.state("t"), TaskState::Waiting);
    let view = world.view("t");
    assert_eq!(view.error.unwrap().code.as_deref(), Some("lease-over"));
}

#[test]
fn what_was_never_sent_goes_back_and_uses_up_no_attempt() {
    let mut world = world();
    world.is_stuck = true;
    let task = json!({ "id": "t", "type": "draft", "maxAttempts": 1, "leaseMs": 1_000 });
    world.dispatch_with("boss", task);
    for _ in 0..5 {
        world.pass(60_000);
        assert!(!world.state("t").is_final());
    }
    assert!(!world.story("t").contains(&"handoff.lost".to_owned()));
    world.is_stuck = false;
    world.pass(2_000);
    let attempt = world.view("t").attempt;
    world.success("w", "t", attempt);
}

#[test]
fn nobody_is_given_more_than_it_can_be_sent() {
    let mut world = World::new();
    world.connect("boss");
    world
        .input(Input::Connected {
            agent: agent("w"),
            resumed: false,
            durable: false,
            window: 2,
        })
        .unwrap();
    world.offers("w", "draft");
    world
        .send("w", "presence/announce", json!({ "capacity": 10 }))
        .unwrap();
    for n in 0..6 {
        world.dispatch("boss", &format!("t{n}"), "draft");
    }
    assert_eq!(world.assignments("w").len(), 2);
    let window = |free| Input::Window {
        agent: agent("w"),
        free,
    };
    world.input(window(1)).unwrap();
    assert_eq!(world.assignments("w").len(), 3);
    // To have done one is no room: what counts is what was acknowledged.
    world.success("w", "t0", 1);
    assert_eq!(world.assignments("w").len(), 3);
    world.input(window(10)).unwrap();
    assert_eq!(world.assignments("w").len(), 6);
}

#[test]
fn how_long_a_task_waits_for_a_worker_and_for_its_end_is_counted_once() {
    let mut world = World::new();
    world.connect("boss");
    world.dispatch("boss", "first", "draft");
    let late = json!({ "id": "late", "type": "draft", "notBeforeMs": 60_000 });
    world.dispatch_with("boss", late);
    let waits = |world: &World| {
        let waits = world.engine.stats().task_waits;
        (waits.counts.iter().sum::<u64>(), waits.sum.as_millis())
    };
    world.pass(7_000);
    assert_eq!(waits(&world), (0, 0));
    world.worker("w", "draft");
    assert_eq!(waits(&world), (1, 7_000));
    // Once more, and a second attempt: neither is a wait of the task's for its first worker.
    dies_and_is_back(&mut world);
    world.update("w", "first", 1, "release").unwrap();
    world.pass(10_000);
    assert_eq!(waits(&world).0, 1);
    let attempt = world.view("first").attempt;
    world.success("w", "first", attempt);
    // What it was told to wait does not count.
    world.pass(60_000);
    world.success("w", "late", 1);
    assert_eq!(waits(&world), (2, 7_000));
    let results = world.engine.stats().task_results;
    let ended: Vec<(TaskState, u64)> = results
        .all()
        .map(|(how, spread)| (how, spread.counts.iter().sum()))
        .collect();
    let expected = TaskResults::STATES.map(|how| (how, u64::from(how == TaskState::Succeeded) * 2));
    assert_eq!(ended, expected);
    let (_, succeeded) = results.all().next().unwrap();
    assert_eq!(succeeded.sum.as_millis(), 17_300 + 77_300);
}

//! Workers that go away, with their work or without.

use super::*;

#[test]
fn worker_that_returns_in_time_keeps_its_task() {
    let mut world = World::new();
    world.connect_as("w", false, true);
    world.offers("w", "draft");
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "leaseMs": 5_000 }),
    );
    world.disconnect("w");
    world.pass(29_999);
    assert_eq!(
        world.state("t"),
        TaskState::Assigned,
        "the lease waits for the grace"
    );
    world.connect_as("w", true, true);
    assert_eq!(world.assignments("w"), assigned(&[("t", 1), ("t", 1)]));
    assert_eq!(world.next_timer(), Some((5_000, Timer::Lease)));
    world.success("w", "t", 1);
}

#[test]
fn worker_with_a_clean_session_gets_its_task_again_when_it_subscribes_again() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.disconnect("w");
    world.pass(10_000);
    world.connect("w");
    assert_eq!(world.assignments("w").len(), 1);
    world.offers("w", "review");
    assert_eq!(world.assignments("w").len(), 1);
    world.offers("w", "draft");
    assert_eq!(world.assignments("w"), assigned(&[("t", 1), ("t", 1)]));
    world.offers("w", "draft");
    assert_eq!(world.assignments("w").len(), 2, "once is enough");
    world.pass(40_000);
    assert_eq!(world.state("t"), TaskState::Assigned);
}

#[test]
fn worker_that_does_not_return_in_time_loses_its_task() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.disconnect("w");
    world.worker("x", "draft");
    world.pass(30_000);
    assert_eq!(world.state("t"), TaskState::Waiting);
    assert_eq!(world.presence("w"), None);
    assert_eq!(world.revoked(), [("w".to_owned(), "t".to_owned(), 1)]);
    world.pass(1_000);
    assert_eq!(world.assignments("x"), assigned(&[("t", 2)]));
}

#[test]
fn worker_that_returns_without_its_subscription_loses_its_task() {
    for comes_back_for in [None, Some("review")] {
        let mut world = world_with_worker();
        world.dispatch("boss", "t", "draft");
        world.connect("w");
        if let Some(capability) = comes_back_for {
            world.offers("w", capability);
        }
        world.pass(30_000);
        assert_eq!(world.state("t"), TaskState::Waiting);
        assert_eq!(world.presence("w").is_some(), comes_back_for.is_some());
    }
}

#[test]
fn worker_whose_session_ends_loses_its_task_at_once() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.end_session("w");
    assert_eq!(world.state("t"), TaskState::Waiting);
    world.check();
}

#[test]
fn worker_that_leaves_the_room_hands_its_tasks_on() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.worker("x", "draft");
    world.send_raw("w", "presence/announce", "").unwrap();
    world.pass(1_000);
    assert_eq!(world.assignments("x"), assigned(&[("t", 2)]));
    assert_eq!(world.revoked(), [("w".to_owned(), "t".to_owned(), 1)]);
}

#[test]
fn worker_that_unsubscribes_finishes_what_it_has_and_gets_nothing_new() {
    let mut world = world_with_worker();
    world.dispatch("boss", "t", "draft");
    world.dispatch("boss", "u", "draft");
    world.unsubscribe("w", "rooms/r/handoff/work/draft");
    world.success("w", "t", 1);
    assert_eq!(world.state("u"), TaskState::Queued);
}

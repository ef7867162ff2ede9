//! Subscribers that do not keep up, and the publishers that wait for them.

use super::*;

#[test]
fn slow_connected_subscriber_holds_back_its_publishers_until_it_catches_up() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for _ in 0..4 {
        let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
        world.commit();
        assert_eq!(ann.verdict(id), Some(Ok(())));
    }
    let held = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
    world.commit();
    assert_eq!(ann.verdict(held), None, "half of the queue is full");
    for _ in 0..4 {
        for delivery in sub.deliveries() {
            world.acknowledge(&sub, delivery.seq, Stage::Done);
        }
        world.commit();
    }
    assert_eq!(ann.verdict(held), Some(Ok(())));
}

#[test]
fn slow_subscriber_with_a_tiny_queue_catches_up_too() {
    for max_queued_messages in 1..4 {
        let mut settings = settings();
        settings.clients.max_queued_messages = max_queued_messages;
        settings.clients.refuse_when_full = false;
        let mut world = World::with(settings);
        let (mut sub, _) = world.connect("sub", false, u32::MAX);
        world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
        let (mut ann, _) = world.connect("ann", true, 0);
        let ids: Vec<u16> = (0..4)
            .map(|_| world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false)))
            .collect();
        world.commit();
        for _ in 0..4 {
            for delivery in sub.deliveries() {
                world.acknowledge(&sub, delivery.seq, Stage::Done);
            }
            world.commit();
        }
        for id in ids {
            assert_eq!(ann.verdict(id), Some(Ok(())), "{max_queued_messages}");
        }
    }
}

#[test]
fn subscriber_that_never_catches_up_is_disconnected_and_its_publishers_go_on() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for _ in 0..4 {
        let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
        world.commit();
        assert_eq!(ann.verdict(id), Some(Ok(())));
    }
    let held = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
    world.pass(9_999);
    assert_eq!(ann.verdict(held), None, "patience is not over");
    world.pass(1);
    assert_eq!(ann.verdict(held), Some(Ok(())));
    let told = std::iter::from_fn(|| sub.next());
    let closed =
        |response: &Response| matches!(response, Response::Close(CloseReason::QuotaExceeded));
    assert_eq!(told.filter(closed).count(), 1);
    for n in 5..10 {
        let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
        world.commit();
        let verdict = if n < 8 { Ok(()) } else { Err(Code::TooMany) };
        assert_eq!(
            ann.verdict(id),
            Some(verdict),
            "nobody waits for who is away"
        );
    }
    let (mut sub, present) = world.connect("sub", false, u32::MAX);
    assert!(present, "its session goes on");
    assert_eq!(sub.deliveries().len(), 2, "as many as its window takes");
}

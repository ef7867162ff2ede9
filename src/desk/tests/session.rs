//! Sessions: how they begin, are taken over, and end.

use super::*;

#[test]
fn take_over_closes_the_older_connection_and_ignores_it_from_then_on() {
    let mut world = World::new();
    let (mut old, _) = world.connect("ann", false, u32::MAX);
    let (mut new, present) = world.connect("ann", false, u32::MAX);
    assert!(present);
    assert!(matches!(
        old.next(),
        Some(Response::Close(CloseReason::TakenOver))
    ));
    world.publish(
        &mut old,
        ordinary("ann", "a", "late", Qos::AtLeastOnce, true),
    );
    world.close(&old, true);
    assert_eq!(world.rows(Space::Retained), 0);
    let id = world.publish(&mut new, ordinary("ann", "a", "x", Qos::AtLeastOnce, true));
    world.commit();
    assert_eq!(new.verdict(id), Some(Ok(())));
}

#[test]
fn clean_start_forgets_the_session_and_keeps_the_mailbox() {
    let mut world = World::new();
    let (mut bob, _) = world.connect("bob", false, u32::MAX);
    world.subscribe(&mut bob, "news", Qos::AtLeastOnce);
    world.close(&bob, false);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.publish(
        &mut ann,
        ordinary("ann", "news", "broadcast", Qos::AtLeastOnce, false),
    );
    world.publish(
        &mut ann,
        to_room("ann", "rooms/lab/inbox/bob/ann", "for bob"),
    );
    world.commit();
    let (mut bob, present) = world.connect("bob", true, 0);
    assert!(!present);
    assert!(
        bob.payloads().is_empty(),
        "a mailbox waits for a subscription"
    );
    world.subscribe(&mut bob, "rooms/lab/inbox/bob/+", Qos::AtLeastOnce);
    assert_eq!(bob.payloads(), ["for bob"]);
}

#[test]
fn session_ends_after_its_expiry_and_takes_its_records_along() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, 60);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, false));
    world.commit();
    world.close(&sub, false);
    world.pass(59_000);
    assert_eq!(
        (world.rows(Space::Session), world.rows(Space::Outbox)),
        (2, 1)
    );
    world.pass(1_000);
    assert_eq!(
        (world.rows(Space::Session), world.rows(Space::Outbox)),
        (0, 0)
    );
    let (_, present) = world.connect("sub", false, 60);
    assert!(!present);
}

#[test]
fn timers_of_what_is_gone_do_not_pile_up() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for _ in 0..5_000 {
        let message = Message::encode(&Parts {
            topic: "a",
            publisher: "ann",
            qos: Qos::AtLeastOnce,
            expires_at: world.now + 86_400_000,
            ..Parts::default()
        });
        let publication = Publication {
            message,
            route: Route::Subscribers,
        };
        world.publish(&mut ann, publication);
        world.pass(1);
        for delivery in sub.deliveries() {
            world.acknowledge(&sub, delivery.seq, Stage::Done);
        }
        let (visitor, _) = world.connect("visitor", false, 3_600);
        world.close(&visitor, false);
    }
    assert!(
        world.desk.parts().timers.len() <= 1_100,
        "{}",
        world.desk.parts().timers.len()
    );
}

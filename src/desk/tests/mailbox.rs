//! Mailboxes: directed messages wait for their agent's acknowledgement, whatever its sessions do.

use super::*;

#[test]
fn inbox_of_a_clean_session_waits_for_the_ack_across_reconnects_and_crashes() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    let id = world.publish(&mut ann, to_room("ann", "rooms/lab/inbox/bob/ann", "hello"));
    world.commit();
    assert_eq!(ann.verdict(id), Some(Ok(())));
    for round in 0..3 {
        let (mut bob, _) = world.connect("bob", true, 0);
        world.subscribe(&mut bob, "rooms/lab/inbox/bob/#", Qos::AtLeastOnce);
        let delivery = &bob.deliveries()[0];
        assert_eq!(delivery.message.topic(), "rooms/lab/inbox/bob/ann");
        match round {
            0 => world.close(&bob, true),
            1 => world.crash(),
            _ => world.acknowledge(&bob, delivery.seq, Stage::Done),
        }
    }
    world.pass(100);
    let (mut bob, _) = world.connect("bob", true, 0);
    world.subscribe(&mut bob, "rooms/lab/inbox/bob/#", Qos::AtLeastOnce);
    assert!(bob.deliveries().is_empty());
}

#[test]
fn mail_for_nobodys_session_becomes_too_old_after_a_crash_too() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    let mut letter = to_room("ann", "rooms/lab/inbox/bob/ann", "hello");
    if let Route::Engine { mirrors, .. } = &mut letter.route {
        mirrors.ttl_ms = Some(5_000);
    }
    world.publish(&mut ann, letter);
    world.commit();
    world.crash();
    world.pass(4_999);
    assert_eq!(world.rows(Space::Outbox), 1);
    world.pass(1);
    assert_eq!(world.rows(Space::Outbox), 0);
}

#[test]
fn nobody_else_hears_directed_messages_but_watchers() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    world.publish(
        &mut ann,
        to_room("ann", "rooms/lab/inbox/bob/ann", "secret"),
    );
    world.commit();
    let heard = |world: &World| {
        world
            .broadcasts
            .iter()
            .any(|m| m.topic().contains("/inbox/"))
    };
    assert!(!heard(&world));
    let (mut watcher, _) = world.connect("watcher", true, 0);
    world.subscribe(&mut watcher, "rooms/lab/inbox/#", Qos::AtMostOnce);
    world.publish(&mut ann, to_room("ann", "rooms/lab/inbox/bob/ann", "seen"));
    world.commit();
    assert!(heard(&world));
    assert_eq!(watcher.id.as_ref(), "watcher");
}

#[test]
fn a_later_session_does_not_get_an_assignment_that_was_cancelled_in_flight() {
    for crash in [false, true] {
        let mut world = World::new();
        let (mut worker, _) = world.connect("worker", true, 0);
        world.subscribe(
            &mut worker,
            "rooms/lab/handoff/work/draft",
            Qos::AtLeastOnce,
        );
        let (mut boss, _) = world.connect("boss", true, 0);
        let task = r#"{"id":"t1","type":"draft"}"#;
        world.publish(
            &mut boss,
            to_room("boss", "rooms/lab/handoff/dispatch/boss", task),
        );
        world.commit();
        assert_eq!(worker.deliveries().len(), 1, "the assignment");
        world.publish(
            &mut boss,
            to_room("boss", "rooms/lab/handoff/cancel/boss", r#"{"task":"t1"}"#),
        );
        world.commit();
        if crash {
            world.crash();
        } else {
            world.close(&worker, true);
        }
        let (mut worker, _) = world.connect("worker", true, 0);
        world.subscribe(
            &mut worker,
            "rooms/lab/handoff/work/draft",
            Qos::AtLeastOnce,
        );
        world.commit();
        assert_eq!(worker.payloads(), [] as [&str; 0], "crash: {crash}");
    }
}

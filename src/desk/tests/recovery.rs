//! What a session that lasts has after a crash: packet ids, repeats, and what is marked as one.

use super::*;

#[test]
fn queue_of_a_durable_session_survives_a_crash_with_the_same_packet_ids() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a/#", Qos::AtLeastOnce);
    let (mut publisher, _) = world.connect("pub", true, 0);
    for n in 0..4 {
        world.publish(
            &mut publisher,
            ordinary("pub", "a/b", &n.to_string(), Qos::ExactlyOnce, false),
        );
    }
    world.commit();
    let before = sub.deliveries();
    let ids: Vec<_> = before.iter().map(|d| (d.packet_id, d.dup, d.qos)).collect();
    assert_eq!(
        ids,
        [
            (Some(1), false, Qos::AtLeastOnce),
            (Some(2), false, Qos::AtLeastOnce)
        ]
    );
    world.crash();
    let (mut sub, present) = world.connect("sub", false, u32::MAX);
    assert!(present);
    let again = sub.deliveries();
    assert_eq!(
        again.iter().map(|d| d.packet_id).collect::<Vec<_>>(),
        [Some(1), Some(2)]
    );
    assert!(again.iter().all(|d| d.dup));
    world.acknowledge(&sub, again[0].seq, Stage::Done);
    world.acknowledge(&sub, again[1].seq, Stage::Done);
    assert_eq!(
        sub.payloads(),
        ["2", "3"],
        "what is on disk already needs no further commit"
    );
}

#[test]
fn what_comes_after_a_crash_is_not_called_a_duplicate_after_the_next() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a/#", Qos::AtLeastOnce);
    let (mut publisher, _) = world.connect("pub", true, 0);
    world.publish(
        &mut publisher,
        ordinary("pub", "a/b", "before", Qos::AtLeastOnce, false),
    );
    world.commit();
    world.crash();
    let (sub, _) = world.connect("sub", false, u32::MAX);
    world.close(&sub, false);
    let (mut publisher, _) = world.connect("pub", true, 0);
    world.publish(
        &mut publisher,
        ordinary("pub", "a/b", "after", Qos::AtLeastOnce, false),
    );
    world.commit();
    world.crash();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    let duplicates: Vec<bool> = sub.deliveries().iter().map(|d| d.dup).collect();
    assert_eq!(duplicates, [true, false]);
}

#[test]
fn what_comes_between_two_crashes_for_an_absent_client_was_never_sent() {
    for leaves in [true, false] {
        let mut world = World::new();
        let (mut sub, _) = world.connect("sub", false, u32::MAX);
        world.subscribe(&mut sub, "a/#", Qos::AtLeastOnce);
        let (mut publisher, _) = world.connect("pub", true, 0);
        for _ in 0..3 {
            let before = ordinary("pub", "a/b", "before", Qos::AtLeastOnce, false);
            world.publish(&mut publisher, before);
            world.commit();
            for delivery in sub.deliveries() {
                world.acknowledge(&sub, delivery.seq, Stage::Done);
            }
            world.commit();
        }
        if leaves {
            world.close(&sub, false);
        }
        world.crash();
        let (mut publisher, _) = world.connect("pub", true, 0);
        let between = ordinary("pub", "a/b", "between", Qos::AtLeastOnce, false);
        world.publish(&mut publisher, between);
        world.commit();
        world.crash();
        let (mut sub, present) = world.connect("sub", false, u32::MAX);
        assert!(present);
        let duplicates: Vec<bool> = sub.deliveries().iter().map(|d| d.dup).collect();
        assert_eq!(duplicates, [false], "left before: {leaves}");
    }
}

#[test]
fn session_of_a_version_that_did_not_note_what_was_sent_goes_on() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a/#", Qos::AtLeastOnce);
    world.close(&sub, false);
    world.commit();
    let mut header = Vec::from(60_u32.to_be_bytes());
    header.extend(world.now.to_be_bytes());
    let mut old = Batch::default();
    old.put(Space::Session, *b"sub\0h", header);
    world.store.commit(&old).expect("memory takes everything");
    world.crash();
    let (mut publisher, _) = world.connect("pub", true, 0);
    for payload in ["1", "2"] {
        let message = ordinary("pub", "a/b", payload, Qos::AtLeastOnce, false);
        world.publish(&mut publisher, message);
    }
    world.commit();
    let (mut sub, present) = world.connect("sub", false, u32::MAX);
    assert!(present);
    let taken: Vec<_> = sub.deliveries().iter().map(|d| (d.seq, d.dup)).collect();
    assert_eq!(taken, [(1, false), (2, false)]);
}

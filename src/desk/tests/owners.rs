//! Whose a client id is, while something is kept under it.

use super::*;

#[test]
fn what_is_kept_under_a_client_id_is_its_users_until_nothing_is_left() {
    let mut world = World::new();
    let (ann, _) = world.connect_as("ann", "a", 60);
    assert!(world.is_refused("bob", "a"), "while she is connected");
    world.close(&ann, false);
    assert!(world.is_refused("bob", "a"), "while she is away");
    world.crash();
    assert!(world.is_refused("bob", "a"), "after a crash");
    world.pass(60_000);
    assert!(!world.is_refused("bob", "a"), "her session is over");
    assert_eq!(world.rows(Space::Session), 0, "and no owner is left behind");
}

#[test]
fn a_mailbox_without_a_session_keeps_its_owner_over_a_crash() {
    let mut world = World::new();
    let (ann, _) = world.connect_as("ann", "ann", 0);
    let (mut bob, _) = world.connect_as("bob", "bob", 0);
    let inbox = to_room("bob", "rooms/lab/inbox/ann/bob", "hello");
    world.publish(&mut bob, inbox);
    world.commit();
    world.close(&ann, false);
    world.crash();
    assert!(world.is_refused("bob", "ann"));
    let (_ann, present) = world.connect_as("ann", "ann", 0);
    assert!(!present);
}

#[test]
fn sessions_from_before_there_were_users_go_to_the_first_who_comes() {
    let mut world = World::new();
    let (before, _) = world.connect("a", false, 60);
    world.close(&before, false);
    world.crash();
    let (ann, present) = world.connect_as("ann", "a", 60);
    assert!(present);
    world.close(&ann, false);
    world.crash();
    assert!(world.is_refused("bob", "a"));
}

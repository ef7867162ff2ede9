//! Under which root the rooms of a store were made.

use super::*;
use crate::desk::{RecoverError, check_root};

/// Somebody has set a key.
fn used() -> World {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", false, 100);
    let topic = "rooms/lab/blackboard/set/ann/plan";
    let set = to_room("ann", topic, r#"{"value":1,"correlationId":"c"}"#);
    world.publish(&mut ann, set);
    world.commit();
    world
}

fn other_root(store: &MemoryStore) -> Option<(String, String)> {
    match check_root(store, "spaces") {
        Ok(()) => None,
        Err(RecoverError::OtherRoot { found, configured }) => Some((found, configured)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn rooms_under_another_root_are_found_also_where_nobody_wrote_it_down() {
    let mut world = used();
    let other = Some(("rooms".to_owned(), "spaces".to_owned()));
    let written = |world: &World| world.store.get(Space::Meta, b"root").expect("readable");
    assert_eq!(written(&world), None, "as earlier versions left it");
    assert_eq!(other_root(&world.store), other);
    assert!(check_root(&world.store, "rooms").is_ok());
    world.crash();
    assert_eq!(written(&world).as_deref(), Some(&b"rooms"[..]));
    assert_eq!(other_root(&world.store), other);
}

#[test]
fn where_there_are_no_rooms_any_root_will_do() {
    let mut world = World::new();
    world.crash();
    assert_eq!(other_root(&world.store), None);
    let mut settings = settings();
    settings.root = "spaces".to_owned();
    world.restart_with(settings);
    let written = world.store.get(Space::Meta, b"root").expect("readable");
    assert_eq!(written.as_deref(), Some(&b"spaces"[..]));
}

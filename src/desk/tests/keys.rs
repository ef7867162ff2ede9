//! Keys of blackboards: their retained messages are made from the engine's records, and not stored
//! beside them.

use super::*;
use crate::wire::message::Message;

const STATE: &str = "rooms/den/blackboard/state/plan";

fn set(world: &mut World, ann: &mut Peer, value: &str) {
    let set = to_room("ann", "rooms/den/blackboard/set/ann/plan", value);
    world.publish(ann, set);
    world.commit();
}

fn shown(world: &mut World) -> Vec<String> {
    let (mut bob, _) = world.connect("bob", true, 0);
    let found = world.subscribe(&mut bob, "rooms/den/blackboard/state/#", Qos::AtMostOnce);
    let text = |message: &Message| String::from_utf8_lossy(&message.payload()).into_owned();
    found.iter().map(text).collect()
}

#[test]
fn a_key_is_stored_once_and_shown_after_a_crash_as_before() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    set(&mut world, &mut ann, r#"{"value":{"step": 1.10}}"#);
    set(&mut world, &mut ann, r#"{"value":{"step": 2.0}}"#);
    let before = shown(&mut world);
    assert!(before[0].contains(r#""value":{"step": 2.0},"version":2"#));
    let stored = |message: &[u8]| message.windows(6).any(|part| part == b"\": 2.0");
    let mut copies = 0;
    for space in Space::ALL {
        let count = &mut |_: &[u8], value: &[u8]| {
            copies += usize::from(stored(value));
            ControlFlow::Continue(())
        };
        world.store.scan(space, &[], count).unwrap();
    }
    assert_eq!(copies, 1);
    world.crash();
    assert_eq!(shown(&mut world), before);
    // The history still has what was, and the key goes on.
    let (mut ann, _) = world.connect("ann", true, 0);
    set(&mut world, &mut ann, r#"{"value":7}"#);
    assert!(shown(&mut world)[0].contains(r#""value":7,"version":3"#));
}

#[test]
fn what_an_earlier_version_stored_beside_the_key_is_taken_away_at_the_start() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    set(&mut world, &mut ann, r#"{"value":1}"#);
    let rows = world.rows(Space::Retained);
    let old = Message::encode(&Parts {
        topic: STATE,
        payload: br#"{"key":"plan","value":0}"#,
        retain: true,
        ..Parts::default()
    });
    let mut batch = Batch::default();
    batch.put(Space::Retained, STATE, old.as_bytes().clone());
    world.store.commit(&batch).unwrap();
    world.crash();
    assert_eq!(world.rows(Space::Retained), rows);
    assert!(shown(&mut world)[0].contains(r#""value":1,"#));
}

#[test]
fn a_deleted_key_is_shown_to_nobody_before_and_after_a_crash() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    set(&mut world, &mut ann, r#"{"value":1}"#);
    let delete = to_room("ann", "rooms/den/blackboard/delete/ann/plan", "");
    world.publish(&mut ann, delete);
    world.commit();
    assert_eq!(shown(&mut world), [""; 0]);
    world.crash();
    assert_eq!(shown(&mut world), [""; 0]);
}

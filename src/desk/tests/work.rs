//! Work for workers that acknowledge late: never more than they can be sent.

use super::*;

fn dispatch(world: &mut World, ann: &mut Peer, n: usize) {
    let task = format!(r#"{{"id":"t{n}","type":"job"}}"#);
    let dispatch = to_room("ann", "rooms/den/handoff/dispatch/ann", &task);
    world.publish(ann, dispatch);
    world.commit();
}

fn state_counts(world: &mut World) -> (usize, usize) {
    let stats = world.desk.parts().engine.stats();
    let of = |state| stats.tasks.of(state);
    use crate::wire::handoff::TaskState::{Assigned, Queued};
    (of(Assigned), of(Queued))
}

#[test]
fn a_worker_that_acknowledges_late_is_given_what_its_window_holds() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    // Its window has room for two.
    let (mut w, _) = world.connect("w", true, 0);
    let announce = to_room("w", "rooms/den/presence/announce/w", r#"{"capacity":5}"#);
    let id = world.publish(&mut w, announce);
    world.commit();
    assert_eq!(w.verdict(id), Some(Ok(())));
    world.subscribe(&mut w, "rooms/den/handoff/work/job", Qos::AtLeastOnce);
    for n in 0..5 {
        dispatch(&mut world, &mut ann, n);
    }
    assert_eq!(state_counts(&mut world), (2, 3));
    let first = w.deliveries();
    assert_eq!(first.len(), 2);
    world.acknowledge(&w, first[0].seq, Stage::Done);
    world.commit();
    assert_eq!(state_counts(&mut world), (3, 2));
    assert_eq!(w.deliveries().len(), 1);
    // Another worker gets what this one cannot be sent.
    let (mut x, _) = world.connect("x", true, 0);
    world.subscribe(&mut x, "rooms/den/handoff/work/job", Qos::AtLeastOnce);
    assert_eq!(x.deliveries().len(), 1);
}

#[test]
fn other_mail_in_the_window_counts_as_well() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    let (mut w, _) = world.connect("w", true, 0);
    world.subscribe(&mut w, "rooms/den/inbox/w/+", Qos::AtLeastOnce);
    world.subscribe(&mut w, "rooms/den/handoff/work/job", Qos::AtLeastOnce);
    let announce = to_room("w", "rooms/den/presence/announce/w", r#"{"capacity":5}"#);
    world.publish(&mut w, announce);
    for _ in 0..2 {
        let mail = to_room("ann", "rooms/den/inbox/w/ann", "hello");
        world.publish(&mut ann, mail);
        world.commit();
    }
    let mail = w.deliveries();
    assert_eq!(mail.len(), 2);
    for n in 0..5 {
        dispatch(&mut world, &mut ann, n);
    }
    // One too many, until it is known that there is no room; it waits and loses nothing by it.
    assert_eq!(state_counts(&mut world), (1, 4));
    for one in mail {
        world.acknowledge(&w, one.seq, Stage::Done);
    }
    world.commit();
    assert_eq!(w.deliveries().len(), 2);
    assert_eq!(state_counts(&mut world), (2, 3));
}

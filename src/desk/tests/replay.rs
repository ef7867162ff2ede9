//! Retained messages for sessions that last: all of them, however small the queue.

use std::collections::BTreeSet;

use super::*;

const CROWD: usize = 100;

/// More retained messages than the queue of a session takes.
fn crowded() -> World {
    let mut world = World::with(roomy());
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..CROWD {
        let topic = format!("s/{n:03}");
        world.publish(
            &mut ann,
            ordinary("ann", &topic, &topic, Qos::AtLeastOnce, true),
        );
        world.commit();
    }
    world
}

fn roomy() -> DeskSettings {
    let retained = RetainedConfig {
        max_messages: 10 * CROWD,
        max_bytes: Size(1_000_000),
    };
    DeskSettings {
        retained,
        ..settings()
    }
}

fn crash(world: &mut World) {
    world.restart_with(roomy());
}

/// Takes and acknowledges what comes, at most so many.
fn take(world: &mut World, peer: &mut Peer, most: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < most {
        let Some(response) = peer.next() else { break };
        if let Response::Deliver(delivery) = response {
            assert!(delivery.retain);
            taken.push(delivery.message.topic().to_owned());
            world.acknowledge(peer, delivery.seq, Stage::Done);
            world.commit();
        }
    }
    taken
}

#[test]
fn a_lasting_session_gets_every_retained_message_though_its_queue_is_small() {
    let mut world = crowded();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "s/#", Qos::AtLeastOnce);
    let queued = world.rows(Space::Outbox);
    assert!(queued <= settings().clients.max_queued_messages);
    let taken = take(&mut world, &mut sub, usize::MAX);
    let different: BTreeSet<&String> = taken.iter().collect();
    assert_eq!((taken.len(), different.len()), (CROWD, CROWD));
    // Nothing of it is left on disk: a header, a subscription.
    assert_eq!(world.rows(Space::Outbox), 0);
    assert_eq!(world.rows(Space::Session), 2);
}

#[test]
fn it_goes_on_after_an_absence_and_after_a_crash() {
    let mut world = crowded();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "s/#", Qos::AtLeastOnce);
    let mut taken = take(&mut world, &mut sub, 30);
    world.close(&sub, false);
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    taken.extend(take(&mut world, &mut sub, 30));
    crash(&mut world);
    let (mut sub, present) = world.connect("sub", false, u32::MAX);
    assert!(present);
    taken.extend(take(&mut world, &mut sub, usize::MAX));
    let different: BTreeSet<&String> = taken.iter().collect();
    assert_eq!(different.len(), CROWD);
}

#[test]
fn what_changes_meanwhile_comes_once_and_the_newest_last() {
    let mut world = crowded();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "s/#", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.publish(
        &mut ann,
        ordinary("ann", "s/099", "new", Qos::AtLeastOnce, true),
    );
    world.commit();
    let mut of_it = Vec::new();
    while let Some(response) = sub.next() {
        if let Response::Deliver(delivery) = response {
            if delivery.message.topic() == "s/099" {
                of_it.push((delivery.message.payload(), delivery.retain));
            }
            world.acknowledge(&sub, delivery.seq, Stage::Done);
            world.commit();
        }
    }
    assert_eq!(of_it, [("new".into(), false)]);
}

#[test]
fn nothing_more_comes_after_unsubscribing() {
    let mut world = crowded();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "s/#", Qos::AtLeastOnce);
    world.handle(Request::Unsubscribe {
        connection: sub.connection,
        packet_id: 9,
        filters: vec!["s/#".into()],
    });
    world.commit();
    let taken = take(&mut world, &mut sub, usize::MAX);
    assert!(taken.len() <= settings().clients.max_queued_messages);
    assert_eq!(world.rows(Space::Session), 1);
}

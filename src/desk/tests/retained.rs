//! Retained messages, and how many of them one SUBSCRIBE brings.

use super::*;

#[test]
fn retained_messages_reach_later_subscribers_and_survive_a_crash() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    for (topic, payload) in [("s/1", "one"), ("s/2", "two"), ("s/1", "three")] {
        world.publish(
            &mut ann,
            ordinary("ann", topic, payload, Qos::AtLeastOnce, true),
        );
    }
    world.publish(&mut ann, ordinary("ann", "s/2", "", Qos::AtLeastOnce, true));
    world.commit();
    assert_eq!(world.broadcasts.len(), 4);
    world.crash();
    let (mut bob, _) = world.connect("bob", true, 0);
    let found = world.subscribe(&mut bob, "s/#", Qos::AtMostOnce);
    let found: Vec<_> = found
        .iter()
        .map(|m| (m.topic().to_owned(), m.payload()))
        .collect();
    assert_eq!(found, [("s/1".to_owned(), "three".into())]);
}

#[test]
fn full_retained_store_refuses_new_topics() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..3 {
        world.publish(
            &mut ann,
            ordinary("ann", &format!("s/{n}"), "x", Qos::AtLeastOnce, true),
        );
    }
    world.commit();
    while ann.next().is_some() {}
    let id = world.publish(
        &mut ann,
        ordinary("ann", "s/3", "x", Qos::AtLeastOnce, true),
    );
    world.commit();
    assert_eq!(ann.verdict(id), Some(Err(Code::TooMany)));
}

#[test]
fn one_subscribe_brings_no_more_copies_than_there_is_room_for() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    for topic in ["a", "b", "c"] {
        world.publish(
            &mut ann,
            ordinary("ann", topic, "x", Qos::AtLeastOnce, true),
        );
        world.commit();
    }
    let (mut sub, _) = world.connect("sub", true, 0);
    let subscription = Subscription {
        filter: "#".into(),
        qos: Qos::AtMostOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Always,
        id: None,
    };
    world.handle(Request::Subscribe {
        connection: sub.connection,
        packet_id: 1,
        subscriptions: vec![subscription; 1_000],
    });
    world.commit();
    let Some(Response::Subscribed {
        results,
        retained,
        retained_room,
        ..
    }) = sub.next()
    else {
        panic!("expected Subscribed")
    };
    assert_eq!(retained_room, 1_036, "four times what there is, and some");
    assert_eq!(retained.len(), 345 * 3);
    let granted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!((granted, results.len()), (345, 1_000));
}

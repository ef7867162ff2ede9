//! What a commit holds back, and the order in which it lets it go.

use super::*;

#[test]
fn an_ack_leaves_only_after_its_commit() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    let id = world.publish(&mut ann, ordinary("ann", "a", "x", Qos::AtLeastOnce, true));
    assert!(ann.next().is_none());
    world.commit();
    assert_eq!(ann.verdict(id), Some(Ok(())));
    assert_eq!(world.rows(Space::Retained), 1);
}

#[test]
fn no_delivery_overtakes_one_that_waits_for_the_disk() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::AtLeastOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..4 {
        let word = n.to_string();
        world.publish(
            &mut ann,
            ordinary("ann", "a", &word, Qos::AtLeastOnce, false),
        );
    }
    let first = world.desk.seal(world.now);
    let number = first.number;
    // Acknowledged before the batch is known to be durable: the next delivery is held back with the
    // batch after it.
    world.acknowledge(&sub, 1, Stage::Done);
    world.let_out(first);
    world.desk.committed(number);
    // By now the last one is on disk, and the one before it still waits.
    world.acknowledge(&sub, 2, Stage::Done);
    world.commit();
    assert_eq!(sub.payloads(), ["0", "1", "2", "3"]);
}

#[test]
fn what_waited_comes_before_what_the_return_brings_about() {
    let mut world = World::new();
    let (mut watcher, _) = world.connect("watcher", false, u32::MAX);
    world.subscribe(
        &mut watcher,
        "rooms/lab/observe/events/gateway/#",
        Qos::AtLeastOnce,
    );
    world.subscribe(&mut watcher, "news", Qos::AtLeastOnce);
    for delivery in watcher.deliveries() {
        world.acknowledge(&watcher, delivery.seq, Stage::Done);
    }
    world.close(&watcher, true);
    let (mut ann, _) = world.connect("ann", true, 0);
    world.publish(
        &mut ann,
        ordinary("ann", "news", "waited", Qos::AtLeastOnce, false),
    );
    world.commit();
    let (mut watcher, _) = world.connect("watcher", false, u32::MAX);
    let mut topics = Vec::new();
    loop {
        let deliveries = watcher.deliveries();
        if deliveries.is_empty() {
            break;
        }
        for delivery in deliveries {
            topics.push(delivery.message.topic().to_owned());
            world.acknowledge(&watcher, delivery.seq, Stage::Done);
        }
        world.commit();
    }
    let (news, last) = (topics.iter().position(|t| t == "news"), topics.len() - 1);
    assert!(
        news.is_some_and(|news| news < last),
        "the return itself is the last event: {topics:?}"
    );
}

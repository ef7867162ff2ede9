//! While the disk takes nothing.

use super::*;

const FOR_EVER: u32 = u32::MAX;

fn asks(world: &mut World, peer: &Peer, filter: &str) {
    let subscription = Subscription {
        filter: filter.into(),
        qos: Qos::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Always,
        id: None,
    };
    world.handle(Request::Subscribe {
        connection: peer.connection,
        packet_id: 7,
        subscriptions: vec![subscription],
    });
}

/// The topics that come with the answer to SUBSCRIBE, and up to which sequence number they are.
fn retained(peer: &mut Peer) -> Option<(Vec<String>, u64)> {
    match peer.next() {
        Some(Response::Subscribed {
            retained,
            retained_seq,
            ..
        }) => {
            let topic = |(_, message): (usize, Message)| message.topic().to_owned();
            Some((retained.into_iter().map(topic).collect(), retained_seq))
        }
        None => None,
        other => panic!("SUBACK expected, but came {other:?}"),
    }
}

#[test]
fn what_is_not_on_disk_is_shown_to_nobody_who_is_let_in_meanwhile() {
    let mut world = World::new();
    let (mut writer, _) = world.connect("writer", true, 0);
    let (mut reader, _) = world.connect("reader", true, 0);
    let publish = |topic| ordinary("writer", topic, "x", Qos::AtLeastOnce, true);
    world.publish(&mut writer, publish("wall/old"));
    world.commit();
    world.publish(&mut writer, publish("wall/sealed"));
    let mut sealed = world.desk.seal(world.now);
    world.publish(&mut writer, publish("wall/pending"));
    asks(&mut world, &reader, "wall/+");
    world.desk.release_non_durable_pending();
    let (topics, retained_seq) = retained(&mut reader).expect("it needs no disk");
    assert_eq!(topics, ["wall/old"]);
    world.desk.release_non_durable(&mut sealed.releases);
    let number = sealed.number;
    world.let_out(sealed);
    world.desk.committed(number);
    asks(&mut world, &reader, "wall/+");
    world.desk.release_non_durable_pending();
    let (topics, later) = retained(&mut reader).expect("it needs no disk");
    assert_eq!(topics, ["wall/old", "wall/sealed"]);
    assert!(
        retained_seq < later,
        "what comes after is not taken for what was shown"
    );
    world.commit();
    asks(&mut world, &reader, "wall/+");
    assert_eq!(
        retained(&mut reader),
        None,
        "with a disk it keeps its place"
    );
    world.commit();
    assert_eq!(retained(&mut reader).expect("on disk").0.len(), 3);
}

#[test]
fn who_subscribed_when_the_disk_filled_up_is_not_kept_waiting() {
    let mut world = World::new();
    let (mut early, _) = world.connect("early", false, FOR_EVER);
    let (mut late, _) = world.connect("late", false, FOR_EVER);
    asks(&mut world, &early, "a");
    world.desk.disk_stalls(world.now, true);
    asks(&mut world, &late, "a");
    let refused = late.next();
    assert!(
        matches!(&refused, Some(Response::Subscribed { results, .. }) if results[0].is_err()),
        "{refused:?}"
    );
    world.desk.release_non_durable_pending();
    assert!(early.next().is_none());
    world.now += 10_000;
    world.desk.tick(world.now);
    let closed = early.next();
    assert!(
        matches!(closed, Some(Response::Close(CloseReason::NoDisk))),
        "{closed:?}"
    );
    assert!(late.next().is_none());
    world.desk.disk_stalls(world.now, false);
    world.commit();
    asks(&mut world, &late, "a");
    world.commit();
    assert!(retained(&mut late).is_some());
}

#[test]
fn who_is_refused_for_the_disk_leaves_no_trace() {
    let mut world = World::new();
    let (mut first, _) = world.connect("kept", false, FOR_EVER);
    world.desk.disk_stalls(world.now, true);
    let rows = world.rows(Space::Session);
    let mut second = world.dial("kept", false, FOR_EVER, None, 0);
    assert!(matches!(
        second.next(),
        Some(Response::Close(CloseReason::NoDisk))
    ));
    assert!(first.next().is_none(), "it is not taken over");
    world.commit();
    assert_eq!(world.rows(Space::Session), rows);
}

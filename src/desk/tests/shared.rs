//! Shared subscriptions: one member gets each message, and members come and go.

use super::*;
use crate::desk::Account;

const GROUP: &str = "$share/g/jobs/+";

/// Two lasting members, both away, and what came meanwhile.
fn away_while_jobs_come(world: &mut World, jobs: usize) {
    for id in ["x", "y"] {
        let (mut member, _) = world.connect(id, false, u32::MAX);
        world.subscribe(&mut member, GROUP, Qos::AtLeastOnce);
        world.close(&member, false);
    }
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..jobs {
        let job = ordinary("ann", "jobs/1", &n.to_string(), Qos::AtLeastOnce, false);
        world.publish(&mut ann, job);
        world.commit();
    }
}

fn work_off(world: &mut World, peer: &mut Peer) -> Vec<usize> {
    let mut done = Vec::new();
    while let Some(response) = peer.next() {
        if let Response::Deliver(delivery) = response {
            let text = String::from_utf8_lossy(&delivery.message.payload()).into_owned();
            done.push(text.parse().unwrap());
            world.acknowledge(peer, delivery.seq, Stage::Done);
            world.commit();
        }
    }
    done.sort_unstable();
    done
}

#[test]
fn the_first_member_that_is_back_gets_all_that_waits_for_the_group() {
    let mut world = World::new();
    away_while_jobs_come(&mut world, 12);
    let (mut y, _) = world.connect("y", false, u32::MAX);
    assert_eq!(work_off(&mut world, &mut y), (0..12).collect::<Vec<_>>());
    let (mut x, _) = world.connect("x", false, u32::MAX);
    assert_eq!(work_off(&mut world, &mut x), [0usize; 0]);
    assert_eq!(world.rows(Space::Outbox), 0);
}

#[test]
fn so_it_does_after_a_crash() {
    let mut world = World::new();
    away_while_jobs_come(&mut world, 12);
    world.crash();
    let (mut x, _) = world.connect("x", false, u32::MAX);
    assert_eq!(work_off(&mut world, &mut x), (0..12).collect::<Vec<_>>());
    assert_eq!(world.rows(Space::Outbox), 0);
}

#[test]
fn what_was_sent_to_a_member_stays_with_it() {
    let mut world = World::new();
    away_while_jobs_come(&mut world, 4);
    let (mut x, _) = world.connect("x", false, u32::MAX);
    // Its window has room for two.
    assert_eq!(x.payloads().len(), 2);
    world.close(&x, false);
    let (mut y, _) = world.connect("y", false, u32::MAX);
    let of_y = work_off(&mut world, &mut y);
    let (mut x, _) = world.connect("x", false, u32::MAX);
    let of_x = work_off(&mut world, &mut x);
    assert_eq!(of_x.len(), 2);
    let mut all = [of_x, of_y].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
}

#[test]
fn who_is_here_takes_over_what_a_member_that_went_away_was_not_sent() {
    let mut world = World::new();
    away_while_jobs_come(&mut world, 4);
    let (mut x, _) = world.connect("x", false, u32::MAX);
    let sent = x.payloads().len();
    let (mut y, _) = world.connect("y", false, u32::MAX);
    assert_eq!(work_off(&mut world, &mut y).len(), 2);
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 4..8 {
        let job = ordinary("ann", "jobs/1", &n.to_string(), Qos::AtLeastOnce, false);
        world.publish(&mut ann, job);
        world.commit();
    }
    let of_y = work_off(&mut world, &mut y).len();
    world.close(&x, false);
    assert_eq!(sent + of_y + work_off(&mut world, &mut y).len(), 6);
}

#[test]
fn what_there_is_no_room_for_stays_with_the_member_that_has_it() {
    let memory = MemoryBudget::new(64 * 1024);
    let settings = DeskSettings {
        memory: memory.clone(),
        ..settings()
    };
    let mut world = World::with(settings);
    away_while_jobs_come(&mut world, 12);
    // All that is left of the memory is in use by others.
    memory.reserve(Account::Outgoing, 64 * 1024);
    let (mut y, _) = world.connect("y", false, u32::MAX);
    let own = work_off(&mut world, &mut y);
    assert_eq!(own.len(), 6);
    assert_eq!(world.rows(Space::Outbox), 6);
    memory.release(Account::Outgoing, 64 * 1024);
    world.close(&y, false);
    let (mut y, _) = world.connect("y", false, u32::MAX);
    let others = work_off(&mut world, &mut y);
    let mut all = [own, others].concat();
    all.sort_unstable();
    assert_eq!(all, (0..12).collect::<Vec<_>>());
}

#[test]
fn who_has_nothing_left_does_not_hide_another_member_that_has() {
    let mut world = World::new();
    away_while_jobs_come(&mut world, 0);
    let (mut ann, _) = world.connect("ann", true, 0);
    // One for each member; the first becomes too old.
    for (payload, expires_at) in [("1", world.now + 10), ("2", 0)] {
        let job = ordinary("ann", "jobs/1", payload, Qos::AtLeastOnce, false);
        let parts = Parts {
            expires_at,
            ..job.message.parts()
        };
        let message = Message::encode(&parts);
        let route = Route::Subscribers;
        world.publish(&mut ann, Publication { message, route });
        world.commit();
    }
    world.pass(10);
    assert_eq!(world.rows(Space::Outbox), 1);
    let (mut late, _) = world.connect("late", false, u32::MAX);
    world.subscribe(&mut late, GROUP, Qos::AtLeastOnce);
    assert_eq!(work_off(&mut world, &mut late), [2]);
}

#[test]
fn shared_group_gets_each_message_once() {
    let mut world = World::new();
    let (mut x, _) = world.connect("x", true, 0);
    let (mut y, _) = world.connect("y", true, 0);
    world.subscribe(&mut x, "$share/g/jobs/+", Qos::AtLeastOnce);
    world.subscribe(&mut y, "$share/g/jobs/+", Qos::AtMostOnce);
    let (mut ann, _) = world.connect("ann", true, 0);
    for n in 0..4 {
        world.publish(
            &mut ann,
            ordinary("ann", "jobs/1", &n.to_string(), Qos::AtLeastOnce, false),
        );
    }
    world.commit();
    assert_eq!(x.payloads(), ["0", "2"]);
    assert_eq!(y.payloads(), ["1", "3"]);
}

#[test]
fn what_a_member_without_a_lasting_session_had_in_a_crash_goes_to_one_that_has() {
    let mut world = World::new();
    let (mut lasting, _) = world.connect("lasting", false, u32::MAX);
    let (mut passing, _) = world.connect("passing", true, 0);
    for member in [&mut lasting, &mut passing] {
        world.subscribe(member, "$share/g/jobs/+", Qos::ExactlyOnce);
    }
    let (mut ann, _) = world.connect("ann", true, 0);
    let publish = |world: &mut World, ann: &mut Peer, payload, qos| {
        world.publish(ann, ordinary("ann", "jobs/1", payload, qos, false));
        world.commit();
    };
    for payload in ["0", "1"] {
        publish(&mut world, &mut ann, payload, Qos::AtLeastOnce);
    }
    for payload in ["2", "3"] {
        publish(&mut world, &mut ann, payload, Qos::ExactlyOnce);
    }
    assert_eq!(lasting.payloads(), ["0", "2"]);
    assert_eq!(passing.payloads(), ["1", "3"]);
    world.crash();
    let (mut lasting, present) = world.connect("lasting", false, u32::MAX);
    assert!(present);
    let taken = |lasting: &mut Peer| -> Vec<(u64, String, bool)> {
        let all = lasting.deliveries().into_iter().map(|one| {
            let payload = String::from_utf8_lossy(&one.message.payload()).into_owned();
            (one.seq, payload, one.dup)
        });
        all.collect()
    };
    let own = [(1, "0".to_owned(), true), (2, "2".to_owned(), true)];
    assert_eq!(taken(&mut lasting), own);
    world.acknowledge(&lasting, 1, Stage::Done);
    world.acknowledge(&lasting, 2, Stage::Received);
    world.acknowledge(&lasting, 2, Stage::Completed);
    world.commit();
    // What the other may have at QoS 2 is gone with it.
    assert_eq!(taken(&mut lasting), [(3, "1".to_owned(), false)]);
    world.acknowledge(&lasting, 3, Stage::Done);
    world.commit();
    assert_eq!(world.rows(Space::Outbox), 0);
}

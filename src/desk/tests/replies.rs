//! Replies that nobody reads: how many are kept, and how refusals are summed up.

use super::*;
use crate::wire::reply::{DroppedRefusals, Reply};

/// Dispatches of one agent that nobody reads the replies of; those with a bad type are refused.
fn dispatch(world: &mut World, peer: &mut Peer, id: &str, good: bool) {
    let kind = if good { "draft" } else { "no type" };
    let body = format!(r#"{{"id":"{id}","type":"{kind}","correlationId":"c"}}"#);
    let topic = "rooms/r/handoff/dispatch/boss";
    let id = world.publish(peer, to_room("boss", topic, &body));
    world.commit();
    assert_eq!(peer.verdict(id).map(|verdict| verdict.is_ok()), Some(good));
}

fn set_max_replies(world: &mut World, max_replies: usize) {
    let clients = world.desk.parts().clients;
    let limits = ClientLimits {
        max_replies,
        ..*clients.limits()
    };
    clients.set_limits(limits);
}

fn replies(world: &mut World) -> Vec<Reply> {
    let (mut boss, _) = world.connect("boss", true, 0);
    world.subscribe(&mut boss, "rooms/r/reply/boss", Qos::AtLeastOnce);
    let mut all = Vec::new();
    loop {
        let deliveries = boss.deliveries();
        if deliveries.is_empty() {
            return all;
        }
        for delivery in deliveries {
            all.push(serde_json::from_slice(&delivery.message.payload()).expect("a reply"));
            world.acknowledge(&boss, delivery.seq, Stage::Done);
        }
        world.commit();
    }
}

fn dropped(reply: &Reply) -> DroppedRefusals {
    let data = reply.data.as_ref().expect("a summary has data");
    serde_json::from_str(data.text()).expect("that says how many")
}

/// There may be two at once.
#[test]
fn what_was_accepted_gives_way_to_refusals_and_never_the_other_way_round() {
    let mut world = World::new();
    let (mut boss, _) = world.connect("boss", true, 0);
    dispatch(&mut world, &mut boss, "a", true);
    dispatch(&mut world, &mut boss, "b", false);
    dispatch(&mut world, &mut boss, "c", false);
    dispatch(&mut world, &mut boss, "d", true);
    world.close(&boss, false);
    let told: Vec<_> = replies(&mut world)
        .into_iter()
        .map(|reply| reply.id)
        .collect();
    let told: Vec<_> = told.iter().flatten().map(|id| id.as_str()).collect();
    assert_eq!(told, ["b", "c"]);
    assert_eq!(world.desk.stats().dropped.old_reply.value(), 2);
}

#[test]
fn refusals_that_give_way_leave_a_count_also_over_a_crash() {
    let mut world = World::new();
    let (mut boss, _) = world.connect("boss", true, 0);
    for n in 0..5 {
        dispatch(&mut world, &mut boss, &format!("t{n}"), false);
    }
    world.close(&boss, false);
    world.crash();
    let (mut boss, _) = world.connect("boss", true, 0);
    for n in 5..9 {
        dispatch(&mut world, &mut boss, &format!("t{n}"), false);
    }
    world.close(&boss, false);
    let told = replies(&mut world);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].command, "reply");
    let expected = DroppedRefusals {
        dropped: 8,
        first_id: Some("t0".to_owned()),
        last_id: Some("t7".to_owned()),
    };
    assert_eq!(dropped(&told[0]), expected);
    assert_eq!(told[1].id.as_ref().map(|id| id.as_str()), Some("t8"));
    assert_eq!(world.rows(Space::Outbox), 0);
}

#[test]
fn summaries_that_are_being_read_are_not_changed_any_more() {
    let mut world = World::new();
    let (mut boss, _) = world.connect("boss", true, 0);
    for n in 0..4 {
        dispatch(&mut world, &mut boss, &format!("t{n}"), false);
    }
    world.subscribe(&mut boss, "rooms/r/reply/boss", Qos::AtLeastOnce);
    let first = boss.deliveries();
    assert_eq!(first.len(), 2, "the summary and the last refusal");
    for n in 4..9 {
        dispatch(&mut world, &mut boss, &format!("t{n}"), false);
    }
    for delivery in first {
        world.acknowledge(&boss, delivery.seq, Stage::Done);
    }
    world.commit();
    world.close(&boss, false);
    let told = replies(&mut world);
    let last = told.last().and_then(|reply| reply.id.clone());
    assert_eq!(last.as_ref().map(|id| id.as_str()), Some("t8"));
}

#[test]
fn refusals_in_many_rooms_do_not_pile_up() {
    let mut world = World::new();
    let (mut boss, _) = world.connect("boss", true, 0);
    for n in 0..30 {
        let topic = format!("rooms/r{n}/handoff/cancel/boss");
        let cancel = to_room("boss", &topic, r#"{"task":"nope"}"#);
        world.publish(&mut boss, cancel);
        world.commit();
    }
    assert!(
        world.rows(Space::Outbox) <= 3,
        "{}",
        world.rows(Space::Outbox)
    );
    world.close(&boss, false);
    world.crash();
    assert!(world.rows(Space::Outbox) <= 3);
}

#[test]
fn refusals_that_were_sent_before_give_way_as_well() {
    let mut world = World::new();
    for round in 0..10 {
        let (mut boss, _) = world.connect("boss", false, u32::MAX);
        if round == 0 {
            world.subscribe(&mut boss, "rooms/r/reply/boss", Qos::AtLeastOnce);
        }
        for n in 0..5 {
            dispatch(&mut world, &mut boss, &format!("t{round}-{n}"), false);
        }
        // It has got some, and acknowledges none.
        boss.deliveries();
        world.close(&boss, false);
    }
    let left = world.rows(Space::Outbox);
    assert!(left <= 2 + 5, "{left} wait");
}

#[test]
fn a_lower_limit_takes_one_reply_for_each_that_comes() {
    let mut world = World::new();
    set_max_replies(&mut world, 10);
    let (mut boss, _) = world.connect("boss", true, 0);
    for n in 0..10 {
        dispatch(&mut world, &mut boss, &format!("t{n}"), false);
    }
    set_max_replies(&mut world, 2);
    for n in 10..12 {
        dispatch(&mut world, &mut boss, &format!("t{n}"), false);
    }
    world.close(&boss, false);
    let told = replies(&mut world);
    assert_eq!(
        told.len(),
        10,
        "what was there stays, but for what made room"
    );
    assert_eq!(dropped(&told[0]).dropped, 3);
}

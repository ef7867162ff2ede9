//! Locks: one holder, tokens that are never used twice, waiters in order, and fences that hold.

use crate::wire::blackboard::LockState;

use super::*;

fn lock(world: &mut World, who: &str, body: Value) -> Verdict {
    world.send(who, "blackboard/lock/l", body)
}

fn unlock(world: &mut World, who: &str, body: Value) -> Verdict {
    world.send(who, "blackboard/unlock/l", body)
}

/// Takes the lock, which must be had at once.
fn take(world: &mut World, who: &str, body: Value) -> u64 {
    let before = world.replies(who).len();
    lock(world, who, body).unwrap();
    let replies = world.replies(who);
    assert_eq!(replies.len(), before + 1, "an answer at once");
    let state = replies[before].lock.clone().unwrap();
    assert_eq!(state.holder, agent(who));
    state.token
}

fn held(world: &mut World) -> Option<LockState> {
    let found = snapshot(world, &json!({ "locks": true }));
    assert!(found.locks.len() <= 1);
    found.locks.into_iter().next()
}

fn holder(world: &mut World) -> Option<String> {
    held(world).map(|state| state.holder.to_string())
}

#[test]
fn a_lock_has_one_holder_and_each_holder_a_larger_token() {
    let mut world = World::new();
    let first = take(&mut world, "a", json!({}));
    assert_eq!(lock(&mut world, "b", json!({})), Err(Code::Conflict));
    let refused = world.last_reply("b").lock.unwrap();
    assert_eq!((refused.holder, refused.token), (agent("a"), first));
    assert_eq!(refused.expires_at, START + 30_000);
    world.send_raw("a", "blackboard/unlock/l", "").unwrap();
    assert_eq!(holder(&mut world), None);
    let second = take(&mut world, "b", json!({ "ttlMs": 5 }));
    assert!(second > first);
    world.check();
    world.crash();
    assert_eq!(held(&mut world).unwrap().token, second);
    world.pass(5);
    assert_eq!(holder(&mut world), None, "its lease is over");
    let third = take(&mut world, "a", json!({}));
    assert!(third > second);
    assert_eq!(
        world.story("l"),
        [
            "blackboard.locked",
            "blackboard.unlocked",
            "blackboard.locked",
            "blackboard.unlocked",
            "blackboard.locked",
        ]
    );
    world.check();
}

#[test]
fn tokens_go_on_when_a_room_was_vacated() {
    let mut world = World::new();
    let first = take(&mut world, "a", json!({}));
    unlock(&mut world, "a", json!({ "token": first })).unwrap();
    world.end_batch();
    assert_eq!(world.engine.stats().rooms, 0);
    world.crash();
    assert!(take(&mut world, "a", json!({})) > first);
    world.check();
}

#[test]
fn the_holder_renews_its_lease_and_keeps_its_token() {
    let mut world = World::new();
    let token = take(&mut world, "a", json!({ "ttlMs": 100 }));
    world.pass(99);
    assert_eq!(
        take(&mut world, "a", json!({ "ttlMs": 100, "token": token })),
        token
    );
    world.pass(99);
    assert_eq!(take(&mut world, "a", json!({ "ttlMs": 50 })), token);
    world.crash();
    world.pass(49);
    assert_eq!(holder(&mut world).as_deref(), Some("a"));
    world.pass(1);
    assert_eq!(holder(&mut world), None);
    let late = json!({ "token": token });
    assert_eq!(
        lock(&mut world, "a", late.clone()),
        Err(Code::Conflict),
        "too late to renew"
    );
    assert_eq!(holder(&mut world), None, "and not taken anew");
    take(&mut world, "b", json!({}));
    assert_eq!(lock(&mut world, "a", late), Err(Code::Conflict));
    assert_eq!(world.last_reply("a").lock.unwrap().holder, agent("b"));
    let waits = json!({ "token": token, "wait": true });
    assert_eq!(
        lock(&mut world, "a", waits),
        Err(Code::Conflict),
        "renewing never waits"
    );
}

#[test]
fn only_its_holder_gives_a_lock_back_and_only_under_its_token() {
    let mut world = World::new();
    assert_eq!(unlock(&mut world, "a", json!({})), Err(Code::NotFound));
    let token = take(&mut world, "a", json!({}));
    assert_eq!(
        unlock(&mut world, "b", json!({ "token": token })),
        Err(Code::Conflict)
    );
    assert_eq!(unlock(&mut world, "b", json!({})), Err(Code::Conflict));
    assert_eq!(
        unlock(&mut world, "a", json!({ "token": token + 1 })),
        Err(Code::Conflict)
    );
    assert_eq!(world.last_reply("a").path.as_deref(), Some("token"));
    let release = json!({ "token": token, "id": "u" });
    unlock(&mut world, "a", release.clone()).unwrap();
    world.crash();
    take(&mut world, "b", json!({}));
    unlock(&mut world, "a", release).unwrap();
    assert_eq!(
        holder(&mut world).as_deref(),
        Some("b"),
        "a repeat frees nothing"
    );
}

#[test]
fn those_who_wait_get_the_lock_in_their_order_and_one_answer_each() {
    let mut world = World::new();
    take(&mut world, "a", json!({}));
    for who in ["b", "c", "d"] {
        lock(
            &mut world,
            who,
            json!({ "wait": true, "ttlMs": 100, "correlationId": who }),
        )
        .unwrap();
        assert_eq!(
            world.replies(who).len(),
            0,
            "not before there is an outcome"
        );
    }
    assert_eq!(held(&mut world).unwrap().waiting, 3);
    world.crash();
    unlock(&mut world, "a", json!({})).unwrap();
    let reply = world.last_reply("b");
    assert_eq!(
        (reply.code, reply.correlation_id.as_deref()),
        (Code::Done, Some("b"))
    );
    assert_eq!(
        reply.lock.unwrap().expires_at,
        START + 100,
        "its lease begins when it has the lock"
    );
    world.pass(100);
    assert_eq!(
        holder(&mut world).as_deref(),
        Some("c"),
        "b's lease is over"
    );
    unlock(&mut world, "d", json!({})).unwrap();
    assert_eq!(
        world.last_reply("d").code,
        Code::Expired,
        "it no longer wants it"
    );
    unlock(&mut world, "c", json!({})).unwrap();
    assert_eq!(holder(&mut world), None);
    let tokens: Vec<u64> = ["b", "c"]
        .map(|who| world.replies(who)[0].lock.as_ref().unwrap().token)
        .into();
    assert!(tokens[0] < tokens[1]);
    assert_eq!(
        world.replies("b").len() + world.replies("c").len() + world.replies("d").len(),
        3
    );
    world.check();
}

#[test]
fn who_has_waited_long_enough_is_told_so() {
    let mut world = World::new();
    take(&mut world, "a", json!({ "ttlMs": 1_000 }));
    lock(&mut world, "b", json!({ "waitMs": 999, "id": "b1" })).unwrap();
    lock(&mut world, "c", json!({ "waitMs": 1_000 })).unwrap();
    world.pass(999);
    let reply = world.last_reply("b");
    assert_eq!(
        (reply.status, reply.code),
        (ReplyStatus::Rejected, Code::Expired)
    );
    assert_eq!(reply.id.unwrap().as_str(), "b1");
    assert_eq!(reply.lock.unwrap().holder, agent("a"));
    world.pass(1);
    assert_eq!(
        holder(&mut world).as_deref(),
        Some("c"),
        "in the very same moment it is free"
    );
    assert_eq!(
        world.next_timer().map(|(_, timer)| timer),
        Some(Timer::LockLease)
    );
    world.check();
}

#[test]
fn a_repeated_lock_command_is_one() {
    let mut world = World::new();
    let ask = json!({ "wait": true, "id": "x" });
    take(&mut world, "a", json!({ "id": "x" }));
    for _ in 0..2 {
        lock(&mut world, "b", ask.clone()).unwrap();
        world.crash();
    }
    assert_eq!(held(&mut world).unwrap().waiting, 1);
    let other = json!({ "wait": true, "id": "y" });
    assert_eq!(lock(&mut world, "b", other), Err(Code::Conflict));
    unlock(&mut world, "a", json!({})).unwrap();
    let token = world.last_reply("b").lock.unwrap().token;
    unlock(&mut world, "b", json!({})).unwrap();
    world.crash();
    lock(&mut world, "b", ask).unwrap();
    assert_eq!(
        world.last_reply("b").lock.unwrap().token,
        token,
        "the first outcome"
    );
    assert_eq!(holder(&mut world), None);
    lock(&mut world, "a", json!({ "id": "x" })).unwrap();
    assert_eq!(holder(&mut world), None);
    world.check();
}

#[test]
fn a_writer_that_no_longer_holds_the_lock_is_refused() {
    let mut world = World::new();
    let first = take(&mut world, "a", json!({ "ttlMs": 100 }));
    let fenced = |token: u64, value: u64| json!({ "value": value, "fence": { "lock": "l", "token": token } });
    set(&mut world, "k", fenced(first, 1)).unwrap();
    world
        .send("b", "blackboard/set/k", fenced(first, 2))
        .unwrap();
    assert_eq!(
        set(&mut world, "k", fenced(first + 1, 3)),
        Err(Code::Conflict),
        "not yet"
    );
    world.pass(100);
    assert_eq!(
        set(&mut world, "k", fenced(first, 3)),
        Err(Code::Conflict),
        "nobody holds it"
    );
    let second = take(&mut world, "b", json!({}));
    assert_eq!(set(&mut world, "k", fenced(first, 3)), Err(Code::Conflict));
    let reply = world.last_reply("a");
    assert_eq!(reply.path.as_deref(), Some("fence"));
    assert_eq!(reply.lock.unwrap().token, second);
    let fence = json!({ "lock": "l", "token": first });
    assert_eq!(
        delete(&mut world, "k", json!({ "fence": fence })),
        Err(Code::Conflict)
    );
    let txn = json!({ "ops": [{ "op": "delete", "key": "k" }], "fence": fence });
    assert_eq!(world.send("a", "blackboard/txn", txn), Err(Code::Conflict));
    assert_eq!(version(&world, "k"), Some(2));
    let fence = json!({ "lock": "l", "token": second });
    let txn = json!({ "ops": [{ "op": "delete", "key": "k" }], "fence": fence });
    world.send("b", "blackboard/txn", txn).unwrap();
    assert_eq!(version(&world, "k"), None);
}

#[test]
fn who_is_gone_past_the_grace_holds_nothing_and_waits_for_nothing() {
    for durable in [true, false] {
        let mut world = World::new();
        for who in ["a", "b", "c"] {
            world.connect_as(who, false, durable);
            world
                .subscribe(who, &format!("rooms/r/reply/{who}"))
                .unwrap();
        }
        take(&mut world, "a", json!({ "ttlMs": 600_000 }));
        for who in ["b", "c"] {
            lock(
                &mut world,
                who,
                json!({ "waitMs": 600_000, "ttlMs": 600_000 }),
            )
            .unwrap();
        }
        world.disconnect("a");
        world.disconnect("b");
        world.pass(29_999);
        assert_eq!(holder(&mut world).as_deref(), Some("a"), "it may come back");
        world.connect_as("b", true, durable);
        world.pass(1);
        assert_eq!(holder(&mut world).as_deref(), Some("b"));
        world.disconnect("c");
        world.pass(30_000);
        assert_eq!(held(&mut world).unwrap().waiting, 0);
        assert_eq!(world.last_reply("c").code, Code::Expired);
        world.send_raw("b", "presence/announce", "").unwrap();
        assert_eq!(holder(&mut world), None, "it said goodbye");
        world.check();
    }
}

#[test]
fn a_lease_that_ended_while_the_gateway_was_down_is_over() {
    let mut world = World::new();
    take(&mut world, "a", json!({ "ttlMs": 1_000 }));
    lock(&mut world, "b", json!({ "waitMs": 2_000, "ttlMs": 9_000 })).unwrap();
    lock(&mut world, "c", json!({ "waitMs": 1_500 })).unwrap();
    world.now += 1_700;
    world.crash();
    assert_eq!(holder(&mut world).as_deref(), Some("b"));
    assert_eq!(world.last_reply("c").code, Code::Expired);
    assert_eq!(held(&mut world).unwrap().expires_at, START + 1_700 + 9_000);
}

#[test]
fn locks_are_bounded() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.blackboard.max_locks_per_room = 1;
        settings.blackboard.max_lock_waiters = 1;
    }));
    take(&mut world, "a", json!({}));
    assert_eq!(
        world.send("a", "blackboard/lock/other", json!({})),
        Err(Code::TooMany)
    );
    lock(&mut world, "b", json!({ "wait": true })).unwrap();
    assert_eq!(
        lock(&mut world, "c", json!({ "wait": true })),
        Err(Code::TooMany)
    );
    for (body, path) in [
        (json!({ "ttlMs": 0 }), "ttlMs"),
        (json!({ "ttlMs": u64::MAX }), "ttlMs"),
        (json!({ "waitMs": 0 }), "waitMs"),
        (json!({ "waitMs": u64::MAX }), "waitMs"),
    ] {
        assert_eq!(lock(&mut world, "c", body), Err(Code::Invalid));
        assert_eq!(world.last_reply("c").path.as_deref(), Some(path));
    }
    assert_eq!(world.engine.stats().locks, 1);
}

#[test]
fn a_lock_that_was_only_waited_for_and_expires_leaves_nothing_behind() {
    let mut world = World::new();
    take(&mut world, "a", json!({}));
    lock(&mut world, "b", json!({ "wait": true })).unwrap();
    world.pass(60_000);
    assert_eq!(holder(&mut world), None);
    assert_eq!(world.engine.stats().locks, 0);
    assert!(!world.disk.keys().any(|key| key[2] == 9));
    world.pass(24 * 60 * 60_000);
    assert_eq!(world.next_timer(), None);
}

#[test]
fn a_holder_that_takes_no_part_in_the_room_holds_until_its_lease_is_over() {
    for joins in [false, true] {
        let mut world = World::new();
        world.connect("a");
        if joins {
            world.subscribe("a", "rooms/r/reply/a").unwrap();
        }
        take(&mut world, "a", json!({ "ttlMs": 600_000 }));
        assert_eq!(world.presence("a").is_some(), joins);
        world.disconnect("a");
        world.pass(30_000);
        let expected = (!joins).then(|| "a".to_owned());
        assert_eq!(holder(&mut world), expected, "joined: {joins}");
        world.end_session("a");
        assert_eq!(holder(&mut world), expected, "joined: {joins}");
        world.pass(570_000);
        assert_eq!(holder(&mut world), None);
        world.check();
    }
}

//! Other settings while it runs: what is there stays, what comes is judged anew, and a room that is
//! not configured stands still.

use super::*;

/// Only these rooms exist, each for everybody.
fn only(settings: &mut Settings, rooms: &[&str]) {
    settings.rooms.create = Create::Configured;
    let own = |name: &&str| (Room::new(name).unwrap(), RoomConfig::default());
    settings.rooms.room = rooms.iter().map(own).collect();
}

fn members(settings: &mut Settings, members: &[&str]) {
    let own = RoomConfig {
        members: members.iter().map(|name| (*name).to_owned()).collect(),
        ..RoomConfig::default()
    };
    settings.rooms.room = [(Room::new("r").unwrap(), own)].into();
}

fn set(world: &mut World, key: &str, value: Value) -> Verdict {
    world.send(
        "a",
        &format!("blackboard/set/{key}"),
        json!({ "value": value }),
    )
}

#[test]
fn a_lower_limit_keeps_what_is_there_and_refuses_what_comes() {
    let mut world = World::new();
    for key in ["k1", "k2", "k3"] {
        set(&mut world, key, json!(1)).unwrap();
    }
    for n in 0..3 {
        world.dispatch("a", &format!("t{n}"), "draft");
        let ask = json!({ "id": format!("p{n}"), "action": "x", "content": 1 });
        world.send("a", "approve/request", ask).unwrap();
        let lock = json!({ "ttlMs": 60_000 });
        world
            .send("a", &format!("blackboard/lock/l{n}"), lock)
            .unwrap();
    }
    world.reconfigure(|settings| {
        settings.blackboard.max_keys_per_room = 1;
        settings.handoff.max_tasks_per_room = 1;
        settings.approve.max_pending_per_room = 1;
        settings.blackboard.max_locks_per_room = 1;
        settings.handoff.max_payload = Size(16);
        settings.rooms.max_agents_per_room = 1;
        settings.rooms.max_rooms = 1;
        settings.handoff.max_routes_per_room = 1;
    });
    assert_eq!(set(&mut world, "k4", json!(1)), Err(Code::TooMany));
    set(&mut world, "k1", json!(2)).unwrap();
    let task = json!({ "type": "draft" });
    let refused = [
        ("handoff/dispatch", task, Code::TooMany),
        (
            "approve/request",
            json!({ "action": "x", "content": 1 }),
            Code::TooMany,
        ),
        ("blackboard/lock/l9", json!({}), Code::TooMany),
        (
            "inbox/b",
            json!({ "text": "longer than sixteen bytes" }),
            Code::TooLarge,
        ),
    ];
    for (verb, payload, code) in refused {
        assert_eq!(world.send("a", verb, payload), Err(code), "{verb}");
    }
    world.connect("w");
    assert_eq!(world.subscribe("w", "rooms/r/handoff/work/draft"), Ok(()));
    assert_eq!(
        world.subscribe("x", "rooms/r/handoff/work/draft"),
        Err(Code::TooMany)
    );
    world.check();
    world.crash();
    let stats = world.engine.stats();
    assert_eq!(
        (stats.keys, stats.locks, stats.pending_approvals),
        (3, 3, 3)
    );
    assert_eq!(
        stats.tasks.of(TaskState::Queued) + stats.tasks.of(TaskState::Assigned),
        3
    );
    world.reconfigure(|settings| settings.blackboard.max_keys_per_room = 4);
    set(&mut world, "k4", json!(1)).unwrap();
}

#[test]
fn other_defaults_are_for_what_comes() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.dispatch("a", "before", "draft");
    world.success("w", "before", 1);
    world.dispatch("a", "under-way", "draft");
    world.reconfigure(|settings| {
        settings.handoff.lease = ms(1_000);
        let of_type = crate::engine::TaskTypeDefaults {
            max_attempts: Some(1),
            ..Default::default()
        };
        settings.handoff.types = [("draft".parse().unwrap(), of_type)].into();
    });
    world.pass(30_000);
    assert_eq!(
        world.state("under-way"),
        TaskState::Assigned,
        "as it was promised"
    );
    world.success("w", "under-way", 1);
    world.dispatch("a", "after", "draft");
    world.pass(1_001);
    assert_eq!(world.state("after"), TaskState::Dead);
    world.check();
}

#[test]
fn what_has_ended_is_remembered_as_the_new_settings_say() {
    let mut world = World::new();
    world.worker("w", "draft");
    for id in ["one", "two"] {
        world.dispatch("a", id, "draft");
        let done = json!({ "task": id, "attempt": 1, "status": "success", "result": "x" });
        world.send("w", "handoff/update", done).unwrap();
    }
    world.reconfigure(|settings| settings.handoff.result_retention = ms(3 * 24 * 60 * 60_000));
    world.pass(2 * 24 * 60 * 60_000);
    assert_eq!(world.state("one"), TaskState::Succeeded);
    world.reconfigure(|settings| settings.handoff.result_retention = ms(1_000));
    world.pass(0);
    let forgotten = world.send("v", "handoff/get", json!({ "task": "one" }));
    assert_eq!(forgotten, Err(Code::NotFound));
    world.check();
}

#[test]
fn a_provider_takes_more_calls_as_soon_as_it_may() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.tools.max_calls_per_provider = 1
    }));
    world.connect("p");
    world.subscribe("p", "rooms/r/tools/run/add").unwrap();
    let tool = json!({ "description": "adds", "inputSchema": { "type": "object" } });
    world.send("p", "tools/register/add", tool).unwrap();
    let call = |world: &mut World| world.send("a", "tools/call/add", json!({ "arguments": {} }));
    call(&mut world).unwrap();
    assert_eq!(call(&mut world), Err(Code::TooMany));
    world.reconfigure(|settings| settings.tools.max_calls_per_provider = 3);
    call(&mut world).unwrap();
    world.reconfigure(|settings| settings.tools.max_calls_per_provider = 1);
    assert_eq!(call(&mut world), Err(Code::TooMany));
    world.check();
}

#[test]
fn who_is_no_member_any_more_gets_no_new_work_until_it_is_one_again() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.worker("v", "draft");
    world.dispatch("a", "t1", "draft");
    let (first, other) = match world.assignments("w").is_empty() {
        false => ("w", "v"),
        true => ("v", "w"),
    };
    world.reconfigure(|settings| members(settings, &["a", first]));
    assert_eq!(
        world.update(other, "t1", 1, "success"),
        Err(Code::Forbidden)
    );
    world.dispatch("a", "t2", "draft");
    assert!(world.assignments(other).is_empty());
    world.reconfigure(|settings| settings.rooms.room.clear());
    assert_eq!(world.assignments(other), [("t2".to_owned(), 1)]);
    world.check();
}

/// Neither a lease nor a time-out runs out, nothing is forgotten, and all of it goes on when the
/// room may.
#[test]
fn a_room_that_is_not_configured_stands_still() {
    for is_restarted in [false, true] {
        let mut world = World::with(Settings::tuned(|settings| {
            settings.handoff.max_attempts = 1
        }));
        world.connect_as("w", false, true);
        world.offers("w", "draft");
        for id in ["t1", "t2"] {
            world.dispatch("a", id, "draft");
        }
        let value = json!({ "value": 1, "ttlMs": 10_000 });
        world.send("a", "blackboard/set/k", value).unwrap();
        let ask = json!({ "id": "p", "action": "x", "content": 1, "timeoutMs": 10_000 });
        world.send("a", "approve/request", ask).unwrap();
        assert_eq!(world.assignments("w").len(), 1);
        world.reconfigure(|settings| only(settings, &["elsewhere"]));
        assert_eq!(
            world
                .engine
                .barred_rooms()
                .map(Room::as_str)
                .collect::<Vec<_>>(),
            ["r"]
        );
        if is_restarted {
            world.crash();
            world.connect_as("w", true, true);
        }
        assert_eq!(set(&mut world, "k", json!(2)), Err(Code::NotFound));
        assert_eq!(world.subscribe("v", "rooms/r/reply/v"), Err(Code::NotFound));
        assert_eq!(world.update("w", "t1", 1, "success"), Err(Code::NotFound));
        let before = world.events.len();
        world.pass(20 * 24 * 60 * 60_000);
        let news = &world.events[before..];
        assert!(news.is_empty(), "{news:?}");
        assert!(world.decisions("a").is_empty() && world.results("a").is_empty());
        assert!(world.retained("blackboard/state/k").is_some());
        world.reconfigure(|settings| only(settings, &["r"]));
        world.pass(0);
        assert!(
            world.retained("blackboard/state/k").is_none(),
            "its time is over"
        );
        assert_eq!(world.decisions("a").len(), 1);
        assert_eq!(
            world.state("t1"),
            TaskState::Assigned,
            "its lease begins anew"
        );
        world.success("w", "t1", 1);
        assert_eq!(world.assignments("w").last(), Some(&("t2".to_owned(), 1)));
        world.pass(60_001);
        assert_eq!(world.state("t2"), TaskState::Dead, "and runs as ever");
        world.check();
    }
}

#[test]
fn a_barred_room_that_everybody_leaves_is_no_room_any_more_and_can_be_one_again() {
    for is_restarted in [false, true] {
        let mut world = World::new();
        world.worker("w", "draft");
        world.reconfigure(|settings| only(settings, &[]));
        world.end_session("w");
        assert_eq!(world.engine.barred_rooms().count(), 0);
        if is_restarted {
            world.crash();
        }
        world.reconfigure(|settings| only(settings, &["r"]));
        world
            .send("a", "blackboard/set/k", json!({ "value": 1, "ttlMs": 10 }))
            .unwrap();
        world.pass(10);
        assert!(world.retained("blackboard/state/k").is_none());
        world.check();
        world.crash();
        world.check();
    }
}

#[test]
fn a_room_goes_by_its_own_section_from_when_it_has_one() {
    let mut world = World::new();
    set(&mut world, "k1", json!(1)).unwrap();
    world.reconfigure(|settings| {
        only(settings, &["r"]);
        settings.rooms.create = Create::OnUse;
        for own in settings.rooms.room.values_mut() {
            own.max_keys = Some(1);
        }
    });
    assert_eq!(set(&mut world, "k2", json!(1)), Err(Code::TooMany));
    world.reconfigure(|settings| settings.rooms.room.clear());
    set(&mut world, "k2", json!(1)).unwrap();
}

/// No input takes long because of it: the rest goes with the next ones.
#[test]
fn what_is_too_much_by_a_lower_limit_is_forgotten_in_portions() {
    let mut world = World::new();
    for n in 0..12_000 {
        set(&mut world, "k", json!(n)).unwrap();
        let other = format!("k{}", n % 800);
        set(&mut world, &other, json!(n)).unwrap();
    }
    let versions = world.disk.len();
    world.reconfigure(|settings| settings.blackboard.max_history_bytes_per_room = Size(0));
    assert_eq!(
        world.disk.len(),
        versions,
        "nothing is forgotten for the setting alone"
    );
    set(&mut world, "k", json!(0)).unwrap();
    let left = world.disk.len();
    assert!(
        versions - left >= 9_990 && versions - left <= 10_001,
        "{versions} {left}"
    );
    set(&mut world, "k", json!(0)).unwrap();
    assert!(left - world.disk.len() > 1_000);
    world.check();
}

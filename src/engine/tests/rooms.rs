//! Rooms that come and go: an empty one makes way for another, and what it promised holds when
//! somebody comes back.

use super::*;

const DAY: u64 = 24 * 60 * 60_000;

/// At most so many rooms, and so many vacated ones whose counters are remembered one by one.
fn world_of(max_rooms: usize, max_vacated_rooms: usize) -> World {
    World::with(Settings::tuned(|settings| {
        settings.rooms.max_rooms = max_rooms;
        settings.rooms.max_vacated_rooms = max_vacated_rooms;
    }))
}

fn command_in(world: &mut World, room: &str, verb: &str, payload: &str) -> Verdict {
    let mut parts: Vec<&str> = verb.splitn(3, '/').collect();
    parts.insert(2.min(parts.len()), "a");
    let topic = topic(&format!("rooms/{room}/{}", parts.join("/")));
    let payload = payload.to_owned();
    world.input(Input::Command(World::command("a", topic, payload)))
}

/// Comes into a room and leaves it again.
fn visit(world: &mut World, room: &str) {
    assert_eq!(
        command_in(world, room, "presence/announce", "{}"),
        Ok(()),
        "{room}"
    );
    assert_eq!(command_in(world, room, "presence/announce", ""), Ok(()));
}

fn set(world: &mut World, room: &str, key: &str) -> Verdict {
    let verb = format!("blackboard/set/{key}");
    command_in(world, room, &verb, r#"{"value":1,"correlationId":"c"}"#)
}

fn delete(world: &mut World, room: &str, key: &str) {
    let verb = format!("blackboard/delete/{key}");
    assert_eq!(command_in(world, room, &verb, ""), Ok(()));
}

fn rooms(world: &World) -> (usize, usize) {
    let stats = world.engine.stats();
    (stats.rooms, stats.vacated_rooms)
}

/// The numbers of a room's events.
fn seqs(world: &World, room: &str) -> Vec<u64> {
    let events = world.events.iter();
    let theirs = events.filter(|event| event.room.as_str() == room);
    theirs.map(|event| event.seq).collect()
}

#[test]
fn a_room_that_everybody_has_left_makes_way_for_another() {
    let mut world = world_of(1, 10);
    for room in ["r", "s", "t"] {
        visit(&mut world, room);
    }
    assert_eq!(rooms(&world), (0, 3));
    world.check();
}

#[test]
fn events_of_a_room_that_is_opened_again_are_numbered_on() {
    let mut world = world_of(1, 10);
    visit(&mut world, "r");
    world.crash();
    assert_eq!(rooms(&world), (0, 1));
    visit(&mut world, "r");
    assert_eq!(seqs(&world, "r"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(rooms(&world), (0, 1));
    world.check();
}

#[test]
fn versions_are_not_used_twice_in_a_room_that_was_vacated() {
    let mut world = world_of(1, 10);
    for key in ["k", "k", "l"] {
        set(&mut world, "r", key).unwrap();
    }
    delete(&mut world, "r", "k");
    delete(&mut world, "r", "l");
    world.pass(DAY - 1);
    assert_eq!(
        rooms(&world),
        (1, 0),
        "deleted keys are still known by name"
    );
    world.pass(1);
    assert_eq!(rooms(&world), (0, 1));
    assert_eq!(world.disk.len(), 1, "its counters are all that is left");
    world.crash();
    set(&mut world, "r", "l").unwrap();
    let reply = world.last_reply("a");
    assert_eq!((reply.version, reply.revision), (Some(3), Some(6)));
    assert_eq!(rooms(&world), (1, 0));
    world.check();
}

#[test]
fn a_deserted_room_is_vacated_also_if_the_gateway_was_down_when_it_was_due() {
    let mut world = world_of(1, 10);
    set(&mut world, "r", "k").unwrap();
    delete(&mut world, "r", "k");
    world.now += 2 * DAY;
    world.crash();
    world.pass(0);
    assert_eq!(rooms(&world), (0, 1));
    world.check();
}

#[test]
fn many_deleted_keys_are_forgotten_a_few_at_a_time() {
    let mut world = world_of(1, 10);
    for key in 0..250 {
        set(&mut world, "r", &format!("k{key}")).unwrap();
        delete(&mut world, "r", &format!("k{key}"));
    }
    world.pass(DAY);
    assert_eq!(rooms(&world), (0, 1));
    assert_eq!(world.disk.len(), 1);
    world.check();
}

#[test]
fn what_is_remembered_keeps_its_room() {
    let mut world = world_of(1, 10);
    let with_id = r#"{"value":1,"id":"once"}"#;
    command_in(&mut world, "r", "blackboard/set/k", with_id).unwrap();
    delete(&mut world, "r", "k");
    let task = r#"{"id":"t","type":"draft"}"#;
    command_in(&mut world, "r", "handoff/dispatch", task).unwrap();
    command_in(&mut world, "r", "handoff/cancel", r#"{"task":"t"}"#).unwrap();
    world.pass(DAY - 1);
    world.crash();
    command_in(&mut world, "r", "blackboard/set/k", with_id).unwrap();
    assert_eq!(world.last_reply("a").version, Some(1), "the first outcome");
    assert_eq!(world.state("t"), TaskState::Cancelled);
    let other = command_in(&mut world, "s", "presence/announce", "{}");
    assert_eq!(other, Err(Code::TooMany));
    world.pass(2 * DAY);
    assert_eq!(rooms(&world), (0, 1));
    visit(&mut world, "s");
    world.check();
}

#[test]
fn a_connected_agent_or_a_live_key_keeps_its_room() {
    let mut world = world_of(2, 10);
    world.connect("w");
    world.subscribe("w", "rooms/r/#").unwrap();
    set(&mut world, "s", "k").unwrap();
    world.pass(10 * DAY);
    assert_eq!(rooms(&world), (2, 0));
    world.disconnect("w");
    world.pass(30_000);
    assert_eq!(rooms(&world), (1, 1));
    world.check();
}

#[test]
fn refusals_do_not_open_a_vacated_room() {
    let mut world = world_of(1, 10);
    visit(&mut world, "r");
    assert_eq!(
        command_in(&mut world, "r", "handoff/get", r#"{"task":"t"}"#),
        Err(Code::NotFound)
    );
    assert_eq!(rooms(&world), (0, 1));
    visit(&mut world, "r");
    assert_eq!(seqs(&world, "r"), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn beyond_their_limit_vacated_rooms_leave_a_ground_above_which_others_start() {
    let mut world = world_of(10, 1);
    for _ in 0..3 {
        set(&mut world, "r", "k").unwrap();
    }
    delete(&mut world, "r", "k");
    world.pass(DAY);
    visit(&mut world, "s");
    assert_eq!(rooms(&world), (0, 1), "r is remembered by the ground alone");
    assert_eq!(world.disk.len(), 2, "the ground, and s");
    for room in ["r", "new"] {
        world.crash();
        set(&mut world, room, "k").unwrap();
        let reply = world.last_reply("a");
        assert_eq!(
            (reply.version, reply.revision),
            (Some(4), Some(5)),
            "{room}"
        );
    }
    assert_eq!(seqs(&world, "r"), [1, 2, 3, 4, 5]);
    visit(&mut world, "s");
    assert_eq!(seqs(&world, "s"), [1, 2, 3, 4, 5, 6], "s is still known");
    world.check();
}

#[test]
fn a_lower_limit_holds_for_rooms_that_were_vacated_under_a_higher_one() {
    let mut world = world_of(1, 10);
    for room in ["r", "s", "t"] {
        visit(&mut world, room);
        world.pass(1);
    }
    world.settings.rooms.max_vacated_rooms = 1;
    world.crash();
    assert_eq!(rooms(&world), (0, 1));
    assert_eq!(world.disk.len(), 2, "the ground, and t");
    visit(&mut world, "r");
    assert_eq!(seqs(&world, "r"), [1, 2, 3, 4, 5, 6]);
    world.check();
}

#[test]
fn a_room_that_is_left_and_entered_in_one_batch_stays() {
    let mut world = world_of(1, 10);
    let announce = |payload: &'static str| {
        let topic = topic("rooms/r/presence/announce/a");
        Input::Command(World::command("a", topic, payload))
    };
    for payload in ["{}", "", "{}"] {
        world.input_in_batch(announce(payload)).unwrap();
    }
    world.end_batch();
    assert_eq!(rooms(&world), (1, 0));
    world.check();
}

fn configured(room: &str, own: RoomConfig) -> Settings {
    let room = Room::new(room).unwrap();
    Settings::tuned(|settings| settings.rooms.room = BTreeMap::from([(room, own)]))
}

#[test]
fn where_rooms_are_configured_others_do_not_come_into_being() {
    let mut settings = configured("r", RoomConfig::default());
    settings.rooms.create = Create::Configured;
    let mut world = World::with(settings);
    assert_eq!(set(&mut world, "s", "k"), Err(Code::NotFound));
    world.connect("a");
    assert_eq!(world.subscribe("a", "rooms/s/#"), Err(Code::NotFound));
    assert_eq!(set(&mut world, "r", "k"), Ok(()));
    assert_eq!(rooms(&world), (1, 0));
}

#[test]
fn a_room_may_have_limits_and_defaults_of_its_own() {
    let own = RoomConfig {
        max_keys: Some(1),
        lease: Some(ms(5_000)),
        ..RoomConfig::default()
    };
    let mut world = World::with(configured("r", own));
    assert_eq!(set(&mut world, "r", "one"), Ok(()));
    assert_eq!(set(&mut world, "r", "two"), Err(Code::TooMany));
    for key in ["one", "two"] {
        assert_eq!(
            set(&mut world, "s", key),
            Ok(()),
            "elsewhere it is as everywhere"
        );
    }
    world.worker("w", "draft");
    world.dispatch("boss", "t", "draft");
    world.pass(4_999);
    assert_eq!(world.state("t"), TaskState::Assigned);
    world.pass(1);
    assert_ne!(world.state("t"), TaskState::Assigned, "its lease is over");
}

#[test]
fn who_is_no_member_does_not_take_part() {
    let own = RoomConfig {
        members: vec!["ann".to_owned(), "writer-*".to_owned()],
        ..RoomConfig::default()
    };
    let mut world = World::with(configured("r", own));
    for (name, admitted) in [
        ("ann", true),
        ("writer-7", true),
        ("anna", false),
        ("bob", false),
    ] {
        world.connect(name);
        let code = if admitted {
            Ok(())
        } else {
            Err(Code::Forbidden)
        };
        assert_eq!(world.subscribe(name, "rooms/r/#"), code, "{name}");
        let set = json!({ "value": 1 });
        assert_eq!(world.send(name, "blackboard/set/k", set), code, "{name}");
        let other = format!("rooms/s/presence/announce/{name}");
        let command = World::command(name, topic(&other), "{}");
        assert_eq!(world.input(Input::Command(command)), Ok(()), "{name}");
    }
    assert!(world.presence("bob").is_none());
}

#[test]
fn closing_a_room_ends_everything_in_it_with_words() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.dispatch("boss", "held", "draft");
    world.dispatch("boss", "queued", "draft");
    world
        .send(
            "ann",
            "approve/request",
            json!({ "id": "gate", "action": "x" }),
        )
        .unwrap();
    world
        .send("ann", "blackboard/set/k", json!({ "value": 1 }))
        .unwrap();
    world
        .send(
            "root",
            "room/close",
            json!({ "reason": "moved", "correlationId": "c" }),
        )
        .unwrap();
    assert_eq!(world.last_reply("root").code, Code::Done);
    let ends = [
        ("held", TaskState::Cancelled),
        ("queued", TaskState::Cancelled),
    ];
    let ends = ends.map(|(task, state)| (task.to_owned(), state));
    assert_eq!(world.final_results("boss"), ends);
    assert!(world.results("boss").iter().all(|result| {
        let error = result.error.as_ref().unwrap();
        error.message == "the room was closed"
    }));
    assert!(!world.decisions("ann")[0].approved);
    assert!(world.retained.is_empty(), "{:?}", world.retained);
    let closed = world
        .events
        .iter()
        .find(|event| event.what == "room.closed")
        .unwrap();
    assert!(closed.detail.as_ref().unwrap().text().contains("moved"));
    world.check();
}

#[test]
fn a_closed_room_takes_nothing_until_it_is_opened_also_after_a_crash() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.send_raw("root", "room/close", "").unwrap();
    for _ in 0..2 {
        assert_eq!(set(&mut world, "r", "k"), Err(Code::Unavailable));
        assert_eq!(
            world.subscribe("w", "rooms/r/handoff/work/x"),
            Err(Code::Unavailable)
        );
        for (question, asked) in [
            ("presence/list", json!({})),
            ("handoff/list", json!({})),
            ("blackboard/get", json!({})),
            ("blackboard/history", json!({ "key": "k" })),
            ("approve/audit", json!({})),
            ("tools/get", json!({ "call": "a/c" })),
        ] {
            let answered = world.send("a", question, asked);
            assert_ne!(answered, Err(Code::Unavailable), "{question} is taken");
        }
        assert_eq!(
            world.send_raw("root", "room/close", ""),
            Ok(()),
            "it is closed already"
        );
        world.crash();
        world.pass(10 * DAY);
    }
    assert!(world.next_timer().is_none(), "nothing is left to be done");
    world.send_raw("root", "room/open", "").unwrap();
    assert_eq!(set(&mut world, "r", "k"), Ok(()));
    assert_eq!(world.story("r"), ["room.closed", "room.opened"]);
    world.connect("w");
    world.offers("w", "draft");
    assert!(world.presence("w").is_some(), "who comes anew is there");
    world.check();
}

#[test]
fn a_repeat_of_a_close_does_not_close_what_was_opened_since() {
    let mut world = World::new();
    let close = r#"{"id":"x1"}"#;
    world.send_raw("root", "room/close", close).unwrap();
    let open = r#"{"id":"x2"}"#;
    world.send_raw("root", "room/open", open).unwrap();
    world.crash();
    assert_eq!(world.send_raw("root", "room/close", close), Ok(()));
    world.send_raw("root", "room/close", "").unwrap();
    assert_eq!(world.send_raw("root", "room/open", open), Ok(()));
    let told = ["room.closed", "room.opened", "room.closed"];
    assert_eq!(world.story("r"), told, "a repeat does nothing");
}

#[test]
fn a_large_room_is_closed_in_portions() {
    let mut world = World::new();
    for number in 0..250 {
        world.dispatch("boss", &format!("t{number}"), "draft");
    }
    world.send_raw("root", "room/close", "").unwrap();
    assert_eq!(world.final_results("boss").len(), 100);
    assert_eq!(world.next_timer(), Some((1, Timer::Closing)));
    assert_eq!(world.send_raw("root", "room/open", ""), Err(Code::Conflict));
    world.crash();
    assert_eq!(world.final_results("boss").len(), 200);
    world.pass(10);
    assert_eq!(world.final_results("boss").len(), 250);
    assert_eq!(world.send_raw("root", "room/open", ""), Ok(()));
    world.check();
}

#[test]
fn a_group_ends_with_its_room() {
    let mut world = World::new();
    let of_group = json!({ "id": "t", "type": "draft", "group": "g", "groupSize": 2 });
    world.dispatch_with("boss", of_group.clone());
    world.send_raw("root", "room/close", "").unwrap();
    assert!(world.story("g").contains(&"handoff.gathered".to_owned()));
    world.crash();
    world.send_raw("root", "room/open", "").unwrap();
    let other = json!({ "id": "u", "type": "draft", "group": "g", "groupSize": 3 });
    world.dispatch_with("boss", other);
    world.check();
}

#[test]
fn a_list_is_no_command() {
    let mut world = World::new();
    world.dispatch("boss", "t", "draft");
    let list = r#" ["t","no more"]"#;
    let refused = world.send_raw("boss", "handoff/cancel", list);
    assert_eq!(refused, Err(Code::Malformed));
    let reason = world.last_reply("boss").reason.unwrap();
    assert_eq!(reason, "expected an object, {…}, but got a list");
    assert_eq!(world.state("t"), TaskState::Queued);
}

#[test]
fn closing_a_room_frees_its_locks_and_cancels_its_calls() {
    let mut world = World::new();
    world.connect("p");
    world.subscribe("p", "rooms/r/tools/run/spell").unwrap();
    let tool = json!({
        "description": "finds misspelt words",
        "inputSchema": { "type": "object" },
        "idempotent": true,
    });
    world.send("p", "tools/register/spell", tool).unwrap();
    let call = json!({ "arguments": {} });
    world.send("ann", "tools/call/spell", call).unwrap();
    let lock = "blackboard/lock/l";
    world.send("ann", lock, json!({})).unwrap();
    for who in ["bob", "eve"] {
        world.send(who, lock, json!({ "wait": true })).unwrap();
        assert!(world.replies(who).is_empty(), "{who} waits");
    }
    world.send_raw("root", "room/close", "").unwrap();
    let is_result = |topic: &Topic| matches!(topic, Topic::ToolsResult { .. });
    let results: Vec<crate::wire::tools::ToolResult> = world.directed_to("ann", is_result);
    let error = results[0].error.as_ref().unwrap();
    assert_eq!(
        (error.code.as_deref(), error.message.as_str()),
        (Some("cancelled"), "the room was closed")
    );
    for who in ["bob", "eve"] {
        let reply = world.last_reply(who);
        assert_eq!(reply.code, Code::Expired);
        let reason = reply.reason.unwrap();
        assert!(reason.contains("the room was closed"), "{reason}");
    }
    let told = [
        "blackboard.locked",
        "blackboard.waiting",
        "blackboard.waiting",
        "blackboard.gaveUp",
        "blackboard.gaveUp",
        "blackboard.unlocked",
    ];
    assert_eq!(world.story("l"), told);
    assert_eq!(world.send("bob", lock, json!({})), Err(Code::Unavailable));
    let stats = world.engine.stats();
    assert_eq!((stats.locks, stats.tool_calls, stats.tools), (0, 0, 0));
    assert!(world.retained.is_empty(), "{:?}", world.retained);
    world.check();
    world.crash();
    world.send_raw("root", "room/open", "").unwrap();
    world.send("bob", lock, json!({})).unwrap();
    let token = world.last_reply("bob").lock.unwrap().token;
    assert_eq!(token, 2, "tokens go on");
}

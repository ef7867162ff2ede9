//! Presence: who is there, connected or not, and how busy.

use crate::wire::presence::{ConnectionState, Status};

use super::*;

#[test]
fn a_draining_worker_finishes_what_it_has_and_it_is_told_when_that_is_done() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.dispatch("boss", "1", "draft");
    world.dispatch("boss", "2", "draft");
    world
        .send(
            "w",
            "presence/announce",
            json!({ "status": "draining", "capacity": 2 }),
        )
        .unwrap();
    let drained = |world: &World| {
        world
            .story("w")
            .iter()
            .filter(|what| *what == "presence.drained")
            .count()
    };
    assert_eq!((world.assignments("w").len(), drained(&world)), (1, 0));
    assert_eq!(world.presence("w").unwrap().in_flight, 1);
    world.success("w", "1", 1);
    assert_eq!((world.assignments("w").len(), drained(&world)), (1, 1));
    let shown = world.presence("w").unwrap();
    assert_eq!(
        (shown.in_flight, shown.status),
        (0, crate::wire::presence::Status::Draining)
    );
    world.send("w", "presence/announce", json!({})).unwrap();
    assert_eq!(world.assignments("w").len(), 2);
}

#[test]
fn an_agent_is_in_the_room_from_its_first_subscription_until_its_session_ends() {
    let mut world = World::new();
    world.connect("a");
    assert_eq!(world.presence("a"), None);
    world.subscribe("a", "rooms/r/blackboard/state/#").unwrap();
    let presence = world.presence("a").unwrap();
    assert_eq!(presence.connection, ConnectionState::Online);
    assert_eq!(presence.status, Status::Idle);
    assert_eq!((presence.capacity, presence.in_flight), (1, 0));
    assert_eq!(presence.since, START);
    world.end_session("a");
    assert_eq!(world.presence("a"), None);
    assert_eq!(world.story("a"), ["presence.joined", "presence.left"]);
    world.check();
}

#[test]
fn presence_shows_what_was_announced_and_subscribed() {
    let mut world = World::new();
    world.connect("a");
    world.offers("a", "draft");
    world
        .send(
            "a",
            "presence/announce",
            json!({ "name": "Ann", "role": "writer", "capabilities": ["german"], "capacity": 3,
                    "load": 0.5, "metadata": { "k": null } }),
        )
        .unwrap();
    let presence = serde_json::to_value(world.presence("a").unwrap()).unwrap();
    assert_eq!(presence["name"], "Ann");
    assert_eq!(presence["role"], "writer");
    assert_eq!(presence["capabilities"], json!(["draft", "german"]));
    assert_eq!(presence["capacity"], 3);
    assert_eq!(presence["load"], 0.5);
    assert_eq!(presence["metadata"], json!({ "k": null }));
    world.unsubscribe("a", "rooms/r/handoff/work/draft");
    let presence = serde_json::to_value(world.presence("a").unwrap()).unwrap();
    assert_eq!(presence["capabilities"], json!(["german"]));
}

#[test]
fn an_agent_that_is_busy_shows_it_unless_it_says_otherwise() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.dispatch("boss", "t", "draft");
    let presence = world.presence("w").unwrap();
    assert_eq!((presence.status, presence.in_flight), (Status::Busy, 1));
    world
        .send("w", "presence/announce", json!({ "status": "draining" }))
        .unwrap();
    assert_eq!(world.presence("w").unwrap().status, Status::Draining);
    world.send("w", "presence/announce", json!({})).unwrap();
    world.success("w", "t", 1);
    let presence = world.presence("w").unwrap();
    assert_eq!((presence.status, presence.in_flight), (Status::Idle, 0));
}

#[test]
fn a_batch_shows_an_agent_once_however_many_tasks_it_takes() {
    let mut world = World::new();
    world.worker("w", "draft");
    let before = world.retains;
    for id in ["1", "2", "3"] {
        let dispatch = World::command(
            "boss",
            topic("rooms/r/handoff/dispatch/boss"),
            json!({ "id": id, "type": "draft" }).to_string(),
        );
        world.input_in_batch(Input::Command(dispatch)).unwrap();
        let update = World::command(
            "w",
            topic("rooms/r/handoff/update/w"),
            json!({ "task": id, "attempt": 1, "status": "success" }).to_string(),
        );
        world.input_in_batch(Input::Command(update)).unwrap();
    }
    world.end_batch();
    assert_eq!(world.retains, before, "it looks as it did");
    for id in ["4", "5"] {
        world.dispatch("boss", id, "draft");
    }
    assert_eq!(world.retains, before + 1);
}

#[test]
fn an_agent_is_away_for_the_grace_and_then_gone_or_offline() {
    for durable in [false, true] {
        let mut world = World::new();
        world.connect_as("a", false, durable);
        world.offers("a", "draft");
        world.disconnect("a");
        assert_eq!(
            world.presence("a").unwrap().connection,
            ConnectionState::Away
        );
        assert_eq!(world.next_timer(), Some((30_000, Timer::Grace)));
        world.pass(30_000);
        let connection = world.presence("a").map(|presence| presence.connection);
        assert_eq!(connection, durable.then_some(ConnectionState::Offline));
        if durable {
            world.dispatch("boss", "t", "draft");
            assert!(world.assignments("a").is_empty());
            world.connect_as("a", true, true);
            assert_eq!(
                world.assignments("a").len(),
                1,
                "its subscription still stands"
            );
            assert_eq!(
                world.story("a")[2..],
                ["presence.away", "presence.offline", "presence.online"]
            );
        }
        world.check();
    }
}

#[test]
fn an_offline_agent_is_gone_when_its_session_ends() {
    let mut world = World::new();
    world.connect_as("a", false, true);
    world.offers("a", "draft");
    world.disconnect("a");
    world.pass(30_000);
    world.end_session("a");
    assert_eq!(world.presence("a"), None);
    assert_eq!(world.engine.stats().agents, 0);
}

#[test]
fn nobody_who_is_away_gets_new_work() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.disconnect("w");
    world.dispatch("boss", "t", "draft");
    assert_eq!(world.state("t"), TaskState::Queued);
    world.connect_as("w", true, false);
    assert_eq!(world.state("t"), TaskState::Assigned);
}

#[test]
fn a_new_session_that_says_nothing_in_a_room_leaves_it_after_the_grace() {
    let mut world = World::new();
    world.worker("a", "draft");
    world
        .send("a", "presence/announce", json!({ "role": "writer" }))
        .unwrap();
    world.connect("a");
    assert_eq!(world.presence("a").unwrap().capabilities, []);
    world.pass(29_999);
    assert!(world.presence("a").is_some());
    world.pass(1);
    assert_eq!(world.presence("a"), None);
}

#[test]
fn a_place_of_an_earlier_session_goes_also_if_the_new_one_breaks_off_or_the_gateway_does() {
    type Trouble = fn(&mut World);
    let troubles: [Trouble; 3] = [
        |world| world.disconnect("a"),
        |world| world.crash(),
        |world| {
            world.crash();
            world.connect_as("a", true, true);
        },
    ];
    for trouble in troubles {
        let mut world = World::new();
        world.connect_as("a", false, true);
        world.offers("a", "draft");
        world.connect_as("a", false, true);
        trouble(&mut world);
        world.pass(29_999);
        assert!(world.presence("a").is_some());
        world.pass(1);
        assert_eq!(world.presence("a"), None);
        world.connect_as("a", true, true);
        assert_eq!(world.engine.stats().agents, 0);
        world.check();
    }
}

#[test]
fn a_new_session_that_announces_keeps_its_place() {
    let mut world = World::new();
    world.worker("a", "draft");
    world.connect("a");
    world.send("a", "presence/announce", json!({})).unwrap();
    world.pass(60_000);
    assert!(world.presence("a").is_some());
    assert_eq!(world.story("a").last().unwrap(), "presence.announced");
}

#[test]
fn a_stale_grace_does_not_end_a_new_connection() {
    let mut world = World::new();
    world.worker("a", "draft");
    world.disconnect("a");
    world.pass(20_000);
    world.connect_as("a", true, false);
    world.pass(20_000);
    assert_eq!(
        world.presence("a").unwrap().connection,
        ConnectionState::Online
    );
    world.disconnect("a");
    world.pass(20_000);
    assert_eq!(
        world.presence("a").unwrap().connection,
        ConnectionState::Away
    );
}

#[test]
fn an_agent_that_leaves_comes_back_by_saying_so_and_its_subscriptions_count_again() {
    let mut world = World::new();
    world.worker("a", "draft");
    world.send_raw("a", "presence/announce", "").unwrap();
    assert_eq!(world.presence("a"), None);
    world.dispatch("boss", "t", "draft");
    assert_eq!(world.state("t"), TaskState::Queued);
    world.check();
    world.send("a", "presence/announce", json!({})).unwrap();
    assert!(world.presence("a").is_some());
    assert_eq!(world.assignments("a").len(), 1);
    world.send_raw("a", "presence/announce", "").unwrap();
    world.unsubscribe("a", "rooms/r/handoff/work/draft");
    assert_eq!(world.engine.stats().agents, 0);
    world.check();
}

#[test]
fn rooms_are_apart() {
    let mut world = World::new();
    world.connect("w");
    world
        .subscribe("w", "rooms/other/handoff/work/draft")
        .unwrap();
    world.dispatch("boss", "t", "draft");
    assert_eq!(world.state("t"), TaskState::Queued);
    assert_eq!(world.presence("w"), None);
    assert!(world.retained.contains_key("rooms/other/presence/agent/w"));
    world.end_session("w");
    assert!(
        world
            .retained
            .keys()
            .all(|topic| !topic.starts_with("rooms/other"))
    );
}

#[test]
fn announcements_are_checked() {
    let mut world = World::new();
    world.connect("a");
    for (announcement, code) in [
        (json!({ "capacity": 1_000_000 }), Code::Invalid),
        (json!({ "load": 2 }), Code::Invalid),
        (json!({ "role": "x".repeat(200) }), Code::TooLarge),
        (json!({ "metadata": "x".repeat(10_000) }), Code::TooLarge),
        (json!({ "capabilities": vec!["c"; 129] }), Code::TooLarge),
        (json!({ "capabilities": ["a b"] }), Code::Malformed),
        (json!([1]), Code::Malformed),
    ] {
        assert_eq!(
            world.send("a", "presence/announce", announcement),
            Err(code)
        );
    }
    assert_eq!(world.presence("a"), None);
}

#[test]
fn offers_are_bounded() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.rooms.max_capabilities_per_agent = 1;
        settings.rooms.max_agents_per_room = 1;
    }));
    world.worker("a", "draft");
    assert_eq!(
        world.subscribe("a", "rooms/r/handoff/work/review"),
        Err(Code::TooMany)
    );
    world.connect("b");
    assert_eq!(
        world.subscribe("b", "rooms/r/handoff/work/draft"),
        Err(Code::TooMany)
    );
    assert_eq!(
        world.send("b", "presence/announce", json!({})),
        Err(Code::TooMany)
    );
}

fn roll(world: &mut World, asked: Value) -> crate::wire::presence::Roll {
    world.send("eye", "presence/list", asked).unwrap();
    let reply = world.last_reply("eye");
    serde_json::from_str(reply.data.expect("a page").text()).unwrap()
}

fn listed(roll: &crate::wire::presence::Roll) -> Vec<&str> {
    let present = roll.agents.iter().map(|presence| presence.agent.as_str());
    let departed = roll.departed.iter().map(|departed| departed.agent.as_str());
    present.chain(departed).collect()
}

#[test]
fn a_list_shows_who_is_there_page_by_page() {
    let mut world = World::new();
    for name in ["c", "a", "b", "d"] {
        world.worker(name, "draft");
    }
    world
        .send(
            "b",
            "presence/announce",
            json!({ "role": "editor", "status": "draining" }),
        )
        .unwrap();
    world.send("d", "presence/announce", json!({})).unwrap();
    world.send_raw("d", "presence/announce", "").unwrap();
    let all = roll(&mut world, json!({}));
    assert_eq!(
        (listed(&all), all.present, all.next.clone()),
        (vec!["a", "b", "c"], 3, None)
    );
    assert_eq!(all.agents[1], world.presence("b").unwrap());
    let first = roll(&mut world, json!({ "limit": 2 }));
    assert_eq!(listed(&first), ["a", "b"]);
    let second = roll(&mut world, json!({ "limit": 2, "after": first.next }));
    assert_eq!((listed(&second), second.next.clone()), (vec!["c"], None));
    for (asked, expected) in [
        (json!({ "status": "draining" }), vec!["b"]),
        (json!({ "role": "editor" }), vec!["b"]),
        (json!({ "connection": "away" }), vec![]),
        (json!({ "capability": "draft" }), vec!["a", "b", "c"]),
        (json!({ "capability": "sing" }), vec![]),
    ] {
        assert_eq!(
            listed(&roll(&mut world, asked.clone())),
            expected,
            "{asked}"
        );
    }
    assert_eq!(
        world.send("eye", "presence/list", json!({ "limit": 0 })),
        Err(Code::Invalid)
    );
}

#[test]
fn who_left_is_remembered_with_when_it_was_seen_last() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.rooms.max_departed_per_room = 2
    }));
    world.worker("stays", "draft");
    for name in ["x", "y", "z"] {
        world.connect(name);
        let said = json!({ "name": name, "role": "guest" });
        world.send(name, "presence/announce", said).unwrap();
        world.now += 1_000;
        world.end_session(name);
    }
    let gone = roll(&mut world, json!({ "departed": true }));
    assert_eq!(
        (listed(&gone), gone.present),
        (vec!["y", "z"], 1),
        "two at most"
    );
    let z = &gone.departed[1];
    assert_eq!(
        (z.role.as_deref(), z.left_at - z.last_seen),
        (Some("guest"), 1_000)
    );
    world.crash();
    assert_eq!(
        listed(&roll(&mut world, json!({ "departed": true }))),
        ["y", "z"]
    );
    world.connect("z");
    world.send("z", "presence/announce", json!({})).unwrap();
    assert_eq!(
        listed(&roll(&mut world, json!({ "departed": true }))),
        ["y"]
    );
    world.pass(8 * 24 * 3_600_000);
    assert_eq!(
        listed(&roll(&mut world, json!({ "departed": true }))),
        [] as [&str; 0]
    );
    world.check();
}

#[test]
fn a_room_in_which_nothing_is_left_forgets_who_was_there() {
    let mut world = World::new();
    world.worker("a", "draft");
    world.end_session("a");
    assert_eq!(world.engine.stats().rooms, 0);
    assert_eq!(world.disk.len(), 1, "the counters alone");
    world.worker("b", "draft");
    assert_eq!(
        listed(&roll(&mut world, json!({ "departed": true }))),
        [] as [&str; 0]
    );
}

#[test]
fn a_worker_whose_lease_ran_out_is_overloaded_until_it_is_heard() {
    let mut world = World::new();
    world.connect("a");
    world
        .send("a", "presence/announce", json!({ "capacity": 2 }))
        .unwrap();
    world.offers("a", "draft");
    world.dispatch("boss", "t", "draft");
    world.pass(Settings::default().handoff.lease.ms());
    assert_eq!(
        listed(&roll(&mut world, json!({ "status": "overloaded" }))),
        ["a"]
    );
    world
        .send("a", "presence/announce", json!({ "capacity": 2 }))
        .unwrap();
    assert_eq!(
        listed(&roll(&mut world, json!({ "status": "overloaded" }))),
        [] as [&str; 0]
    );
}

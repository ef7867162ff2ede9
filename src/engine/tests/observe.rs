//! Replay: pages of the past, in order, and what is said where some of it is gone.

use super::*;
use crate::wire::observe::ReplayPage;

/// A room in which a key was set so many times, a second apart.
fn world(sets: usize) -> World {
    let mut world = World::new();
    for value in 0..sets {
        world.now = START + value as u64 * 1_000;
        let set = json!({ "value": value });
        world.send("a", "blackboard/set/k", set).unwrap();
    }
    world
}

impl World {
    fn replay(&mut self, asked: Value) -> ReplayPage {
        self.send("w", "observe/replay", asked).unwrap();
        let reply = self.last_reply("w");
        serde_json::from_str(reply.data.expect("a page").text()).unwrap()
    }

    fn replay_refused(&mut self, asked: Value) -> (Code, Reply) {
        let code = self.send("w", "observe/replay", asked).unwrap_err();
        (code, self.last_reply("w"))
    }
}

fn seqs(page: &ReplayPage) -> Vec<u64> {
    page.events.iter().map(|event| event.seq).collect()
}

#[test]
fn pages_follow_each_other_to_the_end_and_are_what_was_told() {
    let mut world = world(5);
    let (mut told, mut next) = (Vec::new(), 1);
    for (expected, end) in [(vec![1, 2], false), (vec![3, 4], false), (vec![5], true)] {
        let page = world.replay(json!({ "fromSeq": next, "limit": 2 }));
        assert_eq!(
            (seqs(&page), page.end, page.complete),
            (expected, end, true)
        );
        assert_eq!((page.oldest, page.newest), (1, 5));
        next = page.next;
        told.extend(page.events);
    }
    assert_eq!(told, world.events);
    let page = world.replay(json!({ "fromSeq": next }));
    assert_eq!((seqs(&page), page.next, page.end), (vec![], 6, true));
    world
        .send("a", "blackboard/set/k", json!({ "value": 9 }))
        .unwrap();
    let page = world.replay(json!({ "fromSeq": next }));
    assert_eq!(seqs(&page), [6], "the cursor goes on with what is new");
}

#[test]
fn a_time_to_begin_and_a_time_to_end() {
    let mut world = world(5);
    let page = world.replay(json!({ "since": START + 1_000, "until": START + 3_000 }));
    assert_eq!(
        (seqs(&page), page.end, page.complete),
        (vec![2, 3], true, true)
    );
    let page = world.replay(json!({ "since": START + 1_001 }));
    assert_eq!(seqs(&page), [3, 4, 5]);
    let page = world.replay(json!({ "since": START + 9_000 }));
    assert_eq!((seqs(&page), page.end), (vec![], true));
    let page = world.replay(json!({ "fromSeq": 2, "until": START + 2_000, "limit": 1 }));
    assert_eq!(
        (seqs(&page), page.end),
        (vec![2], true),
        "the next is too late"
    );
}

#[test]
fn a_filter_picks_categories_and_a_page_looks_only_so_far() {
    let mut world = world(2);
    world.connect("b");
    world.subscribe("b", "rooms/r/#").unwrap();
    for value in 0..1_500 {
        world
            .send("a", "blackboard/set/k", json!({ "value": value }))
            .unwrap();
    }
    let presence = json!({ "filter": "observe/events/+/presence" });
    let page = world.replay(presence.clone());
    assert_eq!((seqs(&page), page.next, page.end), (vec![3], 1_001, false));
    let mut on = presence;
    on["fromSeq"] = json!(page.next);
    let page = world.replay(on);
    assert_eq!((seqs(&page), page.end), (vec![], true));
}

#[test]
fn what_is_not_kept_any_more_is_said_so() {
    let mut world = world(5);
    world.mailboxes.past.events.drain(..2);
    let page = world.replay(json!({ "fromSeq": 1 }));
    assert_eq!(
        (seqs(&page), page.complete, page.oldest),
        (vec![3, 4, 5], false, 3)
    );
    let page = world.replay(json!({ "fromSeq": 3 }));
    assert!(page.complete);
    let page = world.replay(json!({ "since": START }));
    assert_eq!((seqs(&page), page.complete), (vec![3, 4, 5], false));
    world.mailboxes.past.events.clear();
    let page = world.replay(json!({ "fromSeq": 1 }));
    assert_eq!(
        (page.complete, page.end, page.oldest, page.newest),
        (false, true, 6, 5)
    );
}

#[test]
fn a_page_is_no_larger_than_its_reader_can_take() {
    let mut world = world(9);
    let event = crate::wire::json::encode(&world.events[0]).len();
    world.connect("w");
    let most = 512 + 3 * event;
    world
        .send("w", "presence/announce", json!({ "maxBytes": most }))
        .unwrap();
    let page = world.replay(json!({}));
    assert!(page.events.len() <= 3 && !page.end, "{page:?}");
    assert_eq!(page.next, page.events.len() as u64 + 1);
    world
        .send("w", "presence/announce", json!({ "maxBytes": 600 }))
        .unwrap();
    let (code, reply) = world.replay_refused(json!({}));
    assert_eq!(code, Code::TooLarge);
    assert!(reply.reason.unwrap().starts_with("event 1 has "));
}

#[test]
fn questions_that_mean_nothing_are_refused() {
    let mut world = world(1);
    for (asked, path) in [
        (json!({ "fromSeq": 1, "since": 1 }), "since"),
        (json!({ "limit": 0 }), "limit"),
        (json!({ "limit": 1_001 }), "limit"),
        (json!({ "filter": "a/#/b" }), "filter"),
        (json!({ "filter": "blackboard/#" }), "filter"),
    ] {
        let (code, reply) = world.replay_refused(asked);
        assert_eq!((code, reply.path.as_deref()), (Code::Invalid, Some(path)));
    }
    world.mailboxes.past.is_busy = true;
    assert_eq!(world.replay_refused(json!({})).0, Code::TooMany);
}

#[test]
fn to_ask_is_no_event_and_makes_no_room() {
    let mut world = World::new();
    let page = world.replay(json!({}));
    assert_eq!(
        (page.oldest, page.newest, page.next, page.end),
        (1, 0, 1, true)
    );
    assert!(world.events.is_empty());
    assert_eq!(world.engine.stats().rooms, 0);
}

#[test]
fn what_agents_tell_has_a_number_like_all_else() {
    let mut world = World::new();
    world.connect("ann");
    world.connect("me");
    let on = |category: &str| topic(&format!("rooms/r/observe/events/ann/{category}"));
    let tell = |world: &mut World, category: &str, payload: &[u8]| {
        let event = World::command("ann", on(category), payload.to_vec());
        world.input(Input::Command(event))
    };
    assert_eq!(
        tell(&mut world, "log", br#"{ "severity": "info" }"#),
        Ok(())
    );
    assert_eq!(tell(&mut world, "log", b"\xa1an\xf9\x3c\x00"), Ok(()));
    assert_eq!(tell(&mut world, "raw", b"coffee"), Ok(()));
    assert_eq!(tell(&mut world, "raw", &vec![b'1'; 20_000]), Ok(()));
    assert_eq!(tell(&mut world, "list", b"[1, {}]"), Ok(()));
    let told: Vec<(u64, &str, Option<&str>)> = world
        .events
        .iter()
        .filter(|event| event.what == "agent.told")
        .map(|event| {
            (
                event.seq,
                &*event.subject,
                event.payload.as_ref().map(|said| said.text()),
            )
        })
        .collect();
    let first = told[0].0;
    assert_eq!(
        told,
        [
            (first, "log", Some(r#"{ "severity": "info" }"#)),
            (first + 1, "log", Some(r#"{"n":1.0}"#)),
            (first + 2, "raw", None),
            (first + 3, "raw", None),
            (first + 4, "list", Some("[1, {}]")),
        ]
    );
    assert_eq!(world.replies("ann").len(), 0);
    for (filter, count) in [
        ("observe/events/ann/+", 5),
        ("observe/events/+/log", 2),
        ("observe/events/gateway/agent", 5),
        ("observe/events/ben/+", 0),
    ] {
        let page = world.replay(json!({ "filter": filter }));
        assert_eq!(page.events.len(), count, "{filter}");
    }
    world.check();
}

#[test]
fn what_agents_tell_passes_where_nothing_of_it_is_kept() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.observe.journal_agents = false;
    }));
    world.connect("ann");
    let on = topic("rooms/r/observe/events/ann/log");
    let event = World::command("ann", on, "1");
    assert_eq!(world.input(Input::Command(event.clone())), Ok(()));
    world.reconfigure(|settings| settings.observe.journal_agents = true);
    world.send_raw("root", "room/close", "").unwrap();
    let before = world.events.len();
    assert_eq!(world.input(Input::Command(event)), Ok(()));
    assert_eq!(world.events.len(), before);
    assert!(world.events.iter().all(|event| event.what != "agent.told"));
}

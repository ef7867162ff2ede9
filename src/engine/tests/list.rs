//! Handoff: listing, histories, redrive by type, turns of dispatchers, small workers.

use super::*;

use crate::wire::handoff::{AttemptOutcome, Redriven, TaskPage};

fn page(world: &mut World, asked: Value) -> TaskPage {
    assert_eq!(world.send("viewer", "handoff/list", asked), Ok(()));
    let data = world.last_reply("viewer").data.unwrap();
    serde_json::from_str(data.text()).unwrap()
}

fn ids(page: &TaskPage) -> Vec<&str> {
    page.tasks.iter().map(|view| view.task.as_str()).collect()
}

/// All pages together.
fn all(world: &mut World, mut asked: Value) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = page(world, asked.clone());
        found.extend(ids(&page).into_iter().map(str::to_owned));
        match page.cursor {
            Some(cursor) => asked["cursor"] = cursor.into(),
            None => return found,
        }
    }
}

fn world_with_tasks() -> World {
    let mut world = World::new();
    for (id, task) in [
        ("a", json!({ "type": "draft" })),
        ("b", json!({ "type": "draft", "capabilities": ["english"] })),
        (
            "c",
            json!({ "type": "review", "anyOf": ["english", "french"] }),
        ),
        ("d", json!({ "type": "draft" })),
        ("e", json!({ "type": "review", "notBeforeMs": 5_000 })),
    ] {
        world.pass(1_000);
        let mut task = task;
        task["id"] = id.into();
        world.dispatch_with(if id == "d" { "other" } else { "boss" }, task);
    }
    world
}

#[test]
fn a_list_is_of_the_tasks_that_meet_every_condition() {
    let mut world = world_with_tasks();
    let cancel = json!({ "task": "d" });
    world.send("boss", "handoff/cancel", cancel).unwrap();
    for (asked, expected) in [
        (json!({}), vec!["a", "b", "c", "d", "e"]),
        (
            json!({ "newestFirst": true }),
            vec!["e", "d", "c", "b", "a"],
        ),
        (json!({ "state": "queued" }), vec!["a", "b", "c"]),
        (json!({ "state": ["waiting", "cancelled"] }), vec!["d", "e"]),
        (json!({ "type": "draft" }), vec!["a", "b", "d"]),
        (json!({ "type": "draft", "state": "cancelled" }), vec!["d"]),
        (json!({ "capability": "draft" }), vec!["a", "d"]),
        (json!({ "capability": "english" }), vec!["b", "c"]),
        (
            json!({ "type": "review", "capability": "english" }),
            vec!["c"],
        ),
        (json!({ "dispatcher": "other" }), vec!["d"]),
        (
            json!({ "createdAfter": START + 2_000, "createdBefore": START + 4_000 }),
            vec!["b", "c"],
        ),
        (json!({ "createdBefore": START }), vec![]),
        (json!({ "createdAfter": START + 99_000 }), vec![]),
        (json!({ "type": "unheard-of" }), vec![]),
    ] {
        assert_eq!(ids(&page(&mut world, asked.clone())), expected, "{asked}");
        if !expected.is_empty() {
            let mut one_by_one = asked.clone();
            one_by_one["limit"] = 1.into();
            assert_eq!(all(&mut world, one_by_one), expected, "{asked}");
        }
        world.crash();
        assert_eq!(ids(&page(&mut world, asked.clone())), expected, "{asked}");
    }
    let view = page(&mut world, json!({ "state": "waiting" }))
        .tasks
        .remove(0);
    assert_eq!(view.due_at, Some(START + 10_000));
    for asked in [
        json!({ "limit": 0 }),
        json!({ "limit": 201 }),
        json!({ "cursor": "x" }),
    ] {
        let verdict = world.send("viewer", "handoff/list", asked);
        assert_eq!(verdict, Err(Code::Invalid));
    }
    assert_eq!(world.send_raw("viewer", "handoff/list", ""), Ok(()));
}

#[test]
fn a_page_that_would_be_too_large_ends_early_and_the_next_goes_on() {
    let settings = Settings {
        max_page_bytes: 600,
        ..Settings::default()
    };
    let mut world = World::with(settings);
    for id in ["1", "2", "3", "4", "5"] {
        world.dispatch("boss", id, "draft");
    }
    assert!(page(&mut world, json!({})).tasks.len() < 5);
    assert_eq!(all(&mut world, json!({})), ["1", "2", "3", "4", "5"]);
}

#[test]
fn conditions_without_an_index_end_a_page_after_so_many_tasks_and_miss_none() {
    let mut world = World::new();
    for id in 0..2_500 {
        world.dispatch("boss", &format!("t{id}"), "draft");
    }
    world.dispatch("rare", "last", "draft");
    let asked = json!({ "dispatcher": "rare" });
    let first = page(&mut world, asked.clone());
    assert!(first.tasks.is_empty() && first.cursor.is_some());
    assert_eq!(all(&mut world, asked), ["last"]);
}

#[test]
fn what_is_forgotten_is_listed_no_more() {
    let mut world = world_with_tasks();
    for id in ["a", "b", "c", "d", "e"] {
        let cancel = json!({ "task": id });
        world.send("boss", "handoff/cancel", cancel).unwrap();
    }
    world.pass(24 * 60 * 60 * 1_000);
    assert_eq!(all(&mut world, json!({})), Vec::<String>::new());
    world.check();
}

#[test]
fn a_history_tells_of_every_attempt_and_survives_a_crash() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "maxAttempts": 9 }),
    );
    world.pass(10);
    let failed = json!({ "task": "t", "attempt": 1, "status": "error", "error": { "message": "x".repeat(500) } });
    world.send("w", "handoff/update", failed).unwrap();
    world.pass(1_000);
    world.update("w", "t", 2, "release").unwrap();
    world.pass(2_000);
    world.pass(60_000);
    world.pass(4_000);
    world.success("w", "t", 4);
    world.crash();
    let history = world.view("t").history;
    let told: Vec<_> = history
        .iter()
        .map(|one| (one.attempt, one.outcome.unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (1, AttemptOutcome::Failed),
            (2, AttemptOutcome::Released),
            (3, AttemptOutcome::Lost),
            (4, AttemptOutcome::Succeeded)
        ]
    );
    assert_eq!(history[0].worker, agent("w"));
    assert_eq!(
        (history[0].assigned_at, history[0].ended_at),
        (START, Some(START + 10))
    );
    assert_eq!(history[0].error.as_ref().unwrap().len(), 200);
    assert_eq!(history[3].error, None);
    assert!(page(&mut world, json!({})).tasks[0].history.is_empty());
}

#[test]
fn a_long_history_keeps_its_latest_attempts() {
    let mut world = World::with(Settings {
        max_history_per_task: 2,
        ..Settings::default()
    });
    world.worker("w", "draft");
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "maxAttempts": 9 }),
    );
    for attempt in 1..=4 {
        world.update("w", "t", attempt, "error").unwrap();
        world.pass(60_000);
    }
    let attempts: Vec<u32> = world
        .view("t")
        .history
        .iter()
        .map(|one| one.attempt)
        .collect();
    assert_eq!(attempts, [4, 5]);
}

#[test]
fn the_dead_of_a_type_can_be_put_back_a_few_at_a_time() {
    let mut world = World::new();
    world.worker("w", "draft");
    for id in ["1", "2", "3", "4"] {
        let ttl = if id == "1" { 5_000 } else { 50_000 };
        world.dispatch_with(
            "boss",
            json!({ "id": id, "type": "draft", "maxAttempts": 1, "ttlMs": ttl }),
        );
        world.update("w", id, 1, "error").unwrap();
    }
    world.dispatch_with("boss", json!({ "id": "other", "type": "review" }));
    world.pass(5_000);
    let ask = json!({ "type": "draft", "limit": 2, "id": "again" });
    world.send("op", "handoff/redrive", ask.clone()).unwrap();
    let told: Redriven = serde_json::from_str(world.last_reply("op").data.unwrap().text()).unwrap();
    assert_eq!((told.redriven, told.skipped, told.remaining), (2, 1, 1));
    let why = &told.skipped_because[0];
    assert_eq!((why.code, why.count), (Code::Expired, 1));
    assert_eq!(why.reason, "the time to live of 1 is over");
    assert_eq!(world.state("2"), TaskState::Assigned);
    assert_eq!(world.state("3"), TaskState::Queued);
    assert_eq!(world.state("4"), TaskState::Dead);
    world.crash();
    world.send("op", "handoff/redrive", ask).unwrap();
    let again: Redriven =
        serde_json::from_str(world.last_reply("op").data.unwrap().text()).unwrap();
    assert_eq!(again, told, "a repeat does nothing and tells the same");
    assert_eq!(world.state("4"), TaskState::Dead);
    let on = json!({ "type": "draft", "cursor": told.cursor });
    let told = redrive(&mut world, on);
    assert_eq!((told.redriven, told.skipped, told.remaining), (1, 0, 0));
    assert_eq!(told.cursor, None);
    for bad in [
        json!({}),
        json!({ "task": "4", "type": "draft" }),
        json!({ "type": "draft", "limit": 0 }),
        json!({ "type": "draft", "cursor": "3" }),
    ] {
        assert_eq!(world.send("op", "handoff/redrive", bad), Err(Code::Invalid));
    }
}

fn redrive(world: &mut World, asked: Value) -> Redriven {
    world.send("op", "handoff/redrive", asked).unwrap();
    serde_json::from_str(world.last_reply("op").data.unwrap().text()).unwrap()
}

#[test]
fn a_redrive_walks_on_past_all_that_cannot_live_again() {
    let mut world = World::with(Settings {
        max_capacity: 10_000,
        ..Settings::default()
    });
    world.worker("w", "draft");
    for id in 0..10_005 {
        let id = format!("old-{id}");
        let short = json!({ "id": id, "type": "draft", "maxAttempts": 1, "ttlMs": 5_000 });
        world.dispatch_with("boss", short);
        world.update("w", &id, 1, "error").unwrap();
    }
    world.pass(5_000);
    for id in ["a", "b", "c"] {
        world.dispatch_with(
            "boss",
            json!({ "id": id, "type": "draft", "maxAttempts": 1 }),
        );
        world.update("w", id, 1, "error").unwrap();
    }
    let told = redrive(&mut world, json!({ "type": "draft", "limit": 2 }));
    assert_eq!(
        (told.redriven, told.skipped, told.remaining),
        (0, 10_000, 8)
    );
    let on = json!({ "type": "draft", "limit": 2, "cursor": told.cursor });
    let told = redrive(&mut world, on);
    assert_eq!((told.redriven, told.skipped, told.remaining), (2, 5, 1));
    let on = json!({ "type": "draft", "limit": 2, "cursor": told.cursor });
    let told = redrive(&mut world, on.clone());
    assert_eq!((told.redriven, told.skipped, told.remaining), (1, 0, 0));
    assert_eq!(told.cursor, None);
    assert_eq!(redrive(&mut world, on).remaining, 0, "the loop has ended");
}

#[test]
fn what_remains_is_what_is_behind_whatever_became_of_what_was_passed() {
    let mut world = World::new();
    world.worker("w", "draft");
    for (id, who) in [
        ("1", "full"),
        ("2", "full"),
        ("3", "boss"),
        ("4", "boss"),
        ("5", "boss"),
    ] {
        let task = json!({ "id": id, "type": "draft", "maxAttempts": 1 });
        world.dispatch_with(who, task);
        world.update("w", id, 1, "error").unwrap();
    }
    let full = Agent::new("full").unwrap();
    world.mailboxes.free_results.insert(full.clone(), 0);
    let told = redrive(&mut world, json!({ "type": "draft", "limit": 1 }));
    assert_eq!((told.redriven, told.skipped, told.remaining), (1, 2, 2));
    assert_eq!(told.skipped_because[0].code, Code::TooMany);
    world.update("w", "3", 2, "error").unwrap();
    world.mailboxes.free_results.remove(&full);
    for id in ["1", "2"] {
        world
            .send("full", "handoff/redrive", json!({ "task": id }))
            .unwrap();
    }
    let on = json!({ "type": "draft", "limit": 1, "cursor": told.cursor });
    let told = redrive(&mut world, on);
    assert_eq!((told.redriven, told.skipped, told.remaining), (1, 0, 1));
    let on = json!({ "type": "draft", "limit": 1, "cursor": told.cursor });
    let told = redrive(&mut world, on);
    assert_eq!((told.redriven, told.remaining, told.cursor), (1, 0, None));
    assert_eq!(
        world.state("3"),
        TaskState::Dead,
        "it died again behind the walk"
    );
    world.check();
}

fn whole_view(world: &mut World, asked: Value) -> TaskView {
    world.send("viewer", "handoff/get", asked).unwrap();
    serde_json::from_str(world.last_reply("viewer").data.unwrap().text()).unwrap()
}

#[test]
fn what_a_task_came_to_can_be_asked_for_until_it_is_forgotten() {
    let mut world = World::new();
    world.worker("w", "draft");
    let task = json!({ "id": "t", "type": "draft", "payload": { "q": 1 } });
    world.dispatch_with("boss", task);
    let view = whole_view(&mut world, json!({ "task": "t", "payload": true }));
    assert_eq!(view.payload.unwrap().text(), r#"{"q":1}"#);
    assert_eq!(whole_view(&mut world, json!({ "task": "t" })).payload, None);
    let done =
        json!({ "task": "t", "attempt": 1, "status": "success", "result": { "answer": 42.0 } });
    world.send("w", "handoff/update", done).unwrap();
    for _ in 0..2 {
        let view = whole_view(&mut world, json!({ "task": "t" }));
        assert_eq!(view.result.unwrap().text(), r#"{"answer":42.0}"#);
        assert!(!view.result_omitted);
        world.crash();
    }
    let listed = page(&mut world, json!({}));
    assert_eq!(listed.tasks[0].result, None, "a page has no results");
    world.pass(24 * 60 * 60_000);
    let gone = world.send("viewer", "handoff/get", json!({ "task": "t" }));
    assert_eq!(gone, Err(Code::NotFound));
}

#[test]
fn the_oldest_results_give_way_where_there_is_no_room_for_more() {
    let mut world = World::with(Settings {
        max_result_bytes_per_room: 10,
        ..Settings::default()
    });
    world.worker("w", "draft");
    for id in ["1", "2", "3"] {
        world.dispatch("boss", id, "draft");
        let done = json!({ "task": id, "attempt": 1, "status": "success", "result": "abc" });
        world.send("w", "handoff/update", done).unwrap();
    }
    for _ in 0..2 {
        let kept = ["1", "2", "3"].map(|id| {
            let view = whole_view(&mut world, json!({ "task": id }));
            (view.result.is_some(), view.result_omitted)
        });
        assert_eq!(kept, [(false, true), (true, false), (true, false)]);
        world.crash();
    }
}

#[test]
fn who_takes_little_learns_that_there_is_a_result() {
    let mut world = World::new();
    world.worker("w", "draft");
    world.dispatch("boss", "t", "draft");
    let result = "x".repeat(2_000);
    let done = json!({ "task": "t", "attempt": 1, "status": "success", "result": result });
    world.send("w", "handoff/update", done).unwrap();
    world
        .send("viewer", "presence/announce", json!({ "maxBytes": 2_000 }))
        .unwrap();
    let view = whole_view(&mut world, json!({ "task": "t" }));
    assert_eq!((view.result, view.result_omitted), (None, true));
}

#[test]
fn what_waits_behind_more_urgent_work_has_every_other_turn_after_a_while() {
    let mut world = World::with(Settings {
        max_wait_by_priority_ms: 1_000,
        ..Settings::default()
    });
    let dispatch = |world: &mut World, from: &str, id: &str, priority: &str| {
        let task = json!({ "id": id, "type": "draft", "priority": priority });
        world.dispatch_with(from, task);
    };
    for id in 0..6 {
        dispatch(&mut world, "flood", &format!("low-{id}"), "low");
    }
    dispatch(&mut world, "boss", "mine", "low");
    for id in 0..8 {
        dispatch(&mut world, "boss", &format!("high-{id}"), "high");
    }
    world.worker("w", "draft");
    let finish = |world: &mut World, times: usize| {
        for _ in 0..times {
            let (task, attempt) = world.assignments("w").pop().unwrap();
            world.success("w", &task, attempt);
        }
        world
            .assignments("w")
            .into_iter()
            .map(|(task, _)| task)
            .collect::<Vec<_>>()
    };
    assert_eq!(finish(&mut world, 1), ["high-0", "high-1"]);
    world.pass(999);
    assert_eq!(finish(&mut world, 1)[2..], ["high-2"]);
    world.pass(1);
    world.crash();
    world.worker("w", "draft");
    world.update("w", "high-2", 1, "success").unwrap();
    let order = finish(&mut world, 5);
    assert_eq!(
        order[order.len() - 6..],
        ["high-3", "low-0", "high-4", "mine", "high-5", "low-1"]
    );
}

#[test]
fn a_flooding_dispatcher_does_not_starve_the_others() {
    let mut world = World::new();
    for id in 0..100 {
        world.dispatch("flood", &format!("f{id}"), "draft");
    }
    for id in 0..3 {
        world.dispatch("boss", &format!("b{id}"), "draft");
    }
    world.worker("w", "draft");
    for _ in 0..6 {
        let (task, attempt) = world.assignments("w").pop().unwrap();
        world.success("w", &task, attempt);
    }
    let order: Vec<String> = world
        .assignments("w")
        .into_iter()
        .map(|(task, _)| task)
        .collect();
    assert_eq!(order, ["f0", "b0", "f1", "b1", "f2", "b2", "f3"]);
}

#[test]
fn one_of_the_capabilities_in_any_of_is_enough() {
    let mut world = World::new();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "anyOf": ["french", "german"] }),
    );
    world.worker("w", "draft");
    assert_eq!(world.state("t"), TaskState::Queued);
    world.worker("x", "german");
    assert_eq!(world.state("t"), TaskState::Queued);
    world.crash();
    world.worker("w", "draft");
    world
        .send(
            "w",
            "presence/announce",
            json!({ "capabilities": ["french"] }),
        )
        .unwrap();
    assert_eq!(world.assignments("w"), [("t".to_owned(), 1)]);
    assert_eq!(world.view("t").any_of.len(), 2);
    let only_german = json!({ "type": "draft", "anyOf": ["german"], "requireOnline": true });
    assert_eq!(
        world.send("boss", "handoff/dispatch", only_german),
        Err(Code::Unavailable)
    );
}

#[test]
fn an_assignment_comes_on_a_topic_that_its_worker_listens_to_even_if_it_is_an_any_of() {
    let mut world = World::new();
    world.worker("w", "french");
    world
        .send(
            "w",
            "presence/announce",
            json!({ "capabilities": ["draft"] }),
        )
        .unwrap();
    world.dispatch_with(
        "boss",
        json!({ "id": "t", "type": "draft", "anyOf": ["french"] }),
    );
    let sent = world
        .directed
        .iter()
        .find(|directed| directed.to == agent("w"))
        .unwrap();
    assert_eq!(sent.topic.format(ROOT), "rooms/r/handoff/work/french");
    world.connect("w");
    world.offers("w", "french");
    assert_eq!(
        world.assignments("w").len(),
        2,
        "and again after a new session"
    );
}

#[test]
fn a_small_worker_is_never_sent_what_it_cannot_take() {
    let mut world = World::new();
    world.worker("small", "draft");
    world
        .send(
            "small",
            "presence/announce",
            json!({ "maxBytes": 240, "capacity": 5 }),
        )
        .unwrap();
    world.dispatch_with(
        "boss",
        json!({ "id": "large", "type": "draft", "payload": "x".repeat(200), "priority": "high" }),
    );
    world.dispatch("boss", "little", "draft");
    assert_eq!(
        world.assignments("small"),
        [("little".to_owned(), 1)],
        "nor does it stand in the way"
    );
    assert_eq!(world.state("large"), TaskState::Queued);
    let view = world.view("large");
    assert!(view.bytes.unwrap() > 240, "{view:?}");
    let must = json!({ "type": "draft", "payload": "x".repeat(200), "requireOnline": true });
    assert_eq!(
        world.send("boss", "handoff/dispatch", must),
        Err(Code::Unavailable)
    );
    assert!(world.last_reply("boss").reason.unwrap().contains("bytes"));
    world.crash();
    world.worker("large", "draft");
    assert_eq!(world.assignments("large"), [("large".to_owned(), 1)]);
    let sizes = world
        .directed
        .iter()
        .filter(|directed| directed.to == agent("small"));
    assert!(sizes.map(|directed| directed.payload.len()).max().unwrap() <= 240);
}

#[test]
fn a_worker_that_comes_back_smaller_keeps_what_it_is_at_and_gives_back_what_it_may_not_have_seen() {
    let mut world = World::new();
    world.connect_as("w", false, true);
    let announce = |world: &mut World, said| world.send("w", "presence/announce", said).unwrap();
    announce(&mut world, json!({ "capacity": 2 }));
    world.offers("w", "draft");
    for id in ["t", "u"] {
        let task = json!({ "id": id, "type": "draft", "payload": "x".repeat(200) });
        world.dispatch_with("boss", task);
    }
    world.update("w", "t", 1, "accepted").unwrap();
    announce(&mut world, json!({ "capacity": 2, "maxBytes": 100 }));
    assert_eq!(world.state("u"), TaskState::Assigned, "it has it already");
    world.disconnect("w");
    world.connect_as("w", true, true);
    assert_eq!(world.assignments("w").len(), 2, "nothing is sent again");
    assert_eq!(world.state("t"), TaskState::Running, "it is at it");
    assert_eq!(world.state("u"), TaskState::Waiting);
}

#[test]
fn an_older_record_of_a_task_is_read() {
    let mut world = World::new();
    world.dispatch("boss", "t", "draft");
    world.worker("w", "draft");
    for (key, value) in &mut world.disk {
        let tag = key[2];
        if !matches!(tag, 3 | 4) {
            continue;
        }
        let mut record: BTreeMap<String, serde_cbor::Value> =
            serde_cbor::from_slice(&value[1..]).unwrap();
        let before = record.len();
        record.retain(|field, _| {
            !matches!(field.as_str(), "packet" | "anyOf" | "any_of" | "history")
        });
        assert!(record.len() < before);
        value.truncate(1);
        value.extend(serde_cbor::to_vec(&record).unwrap());
    }
    world.crash();
    assert_eq!(world.state("t"), TaskState::Assigned);
    assert!(world.view("t").bytes.unwrap() > 100);
    assert!(world.view("t").history.is_empty());
}

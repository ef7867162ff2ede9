//! Handoff: listing, histories, redrive by type, turns of dispatchers, small workers.

mod fairness;
mod redrive;

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
    let settings = Settings::tuned(|settings| settings.observe.max_page_bytes = Size(600));
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
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_history_per_task = 2
    }));
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
    let mut world = World::with(Settings::tuned(|settings| {
        settings.handoff.max_result_bytes_per_room = Size(10)
    }));
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

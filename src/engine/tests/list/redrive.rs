//! The dead of a type that are put back to work.

use super::*;

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
    let mut world = World::with(Settings::tuned(|settings| {
        settings.rooms.max_capacity = 10_000
    }));
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

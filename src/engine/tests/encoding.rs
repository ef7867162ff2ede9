//! Encodings: who is answered in what.

use super::*;
use crate::wire::cbor;
use crate::wire::presence::Encoding;

fn cbor_of(value: &Value) -> Vec<u8> {
    serde_cbor::to_vec(value).unwrap()
}

impl World {
    fn send_cbor(&mut self, from: &str, verb: &str, payload: &Value) -> Verdict {
        self.send_raw(from, verb, cbor_of(payload))
    }

    fn last_encoding(&self) -> Encoding {
        let last = self.directed.last().expect("something was directed");
        if cbor::is_map(&last.payload) {
            Encoding::Cbor
        } else {
            Encoding::Json
        }
    }

    /// In which an agent is answered.
    fn answered_in(&mut self, name: &str, asked: &[u8]) -> Encoding {
        let _ = self.send_raw(name, "handoff/get", asked.to_vec());
        self.last_encoding()
    }
}

fn question() -> Value {
    json!({ "task": "none" })
}

#[test]
fn an_agent_is_answered_in_what_it_spoke_last() {
    let mut world = World::new();
    let (json, cbor) = (question().to_string(), cbor_of(&question()));
    for _ in 0..2 {
        assert_eq!(world.answered_in("a", json.as_bytes()), Encoding::Json);
        assert_eq!(world.answered_in("a", &cbor), Encoding::Cbor);
        world.check();
    }
    assert_eq!(world.engine.stats().encodings, 1);
    world.crash();
    world.worker("w", "draft");
    world.dispatch("b", "t", "draft");
    world.success("w", "t", 1);
    assert_eq!(world.last_encoding(), Encoding::Json, "of b");
    world
        .send_cbor(
            "a",
            "handoff/dispatch",
            &json!({ "id": "u", "type": "draft" }),
        )
        .unwrap();
    world.crash();
    world.worker("w", "draft");
    world.success("w", "u", 1);
    assert_eq!(world.last_encoding(), Encoding::Cbor, "of a");
    assert_eq!(world.answered_in("a", json.as_bytes()), Encoding::Json);
    assert_eq!(world.engine.stats().encodings, 0);
    assert!(world.disk.keys().all(|key| !key.starts_with(&[0, 33])));
}

#[test]
fn what_is_announced_holds_until_something_else_is() {
    let mut world = World::new();
    let (json, cbor) = (question().to_string(), cbor_of(&question()));
    let announce =
        |world: &mut World, body: Value| world.send("a", "presence/announce", body).unwrap();
    world.connect("a");
    announce(&mut world, json!({ "encoding": "cbor" }));
    assert_eq!(world.answered_in("a", json.as_bytes()), Encoding::Cbor);
    world.crash();
    assert_eq!(world.answered_in("a", json.as_bytes()), Encoding::Cbor);
    announce(&mut world, json!({ "name": "A" }));
    assert_eq!(world.answered_in("a", json.as_bytes()), Encoding::Cbor);
    announce(&mut world, json!({ "encoding": "json" }));
    assert_eq!(world.answered_in("a", &cbor), Encoding::Json);
    world.crash();
    assert_eq!(world.answered_in("a", &cbor), Encoding::Json);
}

#[test]
fn half_floats_go_only_to_who_has_sent_one() {
    let mut world = World::new();
    let widths = |world: &World| cbor::has_half_float(&world.directed.last().unwrap().payload);
    let get = |world: &mut World| world.answered_in("a", &cbor_of(&question()));
    world.connect("a");
    world.worker("w", "draft");
    let finish = |world: &mut World, task: &str| {
        world.dispatch("a", task, "draft");
        let done = json!({ "task": task, "attempt": 1, "status": "success", "result": 1.5 });
        world.send("w", "handoff/update", done).unwrap();
    };
    world
        .send("a", "presence/announce", json!({ "encoding": "cbor" }))
        .unwrap();
    finish(&mut world, "t1");
    assert!(cbor::is_map(&world.directed.last().unwrap().payload) && !widths(&world));
    assert_eq!(get(&mut world), Encoding::Cbor);
    finish(&mut world, "t2");
    assert!(!widths(&world), "it has sent none");
    let _ = world.answered_in("a", &cbor_of(&json!({ "task": "none", "x": 0.5 })));
    finish(&mut world, "t3");
    assert!(widths(&world));
    world.check();
    world.crash();
    world.worker("w", "draft");
    finish(&mut world, "t4");
    assert!(widths(&world), "it is remembered");
    assert_eq!(
        world.answered_in("a", question().to_string().as_bytes()),
        Encoding::Cbor
    );
}

#[test]
fn of_too_many_the_first_is_forgotten() {
    let settings = Settings::tuned(|settings| settings.rooms.max_encodings = 2);
    let mut world = World::with(settings);
    for name in ["a", "b", "c"] {
        assert_eq!(
            world.answered_in(name, &cbor_of(&question())),
            Encoding::Cbor
        );
    }
    assert_eq!(world.engine.stats().encodings, 2);
    world.connect("a");
    world.subscribe("a", "rooms/r/handoff/work/draft").unwrap();
    world.dispatch("x", "t", "draft");
    assert_eq!(world.last_encoding(), Encoding::Json, "a is forgotten");
    world.crash();
    assert_eq!(world.engine.stats().encodings, 2);
}

#[test]
fn a_repeat_in_the_other_encoding_is_a_repeat() {
    let mut world = World::new();
    let task = json!({ "id": "t", "type": "draft", "payload": { "n": 1.5 } });
    world.send_cbor("a", "handoff/dispatch", &task).unwrap();
    world.send("a", "handoff/dispatch", task).unwrap();
    assert_eq!(world.engine.stats().tasks.of(TaskState::Queued), 1);
    let reply: Reply = parse(&world.directed.last().unwrap().payload);
    assert_eq!(reply.code, Code::Taken);
}

#[test]
fn rooms_may_have_an_encoding_of_their_own() {
    let mut settings = Settings::default();
    let own = RoomConfig {
        encoding: Some(Encoding::Cbor),
        ..RoomConfig::default()
    };
    settings.rooms.room.insert(Room::new("r").unwrap(), own);
    let mut world = World::with(settings);
    world
        .send("a", "blackboard/set/k", json!({ "value": 1, "id": "i" }))
        .unwrap();
    assert!(cbor::is_map(&world.retained["rooms/r/blackboard/state/k"]));
    assert_eq!(world.last_encoding(), Encoding::Json);
    assert_eq!(
        world.engine.encoding(&Room::new("r").unwrap()),
        Encoding::Cbor
    );
    assert_eq!(
        world.engine.encoding(&Room::new("s").unwrap()),
        Encoding::Json
    );
}

#[test]
fn what_begins_with_another_tag_is_refused_in_the_words_of_cbor() {
    let mut world = World::new();
    // A set (tag 258) around the command, and a list of it.
    let set = [&[0xd9, 0x01, 0x02][..], &cbor_of(&question())].concat();
    let list = cbor_of(&json!([question()]));
    for (payload, words) in [(set, "tag 258"), (list, "list")] {
        world.send_raw("a", "handoff/get", payload).unwrap_err();
        assert_eq!(world.last_encoding(), Encoding::Cbor);
        let reply: Reply = parse(&world.directed.last().unwrap().payload);
        let reason = reply.reason.unwrap_or_default();
        assert!(reason.contains(words), "{reason}");
    }
}

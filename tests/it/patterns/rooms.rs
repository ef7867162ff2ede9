//! Rooms: as configured, for members, and closed.

use serde_json::json;

use crate::harness::{Agent, Client, Connect, Gateway, Publish, Setup};

#[test]
fn rooms_are_as_their_sections_say() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("hallward.toml");
    let toml = "[rooms]\ncreate = \"configured\"\n[rooms.room.lab]\nmembers = [\"ann\", \"w-*\"]\nmax_keys = 1\n";
    std::fs::write(&file, toml).expect("written");
    let gateway = Setup::new().configured_by(&file).start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("one", json!(1));
    ann.rejected(429, "blackboard/set/ann/two", json!({ "value": 2 }));
    let mut eve = Client::connect(gateway.mqtt, Connect::v5("eve"));
    let refused = [("rooms/lab/reply/eve", 1), ("rooms/attic/reply/eve", 1)];
    assert_eq!(eve.subscribe(&refused), [0x87, 0x80]);
    let set = |room| {
        Publish::new(
            &format!("rooms/{room}/blackboard/set/eve/k"),
            r#"{"value":1}"#,
            1,
        )
    };
    assert_eq!(eve.publish(set("lab")), 0x87, "no member");
    assert_eq!(eve.publish(set("attic")), 0x83, "no such room");
}

#[test]
fn a_room_is_closed_and_opened_again() {
    let mut gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    boss.set("plan", json!(1));
    boss.listen("handoff/result/boss");
    boss.dispatch(json!({ "type": "draft", "id": "t-1" }));
    worker.assignment("draft");
    boss.accepted("room/close/boss", json!({ "reason": "done for today" }));
    let result = boss.result();
    assert_eq!(result.error.expect("words").message, "the room was closed");
    boss.rejected(503, "blackboard/set/boss/plan", json!({ "value": 2 }));
    let mut late = Agent::join_v311(&gateway, "other", "late");
    let filters = [
        ("rooms/lab/handoff/work/draft", 1),
        ("rooms/lab/reply/late", 1),
    ];
    assert_eq!(late.subscribe(&filters), [0x80, 1], "who only listens may");
    gateway.kill();
    gateway.restart();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.rejected(503, "blackboard/set/boss/plan", json!({ "value": 2 }));
    boss.accepted("room/open/boss", json!({}));
    boss.set("plan", json!(2));
}

//! CBOR: agents of either encoding in one room, each spoken to in its own.

use std::fs;

use hallward::wire::handoff::ResultStatus;
use serde_json::{Value, json};

use crate::harness::{
    Agent, Connect, Gateway, Properties, Publish, Setup, Value as Property, is_cbor, property, read,
};

/// Numbers of every kind, text of every kind, nesting.
fn everything() -> Value {
    json!({
        "most": u64::MAX, "least": i64::MIN, "float": 1.0, "tenth": 0.1, "tiny": 5e-324,
        "text": "naïve \"𝄞\"\u{0}\n", "none": null, "nested": [[], {}, [[{"a": [true, false]}]]],
    })
}

fn content_type(message: &Publish) -> Option<&str> {
    match message.properties.find(property::CONTENT_TYPE)? {
        Property::Text(text) => Some(text),
        other => panic!("{other:?} is no Content Type"),
    }
}

#[test]
fn a_cbor_dispatcher_and_a_json_worker_understand_each_other() {
    let gateway = Gateway::start();
    let mut sensor = Agent::join(&gateway, "lab", "sensor").in_cbor();
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    sensor.listen("handoff/result/sensor");
    sensor.dispatch(json!({ "type": "draft", "payload": everything() }));
    let assignment = worker.assignment("draft");
    let payload: Value = serde_json::from_str(assignment.payload.as_ref().unwrap().text()).unwrap();
    assert_eq!(payload, everything());
    worker.update(
        &assignment,
        "progress",
        json!({ "result": { "half": 0.5 } }),
    );
    worker.succeed(&assignment, everything());
    assert_eq!(sensor.result().status, ResultStatus::Partial);
    let message = sensor.message_on("rooms/lab/handoff/result/sensor");
    assert_eq!(content_type(&message), Some("application/cbor"));
    let result: Value = serde_cbor::from_slice(&message.payload).unwrap();
    assert_eq!(result["result"], everything());
    // Every type is as it was, bit for bit.
    assert!(result["result"]["float"].is_f64() && result["result"]["most"].is_u64());
}

#[test]
fn a_json_dispatcher_and_a_cbor_worker_understand_each_other() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    let mut device = Agent::join_v311(&gateway, "lab", "device").in_cbor();
    device.announce(json!({ "capacity": 1 }));
    device.listen("handoff/work/draft");
    let payload = r#"{"z":1.0,"a":[0.1,18446744073709551615,-9223372036854775808,null],"t":"é"}"#;
    boss.tell_raw(
        "handoff/dispatch/boss",
        format!(r#"{{"id":"t","type":"draft","payload":{payload}}}"#),
    );
    let message = device.message_on("rooms/lab/handoff/work/draft");
    let assignment: Value = serde_cbor::from_slice(&message.payload).unwrap();
    assert_eq!(
        assignment["payload"],
        serde_json::from_str::<Value>(payload).unwrap()
    );
    let update =
        json!({ "task": "t", "attempt": 1, "status": "success", "result": assignment["payload"] });
    device.accepted("handoff/update/device", update);
    let result = boss.result();
    // The device's writer has sorted the keys; nothing else changed.
    let sorted = r#"{"a":[0.1,18446744073709551615,-9223372036854775808,null],"t":"é","z":1.0}"#;
    assert_eq!(result.result.unwrap().text(), sorted);
}

#[test]
fn every_pattern_speaks_cbor() {
    let gateway = Gateway::start();
    let mut device = Agent::join(&gateway, "lab", "device").in_cbor();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    // Blackboard: written in CBOR, shown in JSON, read in CBOR.
    ann.listen("blackboard/state/#");
    assert_eq!(device.set("plan/a", everything()), 1);
    let state = ann.state("plan/a").expect("set");
    assert_eq!(
        serde_json::from_str::<Value>(state.value.text()).unwrap(),
        everything()
    );
    let reply = device.accepted("blackboard/get/device", json!({ "prefix": "plan" }));
    let snapshot: Value = serde_json::from_str(reply.data.unwrap().text()).unwrap();
    assert_eq!(snapshot["entries"][0]["value"], everything());
    let conflict = device.rejected(
        409,
        "blackboard/set/device/plan/a",
        json!({ "value": 1, "ifVersion": 7 }),
    );
    assert_eq!(conflict.current.unwrap().version, 1);
    let merge = json!({ "value": { "none": null, "more": 1 }, "merge": true });
    device.accepted("blackboard/set/device/plan/a", merge);
    // Approve: the digest is the same in either encoding.
    device.listen("approve/decision/device");
    ann.listen("approve/pending/+");
    let content = json!({ "flow": 1.5, "on": true });
    let request = device.request(json!({ "action": "open the valve", "content": content }));
    let pending: Value = ann.next(&format!("approve/pending/{request}"));
    ann.decide(
        &request,
        json!({ "decision": "approve", "digest": pending["digest"] }),
    );
    assert!(device.decision().approved);
    // Tools: a caller in JSON, a provider in CBOR, and the schema holds.
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    device.provide(
        "double",
        json!({ "description": "twice", "inputSchema": schema }),
    );
    ann.listen("tools/result/ann");
    ann.rejected(
        422,
        "tools/call/ann/double",
        json!({ "arguments": { "n": 1.5 } }),
    );
    ann.call("double", json!({ "arguments": { "n": 4 } }));
    let run = device.run("double");
    assert_eq!(run.arguments.unwrap().text(), r#"{"n":4}"#);
    device.answer(run.call.as_str(), "success", json!({ "result": 8 }));
    assert_eq!(ann.tool_result().result.unwrap().text(), "8");
    // Lists, and the past.
    let roll = device.accepted("presence/list/device", json!({}));
    assert!(roll.data.unwrap().text().contains(r#""agent":"ann""#));
    let past = device.accepted("observe/replay/device", json!({ "fromSeq": 1 }));
    assert!(
        past.data
            .unwrap()
            .text()
            .contains(r#""what":"blackboard.set""#)
    );
}

#[test]
fn inbox_messages_are_bytes_and_no_language() {
    let gateway = Gateway::start();
    let mut device = Agent::join(&gateway, "lab", "device").in_cbor();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    device.listen("inbox/device/+");
    ann.tell_raw("inbox/device/ann", [0xa1, 0xff, 0x00]);
    let message = device.message_on("rooms/lab/inbox/device/ann");
    assert_eq!(message.payload, [0xa1, 0xff, 0x00]);
    ann.rejected(404, "handoff/get/ann", json!({ "task": "none" }));
}

#[test]
fn what_was_announced_holds_and_what_was_spoken_last_is_known_after_a_kill() {
    let mut gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss").in_cbor();
    let mut fixed = Agent::join(&gateway, "lab", "fixed");
    let announced = json!({ "encoding": "cbor" }).to_string();
    fixed.tell_raw("presence/announce/fixed", announced);
    boss.tell(
        "handoff/dispatch/boss",
        &json!({ "type": "draft", "id": "t" }),
    );
    let topics = |agent: &str| format!("rooms/lab/handoff/result/{agent}");
    gateway.kill();
    gateway.restart();
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let assignment = worker.assignment("draft");
    worker.succeed(&assignment, json!(1));
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    let result = boss.message_on(&topics("boss"));
    assert!(is_cbor(&result), "it spoke CBOR last: {result:?}");
    // From its next command on it is JSON, whatever waits.
    boss.tell(
        "handoff/dispatch/boss",
        &json!({ "type": "draft", "id": "u" }),
    );
    let assignment = worker.assignment("draft");
    worker.succeed(&assignment, json!(1));
    assert!(!is_cbor(&boss.message_on(&topics("boss"))));
    // Who has announced CBOR gets it, whatever it speaks.
    let mut fixed = Agent::join(&gateway, "lab", "fixed");
    fixed.tell_raw("handoff/get/fixed", r#"{"task":"none"}"#);
    let reply = fixed.message_on("rooms/lab/reply/fixed");
    assert!(is_cbor(&reply), "{reply:?}");
    assert_eq!(read::<Value>(&reply)["code"], 404);
    fixed.tell_raw(
        "presence/announce/fixed",
        r#"{"encoding":"json","correlationId":"c"}"#,
    );
    assert!(!is_cbor(&fixed.message_on("rooms/lab/reply/fixed")));
}

#[test]
fn content_type_says_cbor_where_the_first_byte_does_not() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let typed = |payload: &[u8]| Publish {
        properties: Properties::new().text(property::CONTENT_TYPE, "application/cbor; x=y"),
        ..Publish::new("rooms/lab/handoff/get/ann", payload, 1)
    };
    // A map with the tag of CBOR, in a long form.
    let tagged = [
        &[0xda, 0x00, 0x00, 0xd9, 0xf7][..],
        &serde_cbor::to_vec(&json!({ "task": "x" })).unwrap(),
    ]
    .concat();
    ann.publish(typed(&tagged));
    let mut ann = ann.in_cbor();
    assert_eq!(u16::from(ann.reply().code), 404);
    ann.publish(typed(br#"{"task":"x"}"#));
    let reply = ann.reply();
    assert_eq!(u16::from(reply.code), 400, "it is JSON: {reply:?}");
}

#[test]
fn tags_keep_their_meaning_or_are_refused_with_their_place() {
    let gateway = Gateway::start();
    let mut device = Agent::join(&gateway, "lab", "device").in_cbor();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("blackboard/state/#");
    // {"value": X, "ttlMs": 60000.0, "id": "1"}, a `Map` of cbor-x.
    let set = |value: &[u8], id: u8| {
        let mut bytes = vec![0xd9, 0xd9, 0xf7, 0xd9, 0x01, 0x03, 0xa3];
        bytes.extend(b"\x65value");
        bytes.extend(value);
        bytes.extend(b"\x65ttlMs\xfb");
        bytes.extend(60_000.0_f64.to_be_bytes());
        bytes.extend(b"\x62id\x61");
        bytes.push(id);
        bytes
    };
    for (id, key, value, text) in [
        (b'1', "decimal", &b"\xc4\x82\x21\x19\x6a\xb3"[..], "273.15"),
        (
            b'2',
            "big",
            b"\xc2\x49\x01\0\0\0\0\0\0\0\0",
            "18446744073709551616",
        ),
        (b'3', "time", b"\xc1\x1a\x51\x4b\x67\xb0", "1363896240"),
        (b'4', "bigfloat", b"\xc5\x82\x20\x03", "1.5"),
    ] {
        device.tell_raw(&format!("blackboard/set/device/{key}"), set(value, id));
        assert_eq!(u16::from(device.reply().code), 200, "{key}");
        let state = ann.state(key).expect("set");
        assert_eq!(state.value.text(), text, "{key}");
    }
    // A rational number, which JSON does not have.
    device.tell_raw(
        "blackboard/set/device/r",
        set(b"\xd8\x1e\x82\x01\x03", b'5'),
    );
    let reply = device.reply();
    assert_eq!(u16::from(reply.code), 400);
    assert_eq!(reply.path.as_deref(), Some("value"));
    assert!(reply.reason.expect("words").contains("tag 30"));
    assert_eq!(reply.id.expect("its id").as_str(), "5");
}

#[test]
fn half_floats_are_sent_only_to_who_has_sent_one() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("half", json!(1.5));
    let mut device = Agent::join(&gateway, "lab", "device").in_cbor();
    device.announce(json!({ "encoding": "cbor" }));
    let mut ask = |body: &Value| {
        device.tell("blackboard/get/device", body);
        let reply = device.message_on("rooms/lab/reply/device");
        hallward::wire::cbor::has_half_float(&reply.payload)
    };
    assert!(!ask(&json!({ "correlationId": "1" })));
    assert!(ask(&json!({ "correlationId": "2", "ignored": 0.5 })));
    assert!(ask(&json!({ "correlationId": "3" })));
}

#[test]
fn hostile_cbor_is_answered_in_cbor() {
    let gateway = Gateway::start();
    let mut eve = Agent::join(&gateway, "lab", "eve").in_cbor();
    let deep = [&[0xa1, 0x61, b'p'][..], &[0x81; 100_000]].concat();
    let long = [&[0xa1, 0x61, b'p', 0x7b][..], &(1u64 << 60).to_be_bytes()].concat();
    let many = [&[0xa1, 0x61, b'p', 0x9b][..], &(1u64 << 60).to_be_bytes()].concat();
    let endless = [0xbf].repeat(1_000);
    for payload in [&deep, &long, &many, &endless] {
        assert_eq!(
            eve.tell_raw("handoff/dispatch/eve", payload.as_slice()),
            0x99
        );
        let reply = eve.reply();
        assert_eq!(u16::from(reply.code), 400);
        assert!(reply.reason.unwrap().starts_with("no CBOR that has a JSON"));
    }
    // What JSON cannot say: refused with its place, and with the id that it came with.
    let mut dispatch = vec![0xa3, 0x62, b'i', b'd', 0x61, b'7', 0x64];
    dispatch.extend(b"type\x65draft\x67payload\xa1\x63pic\x42ab");
    eve.tell_raw("handoff/dispatch/eve", dispatch);
    let reply = eve.reply();
    assert_eq!(reply.path.as_deref(), Some("payload.pic"));
    assert_eq!(reply.id.unwrap().as_str(), "7");
    // An empty payload means what it meant.
    eve.announce(json!({}));
    assert_eq!(eve.tell_raw("presence/announce/eve", []), 0);
}

#[test]
fn a_room_is_in_cbor_where_its_section_says_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("hallward.toml");
    fs::write(&file, "[rooms.room.lab]\nencoding = \"cbor\"\n").expect("written");
    let mut gateway = Setup::new().configured_by(&file).start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for topic in [
        "blackboard/state/#",
        "presence/agent/+",
        "observe/events/gateway/+",
    ] {
        ann.listen(topic);
    }
    ann.set("plan", everything());
    let state = ann.message_on("rooms/lab/blackboard/state/plan");
    let value: Value = serde_cbor::from_slice(&state.payload).unwrap();
    assert_eq!(value["value"], everything());
    assert!(is_cbor(&ann.message_on("rooms/lab/presence/agent/ann")));
    let event = ann.message_on("rooms/lab/observe/events/gateway/blackboard");
    assert!(is_cbor(&event));
    assert_eq!(content_type(&event), Some("application/cbor"));
    // Its own mail is in its own language, the past included.
    let past = ann.accepted("observe/replay/ann", json!({ "fromSeq": 1 }));
    assert!(
        past.data
            .unwrap()
            .text()
            .contains(r#""what":"blackboard.set""#)
    );
    let mut other = Agent::join(&gateway, "attic", "ann2");
    other.listen("blackboard/state/#");
    other.set("plan", json!(1));
    assert!(!is_cbor(
        &other.message_on("rooms/attic/blackboard/state/plan")
    ));
    // Another configuration: what is there already follows it.
    gateway.stop();
    fs::write(
        &file,
        "[rooms]\nencoding = \"cbor\"\n[rooms.room.lab]\nencoding = \"json\"\n",
    )
    .expect("written");
    gateway.restart();
    let mut late = Agent::join_as(&gateway, "lab", Connect::v5("late"));
    late.listen("blackboard/state/#");
    let state = late.message_on("rooms/lab/blackboard/state/plan");
    let value: Value = serde_json::from_slice(&state.payload).unwrap();
    assert_eq!(value["value"], everything());
    let mut late = Agent::join_as(&gateway, "attic", Connect::v5("late2"));
    late.listen("blackboard/state/#");
    assert!(is_cbor(
        &late.message_on("rooms/attic/blackboard/state/plan")
    ));
}

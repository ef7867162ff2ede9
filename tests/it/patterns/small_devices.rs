//! Small devices: 3.1.1, QoS 0, a buffer of 256 bytes, and nothing is lost in it.

use hallward::wire::presence::ConnectionState;
use serde_json::{Value, json};

use crate::harness::{
    Ack, Agent, Client, Connect, Gateway, Packet, Publish, Setup, Small, Version,
};

const ANNOUNCE: &str = r#"{"maxBytes":256,"correlationId":"a"}"#;

/// A device as docs/small-devices.md tells it to begin.
fn pump(gateway: &Gateway) -> Small {
    let mut pump = Small::connect(gateway, "pump");
    pump.tell("presence/announce/{me}", ANNOUNCE);
    pump.listen("reply/pump");
    while pump.reply()["correlationId"] != "a" {}
    pump
}

fn long() -> String {
    "x".repeat(400)
}

#[test]
fn a_device_joins_takes_work_reports_and_gets_what_it_asked_for() {
    let gateway = Gateway::start();
    let mut pump = pump(&gateway);
    pump.listen("handoff/work/pump");
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    // One that is too large waits for somebody else, and is not in the way.
    let large = boss.dispatch(json!({ "type": "pump", "id": "large", "payload": long() }));
    boss.dispatch(json!({ "type": "pump", "id": "t1", "payload": { "litres": 5 } }));
    let work = pump.next_on("handoff/work/pump");
    assert_eq!(
        (&work["task"], &work["payload"]),
        (&json!("t1"), &json!({ "litres": 5 }))
    );
    let refused = json!({ "type": "pump", "payload": long(), "requireOnline": true });
    let refused = boss.rejected(503, "handoff/dispatch/boss", refused);
    assert!(refused.reason.unwrap().contains("take a packet of"));
    pump.tell(
        "handoff/update/{me}",
        r#"{"task":"t1","attempt":1,"status":"success","result":5.5,"id":"u1"}"#,
    );
    assert_eq!(pump.reply()["code"], 200);
    let result = boss.result();
    assert_eq!(
        (result.task.as_str(), result.result.unwrap().text()),
        ("t1", "5.5")
    );
    let mut big = Agent::worker(&gateway, "lab", "big", "pump");
    assert_eq!(big.assignment("pump").task.as_str(), large);
    // As a dispatcher.
    pump.listen("handoff/result/pump");
    let mut helper = Agent::worker(&gateway, "lab", "helper", "weather");
    pump.tell("handoff/dispatch/{me}", r#"{"id":"w1","type":"weather"}"#);
    assert_eq!(pump.reply()["code"], 202);
    let assignment = helper.assignment("weather");
    helper.succeed(&assignment, json!({ "rain": true }));
    let result = pump.next_on("handoff/result/pump");
    assert_eq!(result["result"], json!({ "rain": true }));
    pump.expect_nothing();
}

#[test]
fn what_is_too_large_comes_short_and_says_so() {
    let gateway = Gateway::start();
    let mut pump = pump(&gateway);
    let mut ann = Agent::join(&gateway, "lab", "ann");
    // A result: how it ended, without what came of it.
    pump.listen("handoff/result/pump");
    pump.tell("handoff/dispatch/{me}", r#"{"id":"w1","type":"weather"}"#);
    pump.reply();
    let mut helper = Agent::worker(&gateway, "lab", "helper", "weather");
    let assignment = helper.assignment("weather");
    helper.succeed(&assignment, json!({ "map": long() }));
    let result = pump.next_on("handoff/result/pump");
    assert_eq!(result["status"], "succeeded");
    assert!(result["tooLarge"].as_u64().unwrap() > 500 && result.get("result").is_none());
    // A conflict: without what stands there.
    ann.set("plan", json!(long()));
    pump.tell("blackboard/set/{me}/plan", r#"{"value":1,"ifVersion":7}"#);
    let conflict = pump.reply();
    assert_eq!(
        (&conflict["code"], &conflict["status"]),
        (&json!(409), &json!("rejected"))
    );
    assert!(conflict["tooLarge"].is_u64() && conflict.get("current").is_none());
    // A question: refused, with words.
    pump.tell("blackboard/get/{me}", r#"{"prefix":"plan"}"#);
    let refused = pump.reply();
    assert_eq!(refused["code"], 413);
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .ends_with("ask for less")
    );
    // A decision: without its content, which the device knows.
    pump.listen("approve/decision/pump");
    pump.tell(
        "approve/request/{me}",
        r#"{"id":"a1","action":"open","content":{"valve":7}}"#,
    );
    pump.reply();
    let approve =
        json!({ "decision": "approve", "reason": long(), "edit": { "valve": 8, "why": long() } });
    assert_eq!(u16::from(ann.decide("a1", approve).code), 200);
    let decision = pump.next_on("approve/decision/pump");
    assert_eq!(
        (&decision["approved"], &decision["edited"]),
        (&json!(true), &json!(true))
    );
    assert!(decision["tooLarge"].is_u64() && decision.get("content").is_none());
    // A tool's result.
    helper.provide(
        "big",
        json!({ "description": "says much", "inputSchema": {} }),
    );
    pump.listen("tools/result/pump");
    pump.tell("tools/call/{me}/big", "{}");
    let run = helper.run("big");
    helper.answer(run.call.as_str(), "success", json!({ "result": long() }));
    let result = pump.next_on("tools/result/pump");
    assert_eq!(
        (&result["status"], &result["final"]),
        (&json!("success"), &json!(true))
    );
    assert!(result["tooLarge"].is_u64());
    pump.expect_nothing();
    assert!(gateway.metric("hallward_desk_deliveries_shortened_total") >= 4);
}

#[test]
fn whoever_writes_too_much_to_a_device_is_told() {
    let gateway = Gateway::start();
    let mut pump = pump(&gateway);
    pump.listen("inbox/pump/+");
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.tell_raw("inbox/pump/ann", long());
    let refused = ann.reply();
    assert_eq!(u16::from(refused.code), 413);
    assert!(
        refused
            .reason
            .unwrap()
            .contains("pump takes packets of at most 256 bytes")
    );
    ann.tell_raw("inbox/pump/ann", r#""hello""#);
    assert_eq!(pump.next_on("inbox/pump/ann"), json!("hello"));
    // A tool that a device provides.
    pump.listen("tools/run/blink");
    let tool = r#"{"description":"blinks","inputSchema":{},"id":"r"}"#;
    pump.tell("tools/register/{me}/blink", tool);
    assert_eq!(pump.reply()["code"], 200);
    ann.rejected(
        413,
        "tools/call/ann/blink",
        json!({ "arguments": { "text": long() } }),
    );
    ann.call("blink", json!({ "arguments": { "times": 3 } }));
    let run = pump.next_on("tools/run/blink");
    assert_eq!(run["arguments"], json!({ "times": 3 }));
    pump.expect_nothing();
}

#[test]
fn what_came_while_a_device_was_away_is_made_to_fit_when_it_returns() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut helper = Agent::worker(&gateway, "lab", "helper", "weather");
    // It has said nothing about its buffer yet, and is gone again.
    let mut stranger = Small::connect(&gateway, "pump");
    stranger.tell("handoff/dispatch/{me}", r#"{"type":"weather","id":"w1"}"#);
    let assignment = helper.assignment("weather");
    stranger.vanish();
    helper.succeed(&assignment, json!({ "map": long() }));
    ann.tell_raw("inbox/pump/ann", format!("\"{}\"", long()));
    gateway.kill();
    gateway.restart();
    let mut pump = pump(&gateway);
    pump.listen("handoff/result/pump");
    assert!(pump.next_on("handoff/result/pump")["tooLarge"].is_u64());
    // What cannot be shortened is told of.
    pump.listen("inbox/pump/+");
    let told = pump.reply();
    assert_eq!(
        (&told["command"], &told["code"]),
        (&json!("inbox/pump/ann"), &json!(413))
    );
    pump.expect_nothing();
    // What it said holds over a restart, as long as it is back within the grace.
    gateway.kill();
    gateway.restart();
    let mut pump = Small::connect(&gateway, "pump");
    pump.listen("reply/pump");
    pump.tell("blackboard/set/{me}/k", r#"{"value":1,"id":"i"}"#);
    while pump.reply()["id"] != "i" {}
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.tell_raw("inbox/pump/ann", long());
    assert_eq!(u16::from(ann.reply().code), 413);
    assert_eq!(pump.lost, Vec::<String>::new());
}

#[test]
fn a_mailbox_full_of_what_a_device_cannot_take_is_emptied_and_disturbs_nobody() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for _ in 0..1_500 {
        ann.tell_raw("inbox/pump/ann", long());
    }
    // It does not listen to replies, so that nothing slows down what it is told.
    let mut pump = Small::connect(&gateway, "pump");
    pump.tell("presence/announce/{me}", r#"{"maxBytes":256}"#);
    pump.listen("inbox/pump/+");
    pump.listen("reply/pump");
    assert_eq!(pump.reply()["code"], 413);
    ann.set("still", json!("here"));
    gateway.kill();
    gateway.restart();
    let mut pump = Small::connect(&gateway, "pump");
    pump.listen("inbox/pump/+");
    pump.listen("reply/pump");
    pump.tell("handoff/get/{me}", r#"{"task":"none"}"#);
    while pump.reply()["code"] != 404 {}
    assert_eq!(pump.lost, Vec::<String>::new());
}

/// A pump whose session outlives its connection, and that acknowledges nothing by itself.
fn keeping_pump(gateway: &Gateway) -> Client {
    Client::connect(gateway.mqtt, Connect::v311("pump").persistent()).by_hand()
}

fn tell(pump: &mut Client, rest: &str, payload: &str) {
    pump.publish(Publish::new(&format!("rooms/lab/{rest}/pump"), payload, 1));
}

#[test]
fn what_waits_in_a_session_is_made_to_fit_also_after_a_crash() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut pump = keeping_pump(&gateway);
    tell(&mut pump, "presence/announce", r#"{"maxBytes":256}"#);
    tell(&mut pump, "handoff/dispatch", r#"{"type":"weather"}"#);
    let mut helper = Agent::worker(&gateway, "lab", "helper", "weather");
    let assignment = helper.assignment("weather");
    helper.succeed(&assignment, json!({ "map": long() }));
    ann.set("done", json!(true));
    // It is connected: nobody knows afterwards what it was sent.
    gateway.kill();
    gateway.restart();
    let mut pump = keeping_pump(&gateway);
    pump.subscribe(&[("rooms/lab/handoff/result/pump", 1)]);
    let result = pump.message_on("rooms/lab/handoff/result/pump");
    assert!(result.text().contains("tooLarge"), "{}", result.text());
}

#[test]
fn what_was_sent_short_is_sent_again_as_it_was() {
    let mut gateway = Gateway::start();
    let topic = "rooms/lab/handoff/result/pump";
    let mut pump = keeping_pump(&gateway);
    tell(&mut pump, "presence/announce", r#"{"maxBytes":256}"#);
    tell(&mut pump, "handoff/dispatch", r#"{"type":"weather"}"#);
    pump.subscribe(&[(topic, 1)]);
    let mut helper = Agent::worker(&gateway, "lab", "helper", "weather");
    let assignment = helper.assignment("weather");
    helper.succeed(&assignment, json!({ "map": long() }));
    let first = pump.message_on(topic);
    assert!(first.text().contains("tooLarge") && !first.dup);
    // It has more memory now, but this message is what it is.
    tell(&mut pump, "presence/announce", "{}");
    pump.vanish();
    let mut pump = keeping_pump(&gateway);
    let again = pump.message_on(topic);
    assert_eq!((&again.payload, again.dup), (&first.payload, true));
    pump.vanish();
    gateway.kill();
    gateway.restart();
    let again = keeping_pump(&gateway).message_on(topic);
    assert_eq!((&again.payload, again.dup), (&first.payload, true));
    assert_eq!(again.packet_id, first.packet_id);
}

#[test]
fn what_waits_for_a_device_that_takes_less_now_goes_to_somebody_else_or_fails_with_words() {
    let gateway = Setup::new().with("mqtt.max_inflight", "1").start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    boss.listen("tools/result/boss");
    let mut pump = keeping_pump(&gateway);
    let registration = r#"{"description":"a map","inputSchema":{}}"#;
    pump.publish(Publish::new(
        "rooms/lab/tools/register/pump/map",
        registration,
        1,
    ));
    tell(&mut pump, "presence/announce", r#"{"capacity":3}"#);
    pump.subscribe(&[
        ("rooms/lab/handoff/work/weather", 1),
        ("rooms/lab/tools/run/map", 1),
    ]);
    boss.dispatch(json!({ "type": "weather", "id": "first" }));
    let first = pump.message_on("rooms/lab/handoff/work/weather");
    let large = boss.dispatch(json!({ "type": "weather", "payload": long() }));
    boss.call("map", json!({ "arguments": { "of": long() } }));
    tell(
        &mut pump,
        "presence/announce",
        r#"{"capacity":3,"maxBytes":256}"#,
    );
    let mut helper = Agent::worker(&gateway, "lab", "helper", "weather");
    // Only now is there room for what waits.
    let packet_id = first.packet_id.expect("of QoS 1");
    pump.send(&Packet::PubAck(Ack::ok(packet_id)));
    let result = boss.tool_result();
    let code = result.error.expect("it failed").code;
    assert_eq!(code.as_deref(), Some("too-large"));
    let assignment = helper.assignment("weather");
    assert_eq!(
        (assignment.task.as_str(), assignment.attempt),
        (large.as_str(), 1),
        "it was never given more than its window takes"
    );
    helper.succeed(&assignment, json!({ "rain": true }));
    assert_eq!(boss.result().task.as_str(), large);
}

#[test]
fn at_qos_0_what_was_written_counts_as_received() {
    let gateway = Gateway::start();
    let mut first = pump(&gateway);
    first.listen("inbox/pump/+");
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.tell_raw("inbox/pump/ann", "1");
    assert_eq!(first.next_on("inbox/pump/ann"), json!(1));
    first.vanish();
    ann.listen("presence/agent/pump");
    ann.presence_where("pump", |pump| pump.connection == ConnectionState::Away);
    ann.tell_raw("inbox/pump/ann", "2");
    let mut second = pump(&gateway);
    second.listen("inbox/pump/+");
    assert_eq!(
        second.next_on("inbox/pump/ann"),
        json!(2),
        "and not 1 again"
    );
    second.expect_nothing();
}

#[test]
fn a_device_of_cbor_is_measured_in_cbor() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut device = Agent::join_v311(&gateway, "lab", "device").in_cbor();
    device.announce(json!({ "maxBytes": 256, "encoding": "cbor", "capacity": 9 }));
    device.listen("handoff/work/pump");
    let floats: Vec<f64> = (1..15).map(|n| f64::from(n) / 10.0).collect();
    boss.dispatch(json!({ "type": "pump", "id": "floats", "payload": floats }));
    boss.dispatch(json!({ "type": "pump", "id": "t", "payload": floats[..5] }));
    let assignment: Value = device.next("handoff/work/pump");
    assert_eq!(assignment["task"], "t");
}

/// Bytes of a hex dump.
fn hex(text: &str) -> Vec<u8> {
    let digits = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    let byte = |pair| u8::from_str_radix(pair, 16).expect("two digits");
    digits.map(byte).collect()
}

/// What the sketch in docs/small-devices.md has sent, byte for byte, when it was compiled with
/// PubSubClient 2.8.
#[test]
fn the_sketch_of_the_guide_is_understood_as_pubsubclient_sends_it() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "plant", "boss");
    boss.listen("handoff/result/boss");
    let client = Client::open(gateway.mqtt, Version::V311).expect("the gateway accepts");
    let mut pump = client.by_hand();
    pump.send_raw(&hex("101200044d5154540402003c000670756d702d31"));
    assert!(matches!(
        pump.receive(),
        Ok(Packet::ConnAck { code: 0, .. })
    ));
    pump.send_raw(&hex(concat!(
        "30440024726f6f6d732f706c616e742f70726573656e63652f616e6e6f756e63652f70756d702d31",
        "7b22726f6c65223a2270756d70222c226d61784279746573223a3235367d",
        "821d00020018726f6f6d732f706c616e742f7265706c792f70756d702d3101",
        "82220003001d726f6f6d732f706c616e742f68616e646f66662f776f726b2f70756d7001",
    )));
    for _ in 0..2 {
        assert!(matches!(pump.receive(), Ok(Packet::SubAck { codes, .. }) if codes == [1]));
    }
    boss.dispatch(json!({ "type": "pump", "id": "p2", "payload": 1 }));
    let delivery = |pump: &mut Client| match pump.receive() {
        Ok(Packet::Publish(Publish {
            qos: 1,
            packet_id: Some(id),
            payload,
            ..
        })) => (id, serde_json::from_slice::<Value>(&payload).expect("JSON")),
        other => panic!("{other:?}"),
    };
    let (id, work) = delivery(&mut pump);
    assert_eq!((id, &work["payload"]), (1, &json!(1)));
    pump.send_raw(&hex(concat!(
        "306b0021726f6f6d732f706c616e742f68616e646f66662f7570646174652f70756d702d31",
        "7b227461736b223a227032222c22617474656d7074223a312c22737461747573223a226163636570746564222c",
        "22636f7272656c6174696f6e4964223a226163636570746564227d",
        "40020001",
    )));
    let (id, reply) = delivery(&mut pump);
    assert_eq!((id, &reply["correlationId"]), (2, &json!("accepted")));
    pump.send_raw(&hex(concat!(
        "40020002",
        "30690021726f6f6d732f706c616e742f68616e646f66662f7570646174652f70756d702d31",
        "7b227461736b223a227032222c22617474656d7074223a312c22737461747573223a2273756363657373222c",
        "22636f7272656c6174696f6e4964223a2273756363657373227d",
    )));
    let (id, reply) = delivery(&mut pump);
    assert_eq!((id, &reply["code"]), (3, &json!(200)));
    pump.send_raw(&hex("40020003"));
    assert_eq!(boss.result().task.as_str(), "p2");
}

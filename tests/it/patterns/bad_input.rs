//! Bad input gets its code and its words, and nobody else notices.

use serde_json::json;

use crate::harness::{Agent, Client, Connect, Gateway, Packet, Publish, Setup, Version};

/// A client with a subscription, and the proof that nothing disturbed it.
struct Bystander(Agent);

impl Bystander {
    fn at(gateway: &Gateway) -> Bystander {
        let mut agent = Agent::join_v311(gateway, "lab", "bystander");
        agent.listen("blackboard/state/#");
        Bystander(agent)
    }

    fn saw_nothing(mut self) {
        self.0
            .tell("blackboard/set/bystander/mark", &json!({"value": 1}));
        self.0
            .expect_silence_until(|message| message.topic.ends_with("/state/mark"));
        self.0.ping();
    }
}

#[test]
fn a_command_in_the_name_of_another_is_refused_on_mqtt_5() {
    let gateway = Gateway::start();
    let bystander = Bystander::at(&gateway);
    let mut eve = Agent::join(&gateway, "lab", "eve");
    assert_eq!(
        eve.tell("blackboard/set/ann/plan", &json!({"value": 1})),
        0x87
    );
    assert_eq!(
        eve.tell("blackboard/state/plan", &json!({"value": 1})),
        0x87
    );
    eve.ping();
    bystander.saw_nothing();
}

#[test]
fn a_command_in_the_name_of_another_is_answered_on_3_1_1() {
    let gateway = Gateway::start();
    let bystander = Bystander::at(&gateway);
    let mut eve = Agent::join_v311(&gateway, "lab", "eve");
    assert_eq!(
        eve.tell("blackboard/set/ann/plan", &json!({"value": 1})),
        0,
        "3.1.1 has no codes"
    );
    let reply = eve.reply();
    assert_eq!(u16::from(reply.code), 403, "{reply:?}");
    let reason = reply.reason.expect("words");
    assert!(reason.contains("ann") && reason.contains("eve"), "{reason}");
    eve.tell("presence/agent/ann", &json!({}));
    assert_eq!(u16::from(eve.reply().code), 403);
    bystander.saw_nothing();
}

#[test]
fn bad_json_is_refused_with_its_place() {
    let gateway = Gateway::start();
    let bystander = Bystander::at(&gateway);
    let mut eve = Agent::join(&gateway, "lab", "eve");
    for (payload, path, word) in [
        (r#"{"value":"#, "value", "EOF"),
        ("not json", "", "expected"),
        (r#"{"ifVersion": 0}"#, "value", "value"),
        (
            r#"{"value": 1, "ifVersion": "many"}"#,
            "ifVersion",
            "expected u64",
        ),
        (r#"{"value": 1} trailing"#, "", "trailing"),
        ("", "", "EOF"),
    ] {
        let code = eve.tell_raw("blackboard/set/eve/plan", payload);
        assert!(code >= 0x80, "{payload:?}: {code:#x}");
        let reply = eve.reply();
        assert_eq!(u16::from(reply.code), 400, "{payload:?}: {reply:?}");
        assert_eq!(reply.path.unwrap_or_default(), path, "{payload:?}");
        let reason = reply.reason.expect("words");
        assert!(reason.contains(word), "{payload:?}: {reason}");
    }
    for command in [
        "handoff/dispatch/eve",
        "handoff/update/eve",
        "approve/request/eve",
        "presence/announce/eve",
    ] {
        eve.tell_raw(command, "[");
        assert_eq!(u16::from(eve.reply().code), 400, "{command}");
    }
    bystander.saw_nothing();
}

#[test]
fn integers_may_be_whole_floats_and_objects_are_no_lists() {
    let gateway = Gateway::start();
    let mut eve = Agent::join(&gateway, "lab", "eve");
    for (command, payload, path) in [
        (
            "blackboard/set/eve/k",
            r#"{"id":"1","value":1,"ifVersion":0.0,"ttlMs":6e4}"#,
            None,
        ),
        (
            "handoff/dispatch/eve",
            r#"{"id":"2","type":"draft","maxAttempts":2.0,"backoff":{"initialMs":1e3,"factor":2,"maxMs":6e4}}"#,
            None,
        ),
        (
            "observe/replay/eve",
            r#"{"correlationId":"3","since":1.7e12,"limit":10.0}"#,
            None,
        ),
        (
            "blackboard/set/eve/k",
            r#"{"value":1,"ttlMs":0.5}"#,
            Some("ttlMs"),
        ),
        (
            "blackboard/set/eve/k",
            r#"{"value":1,"fence":["l",1]}"#,
            Some("fence"),
        ),
        (
            "blackboard/txn/eve",
            r#"{"ops":[["set","k",1]]}"#,
            Some("ops[0]"),
        ),
        (
            "handoff/dispatch/eve",
            r#"{"type":"x","priority":{"low":null}}"#,
            Some("priority"),
        ),
    ] {
        eve.tell_raw(command, payload);
        let reply = eve.reply();
        assert_eq!(reply.path.as_deref(), path, "{payload}: {reply:?}");
        let is_refused = u16::from(reply.code) == 400;
        assert_eq!(is_refused, path.is_some(), "{payload}: {reply:?}");
    }
}

#[test]
fn what_is_too_deep_is_refused_in_our_words() {
    let gateway = Gateway::start();
    let mut eve = Agent::join(&gateway, "lab", "eve");
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for (command, payload) in [
        (
            "approve/request/eve",
            format!(r#"{{"action":"a","content":{deep}}}"#),
        ),
        (
            "tools/register/eve/t",
            format!(r#"{{"description":"d","inputSchema":{{"default":{deep}}}}}"#),
        ),
        ("handoff/list/eve", format!(r#"{{"state":{deep}}}"#)),
    ] {
        eve.tell_raw(command, payload);
        let reason = eve.reply().reason.expect("words");
        assert!(
            reason.contains("nested more than 127 levels deep"),
            "{command}: {reason}"
        );
    }
}

#[test]
fn a_refused_command_with_a_correlation_id_echoes_it() {
    let gateway = Gateway::start();
    let mut eve = Agent::join(&gateway, "lab", "eve");
    let reply = eve.rejected(400, "handoff/dispatch/eve", json!({"payload": 1}));
    assert!(reply.reason.expect("words").contains("type"));
}

#[test]
fn names_that_are_none_are_refused() {
    let gateway = Gateway::start();
    let bystander = Bystander::at(&gateway);
    let mut eve = Agent::join(&gateway, "lab", "eve");
    for topic in [
        "rooms/no room/blackboard/set/eve/k",
        "rooms/é/inbox/bob/eve",
        "rooms//inbox/bob/eve",
    ] {
        let code = eve.publish(Publish::new(topic, r#"{"value":1}"#, 1));
        assert!(code >= 0x80, "{topic}: {code:#x}");
    }
    for rest in [
        "blackboard/set/eve/a b",
        "blackboard/set/eve",
        "blackboard/set/eve/1/2/3/4/5/6/7/8/9",
        "handoff/nonsense/eve",
        "inbox/bob smith/eve",
        "nonsense",
    ] {
        let code = eve.tell(rest, &json!({"value": 1}));
        assert!(code >= 0x80, "{rest}: {code:#x}");
        assert_eq!(u16::from(eve.reply().code), 400, "{rest}");
    }
    bystander.saw_nothing();
}

#[test]
fn what_is_too_large_is_refused() {
    let gateway = Setup::new()
        .with("handoff.max_payload", "1KiB")
        .with("mqtt.max_packet", "16KiB")
        .start();
    let bystander = Bystander::at(&gateway);
    let mut eve = Agent::join(&gateway, "lab", "eve");
    let big = "x".repeat(2000);
    eve.rejected(
        413,
        "handoff/dispatch/eve",
        json!({"type": "draft", "payload": big}),
    );
    let mut client = Client::connect(gateway.mqtt, Connect::v5("huge"));
    client.send(&Packet::Publish(Publish::new(
        "any/topic",
        vec![0; 20_000],
        0,
    )));
    assert_eq!(client.expect_disconnect(), 0x95);
    client.expect_closed();
    eve.ping();
    bystander.saw_nothing();
}

#[test]
fn limits_on_words_and_lists_hold() {
    let gateway = Gateway::start();
    let mut eve = Agent::join(&gateway, "lab", "eve");
    let many: Vec<String> = (0..1000).map(|n| format!("c{n}")).collect();
    let reply = eve.ask(
        "handoff/dispatch/eve",
        json!({"type": "draft", "capabilities": many}),
    );
    assert!(matches!(u16::from(reply.code), 413 | 422), "{reply:?}");
    let reply = eve.ask("approve/request/eve", json!({"action": "a".repeat(10_000)}));
    assert_eq!(u16::from(reply.code), 413, "{reply:?}");
    let reply = eve.ask("approve/request/eve", json!({"action": "a", "quorum": 0}));
    assert_eq!(u16::from(reply.code), 422, "{reply:?}");
}

#[test]
fn malformed_packets_end_their_own_connection_only() {
    let gateway = Gateway::start();
    let bystander = Bystander::at(&gateway);
    let broken: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        &[0xC0, 0x00],
        &[0x20, 0x02, 0x00, 0x00],
        &[
            0x10, 0x0A, 0x00, 0x04, b'M', b'Q', b'X', b'X', 0x04, 0x02, 0x00, 0x00,
        ],
        &[
            0x10, 0x0C, 0x00, 0x04, b'M', b'Q', b'T', b'T', 0x09, 0x02, 0x00, 0x00, 0x00, 0x00,
        ],
        &[
            0x10, 0x0C, 0x00, 0x04, b'M', b'Q', b'T', b'T', 0x04, 0x03, 0x00, 0x00, 0x00, 0x00,
        ],
        &[0x00, 0x00],
    ];
    for bytes in broken {
        // To a version that it does not know the gateway answers, if at all, as MQTT 5 says.
        let mut client = Client::open(gateway.mqtt, Version::V5).expect("accepted");
        client.send_raw(bytes);
        client.expect_closed();
    }
    for version in [Version::V311, Version::V5] {
        for bytes in [
            // QoS 3; a wildcard in the topic; SUBSCRIBE with wrong flags; packet id 0; a second
            // CONNECT.
            &[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01][..],
            &[0x30, 0x04, 0x00, 0x01, b'#', 0x00][..],
            &[0x80, 0x06, 0x00, 0x01, 0x00, 0x01, b'a', 0x00][..],
            &[0x32, 0x06, 0x00, 0x01, b'a', 0x00, 0x00, 0x00][..],
            &[
                0x10, 0x0C, 0x00, 0x04, b'M', b'Q', b'T', b'T', 0x04, 0x02, 0x00, 0x00, 0x00, 0x00,
            ][..],
        ] {
            let mut client = Client::connect(gateway.mqtt, Connect::new(version, "broken"));
            client.send_raw(bytes);
            client.expect_closed();
        }
    }
    bystander.saw_nothing();
}

#[test]
fn who_sends_nothing_is_not_waited_for() {
    let gateway = Setup::new().with("mqtt.connect_timeout", "200ms").start();
    let bystander = Bystander::at(&gateway);
    let mut silent = Client::open(gateway.mqtt, Version::V311).expect("accepted");
    let mut slow = Client::open(gateway.mqtt, Version::V311).expect("accepted");
    slow.send_raw(&[0x10, 0xFF, 0xFF, 0x7F, 0x00]);
    silent.expect_closed();
    slow.expect_closed();
    bystander.saw_nothing();
}

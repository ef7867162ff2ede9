//! Inbox: messages from one agent to another, kept until they are acknowledged.

use crate::harness::{
    Agent, Client, Connect, Gateway, Properties, Publish, Setup, Value, property,
};

fn send(from: &mut Agent, to: &str, payload: &str) -> u8 {
    let topic = format!("inbox/{to}/{}", from.id);
    from.tell_raw(&topic, payload)
}

#[test]
fn a_message_reaches_an_agent_that_is_there() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut bob = Agent::join_v311(&gateway, "lab", "bob");
    bob.listen("inbox/bob/+");
    assert_eq!(send(&mut ann, "bob", "any bytes, no JSON \u{1F4EC}"), 0);
    let message = bob.message_on("rooms/lab/inbox/bob/ann");
    assert_eq!(message.text(), "any bytes, no JSON \u{1F4EC}");
    assert!(!message.retain);
}

#[test]
fn messages_wait_in_order_for_who_was_never_there() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for n in 0..50 {
        send(&mut ann, "bob", &n.to_string());
    }
    let mut bob = Agent::join_v311(&gateway, "lab", "bob");
    bob.listen("inbox/bob/+");
    for n in 0..50 {
        assert_eq!(bob.message().text(), n.to_string());
    }
    bob.expect_no_mail();
}

#[test]
fn a_clean_session_loses_nothing_that_was_not_acknowledged() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    send(&mut ann, "bob", "one");
    send(&mut ann, "bob", "two");
    let mut bob = Client::connect(gateway.mqtt, Connect::v311("bob")).by_hand();
    bob.subscribe(&[("rooms/lab/inbox/bob/+", 1)]);
    assert_eq!(bob.message().text(), "one");
    assert_eq!(bob.message().text(), "two");
    bob.vanish();
    let mut bob = Client::connect(gateway.mqtt, Connect::v311("bob"));
    assert!(!bob.session_present);
    bob.subscribe(&[("rooms/lab/inbox/bob/+", 1)]);
    assert_eq!(bob.message().text(), "one");
    assert_eq!(bob.message().text(), "two");
    bob.ping();
    bob.disconnect();
    let mut bob = Agent::join(&gateway, "lab", "bob");
    bob.listen("inbox/bob/+");
    bob.expect_no_mail();
}

#[test]
fn messages_survive_a_kill() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for n in 0..20 {
        assert_eq!(send(&mut ann, "bob", &n.to_string()), 0);
    }
    gateway.kill();
    gateway.restart();
    let mut bob = Agent::join(&gateway, "lab", "bob");
    bob.listen("inbox/bob/ann");
    for n in 0..20 {
        assert_eq!(bob.message().text(), n.to_string());
    }
}

#[test]
fn exactly_once_is_honoured_where_both_ask_for_it() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut bob = Agent::join(&gateway, "lab", "bob");
    assert_eq!(bob.subscribe(&[("rooms/lab/inbox/bob/+", 2)]), [2]);
    assert_eq!(
        ann.publish(Publish::new("rooms/lab/inbox/bob/ann", "once", 2)),
        0
    );
    let message = bob.message();
    assert_eq!((message.qos, message.text()), (2, "once"));
    bob.expect_no_mail();
}

#[test]
fn a_full_inbox_refuses_the_sender_and_loses_nothing() {
    let gateway = Setup::new().with("mailbox.max_messages", "3").start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for n in 0..3 {
        assert_eq!(send(&mut ann, "bob", &n.to_string()), 0);
    }
    assert_eq!(send(&mut ann, "bob", "one too many"), 0x97);
    assert_eq!(u16::from(ann.reply().code), 429);
    let mut bob = Agent::join(&gateway, "lab", "bob");
    bob.listen("inbox/bob/+");
    for n in 0..3 {
        assert_eq!(bob.message().text(), n.to_string());
    }
    bob.ping();
    assert_eq!(send(&mut ann, "bob", "room again"), 0);
    assert_eq!(bob.message().text(), "room again");
}

#[test]
fn properties_of_mqtt_5_arrive_as_they_were_sent() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut bob = Agent::join(&gateway, "lab", "bob");
    bob.listen("inbox/bob/+");
    let mut publish = Publish::new("rooms/lab/inbox/bob/ann", "x", 1);
    publish.properties = Properties::new()
        .text(property::CONTENT_TYPE, "text/plain")
        .user("colour", "blue")
        .user("colour", "green");
    assert_eq!(ann.publish(publish.clone()), 0);
    let message = bob.message();
    assert_eq!(message.properties.find_user("colour"), Some("blue"));
    let users = |properties: &Properties| {
        let user = |(id, value): &(u8, Value)| (*id == property::USER).then(|| value.clone());
        properties.0.iter().filter_map(user).collect::<Vec<_>>()
    };
    assert_eq!(
        users(&message.properties),
        users(&publish.properties),
        "in their order"
    );
    let content_type = message.properties.find(property::CONTENT_TYPE);
    assert_eq!(content_type, Some(&Value::Text("text/plain".to_owned())));
}

/// An agent that takes one message at a time.
fn one_at_a_time() -> Connect {
    let mut connect = Connect::v5("bob");
    connect.properties = Properties::new()
        .four(property::SESSION_EXPIRY, 3_600)
        .with(property::RECEIVE_MAXIMUM, Value::Two(1));
    connect.clean = false;
    connect
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one story in the order in which it happens"
)]
fn replies_results_and_decisions_go_ahead_of_mail_that_was_not_sent_yet() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for n in 0..200 {
        assert_eq!(send(&mut ann, "bob", &n.to_string()), 0);
    }
    let mut bob = Client::connect(gateway.mqtt, one_at_a_time()).by_hand();
    let own = [
        "inbox/bob/+",
        "reply/bob",
        "handoff/result/bob",
        "approve/decision/bob",
    ];
    let own = own.map(|rest| (format!("rooms/lab/{rest}"), 1));
    bob.subscribe(&own.each_ref().map(|(filter, qos)| (filter.as_str(), *qos)));
    let first = bob.message();
    assert_eq!(first.text(), "0");
    // While the first one is not acknowledged nothing else is sent: all that follows waits.
    let commands = [
        (
            "blackboard/get/bob",
            r#"{"prefix":"none","correlationId":"c1"}"#,
        ),
        ("handoff/dispatch/bob", r#"{"id":"t1","type":"draft"}"#),
        ("handoff/cancel/bob", r#"{"task":"t1"}"#),
        ("approve/request/bob", r#"{"id":"p1","action":"go"}"#),
        ("approve/cancel/bob", r#"{"approval":"p1"}"#),
        (
            "blackboard/get/bob",
            r#"{"prefix":"none","correlationId":"c2"}"#,
        ),
    ];
    for (rest, body) in commands {
        let topic = format!("rooms/lab/{rest}");
        assert_eq!(bob.publish(Publish::new(&topic, body, 1)), 0);
    }
    // Also over a crash of the gateway: what was sent before goes first again where that is known.
    gateway.kill();
    gateway.restart();
    let mut bob = Client::connect(gateway.mqtt, one_at_a_time());
    assert!(bob.session_present);
    let mut seen = Vec::new();
    while seen
        .last()
        .is_none_or(|last: &(String, String)| last.1 != "3")
    {
        let message = bob.message();
        seen.push((message.topic.clone(), message.text().to_owned()));
    }
    let topics: Vec<&str> = seen
        .iter()
        .map(|(topic, _)| topic.trim_start_matches("rooms/lab/"))
        .collect();
    let answers = [
        "reply/bob",
        "reply/bob",
        "handoff/result/bob",
        "approve/decision/bob",
    ];
    let directed = topics.iter().filter(|topic| !topic.starts_with("inbox/"));
    assert!(directed.clone().count() >= answers.len(), "{seen:?}");
    assert_eq!(topics[topics.len() - 4..], ["inbox/bob/ann"; 4], "{seen:?}");
    assert!(
        topics[..topics.len() - 4]
            .iter()
            .all(|topic| !topic.starts_with("inbox/")),
        "{seen:?}"
    );
    let correlations: Vec<usize> = ["\"c1\"", "\"c2\""]
        .iter()
        .filter_map(|id| seen.iter().position(|(_, text)| text.contains(id)))
        .collect();
    assert_eq!(correlations.len(), 2, "{seen:?}");
    assert!(
        correlations[0] < correlations[1],
        "in order among themselves"
    );
    let mail: Vec<&str> = seen[seen.len() - 4..]
        .iter()
        .map(|(_, text)| text.as_str())
        .collect();
    assert_eq!(mail, ["0", "1", "2", "3"], "and mail in its own order");
    for n in 4..200 {
        assert_eq!(bob.message().text(), n.to_string());
    }
}

#[test]
fn what_was_sent_before_goes_first_after_a_reconnect() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    for n in 0..20 {
        assert_eq!(send(&mut ann, "bob", &n.to_string()), 0);
    }
    let mut bob = Client::connect(gateway.mqtt, one_at_a_time()).by_hand();
    bob.subscribe(&[("rooms/lab/inbox/bob/+", 1), ("rooms/lab/reply/bob", 1)]);
    assert_eq!(bob.message().text(), "0");
    let ask = r#"{"prefix":"none","correlationId":"c1"}"#;
    assert_eq!(
        bob.publish(Publish::new("rooms/lab/blackboard/get/bob", ask, 1)),
        0
    );
    bob.vanish();
    let mut bob = Client::connect(gateway.mqtt, one_at_a_time());
    let again = bob.message();
    assert_eq!((again.text(), again.dup), ("0", true));
    let reply = bob.message();
    assert_eq!(
        (reply.topic.as_str(), reply.dup),
        ("rooms/lab/reply/bob", false)
    );
    for n in 1..20 {
        let message = bob.message();
        assert_eq!(
            (message.text(), message.dup),
            (n.to_string().as_str(), false)
        );
    }
}

//! Replies: given where they are asked for or where a command is refused, and nowhere else.

use hallward::wire::reply::{Reply, ReplyStatus};
use serde_json::json;

use crate::harness::{Agent, Gateway, Properties, Publish, Value, property};

#[test]
fn an_accepted_command_is_answered_only_where_it_asks() {
    let gateway = Gateway::start();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    assert_eq!(ann.tell("blackboard/set/ann/plan", &json!({"value": 1})), 0);
    assert_eq!(
        ann.tell("handoff/dispatch/ann", &json!({"type": "draft"})),
        0
    );
    ann.expect_no_mail();
    ann.tell("blackboard/set/ann/plan", &json!({"value": 2, "id": "w-2"}));
    let reply = ann.reply();
    assert_eq!(reply.id.expect("echoed").as_str(), "w-2");
    assert_eq!(
        (reply.status, reply.command.as_str()),
        (ReplyStatus::Accepted, "blackboard/set")
    );
    ann.tell(
        "blackboard/set/ann/plan",
        &json!({"value": 3, "correlationId": "c-3"}),
    );
    let reply = ann.reply();
    assert_eq!(reply.correlation_id.as_deref(), Some("c-3"));
    assert_eq!(reply.version, Some(3));
}

#[test]
fn a_rejected_command_is_always_answered() {
    let gateway = Gateway::start();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    ann.tell(
        "blackboard/set/ann/plan",
        &json!({"value": 1, "ifVersion": 7}),
    );
    let reply = ann.reply();
    assert_eq!(
        (reply.status, u16::from(reply.code)),
        (ReplyStatus::Rejected, 409)
    );
    assert!(reply.reason.is_some());
}

#[test]
fn replies_wait_for_who_was_gone() {
    let gateway = Gateway::start();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    ann.unsubscribe(&["rooms/lab/reply/ann"]);
    ann.tell(
        "handoff/dispatch/ann",
        &json!({"type": "draft", "id": "t-1"}),
    );
    ann.disconnect();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    assert_eq!(ann.reply().task.expect("a task").as_str(), "t-1");
}

#[test]
fn correlation_data_and_response_topic_are_mirrored() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.listen("reply/ann/desk/7");
    let mut publish = Publish::new("rooms/lab/blackboard/set/ann/plan", r#"{"value":1}"#, 1);
    publish.properties = Properties::new()
        .text(property::RESPONSE_TOPIC, "rooms/lab/reply/ann/desk/7")
        .binary(property::CORRELATION_DATA, b"c-1");
    assert_eq!(ann.publish(publish), 0);
    let message = ann.message_on("rooms/lab/reply/ann/desk/7");
    let reply: Reply = serde_json::from_slice(&message.payload).expect("a reply");
    assert_eq!(reply.correlation_id.as_deref(), Some("c-1"));
    let mirrored = message.properties.find(property::CORRELATION_DATA);
    assert_eq!(mirrored, Some(&Value::Binary(b"c-1".to_vec())));
    assert_eq!(
        message.properties.find(property::CONTENT_TYPE),
        Some(&Value::Text("application/json".to_owned()))
    );
}

#[test]
fn what_takes_a_retained_message_away_is_empty_and_has_no_type() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let topic = "rooms/lab/blackboard/state/plan";
    ann.listen("blackboard/state/+");
    for (command, body) in [("set", r#"{"value":1}"#), ("delete", "{}")] {
        let to = format!("rooms/lab/blackboard/{command}/ann/plan");
        assert_eq!(ann.publish(Publish::new(&to, body, 1)), 0);
    }
    assert!(!ann.message_on(topic).payload.is_empty());
    let clear = ann.message_on(topic);
    assert!(clear.payload.is_empty());
    assert_eq!(clear.properties.find(property::CONTENT_TYPE), None);
}

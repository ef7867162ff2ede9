//! What clients may publish, subscribe to and receive; and the ways around it that have worked on
//! other brokers.

use serde_json::json;

use super::*;
use crate::harness::{Agent, property};

const ACL: &str = "user ann\ntopic read news/#\ntopic deny news/secret/#\nuser bob\ntopic news/#\ntopic team/#\n\
                   user root\ntopic deny vault\npattern readwrite own/%u/#\n";

#[test]
fn publishes_need_a_role_or_a_line() {
    let gateway = Site::new().acl(ACL).start();
    let mut ann = connect(&gateway, v5("ann", "ann"));
    for (topic, code) in [
        ("news/today", NOT_AUTHORIZED),
        ("own/ann/x", 0),
        ("own/bob/x", NOT_AUTHORIZED),
        ("rooms/lab/handoff/dispatch/ann", 0),
        ("rooms/dev-1/handoff/dispatch/ann", NOT_AUTHORIZED),
        ("rooms/lab/handoff/dispatch/bob", NOT_AUTHORIZED),
        ("rooms/lab/observe/events/ann/note", 0),
        ("rooms/lab/observe/events/gateway/note", NOT_AUTHORIZED),
        ("elsewhere", NOT_AUTHORIZED),
    ] {
        for qos in [1, 2] {
            let payload = r#"{"type":"x"}"#;
            assert_eq!(
                ann.publish(Publish::new(topic, payload, qos)),
                code,
                "{topic} {qos}"
            );
        }
    }
    assert_eq!(
        refusals(&gateway, "publish"),
        8,
        "what the grammar refuses is not the guard's"
    );
    let mut root = connect(&gateway, v5("root", "root"));
    assert_eq!(root.publish(Publish::new("elsewhere", "x", 1)), 0);
    assert_eq!(root.publish(Publish::new("vault", "x", 1)), NOT_AUTHORIZED);
    assert_eq!(
        root.publish(Publish::new("rooms/x/handoff/dispatch/ann", "x", 1)),
        NOT_AUTHORIZED
    );
}

#[test]
fn denials_need_not_be_told() {
    let site = Site::new().acl(ACL).with("auth.reveal_denials", "false");
    let gateway = site.start();
    let mut ann = connect(&gateway, v5("ann", "ann"));
    for topic in ["news/today", "rooms/dev-1/handoff/dispatch/ann", "$SYS/x"] {
        for qos in [1, 2] {
            let code = ann.publish(Publish::new(topic, "{}", qos));
            assert_eq!(code, UNSPECIFIED, "{topic} {qos}");
        }
    }
    let filters = [("news/#", 1), ("team/#", 1), ("a/#/b", 1)];
    assert_eq!(ann.subscribe(&filters), [1, UNSPECIFIED, FILTER_INVALID]);
    assert_eq!(refusals(&gateway, "publish"), 4, "the operator is told");
    let mut stranger = v5("ann", "ann-3");
    stranger.password = Some(b"wrong".to_vec());
    assert_eq!(refused(&gateway, stranger), BAD_CREDENTIALS);
}

#[test]
fn a_refused_command_of_311_is_answered_where_its_writer_may_read() {
    let gateway = Site::new().start();
    let mut wes = Agent::join_as(&gateway, "lab", v311("wes", "wes"));
    assert_eq!(wes.tell("handoff/dispatch/wes", &json!({"type": "x"})), 0);
    let reply = wes.reply();
    assert_eq!(u16::from(reply.code), 403, "{reply:?}");
    assert_eq!(reply.command, "handoff/dispatch/wes");
    let topic = "rooms/dev-1/handoff/dispatch/wes";
    assert_eq!(
        wes.publish(Publish::new(topic, "{}", 1)),
        0,
        "3.1.1 acknowledges all the same"
    );
    wes.expect_no_mail_of(403);
    // Nothing waits in a mailbox that could not be read.
    assert_eq!(metric(&gateway, "hallward_rooms"), 1.0);
}

#[test]
fn a_worker_works_and_dispatches_nothing() {
    let gateway = Site::new().start();
    let mut ann = Agent::join_as(&gateway, "lab", v5("ann", "ann"));
    ann.listen("handoff/result/ann");
    let mut wes = Agent::join_as(&gateway, "lab", v5("wes", "wes"));
    wes.listen("handoff/work/code");
    ann.dispatch(json!({"type": "code"}));
    let assignment = wes.assignment("code");
    wes.succeed(&assignment, json!("done"));
    ann.result();
    assert_eq!(
        wes.tell("handoff/dispatch/wes", &json!({"type": "code"})),
        NOT_AUTHORIZED
    );
    assert_eq!(
        wes.subscribe(&[("rooms/lab/blackboard/state/#", 1)]),
        [NOT_AUTHORIZED]
    );
}

#[test]
fn an_observer_sees_and_does_nothing() {
    let gateway = Site::new().start();
    let mut eye = connect(&gateway, v5("eye", "eye"));
    let filters = [
        ("rooms/#", 1),
        ("rooms/lab/blackboard/state/#", 1),
        ("rooms/lab/inbox/ann/+", 1),
        ("rooms/lab/handoff/work/code", 1),
        ("$SYS/#", 1),
        ("elsewhere/#", 1),
    ];
    let no = NOT_AUTHORIZED;
    assert_eq!(eye.subscribe(&filters), [1, 1, no, no, no, no]);
    let mut ann = Agent::join_as(&gateway, "lab", v5("ann", "ann"));
    let mut bob = Agent::join_as(&gateway, "lab", v5("bob", "bob"));
    bob.tell_raw("inbox/ann/bob", "private");
    ann.set("plan", json!("public"));
    loop {
        let seen = eye.message();
        assert!(
            !seen.topic.contains("/inbox/") && !seen.topic.contains("/reply/"),
            "{seen:?}"
        );
        if seen.topic.ends_with("state/plan") {
            break;
        }
    }
    assert!(refusals(&gateway, "receive") > 0);
    assert_eq!(
        eye.publish(Publish::new("rooms/lab/handoff/dispatch/eye", "{}", 1)),
        no
    );
}

#[test]
fn subscriptions_need_something_to_receive() {
    let gateway = Site::new().acl(ACL).start();
    let mut ann = connect(&gateway, v5("ann", "ann"));
    let no = NOT_AUTHORIZED;
    let filters = [
        ("news/#", 1),
        ("#", 0),
        ("news/secret/#", 1),
        ("news/secret/x", 1),
        ("team/#", 1),
        ("own/+/x", 2),
        ("own/bob/#", 1),
        ("rooms/+/reply/bob", 1),
    ];
    assert_eq!(ann.subscribe(&filters), [1, 0, no, no, no, 2, no, no]);
    let mut old = connect(&gateway, v311("ann", "ann-2"));
    assert_eq!(old.subscribe(&[("news/#", 1), ("team/#", 1)]), [1, 0x80]);
    assert_eq!(refusals(&gateway, "subscribe"), 6);
}

#[test]
fn each_delivery_is_checked_against_what_the_wildcard_hid() {
    let gateway = Site::new().acl(ACL).start();
    let mut ann = connect(&gateway, v5("ann", "ann"));
    ann.subscribe(&[("#", 1)]);
    let mut durable = connect(&gateway, v5("ann", "ann-durable").persistent());
    durable.subscribe(&[("#", 1)]);
    let mut bob = connect(&gateway, v5("bob", "bob"));
    for qos in [0, 1, 2] {
        for topic in ["team/x", "news/secret/x", "own/bob/x"] {
            assert_eq!(
                bob.publish(Publish::new(topic, "hidden", qos)),
                0,
                "{topic}"
            );
        }
    }
    bob.publish(Publish::new("news/open", "seen", 1));
    for client in [&mut ann, &mut durable] {
        client.expect_silence_until(|publish| publish.text() == "seen");
    }
}

#[test]
fn retained_messages_are_checked_too() {
    let gateway = Site::new().acl(ACL).start();
    let mut bob = connect(&gateway, v5("bob", "bob"));
    for topic in ["team/kept", "news/secret/kept", "news/open"] {
        assert_eq!(bob.publish(Publish::new(topic, topic, 1).retained()), 0);
    }
    for connect_as in [
        v5("ann", "ann"),
        v5("ann", "ann-2").persistent(),
        v311("ann", "ann-3"),
    ] {
        let mut ann = connect(&gateway, connect_as);
        ann.subscribe(&[("#", 1)]);
        ann.expect_silence_until(|publish| publish.text() == "news/open");
        bob.publish(Publish::new("news/mark", "mark", 1));
        ann.expect_silence_until(|publish| publish.text() == "mark");
    }
}

/// mosquitto 2.0.19: `$share/g/denied` went around the ACL.
#[test]
fn shared_subscriptions_do_not_go_around_it() {
    let gateway = Site::new().acl(ACL).start();
    let mut ann = connect(&gateway, v5("ann", "ann"));
    let no = NOT_AUTHORIZED;
    let filters = [
        ("$share/g/team/#", 1),
        ("$share/g/news/secret/x", 1),
        ("$share/g/news/#", 1),
    ];
    assert_eq!(ann.subscribe(&filters), [no, no, 1]);
    let mut bob = connect(&gateway, v5("bob", "bob"));
    bob.subscribe(&[("$share/g/news/#", 1)]);
    // What a member may not have goes to one who may.
    for _ in 0..4 {
        assert_eq!(bob.publish(Publish::new("news/secret/x", "secret", 1)), 0);
        assert_eq!(bob.message().text(), "secret");
    }
    ann.unsubscribe(&["$share/g/news/#", "$share/never/team/#"]);
    bob.publish(Publish::new("news/open", "open", 1));
    assert_eq!(bob.message().text(), "open");
    ann.subscribe(&[("own/ann/#", 1)]);
    ann.publish(Publish::new("own/ann/mark", "mark", 1));
    ann.expect_silence_until(|publish| publish.text() == "mark");
}

#[test]
fn a_will_is_a_publish_too() {
    let gateway = Site::new().acl(ACL).start();
    for topic in [
        "news/today",
        "rooms/lab/handoff/dispatch/bob",
        "$SYS/x",
        "rooms/lab/reply/ann",
    ] {
        let with = |connect: Connect| connect.with_will(topic, "{}", 1, true);
        assert_eq!(
            refused(&gateway, with(v5("ann", "ann"))),
            NOT_AUTHORIZED,
            "{topic}"
        );
        assert_eq!(
            refused(&gateway, with(v311("ann", "ann"))),
            V311_NOT_AUTHORIZED,
            "{topic}"
        );
    }
    let mut watcher = connect(&gateway, v5("ann", "ann-2"));
    watcher.subscribe(&[("own/ann/#", 1)]);
    connect(
        &gateway,
        v5("ann", "ann").with_will("own/ann/will", "gone", 1, false),
    )
    .vanish();
    assert_eq!(watcher.message().text(), "gone");
}

#[test]
fn a_will_is_asked_again_when_it_is_due() {
    let site = Site::new().acl(ACL);
    let gateway = site.start();
    let mut watcher = connect(&gateway, v5("bob", "bob"));
    watcher.subscribe(&[("news/#", 1)]);
    let will = |topic| v5("bob", "bob-2").with_will(topic, "will", 1, false);
    let doomed = connect(&gateway, will("news/will"));
    site.write(
        "acl",
        "user bob\ntopic read news/#\ntopic write news/mark\n",
    );
    assert!(reload(&gateway));
    doomed.vanish();
    let mut second = connect(
        &gateway,
        v5("bob", "bob-3").with_will("news/mark", "mark", 1, false),
    );
    second.ping();
    second.vanish();
    watcher.expect_silence_until(|publish| publish.text() == "mark");
    let delayed = {
        let mut connect = v5("bob", "bob-4")
            .persistent()
            .with_will("news/mark", "late", 1, false);
        let will = connect.will.as_mut().expect("set");
        will.properties = crate::harness::Properties::new().four(0x18, 3600);
        connect
    };
    connect(&gateway, delayed).vanish();
    site.write("acl", "user bob\ntopic read news/#\n");
    assert!(reload(&gateway));
    // A clean start ends the session, and makes the will due.
    connect(&gateway, v5("bob", "bob-4")).disconnect();
    site.write("acl", ACL);
    assert!(reload(&gateway));
    let mut bob = connect(&gateway, v5("bob", "bob-5"));
    bob.publish(Publish::new("news/x", "after", 1));
    watcher.expect_silence_until(|publish| publish.text() == "after");
}

#[test]
fn a_will_that_a_crash_makes_due_is_asked_again_too() {
    let site = Site::new().acl(ACL);
    let mut gateway = site.start();
    let mut watcher = connect(&gateway, v5("bob", "bob").persistent());
    watcher.subscribe(&[("news/#", 1)]);
    let will = |id, topic, text| v5("bob", id).with_will(topic, text, 1, false);
    let _revoked = connect(&gateway, will("bob-2", "news/will", "will"));
    let _allowed = connect(&gateway, will("bob-3", "news/mark", "mark"));
    gateway.kill();
    site.write(
        "acl",
        "user bob\ntopic read news/#\ntopic write news/mark\n",
    );
    gateway.restart();
    let mut watcher = connect(&gateway, v5("bob", "bob").persistent());
    watcher.expect_silence_until(|publish| publish.text() == "mark");
}

#[test]
fn response_topics_lead_nowhere_else() {
    let gateway = Site::new().start();
    let mut ann = Agent::join_as(&gateway, "lab", v5("ann", "ann"));
    ann.listen("reply/ann/#");
    let mut bob = Agent::join_as(&gateway, "lab", v5("bob", "bob"));
    bob.listen("reply/bob/#");
    let mut publish = Publish::new("rooms/lab/handoff/get/ann", r#"{"task":"none"}"#, 1);
    publish.properties = publish
        .properties
        .text(property::RESPONSE_TOPIC, "rooms/lab/reply/bob/x");
    ann.publish(publish);
    assert_eq!(ann.message().topic, "rooms/lab/reply/ann");
    bob.expect_no_mail();
}

use crate::harness::{Client, Publish};

impl Agent {
    /// Sees that no reply with this code came, besides what was read.
    fn expect_no_mail_of(&mut self, code: u16) {
        let client: &mut Client = self;
        client.ping();
        let kept = client.take_kept(|packet| match packet {
            Packet::Publish(publish) if publish.text().contains(&code.to_string()) => {
                Some(publish.clone())
            }
            _ => None,
        });
        assert!(kept.is_none(), "{kept:?}");
    }
}

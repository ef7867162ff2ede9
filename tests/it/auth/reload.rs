//! SIGHUP: new rules for everybody who is connected or away, all of them or none.

use serde_json::json;

use super::*;
use crate::harness::{Ack, Agent, Publish, Value, property};

const ACL: &str = "user ann\ntopic read news/#\nuser bob\ntopic news/#\n";

#[test]
fn what_is_no_longer_allowed_is_no_longer_delivered() {
    let site = Site::new().acl(ACL);
    let gateway = site.start();
    let mut ann = connect(&gateway, v5("ann", "ann"));
    assert_eq!(ann.subscribe(&[("news/#", 1)]), [1]);
    let mut bob = connect(&gateway, v5("bob", "bob"));
    bob.publish(Publish::new("news/1", "before", 1));
    assert_eq!(ann.message().text(), "before");
    site.write(
        "acl",
        "user ann\ntopic read news/open\nuser bob\ntopic news/#\n",
    );
    assert!(reload(&gateway));
    bob.publish(Publish::new("news/1", "hidden", 1));
    bob.publish(Publish::new("news/open", "open", 1));
    ann.expect_silence_until(|publish| publish.text() == "open");
    site.write("acl", ACL);
    assert!(reload(&gateway));
    bob.publish(Publish::new("news/1", "again", 1));
    assert_eq!(
        ann.message().text(),
        "again",
        "the subscription itself stood"
    );
}

#[test]
fn what_waits_for_a_slow_reader_is_looked_at_again() {
    let site = Site::new().acl(ACL);
    let gateway = site.start();
    let mut slow = v5("ann", "ann");
    slow.properties = slow
        .properties
        .with(property::RECEIVE_MAXIMUM, Value::Two(1));
    let mut ann = connect(&gateway, slow).by_hand();
    assert_eq!(ann.subscribe(&[("news/#", 1)]), [1]);
    let mut bob = connect(&gateway, v5("bob", "bob"));
    for text in ["sent", "waits", "waits too"] {
        bob.publish(Publish::new("news/x", text, 1));
    }
    bob.publish(Publish::new("news/open", "open", 1));
    let first = ann.message();
    assert_eq!(first.text(), "sent");
    // All of it has arrived when this has, which needs no window.
    bob.publish(Publish::new("news/x", "unacknowledged", 0));
    assert_eq!(ann.message().text(), "unacknowledged");
    site.write(
        "acl",
        "user ann\ntopic read news/open\nuser bob\ntopic news/#\n",
    );
    assert!(reload(&gateway));
    ann.ping();
    let packet_id = first.packet_id.expect("QoS 1");
    ann.send(&Packet::PubAck(Ack::ok(packet_id)));
    assert_eq!(ann.message().text(), "open");
}

/// CVE-2021-34434: what was queued or retained before a right was revoked came through all the
/// same.
#[test]
fn what_was_revoked_while_its_reader_was_away_stays_hidden() {
    let site = Site::new().acl(ACL);
    let mut gateway = site.start();
    for connect_as in [
        v5("ann", "ann").persistent(),
        v311("ann", "ann-old").persistent(),
    ] {
        let mut ann = connect(&gateway, connect_as);
        ann.subscribe(&[("news/#", 2)]);
        ann.disconnect();
    }
    let mut bob = connect(&gateway, v5("bob", "bob"));
    for qos in [1, 2] {
        assert_eq!(bob.publish(Publish::new("news/x", "queued", qos)), 0);
    }
    assert_eq!(
        bob.publish(Publish::new("news/kept", "retained", 1).retained()),
        0
    );
    assert_eq!(bob.publish(Publish::new("news/open", "open", 1)), 0);
    site.write(
        "acl",
        "user ann\ntopic read news/open\nuser bob\ntopic news/#\n",
    );
    gateway.kill();
    gateway.restart();
    for connect_as in [
        v5("ann", "ann").persistent(),
        v311("ann", "ann-old").persistent(),
    ] {
        let mut ann = connect(&gateway, connect_as);
        assert!(ann.session_present);
        ann.expect_silence_until(|publish| publish.text() == "open");
        ann.disconnect();
    }
    // What was withheld is gone for good: the right comes back, the messages do not.
    site.write("acl", ACL);
    assert!(reload(&gateway));
    let mut ann = connect(&gateway, v5("ann", "ann").persistent());
    let mut bob = connect(&gateway, v5("bob", "bob"));
    bob.publish(Publish::new("news/x", "new", 1));
    ann.expect_silence_until(|publish| publish.text() == "new");
}

#[test]
fn a_deleted_user_is_disconnected_and_one_with_a_new_password_too() {
    let site = Site::new();
    let gateway = site.start();
    let mut ann = connect(&gateway, v5("ann", "ann"));
    let mut old = connect(&gateway, v311("ann", "ann-old"));
    let mut bob = connect(&gateway, v5("bob", "bob"));
    let mut eve = connect(&gateway, v5("eve", "eve"));
    command_line::passwd(&site.path("passwords"), "bob", "another");
    let kept = std::fs::read_to_string(site.path("passwords")).expect("readable");
    let kept: Vec<&str> = kept
        .lines()
        .filter(|line| !line.starts_with("ann:"))
        .collect();
    site.write("passwords", &kept.join("\n"));
    assert!(reload(&gateway));
    assert_eq!(ann.expect_disconnect(), NOT_AUTHORIZED);
    old.expect_closed();
    assert_eq!(bob.expect_disconnect(), NOT_AUTHORIZED);
    eve.ping();
    assert_eq!(refused(&gateway, v5("ann", "ann")), BAD_CREDENTIALS);
    connect(&gateway, Connect::v5("bob").by("bob", "another")).disconnect();
    assert_eq!(refusals(&gateway, "removed"), 3);
}

#[test]
fn broken_files_change_nothing_and_are_named() {
    let site = Site::new().acl(ACL);
    let gateway = site.start();
    let mut ann = connect(&gateway, v5("ann", "ann"));
    site.write("passwords", "");
    site.write("acl", "user ann\ntopic read news/#\n\ntopics x\n");
    assert!(!reload(&gateway));
    ann.ping();
    connect(&gateway, v5("bob", "bob")).disconnect();
    let acl = site.path("acl");
    logged(
        &gateway,
        &format!("{}:4: expected user, topic, pattern", acl.display()),
    );
    logged(&gateway, "not reloaded, the old stays in use");
    site.write("acl", ACL);
    site.write("users.toml", "[users.ann]\nroles = [\"king\"]\n");
    assert!(!reload(&gateway));
    logged(&gateway, "users.toml:2: unknown variant `king`");
}

#[test]
fn a_worker_that_loses_its_role_loses_its_work_to_others() {
    let site = Site::new();
    let gateway = site.start();
    let mut ann = Agent::join_as(&gateway, "lab", v5("ann", "ann"));
    ann.listen("handoff/result/ann");
    let mut wes = Agent::join_as(&gateway, "lab", v5("wes", "wes"));
    wes.listen("handoff/work/code");
    ann.dispatch(json!({"type": "code"}));
    let first = wes.assignment("code");
    wes.succeed(&first, json!(1));
    ann.result();
    site.write("users.toml", &USERS.replace("\"worker\"", "\"observer\""));
    assert!(reload(&gateway));
    wes.ping();
    ann.dispatch(json!({"type": "code"}));
    let mut bob = Agent::join_as(&gateway, "lab", v5("bob", "bob"));
    bob.listen("handoff/work/code");
    let second = bob.assignment("code");
    bob.succeed(&second, json!(2));
    ann.result();
    bob.disconnect();
    site.write("users.toml", USERS);
    assert!(reload(&gateway));
    ann.dispatch(json!({"type": "code"}));
    let third = wes.assignment("code");
    wes.succeed(&third, json!(3));
    ann.result();
}

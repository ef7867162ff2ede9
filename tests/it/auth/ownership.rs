//! Sessions, mailboxes and connections of one user are nobody else's (CVE-2026-6564: session
//! theft), even where the rule of client ids would let another in.

use super::*;
use crate::harness::{Agent, Publish};

/// Where anybody may bring any client id.
fn open_site() -> Site {
    Site::new()
        .with("auth.client_ids", r#"["*"]"#)
        .acl("user ann\ntopic news\nuser bob\ntopic news\n")
}

#[test]
fn another_user_cannot_take_over_resume_or_clear_a_session() {
    let site = open_site();
    let mut gateway = site.start();
    let mut ann = connect(&gateway, v5("ann", "shared").persistent());
    ann.subscribe(&[("news", 1)]);
    let nobody_else = |gateway: &Gateway| {
        for other in [v5("bob", "shared").persistent(), v5("bob", "shared")] {
            assert_eq!(refused(gateway, other), NOT_AUTHORIZED);
        }
        assert_eq!(refused(gateway, v311("bob", "shared")), V311_NOT_AUTHORIZED);
    };
    nobody_else(&gateway);
    ann.ping();
    ann.disconnect();
    let mut bob = connect(&gateway, v5("bob", "bob"));
    assert_eq!(bob.publish(Publish::new("news", "kept", 1)), 0);
    nobody_else(&gateway);
    gateway.kill();
    gateway.restart();
    nobody_else(&gateway);
    assert_eq!(refusals(&gateway, "owner"), 3);
    let mut ann = connect(&gateway, v5("ann", "shared").persistent());
    assert!(ann.session_present, "it is still hers");
    assert_eq!(ann.message().text(), "kept");
}

#[test]
fn a_mailbox_waits_for_its_owner_alone() {
    let site = open_site();
    let mut gateway = site.start();
    // A clean session leaves nothing but its mail.
    let ann = Agent::join_as(&gateway, "lab", v5("ann", "postbox"));
    let mut bob = Agent::join_as(&gateway, "lab", v5("bob", "bob"));
    assert_eq!(bob.tell_raw("inbox/postbox/bob", "for ann"), 0);
    ann.disconnect();
    assert_eq!(refused(&gateway, v5("bob", "postbox")), NOT_AUTHORIZED);
    gateway.kill();
    gateway.restart();
    assert_eq!(refused(&gateway, v5("bob", "postbox")), NOT_AUTHORIZED);
    let mut ann = Agent::join_as(&gateway, "lab", v5("ann", "postbox"));
    ann.listen("inbox/postbox/+");
    assert_eq!(ann.message().text(), "for ann");
    ann.disconnect();
    connect(&gateway, v5("bob", "postbox")).disconnect();
}

#[test]
fn a_client_id_is_free_again_when_nothing_is_kept_under_it() {
    let gateway = open_site().start();
    connect(&gateway, v5("ann", "shared")).disconnect();
    connect(&gateway, v5("bob", "shared")).disconnect();
    connect(&gateway, v5("bob", "shared").persistent()).disconnect();
    assert_eq!(refused(&gateway, v5("ann", "shared")), NOT_AUTHORIZED);
    connect(&gateway, v5("bob", "shared")).disconnect();
    connect(&gateway, v5("ann", "shared")).disconnect();
}

#[test]
fn sessions_from_before_authentication_go_to_the_first_user_who_may_have_their_id() {
    let site = Site::new();
    let data = site.path("data");
    let mut before = Setup::new().on(&data).start();
    let mut ann = connect(&before, Connect::v5("ann-1").persistent());
    ann.subscribe(&[("rooms/lab/presence/agent/+", 1)]);
    ann.disconnect();
    assert!(before.stop().success());
    drop(before);
    let gateway = site.start();
    assert_eq!(
        refused(&gateway, v5("bob", "ann-1").persistent()),
        NOT_AUTHORIZED
    );
    assert!(connect(&gateway, v5("ann", "ann-1").persistent()).session_present);
}

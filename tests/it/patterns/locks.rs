//! Locks of the blackboard: one holder, waiters in order, and fences that hold across crashes.

use hallward::wire::reply::Reply;
use serde_json::json;

use crate::harness::{Agent, Gateway};

fn token(reply: &Reply) -> u64 {
    reply
        .lock
        .as_ref()
        .expect("a lock's reply has the lock")
        .token
}

#[test]
fn a_lock_goes_from_one_to_the_next_in_the_order_of_asking() {
    let gateway = Gateway::start();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    let mut bob = Agent::join(&gateway, "lab", "bob");
    let mut cat = Agent::join_v311(&gateway, "lab", "cat");
    let first = token(&ann.accepted("blackboard/lock/ann/press", json!({})));
    let refused = bob.rejected(409, "blackboard/lock/bob/press", json!({}));
    assert_eq!(refused.lock.expect("the lock").holder.as_str(), "ann");
    let wait = json!({"wait": true, "correlationId": "w"});
    assert_eq!(bob.tell("blackboard/lock/bob/press", &wait), 0);
    assert_eq!(cat.tell("blackboard/lock/cat/press", &wait), 0);
    bob.expect_no_mail();
    ann.accepted("blackboard/unlock/ann/press", json!({"token": first}));
    let second = bob.reply();
    assert_eq!(second.correlation_id.as_deref(), Some("w"));
    assert!(token(&second) > first);
    cat.expect_no_mail();
    bob.accepted("blackboard/unlock/bob/press", json!({}));
    assert!(token(&cat.reply()) > token(&second));
}

#[test]
fn who_does_not_get_the_lock_in_time_is_told() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut bob = Agent::join(&gateway, "lab", "bob");
    ann.accepted("blackboard/lock/ann/press", json!({}));
    let late = bob.rejected(408, "blackboard/lock/bob/press", json!({"waitMs": 50}));
    assert_eq!(late.lock.expect("the lock").holder.as_str(), "ann");
}

#[test]
fn fences_hold_across_a_kill_and_a_holder_that_returns_too_late() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let stale = token(&ann.accepted("blackboard/lock/ann/press", json!({"ttlMs": 50})));
    let mut bob = Agent::join(&gateway, "lab", "bob");
    let taken = bob.accepted("blackboard/lock/bob/press", json!({"waitMs": 60_000}));
    gateway.kill();
    gateway.restart();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut bob = Agent::join(&gateway, "lab", "bob");
    let write = |token: u64| json!({"value": token, "fence": {"lock": "press", "token": token}});
    let refused = ann.rejected(409, "blackboard/set/ann/page", write(stale));
    assert_eq!(refused.path.as_deref(), Some("fence"));
    bob.accepted("blackboard/set/bob/page", write(token(&taken)));
    bob.accepted(
        "blackboard/unlock/bob/press",
        json!({"token": token(&taken)}),
    );
    bob.rejected(409, "blackboard/set/bob/page", write(token(&taken)));
    let again = token(&ann.accepted("blackboard/lock/ann/press", json!({})));
    assert!(again > token(&taken), "never a token twice");
}

#[test]
fn a_lock_is_passed_on_when_its_holder_leaves() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    let mut bob = Agent::join(&gateway, "lab", "bob");
    ann.accepted("blackboard/lock/ann/press", json!({"ttlMs": 3_600_000}));
    let wait = json!({"waitMs": 60_000, "correlationId": "w"});
    assert_eq!(bob.tell("blackboard/lock/bob/press", &wait), 0);
    assert_eq!(ann.tell_raw("presence/announce/ann", ""), 0);
    assert_eq!(bob.reply().lock.expect("the lock").holder.as_str(), "bob");
    let found = bob.accepted("blackboard/get/bob", json!({"locks": true}));
    let data = found.data.expect("a query has data");
    assert!(data.text().contains(r#""holder":"bob""#), "{data:?}");
}

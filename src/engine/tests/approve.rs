//! Approve: gates, votes, time-outs.

mod escalation;
mod gate_ends;
mod gates;
mod trail;

use crate::wire::approve::{ApprovalState, AuditAct, AuditPage, PendingApproval, Verdict as Word};

use super::*;

fn ask(world: &mut World, request: Value) -> Verdict {
    world.send("asker", "approve/request", request)
}

fn decide(world: &mut World, who: &str, decision: &str) -> Verdict {
    decide_with(world, who, json!({ "decision": decision }))
}

fn decide_with(world: &mut World, who: &str, decision: Value) -> Verdict {
    world.send(who, "approve/decide/p", decision)
}

fn asked(request: Value) -> World {
    let mut world = World::new();
    let mut request = request;
    request["id"] = "p".into();
    request["action"] = "publish".into();
    ask(&mut world, request).unwrap();
    world
}

fn pending(world: &World) -> Option<PendingApproval> {
    let pending = world.retained("approve/pending/p")?;
    serde_json::from_value(pending).unwrap()
}

#[test]
fn a_request_waits_for_its_decision_and_gets_exactly_one() {
    let mut world = asked(json!({ "content": { "a": 1 }, "correlationId": "c" }));
    assert_eq!(world.last_reply("asker").approval.unwrap().as_str(), "p");
    assert_eq!(pending(&world).unwrap().expires_at, START + 15 * 60_000);
    assert_eq!(world.next_timer().unwrap().1, Timer::Approval);
    decide_with(
        &mut world,
        "boss",
        json!({ "decision": "approve", "reason": "fine" }),
    )
    .unwrap();
    assert_eq!(pending(&world), None);
    let decisions = world.decisions("asker");
    assert_eq!(decisions.len(), 1);
    let decision = &decisions[0];
    assert!(decision.approved && !decision.timed_out && !decision.edited);
    assert_eq!(decision.decision, Word::Approve);
    assert_eq!(decision.by, [agent("boss")]);
    assert_eq!(decision.reason.as_deref(), Some("fine"));
    assert_eq!(decision.content.as_ref().unwrap().text(), r#"{"a":1}"#);
    assert_eq!(decision.correlation_id.as_deref(), Some("c"));
    assert_eq!(decide(&mut world, "late", "reject"), Err(Code::Conflict));
    let reason = world.last_reply("late").reason.unwrap();
    assert_eq!(reason, format!("p was approved by boss at {START}"));
    world.pass(60 * 60_000);
    assert_eq!(world.decisions("asker").len(), 1);
    assert_eq!(
        world.story("p"),
        ["approve.requested", "approve.voted", "approve.decided"]
    );
    world.check();
}

#[test]
fn the_digest_is_over_the_canonical_json_of_action_and_content() {
    let world = asked(json!({ "content": { "b": 1.0, "a": "ü" } }));
    let digest = pending(&world).unwrap().digest;
    // printf '%s' '{"action":"publish","content":{"a":"ü","b":1}}' | sha256sum
    let expected = "9ffc612a1108f52a755ba2e862a320cfbb8e9ff2ad3e46101839e5c2b5ad952b";
    assert_eq!(digest, expected);
    let other = asked(json!({ "content": { "a": "ü", "b": 1 } }));
    assert_eq!(
        pending(&other).unwrap().digest,
        digest,
        "order and spelling do not matter"
    );
    let other = asked(json!({ "content": { "a": "u", "b": 1 } }));
    assert_ne!(pending(&other).unwrap().digest, digest);
}

#[test]
fn whatever_is_not_exactly_approve_is_a_rejection() {
    for word in ["reject", "Approve", "approved", "yes", ""] {
        let mut world = asked(json!({}));
        decide(&mut world, "boss", word).unwrap();
        let decision = &world.decisions("asker")[0];
        assert!(!decision.approved);
        assert_eq!(decision.decision, Word::Reject);
    }
}

#[test]
fn nobody_decides_in_time_is_a_rejection() {
    let mut world = asked(json!({ "timeoutMs": 500 }));
    world.pass(499);
    assert!(world.decisions("asker").is_empty());
    world.pass(1);
    let decision = &world.decisions("asker")[0];
    assert!(decision.timed_out && !decision.approved && decision.by.is_empty());
    assert_eq!(
        decision.reason.as_deref(),
        Some("nobody decided within 500 ms")
    );
    assert_eq!(pending(&world), None);
    assert_eq!(decide(&mut world, "boss", "approve"), Err(Code::Conflict));
    assert!(
        world
            .last_reply("boss")
            .reason
            .unwrap()
            .contains("timed out")
    );
}

#[test]
fn a_time_out_approves_only_where_the_gateway_allows_it() {
    let request = json!({ "id": "p", "action": "x", "onTimeout": "approve", "timeoutMs": 5 });
    let mut world = World::new();
    assert_eq!(ask(&mut world, request.clone()), Err(Code::Forbidden));
    let mut world = World::with(Settings::tuned(|settings| {
        settings.approve.approve_on_timeout = true
    }));
    ask(&mut world, request).unwrap();
    world.pass(5);
    let decision = &world.decisions("asker")[0];
    assert!(decision.timed_out && decision.approved);
}

#[test]
fn a_requester_may_not_decide_its_own_request() {
    let mut world = asked(json!({}));
    assert_eq!(decide(&mut world, "asker", "approve"), Err(Code::Forbidden));
    assert_eq!(decide(&mut world, "asker", "reject"), Err(Code::Forbidden));
    assert!(pending(&world).is_some());
}

#[test]
fn only_the_named_may_decide_by_name_or_by_role() {
    let mut world = asked(json!({ "approvers": ["boss", "role:editor"] }));
    assert_eq!(decide(&mut world, "other", "approve"), Err(Code::Forbidden));
    world.connect("ed");
    world
        .send("ed", "presence/announce", json!({ "role": "editor" }))
        .unwrap();
    decide(&mut world, "ed", "approve").unwrap();
    assert_eq!(world.decisions("asker")[0].by, [agent("ed")]);
    let mut world = asked(json!({ "approvers": ["boss", "role:editor"] }));
    decide(&mut world, "boss", "approve").unwrap();
}

#[test]
fn a_role_counts_only_while_its_agent_is_in_the_room() {
    let mut world = asked(json!({ "approvers": ["role:editor"] }));
    world.worker("ed", "draft");
    world
        .send("ed", "presence/announce", json!({ "role": "editor" }))
        .unwrap();
    world.send_raw("ed", "presence/announce", "").unwrap();
    assert_eq!(decide(&mut world, "ed", "approve"), Err(Code::Forbidden));
}

#[test]
fn who_has_approved_may_still_reject() {
    let mut world = asked(json!({ "quorum": 2 }));
    decide(&mut world, "a", "approve").unwrap();
    decide(&mut world, "a", "reject").unwrap();
    let decision = &world.decisions("asker")[0];
    assert!(!decision.approved);
    assert_eq!(decision.by, [agent("a")]);
    assert_eq!(decide(&mut world, "b", "approve"), Err(Code::Conflict));
}

#[test]
fn content_whose_digest_is_something_elses_too_is_refused() {
    let mut world = World::new();
    let ask = |world: &mut World, content: &str| {
        let request = format!(r#"{{"action":"pay","content":{content}}}"#);
        world.send_raw("asker", "approve/request", request)
    };
    for content in [r#"{"cents":9007199254740993}"#, r#"{"b":1,"b":2}"#] {
        assert_eq!(ask(&mut world, content), Err(Code::Invalid));
        let reply = world.last_reply("asker");
        assert_eq!(reply.path.as_deref(), Some("content"), "{reply:?}");
    }
    assert_eq!(ask(&mut world, r#"{"cents":9007199254740992}"#), Ok(()));
    let mut world = asked(json!({}));
    let edit = r#"{"decision":"approve","edit":[12345678901234567890123]}"#;
    let refused = world.send_raw("a", "approve/decide/p", edit);
    assert_eq!(refused, Err(Code::Invalid));
    assert!(world.decisions("asker").is_empty());
}

#[test]
fn a_quorum_needs_that_many_and_one_rejection_ends_it() {
    let mut world = asked(json!({ "quorum": 2 }));
    decide(&mut world, "a", "approve").unwrap();
    assert_eq!(pending(&world).unwrap().approved_by, [agent("a")]);
    decide(&mut world, "a", "approve").unwrap();
    assert!(world.decisions("asker").is_empty(), "nobody counts twice");
    decide(&mut world, "b", "approve").unwrap();
    assert_eq!(world.decisions("asker")[0].by, [agent("a"), agent("b")]);
    let mut world = asked(json!({ "quorum": 2 }));
    decide(&mut world, "a", "approve").unwrap();
    decide(&mut world, "b", "reject").unwrap();
    let decision = &world.decisions("asker")[0];
    assert!(!decision.approved);
    assert_eq!(decision.by, [agent("b")]);
}

#[test]
fn a_decision_on_something_else_than_was_seen_is_a_conflict() {
    let mut world = asked(json!({ "content": 1 }));
    let digest = pending(&world).unwrap().digest;
    let wrong = json!({ "decision": "approve", "digest": "0".repeat(64) });
    assert_eq!(decide_with(&mut world, "boss", wrong), Err(Code::Conflict));
    assert_eq!(world.last_reply("boss").path.as_deref(), Some("digest"));
    decide_with(
        &mut world,
        "boss",
        json!({ "decision": "approve", "digest": digest }),
    )
    .unwrap();
}

#[test]
fn an_edit_changes_what_is_approved_and_needs_the_others_again() {
    let mut world = asked(json!({ "content": "raw", "quorum": 2 }));
    let first = pending(&world).unwrap().digest;
    decide(&mut world, "a", "approve").unwrap();
    decide_with(
        &mut world,
        "b",
        json!({ "decision": "approve", "edit": "fine" }),
    )
    .unwrap();
    let now = pending(&world).unwrap();
    assert_eq!(now.content.unwrap().text(), "\"fine\"");
    assert_eq!(now.approved_by, [agent("b")]);
    assert_ne!(now.digest, first);
    let stale = json!({ "decision": "approve", "digest": first });
    assert_eq!(decide_with(&mut world, "a", stale), Err(Code::Conflict));
    decide_with(
        &mut world,
        "a",
        json!({ "decision": "approve", "digest": now.digest }),
    )
    .unwrap();
    let decision = &world.decisions("asker")[0];
    assert!(decision.approved && decision.edited);
    assert_eq!(decision.content.as_ref().unwrap().text(), "\"fine\"");
}

#[test]
fn a_repeated_request_is_one_and_anothers_id_is_a_conflict() {
    let mut world = asked(json!({}));
    ask(&mut world, json!({ "id": "p", "action": "publish" })).unwrap();
    assert_eq!(world.engine.stats().pending_approvals, 1);
    let request = json!({ "id": "p", "action": "publish" });
    assert_eq!(
        world.send("other", "approve/request", request),
        Err(Code::Conflict)
    );
    decide(&mut world, "boss", "approve").unwrap();
    ask(&mut world, json!({ "id": "p", "action": "publish" })).unwrap();
    assert_eq!(world.decisions("asker").len(), 1);
}

#[test]
fn a_repeated_decision_with_an_id_returns_the_first_outcome() {
    let mut world = asked(json!({}));
    let decision = json!({ "decision": "approve", "id": "d" });
    decide_with(&mut world, "boss", decision.clone()).unwrap();
    decide_with(&mut world, "boss", decision).unwrap();
    assert_eq!(world.decisions("asker").len(), 1);
}

#[test]
fn requests_are_checked() {
    let mut world = World::new();
    for (request, code) in [
        (json!({ "action": "x".repeat(3_000) }), Code::TooLarge),
        (
            json!({ "action": "x", "content": "x".repeat(300_000) }),
            Code::TooLarge,
        ),
        (json!({ "action": "x", "quorum": 0 }), Code::Invalid),
        (json!({ "action": "x", "quorum": 101 }), Code::Invalid),
        (json!({ "action": "x", "timeoutMs": 0 }), Code::Invalid),
        (
            json!({ "action": "x", "approvers": ["a b"] }),
            Code::Invalid,
        ),
        (
            json!({ "action": "x", "approvers": ["role:"] }),
            Code::Invalid,
        ),
        (
            json!({ "action": "x", "approvers": ["asker"] }),
            Code::Invalid,
        ),
        (
            json!({ "action": "x", "approvers": ["a", "a"], "quorum": 2 }),
            Code::Invalid,
        ),
        (json!({ "content": 1 }), Code::Malformed),
    ] {
        assert_eq!(ask(&mut world, request.clone()), Err(code), "{request}");
    }
    assert_eq!(world.engine.stats().rooms, 0, "refusals make no room");
    assert_eq!(decide(&mut world, "boss", "approve"), Err(Code::NotFound));
}

#[test]
fn content_that_is_nested_too_deep_has_no_digest() {
    let mut world = World::new();
    let content = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let request = format!(r#"{{"action":"x","content":{content}}}"#);
    assert_eq!(
        world.send_raw("asker", "approve/request", request),
        Err(Code::Invalid)
    );
}

#[test]
fn pending_approvals_are_bounded() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.approve.max_pending_per_room = 1
    }));
    ask(&mut world, json!({ "id": "p", "action": "x" })).unwrap();
    assert_eq!(
        ask(&mut world, json!({ "action": "x" })),
        Err(Code::TooMany)
    );
    decide(&mut world, "boss", "approve").unwrap();
    world.mailboxes.free_results.insert(agent("asker"), 0);
    assert_eq!(
        ask(&mut world, json!({ "action": "x" })),
        Err(Code::TooMany)
    );
}

#[test]
fn a_decided_approval_is_remembered_for_a_while() {
    let mut world = asked(json!({}));
    decide(&mut world, "boss", "approve").unwrap();
    world.pass(30 * 24 * 60 * 60_000 - 1);
    assert_eq!(decide(&mut world, "late", "approve"), Err(Code::Conflict));
    world.pass(1);
    assert_eq!(decide(&mut world, "late", "approve"), Err(Code::NotFound));
    assert_eq!(world.disk.len(), 1, "only the room's head is left");
}

fn audit(world: &mut World, query: Value) -> AuditPage {
    world.send("auditor", "approve/audit", query).unwrap();
    let data = world.last_reply("auditor").data.unwrap();
    serde_json::from_str(data.text()).unwrap()
}

/// What the trail of `p` says: who did what.
fn trail(world: &mut World) -> Vec<(String, AuditAct)> {
    let page = audit(world, json!({ "approval": "p" }));
    let trail = page.approvals[0].trail.iter();
    trail
        .map(|entry| (entry.who.to_string(), entry.act))
        .collect()
}

fn did(who: &str, act: AuditAct) -> (String, AuditAct) {
    (who.to_owned(), act)
}

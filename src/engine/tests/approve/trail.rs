//! The audit trail.

use super::*;

#[test]
fn the_audit_tells_everything_that_happened_in_order() {
    let mut world = asked(json!({ "quorum": 2, "content": 1 }));
    decide(&mut world, "a", "approve").unwrap();
    decide_with(
        &mut world,
        "b",
        json!({ "decision": "approve", "edit": 2, "reason": "better" }),
    )
    .unwrap();
    decide(&mut world, "c", "reject").unwrap();
    world.crash();
    let page = audit(&mut world, json!({ "approval": "p" }));
    let audited = &page.approvals[0];
    assert_eq!(audited.state, ApprovalState::Rejected);
    assert_eq!((audited.edited, audited.decided_at), (true, Some(START)));
    let digests: Vec<bool> = audited
        .trail
        .iter()
        .map(|entry| entry.digest.is_some())
        .collect();
    assert_eq!(digests, [true, false, true, false], "where it is new");
    assert_eq!(audited.trail[2].digest.as_ref(), Some(&audited.digest));
    assert_eq!(audited.trail[2].reason.as_deref(), Some("better"));
    let told = [
        did("asker", AuditAct::Requested),
        did("a", AuditAct::Approved),
        did("b", AuditAct::Edited),
        did("c", AuditAct::Rejected),
    ];
    assert_eq!(trail(&mut world), told);
    let unknown = json!({ "approval": "q" });
    assert_eq!(
        world.send("auditor", "approve/audit", unknown),
        Err(Code::NotFound)
    );
}

#[test]
fn the_audit_pages_by_state_and_time() {
    let mut world = World::new();
    for n in 0..7 {
        let request = json!({ "id": format!("p{n}"), "action": "x", "timeoutMs": 60_000 });
        ask(&mut world, request).unwrap();
        world.pass(10);
    }
    let approve = json!({ "decision": "approve" });
    for id in ["p1", "p4"] {
        world
            .send("boss", &format!("approve/decide/{id}"), approve.clone())
            .unwrap();
    }
    let ids = |page: &AuditPage| -> Vec<String> {
        page.approvals
            .iter()
            .map(|one| one.id.to_string())
            .collect()
    };
    let approved = audit(&mut world, json!({ "state": "approved" }));
    assert_eq!(ids(&approved), ["p1", "p4"]);
    let between = json!({ "since": START + 10, "until": START + 40, "state": "pending" });
    assert_eq!(ids(&audit(&mut world, between)), ["p2", "p3"]);
    let (mut seen, mut query) = (Vec::new(), json!({ "limit": 3 }));
    loop {
        let page = audit(&mut world, query.clone());
        seen.extend(ids(&page));
        let Some(cursor) = page.cursor else {
            break;
        };
        query["cursor"] = cursor.into();
    }
    assert_eq!(seen, ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
    for (query, path) in [
        (json!({ "cursor": "x" }), "cursor"),
        (json!({ "limit": 0 }), "limit"),
    ] {
        assert_eq!(
            world.send("auditor", "approve/audit", query),
            Err(Code::Invalid)
        );
        assert_eq!(world.last_reply("auditor").path.as_deref(), Some(path));
    }
    world.pass(60_000);
    let late = audit(&mut world, json!({ "state": "timedOut" }));
    assert_eq!(late.approvals.len(), 5);
}

#[test]
fn a_full_trail_takes_nothing_but_a_decision() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.approve.max_trail = Size(600)
    }));
    let request = json!({ "id": "p", "action": "x", "quorum": 2 });
    ask(&mut world, request).unwrap();
    let defer = |n: u64| json!({ "decision": "defer", "deferMs": 3_600_000 + n });
    for n in 1..=3 {
        decide_with(&mut world, "boss", defer(n)).unwrap();
    }
    assert_eq!(
        decide_with(&mut world, "boss", defer(4)),
        Err(Code::TooMany)
    );
    assert_eq!(decide(&mut world, "boss", "approve"), Err(Code::TooMany));
    decide(&mut world, "boss", "reject").unwrap();
    assert!(!world.decisions("asker")[0].approved);
    world.check();
}

#[test]
fn what_was_approved_can_be_asked_for_again() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.approve.max_decided_bytes_per_room = Size(10)
    }));
    let audited = |world: &mut World, id: &str| -> crate::wire::approve::AuditedApproval {
        let query = json!({ "approval": id });
        world.send("boss", "approve/audit", query).unwrap();
        let page = world.last_reply("boss").data.unwrap();
        let mut page: crate::wire::approve::AuditPage = serde_json::from_str(page.text()).unwrap();
        page.approvals.remove(0)
    };
    for id in ["1", "2"] {
        let request = json!({ "id": id, "action": "print", "content": "abcdef" });
        world.send("boss", "approve/request", request).unwrap();
        let edit = json!({ "decision": "approve", "edit": "abcde" });
        world
            .send("editor", &format!("approve/decide/{id}"), edit)
            .unwrap();
    }
    for _ in 0..2 {
        let first = audited(&mut world, "1");
        assert_eq!((first.content, first.content_omitted), (None, true));
        let second = audited(&mut world, "2");
        assert_eq!(second.content.unwrap().text(), "\"abcde\"");
        assert_eq!(
            second.digest,
            world.decisions("boss")[1].digest.clone().unwrap()
        );
        world.crash();
    }
    world.send("boss", "approve/audit", json!({})).unwrap();
    let page = world.last_reply("boss").data.unwrap();
    assert!(!page.text().contains("abcde"), "a page has no contents");
}

//! Escalation, deferral, and requests that are taken back.

use super::*;

#[test]
fn a_request_that_times_out_is_asked_again_of_others_once() {
    let mut world = asked(json!({
        "approvers": ["first"], "onTimeout": "escalate", "escalateTo": ["role:boss", "asker"], "timeoutMs": 1_000
    }));
    world.connect("second");
    let boss = json!({ "role": "boss" });
    world.send("second", "presence/announce", boss).unwrap();
    assert_eq!(
        decide(&mut world, "second", "approve"),
        Err(Code::Forbidden)
    );
    world.pass(1_000);
    assert!(world.decisions("asker").is_empty());
    let shown = pending(&world).unwrap();
    assert!(shown.escalated);
    assert_eq!(shown.approvers, ["role:boss", "asker"]);
    assert_eq!(shown.expires_at, START + 2_000);
    assert_eq!(decide(&mut world, "first", "approve"), Err(Code::Forbidden));
    assert_eq!(decide(&mut world, "asker", "approve"), Err(Code::Forbidden));
    decide(&mut world, "second", "approve").unwrap();
    let decision = &world.decisions("asker")[0];
    assert!(decision.approved && decision.escalated && !decision.timed_out);
    assert_eq!(
        trail(&mut world),
        [
            did("asker", AuditAct::Requested),
            did("gateway", AuditAct::Escalated),
            did("second", AuditAct::Approved),
        ]
    );
    world.check();
}

#[test]
fn an_escalation_that_nobody_answers_is_no() {
    let mut world = asked(json!({
        "onTimeout": "escalate", "escalateTo": ["boss"], "timeoutMs": 1_000
    }));
    world.pass(1_000);
    world.crash();
    world.pass(999);
    assert!(world.decisions("asker").is_empty());
    world.pass(1);
    let decision = &world.decisions("asker")[0];
    assert!(!decision.approved && decision.timed_out && decision.escalated);
    assert_eq!(pending(&world), None);
    let told = [
        did("asker", AuditAct::Requested),
        did("gateway", AuditAct::Escalated),
        did("gateway", AuditAct::TimedOut),
    ];
    assert_eq!(trail(&mut world), told);
    world.check();
}

#[test]
fn escalation_needs_somebody_who_may_decide() {
    for request in [
        json!({ "onTimeout": "escalate" }),
        json!({ "escalateTo": ["boss"] }),
        json!({ "onTimeout": "reject", "escalateTo": ["boss"] }),
        json!({ "onTimeout": "escalate", "escalateTo": ["asker"] }),
        json!({ "onTimeout": "escalate", "escalateTo": ["no name"] }),
    ] {
        let mut world = World::new();
        let mut request = request;
        request["action"] = "publish".into();
        assert_eq!(
            ask(&mut world, request.clone()),
            Err(Code::Invalid),
            "{request}"
        );
    }
}

#[test]
fn what_was_approved_before_an_escalation_stands() {
    let mut world = asked(json!({
        "approvers": ["a", "b"], "quorum": 2, "onTimeout": "escalate", "escalateTo": ["boss"], "timeoutMs": 1_000
    }));
    decide(&mut world, "a", "approve").unwrap();
    world.pass(1_000);
    decide(&mut world, "boss", "approve").unwrap();
    let decision = &world.decisions("asker")[0];
    assert!(decision.approved);
    assert_eq!(decision.by, [agent("a"), agent("boss")]);
}

#[test]
fn a_deferral_gives_more_time_and_decides_nothing() {
    let mut world = asked(json!({ "timeoutMs": 1_000, "approvers": ["boss"] }));
    let defer = |ms: u64| json!({ "decision": "defer", "deferMs": ms, "reason": "at lunch" });
    assert_eq!(
        decide_with(&mut world, "other", defer(5_000)),
        Err(Code::Forbidden)
    );
    assert_eq!(
        decide_with(&mut world, "asker", defer(5_000)),
        Err(Code::Forbidden)
    );
    decide_with(&mut world, "boss", defer(5_000)).unwrap();
    assert_eq!(pending(&world).unwrap().expires_at, START + 5_000);
    assert_eq!(world.next_timer(), Some((5_000, Timer::Approval)));
    for ms in [1_000, 31 * 24 * 3_600_000] {
        assert_eq!(
            decide_with(&mut world, "boss", defer(ms)),
            Err(Code::Invalid)
        );
    }
    world.crash();
    world.pass(4_500);
    decide(&mut world, "boss", "defer").unwrap();
    assert_eq!(
        pending(&world).unwrap().expires_at,
        START + 5_500,
        "the request's own time"
    );
    world.pass(1_000);
    let decision = &world.decisions("asker")[0];
    assert!(!decision.approved && decision.timed_out);
    let told = trail(&mut world);
    assert_eq!(
        told[1..3],
        [
            did("boss", AuditAct::Deferred),
            did("boss", AuditAct::Deferred)
        ]
    );
    world.check();
}

#[test]
fn only_the_requester_takes_its_request_back() {
    let mut world = asked(json!({ "correlationId": "c" }));
    let cancel = json!({ "approval": "p", "reason": "too late" });
    let cancelled =
        |world: &mut World, who: &str| world.send(who, "approve/cancel", cancel.clone());
    assert_eq!(cancelled(&mut world, "boss"), Err(Code::Forbidden));
    cancelled(&mut world, "asker").unwrap();
    let decision = &world.decisions("asker")[0];
    assert!(!decision.approved && decision.cancelled && !decision.timed_out);
    assert_eq!(decision.reason.as_deref(), Some("too late"));
    assert_eq!(pending(&world), None);
    assert_eq!(cancelled(&mut world, "asker"), Err(Code::Conflict));
    assert_eq!(decide(&mut world, "boss", "approve"), Err(Code::Conflict));
    let unknown = json!({ "approval": "q" });
    assert_eq!(
        world.send("asker", "approve/cancel", unknown),
        Err(Code::NotFound)
    );
    world.pass(60 * 60_000);
    assert_eq!(world.decisions("asker").len(), 1);
    world.check();
}

//! What waits for somebody's yes.

use hallward::agent::{Error, Gate, PendingUpdate, Ruling};
use hallward::wire::approve::{AuditQuery, PendingApproval};
use serde_json::{Value, json};

use super::{ALL, Stage, next, within};

async fn pending(feed: &mut hallward::agent::Feed<PendingUpdate>) -> PendingApproval {
    match next(feed).await {
        PendingUpdate::Pending(pending) => *pending,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_until_it_is_decided_however_it_is_spoken() {
    let mut stage = Stage::set().await;
    for (number, speech) in ALL.into_iter().enumerate() {
        stage.speech = speech;
        let editor = stage.room(&format!("editor-{number}")).await;
        let boss = stage.room("boss").await;
        let mut waiting = boss.approve().pending().await.expect("pending ones");
        let asking = {
            let approve = editor.approve();
            let gate = Gate::new("publish")
                .content(&json!({"title": "Tides"}))
                .approver("boss");
            tokio::spawn(async move { approve.request(gate).await })
        };
        let asked = pending(&mut waiting).await;
        let ruling = Ruling::approve()
            .digest(&asked.digest)
            .edit(&json!({"title": "Moon"}))
            .because("better so");
        boss.approve()
            .decide(asked.id.as_str(), ruling)
            .await
            .expect("decided");
        let decision = within(asking).await.expect("ran").expect("decided");
        assert!(decision.approved && decision.edited, "{speech:?}");
        let content: Value =
            serde_json::from_str(decision.content.expect("it").text()).expect("JSON");
        assert_eq!(content, json!({"title": "Moon"}));
        let gone = next(&mut waiting).await;
        assert_eq!(gone, PendingUpdate::Decided(asked.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_again_after_a_restart_is_not_asked_twice() {
    let stage = Stage::set().await;
    let boss = stage.room("boss").await;
    let mut waiting = boss.approve().pending().await.expect("pending ones");
    let gate = || Gate::new("publish").id("go-1").content(&1);
    let first = stage.room("editor").await;
    let asking = {
        let approve = first.approve();
        let gate = gate();
        tokio::spawn(async move { approve.request(gate).await })
    };
    pending(&mut waiting).await;
    // Another program takes over, and asks the same.
    let second = stage.room("editor").await;
    let taken = within(asking).await.expect("ran");
    assert!(matches!(taken, Err(Error::SessionTaken)), "{taken:?}");
    let asking = {
        let approve = second.approve();
        let gate = gate();
        tokio::spawn(async move { approve.request(gate).await })
    };
    boss.approve()
        .decide("go-1", Ruling::reject().because("no"))
        .await
        .expect("decided");
    let decision = within(asking).await.expect("ran").expect("decided");
    assert_eq!(
        (decision.approved, decision.reason.as_deref()),
        (false, Some("no"))
    );
    // And once more, when its decision has come and gone.
    let again = within(second.approve().request(gate()))
        .await
        .expect("known");
    assert!(!again.approved);
    assert_eq!(
        again.by.iter().map(|by| by.as_str()).collect::<Vec<_>>(),
        ["boss"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_decide_is_refused_and_all_is_in_the_audit() {
    let stage = Stage::set().await;
    let editor = stage.room("editor").await;
    let other = stage.room("other").await;
    let mut waiting = other.approve().pending().await.expect("pending ones");
    let asking = {
        let approve = editor.approve();
        let gate = Gate::new("print").id("go-2").approver("boss");
        tokio::spawn(async move { approve.request(gate).await })
    };
    pending(&mut waiting).await;
    let refused = other.approve().decide("go-2", Ruling::approve()).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    editor
        .approve()
        .cancel("go-2", "out of paper")
        .await
        .expect("taken back");
    let decision = within(asking).await.expect("ran").expect("decided");
    assert!(decision.cancelled && !decision.approved);
    let page = editor
        .approve()
        .audit(AuditQuery::default())
        .await
        .expect("a page");
    assert_eq!(page.approvals.len(), 1);
}

//! What happens, and what happened.

use hallward::agent::{Followed, Since};
use serde_json::{Value, json};

use super::{ALL, Stage, next, within};

#[tokio::test(flavor = "multi_thread")]
async fn agents_and_the_gateway_are_heard_however_it_is_spoken() {
    let mut stage = Stage::set().await;
    for (number, speech) in ALL.into_iter().enumerate() {
        stage.speech = speech;
        let wanda = stage.room(&format!("wanda-{number}")).await;
        let watcher = stage.room(&format!("watcher-{number}")).await;
        let mut logs = watcher.observe().on("log").await.expect("events");
        let mut all = watcher.observe().on("*").await.expect("events");
        within(wanda.observe().emit("log", "info", &json!({"cups": 2})))
            .await
            .expect("told");
        let heard = next(&mut logs).await;
        let body: Value = serde_json::from_str(heard.body.text()).expect("JSON");
        assert_eq!(
            body,
            json!({"severity": "info", "payload": {"cups": 2}}),
            "{speech:?}"
        );
        assert_eq!(heard.source.as_str(), format!("wanda-{number}"));
        super::until(&mut all, |heard| heard.category.as_str() == "log").await;
        wanda
            .blackboard()
            .set("mood", &"good")
            .await
            .expect("on disk");
        let set = super::until(&mut all, |heard| {
            heard.event().is_some_and(|e| e.what == "blackboard.set")
        });
        assert_eq!(set.await.category.as_str(), "blackboard");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_without_a_gap_over_a_crash_of_the_gateway() {
    let mut stage = Stage::set().await;
    let editor = stage.room("editor").await;
    let watcher = stage.room("watcher").await;
    for value in 0..5 {
        editor.blackboard().set("n", &value).await.expect("on disk");
    }
    let mut events = watcher
        .observe()
        .follow(Since::Beginning)
        .await
        .expect("events");
    stage.gateway.kill().await.expect("killed");
    let writing = {
        let board = editor.blackboard();
        tokio::spawn(async move {
            for value in 5..10 {
                board.set("n", &value).await.expect("on disk");
            }
        })
    };
    stage.gateway.restart().await.expect("up again");
    within(writing).await.expect("ran");
    let (mut last, mut sets) = (None, 0);
    while sets < 10 {
        let Followed::Event(event) = next(&mut events).await else {
            panic!("a gap");
        };
        if let Some(last) = last {
            assert_eq!(event.seq, last + 1);
        }
        last = Some(event.seq);
        sets += usize::from(event.what == "blackboard.set");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_any_more_is_told_as_a_gap() {
    let stage = Stage::with(&[("observe.max_bytes_per_room", "256KiB")]).await;
    let editor = stage.room("editor").await;
    for value in 0..2_000 {
        editor.blackboard().set("n", &value).await.expect("on disk");
    }
    let mut events = editor
        .observe()
        .follow(Since::Seq(1))
        .await
        .expect("events");
    let Followed::Gap { from_seq, to_seq } = next(&mut events).await else {
        panic!("it is all there");
    };
    assert_eq!(from_seq, 1);
    let Followed::Event(first) = next(&mut events).await else {
        panic!("another gap");
    };
    assert_eq!(first.seq, to_seq + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn following_from_now_on_tells_nothing_of_the_past() {
    let stage = Stage::set().await;
    let editor = stage.room("editor").await;
    editor.blackboard().set("past", &1).await.expect("on disk");
    let mut events = editor.observe().follow(Since::Now).await.expect("events");
    editor
        .blackboard()
        .set("future", &1)
        .await
        .expect("on disk");
    let Followed::Event(first) = next(&mut events).await else {
        panic!("a gap");
    };
    assert_eq!(first.subject, "future");
}

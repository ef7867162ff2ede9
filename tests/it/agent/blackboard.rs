//! The blackboard, watched, mirrored and locked.

use std::time::Duration;

use hallward::agent::{Error, KeyUpdate, WriteOptions};
use hallward::wire::blackboard::{ListKeys, Op, OpKind};
use hallward::wire::json::Json;
use hallward::wire::name::Key;
use serde_json::{Value, json};

use super::{ALL, Stage, next, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_written_and_read_however_it_is_spoken() {
    let mut stage = Stage::set().await;
    for (number, speech) in ALL.into_iter().enumerate() {
        stage.speech = speech;
        let room = stage.room(&format!("editor-{number}")).await;
        let board = room.blackboard();
        let key = format!("plan-{number}/monday");
        let written = within(board.set(&key, &json!({"lead": "Tides"})))
            .await
            .expect("on disk");
        assert_eq!(written.version, 1);
        let merge = WriteOptions {
            merge: true,
            if_version: Some(1),
            ..WriteOptions::default()
        };
        within(board.set_with(&key, &json!({"words": 900}), merge))
            .await
            .expect("merged");
        let entry = within(board.fetch(&key))
            .await
            .expect("asked")
            .expect("there");
        let value: Value = serde_json::from_str(entry.value.text()).expect("JSON");
        assert_eq!(value, json!({"lead": "Tides", "words": 900}), "{speech:?}");
        let history = within(board.history(&key, None)).await.expect("asked");
        assert_eq!(history.versions.len(), 2);
        within(board.delete(&key, WriteOptions::default()))
            .await
            .expect("deleted");
        assert_eq!(within(board.fetch(&key)).await.expect("asked"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_writer_is_shown_what_is_there() {
    let stage = Stage::set().await;
    let room = stage.room("editor").await;
    let board = room.blackboard();
    board.set("plan", &1).await.expect("on disk");
    let absent = WriteOptions {
        if_version: Some(0),
        ..WriteOptions::default()
    };
    let refused = board
        .set_with("plan", &2, absent)
        .await
        .expect_err("it is there");
    let Error::Conflict(refusal) = refused else {
        panic!("{refused}");
    };
    let current = refusal.current.expect("what is there");
    assert_eq!((current.value.text(), current.version), ("1", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_all_or_nothing() {
    let stage = Stage::set().await;
    let room = stage.room("editor").await;
    let board = room.blackboard();
    let op = |key: &str, if_version| Op {
        op: OpKind::Set,
        key: Key::new(key).expect("a key"),
        value: Some(Json::of(&7)),
        if_version,
        merge: false,
        ttl_ms: None,
    };
    let done = board.txn(vec![op("a", None), op("b", Some(0))], None).await;
    assert_eq!(done.expect("all").versions.len(), 2);
    let refused = board.txn(vec![op("a", None), op("b", Some(0))], None).await;
    let refused = refused.expect_err("b is there");
    assert_eq!(
        refused
            .refusal()
            .and_then(|refusal| refusal.path.as_deref()),
        Some("ops[1]")
    );
    let page = board.list(ListKeys::default()).await.expect("a page");
    assert!(page.keys.iter().all(|line| line.version == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_is_there_and_then_what_changes_each_once() {
    let stage = Stage::set().await;
    let room = stage.room("editor").await;
    let watcher = stage.room("watcher").await;
    let board = room.blackboard();
    for key in ["plan/a", "plan/b", "other"] {
        board.set(key, &1).await.expect("on disk");
    }
    let mut watch = watcher
        .blackboard()
        .watch(Some("plan"))
        .await
        .expect("a watch");
    let mut seen = Vec::new();
    loop {
        match next(&mut watch).await {
            KeyUpdate::Set(entry) => seen.push((entry.key.to_string(), entry.version)),
            KeyUpdate::UpToDate => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [("plan/a".to_owned(), 1), ("plan/b".to_owned(), 1)]);
    board.set("plan/a", &2).await.expect("on disk");
    board
        .delete("plan/b", WriteOptions::default())
        .await
        .expect("deleted");
    let set = next(&mut watch).await;
    assert!(matches!(set, KeyUpdate::Set(entry) if entry.version == 2));
    let gone = next(&mut watch).await;
    assert!(matches!(gone, KeyUpdate::Deleted(key) if key.as_str() == "plan/b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_follows_over_a_crash_of_the_gateway() {
    let mut stage = Stage::set().await;
    let room = stage.room("editor").await;
    let watcher = stage.room("watcher").await;
    room.blackboard().set("plan", &1).await.expect("on disk");
    let mirror = watcher.blackboard().mirror(None).await.expect("a mirror");
    assert_eq!(
        mirror.get("plan").expect("alive").expect("there").version,
        1
    );
    let mut watch = watcher.blackboard().watch(None).await.expect("a watch");
    stage.gateway.restart().await.expect("up again");
    within(room.blackboard().set("plan", &2))
        .await
        .expect("on disk");
    until(
        &mut watch,
        |update| matches!(update, KeyUpdate::Set(entry) if entry.version == 2),
    )
    .await;
    until_mirrored(&mirror, 2).await;
}

async fn until_mirrored(mirror: &hallward::agent::BlackboardMirror, version: u64) {
    within(async {
        while mirror.get("plan").expect("alive").expect("there").version != version {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_and_fences_off_who_had_it() {
    let stage = Stage::set().await;
    let wanda = stage.room("wanda").await;
    let editor = stage.room("editor").await;
    let minute = Duration::from_secs(60);
    let held = wanda
        .blackboard()
        .lock("press", minute, None)
        .await
        .expect("held");
    let refused = editor.blackboard().lock("press", minute, None).await;
    let Err(Error::Conflict(refusal)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refusal.lock.expect("the lock").holder.as_str(), "wanda");
    let waiting = {
        let board = editor.blackboard();
        tokio::spawn(async move { board.lock("press", minute, Some(minute)).await })
    };
    let fenced = WriteOptions {
        fence: Some(held.fence()),
        ..WriteOptions::default()
    };
    let board = wanda.blackboard();
    board
        .set_with("page", &1, fenced.clone())
        .await
        .expect("fenced");
    held.release().await.expect("given back");
    let taken = within(waiting).await.expect("ran").expect("held");
    assert_eq!(taken.state().holder.as_str(), "editor");
    let late = board.set_with("page", &2, fenced).await;
    assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
}

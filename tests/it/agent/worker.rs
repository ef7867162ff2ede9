//! What workers offer.

use hallward::agent::{Error, Task, TaskOptions, Work};
use serde_json::Value;

use super::{Stage, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_as_much_at_once_as_its_capacity_says() {
    let stage = Stage::set().await;
    let writer = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(3));
    let _working = writer
        .worker()
        .capacity(3)
        .task("draft", move |_: Work<Value>| {
            let barrier = barrier.clone();
            async move {
                barrier.wait().await;
                Ok(())
            }
        })
        .start()
        .await
        .expect("at work");
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let task = editor.handoff().dispatch(Task::new("draft")).await;
        tasks.push(task.expect("taken"));
    }
    for mut task in tasks {
        within(task.result()).await.expect("done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capabilities_are_offered_under_names_of_their_own() {
    let stage = Stage::set().await;
    let writer = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let options = TaskOptions::new("draft")
        .capability("english")
        .capability("prose");
    let _working = writer
        .worker()
        .task(options, |work: Work<Value>| async move {
            Ok(work.into_payload())
        })
        .start()
        .await
        .expect("at work");
    let both = Task::new("draft").capability("english").capability("prose");
    within(editor.handoff().run(both)).await.expect("done");
    // It offers the capability, and knows no tasks of that type.
    let unknown = Task::new("poem").capability("english");
    let ended = within(editor.handoff().run(unknown)).await;
    let Err(Error::TaskFailed(result)) = ended else {
        panic!("{ended:?}");
    };
    let code = result.error.and_then(|error| error.code);
    assert_eq!(code.as_deref(), Some("no-handler"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_name_is_told_when_the_worker_starts() {
    let stage = Stage::set().await;
    let writer = stage.room("writer").await;
    let worker = writer
        .worker()
        .task("no name", |_: Work<Value>| async { Ok(()) });
    assert!(matches!(worker.start().await, Err(Error::Name(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_the_gateway_refuses_fails_the_task_for_good() {
    let stage = Stage::set().await;
    let writer = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let _working = writer
        .worker()
        .task("draft", |_: Work<Value>| async {
            Ok("x".repeat(300 * 1024))
        })
        .start()
        .await
        .expect("at work");
    let ended = within(editor.handoff().run(Task::new("draft"))).await;
    let words = ended.expect_err("too large").to_string();
    assert!(words.contains("refused"), "{words}");
}

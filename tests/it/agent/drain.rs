//! Workers that stop in good order.

use std::time::Duration;

use hallward::agent::{PresenceUpdate, Task, Work};
use hallward::wire::handoff::TaskState;
use hallward::wire::presence::Status;
use serde_json::Value;

use super::{Stage, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_finishes_what_it_has_and_takes_nothing_new() {
    let stage = Stage::set().await;
    let writer = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let mut seen = editor.presence().watch().await.expect("a watch");
    let (finish, finished) = tokio::sync::watch::channel(false);
    let (tell, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let (shut_down, shutdown) = tokio::sync::oneshot::channel::<()>();
    let worker = writer
        .worker()
        .capacity(2)
        .task("draft", move |work: Work<Value>| {
            let (mut finished, tell) = (finished.clone(), tell.clone());
            async move {
                tell.send(work.id().to_owned())?;
                finished.wait_for(|finished| *finished).await?;
                Ok("done")
            }
        });
    let working = worker.start().await.expect("at work");
    let working = tokio::spawn(working.until(async { drop(shutdown.await) }));
    let mut first = editor
        .handoff()
        .dispatch(Task::new("draft").id("t1"))
        .await
        .expect("taken");
    assert_eq!(within(begun.recv()).await.as_deref(), Some("t1"));
    shut_down.send(()).expect("it runs");
    until(&mut seen, |update| {
        matches!(update, PresenceUpdate::Here(presence) if presence.status == Status::Draining)
    })
    .await;
    let second = editor
        .handoff()
        .dispatch(Task::new("draft").id("t2"))
        .await
        .expect("taken");
    finish.send(true).expect("the handler waits");
    assert_eq!(within(first.result()).await.expect("done").attempts, 1);
    within(working).await.expect("ran").expect("in good order");
    assert_eq!(second.get().await.expect("there").state, TaskState::Queued);
    assert!(begun.try_recv().is_err(), "it took nothing new");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_within_the_grace_goes_to_another_at_once() {
    let stage = Stage::set().await;
    let first = stage.room("writer-1").await;
    let editor = stage.room("editor").await;
    let (tell, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let working = first
        .worker()
        .grace(Duration::from_millis(10))
        .task("draft", move |work: Work<Value>| {
            let tell = tell.clone();
            async move {
                tell.send(work.attempt())?;
                std::future::pending::<()>().await;
                Ok(())
            }
        })
        .start()
        .await
        .expect("at work");
    let mut task = editor
        .handoff()
        .dispatch(Task::new("draft").max_attempts(1))
        .await
        .expect("taken");
    assert_eq!(within(begun.recv()).await, Some(1));
    within(working.stop()).await.expect("in good order");
    let second = stage.room("writer-2").await;
    let _working = second
        .worker()
        .task("draft", |_: Work<Value>| async { Ok("done") })
        .start()
        .await
        .expect("at work");
    // Giving back is no failure: there was but one attempt to be had.
    let result = within(task.result()).await.expect("done");
    assert_eq!(result.worker.expect("who").as_str(), "writer-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stopped_working_can_work_again() {
    let stage = Stage::set().await;
    let writer = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let work = |_: Work<Value>| async { Ok("done") };
    let working = writer
        .worker()
        .task("draft", work)
        .start()
        .await
        .expect("at work");
    within(working.stop()).await.expect("in good order");
    let _working = writer
        .worker()
        .task("draft", work)
        .start()
        .await
        .expect("at work");
    within(editor.handoff().run(Task::new("draft")))
        .await
        .expect("done");
}

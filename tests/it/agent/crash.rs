//! Workers that are killed with all that they know.

use std::process::{Child, Command, Stdio};

use hallward::agent::{Agent, Task, Work};
use serde_json::Value;

use super::{Stage, until, within};

/// Where a worker's process finds its gateway.
const URL: &str = "AGENT_TEST_WORKER_URL";

/// A process of its own that takes a task and never comes to an end with it.
fn worker_process(url: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--ignored", "agent::crash::a_worker_of_its_own"])
        .env(URL, url)
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts")
}

#[test]
#[ignore = "a process that another test starts, and kills"]
fn a_worker_of_its_own() {
    let url = std::env::var(URL).expect("started by a test");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let agent = Agent::connect(&url, "writer").await.expect("connected");
        let room = agent.join("lab").await.expect("joined");
        let held = room.worker().task("draft", |work: Work<Value>| async move {
            work.progress("half").await?;
            std::future::pending::<()>().await;
            Ok(())
        });
        held.run_until(std::future::pending())
            .await
            .expect("taken over by nobody");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_loses_its_task_to_another_who_goes_on_from_there() {
    let stage = Stage::with(&[("rooms.reconnect_grace", "300ms")]).await;
    let editor = stage.room("editor").await;
    let mut events = editor.observe().on("handoff").await.expect("events");
    let mut killed = worker_process(stage.gateway.url());
    let task = Task::new("draft").backoff(hallward::wire::handoff::Backoff {
        initial_ms: 1,
        factor: 1.0,
        max_ms: 1,
    });
    let mut task = editor.handoff().dispatch(task).await.expect("taken");
    until(&mut events, |observed| {
        observed
            .event()
            .is_some_and(|event| event.what == "handoff.progress")
    })
    .await;
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    let second = stage.room("writer-2").await;
    let _working = second
        .worker()
        .task("draft", |work: Work<Value>| async move {
            let last: Option<String> = work.last_progress()?;
            Ok(last)
        })
        .start()
        .await
        .expect("at work");
    let result = within(task.result()).await.expect("done");
    assert_eq!((result.attempts, result.value().text()), (2, "\"half\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_and_started_again_gets_its_task_again() {
    let stage = Stage::set().await;
    let editor = stage.room("editor").await;
    let mut events = editor.observe().on("handoff").await.expect("events");
    let mut killed = worker_process(stage.gateway.url());
    let mut task = editor
        .handoff()
        .dispatch(Task::new("draft"))
        .await
        .expect("taken");
    until(&mut events, |observed| {
        observed
            .event()
            .is_some_and(|event| event.what == "handoff.progress")
    })
    .await;
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    let again = stage.room("writer").await;
    let _working = again
        .worker()
        .task(
            "draft",
            |work: Work<Value>| async move { Ok(work.attempt()) },
        )
        .start()
        .await
        .expect("at work");
    let result = within(task.result()).await.expect("done");
    assert_eq!(
        result.decode::<u32>().expect("a number"),
        1,
        "the same attempt"
    );
}

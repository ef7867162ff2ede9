//! Handing tasks off.

use std::time::Duration;

use hallward::agent::{Error, Fault, Task, TaskOptions, TaskUpdate, Work};
use hallward::wire::handoff::{ListTasks, TaskState};
use serde_json::{Value, json};

use super::{ALL, SOON, Stage, next, within};
use crate::harness::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_handed_over_and_its_result_comes_back_however_it_is_spoken() {
    let mut stage = Stage::set().await;
    for (number, speech) in ALL.into_iter().enumerate() {
        stage.speech = speech;
        let worker = stage.room(&format!("writer-{number}")).await;
        let editor = stage.room(&format!("editor-{number}")).await;
        let task_type = format!("echo-{number}");
        let echo = |work: Work<Value>| async move { Ok::<_, Fault>(work.into_payload()) };
        let working = worker.worker().task(task_type.as_str(), echo).start().await;
        let working = working.expect("at work");
        let payload = json!({"n": [1, -2, 1.5, null, true], "text": "é \u{1F30A}", "o": {}});
        let ran = within(
            editor
                .handoff()
                .run(Task::new(&task_type).payload(&payload)),
        )
        .await;
        let result = ran.expect("a result");
        assert_eq!(
            result.decode::<Value>().expect("JSON"),
            payload,
            "{speech:?}"
        );
        assert_eq!(result.attempts, 1);
        within(working.stop()).await.expect("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_may_pass_is_tried_again_and_a_fatal_one_is_not() {
    let stage = Stage::set().await;
    let worker = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let _working = worker
        .worker()
        .task("flaky", |work: Work<Value>| async move {
            match work.attempt() {
                1 => Err(Fault::retry("once more")),
                _ => Ok(work.into_payload()),
            }
        })
        .task("hopeless", |_: Work<Value>| async {
            Err::<(), _>(Fault::fatal("no hope").code("despair"))
        })
        .task(
            "typed",
            |work: Work<u32>| async move { Ok(work.into_payload()) },
        )
        .task("panics", |work: Work<Option<u32>>| async move {
            Ok(work.into_payload().expect("something"))
        })
        .start()
        .await
        .expect("at work");
    let handoff = editor.handoff();
    let backoff = hallward::wire::handoff::Backoff {
        initial_ms: 1,
        factor: 1.0,
        max_ms: 1,
    };
    let flaky = Task::new("flaky").payload(&1).backoff(backoff);
    assert_eq!(within(handoff.run(flaky)).await.expect("done").attempts, 2);
    let failed = within(handoff.run(Task::new("hopeless"))).await;
    let Err(Error::TaskFailed(result)) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(result.attempts, 1);
    let error = result.error.as_ref().expect("why");
    assert_eq!(error.code.as_deref(), Some("despair"));
    // What does not fit the handler will not fit next time.
    let misfit = within(handoff.run(Task::new("typed").payload(&"text"))).await;
    assert!(matches!(&misfit, Err(Error::TaskFailed(result)) if result.attempts == 1));
    let panicked = within(handoff.run(Task::new("panics").max_attempts(1))).await;
    let words = panicked.expect_err("it panicked").to_string();
    assert!(words.contains("something"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_results_come_before_the_last_one() {
    let stage = Stage::set().await;
    let worker = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let _working = worker
        .worker()
        .task("draft", |work: Work<Value>| async move {
            work.progress(&json!({"done": 0.5})).await?;
            Ok("done")
        })
        .start()
        .await
        .expect("at work");
    let mut task = editor
        .handoff()
        .dispatch(Task::new("draft"))
        .await
        .expect("taken");
    let Ok(TaskUpdate::Part(part)) = within(task.next()).await else {
        panic!("a part");
    };
    assert_eq!(part.decode::<Value>().expect("JSON"), json!({"done": 0.5}));
    let done = within(task.next()).await;
    assert!(matches!(done, Ok(TaskUpdate::Done(result)) if result.value().text() == "\"done\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_task_drops_its_handler() {
    struct Told(tokio::sync::mpsc::UnboundedSender<&'static str>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }
    let stage = Stage::set().await;
    let worker = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let _working = worker
        .worker()
        .task("draft", move |_: Work<Value>| {
            let told = Told(tell.clone());
            async move {
                let _ = told.0.send("begun");
                std::future::pending::<()>().await;
                Ok(())
            }
        })
        .start()
        .await
        .expect("at work");
    let mut task = editor
        .handoff()
        .dispatch(Task::new("draft"))
        .await
        .expect("taken");
    assert_eq!(within(told.recv()).await, Some("begun"));
    within(task.cancel("not needed")).await.expect("cancelled");
    assert_eq!(within(told.recv()).await, Some("dropped"));
    let ended = within(task.result()).await;
    assert!(matches!(ended, Err(Error::TaskCancelled(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_kept_for_as_long_as_the_handler_runs() {
    let stage = Stage::set().await;
    let worker = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let (finish, finished) = tokio::sync::watch::channel(false);
    let _working = worker
        .worker()
        .task("draft", move |_: Work<Value>| {
            let mut finished = finished.clone();
            async move {
                finished.wait_for(|finished| *finished).await?;
                Ok("done")
            }
        })
        .start()
        .await
        .expect("at work");
    let short = Task::new("draft").lease(Duration::from_secs(1));
    let mut task = editor.handoff().dispatch(short).await.expect("taken");
    // The gateway says when three leases are over: this one waits so long, and then for nobody.
    let later = Task::new("nothing").ttl(Duration::from_secs(3));
    let late = within(editor.handoff().run(later)).await;
    assert!(matches!(late, Err(Error::TaskExpired(_))), "{late:?}");
    finish.send(true).expect("the handler waits");
    assert_eq!(within(task.result()).await.expect("done").attempts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_has_failed() {
    let stage = Stage::set().await;
    let worker = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let _working = worker
        .worker()
        .task(
            TaskOptions::new("draft").within(Duration::from_millis(1)),
            |_: Work<Value>| async {
                std::future::pending::<()>().await;
                Ok(())
            },
        )
        .start()
        .await
        .expect("at work");
    let ended = within(editor.handoff().run(Task::new("draft").max_attempts(1))).await;
    let words = ended.expect_err("too late").to_string();
    assert!(words.contains("took too long"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_found_again_by_its_name() {
    let stage = Stage::set().await;
    let task = || Task::new("draft").id("t1").payload(&1);
    let editor = stage.room("editor").await;
    let first = editor.handoff().dispatch(task()).await.expect("taken");
    drop(first);
    let worker = stage.room("writer").await;
    let _working = worker
        .worker()
        .task("draft", |work: Work<u32>| async move {
            Ok(work.into_payload() + 1)
        })
        .start()
        .await
        .expect("at work");
    let mut results = editor.handoff().results().await.expect("results");
    let result = next(&mut results).await;
    assert_eq!(result.task.as_str(), "t1");
    drop(result.ack());
    // Its result has come and is gone; the gateway remembers.
    let mut again = editor.handoff().dispatch(task()).await.expect("known");
    let result = within(again.result()).await.expect("done");
    assert_eq!(result.decode::<u32>().expect("a number"), 2);
    let mut found = editor.handoff().task("t1").await.expect("a handle");
    assert_eq!(within(found.result()).await.expect("done").attempts, 1);
    let nobody = editor.handoff().task("nobody").await.expect("a handle");
    let mut nobody = nobody;
    assert!(matches!(
        within(nobody.result()).await,
        Err(Error::NotFound(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_nobody_wanted_yet_is_there_for_who_reads_all_of_them() {
    let stage = Stage::set().await;
    let editor = stage.room("editor").await;
    let handoff = editor.handoff();
    drop(
        handoff
            .dispatch(Task::new("draft").id("t1"))
            .await
            .expect("taken"),
    );
    handoff.cancel("t1", "low tide").await.expect("cancelled");
    // Its result is here before the answer to this.
    let view = handoff.get("t1").await.expect("known");
    assert_eq!(view.state, TaskState::Cancelled);
    let mut results = handoff.results().await.expect("results");
    let result = next(&mut results).await.ack();
    assert_eq!((result.task.as_str(), result.is_final), ("t1", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_errors_by_their_codes() {
    let stage = Stage::set().await;
    let editor = stage.room("editor").await;
    let handoff = editor.handoff();
    let nobody = handoff.dispatch(Task::new("draft").require_online()).await;
    assert_eq!(nobody.expect_err("nobody is there").code(), Some(503));
    let ttl = handoff
        .dispatch(Task::new("draft").ttl(Duration::ZERO))
        .await;
    let ttl = ttl.expect_err("no time at all");
    assert_eq!(ttl.code(), Some(408), "{ttl}");
    assert_eq!(
        ttl.refusal().and_then(|refusal| refusal.path.as_deref()),
        Some("ttlMs")
    );
    let huge = Task::new("draft").payload(&"x".repeat(300 * 1024));
    assert_eq!(
        handoff.dispatch(huge).await.expect_err("too large").code(),
        Some(413)
    );
    let enormous = Task::new("draft").payload(&"x".repeat(2 * 1024 * 1024));
    let enormous = handoff
        .dispatch(enormous)
        .await
        .expect_err("no packet is so large");
    assert_eq!(enormous.code(), Some(413), "{enormous}");
    let name = handoff.dispatch(Task::new("no name")).await;
    assert!(matches!(name, Err(Error::Name(_))), "{name:?}");
    let gone = handoff.get("nobody").await.expect_err("not there");
    assert!(matches!(gone, Error::NotFound(_)), "{gone}");
    let mut waiting = handoff.dispatch(Task::new("draft")).await.expect("taken");
    let late = waiting.result_within(SOON).await.expect_err("nobody works");
    assert!(matches!(late, Error::Timeout { sent: true, .. }), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_and_groups_gathered() {
    let stage = Stage::set().await;
    let worker = stage.room("counter").await;
    let lead = stage.room("lead").await;
    let handoff = lead.handoff();
    let gathering = {
        let handoff = handoff.clone();
        tokio::spawn(async move { handoff.group("votes", DEADLINE).await })
    };
    for place in ["north", "south"] {
        let task = Task::new("count")
            .id(place)
            .payload(&place.len())
            .group("votes", 2);
        handoff.dispatch(task).await.expect("taken");
    }
    let page = handoff.list(ListTasks::default()).await.expect("a page");
    assert_eq!(page.tasks.len(), 2);
    assert!(
        page.tasks
            .iter()
            .all(|task| task.state == TaskState::Queued)
    );
    let _working = worker
        .worker()
        .capacity(2)
        .task(
            "count",
            |work: Work<u32>| async move { Ok(work.into_payload()) },
        )
        .start()
        .await
        .expect("at work");
    let group = within(gathering).await.expect("ran").expect("gathered");
    let names: Vec<_> = group
        .tasks
        .iter()
        .map(|entry| entry.task.as_str())
        .collect();
    assert_eq!((group.complete, names), (true, vec!["north", "south"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_task_gets_another_chance() {
    let stage = Stage::set().await;
    let worker = stage.room("printer").await;
    let chief = stage.room("chief").await;
    let (paper, has_paper) = tokio::sync::watch::channel(false);
    let _working = worker
        .worker()
        .task("print", move |_: Work<Value>| {
            let has_paper = *has_paper.borrow();
            async move { has_paper.then_some(()).ok_or(Fault::fatal("no paper")) }
        })
        .start()
        .await
        .expect("at work");
    let handoff = chief.handoff();
    let mut task = handoff
        .dispatch(Task::new("print").id("p1"))
        .await
        .expect("taken");
    assert!(matches!(
        within(task.result()).await,
        Err(Error::TaskFailed(_))
    ));
    paper.send(true).expect("the worker is there");
    let mut results = handoff.results().await.expect("results");
    handoff.redrive("p1").await.expect("redriven");
    let result = next(&mut results).await.ack();
    assert_eq!(
        result.status,
        hallward::wire::handoff::ResultStatus::Succeeded
    );
}

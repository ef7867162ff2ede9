//! Workers and tools that ask in the middle of their work.

use std::time::Duration;

use hallward::agent::{CallUpdate, Error, Fault, Invocation, Task, TaskUpdate, ToolOptions, Work};
use serde_json::{Value, json};

use super::{ALL, Stage, next, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_waits_for_its_answer_however_it_is_spoken() {
    let mut stage = Stage::set().await;
    for (number, speech) in ALL.into_iter().enumerate() {
        stage.speech = speech;
        let writer = stage.room(&format!("writer-{number}")).await;
        let editor = stage.room(&format!("editor-{number}")).await;
        let task_type = format!("draft-{number}");
        let working = writer
            .worker()
            .task(task_type.as_str(), |work: Work<Value>| async move {
                let words: u32 = work
                    .ask("How long?")
                    .schema(&json!({"type": "integer"}))
                    .answer()
                    .await?;
                let title: String = work.ask("What title?").answer().await?;
                Ok(json!({"words": words, "title": title}))
            })
            .start()
            .await
            .expect("at work");
        let mut task = editor
            .handoff()
            .dispatch(Task::new(&task_type))
            .await
            .expect("taken");
        let Ok(TaskUpdate::Question(first)) = within(task.next()).await else {
            panic!("a question");
        };
        assert_eq!(
            (first.ask, first.decode::<String>().expect("text")),
            (1, "How long?".into())
        );
        let misfit = within(first.answer("long")).await.expect_err("no integer");
        assert_eq!(misfit.code(), Some(422), "{misfit}");
        within(first.answer(&900)).await.expect("answered");
        let Ok(TaskUpdate::Question(second)) = within(task.next()).await else {
            panic!("a second question");
        };
        within(second.answer("Tides")).await.expect("answered");
        let result = within(task.result()).await.expect("done");
        let value: Value = result.decode().expect("JSON");
        assert_eq!(value, json!({"words": 900, "title": "Tides"}), "{speech:?}");
        assert_eq!(result.attempts, 1);
        within(working.stop()).await.expect("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_answer_sees_what_is_open() {
    let stage = Stage::set().await;
    let writer = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let chief = stage.room("chief").await;
    let _working = writer
        .worker()
        .task("draft", |work: Work<Value>| async move {
            let answer: Value = work.ask("Go on?").answerer("chief").answer().await?;
            Ok(answer)
        })
        .start()
        .await
        .expect("at work");
    let mut task = editor
        .handoff()
        .dispatch(Task::new("draft"))
        .await
        .expect("taken");
    let mut questions = chief.handoff().questions().await.expect("questions");
    let open = next(&mut questions).await;
    assert_eq!(open.decode::<String>().expect("text"), "Go on?");
    within(open.answer(&json!({"yes": true})))
        .await
        .expect("answered");
    let result = within(task.result()).await.expect("done");
    assert_eq!(
        result.decode::<Value>().expect("JSON"),
        json!({"yes": true})
    );
    let late = within(open.answer(&1)).await;
    assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_nobody_answers_ends_in_a_timeout_for_the_handler() {
    let stage = Stage::set().await;
    let writer = stage.room("writer").await;
    let editor = stage.room("editor").await;
    let _working = writer
        .worker()
        .task("draft", |work: Work<Value>| async move {
            let asked = work.ask("?").within(Duration::from_millis(50));
            match asked.answer::<Value>().await {
                Err(Error::Timeout { .. }) => Ok("went on"),
                other => Err(Fault::fatal(format!("{other:?}"))),
            }
        })
        .start()
        .await
        .expect("at work");
    let result = within(editor.handoff().run(Task::new("draft")))
        .await
        .expect("done");
    assert_eq!(result.value().text(), "\"went on\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_begins_anew_does_not_ask_again() {
    let stage = Stage::with(&[("rooms.reconnect_grace", "200ms")]).await;
    let editor = stage.room("editor").await;
    let asking = |work: Work<Value>| async move {
        let first: u32 = work.ask("first?").answer().await?;
        let second: u32 = work.ask("second?").answer().await?;
        Ok(first + second)
    };
    let first = stage.agent("writer-1").await;
    let room = first.join("lab").await.expect("joined");
    let working = room
        .worker()
        .task("draft", asking)
        .start()
        .await
        .expect("at work");
    let mut task = editor
        .handoff()
        .dispatch(Task::new("draft"))
        .await
        .expect("taken");
    let Ok(TaskUpdate::Question(question)) = within(task.next()).await else {
        panic!("a question");
    };
    within(question.answer(&1)).await.expect("answered");
    let Ok(TaskUpdate::Question(question)) = within(task.next()).await else {
        panic!("the second question");
    };
    // It is gone, and does not come back; another one takes over where it was.
    drop((working, room, first));
    let second = stage.room("writer-2").await;
    let _working = second
        .worker()
        .task("draft", asking)
        .start()
        .await
        .expect("at work");
    within(question.answer(&2)).await.expect("answered");
    let result = within(task.result()).await.expect("done");
    assert_eq!(result.decode::<u32>().expect("a number"), 3);
    assert_eq!(result.worker.expect("who").as_str(), "writer-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_asks_its_caller() {
    let stage = Stage::set().await;
    let speller = stage.room("speller").await;
    let ann = stage.room("ann").await;
    let options = ToolOptions::new("finds misspelt words", &json!({"type": "object"}));
    let _working = speller
        .worker()
        .tool("spell", options, |call: Invocation<Value>| async move {
            let language: String = call.ask("Which English?").answer().await?;
            Ok(json!({"language": language}))
        })
        .start()
        .await
        .expect("at work");
    let started = ann
        .tools()
        .start("spell", &json!({}), Default::default())
        .await;
    let mut call = started.expect("a provider has it");
    let Ok(CallUpdate::Question(asked)) = within(call.next()).await else {
        panic!("a question");
    };
    within(call.answer(asked.ask, "en-GB"))
        .await
        .expect("answered");
    let result = within(call.result()).await.expect("done");
    assert_eq!(
        result.decode::<Value>().expect("JSON"),
        json!({"language": "en-GB"})
    );
}

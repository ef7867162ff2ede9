//! Connections that break, and names that are taken.

use hallward::agent::{Agent, ConnectionStatus, Error, Task, Work};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::{ALL, SOON, Stage, next, within};

async fn change(status: &mut Receiver<ConnectionStatus>) -> ConnectionStatus {
    within(status.recv()).await.expect("the driver lives")
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_after_the_gateway_was_killed() {
    for speech in ALL.into_iter().take(2) {
        let mut stage = Stage::set().await;
        stage.speech = speech;
        let writer = stage.room("writer").await;
        let agent = stage.agent("editor").await;
        let editor = agent.join("lab").await.expect("joined");
        let mut status = agent.status();
        let (finish, finished) = tokio::sync::watch::channel(false);
        let (tell, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let _working = writer
            .worker()
            .task("draft", move |work: Work<Value>| {
                let (mut finished, tell) = (finished.clone(), tell.clone());
                async move {
                    tell.send(work.attempt())?;
                    finished.wait_for(|finished| *finished).await?;
                    Ok("done")
                }
            })
            .start()
            .await
            .expect("at work");
        let mut inbox = editor.inbox().listen().await.expect("an inbox");
        let mut task = editor
            .handoff()
            .dispatch(Task::new("draft"))
            .await
            .expect("taken");
        assert_eq!(within(begun.recv()).await, Some(1));
        stage.gateway.kill().await.expect("killed");
        assert!(matches!(
            change(&mut status).await,
            ConnectionStatus::Disconnected { .. }
        ));
        let set = {
            let board = editor.blackboard();
            tokio::spawn(async move { board.set("plan", &1).await })
        };
        stage.gateway.restart().await.expect("up again");
        let again = change(&mut status).await;
        assert_eq!(
            again,
            ConnectionStatus::Connected { resumed: true },
            "{speech:?}"
        );
        assert_eq!(within(set).await.expect("ran").expect("on disk").version, 1);
        within(writer.inbox().send("editor", "hello"))
            .await
            .expect("on disk");
        assert_eq!(next(&mut inbox).await.ack().text(), Some("\"hello\""));
        finish.send(true).expect("the handler waits");
        let result = within(task.result()).await.expect("done");
        assert_eq!(result.attempts, 1, "{speech:?}");
        assert!(begun.try_recv().is_err(), "it began once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_in_time_while_there_is_no_gateway_and_is_never_made() {
    let mut stage = Stage::set().await;
    let agent = Agent::builder(stage.gateway.url(), "editor").deadline(SOON);
    let agent = agent.connect().await.expect("connected");
    let room = agent.join("lab").await.expect("joined");
    let mut status = agent.status();
    stage.gateway.kill().await.expect("killed");
    change(&mut status).await;
    let late = within(room.blackboard().set("plan", &1))
        .await
        .expect_err("no gateway");
    assert!(
        matches!(late, Error::Timeout { sent: false, .. }),
        "{late:?}"
    );
    stage.gateway.restart().await.expect("up again");
    change(&mut status).await;
    let other = stage.room("other").await;
    assert_eq!(other.blackboard().fetch("plan").await.expect("asked"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_that_waits_for_a_connection_is_an_error() {
    let mut stage = Stage::set().await;
    let agent = Agent::builder(stage.gateway.url(), "editor").offline(1);
    let agent = agent.connect().await.expect("connected");
    let room = agent.join("lab").await.expect("joined");
    let mut status = agent.status();
    stage.gateway.kill().await.expect("killed");
    change(&mut status).await;
    let board = room.blackboard();
    let (first, second) = (board.set("a", &1), board.set("b", &1));
    let outcome = within(async {
        tokio::select! { one = first => one, other = second => other }
    });
    assert!(matches!(outcome.await, Err(Error::Overflow(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_the_name_has_it_and_the_other_one_stops() {
    let stage = Stage::set().await;
    let first = stage.agent("editor").await;
    let room = first.join("lab").await.expect("joined");
    let mut inbox = room.inbox().listen().await.expect("an inbox");
    let mut status = first.status();
    let second = stage.agent("editor").await;
    assert_eq!(change(&mut status).await, ConnectionStatus::Taken);
    let ended = within(inbox.next()).await;
    assert!(matches!(ended, Some(Err(Error::SessionTaken))), "{ended:?}");
    assert!(within(inbox.next()).await.is_none());
    let refused = within(room.blackboard().set("plan", &1)).await;
    assert!(matches!(refused, Err(Error::SessionTaken)), "{refused:?}");
    let room = second.join("lab").await.expect("joined");
    within(room.blackboard().set("plan", &1))
        .await
        .expect("on disk");
    assert!(second.end().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mqtt_3_1_1_two_of_one_name_do_not_fight_for_ever() {
    let mut stage = Stage::set().await;
    stage.speech = ALL[1];
    let first = stage.agent("editor").await;
    let second = stage.agent("editor").await;
    let (mut one, mut other) = (first.status(), second.status());
    let taken = async {
        loop {
            let change = tokio::select! {
                Some(change) = one.recv() => change,
                Some(change) = other.recv() => change,
            };
            if change == ConnectionStatus::Taken {
                return;
            }
        }
    };
    within(taken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_when_the_agent_is_closed_is_told_so() {
    let stage = Stage::set().await;
    let agent = stage.agent("editor").await;
    let room = agent.join("lab").await.expect("joined");
    let mut task = room
        .handoff()
        .dispatch(Task::new("draft"))
        .await
        .expect("taken");
    let waiting = tokio::spawn(async move { task.result().await });
    within(agent.close()).await;
    let told = within(waiting).await.expect("ran");
    assert!(matches!(told, Err(Error::Disconnected)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_at_once() {
    let nobody = Agent::builder("mqtt://127.0.0.1:1", "editor")
        .deadline(SOON)
        .connect();
    let refused = within(nobody).await.expect_err("nobody is there");
    assert!(matches!(refused, Error::Unconnected(_)), "{refused}");
    let stage = Stage::set().await;
    let reserved = Agent::connect(stage.gateway.url(), "gateway").await;
    let name = Agent::connect(stage.gateway.url(), "no name").await;
    assert!(matches!(name, Err(Error::Name(_))));
    drop(reserved);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_are_all_answered() {
    let stage = Stage::set().await;
    let room = stage.room("editor").await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..2_000 {
        let board = room.blackboard();
        calls.spawn(async move { board.set(&format!("k{}", number % 100), &number).await });
    }
    while let Some(outcome) = within(calls.join_next()).await {
        outcome.expect("ran").expect("on disk");
    }
}

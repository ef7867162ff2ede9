//! Messages from agent to agent, and when they are acknowledged.

use hallward::agent::{Agent, Error};
use serde_json::{Value, json};

use super::{ALL, Stage, next, within};

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_order_under_their_senders_name_however_it_is_spoken() {
    let mut stage = Stage::set().await;
    for (number, speech) in ALL.into_iter().enumerate() {
        stage.speech = speech;
        let wanda = stage.room(&format!("wanda-{number}")).await;
        let editor = stage.room(&format!("editor-{number}")).await;
        for count in 0..20 {
            let sent = within(
                editor
                    .inbox()
                    .send(&format!("wanda-{number}"), &json!({"n": count})),
            )
            .await;
            sent.expect("on disk");
        }
        let mut inbox = wanda.inbox().listen().await.expect("an inbox");
        for count in 0..20 {
            let message = next(&mut inbox).await.ack();
            assert_eq!(
                message.decode::<Value>().expect("JSON"),
                json!({"n": count})
            );
            assert_eq!(message.from.as_str(), format!("editor-{number}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_stay_the_bytes_that_they_are() {
    let stage = Stage::set().await;
    let wanda = stage.room("wanda").await;
    let editor = stage.room("editor").await;
    let bytes: Vec<u8> = (0..=255).collect();
    let sent = within(editor.inbox().send_bytes("wanda", bytes.clone(), None)).await;
    sent.expect("on disk");
    let mut inbox = wanda.inbox().listen().await.expect("an inbox");
    assert_eq!(next(&mut inbox).await.ack().payload, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_acknowledged_comes_again_to_the_next_program_of_that_name() {
    for speech in ALL.into_iter().take(2) {
        let mut stage = Stage::set().await;
        stage.speech = speech;
        let editor = stage.room("editor").await;
        for text in ["one", "two", "three"] {
            within(editor.inbox().send("wanda", text))
                .await
                .expect("on disk");
        }
        let wanda = stage.room("wanda").await;
        let mut inbox = wanda.inbox().listen().await.expect("an inbox");
        let first = next(&mut inbox).await;
        let second = next(&mut inbox).await;
        drop(next(&mut inbox).await.ack());
        drop(first.ack());
        // The second was not handled, and so the third is not acknowledged before it.
        // Whoever is answered on that connection has been read before.
        within(wanda.blackboard().fetch("anything"))
            .await
            .expect("asked");
        drop((second, inbox, wanda));
        let twin = stage.room("wanda").await;
        let mut inbox = twin.inbox().listen().await.expect("an inbox");
        let again = next(&mut inbox).await.ack();
        assert_eq!(again.decode::<String>().expect("text"), "two", "{speech:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_let_go_of_comes_again() {
    let stage = Stage::set().await;
    let wanda = stage.room("wanda").await;
    let editor = stage.room("editor").await;
    let mut inbox = wanda.inbox().listen().await.expect("an inbox");
    within(editor.inbox().send("wanda", "one"))
        .await
        .expect("on disk");
    drop(next(&mut inbox).await);
    let again = next(&mut inbox).await.ack();
    assert_eq!(again.text(), Some("\"one\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_fails_gets_the_message_again_and_a_slow_one_holds_up_nobody() {
    let stage = Stage::set().await;
    let wanda = stage.room("wanda").await;
    let editor = stage.room("editor").await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let inbox = wanda.inbox();
    let handling = tokio::spawn(async move {
        let count = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        inbox
            .for_each(4, move |message| {
                let (tell, count) = (tell.clone(), count.clone());
                async move {
                    let text: String = message.decode().map_err(|error| error.to_string())?;
                    let is_first = count.fetch_add(1, std::sync::atomic::Ordering::AcqRel) == 0;
                    tell.send(text.clone()).map_err(|error| error.to_string())?;
                    match text.as_str() {
                        "slow" => std::future::pending().await,
                        _ if is_first => Err("not yet".to_owned()),
                        _ => Ok(()),
                    }
                }
            })
            .await
    });
    within(editor.inbox().send("wanda", "shy"))
        .await
        .expect("on disk");
    assert_eq!(within(told.recv()).await.as_deref(), Some("shy"));
    assert_eq!(within(told.recv()).await.as_deref(), Some("shy"));
    for text in ["slow", "quick"] {
        within(editor.inbox().send("wanda", text))
            .await
            .expect("on disk");
        assert_eq!(within(told.recv()).await.as_deref(), Some(text));
    }
    handling.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_refuses_the_sender() {
    let stage = Stage::with(&[("mailbox.max_messages", "1")]).await;
    let editor = Agent::builder(stage.gateway.url(), "editor");
    let editor = editor.connect().await.expect("connected");
    let room = editor.join("lab").await.expect("joined");
    within(room.inbox().send("wanda", "one"))
        .await
        .expect("on disk");
    let full = within(room.inbox().send("wanda", "two")).await;
    assert!(matches!(full, Err(Error::TooMany(_))), "{full:?}");
}

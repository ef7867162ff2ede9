//! Tools, from both sides.

use hallward::agent::{CallOptions, CallUpdate, CardUpdate, Error, Fault, Invocation, ToolOptions};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ALL, Stage, until, within};

#[derive(Deserialize)]
struct Spell {
    text: String,
}

fn spelling() -> ToolOptions {
    let schema = json!({
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    });
    ToolOptions::new("finds misspelt words", &schema)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_called_and_answers_however_it_is_spoken() {
    let mut stage = Stage::set().await;
    for (number, speech) in ALL.into_iter().enumerate() {
        stage.speech = speech;
        let speller = stage.room(&format!("speller-{number}")).await;
        let ann = stage.room(&format!("ann-{number}")).await;
        let tool = format!("spell-{number}");
        let working = speller
            .worker()
            .tool(&tool, spelling(), |call: Invocation<Spell>| async move {
                Ok::<_, Fault>(json!({"wrong": call.arguments().text.split(' ').next()}))
            })
            .start()
            .await
            .expect("at work");
        let called = within(ann.tools().call(&tool, &json!({"text": "helo world"}))).await;
        let answer: Value = called.expect("an answer");
        assert_eq!(answer, json!({"wrong": "helo"}), "{speech:?}");
        let misfit = ann
            .tools()
            .call::<_, Value>(&tool, &json!({"text": 1}))
            .await;
        let misfit = misfit.expect_err("no text");
        let path = misfit.refusal().and_then(|refusal| refusal.path.as_deref());
        assert_eq!((misfit.code(), path), (Some(422), Some("/arguments/text")));
        within(working.stop()).await.expect("stopped");
        let gone = ann
            .tools()
            .call::<_, Value>(&tool, &json!({"text": ""}))
            .await;
        assert!(matches!(gone, Err(Error::Unavailable(_))), "{gone:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_come_first_and_faults_are_told() {
    let stage = Stage::set().await;
    let speller = stage.room("speller").await;
    let ann = stage.room("ann").await;
    let _working = speller
        .worker()
        .tool("spell", spelling(), |call: Invocation<Spell>| async move {
            call.part(&json!({"read": 4})).await?;
            match call.arguments().text.as_str() {
                "helo" => Ok(json!({"wrong": 1})),
                _ => Err(Fault::fatal("no such word").code("unknown")),
            }
        })
        .start()
        .await
        .expect("at work");
    let options = CallOptions {
        id: Some("c1".to_owned()),
        ..CallOptions::default()
    };
    let started = ann
        .tools()
        .start("spell", &json!({"text": "helo"}), options.clone())
        .await;
    let mut call = started.expect("a provider has it");
    assert_eq!(call.id(), "ann/c1");
    // It may be over before we ask how it stands; a part may be passed over then.
    let done = loop {
        match within(call.next()).await.expect("no fault") {
            CallUpdate::Part(part) => {
                assert_eq!(part.decode::<Value>().expect("JSON"), json!({"read": 4}));
            }
            CallUpdate::Done(done) => break done,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(done.decode::<Value>().expect("JSON"), json!({"wrong": 1}));
    let failed = ann
        .tools()
        .call::<_, Value>("spell", &json!({"text": "x"}))
        .await;
    let Err(Error::ToolFailed(result)) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(result.error.expect("why").code.as_deref(), Some("unknown"));
    // The same call again does nothing twice, and its result is there.
    let again = ann
        .tools()
        .start("spell", &json!({"text": "helo"}), options)
        .await;
    let again = within(again.expect("known").result()).await.expect("done");
    assert_eq!(again.decode::<Value>().expect("JSON"), json!({"wrong": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_call_drops_its_handler_and_cards_tell_of_tools() {
    struct Told(tokio::sync::mpsc::UnboundedSender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let stage = Stage::set().await;
    let speller = stage.room("speller").await;
    let ann = stage.room("ann").await;
    let mut cards = ann.tools().watch().await.expect("cards");
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let working = speller
        .worker()
        .tool("spell", spelling(), move |_: Invocation<Spell>| {
            let told = Told(tell.clone());
            async move {
                let _told = told;
                std::future::pending::<()>().await;
                Ok(())
            }
        })
        .start()
        .await
        .expect("at work");
    until(
        &mut cards,
        |update| matches!(update, CardUpdate::Card(card) if !card.providers.is_empty()),
    )
    .await;
    let started = ann
        .tools()
        .start("spell", &json!({"text": ""}), CallOptions::default())
        .await;
    let call = started.expect("a provider has it");
    within(call.cancel("found it")).await.expect("cancelled");
    let over = within(call.result()).await;
    assert!(matches!(over, Err(Error::ToolFailed(_))), "{over:?}");
    within(told.recv()).await.expect("dropped");
    within(working.stop()).await.expect("stopped");
    until(&mut cards, |update| matches!(update, CardUpdate::Gone(_))).await;
}

//! `docs/rust.md`: what its blocks show is here, compiled and run. A block follows the line
//! `<!-- code: NAME -->` and is what stands between `// code: NAME` and `// end`.
//! `HALLWARD_BLESS=1` writes them anew.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hallward::agent::test::TestGateway;
use hallward::agent::{
    Agent, Error, Fault, Followed, Gate, Invocation, KeyUpdate, PendingUpdate, Room, Ruling, Since,
    Task, TaskOptions, TaskUpdate, ToolOptions, Work, WriteOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Stage, within};

// code: types
#[derive(Debug, Serialize, Deserialize)]
struct Brief {
    title: String,
    words: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Draft {
    title: String,
    text: String,
}
// end

fn draft_of(brief: &Brief) -> Draft {
    Draft {
        title: brief.title.clone(),
        text: format!("{} words on {}.", brief.words, brief.title),
    }
}

async fn write(brief: &Brief) -> Result<Draft, Fault> {
    Ok(draft_of(brief))
}

async fn first_worker(url: &str, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    // code: worker
    let me = Agent::connect(url, "writer-1").await?;
    let room = me.join("newsroom").await?;
    let worker = room
        .worker()
        .capacity(2)
        .task("draft", |work: Work<Brief>| async move {
            work.progress(&json!({"done": 0.5})).await?;
            write(work.payload()).await
        });
    worker.run_until(shutdown).await?;
    me.close().await;
    // end
    Ok(())
}

async fn first_task(url: &str) -> Result<Draft, Error> {
    // code: task
    let me = Agent::connect(url, "editor").await?;
    let room = me.join("newsroom").await?;
    let brief = Brief {
        title: "Tides".to_owned(),
        words: 900,
    };
    let result = room
        .handoff()
        .run(Task::new("draft").payload(&brief))
        .await?;
    let draft: Draft = result.decode()?;
    // end
    Ok(draft)
}

async fn faults(room: &Room) -> Result<String, Error> {
    // code: faults
    let task = Task::new("draft").payload(&json!({"words": "many"}));
    let words = match room.handoff().run(task).await {
        Err(Error::TaskFailed(result)) => format!("dead after {} attempts", result.attempts),
        other => format!("{other:?}"),
    };
    let mut task = room.handoff().dispatch(Task::new("paint")).await?;
    if let Err(Error::Timeout { .. }) = task.result_within(Duration::from_millis(200)).await {
        task.cancel("nobody paints here").await?;
    }
    // end
    Ok(words)
}

async fn ids(room: &Room) -> Result<u32, Error> {
    // code: ids
    let brief = json!({"title": "Moon", "words": 300});
    for _ in 0..2 {
        let task = Task::new("draft").payload(&brief).id("moon-draft");
        room.handoff().run(task).await?;
    }
    let attempts = room.handoff().get("moon-draft").await?.attempt;
    // end
    Ok(attempts)
}

async fn results(room: &Room) -> Result<Vec<String>, Error> {
    let mut titles = Vec::new();
    // code: results
    let mut results = room.handoff().results().await?;
    for title in ["Wind", "Sun"] {
        let brief = json!({"title": title, "words": 100});
        room.handoff()
            .dispatch(Task::new("draft").payload(&brief))
            .await?;
    }
    while titles.len() < 2 {
        let Some(result) = results.next().await else {
            break;
        };
        let result = result?;
        if result.is_final {
            titles.push(result.decode::<Draft>()?.title);
        }
        result.ack();
    }
    // end
    Ok(titles)
}

async fn parts(room: &Room) -> Result<u32, Error> {
    let mut parts = 0;
    let brief = json!({"title": "Rain", "words": 100});
    // code: parts
    let mut task = room
        .handoff()
        .dispatch(Task::new("draft").payload(&brief))
        .await?;
    loop {
        match task.next().await? {
            TaskUpdate::Part(part) => parts += part.part.unwrap_or(0),
            TaskUpdate::Question(question) => question.answer(&"as you like").await?,
            TaskUpdate::Done(_) => break,
            _ => {}
        }
    }
    // end
    Ok(parts)
}

async fn messages(room: &Room) -> Result<Value, Error> {
    // code: inbox
    room.inbox()
        .send("editor", &json!({"lunch": "12:30"}))
        .await?;
    let mut inbox = room.inbox().listen().await?;
    let message = inbox.next().await.ok_or(Error::Disconnected)??;
    let lunch: Value = message.decode()?;
    message.ack();
    // end
    Ok(lunch)
}

async fn board(room: &Room) -> Result<Value, Error> {
    // code: board
    let board = room.blackboard();
    let written = board.set("plan", &json!({"lead": "Tides"})).await?;
    let stale = WriteOptions {
        if_version: Some(written.version + 6),
        ..WriteOptions::default()
    };
    if let Err(Error::Conflict(refusal)) = board.set_with("plan", &1, stale).await {
        let current = refusal.current.expect("what is there");
        assert_eq!(current.value.text(), r#"{"lead":"Tides"}"#);
    }
    let plan = board.fetch("plan").await?.expect("it was written");
    // end
    serde_json::from_str(plan.value.text()).map_err(|error| Error::Payload(error.to_string()))
}

async fn locks(room: &Room) -> Result<(), Error> {
    let (board, minute) = (room.blackboard(), Duration::from_secs(60));
    // code: lock
    let lock = board.lock("press", minute, Some(minute)).await?;
    let fenced = WriteOptions {
        fence: Some(lock.fence()),
        ..WriteOptions::default()
    };
    board.set_with("page", &1, fenced).await?;
    lock.release().await?;
    // end
    Ok(())
}

async fn watching(room: &Room) -> Result<usize, Error> {
    let mut keys = 0;
    // code: watch
    let mut changes = room.blackboard().watch(Some("plan")).await?;
    while let Some(change) = changes.next().await {
        match change? {
            KeyUpdate::Set(entry) => keys += usize::from(entry.key.as_str() == "plan"),
            KeyUpdate::UpToDate => break,
            _ => {}
        }
    }
    // end
    Ok(keys)
}

async fn request(room: &Room) -> Result<bool, Error> {
    // code: request
    let gate = Gate::new("publish")
        .id("tides-go")
        .content(&json!({"title": "Tides"}))
        .approver("boss");
    let decision = room.approve().request(gate).await?;
    // end
    Ok(decision.approved)
}

async fn decide(room: &Room) -> Result<(), Error> {
    // code: decide
    let mut pending = room.approve().pending().await?;
    while let Some(update) = pending.next().await {
        if let PendingUpdate::Pending(request) = update? {
            let ruling = Ruling::approve()
                .digest(&request.digest)
                .because("well written");
            room.approve().decide(request.id.as_str(), ruling).await?;
            break;
        }
    }
    // end
    Ok(())
}

async fn asking(room: &Room) -> Result<hallward::agent::WorkerRun, Error> {
    // code: ask
    let worker = room
        .worker()
        .task("translate", |work: Work<String>| async move {
            let language: String = work
                .ask("Into which language?")
                .schema(&json!({"enum": ["fr", "de"]}))
                .answer()
                .await?;
            match language.as_str() {
                "fr" => Ok("Marées"),
                _ => Ok("Gezeiten"),
            }
        });
    // end
    worker.start().await
}

async fn answering(room: &Room) -> Result<String, Error> {
    // code: answer
    let mut task = room
        .handoff()
        .dispatch(Task::new("translate").payload("Tides"))
        .await?;
    if let TaskUpdate::Question(question) = task.next().await? {
        question.answer("fr").await?;
    }
    let translated: String = task.result().await?.decode()?;
    // end
    Ok(translated)
}

async fn tool(room: &Room) -> Result<hallward::agent::WorkerRun, Error> {
    // code: tool
    #[derive(Deserialize)]
    struct Spell {
        text: String,
    }
    let schema = json!({
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    });
    let options = ToolOptions::new("counts words", &schema).idempotent();
    let worker = room
        .worker()
        .tool("count", options, |call: Invocation<Spell>| async move {
            let words = call.arguments().text.split_whitespace().count();
            Ok(json!({"words": words}))
        });
    // end
    worker.start().await
}

async fn calling(room: &Room) -> Result<Value, Error> {
    // code: call
    let counted: Value = room
        .tools()
        .call("count", &json!({"text": "helo world"}))
        .await?;
    // end
    Ok(counted)
}

async fn elsewhere(me: &Agent) -> Result<(), Error> {
    // code: publish
    me.publish("plant/bell", "lunch").await?;
    me.retain("news/tides", "Tides\n\nThe moon pulls.").await?;
    // end
    Ok(())
}

async fn events(room: &Room) -> Result<u64, Error> {
    let mut last = 0;
    // code: follow
    let mut events = room.observe().follow(Since::Beginning).await?;
    while let Some(followed) = events.next().await {
        match followed? {
            Followed::Event(event) => last = event.seq,
            Followed::Gap { from_seq, to_seq } => {
                tracing::warn!(from_seq, to_seq, "not kept any more");
            }
            _ => {}
        }
        if last >= 10 {
            break;
        }
    }
    // end
    Ok(last)
}

fn options() -> TaskOptions {
    // code: options
    TaskOptions::new("publish")
        .capability("publishing")
        .within(Duration::from_secs(600))
    // end
}

async fn own_gateway() -> Result<(), Box<dyn std::error::Error>> {
    let builder = TestGateway::builder().program(env!("CARGO_BIN_EXE_hallward"));
    let mut gateway = builder.start().await?;
    // code: tests
    let agent = Agent::connect(gateway.url(), "editor").await?;
    let room = agent.join("newsroom").await?;
    gateway.restart().await?; // as after a power cut, on the same port and data
    room.blackboard().set("plan", &1).await?;
    // end
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_happens() {
    let stage = Stage::set().await;
    let url = stage.gateway.url().to_owned();
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let working = {
        let url = url.clone();
        tokio::spawn(async move { first_worker(&url, async { drop(stopping.await) }).await })
    };
    let draft = within(first_task(&url)).await.expect("a draft");
    assert_eq!(
        (draft.title.as_str(), draft.text.as_str()),
        ("Tides", "900 words on Tides.")
    );
    let agent = stage.agent("editor").await;
    let room = agent.join("newsroom").await.expect("joined");
    assert_eq!(
        within(faults(&room)).await.expect("told"),
        "dead after 1 attempts"
    );
    assert_eq!(within(ids(&room)).await.expect("known"), 1);
    let mut titles = within(results(&room)).await.expect("results");
    titles.sort();
    assert_eq!(titles, ["Sun", "Wind"]);
    assert_eq!(within(parts(&room)).await.expect("done"), 1);
    let lunch = within(messages(&room)).await.expect("a message");
    assert_eq!(lunch, json!({"lunch": "12:30"}));
    let plan = within(board(&room)).await.expect("written");
    assert_eq!(plan, json!({"lead": "Tides"}));
    within(locks(&room)).await.expect("held");
    assert_eq!(within(watching(&room)).await.expect("seen"), 1);
    let boss = stage.agent("boss").await;
    let office = boss.join("newsroom").await.expect("joined");
    let (decided, approved) = within(async { tokio::join!(decide(&office), request(&room)) }).await;
    decided.expect("decided");
    assert!(approved.expect("decided"));
    let _asking = within(asking(&office)).await.expect("at work");
    assert_eq!(
        within(answering(&room)).await.expect("translated"),
        "Marées"
    );
    let _tool = within(tool(&office)).await.expect("at work");
    assert_eq!(
        within(calling(&room)).await.expect("counted"),
        json!({"words": 2})
    );
    within(elsewhere(&agent)).await.expect("on disk");
    assert!(within(events(&room)).await.expect("told") >= 10);
    drop(options());
    drop(stop);
    within(working).await.expect("ran").expect("in good order");
    within(own_gateway()).await.expect("up again");
}

/// A block of this file, without what it is indented by.
fn block(name: &str) -> String {
    let own = include_str!("page.rs");
    let begin = format!("// code: {name}\n");
    let (_, rest) = own
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no code: {name}"));
    let (code, _) = rest.split_once("// end").expect("it ends");
    let code = code.trim_end_matches(' ');
    let indent = code.len() - code.trim_start_matches(' ').len();
    let lines = code
        .lines()
        .map(|line| line.get(indent..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn blocks_of_the_page_are_the_code_that_runs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rust.md");
    let page = fs::read_to_string(&path).expect("the page");
    let mut parts = page.split("<!-- code: ");
    let mut made = parts.next().expect("a beginning").to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").expect("a marker");
        let rest = match rest.strip_prefix("```rust\n") {
            Some(old) => old.split_once("```\n").expect("the block ends").1,
            None => rest,
        };
        let code = block(name);
        made += &format!("<!-- code: {name} -->\n```rust\n{code}\n```\n{rest}");
    }
    if std::env::var_os("HALLWARD_BLESS").is_some() {
        fs::write(&path, &made).expect("written");
    }
    assert!(
        page == made,
        "docs/rust.md is stale: HALLWARD_BLESS=1 cargo test --test it agent::page"
    );
    let shown = page.matches("```rust").count();
    let named = page.matches("<!-- code: ").count();
    assert_eq!(shown, named, "a block that no test runs");
}

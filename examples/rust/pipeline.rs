//! The content pipeline: research, draft and review are handed to whoever can do them, a person
//! says yes, and only then it is published. Everybody here is a task of one program; in earnest
//! each is a program of its own.
//!
//! ```sh
//! hallward serve &
//! cargo run --example pipeline --no-default-features --features agent -- mqtt://localhost
//! ```

use hallward::agent::{Agent, Error, Gate, PendingUpdate, Ruling, Task, Work, WorkerRun};
use serde_json::{Value, json};

const ROOM: &str = "content-pipeline";
const STEPS: [&str; 4] = ["research", "draft", "review", "publish"];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("mqtt://localhost");
    let _workers = (
        worker(url, "researcher").await?,
        worker(url, "writer").await?,
    );
    tokio::spawn(chief(url.to_owned()));
    let published = pipeline(url, "How do tides work?").await?;
    println!("{published}");
    Ok(())
}

/// The orchestrator: hands off step after step.
pub async fn pipeline(url: &str, query: &str) -> Result<Value, Error> {
    let me = Agent::connect(url, "orchestrator").await?;
    let room = me.join(ROOM).await?;
    let mut events = room.observe().on("*").await?;
    tokio::spawn(async move {
        while let Some(Ok(heard)) = events.next().await {
            if let Some(event) = heard.event() {
                println!("  {} {} by {}", event.what, event.subject, event.who);
            }
        }
    });
    let plan = |current: usize| json!({"steps": STEPS, "current": current});
    let mut value = json!(query);
    for (number, step) in STEPS.into_iter().enumerate() {
        room.blackboard().set("plan", &plan(number)).await?;
        if step == "publish" {
            let gate = Gate::new("publish").content(&value).approver("chief");
            if !room.approve().request(gate).await?.approved {
                return Ok(json!({"published": false}));
            }
        }
        let result = room.handoff().run(Task::new(step).payload(&value)).await?;
        value = result.decode()?;
    }
    room.blackboard().set("plan", &plan(STEPS.len())).await?;
    me.close().await;
    Ok(value)
}

/// A worker that can do all of it.
pub async fn worker(url: &str, name: &str) -> Result<WorkerRun, Error> {
    let me = Agent::connect(url, name).await?;
    let room = me.join(ROOM).await?;
    let worker = room
        .worker()
        .task("research", |work: Work<String>| async move {
            Ok(json!({"query": work.payload(), "facts": ["the moon pulls", "the sun as well"]}))
        })
        .task("draft", |work: Work<Value>| async move {
            work.progress(&json!({"done": 0.5})).await?;
            let facts = work.payload()["facts"].clone();
            Ok(json!({"title": work.payload()["query"], "text": facts}))
        })
        .task("review", |work: Work<Value>| async move {
            let mut draft = work.into_payload();
            draft["reviewed"] = json!(true);
            Ok(draft)
        })
        .task("publish", |work: Work<Value>| async move {
            Ok(json!({"published": true, "article": work.into_payload()}))
        });
    worker.start().await
}

/// Who says yes.
pub async fn chief(url: String) -> Result<(), Error> {
    let me = Agent::connect(&url, "chief").await?;
    let room = me.join(ROOM).await?;
    let mut pending = room.approve().pending().await?;
    while let Some(update) = pending.next().await {
        if let PendingUpdate::Pending(request) = update? {
            let ruling = Ruling::approve().digest(&request.digest);
            room.approve().decide(request.id.as_str(), ruling).await?;
        }
    }
    Ok(())
}

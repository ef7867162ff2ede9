//! The rows for Rust in the tables of `docs/patterns.md`: each is here, word for word, in code that
//! runs. `tests/it/patterns/beside.rs` reads the page.

use std::time::Duration;

use hallward::agent::{
    CardUpdate, Error, Fault, Followed, Gate, InboxMessage, Invocation, KeyUpdate, Observed,
    PendingUpdate, PresenceUpdate, Room, Ruling, Since, Task, TaskHandle, TaskUpdate, ToolOptions,
    Work, WriteOptions, WriteReceipt,
};
use hallward::wire::approve::{Decision, PendingApproval};
use hallward::wire::blackboard::Entry;
use hallward::wire::handoff::{TaskResult, TaskState};
use hallward::wire::observe::{Replay, ReplayPage};
use hallward::wire::presence::{Announcement, Presence, PresenceList};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Stage, within};
use crate::patterns::beside::ways;

/// Handoff.
mod handing {
    use super::*;

    pub(super) async fn over(room: &Room, brief: Value) -> Result<TaskResult, Error> {
        let draft = room
            .handoff()
            .run(Task::new("draft").payload(&brief))
            .await?;
        Ok(draft)
    }

    pub(super) async fn over_and_on(room: &Room, brief: Value) -> Result<TaskHandle, Error> {
        let task = room
            .handoff()
            .dispatch(Task::new("draft").payload(&brief).id("tides"))
            .await?;
        Ok(task)
    }

    pub(super) async fn results(room: Room, keep: impl Fn(TaskResult)) -> Result<(), Error> {
        let mut results = room.handoff().results().await?;
        while let Some(result) = results.next().await {
            keep(result?.ack());
        }
        Ok(())
    }

    fn write(brief: &Value) -> Result<Value, Fault> {
        Ok(json!({"about": brief["title"], "words": 900}))
    }

    pub(super) async fn work(room: Room, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let worker =
            room.worker().task(
                "draft",
                |work: Work<Value>| async move { write(work.payload()) },
            );
        worker.run_until(shutdown).await?;
        Ok(())
    }

    pub(super) async fn translate(work: Work<Value>) -> Result<String, Fault> {
        let language: String = work.ask("Which language?").answer().await?;
        Ok(language)
    }

    pub(super) async fn answer(task: &mut TaskHandle) -> Result<(), Error> {
        if let TaskUpdate::Question(question) = task.next().await? {
            question.answer("fr").await?;
        }
        Ok(())
    }

    pub(super) async fn cancel(task: &TaskHandle) -> Result<(), Error> {
        task.cancel("low tide").await?;
        Ok(())
    }
}

/// Blackboard.
mod board {
    use super::*;

    pub(super) async fn write(room: &Room) -> Result<WriteReceipt, Error> {
        let stored = room
            .blackboard()
            .set("plan", &json!({"lead": "Tides"}))
            .await?;
        Ok(stored)
    }

    pub(super) async fn read(room: &Room) -> Result<Option<Entry>, Error> {
        let entry = room.blackboard().fetch("plan").await?;
        Ok(entry)
    }

    pub(super) async fn watch(room: Room, keep: impl Fn(KeyUpdate)) -> Result<(), Error> {
        let mut changes = room.blackboard().watch(Some("plan")).await?;
        while let Some(change) = changes.next().await {
            keep(change?);
        }
        Ok(())
    }

    pub(super) async fn compare(room: &Room, stored: &WriteReceipt) -> Result<(), Error> {
        let unchanged = WriteOptions {
            if_version: Some(stored.version),
            ..Default::default()
        };
        room.blackboard().set_with("plan", &2, unchanged).await?;
        Ok(())
    }

    pub(super) async fn lock(room: &Room, lease: Duration, wait: Duration) -> Result<(), Error> {
        let lock = room.blackboard().lock("press", lease, Some(wait)).await?;
        let fenced = WriteOptions {
            fence: Some(lock.fence()),
            ..Default::default()
        };
        room.blackboard().set_with("page", &1, fenced).await?;
        lock.release().await?;
        Ok(())
    }
}

/// Approve.
mod approval {
    use super::*;

    pub(super) async fn request(room: &Room, article: Value) -> Result<Decision, Error> {
        let answer = room
            .approve()
            .request(Gate::new("publish").content(&article))
            .await?;
        Ok(answer)
    }

    pub(super) async fn pending(room: Room, keep: impl Fn(PendingUpdate)) -> Result<(), Error> {
        let mut pending = room.approve().pending().await?;
        while let Some(request) = pending.next().await {
            keep(request?);
        }
        Ok(())
    }

    pub(super) async fn decide(room: &Room, request: &PendingApproval) -> Result<(), Error> {
        room.approve()
            .decide(
                request.id.as_str(),
                Ruling::approve().digest(&request.digest),
            )
            .await?;
        Ok(())
    }

    pub(super) async fn cancel(room: &Room) -> Result<(), Error> {
        room.approve().cancel("a-1", "low tide").await?;
        Ok(())
    }
}

/// Tools.
mod tool {
    use super::*;

    #[derive(Deserialize)]
    struct Text {
        text: String,
    }

    fn count(text: &Text) -> Result<usize, Fault> {
        Ok(text.text.split_whitespace().count())
    }

    pub(super) async fn provide(
        room: Room,
        input_schema: Value,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let tool = ToolOptions::new("counts words", &input_schema);
        let worker = room
            .worker()
            .tool("count", tool, |call: Invocation<Text>| async move {
                count(call.arguments())
            });
        worker.run_until(shutdown).await?;
        Ok(())
    }

    pub(super) async fn call(room: &Room) -> Result<u64, Error> {
        let words: u64 = room
            .tools()
            .call("count", &json!({"text": "high tide"}))
            .await?;
        Ok(words)
    }

    pub(super) async fn cards(room: Room, keep: impl Fn(CardUpdate)) -> Result<(), Error> {
        let mut cards = room.tools().watch().await?;
        while let Some(change) = cards.next().await {
            keep(change?);
        }
        Ok(())
    }
}

/// Inbox.
mod mail {
    use super::*;

    pub(super) async fn send(room: &Room) -> Result<(), Error> {
        room.inbox()
            .send("wanda", &json!({"lunch": "12:30"}))
            .await?;
        Ok(())
    }

    pub(super) async fn read(room: Room, keep: impl Fn(InboxMessage)) -> Result<(), Error> {
        let mut inbox = room.inbox().listen().await?;
        while let Some(message) = inbox.next().await {
            keep(message?.ack());
        }
        Ok(())
    }
}

/// Presence.
mod presence {
    use super::*;

    pub(super) async fn announce(room: &Room) -> Result<(), Error> {
        let writer = Announcement {
            role: Some("writer".into()),
            capacity: Some(2),
            ..Default::default()
        };
        room.presence().announce(writer).await?;
        Ok(())
    }

    pub(super) async fn list(room: &Room) -> Result<Vec<Presence>, Error> {
        let role = PresenceList {
            role: Some("writer".into()),
            ..Default::default()
        };
        let writers = room.presence().list(role).await?.agents;
        Ok(writers)
    }

    pub(super) async fn watch(room: Room, keep: impl Fn(PresenceUpdate)) -> Result<(), Error> {
        let mut seen = room.presence().watch().await?;
        while let Some(update) = seen.next().await {
            keep(update?);
        }
        Ok(())
    }

    pub(super) async fn leave(room: &Room) -> Result<(), Error> {
        room.presence().leave().await?;
        Ok(())
    }
}

/// Observe.
mod events {
    use super::*;

    pub(super) async fn emit(room: &Room) -> Result<(), Error> {
        room.observe()
            .emit("log", "info", &json!({"cups": 2}))
            .await?;
        Ok(())
    }

    pub(super) async fn live(room: Room, keep: impl Fn(Observed)) -> Result<(), Error> {
        let mut events = room.observe().on("*").await?;
        while let Some(event) = events.next().await {
            keep(event?);
        }
        Ok(())
    }

    pub(super) async fn replay(room: &Room) -> Result<ReplayPage, Error> {
        let query = Replay {
            from_seq: Some(1),
            limit: Some(100),
            ..Default::default()
        };
        let page = room.observe().replay(query).await?;
        Ok(page)
    }

    pub(super) async fn follow(
        room: Room,
        hour: Duration,
        keep: impl Fn(Followed),
    ) -> Result<(), Error> {
        let mut events = room.observe().follow(Since::Ago(hour)).await?;
        while let Some(event) = events.next().await {
            keep(event?);
        }
        Ok(())
    }
}

/// What such a loop keeps, for the test to wait for.
struct Kept<T>(UnboundedReceiver<T>);

impl<T: Send + 'static> Kept<T> {
    /// Runs the loop beside the test.
    fn of<L>(start: impl FnOnce(Box<dyn Fn(T) + Send + Sync>) -> L) -> Kept<T>
    where
        L: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (sender, kept) = unbounded_channel();
        tokio::spawn(start(Box::new(move |item| drop(sender.send(item)))));
        Kept(kept)
    }

    /// The first that is as wanted.
    async fn find<U>(&mut self, wanted: impl Fn(T) -> Option<U>) -> U {
        loop {
            let item = within(self.0.recv()).await.expect("the loop goes on");
            if let Some(found) = wanted(item) {
                return found;
            }
        }
    }
}

/// A worker that stops when this is dropped.
fn until_dropped() -> (
    tokio::sync::oneshot::Sender<()>,
    impl Future<Output = ()> + Send,
) {
    let (stop, stopping) = tokio::sync::oneshot::channel();
    (stop, async { drop(stopping.await) })
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_handed_over() {
    let stage = Stage::set().await;
    let (editor, writer) = (stage.room("editor").await, stage.room("writer").await);
    let (stop, shutdown) = until_dropped();
    let working = tokio::spawn(handing::work(writer.clone(), shutdown));
    let brief = json!({"title": "Tides"});
    let draft = within(handing::over(&editor, brief.clone())).await;
    let draft: Value = draft.expect("a draft").decode().expect("JSON");
    assert_eq!(draft, json!({"about": "Tides", "words": 900}));

    let mut results = Kept::of(|keep| handing::results(editor.clone(), keep));
    let task = within(handing::over_and_on(&editor, brief)).await;
    assert_eq!(task.expect("on disk").id(), "tides");
    results
        .find(|result| (result.is_final && result.task.as_str() == "tides").then_some(()))
        .await;
    drop(stop);
    within(working).await.expect("ran").expect("in good order");

    let asking = stage.room("translator").await;
    let worker = asking.worker().task("translate", handing::translate);
    let _working = worker.start().await.expect("at work");
    let task = editor.handoff().dispatch(Task::new("translate")).await;
    let mut task = task.expect("on disk");
    within(handing::answer(&mut task)).await.expect("answered");
    let language: String = within(task.result())
        .await
        .expect("translated")
        .decode()
        .expect("text");
    assert_eq!(language, "fr");

    let task = editor.handoff().dispatch(Task::new("paint")).await;
    let task = task.expect("on disk");
    handing::cancel(&task).await.expect("cancelled");
    let view = task.get().await.expect("known");
    assert_eq!(view.state, TaskState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blackboard_is_written_read_watched_and_locked() {
    let stage = Stage::set().await;
    let room = stage.room("editor").await;
    let stored = board::write(&room).await.expect("on disk");
    let entry = board::read(&room).await.expect("asked").expect("there");
    assert_eq!(entry.value.text(), r#"{"lead":"Tides"}"#);
    let mut changes = Kept::of(|keep| board::watch(room.clone(), keep));
    let value = |change| match change {
        KeyUpdate::Set(entry) => Some(entry.value.text().to_owned()),
        _ => None,
    };
    assert_eq!(changes.find(value).await, r#"{"lead":"Tides"}"#);
    board::compare(&room, &stored).await.expect("unchanged");
    assert_eq!(changes.find(value).await, "2");
    let stale = board::compare(&room, &stored).await;
    assert!(matches!(stale, Err(Error::Conflict(_))), "{stale:?}");
    let minute = Duration::from_secs(60);
    within(board::lock(&room, minute, minute))
        .await
        .expect("held");
    let page = room.blackboard().fetch("page").await.expect("asked");
    assert_eq!(page.expect("written").value.text(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_says_yes() {
    let stage = Stage::set().await;
    let (editor, boss) = (stage.room("editor").await, stage.room("boss").await);
    let mut pending = Kept::of(|keep| approval::pending(boss.clone(), keep));
    let asked = |update| match update {
        PendingUpdate::Pending(request) => Some(request),
        _ => None,
    };
    let deciding = async {
        let request = pending.find(asked).await;
        approval::decide(&boss, &request).await.expect("decided");
    };
    let article = json!({"title": "Tides"});
    let (answer, ()) = tokio::join!(within(approval::request(&editor, article)), deciding);
    assert!(answer.expect("decided").approved);

    let gate = Gate::new("print").id("a-1");
    let approvals = editor.approve();
    let cancelling = async {
        pending.find(asked).await;
        approval::cancel(&editor).await.expect("taken back");
    };
    let (answer, ()) = tokio::join!(within(approvals.request(gate)), cancelling);
    assert!(!answer.expect("decided").approved);
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_provided_called_and_seen() {
    let stage = Stage::set().await;
    let (editor, counter) = (stage.room("editor").await, stage.room("counter").await);
    let (stop, shutdown) = until_dropped();
    let schema = json!({"type": "object", "required": ["text"]});
    let working = tokio::spawn(tool::provide(counter, schema, shutdown));
    let mut cards = Kept::of(|keep| tool::cards(editor.clone(), keep));
    cards
        .find(|change| match change {
            CardUpdate::Card(card) => (!card.providers.is_empty()).then_some(()),
            _ => None,
        })
        .await;
    assert_eq!(within(tool::call(&editor)).await.expect("counted"), 2);
    drop(stop);
    within(working).await.expect("ran").expect("in good order");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_and_read() {
    let stage = Stage::set().await;
    let (editor, wanda) = (stage.room("editor").await, stage.room("wanda").await);
    mail::send(&editor).await.expect("on disk");
    let mut mail = Kept::of(|keep| mail::read(wanda, keep));
    let message = mail.find(Some).await;
    assert_eq!(message.from.as_str(), "editor");
    assert_eq!(message.text(), Some(r#"{"lunch":"12:30"}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_here_is_said_asked_and_watched() {
    let stage = Stage::set().await;
    let (door, wanda) = (stage.room("door").await, stage.room("wanda").await);
    presence::announce(&wanda).await.expect("announced");
    let writers = presence::list(&door).await.expect("asked");
    assert_eq!(writers.len(), 1);
    assert_eq!(
        (writers[0].agent.as_str(), writers[0].capacity),
        ("wanda", 2)
    );
    let mut seen = Kept::of(|keep| presence::watch(door, keep));
    seen.find(|update| match update {
        PresenceUpdate::Here(presence) => (presence.agent.as_str() == "wanda").then_some(()),
        _ => None,
    })
    .await;
    presence::leave(&wanda).await.expect("left");
    seen.find(|update| match update {
        PresenceUpdate::Left(agent) => (agent.as_str() == "wanda").then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_heard_and_found_again() {
    let stage = Stage::set().await;
    let (watcher, wanda) = (stage.room("watcher").await, stage.room("wanda").await);
    let mut live = Kept::of(|keep| events::live(watcher.clone(), keep));
    let told = live.find(|event| (event.category.as_str() == "log").then_some(event));
    // It is told again until somebody listens.
    let telling = async {
        loop {
            events::emit(&wanda).await.expect("told");
        }
    };
    let told = tokio::select! {
        told = told => told,
        () = telling => unreachable!("it has no end"),
    };
    assert_eq!(
        told.body.text(),
        r#"{"severity":"info","payload":{"cups":2}}"#
    );
    let page = events::replay(&watcher).await.expect("asked");
    assert!(page.events.iter().any(|event| event.what == "agent.told"));
    let hour = Duration::from_secs(3_600);
    let mut followed = Kept::of(|keep| events::follow(watcher, hour, keep));
    let numbered = |event| match event {
        Followed::Event(event) => Some(event.seq),
        _ => None,
    };
    for seq in 1..=page.events.len() as u64 {
        assert_eq!(followed.find(numbered).await, seq);
    }
}

/// Without what is only layout.
fn dense(code: &str) -> String {
    let lines = code.lines().map(str::trim);
    let code: String = lines.filter(|line| !line.starts_with("//")).collect();
    let code: String = code.split_whitespace().collect();
    code.replace(",)", ")").replace(",}", "}")
}

#[test]
fn rows_of_the_page_are_code_that_runs() {
    let own = dense(include_str!("beside.rs"));
    let (mut found, mut missing) = (0, Vec::new());
    for way in ways().iter().filter(|way| way.way == "Rust") {
        let code = way.lines().collect::<Vec<_>>().join("\n");
        match own.contains(&dense(&code)) {
            true => found += 1,
            false => missing.push(format!("{}: {}\n{code}", way.pattern, way.aim)),
        }
    }
    assert!(missing.is_empty(), "not here:\n{}", missing.join("\n"));
    assert!(found > 20, "{found}");
}

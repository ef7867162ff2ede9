//! Workers whose handlers do as they are told.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use hallward::agent::{
    Error, Fault, Invocation, Room, RoomWorker, TaskOptions, TaskQuestion, ToolOptions, Work,
};
use hallward::wire::tools::Registration;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::requests::{millis, text};
use super::{Driver, Trouble, complain, event};

/// What a held handler is told.
enum Word {
    Finish(Value),
    Fail(Fault),
    Progress(Value, oneshot::Sender<Result<(), Error>>),
}

/// Handlers that wait to be told how to end, by task or call.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<String, mpsc::UnboundedSender<Word>>>>);

impl Held {
    fn listen(&self, name: &str) -> mpsc::UnboundedReceiver<Word> {
        let (tell, told) = mpsc::unbounded_channel();
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(name.to_owned(), tell);
        told
    }

    fn tell(&self, name: &str, word: Word) -> Result<(), Trouble> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = map.get(name).map(|held| held.send(word).is_ok());
        match held {
            Some(true) => Ok(()),
            _ => Err(Trouble::Request(format!("{name} is not held"))),
        }
    }
}

/// Tells how a handler ended; by being dropped that it was cancelled.
struct Ending {
    about: Value,
    outcome: &'static str,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.outcome == "cancelled" {
            event("cancelled", self.about.clone());
        }
        let mut fields = self.about.clone();
        fields["outcome"] = self.outcome.into();
        event("ended", fields);
    }
}

pub(super) fn asked(question: &TaskQuestion) -> Value {
    json!({
        "task": question.task,
        "attempt": question.attempt,
        "ask": question.ask,
        "question": question.question,
        "schema": question.schema,
    })
}

pub(super) async fn perform(
    driver: &Rc<Driver>,
    room: &Room,
    request: &Value,
    op: &str,
) -> Result<Value, Trouble> {
    match op {
        "worker" => start(driver, room, request).await?,
        "finish" => {
            let word = Word::Finish(request["value"].clone());
            driver.held.tell(text(request, "task")?, word)?;
        }
        "fail" => {
            let message = text(request, "message")?;
            let fault = match request["retryable"] == false {
                true => Fault::fatal(message),
                false => Fault::retry(message),
            };
            driver
                .held
                .tell(text(request, "task")?, Word::Fail(fault))?;
        }
        _ => {
            let (tell, told) = oneshot::channel();
            let word = Word::Progress(request["value"].clone(), tell);
            driver.held.tell(text(request, "task")?, word)?;
            let gone = |_| Trouble::Request("its handler is gone".to_owned());
            told.await.map_err(gone)??;
        }
    }
    Ok(Value::Null)
}

async fn start(driver: &Rc<Driver>, room: &Room, request: &Value) -> Result<(), Trouble> {
    let mut worker = room.worker();
    if let Value::Object(_) = &request["announcement"] {
        worker = worker.announce(serde_json::from_value(request["announcement"].clone())?);
    }
    if let Some(capacity) = request["capacity"].as_u64() {
        worker = worker.capacity(u32::try_from(capacity).unwrap_or(u32::MAX));
    }
    if let Some(grace) = millis(request, "graceMs") {
        worker = worker.grace(grace);
    }
    for (name, given) in request["tasks"].as_object().into_iter().flatten() {
        worker = with_task(worker, driver.held.clone(), name, given);
    }
    for (name, given) in request["tools"].as_object().into_iter().flatten() {
        worker = with_tool(worker, driver.held.clone(), name, given)?;
    }
    let run = worker.start().await?;
    let (stop, stopping) = oneshot::channel::<()>();
    let (tell, stopped) = oneshot::channel();
    *driver.worker.borrow_mut() = Some((stop, stopped));
    tokio::task::spawn_local(async move {
        let ended = run.until(async { drop(stopping.await) }).await;
        if let Err(error) = ended {
            complain(&format!("the worker: {error}"));
        }
        let _ = tell.send(());
    });
    Ok(())
}

fn behaviour(given: &Value) -> String {
    let does = given.as_str().or_else(|| given["does"].as_str());
    does.unwrap_or("echo").to_owned()
}

fn with_task(worker: RoomWorker, held: Held, name: &str, given: &Value) -> RoomWorker {
    let mut options = TaskOptions::new(name);
    for capability in given["capabilities"].as_array().into_iter().flatten() {
        options = options.capability(capability.as_str().unwrap_or_default());
    }
    let does = behaviour(given);
    worker.task(options, move |work: Work<Value>| {
        let (held, does) = (held.clone(), does.clone());
        async move {
            let about = json!({"task": work.id(), "attempt": work.attempt()});
            let mut begun = about.clone();
            begun["type"] = json!(work.assignment().task_type);
            begun["payload"] = work.payload().clone();
            begun["lastProgress"] = json!(work.last_progress::<Value>()?);
            event("task", begun);
            let mut ending = Ending {
                about,
                outcome: "cancelled",
            };
            let outcome = behave(&held, &does, &work).await;
            ending.outcome = match &outcome {
                Ok(_) => "returned",
                Err(_) => "raised",
            };
            outcome
        }
    })
}

async fn behave(held: &Held, does: &str, work: &Work<Value>) -> Result<Value, Fault> {
    let payload = work.payload().clone();
    match does {
        "hold" => {
            let mut told = held.listen(work.id());
            while let Some(word) = told.recv().await {
                match word {
                    Word::Finish(value) => return Ok(value),
                    Word::Fail(fault) => return Err(fault),
                    Word::Progress(value, tell) => {
                        let _ = tell.send(work.progress(&value).await);
                    }
                }
            }
            Err(Fault::retry("nobody holds it"))
        }
        "progress" => {
            work.progress(&json!({"half": true})).await?;
            Ok(payload)
        }
        "ask" => {
            let mut answers = Vec::new();
            for question in payload["questions"].as_array().into_iter().flatten() {
                answers.push(work.ask(question).answer::<Value>().await?);
            }
            Ok(Value::Array(answers))
        }
        "retry" if work.attempt() == 1 => Err(Fault::retry("once more")),
        other => ordinary(other, payload),
    }
}

fn ordinary(does: &str, value: Value) -> Result<Value, Fault> {
    match does {
        "fail" => Err(Fault::retry("no luck")),
        "fatal" => Err(Fault::fatal("no hope")),
        _ => Ok(value),
    }
}

fn with_tool(
    worker: RoomWorker,
    held: Held,
    name: &str,
    given: &Value,
) -> Result<RoomWorker, Trouble> {
    let does = behaviour(given);
    let mut registration = Map::new();
    registration.insert("description".to_owned(), format!("does {does}").into());
    registration.insert("inputSchema".to_owned(), json!({"type": "object"}));
    for field in [
        "inputSchema",
        "outputSchema",
        "idempotent",
        "timeoutMs",
        "approval",
    ] {
        if let Some(value) = given.get(field) {
            registration.insert(field.to_owned(), value.clone());
        }
    }
    let registration: Registration = serde_json::from_value(Value::Object(registration))?;
    let options = ToolOptions::from(registration);
    Ok(worker.tool(name, options, move |call: Invocation<Value>| {
        let (held, does) = (held.clone(), does.clone());
        async move {
            let about = json!({"call": call.run().call});
            let mut begun = about.clone();
            begun["tool"] = json!(call.run().tool);
            begun["arguments"] = call.arguments().clone();
            event("task", begun);
            let mut ending = Ending {
                about,
                outcome: "cancelled",
            };
            let outcome = behave_as_tool(&held, &does, &call).await;
            ending.outcome = match &outcome {
                Ok(_) => "returned",
                Err(_) => "raised",
            };
            outcome
        }
    }))
}

async fn behave_as_tool(held: &Held, does: &str, call: &Invocation<Value>) -> Result<Value, Fault> {
    let arguments = call.arguments().clone();
    match does {
        "hold" => {
            let mut told = held.listen(call.run().call.as_str());
            while let Some(word) = told.recv().await {
                match word {
                    Word::Finish(value) => return Ok(value),
                    Word::Fail(fault) => return Err(fault),
                    Word::Progress(value, tell) => {
                        let _ = tell.send(call.part(&value).await);
                    }
                }
            }
            Err(Fault::retry("nobody holds it"))
        }
        "progress" => {
            call.part(&json!({"half": true})).await?;
            Ok(json!({"arguments": arguments}))
        }
        "ask" => {
            let mut answers = Vec::new();
            for question in arguments["questions"].as_array().into_iter().flatten() {
                answers.push(call.ask(question).answer::<Value>().await?);
            }
            Ok(json!({"answers": answers}))
        }
        other => ordinary(other, json!({"arguments": arguments})),
    }
}

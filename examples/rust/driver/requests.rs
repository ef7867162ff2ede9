//! The requests, by what they ask for.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hallward::agent::{
    Agent, CallOptions, CallUpdate, ConnectionStatus, Error, Protocol, Room, TaskHandle,
    TaskUpdate, WriteOptions,
};
use hallward::wire::presence::Encoding;
use serde_json::{Map, Value, json};

use super::{Driver, Trouble, complain, event, golden, handlers, wires};

type Answer = Result<Value, Trouble>;

/// The deadline of a call that names none.
const USUAL: Duration = Duration::from_secs(30);

pub(super) async fn perform(driver: &Rc<Driver>, request: &Value) -> Answer {
    match text(request, "op")? {
        "connect" => connect(driver, request).await,
        "join" => join(driver, request).await,
        "close" => {
            driver.drain().await;
            Ok(Value::Null)
        }
        "drain" => {
            driver.drain().await;
            Ok(Value::Null)
        }
        "unacked" => Ok(json!({"unacked": agent(driver)?.unacked()})),
        "golden" => golden::golden(request),
        op => in_room(driver, request, op).await,
    }
}

async fn in_room(driver: &Rc<Driver>, request: &Value, op: &str) -> Answer {
    let room = room(driver, request)?;
    match op.split_once('.').unwrap_or((op, "")) {
        ("blackboard", op) => wires::blackboard(driver, &room, request, op).await,
        ("approve", op) => wires::approve(&room, request, op).await,
        ("observe", op) => wires::observe(&room, request, op).await,
        ("inbox", op) => inbox(driver, &room, request, op).await,
        ("tools", _) => call(driver, &room, request).await,
        ("presence" | "agents" | "announce", _) => wires::presence(&room, request, op).await,
        ("worker" | "finish" | "fail" | "progress", _) => {
            handlers::perform(driver, &room, request, op).await
        }
        ("publish", _) => {
            let payload = request["json"].to_string();
            room.publish(text(request, "topic")?, payload).await?;
            Ok(Value::Null)
        }
        _ => handoff(driver, &room, request, op).await,
    }
}

pub(super) fn text<'a>(request: &'a Value, field: &str) -> Result<&'a str, Trouble> {
    let found = request[field].as_str();
    found.ok_or_else(|| Trouble::Request(format!("{field} is no text")))
}

pub(super) fn millis(request: &Value, field: &str) -> Option<Duration> {
    request[field].as_u64().map(Duration::from_millis)
}

/// The fields of a message of the wire, without those of a request.
pub(super) fn message(request: &Value, without: &[&str]) -> Value {
    let mut fields = request.as_object().cloned().unwrap_or_default();
    let own = ["n", "op", "room"];
    fields.retain(|name, value| {
        !own.contains(&name.as_str()) && !without.contains(&name.as_str()) && !value.is_null()
    });
    Value::Object(fields)
}

fn agent(driver: &Driver) -> Result<Agent, Trouble> {
    let agent = driver.agent.borrow().clone();
    agent.ok_or_else(|| Trouble::Request("connect comes first".to_owned()))
}

fn room(driver: &Driver, request: &Value) -> Result<Room, Trouble> {
    let room = match request["room"].as_str() {
        Some(name) => driver.rooms.borrow().get(name).cloned(),
        None => driver.last_room.borrow().clone(),
    };
    let room = room.ok_or_else(|| Trouble::Request("join comes first".to_owned()))?;
    Ok(room.within(millis(request, "timeoutMs").unwrap_or(USUAL)))
}

async fn connect(driver: &Rc<Driver>, request: &Value) -> Answer {
    let mut builder = Agent::builder(text(request, "url")?, text(request, "agent")?);
    if request["protocol"] == "3.1.1" {
        builder = builder.protocol(Protocol::V311);
    }
    if request["encoding"] == "cbor" {
        builder = builder.encoding(Encoding::Cbor);
    }
    if request["ephemeral"] == true {
        builder = builder.ephemeral();
    }
    if let Some(window) = request["window"].as_u64() {
        builder = builder.window(u16::try_from(window).unwrap_or(u16::MAX));
    }
    let agent = builder.connect().await?;
    let mut status = agent.status();
    tokio::task::spawn_local(async move {
        while let Some(change) = status.recv().await {
            let fields = match change {
                ConnectionStatus::Connected { resumed } => {
                    json!({"status": "connected", "resumed": resumed})
                }
                ConnectionStatus::Disconnected { .. } => json!({"status": "disconnected"}),
                ConnectionStatus::Taken => json!({"status": "taken"}),
                _ => json!({"status": "closed"}),
            };
            event("status", fields);
        }
    });
    *driver.agent.borrow_mut() = Some(agent);
    Ok(Value::Null)
}

async fn join(driver: &Rc<Driver>, request: &Value) -> Answer {
    let name = text(request, "room")?;
    let room = agent(driver)?.join(name).await?;
    driver
        .rooms
        .borrow_mut()
        .insert(name.to_owned(), room.clone());
    *driver.last_room.borrow_mut() = Some(room);
    Ok(Value::Null)
}

async fn handoff(driver: &Rc<Driver>, room: &Room, request: &Value, op: &str) -> Answer {
    let handoff = room.handoff();
    match op {
        "dispatch" => {
            let task: hallward::wire::handoff::Task =
                serde_json::from_value(request["task"].clone())?;
            let handle = handoff.dispatch(task).await?;
            let id = handle.id().to_owned();
            driver.handles.borrow_mut().insert(id.clone(), handle);
            Ok(json!({"task": id}))
        }
        "run" => {
            let task: hallward::wire::handoff::Task =
                serde_json::from_value(request["task"].clone())?;
            let mut handle = handoff.dispatch(task).await?;
            let within = millis(request, "timeoutMs").unwrap_or(USUAL);
            Ok(json!(handle.result_within(within).await?))
        }
        "result" => {
            let mut handle = handle(driver, room, request).await?;
            let within = millis(request, "timeoutMs").unwrap_or(USUAL);
            Ok(json!(handle.result_within(within).await?))
        }
        "stream" => stream(handle(driver, room, request).await?).await,
        "results" => results(driver, room, request).await,
        "results.ack" => {
            let ack = driver.acks.borrow_mut().remove(text(request, "task")?);
            ack.into_iter().for_each(|ack| ack());
            Ok(Value::Null)
        }
        "get" => {
            let task = text(request, "task")?;
            Ok(match request["payload"] == true {
                true => json!(handoff.get_with_payload(task).await?),
                false => json!(handoff.get(task).await?),
            })
        }
        "list" => {
            let query = serde_json::from_value(message(request, &["timeoutMs"]))?;
            Ok(json!(handoff.list(query).await?))
        }
        "cancel" => {
            let reason = request["reason"].as_str().unwrap_or_default();
            match request["group"].as_str() {
                Some(group) => handoff.cancel_group(group, reason).await?,
                None => handoff.cancel(text(request, "task")?, reason).await?,
            }
            Ok(Value::Null)
        }
        "redrive" => match request["task"].as_str() {
            Some(task) => {
                handoff.redrive(task).await?;
                Ok(Value::Null)
            }
            None => {
                let limit = request["limit"].as_u64().unwrap_or(100);
                let limit = u32::try_from(limit).unwrap_or(u32::MAX);
                let redriven = handoff.redrive_all(text(request, "type")?, limit, None);
                Ok(json!(redriven.await?))
            }
        },
        "group" => {
            let within = millis(request, "timeoutMs").unwrap_or(USUAL);
            Ok(json!(handoff.group(text(request, "group")?, within).await?))
        }
        "questions" => questions(driver, room, request).await,
        "answer" => {
            let number = |field: &str| request[field].as_u64().and_then(|n| u32::try_from(n).ok());
            let attempt = number("attempt").unwrap_or_default();
            let task = text(request, "task")?;
            let answer = &request["answer"];
            handoff.answer(task, attempt, number("ask"), answer).await?;
            Ok(Value::Null)
        }
        _ => Err(Trouble::Unsupported(op.to_owned())),
    }
}

async fn handle(driver: &Driver, room: &Room, request: &Value) -> Result<TaskHandle, Trouble> {
    let task = text(request, "task")?;
    let known = driver.handles.borrow_mut().remove(task);
    Ok(match known {
        Some(handle) => handle,
        None => room.handoff().task(task).await?,
    })
}

async fn stream(mut handle: TaskHandle) -> Answer {
    loop {
        match handle.next().await? {
            TaskUpdate::Part(part) => {
                let fields = json!({"task": part.task, "part": part.part, "result": part.result});
                event("part", fields);
            }
            TaskUpdate::Question(question) => event("question", handlers::asked(&question)),
            TaskUpdate::Done(result) => return Ok(json!(result)),
            _ => {}
        }
    }
}

async fn results(driver: &Rc<Driver>, room: &Room, request: &Value) -> Answer {
    let mut feed = room.handoff().results().await?;
    let (driver, is_held) = (driver.clone(), request["hold"] == true);
    tokio::task::spawn_local(async move {
        while let Some(Ok(result)) = feed.next().await {
            event("result", json!(&*result));
            if is_held {
                let task = result.task.to_string();
                let ack: Box<dyn FnOnce()> = Box::new(move || drop(result.ack()));
                driver.acks.borrow_mut().insert(task, ack);
            } else {
                drop(result.ack());
            }
        }
    });
    Ok(Value::Null)
}

/// Answers the questions that come to this agent as a dispatcher.
async fn questions(driver: &Rc<Driver>, room: &Room, request: &Value) -> Answer {
    *driver.answers.borrow_mut() = request["answers"].as_object().cloned().unwrap_or_default();
    let mut feed = room.handoff().questions().await?;
    let driver = driver.clone();
    let me = agent(&driver)?.name().to_owned();
    tokio::task::spawn_local(async move {
        while let Some(Ok(question)) = feed.next().await {
            if question.dispatcher.as_str() != me {
                continue;
            }
            event("question", handlers::asked(&question));
            let answer = known_answer(&driver, question.question.text());
            if let Some(answer) = answer
                && let Err(error) = question.answer(&answer).await
            {
                complain(&format!("not answered: {error}"));
            }
        }
    });
    Ok(Value::Null)
}

fn known_answer(driver: &Driver, question: &str) -> Option<Value> {
    let question: String = serde_json::from_str(question).ok()?;
    driver.answers.borrow().get(&question).cloned()
}

async fn inbox(driver: &Rc<Driver>, room: &Room, request: &Value, op: &str) -> Answer {
    match op {
        "send" => {
            let to = text(request, "to")?;
            if let Some(text) = request["text"].as_str() {
                room.inbox().send_bytes(to, text.to_owned(), None).await?;
            } else if let Some(base64) = request["base64"].as_str() {
                let bytes = BASE64_STANDARD.decode(base64);
                let bytes = bytes.map_err(|error| Trouble::Request(error.to_string()))?;
                room.inbox().send_bytes(to, bytes, None).await?;
            } else {
                room.inbox().send(to, &request["json"]).await?;
            }
        }
        "listen" => {
            let mut feed = room.inbox().listen().await?;
            let (driver, is_held) = (driver.clone(), request["hold"] == true);
            tokio::task::spawn_local(async move {
                while let Some(Ok(message)) = feed.next().await {
                    driver.tokens.set(driver.tokens.get() + 1);
                    let token = driver.tokens.get().to_string();
                    let mut fields = content(&message);
                    fields["from"] = json!(message.from);
                    fields["token"] = json!(token);
                    if is_held {
                        let ack: Box<dyn FnOnce()> = Box::new(move || drop(message.ack()));
                        driver.acks.borrow_mut().insert(token, ack);
                    } else {
                        drop(message.ack());
                    }
                    event("inbox", fields);
                }
            });
        }
        "ack" => {
            let ack = driver.acks.borrow_mut().remove(text(request, "token")?);
            ack.into_iter().for_each(|ack| ack());
        }
        _ => return Err(Trouble::Unsupported(format!("inbox.{op}"))),
    }
    Ok(Value::Null)
}

fn content(message: &hallward::agent::InboxMessage) -> Value {
    if let Ok(value) = message.decode::<Value>() {
        return json!({"json": value});
    }
    match message.text() {
        Some(text) => json!({"text": text}),
        None => json!({"base64": BASE64_STANDARD.encode(&message.payload)}),
    }
}

async fn call(driver: &Rc<Driver>, room: &Room, request: &Value) -> Answer {
    let options = CallOptions {
        timeout: millis(request, "callTimeoutMs"),
        id: request["id"].as_str().map(str::to_owned),
    };
    let empty = Value::Object(Map::new());
    let arguments = match &request["arguments"] {
        Value::Null => &empty,
        arguments => arguments,
    };
    let tools = room.tools();
    let mut call = tools
        .start(text(request, "tool")?, arguments, options)
        .await?;
    let follow = async {
        loop {
            match call.next().await? {
                CallUpdate::Part(part) => {
                    event("part", json!({"call": part.call, "result": part.result}));
                }
                CallUpdate::Question(asked) => {
                    event(
                        "question",
                        json!({"call": asked.call, "ask": asked.ask, "question": asked.question}),
                    );
                    let question = asked
                        .question
                        .as_ref()
                        .map_or("", |question| question.text());
                    if let Some(answer) = known_answer(driver, question) {
                        call.answer(asked.ask, &answer).await?;
                    }
                }
                CallUpdate::Done(done) => {
                    return Ok(json!({"call": done.call, "result": done.result}));
                }
                _ => {}
            }
        }
    };
    let within = millis(request, "timeoutMs").unwrap_or(USUAL);
    tokio::time::timeout(within, follow)
        .await
        .unwrap_or_else(|_| {
            Err(Trouble::from(Error::Timeout {
                what: "the call".to_owned(),
                after: within,
                sent: true,
            }))
        })
}

pub(super) fn write_options(request: &Value) -> Result<WriteOptions, Trouble> {
    let fence = match &request["fence"] {
        Value::Null => None,
        fence => Some(serde_json::from_value(fence.clone())?),
    };
    Ok(WriteOptions {
        if_version: request["ifVersion"].as_u64(),
        merge: request["merge"] == true,
        ttl: millis(request, "ttlMs"),
        fence,
    })
}

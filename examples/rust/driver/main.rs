//! The conformance driver: this SDK behind lines of JSON. `sdk/conformance/README.md` says what
//! each request means.

mod golden;
mod handlers;
mod requests;
mod wires;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::rc::Rc;

use hallward::agent::{Agent, Error, HeldBoardLock, Room, TaskHandle};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use self::handlers::Held;

/// What a driver knows. It lives on one thread.
#[derive(Default)]
struct Driver {
    agent: RefCell<Option<Agent>>,
    rooms: RefCell<HashMap<String, Room>>,
    last_room: RefCell<Option<Room>>,
    handles: RefCell<HashMap<String, TaskHandle>>,
    /// What is acknowledged on request.
    acks: RefCell<HashMap<String, Box<dyn FnOnce()>>>,
    answers: RefCell<Map<String, Value>>,
    held: Held,
    /// Stops the worker, and is told when it has stopped.
    worker: RefCell<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
    tokens: Cell<u64>,
    locks: RefCell<HashMap<String, HeldBoardLock>>,
}

impl Driver {
    /// Ends in good order, as at SIGTERM.
    async fn drain(&self) {
        let worker = self.worker.borrow_mut().take();
        if let Some((stop, stopped)) = worker {
            drop(stop);
            let _ = stopped.await;
        }
        let agent = self.agent.borrow().clone();
        if let Some(agent) = agent {
            agent.close().await;
        }
    }
}

/// Why a request comes to nothing.
enum Trouble {
    Sdk(Box<Error>),
    Unsupported(String),
    Request(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Sdk(Box::new(error))
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Trouble {
        Trouble::Request(error.to_string())
    }
}

/// Writes one line.
fn emit(document: &Value) {
    let mut out = std::io::stdout().lock();
    // Without a reader there is nobody to be told.
    let _ = writeln!(out, "{document}");
    let _ = out.flush();
}

/// Says something to whoever looks for a fault.
fn complain(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// An event: the fields of a message, and what it is.
fn event(name: &str, fields: Value) {
    let mut fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.retain(|_, value| !value.is_null());
    fields.insert("event".to_owned(), name.into());
    emit(&Value::Object(fields));
}

fn described(trouble: &Trouble) -> Value {
    let error = match trouble {
        Trouble::Sdk(error) => error,
        Trouble::Unsupported(op) => return json!({"kind": "Unsupported", "reason": op}),
        Trouble::Request(words) => return json!({"kind": "Malformed", "reason": words}),
    };
    let mut told = json!({"kind": kind(error), "reason": error.to_string()});
    if let Some(refusal) = error.refusal() {
        told["code"] = u16::from(refusal.code).into();
        told["reason"] = refusal.reason.as_str().into();
        told["path"] = json!(refusal.path);
        told["current"] = json!(refusal.current);
        told["lock"] = json!(refusal.lock);
    }
    match &**error {
        Error::TaskFailed(result) | Error::TaskExpired(result) | Error::TaskCancelled(result) => {
            told["task"] = json!(result.task);
            told["detail"] = json!(result);
        }
        Error::ToolFailed(result) => told["detail"] = json!(result.error),
        _ => {}
    }
    told
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Malformed(_) => "Malformed",
        Error::Forbidden(_) => "Forbidden",
        Error::NotFound(_) => "NotFound",
        Error::Expired(_) => "Expired",
        Error::Conflict(_) => "Conflict",
        Error::TooLarge(_) => "TooLarge",
        Error::Invalid(_) => "Invalid",
        Error::TooMany(_) => "TooMany",
        Error::Unavailable(_) => "Unavailable",
        Error::TaskFailed(_) => "TaskFailed",
        Error::TaskExpired(_) => "TaskExpired",
        Error::TaskCancelled(_) => "TaskCancelled",
        Error::ToolFailed(_) => "ToolError",
        Error::Timeout { .. } => "Timeout",
        Error::Disconnected => "Disconnected",
        Error::SessionTaken => "SessionTaken",
        Error::Overflow(_) => "Overflow",
        // What the gateway would say.
        Error::Name(_) | Error::Payload(_) => "Malformed",
        _ => "Other",
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (line, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for text in std::io::stdin().lock().lines().map_while(Result::ok) {
            if line.send(text).is_err() {
                return;
            }
        }
    });
    let driver = Rc::new(Driver::default());
    let serving = tokio::task::LocalSet::new();
    let requests = async {
        let asked_to_stop = hallward::agent::shutdown_signal();
        let drained = async {
            asked_to_stop.await;
            driver.drain().await;
        };
        tokio::pin!(drained);
        loop {
            tokio::select! {
                text = lines.recv() => match text {
                    // What two requests do begins in the order in which they were read.
                    Some(text) => drop(tokio::task::spawn_local(answer(driver.clone(), text))),
                    None => return,
                },
                () = &mut drained => return,
            }
        }
    };
    serving.run_until(requests).await;
    std::process::exit(0);
}

async fn answer(driver: Rc<Driver>, text: String) {
    let request: Value = match serde_json::from_str(&text) {
        Ok(request) => request,
        Err(error) => return complain(&format!("no request: {error}: {text}")),
    };
    let number = request["n"].clone();
    let answered = match requests::perform(&driver, &request).await {
        Ok(Value::Null) => json!({"n": number, "ok": {}}),
        Ok(value) => json!({"n": number, "ok": value}),
        Err(trouble) => json!({"n": number, "error": described(&trouble)}),
    };
    emit(&answered);
}

//! Handlers, with their types taken off.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::Fault;
use super::job::{Assigned, Stint};
use super::work::{Invocation, Work};
use crate::agent::command::json_of;
use crate::agent::core::decode_json;
use crate::wire::json::Json;

pub(super) type Handling = Pin<Box<dyn Future<Output = Result<Json, Fault>> + Send>>;
pub(super) type Handler = Arc<dyn Fn(Arc<Stint>) -> Handling + Send + Sync>;

/// A handler, and for how long it may be at one attempt or call.
#[derive(Clone)]
pub(super) struct BoundHandler {
    pub(super) handler: Handler,
    pub(super) within: Option<Duration>,
}

/// A handler of tasks.
pub(super) fn of_tasks<T, R, F, Fut>(handler: F) -> Handler
where
    F: Fn(Work<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Fault>> + Send + 'static,
    T: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
{
    let handler = Arc::new(handler);
    Arc::new(move |job: Arc<Stint>| {
        let handler = handler.clone();
        Box::pin(async move {
            let Assigned::Task(assignment) = &job.assigned else {
                return Err(Fault::fatal("it is no task"));
            };
            let payload = decode_json(assignment.payload.as_ref())
                .map_err(|error| Fault::fatal(error.to_string()).code("payload"))?;
            let assignment = Arc::new(assignment.clone());
            let work = Work {
                job,
                assignment,
                payload,
            };
            Ok(json_of(&handler(work).await?)?)
        })
    })
}

/// A handler of calls.
pub(super) fn of_calls<A, R, F, Fut>(handler: F) -> Handler
where
    F: Fn(Invocation<A>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, Fault>> + Send + 'static,
    A: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
{
    let handler = Arc::new(handler);
    Arc::new(move |job: Arc<Stint>| {
        let handler = handler.clone();
        Box::pin(async move {
            let Assigned::Call(run) = &job.assigned else {
                return Err(Fault::fatal("it is no call"));
            };
            let arguments = decode_json(run.arguments.as_ref())
                .map_err(|error| Fault::fatal(error.to_string()).code("arguments"))?;
            let run = Arc::new(run.clone());
            let invocation = Invocation {
                job,
                run,
                arguments,
            };
            Ok(json_of(&handler(invocation).await?)?)
        })
    })
}

/// For a task of a type that the worker offers the capability of, and does not know.
pub(super) fn of_nothing() -> BoundHandler {
    let handler: Handler = Arc::new(|_| {
        let fault = Fault::fatal("this worker has no handler for tasks of this type");
        Box::pin(async { Err(fault.code("no-handler")) })
    });
    BoundHandler {
        handler,
        within: None,
    }
}

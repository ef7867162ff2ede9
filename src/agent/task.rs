//! A task to be dispatched, and what came of one.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::command::{json_of, millis};
use super::core::decode_json;
use super::error::Error;
use crate::wire::handoff::{self, Backoff, Priority, ResultStatus, TaskResult};
use crate::wire::json::Json;
use crate::wire::name::{Capability, NameError, TaskId, TaskType};

/// A task for whoever can do it: `Task::new("draft").payload(&facts)`.
///
/// What is wrong with it (a name that is none, a payload that is no JSON) is told when it is
/// dispatched.
#[derive(Debug, Clone)]
#[must_use = "a task is nothing until it is dispatched"]
pub struct Task(Result<handoff::Task, Error>);

impl Task {
    /// A task of a type; without [`Task::capability`] that is also what its worker must be able to
    /// do.
    pub fn new(task_type: &str) -> Task {
        Task(
            TaskType::new(task_type)
                .map_err(Error::from)
                .map(|task_type| handoff::Task {
                    id: None,
                    task_type,
                    capabilities: Vec::new(),
                    any_of: Vec::new(),
                    payload: None,
                    priority: None,
                    not_before_ms: None,
                    ttl_ms: None,
                    lease_ms: None,
                    max_attempts: None,
                    max_deliveries: None,
                    backoff: None,
                    affinity: None,
                    depends_on: Vec::new(),
                    parent: None,
                    group: None,
                    group_size: None,
                    require_online: false,
                    correlation_id: None,
                    traceparent: None,
                    tracestate: None,
                }),
        )
    }

    fn change(mut self, change: impl FnOnce(&mut handoff::Task)) -> Task {
        if let Ok(task) = &mut self.0 {
            change(task);
        }
        self
    }

    fn try_change<E: Into<Error>>(
        self,
        change: impl FnOnce(&mut handoff::Task) -> Result<(), E>,
    ) -> Task {
        Task(self.0.and_then(|mut task| {
            change(&mut task).map_err(Into::into)?;
            Ok(task)
        }))
    }

    /// What the worker gets.
    pub fn payload<T: Serialize + ?Sized>(self, payload: &T) -> Task {
        self.try_change(|task| {
            task.payload = Some(json_of(payload)?);
            Ok::<(), Error>(())
        })
    }

    /// A name of its own, by which it is found again after a restart: whoever dispatches the same
    /// once more does nothing twice. A random one if not said.
    pub fn id(self, id: &str) -> Task {
        self.try_change(|task| {
            task.id = Some(TaskId::new(id)?);
            Ok::<(), NameError>(())
        })
    }

    /// One of the things that its worker must be able to do.
    pub fn capability(self, capability: &str) -> Task {
        self.try_change(|task| {
            task.capabilities.push(Capability::new(capability)?);
            Ok::<(), NameError>(())
        })
    }

    /// Its worker must be able to do one of the things that are said so.
    pub fn any_of(self, capability: &str) -> Task {
        self.try_change(|task| {
            task.any_of.push(Capability::new(capability)?);
            Ok::<(), NameError>(())
        })
    }

    /// Which goes first.
    pub fn priority(self, priority: Priority) -> Task {
        self.change(|task| task.priority = Some(priority))
    }

    /// Not to be begun sooner.
    pub fn not_before(self, pause: Duration) -> Task {
        self.change(|task| task.not_before_ms = Some(millis(pause)))
    }

    /// If it has not ended by then, it has expired.
    pub fn ttl(self, ttl: Duration) -> Task {
        self.change(|task| task.ttl_ms = Some(millis(ttl)))
    }

    /// How long its worker may be silent. This SDK's workers are not.
    pub fn lease(self, lease: Duration) -> Task {
        self.change(|task| task.lease_ms = Some(millis(lease)))
    }

    /// How many attempts there are.
    pub fn max_attempts(self, attempts: u32) -> Task {
        self.change(|task| task.max_attempts = Some(attempts))
    }

    /// How long the pauses between attempts are.
    pub fn backoff(self, backoff: Backoff) -> Task {
        self.change(|task| task.backoff = Some(backoff))
    }

    /// The same value prefers the same worker.
    pub fn affinity(self, value: &str) -> Task {
        self.change(|task| task.affinity = Some(value.to_owned()))
    }

    /// A task that must succeed first.
    pub fn depends_on(self, task: &str) -> Task {
        self.try_change(|own| {
            own.depends_on.push(TaskId::new(task)?);
            Ok::<(), NameError>(())
        })
    }

    /// The task that this one belongs to, and is cancelled with.
    pub fn parent(self, task: &str) -> Task {
        self.try_change(|own| {
            own.parent = Some(TaskId::new(task)?);
            Ok::<(), NameError>(())
        })
    }

    /// Gathers so many tasks of this name into one more result.
    pub fn group(self, group: &str, size: u32) -> Task {
        self.change(|task| {
            task.group = Some(group.to_owned());
            task.group_size = Some(size);
        })
    }

    /// Refused with [`Error::Unavailable`] if nobody online can do it.
    pub fn require_online(self) -> Task {
        self.change(|task| task.require_online = true)
    }

    /// W3C Trace Context, carried to the worker, the events and the result.
    pub fn trace(self, traceparent: &str, tracestate: Option<&str>) -> Task {
        self.change(|task| {
            task.traceparent = Some(traceparent.to_owned());
            task.tracestate = tracestate.map(str::to_owned);
        })
    }

    pub(super) fn into_message(self) -> Result<handoff::Task, Error> {
        self.0
    }
}

impl From<handoff::Task> for Task {
    fn from(message: handoff::Task) -> Task {
        Task(Ok(message))
    }
}

impl TaskResult {
    /// What the worker returned, as a type of yours. No result is `null`.
    ///
    /// # Errors
    /// [`Error::Payload`] if it is something else.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode_json(self.result.as_ref())
    }

    /// What the worker returned.
    pub fn value(&self) -> &Json {
        static NULL: std::sync::LazyLock<Json> = std::sync::LazyLock::new(|| Json::of(&()));
        self.result.as_ref().unwrap_or(&NULL)
    }

    /// The same, or the error that it ended with.
    pub(super) fn into_success(self) -> Result<TaskResult, Error> {
        let boxed = Box::new(self);
        match boxed.status {
            ResultStatus::Dead => Err(Error::TaskFailed(boxed)),
            ResultStatus::Expired => Err(Error::TaskExpired(boxed)),
            ResultStatus::Cancelled => Err(Error::TaskCancelled(boxed)),
            ResultStatus::Succeeded | ResultStatus::Partial | ResultStatus::Input => Ok(*boxed),
        }
    }
}

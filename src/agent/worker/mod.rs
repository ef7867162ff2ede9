//! Workers: handlers for tasks and for calls of tools, and an end in good order.

mod fault;
mod handlers;
mod job;
mod shift;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::handlers::BoundHandler;
use self::job::Stopped;
use self::shift::Shift;
use super::command::json_of;
use super::error::Error;
use super::link::{Letter, Level, RouteId};
use super::room::{NoticeGuard, Room};
use crate::wire::approve::ApprovalRule;
use crate::wire::json::Json;
use crate::wire::name::{Capability, TaskType, Tool};
use crate::wire::presence::{Announcement, Status};
use crate::wire::tools::Registration;
use crate::wire::topic::Topic;

pub use fault::Fault;
pub use work::{Ask, Invocation, Work};

/// How long handlers may go on when the worker stops.
const GRACE: Duration = Duration::from_secs(30);

/// A worker of a room: [`Room::worker`]. It does nothing until [`RoomWorker::run_until`] or
/// [`RoomWorker::start`].
#[must_use = "a worker does nothing until it is started"]
pub struct RoomWorker {
    room: Room,
    announcement: Announcement,
    grace: Duration,
    plan: Result<Plan, Error>,
}

impl std::fmt::Debug for RoomWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoomWorker")
            .field("room", &self.room)
            .field("announcement", &self.announcement)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Plan {
    tasks: BTreeMap<TaskType, BoundHandler>,
    capabilities: BTreeSet<Capability>,
    tools: BTreeMap<Tool, BoundHandler>,
    registrations: Vec<(Tool, Registration)>,
}

/// What a handler of tasks is for.
#[derive(Debug, Clone)]
pub struct TaskOptions {
    task_type: String,
    capabilities: Vec<String>,
    within: Option<Duration>,
}

impl TaskOptions {
    /// Tasks of this type, which is also the capability that is offered.
    pub fn new(task_type: &str) -> TaskOptions {
        TaskOptions {
            task_type: task_type.to_owned(),
            capabilities: Vec::new(),
            within: None,
        }
    }

    /// Offers this capability, in place of the type's name. May be said several times.
    #[must_use]
    pub fn capability(mut self, capability: &str) -> TaskOptions {
        self.capabilities.push(capability.to_owned());
        self
    }

    /// How long one attempt may take; then its handler is dropped and the attempt has failed.
    #[must_use]
    pub fn within(mut self, within: Duration) -> TaskOptions {
        self.within = Some(within);
        self
    }
}

impl From<&str> for TaskOptions {
    fn from(task_type: &str) -> TaskOptions {
        TaskOptions::new(task_type)
    }
}

/// What a tool is: `ToolOptions::new("finds misspelt words", &schema)`.
#[derive(Debug, Clone)]
pub struct ToolOptions(Result<Registration, Error>);

impl ToolOptions {
    /// What it does, for whoever chooses a tool, and the JSON Schema of its arguments.
    pub fn new<S: Serialize + ?Sized>(description: &str, input_schema: &S) -> ToolOptions {
        ToolOptions(json_of(input_schema).map(|input_schema| Registration {
            title: None,
            description: description.to_owned(),
            input_schema,
            output_schema: None,
            annotations: None,
            timeout_ms: None,
            idempotent: false,
            approval: None,
            id: None,
            correlation_id: None,
        }))
    }

    /// What its results must look like: the gateway refuses any other.
    #[must_use]
    pub fn output_schema<S: Serialize + ?Sized>(self, schema: &S) -> ToolOptions {
        ToolOptions(self.0.and_then(|registration| {
            let output_schema: Option<Json> = Some(json_of(schema)?);
            Ok(Registration {
                output_schema,
                ..registration
            })
        }))
    }

    /// A call may be run twice: if its provider vanishes, another one is asked.
    #[must_use]
    pub fn idempotent(self) -> ToolOptions {
        ToolOptions(self.0.map(|registration| Registration {
            idempotent: true,
            ..registration
        }))
    }

    /// Each call waits for an approval of just its arguments, which the gateway asks for.
    #[must_use]
    pub fn approval(self, rule: ApprovalRule) -> ToolOptions {
        ToolOptions(self.0.map(|registration| Registration {
            approval: Some(rule),
            ..registration
        }))
    }

    /// How long a call may take where its caller does not say; 30 seconds if not said.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> ToolOptions {
        ToolOptions(self.0.map(|registration| Registration {
            timeout_ms: Some(super::command::millis(timeout)),
            ..registration
        }))
    }
}

impl From<Registration> for ToolOptions {
    fn from(message: Registration) -> ToolOptions {
        ToolOptions(Ok(message))
    }
}

impl RoomWorker {
    pub(super) fn new(room: Room) -> RoomWorker {
        RoomWorker {
            room,
            announcement: Announcement::default(),
            grace: GRACE,
            plan: Ok(Plan::default()),
        }
    }

    /// Tasks at once; 1 if not said. One that waits for an answer does not count.
    pub fn capacity(mut self, capacity: u32) -> RoomWorker {
        self.announcement.capacity = Some(capacity);
        self
    }

    /// What else this agent says of itself.
    pub fn announce(mut self, announcement: Announcement) -> RoomWorker {
        let capacity = announcement.capacity.or(self.announcement.capacity);
        self.announcement = Announcement {
            capacity,
            ..announcement
        };
        self
    }

    /// How long handlers may go on when the worker stops; then they are dropped, and their tasks
    /// given back. 30 seconds if not said.
    pub fn grace(mut self, grace: Duration) -> RoomWorker {
        self.grace = grace;
        self
    }

    /// Handles tasks of a type. What the handler returns is the task's result.
    ///
    /// Handlers run on the runtime's threads: one that computes for long, or blocks, belongs in
    /// [`tokio::task::spawn_blocking`].
    pub fn task<T, R, F, Fut>(self, options: impl Into<TaskOptions>, handler: F) -> RoomWorker
    where
        F: Fn(Work<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Fault>> + Send + 'static,
        T: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
    {
        let options = options.into();
        let handler = BoundHandler {
            handler: handlers::of_tasks(handler),
            within: options.within,
        };
        self.plan(|plan| {
            let task_type = TaskType::new(&options.task_type)?;
            if options.capabilities.is_empty() {
                plan.capabilities.insert(task_type.clone().into());
            }
            for capability in &options.capabilities {
                plan.capabilities.insert(Capability::new(capability)?);
            }
            plan.tasks.insert(task_type, handler);
            Ok(())
        })
    }

    /// Provides a tool. What the handler returns is the call's result.
    pub fn tool<A, R, F, Fut>(self, name: &str, options: ToolOptions, handler: F) -> RoomWorker
    where
        F: Fn(Invocation<A>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Fault>> + Send + 'static,
        A: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
    {
        let handler = BoundHandler {
            handler: handlers::of_calls(handler),
            within: None,
        };
        self.plan(|plan| {
            let tool = Tool::new(name)?;
            plan.registrations.push((tool.clone(), options.0?));
            plan.tools.insert(tool, handler);
            Ok(())
        })
    }

    fn plan(self, change: impl FnOnce(&mut Plan) -> Result<(), Error>) -> RoomWorker {
        let plan = self.plan.and_then(|mut plan| {
            change(&mut plan)?;
            Ok(plan)
        });
        RoomWorker { plan, ..self }
    }

    /// Works until `shutdown` is done, and then ends in good order: it takes nothing new, finishes
    /// what it has within the grace, gives the rest back, and returns when the gateway knows.
    ///
    /// # Errors
    /// [`Error::SessionTaken`] if somebody else has this agent's name: its handlers are dropped.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        self.start().await?.until(shutdown).await
    }

    /// Begins to work; returns once it can be given something.
    ///
    /// # Errors
    /// A name that is none, or what the gateway refuses.
    pub async fn start(self) -> Result<WorkerRun, Error> {
        let plan = self.plan?;
        let shift = Arc::new(Shift::new(self.room.clone(), plan.tasks, plan.tools));
        let noticing = shift.clone();
        let mut run = WorkerRun {
            notices: Some(self.room.on_notice(move |reply| noticing.noticed(reply))),
            room: self.room,
            announcement: self.announcement,
            registrations: plan.registrations,
            grace: self.grace,
            shift,
            routes: Vec::new(),
        };
        run.introduce(None).await?;
        run.listen(plan.capabilities).await?;
        Ok(run)
    }
}

/// A worker that is at work. Dropped, it takes nothing new, and its handlers are dropped without a
/// word: their tasks go to others when the lease is over.
pub struct WorkerRun {
    room: Room,
    announcement: Announcement,
    registrations: Vec<(Tool, Registration)>,
    grace: Duration,
    shift: Arc<Shift>,
    routes: Vec<RouteId>,
    notices: Option<NoticeGuard>,
}

impl std::fmt::Debug for WorkerRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerRun")
            .field("room", &self.room)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

impl WorkerRun {
    /// Announces the worker and what it provides.
    async fn introduce(&self, status: Option<Status>) -> Result<(), Error> {
        let announcement = Announcement {
            status: status.or(self.announcement.status),
            ..self.announcement.clone()
        };
        self.room.presence().announce(announcement).await?;
        for (tool, registration) in &self.registrations {
            let topic = Topic::ToolsRegister {
                me: self.room.me(),
                tool: tool.clone(),
            };
            self.room.call(topic, registration.clone()).await?;
        }
        Ok(())
    }

    async fn listen(&mut self, capabilities: BTreeSet<Capability>) -> Result<(), Error> {
        if !self.registrations.is_empty() {
            let filter = format!("tools/cancelled/{}", self.room.core().name);
            self.subscribe(&filter, Level::Fleeting, |shift, letter| {
                shift.call_over(letter)
            })
            .await?;
        }
        let tools: Vec<Tool> = self.shift.tools.keys().cloned().collect();
        for tool in tools {
            let filter = format!("tools/run/{tool}");
            self.subscribe(&filter, Level::Certain, Shift::called)
                .await?;
        }
        for capability in capabilities {
            let filter = format!("handoff/work/{capability}");
            self.subscribe(&filter, Level::Certain, Shift::assigned)
                .await?;
        }
        Ok(())
    }

    async fn subscribe(
        &mut self,
        filter: &str,
        level: Level,
        sink: fn(&Arc<Shift>, Letter),
    ) -> Result<(), Error> {
        let shift = self.shift.clone();
        let sink = move |letter: Letter| sink(&shift, letter);
        let route = self.room.subscribe(filter, level, sink).await?;
        self.routes.push(route);
        Ok(())
    }

    /// Works until `shutdown` is done; see [`RoomWorker::run_until`].
    ///
    /// # Errors
    /// As there.
    pub async fn until(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let link = self.room.core().link.clone();
        let mut connections = link.connections();
        let mut sessions = connections.now().sessions;
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return self.stop().await,
                linked = connections.session_other_than(sessions) => {
                    let Some(linked) = linked else {
                        return Err(link.status().gone());
                    };
                    sessions = linked.sessions;
                    // What was announced and registered went with the session.
                    if let Err(error) = self.introduce(None).await {
                        tracing::error!(%error, "could not be announced again");
                    }
                }
            }
        }
    }

    /// Ends in good order, now.
    ///
    /// # Errors
    /// If the connection is gone for good; what was in hand is then told by the leases.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.shift.drain();
        self.say(self.introduce(Some(Status::Draining)).await)?;
        let finished = tokio::time::timeout(self.grace, self.shift.is_idle()).await;
        if finished.is_err() {
            self.shift.stop_all(Stopped::Released);
            let within = self.room.deadline;
            // What cannot even be given back goes to others when its lease is over.
            let _ = tokio::time::timeout(within, self.shift.is_idle()).await;
        }
        self.say(self.withdraw().await)?;
        for route in self.routes.drain(..) {
            self.room.core().link.unsubscribe(&route);
        }
        self.registrations.clear();
        // So that a next worker of this agent is given work.
        self.say(self.introduce(None).await)
    }

    async fn withdraw(&self) -> Result<(), Error> {
        for (tool, _) in &self.registrations {
            let topic = Topic::ToolsRegister {
                me: self.room.me(),
                tool: tool.clone(),
            };
            self.room.say(topic, Bytes::new(), None).await?;
        }
        Ok(())
    }

    /// What the gateway would find out by itself is no reason to stop stopping.
    fn say(&self, told: Result<(), Error>) -> Result<(), Error> {
        match told {
            Err(error) if error.is_final() => Err(error),
            Err(error) => {
                tracing::warn!(%error, room = self.room.name(), "could not be said");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Drop for WorkerRun {
    fn drop(&mut self) {
        self.notices = None;
        for route in &self.routes {
            self.room.core().link.unsubscribe(route);
        }
        self.shift.stop_all(Stopped::Over);
    }
}

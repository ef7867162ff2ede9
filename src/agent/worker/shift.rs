//! A worker at work: what comes, who handles it, and how it ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::fault::Fault;
use super::handlers::{BoundHandler, of_nothing};
use super::job::{Assigned, Stint, StintKey, Stopped, attempt_of};
use crate::agent::core::decode;
use crate::agent::error::Error;
use crate::agent::link::Letter;
use crate::agent::room::Room;
use crate::wire::handoff::Assignment;
use crate::wire::name::{TaskType, Tool};
use crate::wire::reply::{Code, Reply};
use crate::wire::tools::{CallOver, ToolRun};

/// Attempts and calls that are over and remembered, in case they come again.
const REMEMBERED: usize = 1_024;
/// A handler that has returned by then needs no lease.
const LEASE_SINCE: Duration = Duration::from_millis(20);

/// All that runs in one worker.
pub(super) struct Shift {
    pub(super) room: Room,
    pub(super) tasks: BTreeMap<TaskType, BoundHandler>,
    pub(super) tools: BTreeMap<Tool, BoundHandler>,
    jobs: Mutex<Stints>,
    count: watch::Sender<usize>,
    is_draining: AtomicBool,
}

#[derive(Debug, Default)]
struct Stints {
    running: BTreeMap<StintKey, Arc<Stint>>,
    ended: BTreeSet<StintKey>,
    ended_in_order: VecDeque<StintKey>,
}

impl Shift {
    pub(super) fn new(
        room: Room,
        tasks: BTreeMap<TaskType, BoundHandler>,
        tools: BTreeMap<Tool, BoundHandler>,
    ) -> Shift {
        Shift {
            room,
            tasks,
            tools,
            jobs: Mutex::default(),
            count: watch::Sender::new(0),
            is_draining: AtomicBool::new(false),
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Stints> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something on `handoff/work/{capability}`.
    pub(super) fn assigned(self: &Arc<Shift>, mut letter: Letter) {
        // From here on its lease covers a crash.
        letter.ack();
        match decode::<Assignment>(&letter.payload) {
            Ok(assignment) => {
                let handler = self.tasks.get(&assignment.task_type);
                let handler = handler.cloned().unwrap_or_else(of_nothing);
                self.begin(Assigned::Task(assignment), handler);
            }
            Err(error) => tracing::error!(topic = %letter.topic, %error, "passed over"),
        }
    }

    /// Something on `tools/run/{tool}`.
    pub(super) fn called(self: &Arc<Shift>, mut letter: Letter) {
        letter.ack();
        match decode::<ToolRun>(&letter.payload) {
            Ok(run) => {
                let handler = self.tools.get(&run.tool);
                let handler = handler.cloned().unwrap_or_else(of_nothing);
                self.begin(Assigned::Call(run), handler);
            }
            Err(error) => tracing::error!(topic = %letter.topic, %error, "passed over"),
        }
    }

    /// Something on `tools/cancelled/{me}`.
    pub(super) fn call_over(&self, mut letter: Letter) {
        letter.ack();
        if let Ok(over) = decode::<CallOver>(&letter.payload) {
            self.stop_where(Stopped::Over, |key| key.id == over.call.as_str());
        }
    }

    /// A refusal that no call waits for: perhaps that a task in hand is over.
    pub(super) fn noticed(&self, reply: &Reply) {
        let Some(task) = &reply.task else { return };
        if matches!(reply.code, Code::Conflict | Code::Expired | Code::NotFound) {
            let attempt = attempt_of(reply.correlation_id.as_deref(), reply.reason.as_deref());
            self.stop_where(Stopped::Over, |key| {
                let is_it = attempt.is_none_or(|attempt| attempt == key.attempt);
                is_it && key.attempt > 0 && key.id == task.as_str()
            });
        }
    }

    fn stop_where(&self, why: Stopped, which: impl Fn(&StintKey) -> bool) {
        let jobs = self.jobs();
        for (_, job) in jobs.running.iter().filter(|(key, _)| which(key)) {
            job.stop(why);
        }
    }

    /// What is left is given back, or is over.
    pub(super) fn stop_all(&self, why: Stopped) {
        self.stop_where(why, |_| true);
    }

    /// What comes from here on is given back at once, and what waits for an answer waits without
    /// its handler: that begins anew with the answer, wherever it comes to.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        for job in self.jobs().running.values() {
            if job.is_asking() {
                job.stop(Stopped::Over);
            }
        }
    }

    /// Waits until nothing runs.
    pub(super) async fn is_idle(&self) {
        let mut count = self.count.subscribe();
        // An error would mean that this shift is gone.
        let _ = count.wait_for(|count| *count == 0).await;
    }

    fn begin(self: &Arc<Shift>, assigned: Assigned, handler: BoundHandler) {
        let job = Arc::new(Stint::new(self.room.clone(), assigned));
        let key = job.key();
        {
            let mut jobs = self.jobs();
            if let Some(known) = jobs.running.get(&key) {
                known.learn(answers(&job));
                return;
            }
            if jobs.ended.contains(&key) {
                return;
            }
            // An earlier attempt that we still have at it is over.
            for (earlier, known) in &jobs.running {
                if earlier.id == key.id {
                    known.stop(Stopped::Over);
                }
            }
            jobs.running.insert(key.clone(), job.clone());
            self.count.send_replace(jobs.running.len());
        }
        if self.is_draining.load(Ordering::Acquire) {
            job.stop(Stopped::Released);
        }
        let shift = self.clone();
        tokio::spawn(async move {
            perform(&job, handler).await;
            shift.ended(key);
        });
    }

    fn ended(&self, key: StintKey) {
        let mut jobs = self.jobs();
        jobs.running.remove(&key);
        if jobs.ended.insert(key.clone()) {
            jobs.ended_in_order.push_back(key);
        }
        if jobs.ended_in_order.len() > REMEMBERED
            && let Some(oldest) = jobs.ended_in_order.pop_front()
        {
            jobs.ended.remove(&oldest);
        }
        self.count.send_replace(jobs.running.len());
    }
}

fn answers(job: &Stint) -> Vec<crate::wire::question::GivenAnswer> {
    match &job.assigned {
        Assigned::Task(assignment) => assignment.answers.clone(),
        Assigned::Call(run) => run.answers.clone(),
    }
}

/// Runs a handler, and tells the gateway how it ended.
async fn perform(job: &Arc<Stint>, handler: BoundHandler) {
    // On tasks of their own: a handler that panics, or blocks, takes nothing else with it.
    let mut handling = tokio::spawn((handler.handler)(job.clone()));
    let leased = job.clone();
    let lease = tokio::spawn(async move { leased.keep_lease(LEASE_SINCE).await });
    let late = async {
        match handler.within {
            Some(within) => tokio::time::sleep(within).await,
            None => std::future::pending().await,
        }
    };
    let told = tokio::select! {
        biased;
        why = job.stopped() => {
            handling.abort();
            // Wherever it was, it is not any more when somebody else begins.
            let _ = handling.await;
            lease.abort();
            match why {
                Stopped::Over => Ok(()),
                Stopped::Released => job.release().await,
            }
        }
        outcome = &mut handling => {
            lease.abort();
            let outcome = outcome.unwrap_or_else(|error| Err(panicked(error)));
            tell(job, outcome).await
        }
        () = late => {
            handling.abort();
            let _ = handling.await;
            lease.abort();
            tell(job, Err(Fault::retry("it took too long").code("timeout"))).await
        }
    };
    let StintKey { id, attempt } = job.key();
    match told {
        Ok(()) => {}
        Err(Error::Conflict(_) | Error::Expired(_) | Error::NotFound(_)) => {
            tracing::info!(id, attempt, "its outcome came too late");
        }
        Err(error) => tracing::error!(id, attempt, %error, "its outcome could not be told"),
    }
}

async fn tell(job: &Stint, outcome: Result<crate::wire::json::Json, Fault>) -> Result<(), Error> {
    if job.is_over() {
        return Ok(());
    }
    let StintKey { id, attempt } = job.key();
    match outcome {
        Ok(result) => match job.succeed(result).await {
            Err(error @ (Error::Malformed(_) | Error::TooLarge(_) | Error::Invalid(_))) => {
                tracing::error!(id, attempt, %error, "its result was refused");
                let words = format!("its result was refused: {error}");
                job.fail(Fault::fatal(words).code("result")).await
            }
            told => told,
        },
        Err(fault) => {
            tracing::warn!(id, attempt, reason = fault.message(), "failed");
            job.fail(fault).await
        }
    }
}

fn panicked(error: tokio::task::JoinError) -> Fault {
    let words = match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<&str>()
            .map(|words| (*words).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned()),
        Err(_) => None,
    };
    let words = words.unwrap_or_else(|| "without a word".to_owned());
    Fault::retry(format!("its handler panicked: {words}")).code("panic")
}

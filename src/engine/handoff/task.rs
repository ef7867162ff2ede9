//! A task: what was asked for, where it stands, and the one `match` by which that changes.
//!
//! It knows nothing of rooms, workers' load, mailboxes or timers; `handoff` carries out what a step
//! means for them.

use std::num::NonZeroU64;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::handoff::{AttemptOutcome, Backoff, Priority, TaskError, TaskState, UpdateStatus};
use crate::wire::json::Json;
use crate::wire::name::{Agent, ApprovalId, Capability, TaskId, TaskType};

use crate::engine::settings::Settings;

use super::dependencies::Ties;
pub(in crate::engine) use super::ending::TaskEnding;
use super::history::AttemptHistory;
use super::last_report::LastReport;
use super::queue::QueueKey;
use super::scheduler::{Need, RouteNo};
use super::step::Step;
use crate::engine::ids::TaskNo;
use crate::engine::size::SizeClass;

/// What was asked for: fixed at the dispatch, recorded apart from the state so that a transition
/// does not rewrite it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Body {
    pub(in crate::engine) id: TaskId,
    pub(in crate::engine) dispatcher: Agent,
    /// The user behind it, where users are known; earlier versions did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) user: Option<Arc<str>>,
    #[serde(rename = "type")]
    pub(in crate::engine) task_type: TaskType,
    pub(in crate::engine) capabilities: Box<[Capability]>,
    /// Besides those, one of these.
    #[serde(default, skip_serializing_if = "<[Capability]>::is_empty")]
    pub(in crate::engine) any_of: Box<[Capability]>,
    /// Dropped when the task has ended and cannot be redriven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) payload: Option<Json>,
    /// The size of its assignment as a packet; 0 in records of versions that did not count it so.
    #[serde(default, rename = "packet")]
    pub(in crate::engine) bytes: u32,
    pub(in crate::engine) priority: Priority,
    pub(in crate::engine) created_at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) deadline: Option<Millis>,
    pub(in crate::engine) lease_ms: u64,
    pub(in crate::engine) max_attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) max_deliveries: Option<u32>,
    pub(in crate::engine) backoff: Backoff,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) affinity: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) correlation_id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) traceparent: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) tracestate: Option<Box<str>>,
    /// Boxed, because most tasks have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) ties: Option<Box<Ties>>,
    /// Of the command that it came with, where that had an id; earlier versions did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) fingerprint: Option<NonZeroU64>,
    /// The approval that its dispatch was told of, whatever has become of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) approval: Option<ApprovalId>,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) enum TaskStage {
    /// For its delay or its backoff, and for what it depends on.
    Waiting {
        until: Millis,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unmet: Vec<TaskNo>,
    },
    /// For a worker.
    Queued,
    /// With a worker, which has said so (`running`) or not yet.
    Held { worker: Agent, running: bool },
    /// For an answer to what its worker asked, until then.
    Asking { worker: Agent, until: Millis },
    /// For good, unless a dead one is redriven.
    Ended {
        how: TaskEnding,
        at: Millis,
        /// The word of its worker that ended it, if it was one.
        said: Option<UpdateStatus>,
        /// Of that word; see [`LastReport`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<NonZeroU64>,
    },
}

/// What changes in the life of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct TaskStatus {
    pub(in crate::engine) stage: TaskStage,
    /// The fencing token: how often it was assigned.
    pub(in crate::engine) attempt: u32,
    /// Attempts that came to nothing.
    pub(in crate::engine) failures: u32,
    /// How often it was given back since it was dispatched or redriven.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(in crate::engine) releases: u32,
    /// How often the present attempt was sent to its worker since that said how far it is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(in crate::engine) deliveries: u32,
    /// The approval that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) awaits: Option<ApprovalId>,
    /// It has been approved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::engine) approved: bool,
    /// Who had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) last_worker: Option<Agent>,
    pub(in crate::engine) updated_at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) error: Option<Box<TaskError>>,
    #[serde(default, skip_serializing_if = "AttemptHistory::is_empty")]
    pub(in crate::engine) history: AttemptHistory,
    /// Partial results so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(in crate::engine) parts: u32,
    /// Its result, kept for that of its group and for whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) kept: Option<Json>,
    /// There was no room to keep what it came to, for its group or for whoever asks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::engine) omitted: bool,
    /// Its group has had its result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::engine) gathered: bool,
}

/// A task in memory.
#[derive(Debug)]
pub(in crate::engine) struct Task {
    pub(in crate::engine) body: Body,
    pub(in crate::engine) status: TaskStatus,
    /// Since when nothing but a worker is missing, for the metrics. Not recorded.
    pub(in crate::engine) ready_at: Millis,
    /// When its worker's lease runs out; 0 while nobody has it. Not recorded: a restart renews it.
    pub(in crate::engine) lease_until: Millis,
    /// What is left of the lease, in milliseconds, while it does not run: its worker has not been
    /// sent the task on its present connection, or is away. 0 while it runs.
    pub(in crate::engine) lease_left: u64,
    /// Where it queues, until it has ended.
    pub(in crate::engine) route: Option<RouteNo>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it may skip by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl TaskStatus {
    pub(in crate::engine) fn new(stage: TaskStage, now: Millis) -> TaskStatus {
        TaskStatus {
            stage,
            attempt: 0,
            failures: 0,
            releases: 0,
            deliveries: 0,
            awaits: None,
            approved: false,
            last_worker: None,
            updated_at: now,
            error: None,
            history: AttemptHistory::default(),
            parts: 0,
            kept: None,
            omitted: false,
            gathered: false,
        }
    }

    /// Bytes that are kept for the result of its group.
    pub(super) fn kept_bytes(&self) -> usize {
        if self.omitted {
            return 0;
        }
        let result = self.kept.as_ref().map_or(0, |json| json.text().len());
        let error = self.error.as_deref().map_or(0, |error| {
            error.message.len() + error.code.as_ref().map_or(0, String::len)
        });
        result + error
    }

    pub(in crate::engine) fn state(&self) -> TaskState {
        match &self.stage {
            TaskStage::Waiting { .. } => TaskState::Waiting,
            TaskStage::Queued => TaskState::Queued,
            TaskStage::Held { running: false, .. } => TaskState::Assigned,
            TaskStage::Held { running: true, .. } => TaskState::Running,
            TaskStage::Asking { .. } => TaskState::Asking,
            TaskStage::Ended { how, .. } => how.state(),
        }
    }

    pub(in crate::engine) fn is_running(&self) -> bool {
        matches!(self.stage, TaskStage::Held { running: true, .. })
    }

    /// Who has it, or had it last.
    pub(in crate::engine) fn worker(&self) -> Option<&Agent> {
        self.last_worker.as_ref()
    }

    /// An attempt is over without success: another one after its backoff, or none.
    fn come_to_nothing(
        &mut self,
        body: &Body,
        error: TaskError,
        now: Millis,
        (how, said): (AttemptOutcome, Option<LastReport>),
    ) -> TaskStage {
        self.history.end(how, Some(&error.message), now);
        let hopeless = error.retryable == Some(false);
        self.error = Some(Box::new(error));
        self.failures += 1;
        if hopeless || self.failures >= body.max_attempts {
            return ended(TaskEnding::Dead, now, said);
        }
        TaskStage::Waiting {
            until: now.saturating_add(body.backoff_after(self.failures)),
            unmet: Vec::new(),
        }
    }

    /// Its worker gives it back. Others may have it at once; its worker has to wait like after a
    /// first failure, so that a task which everybody gives back does not go round without a pause.
    fn release(&mut self, body: &Body, most: u32, now: Millis) -> TaskStage {
        let error = why("released", "its worker gave it back");
        let message = error.message.clone();
        self.history
            .end(AttemptOutcome::Released, Some(&message), now);
        self.error = Some(Box::new(error));
        self.releases += 1;
        if self.releases > most {
            let word = LastReport::plain(UpdateStatus::Release);
            return ended(TaskEnding::Dead, now, Some(word));
        }
        TaskStage::Waiting {
            until: now.saturating_add(body.backoff_after(1)),
            unmet: Vec::new(),
        }
    }

    fn live_again(&mut self, unmet: Vec<TaskNo>, now: Millis) -> TaskStage {
        (self.failures, self.releases) = (0, 0);
        match unmet.is_empty() && self.awaits.is_none() {
            true => TaskStage::Queued,
            false => TaskStage::Waiting { until: now, unmet },
        }
    }

    /// What it comes to that its worker asks, or has waited for long enough; `None` if nothing.
    fn ask_or_go_on(&mut self, step: &Step, now: Millis) -> Option<TaskStage> {
        Some(match (&self.stage, step) {
            (TaskStage::Held { worker, .. }, Step::Ask(until)) => TaskStage::Asking {
                worker: worker.clone(),
                until: *until,
            },
            (TaskStage::Asking { worker, .. }, Step::Resume(_)) => {
                self.deliveries = 0;
                TaskStage::Held {
                    worker: worker.clone(),
                    running: false,
                }
            }
            (TaskStage::Asking { .. }, Step::Requeue(_)) => {
                let words = Some("its worker could not go on with it");
                self.history.end(AttemptOutcome::Released, words, now);
                TaskStage::Queued
            }
            _ => return None,
        })
    }

    /// Who waits for an answer with it.
    pub(in crate::engine) fn asker(&self) -> Option<&Agent> {
        match &self.stage {
            TaskStage::Asking { worker, .. } => Some(worker),
            _ => None,
        }
    }

    /// Who has it now.
    pub(in crate::engine) fn holder(&self) -> Option<&Agent> {
        match &self.stage {
            TaskStage::Held { worker, .. } => Some(worker),
            _ => None,
        }
    }
}

impl Task {
    /// Every change of state there is: the table [`TASK`](super::TASK) says the same, row by row.
    /// Returns whether the step means anything where the task stands; if not, nothing has changed.
    pub(in crate::engine) fn step(&mut self, step: Step, now: Millis) -> bool {
        use TaskStage::{Asking, Ended, Held, Queued, Waiting};

        let status = &mut self.status;
        let next = match (&status.stage, step) {
            (_, step @ (Step::Ask(_) | Step::Resume(_) | Step::Requeue(_))) => {
                match status.ask_or_go_on(&step, now) {
                    Some(next) => next,
                    None => return false,
                }
            }
            (Waiting { unmet, .. }, Step::Due) if unmet.is_empty() && status.awaits.is_none() => {
                Queued
            }
            (Waiting { .. }, Step::Doom(error)) => {
                status.error = Some(Box::new(error));
                ended(TaskEnding::Dead, now, None)
            }
            (Queued, Step::Assign(worker)) => {
                status.attempt += 1;
                status.deliveries = 0;
                status.last_worker = Some(worker.clone());
                status.history.begin(status.attempt, &worker, now);
                let running = false;
                Held { worker, running }
            }
            (
                Held {
                    worker,
                    running: false,
                },
                Step::Run,
            ) => Held {
                worker: worker.clone(),
                running: true,
            },
            (Held { .. } | Asking { .. }, Step::Succeed(word)) => {
                status.error = None;
                status.history.end(AttemptOutcome::Succeeded, None, now);
                ended(TaskEnding::Succeeded, now, Some(word))
            }
            // Its worker was only slow, and nobody else has begun with it.
            (Waiting { .. } | Queued, Step::Succeed(word)) => {
                status.error = None;
                status.history.end_late(now);
                ended(TaskEnding::Succeeded, now, Some(word))
            }
            (Held { .. } | Asking { .. }, Step::Fail(error, word)) => {
                let end = (AttemptOutcome::Failed, Some(word));
                status.come_to_nothing(&self.body, error, now, end)
            }
            (Held { .. } | Asking { .. }, Step::Release { most }) => {
                status.release(&self.body, most, now)
            }
            (Held { .. }, Step::Lose(error)) => {
                status.come_to_nothing(&self.body, error, now, (AttemptOutcome::Lost, None))
            }
            (Waiting { .. } | Queued | Held { .. } | Asking { .. }, Step::Expire) => {
                status.error = Some(Box::new(why("expired", "its time to live is over")));
                status.history.end(AttemptOutcome::Expired, None, now);
                ended(TaskEnding::Expired, now, None)
            }
            (Waiting { .. } | Queued | Held { .. } | Asking { .. }, Step::Cancel(error)) => {
                status
                    .history
                    .end(AttemptOutcome::Cancelled, Some(&error.message), now);
                status.error = Some(Box::new(error));
                ended(TaskEnding::Cancelled, now, None)
            }
            (
                Ended {
                    how: TaskEnding::Dead,
                    ..
                },
                Step::Redrive(unmet),
            ) => status.live_again(unmet, now),
            _ => return false,
        };
        status.stage = next;
        status.updated_at = now;
        true
    }
}

impl Task {
    /// Where it queues; `None` once it has ended.
    pub(in crate::engine) fn queue_key(&self) -> Option<QueueKey> {
        Some(QueueKey {
            route: self.route?,
            size: self.body.size(),
        })
    }
}

impl Body {
    pub(in crate::engine) fn any_of(&self) -> &[Capability] {
        &self.any_of
    }

    /// What a worker must be able to do.
    pub(in crate::engine) fn need(&self) -> Need {
        Need::new(&self.capabilities, &self.any_of)
    }

    /// Whether a work topic of this capability may bring it.
    pub(in crate::engine) fn asks_for(&self, capability: &Capability) -> bool {
        self.capabilities.contains(capability) || self.any_of.contains(capability)
    }

    /// Until when it is remembered if it ended then.
    pub(in crate::engine) fn kept_until(&self, settings: &Settings, ended_at: Millis) -> Millis {
        let of_type = settings.handoff.types.get(&self.task_type);
        let own = of_type.and_then(|of_type| of_type.result_retention);
        let retention = own.unwrap_or(settings.handoff.result_retention);
        ended_at.saturating_add(retention.ms())
    }

    /// How often one attempt is sent to its worker.
    pub(in crate::engine) fn max_deliveries(&self, settings: &Settings) -> u32 {
        self.max_deliveries
            .unwrap_or(settings.handoff.max_deliveries)
    }

    /// How large its assignment is, as far as workers' limits go.
    pub(in crate::engine) fn size(&self) -> SizeClass {
        SizeClass::of_task(self.bytes)
    }

    pub(in crate::engine) fn payload_bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, |json| json.text().len())
    }

    /// The wait after this many attempts in a row came to nothing, in milliseconds.
    fn backoff_after(&self, times: u32) -> u64 {
        let Backoff {
            initial_ms,
            factor,
            max_ms,
        } = self.backoff;
        let mut wait = initial_ms as f64;
        for _ in 1..times {
            wait *= factor;
            if wait >= max_ms as f64 {
                break;
            }
        }
        // A float beyond u64 becomes u64::MAX, which the limit then cuts.
        (wait as u64).min(max_ms)
    }
}

fn ended(how: TaskEnding, at: Millis, word: Option<LastReport>) -> TaskStage {
    TaskStage::Ended {
        how,
        at,
        said: word.map(|word| word.status),
        digest: word.and_then(|word| word.digest),
    }
}

/// The gateway's own words for why a task did not go on.
pub(in crate::engine) fn why(code: &str, message: impl Into<String>) -> TaskError {
    TaskError {
        code: Some(code.to_owned()),
        message: message.into(),
        retryable: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::TASK;
    use super::super::step::AskEnd;
    use super::*;

    fn task(stage: TaskStage) -> Task {
        let name = TaskType::new("draft").unwrap();
        Task {
            body: Body {
                id: TaskId::new("t").unwrap(),
                dispatcher: Agent::new("boss").unwrap(),
                user: None,
                capabilities: Box::new([name.clone().into()]),
                task_type: name,
                any_of: Box::default(),
                bytes: 0,
                payload: None,
                priority: Priority::Medium,
                created_at: 0,
                deadline: None,
                lease_ms: 10,
                max_attempts: 3,
                max_deliveries: None,
                backoff: Backoff {
                    initial_ms: 100,
                    factor: 2.0,
                    max_ms: 350,
                },
                affinity: None,
                correlation_id: None,
                traceparent: None,
                tracestate: None,
                ties: None,
                fingerprint: None,
                approval: None,
            },
            status: TaskStatus::new(stage, 0),
            ready_at: 0,
            lease_until: 0,
            lease_left: 0,
            route: None,
        }
    }

    fn worker() -> Agent {
        Agent::new("w").unwrap()
    }

    fn asking() -> TaskStage {
        TaskStage::Asking {
            worker: worker(),
            until: 9,
        }
    }

    fn word(status: UpdateStatus) -> LastReport {
        LastReport::plain(status)
    }

    fn every_step() -> Vec<Step> {
        vec![
            Step::Due,
            Step::Assign(worker()),
            Step::Run,
            Step::Ask(9),
            Step::Resume(AskEnd::Answered),
            Step::Requeue(AskEnd::TimedOut),
            Step::Succeed(word(UpdateStatus::Success)),
            Step::Fail(why("x", "x"), word(UpdateStatus::Error)),
            Step::Release { most: 2 },
            Step::Lose(why("x", "x")),
            Step::Expire,
            Step::Cancel(why("x", "x")),
            Step::Redrive(Vec::new()),
            Step::Doom(why("x", "x")),
        ]
    }

    fn states_after(stage: &TaskStage) -> Vec<&'static str> {
        let after = every_step().into_iter().map(|step| {
            let mut task = task(stage.clone());
            let moved = task.step(step, 5);
            if moved {
                task.status.state().as_str()
            } else {
                assert_eq!(task.status, TaskStatus::new(stage.clone(), 0));
                "-"
            }
        });
        after.collect()
    }

    #[test]
    fn every_state_takes_the_steps_that_mean_something_there_and_no_other() {
        let held = |running| TaskStage::Held {
            worker: worker(),
            running,
        };
        let end = |how| ended(how, 1, None);
        let waiting = |unmet| TaskStage::Waiting { until: 9, unmet };
        #[rustfmt::skip]
        let expected = [
            (waiting(vec![]), ["queued", "-", "-", "-", "-", "-", "succeeded", "-", "-", "-", "expired", "cancelled", "-", "dead"]),
            (waiting(vec![TaskNo(1)]), ["-", "-", "-", "-", "-", "-", "succeeded", "-", "-", "-", "expired", "cancelled", "-", "dead"]),
            (TaskStage::Queued, ["-", "assigned", "-", "-", "-", "-", "succeeded", "-", "-", "-", "expired", "cancelled", "-", "-"]),
            (held(false), ["-", "-", "running", "asking", "-", "-", "succeeded", "waiting", "waiting", "waiting", "expired", "cancelled", "-", "-"]),
            (held(true), ["-", "-", "-", "asking", "-", "-", "succeeded", "waiting", "waiting", "waiting", "expired", "cancelled", "-", "-"]),
            (asking(), ["-", "-", "-", "-", "assigned", "queued", "succeeded", "waiting", "waiting", "-", "expired", "cancelled", "-", "-"]),
            (end(TaskEnding::Succeeded), ["-"; 14]),
            (end(TaskEnding::Expired), ["-"; 14]),
            (end(TaskEnding::Cancelled), ["-"; 14]),
            (end(TaskEnding::Dead), ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "queued", "-"]),
        ];
        for (stage, states) in expected {
            assert_eq!(states_after(&stage), states, "{stage:?}");
        }
    }

    #[test]
    fn the_table_has_what_the_steps_do_and_nothing_else() {
        let held = |running| TaskStage::Held {
            worker: worker(),
            running,
        };
        let waiting = |unmet| TaskStage::Waiting { until: 9, unmet };
        let ends = [
            TaskEnding::Succeeded,
            TaskEnding::Dead,
            TaskEnding::Expired,
            TaskEnding::Cancelled,
        ];
        let mut stages = vec![waiting(vec![]), waiting(vec![TaskNo(1)]), TaskStage::Queued];
        stages.extend([held(false), held(true), asking()]);
        stages.extend(ends.map(|how| ended(how, 1, None)));
        let mut steps = every_step();
        steps.push(Step::Redrive(vec![TaskNo(1)]));
        steps.push(Step::Resume(AskEnd::TimedOut));
        steps.push(Step::Requeue(AskEnd::Answered));
        let mut seen = BTreeSet::new();
        for (stage, step) in stages
            .iter()
            .flat_map(|stage| steps.iter().map(move |step| (stage, step)))
        {
            for attempts in [1, 3] {
                let mut task = task(stage.clone());
                task.body.max_attempts = attempts;
                task.status.releases = 3 - attempts;
                let from = task.status.state().as_str();
                if task.step(step.clone(), 5) {
                    seen.insert((from, step.event(), task.status.state().as_str()));
                }
            }
        }
        let rows = TASK.transitions.iter().filter(|row| row.from != row.to);
        let rows = rows.filter_map(|row| Some((row.from?, row.event, row.to?)));
        assert_eq!(seen, rows.collect());
    }

    #[test]
    fn backoff_grows_by_its_factor_up_to_its_limit() {
        let body = task(TaskStage::Queued).body;
        let waits: Vec<u64> = (1..=4).map(|times| body.backoff_after(times)).collect();
        assert_eq!(waits, [100, 200, 350, 350]);
    }

    #[test]
    fn attempts_are_used_up_by_failing_and_getting_lost_and_not_by_being_given_back() {
        let mut task = task(TaskStage::Queued);
        for step in [
            Step::Lose(why("x", "x")),
            Step::Release { most: 2 },
            Step::Lose(why("x", "x")),
            Step::Release { most: 2 },
            Step::Fail(why("x", "x"), word(UpdateStatus::Error)),
        ] {
            assert!(!task.status.state().is_final());
            task.step(Step::Due, 1);
            assert!(task.step(Step::Assign(worker()), 1));
            assert!(task.step(step, 1));
        }
        assert_eq!(task.status.state(), TaskState::Dead);
        assert_eq!((task.status.attempt, task.status.failures), (5, 3));
    }

    #[test]
    fn what_is_given_back_again_and_again_is_dead_at_last() {
        let mut task = task(TaskStage::Queued);
        for _ in 0..3 {
            assert!(!task.status.state().is_final());
            task.step(Step::Due, 1);
            assert!(task.step(Step::Assign(worker()), 1));
            assert!(task.step(Step::Release { most: 2 }, 1));
        }
        assert_eq!(task.status.state(), TaskState::Dead);
    }

    #[test]
    fn an_error_that_no_retry_helps_ends_a_task_at_once() {
        let mut task = task(TaskStage::Queued);
        task.step(Step::Assign(worker()), 1);
        let mut error = why("bad-input", "no");
        error.retryable = Some(false);
        assert!(task.step(Step::Fail(error, word(UpdateStatus::Error)), 2));
        assert_eq!(task.status.state(), TaskState::Dead);
    }
}

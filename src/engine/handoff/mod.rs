//! Handoff: tasks and what each step of theirs means for queues, workers, timers, dispatchers and
//! observers.
//!
//! [`task`] says which steps there are, [`scheduler`] who gets what, `dispatch` and `update` what
//! agents may ask for, `lease` how a task comes back, `word` what a worker may say. Here a step is
//! carried out, in one place (`advance`), so that none of its consequences can be forgotten.

mod admit;
mod affinity;
mod approval;
mod asking;
pub(super) mod config;
mod dependencies;
mod dispatch;
mod ending;
mod envelopes;
mod group;
mod history;
mod index;
mod last_report;
mod lease;
mod list;
mod messages;
mod pattern;
mod progress;
mod queue;
mod rebuild;
mod records;
mod redrive;
mod released;
mod results;
pub(super) mod scheduler;
mod states;
mod step;
pub(super) mod task;
mod update;

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::handoff::TaskState;
use crate::wire::json::Json;
use crate::wire::name::{Agent, TaskId};

use super::effect::{DirectedKind, Effect};
use super::event::{Detail, RoomEvent};
use super::ids::AssignmentKey;
use super::kept_bytes::KeptBytes;
use super::record::Changes;
use super::recorded::Recorded;
use super::timer::{Timer, TimerSubject};
use super::tx::RoomTx;
use records::TaskChange;

use admit::Rates;
use affinity::Affinities;
use asking::TaskQuestions;
use group::{Groups, is_gathered};
use index::Index;
use progress::ProgressReports;
use scheduler::{RouteNo, Scheduler};
pub(super) use states::{GROUP, TASK};

use super::ids::TaskNo;
use dependencies::Dependencies;
use step::Step;
use task::{Body, Task, TaskEnding, TaskStage, TaskStatus};

/// A room's tasks.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    changes: Changes<records::TaskChange>,
    /// Bodies whose states have not come yet, while records come back.
    bodies: BTreeMap<TaskNo, Body>,
    /// How far tasks have been looked through for those that must end because the room is closed.
    swept: TaskNo,
    /// Boxed, because a tree keeps its nodes half empty.
    pub(super) tasks: BTreeMap<TaskNo, Box<Task>>,
    pub(super) numbers: BTreeMap<TaskId, TaskNo>,
    pub(super) scheduler: Scheduler,
    affinities: Affinities,
    index: Index,
    rates: Rates,
    bonds: Dependencies,
    groups: Groups,
    /// Whose results are kept for whoever asks.
    results: KeptBytes<(Millis, TaskNo)>,
    pub(super) progress: ProgressReports,
    questions: TaskQuestions,
    /// Ended tasks, by when they are to be forgotten.
    pub(super) ended: BTreeSet<(Millis, TaskNo)>,
    /// The number of the last task.
    pub(super) last_no: u64,
    /// Payload bytes of tasks that have not ended.
    pub(super) payload_bytes: usize,
}

impl Handoff {
    /// When the next ended task is to be forgotten.
    pub(super) fn forgets_at(&self) -> Option<Millis> {
        self.ended.first().map(|(at, _)| *at)
    }

    fn unfinished(&self) -> usize {
        self.tasks.len() - self.ended.len()
    }

    /// Takes a task in, new or from its records.
    pub(super) fn insert(
        &mut self,
        no: TaskNo,
        body: Body,
        status: TaskStatus,
        route: Option<RouteNo>,
    ) {
        self.index.insert(no, status.state(), &body);
        self.numbers.insert(body.id.clone(), no);
        let task = Task {
            ready_at: status.updated_at,
            body,
            status,
            lease_until: 0,
            lease_left: 0,
            route,
        };
        self.tasks.insert(no, Box::new(task));
    }
}

/// A step with what its event says besides.
struct Advance<'a> {
    step: Step,
    /// Who caused it; the gateway itself if nobody.
    who: Option<&'a Agent>,
    reason: Option<&'a str>,
    result: Option<Json>,
}

impl<'a> Advance<'a> {
    fn new(step: Step) -> Advance<'a> {
        Advance {
            step,
            who: None,
            reason: None,
            result: None,
        }
    }
}

impl Handoff {
    /// The one place where a task moves on: carries out the step and all that follows from it.
    /// Nothing happens if the step means nothing where the task stands.
    fn advance(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, advance: Advance<'_>) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        let before = task.status.stage.clone();
        let from = task.status.state();
        if !task.step(advance.step.clone(), tx.cx.now) {
            return;
        }
        let to = task.status.state();
        let attempt = task.status.attempt;
        task.status
            .history
            .keep(tx.cx.settings.handoff.max_history_per_task);
        tx.cx.stats.tasks.remove(from);
        tx.cx.stats.tasks.add(to);
        self.index.moved(no, from, to, &task.body);
        self.change(tx, TaskChange::State(no));
        self.left_stage(tx, no, &before, attempt);
        self.entered_stage(tx, no, from.is_final());
        self.tell_step(tx, no, from, &advance);
        if to.is_final() {
            self.end(tx, no, advance.result);
        }
    }

    /// Undoes what holds for a task in the stage that it was in.
    fn left_stage(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, before: &TaskStage, attempt: u32) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        match before {
            TaskStage::Waiting { until, unmet } => {
                let subject = TimerSubject::Task(tx.room.name.clone(), no);
                tx.cx.timers.disarm(*until, Timer::Due, subject);
                self.scheduler.offer_no_more(no);
                self.await_no_more(no, unmet);
            }
            TaskStage::Queued => {
                if let Some(key) = task.queue_key() {
                    let served = task.status.holder().is_some();
                    let Body {
                        priority,
                        dispatcher,
                        ..
                    } = &task.body;
                    let scheduler = &mut self.scheduler;
                    scheduler.dequeue(key, *priority, dispatcher, no, served);
                }
            }
            TaskStage::Asking { worker, until } => {
                let subject = TimerSubject::Task(tx.room.name.clone(), no);
                tx.cx.timers.disarm(*until, Timer::Answer, subject);
                self.asks_no_more(tx, no);
                self.tell_worker(tx, no, worker, attempt);
            }
            TaskStage::Held { worker, .. } => {
                // A worker that says it is at it still has it.
                if task.status.holder() == Some(worker) {
                    return;
                }
                let subject = TimerSubject::Task(tx.room.name.clone(), no);
                tx.cx.timers.disarm(task.lease_until, Timer::Lease, subject);
                (task.lease_until, task.lease_left) = (0, 0);
                // Also after the worker's own last word: a client that acknowledges late must not
                // get the task again.
                tx.cx.emit(Effect::Revoke {
                    agent: worker.clone(),
                    class: DirectedKind::Assignment(AssignmentKey {
                        room: tx.room.name.clone(),
                        task: task.body.id.clone(),
                        attempt,
                        answers: self.questions.answered(no),
                    }),
                });
                self.free(tx, no, worker);
                self.tell_worker(tx, no, worker, attempt);
            }
            TaskStage::Ended { at, .. } => {
                let until = task.body.kept_until(&tx.cx.settings, *at);
                self.ended.remove(&(until, no));
                self.results.remove(&(until, no));
                self.back_in_group(tx, no);
                self.drop_result(no);
            }
        }
    }

    fn free(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, worker: &Agent) {
        if let Some(member) = tx.room.members.0.get_mut(worker) {
            member.held.remove(&no);
            member.owed.remove(&no);
            self.scheduler.freed(worker);
            tx.mark_presence_dirty(worker, false);
            tx.tell_drained(worker);
        }
    }

    /// Sees to what holds for a task in the stage that it is in now.
    fn entered_stage(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, was_ended: bool) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        if was_ended {
            tx.cx.reserve_result(&task.body.dispatcher);
        }
        match &task.status.stage {
            TaskStage::Waiting { until, unmet } => {
                let subject = TimerSubject::Task(tx.room.name.clone(), no);
                tx.cx.timers.arm(*until, Timer::Due, subject);
                let unmet = unmet.clone();
                self.await_dependencies(tx, no, &unmet);
            }
            TaskStage::Queued => {
                task.ready_at = tx.cx.now;
                if let Some(key) = task.queue_key() {
                    let since = task.status.updated_at;
                    let Body {
                        priority,
                        dispatcher,
                        ..
                    } = &task.body;
                    let scheduler = &mut self.scheduler;
                    scheduler.enqueue(key, *priority, dispatcher, no, since);
                }
            }
            TaskStage::Asking { until, .. } => {
                let subject = TimerSubject::Task(tx.room.name.clone(), no);
                tx.cx.timers.arm(*until, Timer::Answer, subject);
                self.show_question(tx, no);
            }
            TaskStage::Held { worker, running } => {
                let (worker, running) = (worker.clone(), *running);
                if !running {
                    self.hold(tx, no, &worker);
                }
            }
            TaskStage::Ended { at, .. } => {
                // One that its group waits for is not to be forgotten.
                if is_gathered(task) {
                    let until = task.body.kept_until(&tx.cx.settings, *at);
                    self.ended.insert((until, no));
                }
            }
        }
    }

    fn hold(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, worker: &Agent) {
        if let Some(member) = tx.room.members.0.get_mut(worker) {
            member.held.insert(no);
            self.scheduler.took(worker);
            tx.mark_presence_dirty(worker, false);
        }
        self.remember_affinity(tx, no, worker);
        self.await_sending(tx, no);
        self.deliver(tx, no);
    }

    fn tell_step(
        &mut self,
        tx: &mut RoomTx<'_>,
        no: TaskNo,
        from: TaskState,
        advance: &Advance<'_>,
    ) {
        let Some(task) = self.tasks.get(&no) else {
            return;
        };
        let until = match task.status.stage {
            TaskStage::Waiting { until, .. } => Some(until).filter(|until| *until > tx.cx.now),
            TaskStage::Asking { until, .. } => Some(until),
            _ => None,
        };
        let gateway = tx.cx.gateway.clone();
        let happened = RoomEvent {
            from: Some(from.as_str()),
            to: Some(task.status.state().as_str()),
            detail: Detail {
                attempt: Some(task.status.attempt).filter(|attempt| *attempt > 0),
                worker: task.status.worker(),
                until,
                reason: advance.reason,
                ..Detail::default()
            },
            traceparent: task.body.traceparent.as_deref(),
            ..RoomEvent::new(
                advance.step.event(),
                task.body.id.as_str(),
                advance.who.unwrap_or(&gateway),
            )
        };
        tx.record_event(&happened);
    }

    /// Sends the one final result, and keeps of the task only what queries need.
    fn end(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, result: Option<Json>) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        let TaskStage::Ended { how, .. } = task.status.stage else {
            return;
        };
        if let Some(route) = task.route.take() {
            self.scheduler.leave(route);
        }
        self.awaits_no_more(tx, no);
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        if let Some(deadline) = task.body.deadline {
            let subject = TimerSubject::Task(tx.room.name.clone(), no);
            tx.cx.timers.disarm(deadline, Timer::Deadline, subject);
        }
        tx.cx.release_result(&task.body.dispatcher);
        let dispatched = task.body.created_at;
        tx.cx
            .stats
            .task_results
            .add(how.state(), dispatched, tx.cx.now);
        let payload = task.body.payload_bytes();
        self.payload_bytes -= payload;
        let sent = task.result(tx.cx.now, how.result(), result.clone());
        if how != TaskEnding::Dead {
            task.body.payload = None;
        }
        let to = task.body.dispatcher.clone();
        self.deliver_result(tx, to, &sent);
        if how != TaskEnding::Dead {
            self.forget_progress(tx, no);
            self.forget_questions(tx, no);
        }
        self.leave_family(no);
        self.release_dependants(tx, no, how);
        self.keep_result(tx, no, result);
        if how != TaskEnding::Dead && payload > tx.cx.settings.handoff.kept_payload.0 {
            self.change(tx, TaskChange::Body(no));
        }
        self.forget_early(tx);
    }

    /// A task that ended may be forgotten when its time is over.
    fn remember_ended(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if let Some(task) = self.tasks.get(&no)
            && let TaskStage::Ended { at, .. } = task.status.stage
        {
            let until = task.body.kept_until(&tx.cx.settings, at);
            self.ended.insert((until, no));
        }
        self.count_result(tx, no);
        self.forget_early(tx);
    }

    fn forget_early(&mut self, tx: &mut RoomTx<'_>) {
        if self.ended.len() > tx.cx.settings.handoff.max_ended_tasks_per_room {
            tx.cx.stats.forgotten_early += 1;
            self.forget_oldest_task(tx);
        }
    }

    /// Brings tasks and free workers together, the most urgent first, until one of them runs out.
    fn assign(&mut self, tx: &mut RoomTx<'_>) {
        let longest = tx.cx.settings.handoff.max_wait_by_priority.ms();
        let late = tx.cx.now.checked_sub(longest).filter(|_| longest > 0);
        while let Some((no, worker)) = self.scheduler.next_match(late) {
            let worker = self.preferred(no).unwrap_or(worker);
            self.advance(tx, no, Advance::new(Step::Assign(worker)));
        }
        while let Some((no, worker)) = self.scheduler.next_released() {
            self.advance(tx, no, Advance::new(Step::Due));
            self.advance(tx, no, Advance::new(Step::Assign(worker)));
        }
    }

    pub(super) fn due(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        self.advance(tx, no, Advance::new(Step::Due));
    }

    pub(super) fn deadline_over(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        self.advance(tx, no, Advance::new(Step::Expire));
    }

    pub(super) fn forget_oldest_task(&mut self, tx: &mut RoomTx<'_>) {
        let Some((until, no)) = self.ended.pop_first() else {
            return;
        };
        self.results.remove(&(until, no));
        if let Some(task) = self.tasks.remove(&no) {
            self.numbers.remove(&task.body.id);
            let state = task.status.state();
            self.index.remove(no, state, &task.body);
            tx.cx.stats.tasks.remove(state);
        }
        self.forget_progress(tx, no);
        self.forget_questions(tx, no);
        self.change(tx, TaskChange::Body(no));
        self.change(tx, TaskChange::State(no));
    }
}

//! Handoff: tasks and what each step of theirs means for queues, workers, timers, dispatchers and observers.
//!
//! [`task`] says which steps there are, [`scheduler`] who gets what, `dispatch` and `update` what agents may ask for, `lease` how a
//! task comes back, `word` what a worker may say. Here a step is carried out, in one place (`advance`), so that none of its consequences
//! can be forgotten.

mod admit;
mod affinity;
mod dispatch;
mod group;
mod history;
mod index;
mod lease;
mod list;
mod messages;
mod progress;
mod queue;
mod rebuild;
mod redrive;
mod released;
mod results;
pub(super) mod scheduler;
pub(super) mod size;
mod states;
pub(super) mod task;
mod ties;
mod update;
mod word;

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::handoff::TaskState;
use crate::wire::json::Json;
use crate::wire::name::{Agent, TaskId};

use super::context::Context;
use super::event::{Detail, Happened};
use super::keep::Keep;
use super::record::Change;
use super::room::RoomState;
use super::timer::{Subject, Timer};
use super::{AssignmentKey, Class, Effect};

use admit::Rates;
use affinity::Affinities;
use group::Groups;
use index::Index;
use progress::Progress;
use scheduler::{RouteNo, Scheduler};
pub(super) use states::{GROUP, TASK};
pub(super) use task::TaskNo;
use task::{Body, Ending, Stage, Status, Step, Task};
use ties::Bonds;

/// A room's tasks.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    /// Boxed, because a tree keeps its nodes half empty.
    pub(super) tasks: BTreeMap<TaskNo, Box<Task>>,
    pub(super) numbers: BTreeMap<TaskId, TaskNo>,
    pub(super) scheduler: Scheduler,
    affinities: Affinities,
    index: Index,
    rates: Rates,
    bonds: Bonds,
    groups: Groups,
    /// Whose results are kept for whoever asks.
    results: Keep<(Millis, TaskNo)>,
    pub(super) progress: Progress,
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
        status: Status,
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

impl RoomState {
    /// The one place where a task moves on: carries out the step and all that follows from it. Nothing happens if the step means
    /// nothing where the task stands.
    fn advance(&mut self, cx: &mut Context, no: TaskNo, advance: Advance<'_>) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        let before = task.status.stage.clone();
        let from = task.status.state();
        if !task.step(advance.step.clone(), cx.now) {
            return;
        }
        let to = task.status.state();
        let attempt = task.status.attempt;
        task.status.history.keep(cx.settings.max_history_per_task);
        cx.stats.tasks.remove(from);
        cx.stats.tasks.add(to);
        self.handoff.index.moved(no, from, to, &task.body);
        self.change(cx, Change::State(no));
        self.left_stage(cx, no, &before, attempt);
        self.entered_stage(cx, no, from.is_final());
        self.tell_step(cx, no, from, &advance);
        if to.is_final() {
            self.end(cx, no, advance.result);
        }
    }

    /// Undoes what holds for a task in the stage that it was in.
    fn left_stage(&mut self, cx: &mut Context, no: TaskNo, before: &Stage, attempt: u32) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        match before {
            Stage::Waiting { until, unmet } => {
                let subject = Subject::Task(self.name.clone(), no);
                cx.timers.disarm(*until, Timer::Due, subject);
                self.handoff.scheduler.offer_no_more(no);
                self.await_no_more(no, unmet);
            }
            Stage::Queued => {
                if let Some(key) = task.queue_key() {
                    let served = task.status.holder().is_some();
                    let Body {
                        priority,
                        dispatcher,
                        ..
                    } = &task.body;
                    let scheduler = &mut self.handoff.scheduler;
                    scheduler.dequeue(key, *priority, dispatcher, no, served);
                }
            }
            Stage::Held { worker, .. } => {
                // A worker that says it is at it still has it.
                if task.status.holder() == Some(worker) {
                    return;
                }
                let subject = Subject::Task(self.name.clone(), no);
                cx.timers.disarm(task.lease_until, Timer::Lease, subject);
                (task.lease_until, task.lease_left) = (0, 0);
                // Also after the worker's own last word: a client that acknowledges late must not get the task again.
                cx.emit(Effect::Revoke {
                    agent: worker.clone(),
                    class: Class::Assignment(AssignmentKey {
                        room: self.name.clone(),
                        task: task.body.id.clone(),
                        attempt,
                    }),
                });
                self.free(cx, no, worker);
                self.tell_worker(cx, no, worker, attempt);
            }
            Stage::Ended { at, .. } => {
                let until = task.body.kept_until(&cx.settings, *at);
                self.handoff.ended.remove(&(until, no));
                self.handoff.results.remove(&(until, no));
                self.back_in_group(cx, no);
                self.drop_result(no);
            }
        }
    }

    fn free(&mut self, cx: &mut Context, no: TaskNo, worker: &Agent) {
        if let Some(member) = self.members.0.get_mut(worker) {
            member.held.remove(&no);
            member.owed.remove(&no);
            self.handoff.scheduler.freed(worker);
            self.stir(cx, worker, false);
            self.tell_drained(cx, worker);
        }
    }

    /// Sees to what holds for a task in the stage that it is in now.
    fn entered_stage(&mut self, cx: &mut Context, no: TaskNo, was_ended: bool) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        if was_ended {
            cx.promise(&task.body.dispatcher);
        }
        match &task.status.stage {
            Stage::Waiting { until, unmet } => {
                let subject = Subject::Task(self.name.clone(), no);
                cx.timers.arm(*until, Timer::Due, subject);
                let unmet = unmet.clone();
                self.await_dependencies(cx, no, &unmet);
            }
            Stage::Queued => {
                task.ready_at = cx.now;
                if let Some(key) = task.queue_key() {
                    let since = task.status.updated_at;
                    let Body {
                        priority,
                        dispatcher,
                        ..
                    } = &task.body;
                    let scheduler = &mut self.handoff.scheduler;
                    scheduler.enqueue(key, *priority, dispatcher, no, since);
                }
            }
            Stage::Held { worker, running } => {
                let (worker, running) = (worker.clone(), *running);
                if !running {
                    self.hold(cx, no, &worker);
                }
            }
            Stage::Ended { at, .. } => {
                // One that its group waits for is not to be forgotten.
                if task.is_gathered() {
                    let until = task.body.kept_until(&cx.settings, *at);
                    self.handoff.ended.insert((until, no));
                }
            }
        }
    }

    fn hold(&mut self, cx: &mut Context, no: TaskNo, worker: &Agent) {
        if let Some(member) = self.members.0.get_mut(worker) {
            member.held.insert(no);
            self.handoff.scheduler.took(worker);
            self.stir(cx, worker, false);
        }
        self.remember_affinity(cx, no, worker);
        self.await_sending(cx, no);
        self.deliver(cx, no);
    }

    fn tell_step(&mut self, cx: &mut Context, no: TaskNo, from: TaskState, advance: &Advance<'_>) {
        let Some(task) = self.handoff.tasks.get(&no) else {
            return;
        };
        let until = match task.status.stage {
            Stage::Waiting { until, .. } => Some(until).filter(|until| *until > cx.now),
            _ => None,
        };
        let gateway = cx.gateway.clone();
        let happened = Happened {
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
            ..Happened::new(
                advance.step.event(),
                task.body.id.as_str(),
                advance.who.unwrap_or(&gateway),
            )
        };
        self.log.tell(cx, &happened);
    }

    /// Sends the one final result, and keeps of the task only what queries need.
    fn end(&mut self, cx: &mut Context, no: TaskNo, result: Option<Json>) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        let Stage::Ended { how, .. } = task.status.stage else {
            return;
        };
        if let Some(route) = task.route.take() {
            self.handoff.scheduler.leave(route);
        }
        if let Some(deadline) = task.body.deadline {
            let subject = Subject::Task(self.name.clone(), no);
            cx.timers.disarm(deadline, Timer::Deadline, subject);
        }
        cx.keep_promise(&task.body.dispatcher);
        let dispatched = task.body.created_at;
        cx.stats.task_results.add(how.state(), dispatched, cx.now);
        let payload = task.body.payload_bytes();
        self.handoff.payload_bytes -= payload;
        let sent = task.result(cx.now, how.result(), result.clone());
        if how != Ending::Dead {
            task.body.payload = None;
        }
        let to = task.body.dispatcher.clone();
        self.deliver_result(cx, to, &sent);
        if how != Ending::Dead {
            self.forget_progress(cx, no);
        }
        self.leave_family(no);
        self.release_dependants(cx, no, how);
        self.keep_result(cx, no, result);
        if how != Ending::Dead && payload > cx.settings.kept_payload_bytes {
            self.change(cx, Change::Body(no));
        }
        self.forget_early(cx);
    }

    /// A task that ended may be forgotten when its time is over.
    fn remember_ended(&mut self, cx: &mut Context, no: TaskNo) {
        if let Some(task) = self.handoff.tasks.get(&no)
            && let Stage::Ended { at, .. } = task.status.stage
        {
            let until = task.body.kept_until(&cx.settings, at);
            self.handoff.ended.insert((until, no));
        }
        self.count_result(cx, no);
        self.forget_early(cx);
    }

    fn forget_early(&mut self, cx: &mut Context) {
        if self.handoff.ended.len() > cx.settings.max_ended_tasks_per_room {
            cx.stats.forgotten_early += 1;
            self.forget_oldest_task(cx);
        }
    }

    /// Brings tasks and free workers together, the most urgent first, until one of them runs out.
    pub(super) fn settle(&mut self, cx: &mut Context) {
        let longest = cx.settings.max_wait_by_priority_ms;
        let late = cx.now.checked_sub(longest).filter(|_| longest > 0);
        while let Some((no, worker)) = self.handoff.scheduler.next_match(late) {
            let worker = self.preferred(no).unwrap_or(worker);
            self.advance(cx, no, Advance::new(Step::Assign(worker)));
        }
        while let Some((no, worker)) = self.handoff.scheduler.next_released() {
            self.advance(cx, no, Advance::new(Step::Due));
            self.advance(cx, no, Advance::new(Step::Assign(worker)));
        }
    }

    pub(super) fn due(&mut self, cx: &mut Context, no: TaskNo) {
        self.advance(cx, no, Advance::new(Step::Due));
    }

    pub(super) fn deadline_over(&mut self, cx: &mut Context, no: TaskNo) {
        self.advance(cx, no, Advance::new(Step::Expire));
    }

    pub(super) fn forget_oldest_task(&mut self, cx: &mut Context) {
        let Some((until, no)) = self.handoff.ended.pop_first() else {
            return;
        };
        self.handoff.results.remove(&(until, no));
        if let Some(task) = self.handoff.tasks.remove(&no) {
            self.handoff.numbers.remove(&task.body.id);
            let state = task.status.state();
            self.handoff.index.remove(no, state, &task.body);
            cx.stats.tasks.remove(state);
        }
        self.forget_progress(cx, no);
        self.change(cx, Change::Body(no));
        self.change(cx, Change::State(no));
    }
}

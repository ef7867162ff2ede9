//! Handoff: tasks and what each step of theirs means for queues, workers, timers, dispatchers and observers.
//!
//! [`task`] says which steps there are, [`scheduler`] who gets what, `dispatch` and `update` what agents may ask for. Here a step
//! is carried out, in one place (`advance`), so that none of its consequences can be forgotten.

pub(super) mod dispatch;
pub(super) mod scheduler;
pub(super) mod task;
pub(super) mod update;

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::handoff::{Assignment, ResultStatus, TaskResult, TaskState};
use crate::wire::json::{self, Json};
use crate::wire::name::{Agent, Capability, TaskId};
use crate::wire::topic::{RoomTopic, Topic};

use super::context::Context;
use super::event::{Detail, Happened};
use super::presence::Departure;
use super::record::Change;
use super::room::RoomState;
use super::timer::{Subject, Timer};
use super::{AssignmentKey, Class, Directed, Effect};

use scheduler::Scheduler;
pub(super) use task::TaskNo;
use task::{Ending, Stage, Step, Task, why};

/// A room's tasks.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    /// Boxed, because a tree keeps its nodes half empty.
    pub(super) tasks: BTreeMap<TaskNo, Box<Task>>,
    pub(super) numbers: BTreeMap<TaskId, TaskNo>,
    pub(super) scheduler: Scheduler,
    /// Ended tasks, oldest first.
    pub(super) ended: BTreeSet<(Millis, TaskNo)>,
    /// The number of the last task.
    pub(super) last_no: u64,
    /// Payload bytes of tasks that have not ended.
    pub(super) payload_bytes: usize,
}

impl Handoff {
    pub(super) fn oldest_ended(&self) -> Option<Millis> {
        self.ended.first().map(|(at, _)| *at)
    }

    fn unfinished(&self) -> usize {
        self.tasks.len() - self.ended.len()
    }
}

/// A step with what its event says besides.
struct Advance<'a> {
    step: Step,
    what: &'static str,
    /// Who caused it; the gateway itself if nobody.
    who: Option<&'a Agent>,
    reason: Option<&'a str>,
    result: Option<Json>,
    /// Whether the worker that had it may not know: its assignment is taken back out of its mailbox.
    revoke: bool,
}

impl<'a> Advance<'a> {
    fn new(step: Step, what: &'static str) -> Advance<'a> {
        Advance {
            step,
            what,
            who: None,
            reason: None,
            result: None,
            revoke: false,
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
        cx.stats.tasks.remove(from);
        cx.stats.tasks.add(to);
        self.change(cx, Change::State(no));
        self.left_stage(cx, no, &before, advance.revoke.then_some(attempt));
        self.entered_stage(cx, no, from.is_final());
        self.tell_step(cx, no, from, &advance);
        if to.is_final() {
            self.end(cx, no, advance.result);
        }
    }

    /// Undoes what holds for a task in the stage that it was in.
    fn left_stage(&mut self, cx: &mut Context, no: TaskNo, before: &Stage, revoked: Option<u32>) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        match before {
            Stage::Waiting { until } => {
                let subject = Subject::Task(self.name.clone(), no);
                cx.timers.disarm(*until, Timer::Due, subject);
            }
            Stage::Queued => {
                if let Some(route) = task.route {
                    let priority = task.body.priority;
                    self.handoff.scheduler.dequeue(route, priority, no);
                }
            }
            Stage::Held { worker, .. } => {
                // A worker that says it is at it still has it.
                if task.status.holder() == Some(worker) {
                    return;
                }
                let subject = Subject::Task(self.name.clone(), no);
                cx.timers.disarm(task.lease_until, Timer::Lease, subject);
                task.lease_until = 0;
                if let Some(attempt) = revoked {
                    let room = self.name.clone();
                    let task = task.body.id.clone();
                    cx.emit(Effect::Revoke {
                        agent: worker.clone(),
                        assignment: AssignmentKey {
                            room,
                            task,
                            attempt,
                        },
                    });
                }
                self.free(cx, no, worker);
            }
            Stage::Ended { at, .. } => {
                self.handoff.ended.remove(&(*at, no));
            }
        }
    }

    fn free(&mut self, cx: &mut Context, no: TaskNo, worker: &Agent) {
        if let Some(member) = self.members.0.get_mut(worker) {
            member.held.remove(&no);
            member.owed.remove(&no);
            self.handoff.scheduler.freed(worker);
            self.stir(cx, worker, false);
        }
    }

    /// Sees to what holds for a task in the stage that it is in now.
    fn entered_stage(&mut self, cx: &mut Context, no: TaskNo, was_ended: bool) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        match &task.status.stage {
            Stage::Waiting { until } => {
                let subject = Subject::Task(self.name.clone(), no);
                cx.timers.arm(*until, Timer::Due, subject);
            }
            Stage::Queued => {
                if was_ended {
                    cx.promise(&task.body.dispatcher);
                }
                if let Some(route) = task.route {
                    let priority = task.body.priority;
                    self.handoff.scheduler.enqueue(route, priority, no);
                }
            }
            Stage::Held { worker, running } => {
                let (worker, running) = (worker.clone(), *running);
                if !running {
                    self.hold(cx, no, &worker);
                }
            }
            Stage::Ended { at, .. } => {
                self.handoff.ended.insert((*at, no));
            }
        }
    }

    fn hold(&mut self, cx: &mut Context, no: TaskNo, worker: &Agent) {
        if let Some(member) = self.members.0.get_mut(worker) {
            member.held.insert(no);
            self.handoff.scheduler.took(worker);
            self.stir(cx, worker, false);
        }
        self.renew_lease(cx, no);
        self.deliver(cx, no);
    }

    fn tell_step(&mut self, cx: &mut Context, no: TaskNo, from: TaskState, advance: &Advance<'_>) {
        let Some(task) = self.handoff.tasks.get(&no) else {
            return;
        };
        let until = match task.status.stage {
            Stage::Waiting { until } => Some(until),
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
                advance.what,
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
        let payload = task.body.payload_bytes();
        self.handoff.payload_bytes -= payload;
        let sent = task.result(cx.now, how.result(), result);
        if how != Ending::Dead {
            task.body.payload = None;
        }
        let to = task.body.dispatcher.clone();
        self.deliver_result(cx, to, &sent);
        if how != Ending::Dead && payload > cx.settings.kept_payload_bytes {
            self.change(cx, Change::Body(no));
        }
        if self.handoff.ended.len() > cx.settings.max_ended_tasks_per_room {
            cx.stats.forgotten_early += 1;
            self.forget_oldest_task(cx);
        }
    }

    fn deliver_result(&mut self, cx: &mut Context, to: Agent, result: &TaskResult) {
        let dispatcher = to.clone();
        cx.emit(Effect::Deliver(Directed {
            to,
            topic: RoomTopic::new(self.name.clone(), Topic::HandoffResult { dispatcher }),
            payload: json::encode(result),
            class: Class::Result,
            correlation_id: result.correlation_id.clone(),
            expires_at: Some(cx.after(cx.settings.directed_ttl_ms)),
        }));
    }

    /// Sends a worker the task that it has.
    fn deliver(&mut self, cx: &mut Context, no: TaskNo) {
        let Some(task) = self.handoff.tasks.get(&no) else {
            return;
        };
        let Some(worker) = task.status.holder() else {
            return;
        };
        let offers = |capability: &&Capability| {
            let member = self.members.0.get(worker);
            member.is_some_and(|member| member.works.contains(*capability))
        };
        let capabilities = &task.body.capabilities;
        let Some(capability) = capabilities.iter().find(offers).or(capabilities.first()) else {
            return;
        };
        let topic = Topic::HandoffWork {
            capability: capability.clone(),
        };
        cx.emit(Effect::Deliver(Directed {
            to: worker.clone(),
            topic: RoomTopic::new(self.name.clone(), topic),
            payload: json::encode(&task.assignment()),
            class: Class::Assignment(AssignmentKey {
                room: self.name.clone(),
                task: task.body.id.clone(),
                attempt: task.status.attempt,
            }),
            correlation_id: task.body.correlation_id.as_deref().map(str::to_owned),
            expires_at: task.body.deadline,
        }));
    }

    /// Brings tasks and free workers together, the most urgent first, until one of them runs out.
    pub(super) fn settle(&mut self, cx: &mut Context) {
        while let Some((no, worker)) = self.handoff.scheduler.next_match() {
            self.advance(
                cx,
                no,
                Advance::new(Step::Assign(worker), "handoff.assigned"),
            );
        }
    }

    /// A released task goes to somebody else at once if somebody is free, and waits for its backoff otherwise, so that nobody is
    /// handed what it has just given back.
    fn release(&mut self, cx: &mut Context, no: TaskNo, who: Option<&Agent>) {
        let Some(task) = self.handoff.tasks.get(&no) else {
            return;
        };
        let other = match (task.route, task.status.holder()) {
            // Only the first time: a task that everybody gives back must not go round without a pause.
            (Some(route), Some(holder)) if task.status.releases == 0 => {
                self.handoff.scheduler.free_apart_from(route, holder)
            }
            _ => None,
        };
        let released = Advance {
            who,
            ..Advance::new(Step::Release, "handoff.released")
        };
        self.advance(cx, no, released);
        if let Some(other) = other {
            self.advance(cx, no, Advance::new(Step::Due, "handoff.queued"));
            self.advance(
                cx,
                no,
                Advance::new(Step::Assign(other), "handoff.assigned"),
            );
        }
    }

    /// The worker of a task has left the room or is gone.
    pub(super) fn give_back(&mut self, cx: &mut Context, no: TaskNo, why_gone: Departure) {
        match why_gone {
            Departure::Left => self.release(cx, no, None),
            Departure::Ended => {
                let reason = "its worker is gone";
                let lost = Advance {
                    reason: Some(reason),
                    revoke: true,
                    ..Advance::new(Step::Lose(why("worker-gone", reason)), "handoff.lost")
                };
                self.advance(cx, no, lost);
            }
        }
    }

    pub(super) fn give_back_all(&mut self, cx: &mut Context, agent: &Agent, why_gone: Departure) {
        let held = self.members.0.get(agent).map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            self.give_back(cx, no, why_gone);
        }
    }

    /// Sends a worker whose subscriptions still stand everything that it has.
    pub(super) fn deliver_held(&mut self, cx: &mut Context, agent: &Agent) {
        let held = self.members.0.get(agent).map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            self.renew_lease(cx, no);
            self.deliver(cx, no);
        }
    }

    /// Sends a worker that has subscribed anew what it has of this capability.
    pub(super) fn deliver_owed(&mut self, cx: &mut Context, agent: &Agent, offered: &Capability) {
        let Some(member) = self.members.0.get_mut(agent) else {
            return;
        };
        let tasks = &self.handoff.tasks;
        let owed = member.owed.iter().copied().filter(|no| {
            tasks
                .get(no)
                .is_some_and(|task| task.body.capabilities.contains(offered))
        });
        let owed: Vec<TaskNo> = owed.collect();
        for no in owed {
            if let Some(member) = self.members.0.get_mut(agent) {
                member.owed.remove(&no);
            }
            self.renew_lease(cx, no);
            self.deliver(cx, no);
        }
    }

    /// Starts a task's lease anew.
    fn renew_lease(&mut self, cx: &mut Context, no: TaskNo) {
        if let Some(task) = self.handoff.tasks.get(&no) {
            let until = cx.after(task.body.lease_ms);
            self.move_lease(cx, no, until);
        }
    }

    fn move_lease(&mut self, cx: &mut Context, no: TaskNo, until: Millis) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        let subject = Subject::Task(self.name.clone(), no);
        if task.lease_until != 0 {
            cx.timers
                .disarm(task.lease_until, Timer::Lease, subject.clone());
        }
        task.lease_until = until;
        cx.timers.arm(until, Timer::Lease, subject);
    }

    /// No lease of this agent runs out sooner than so many milliseconds from now.
    pub(super) fn keep_leases(&mut self, cx: &mut Context, agent: &Agent, ms: u64) {
        let until = cx.after(ms);
        let held = self.members.0.get(agent).map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            let lease = self.handoff.tasks.get(&no).map(|task| task.lease_until);
            if lease.is_some_and(|lease| lease < until) {
                self.move_lease(cx, no, until);
            }
        }
    }

    /// After a restart, leases begin anew, and none ends before the grace does.
    pub(super) fn restart_leases(&mut self, cx: &mut Context, agent: &Agent) {
        let held = self.members.0.get(agent).map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            self.renew_lease(cx, no);
        }
        self.keep_leases(cx, agent, cx.settings.reconnect_grace_ms);
    }

    pub(super) fn lease_over(&mut self, cx: &mut Context, no: TaskNo) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        let reason = format!("its worker was silent for {} ms", task.body.lease_ms);
        let lost = Advance {
            reason: Some(&reason),
            revoke: true,
            ..Advance::new(Step::Lose(why("lease-over", &reason)), "handoff.lost")
        };
        self.advance(cx, no, lost);
    }

    pub(super) fn due(&mut self, cx: &mut Context, no: TaskNo) {
        self.advance(cx, no, Advance::new(Step::Due, "handoff.queued"));
    }

    pub(super) fn deadline_over(&mut self, cx: &mut Context, no: TaskNo) {
        let expired = Advance {
            revoke: true,
            ..Advance::new(Step::Expire, "handoff.expired")
        };
        self.advance(cx, no, expired);
    }

    pub(super) fn forget_oldest_task(&mut self, cx: &mut Context) {
        let Some((_, no)) = self.handoff.ended.pop_first() else {
            return;
        };
        if let Some(task) = self.handoff.tasks.remove(&no) {
            self.handoff.numbers.remove(&task.body.id);
            cx.stats.tasks.remove(task.status.state());
        }
        self.change(cx, Change::Body(no));
        self.change(cx, Change::State(no));
    }
}

impl Task {
    fn assignment(&self) -> Assignment {
        let body = &self.body;
        Assignment {
            task: body.id.clone(),
            attempt: self.status.attempt,
            task_type: body.task_type.clone(),
            capabilities: body.capabilities.to_vec(),
            payload: body.payload.clone(),
            priority: body.priority,
            dispatcher: body.dispatcher.clone(),
            lease_ms: body.lease_ms,
            created_at: body.created_at,
            deadline: body.deadline,
            correlation_id: body.correlation_id.as_deref().map(str::to_owned),
            traceparent: body.traceparent.as_deref().map(str::to_owned),
            tracestate: body.tracestate.as_deref().map(str::to_owned),
        }
    }

    fn result(&self, now: Millis, status: ResultStatus, result: Option<Json>) -> TaskResult {
        let body = &self.body;
        let is_final = status != ResultStatus::Partial;
        TaskResult {
            task: body.id.clone(),
            task_type: body.task_type.clone(),
            status,
            is_final,
            result,
            error: self.status.error.as_deref().filter(|_| is_final).cloned(),
            attempts: self.status.attempt,
            worker: self.status.worker().cloned(),
            created_at: body.created_at,
            at: now,
            correlation_id: body.correlation_id.as_deref().map(str::to_owned),
            traceparent: body.traceparent.as_deref().map(str::to_owned),
            tracestate: body.tracestate.as_deref().map(str::to_owned),
        }
    }
}

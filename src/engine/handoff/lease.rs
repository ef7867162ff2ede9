//! Leases: how long a worker may be silent, and how a task comes back from one that is gone, silent or unwilling.

use crate::wire::Millis;
use crate::wire::name::{Agent, Capability};

use crate::engine::AssignmentKey;
use crate::engine::context::Context;
use crate::engine::member::Departure;
use crate::engine::room::RoomState;
use crate::engine::timer::{Subject, Timer};

use super::task::{Step, why};
use super::{Advance, TaskNo};

impl RoomState {
    /// A task that is given back waits for its backoff, and has used up an attempt: one that everybody gives back must not go
    /// round for ever.
    pub(super) fn release(&mut self, cx: &mut Context, no: TaskNo, who: Option<&Agent>) {
        let released = Advance {
            who,
            ..Advance::new(Step::Release)
        };
        self.advance(cx, no, released);
    }

    /// The worker of a task has left the room or is gone.
    pub(in crate::engine) fn give_back(
        &mut self,
        cx: &mut Context,
        no: TaskNo,
        why_gone: Departure,
    ) {
        match why_gone {
            Departure::Left => self.release(cx, no, None),
            Departure::Ended => self.lose(cx, no, "worker-gone", "its worker is gone"),
        }
    }

    /// An attempt ends without its worker's word.
    fn lose(&mut self, cx: &mut Context, no: TaskNo, code: &str, reason: &str) {
        let lost = Advance {
            reason: Some(reason),
            ..Advance::new(Step::Lose(why(code, reason)))
        };
        self.advance(cx, no, lost);
    }

    pub(in crate::engine) fn give_back_all(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        why_gone: Departure,
    ) {
        let held = self.members.0.get(agent).map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            self.give_back(cx, no, why_gone);
        }
    }

    /// Sends a worker whose subscriptions still stand everything that it has.
    pub(in crate::engine) fn deliver_held(&mut self, cx: &mut Context, agent: &Agent) {
        let held = self.members.0.get(agent).map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            self.deliver_again(cx, no, agent);
        }
    }

    /// Sends a worker what it has once more. If it takes no message of that size any more, it keeps only what it is at.
    fn deliver_again(&mut self, cx: &mut Context, no: TaskNo, agent: &Agent) {
        let task = self.handoff.tasks.get(&no);
        let is_running = task.is_some_and(|task| task.status.is_running());
        if !is_running && self.is_too_large(no, agent) {
            self.lose_too_large(cx, no);
            return;
        }
        self.renew_lease(cx, no);
        self.deliver(cx, no);
    }

    fn lose_too_large(&mut self, cx: &mut Context, no: TaskNo) {
        let reason = "its assignment is larger than its worker takes now";
        self.lose(cx, no, "too-large", reason);
    }

    /// An assignment could not be sent, because it is larger than its worker takes now. A worker that is at it has seen it before.
    pub(in crate::engine) fn take_back_if_unseen(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        key: &AssignmentKey,
    ) {
        let Some(no) = self.handoff.numbers.get(&key.task).copied() else {
            return;
        };
        let is_unseen = self.handoff.tasks.get(&no).is_some_and(|task| {
            let is_theirs = task.status.worker() == Some(agent);
            is_theirs && task.status.attempt == key.attempt && !task.status.is_running()
        });
        if is_unseen {
            self.lose_too_large(cx, no);
        }
    }

    /// Sends a worker that has subscribed anew what it has of this capability.
    pub(in crate::engine) fn deliver_owed(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        offered: &Capability,
    ) {
        let Some(member) = self.members.0.get_mut(agent) else {
            return;
        };
        let tasks = &self.handoff.tasks;
        let owed = member.owed.iter().copied().filter(|no| {
            tasks
                .get(no)
                .is_some_and(|task| task.body.asks_for(offered))
        });
        let owed: Vec<TaskNo> = owed.collect();
        for no in owed {
            if let Some(member) = self.members.0.get_mut(agent) {
                member.owed.remove(&no);
            }
            self.deliver_again(cx, no, agent);
        }
    }

    /// Starts a task's lease anew.
    pub(super) fn renew_lease(&mut self, cx: &mut Context, no: TaskNo) {
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
    pub(in crate::engine) fn keep_leases(&mut self, cx: &mut Context, agent: &Agent, ms: u64) {
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
    pub(in crate::engine) fn restart_leases(&mut self, cx: &mut Context, agent: &Agent) {
        let held = self.members.0.get(agent).map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            self.renew_lease(cx, no);
        }
        self.keep_leases(cx, agent, cx.settings.reconnect_grace_ms);
    }

    pub(in crate::engine) fn lease_over(&mut self, cx: &mut Context, no: TaskNo) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        let worker = task.status.holder();
        if let Some(member) = worker.and_then(|worker| self.members.0.get_mut(worker)) {
            member.lapsed = true;
        }
        let reason = format!("its worker was silent for {} ms", task.body.lease_ms);
        self.lose(cx, no, "lease-over", &reason);
    }
}

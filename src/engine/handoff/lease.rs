//! Leases: how long a worker may be silent, and how a task comes back from one that is gone, silent
//! or unwilling.

use crate::wire::Millis;
use crate::wire::name::{Agent, Capability};

use super::records::TaskChange;
use crate::engine::ids::AssignmentKey;
use crate::engine::member::Departure;
use crate::engine::recorded::Recorded;
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Advance;
use super::Handoff;
use super::step::Step;
use super::task::{TaskStage, why};
use crate::engine::ids::TaskNo;

impl Handoff {
    /// A task that is given back has used up no attempt. One that everybody gives back must not go
    /// round for ever, though: that has a limit of its own.
    pub(super) fn release(
        &mut self,
        tx: &mut RoomTx<'_>,
        no: TaskNo,
        who: Option<&Agent>,
        reason: Option<&str>,
    ) {
        let Some(task) = self.tasks.get(&no) else {
            return;
        };
        let worker = task.status.holder().or(task.status.asker()).cloned();
        let place = task.queue_key();
        let most = tx.cx.settings.handoff.max_releases;
        let released = Advance {
            who,
            reason,
            ..Advance::new(Step::Release { most })
        };
        self.advance(tx, no, released);
        let task = self.tasks.get(&no);
        let waits = task.is_some_and(|task| matches!(task.status.stage, TaskStage::Waiting { .. }));
        if let (true, Some(place), Some(worker)) = (waits, place, worker) {
            self.scheduler.offer_to_others(place, no, worker);
        }
    }

    /// Its worker has disconnected in good order, and its session ends with that: it will not come
    /// back to what that session was sent. What it has from an earlier one is not meant: it may
    /// have come just to say a word.
    pub(in crate::engine) fn release_all(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        let member = tx.room.members.0.get(agent);
        let taken = member.map(|member| &member.held - &member.owed);
        for no in taken.unwrap_or_default() {
            self.release(tx, no, Some(agent), None);
        }
    }

    /// The worker of a task has left the room or is gone.
    pub(in crate::engine) fn give_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        no: TaskNo,
        why_gone: Departure,
    ) {
        match why_gone {
            Departure::Left => self.release(tx, no, None, None),
            // What it has not been sent is not lost with it.
            Departure::Ended if self.is_unsent(no) => {
                self.release(tx, no, None, Some("its worker is gone"));
            }
            Departure::Ended => self.lose(tx, no, "worker-gone", "its worker is gone"),
        }
    }

    /// Whether its worker was not sent it, or not with the answer that it waited for.
    fn is_unsent(&self, no: TaskNo) -> bool {
        let task = self.tasks.get(&no);
        let unsent = task.is_some_and(|task| task.status.deliveries == 0);
        unsent && self.questions.answered(no) > 0
    }

    /// An attempt ends without its worker's word.
    fn lose(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, code: &str, reason: &str) {
        let lost = Advance {
            reason: Some(reason),
            ..Advance::new(Step::Lose(why(code, reason)))
        };
        self.advance(tx, no, lost);
    }

    pub(in crate::engine) fn give_back_all(
        &mut self,
        tx: &mut RoomTx<'_>,
        agent: &Agent,
        why_gone: Departure,
    ) {
        let held = tx
            .room
            .members
            .0
            .get(agent)
            .map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            self.give_back(tx, no, why_gone);
        }
    }

    /// Sends a worker whose subscriptions still stand everything that it has.
    pub(in crate::engine) fn deliver_held(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        let held = tx
            .room
            .members
            .0
            .get(agent)
            .map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            self.deliver_again(tx, no, agent);
        }
    }

    /// Sends a worker what it has once more, without giving it more time. If it takes no message of
    /// that size any more, it keeps only what it is at.
    fn deliver_again(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, agent: &Agent) {
        let task = self.tasks.get(&no);
        let is_running = task.is_some_and(|task| task.status.is_running());
        if !is_running && self.is_too_large(tx, no, agent) {
            self.lose_too_large(tx, no);
            return;
        }
        let sent_too_often = task.is_some_and(|task| {
            task.status.deliveries >= task.body.max_deliveries(&tx.cx.settings)
        });
        if sent_too_often {
            self.lose_redelivered(tx, no);
            return;
        }
        self.deliver(tx, no);
    }

    fn lose_redelivered(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let reason = "it was sent to its worker again and again without a word of progress";
        self.lose(tx, no, "redelivered", reason);
    }

    /// A task is on its way to its worker. A worker that comes back for it again and again without
    /// a word is of no use to it: its program dies of the task, or hangs while its connection lives
    /// on.
    pub(in crate::engine) fn sent(
        &mut self,
        tx: &mut RoomTx<'_>,
        agent: &Agent,
        key: &AssignmentKey,
    ) {
        let Some(no) = self.numbers.get(&key.task).copied() else {
            return;
        };
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        // One that was sent before an answer is sent again as it was, and says nothing new.
        let is_latest = key.answers == self.questions.answered(no);
        if task.status.holder() != Some(agent) || task.status.attempt != key.attempt || !is_latest {
            return;
        }
        task.status.deliveries += 1;
        let (deliveries, left) = (task.status.deliveries, std::mem::take(&mut task.lease_left));
        if (key.attempt, deliveries) == (1, 1) && !task.status.is_running() {
            tx.cx.stats.task_waits.add(task.ready_at, tx.cx.now);
        }
        let most = task.body.max_deliveries(&tx.cx.settings);
        self.change(tx, TaskChange::State(no));
        if deliveries > most {
            self.lose_redelivered(tx, no);
        } else if left > 0 {
            let until = tx.cx.after(left);
            self.move_lease(tx, no, until);
        }
    }

    fn lose_too_large(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let reason = "its assignment is larger than its worker takes now";
        self.lose(tx, no, "too-large", reason);
    }

    /// An assignment could not be sent, because it is larger than its worker takes now. A worker
    /// that is at it has seen it before.
    pub(in crate::engine) fn take_back_if_unseen(
        &mut self,
        tx: &mut RoomTx<'_>,
        agent: &Agent,
        key: &AssignmentKey,
    ) {
        let Some(no) = self.numbers.get(&key.task).copied() else {
            return;
        };
        let is_unseen = self.tasks.get(&no).is_some_and(|task| {
            let is_theirs = task.status.worker() == Some(agent);
            is_theirs && task.status.attempt == key.attempt && !task.status.is_running()
        });
        if is_unseen {
            self.lose_too_large(tx, no);
        }
    }

    /// Sends a worker that has subscribed anew what it has of this capability.
    pub(in crate::engine) fn deliver_owed(
        &mut self,
        tx: &mut RoomTx<'_>,
        agent: &Agent,
        offered: &Capability,
    ) {
        let Some(member) = tx.room.members.0.get_mut(agent) else {
            return;
        };
        let tasks = &self.tasks;
        let owed = member.owed.iter().copied().filter(|no| {
            tasks
                .get(no)
                .is_some_and(|task| task.body.asks_for(offered))
        });
        let owed: Vec<TaskNo> = owed.collect();
        for no in owed {
            if let Some(member) = tx.room.members.0.get_mut(agent) {
                member.owed.remove(&no);
            }
            self.deliver_again(tx, no, agent);
        }
    }

    /// Starts a task's lease anew.
    pub(super) fn renew_lease(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if let Some(task) = self.tasks.get_mut(&no) {
            task.lease_left = 0;
            let until = tx.cx.after(task.body.lease_ms);
            self.move_lease(tx, no, until);
        }
    }

    /// A whole lease begins once the task is sent to its worker. It is not for ever on its way.
    pub(super) fn await_sending(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if let Some(task) = self.tasks.get_mut(&no) {
            task.lease_left = task.body.lease_ms;
            self.await_worker(tx, no);
        }
    }

    /// A lease that does not run goes on when its worker is sent the task: within the grace, or
    /// what is left of the lease if that is longer.
    fn await_worker(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if let Some(task) = self.tasks.get(&no) {
            let until = tx.cx.after(
                task.lease_left
                    .max(tx.cx.settings.rooms.reconnect_grace.ms()),
            );
            self.move_lease(tx, no, until);
        }
    }

    fn move_lease(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, until: Millis) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        let subject = TimerSubject::Task(tx.room.name.clone(), no);
        if task.lease_until != 0 {
            tx.cx
                .timers
                .disarm(task.lease_until, Timer::Lease, subject.clone());
        }
        task.lease_until = until;
        tx.cx.timers.arm(until, Timer::Lease, subject);
    }

    /// Leases of an agent do not run while its connection is gone, nor on a new one until it is
    /// sent its tasks there.
    pub(in crate::engine) fn pause_leases(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        let held = tx
            .room
            .members
            .0
            .get(agent)
            .map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            if let Some(task) = self.tasks.get_mut(&no)
                && task.lease_left == 0
            {
                task.lease_left = task.lease_until.saturating_sub(tx.cx.now).max(1);
            }
            self.await_worker(tx, no);
        }
    }

    /// After a restart, leases begin anew once their tasks are sent.
    pub(in crate::engine) fn restart_leases(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        let held = tx
            .room
            .members
            .0
            .get(agent)
            .map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            self.await_sending(tx, no);
        }
    }

    /// After a time in which nobody could renew them: those that run begin anew, the others wait
    /// for their worker as before.
    pub(in crate::engine) fn begin_leases_anew(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        let held = tx
            .room
            .members
            .0
            .get(agent)
            .map(|member| member.held.clone());
        for no in held.unwrap_or_default() {
            let task = self.tasks.get(&no);
            match task.is_some_and(|task| task.lease_left == 0) {
                true => self.renew_lease(tx, no),
                false => self.await_worker(tx, no),
            }
        }
    }

    pub(in crate::engine) fn lease_over(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        if task.status.deliveries == 0 {
            // Nobody has seen it: that is no fault of the task's.
            let reason = "it could not be sent to its worker";
            self.release(tx, no, None, Some(reason));
            return;
        }
        let worker = task.status.holder();
        if let Some(member) = worker.and_then(|worker| tx.room.members.0.get_mut(worker)) {
            member.lapsed = true;
        }
        let reason = format!("its worker was silent for {} ms", task.body.lease_ms);
        self.lose(tx, no, "lease-over", &reason);
    }
}

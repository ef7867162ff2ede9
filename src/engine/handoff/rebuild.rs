//! Tasks rebuilt from their records: queues, timers and promises are derived, nothing is decided.

use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Handoff;
use super::group::is_gathered;
use super::task::{Body, TaskEnding, TaskStage, TaskStatus};
use crate::engine::ids::TaskNo;

impl Handoff {
    /// Takes a task in. They come by number, after the members of the room.
    pub(in crate::engine) fn rebuild_task(
        &mut self,
        tx: &mut RoomTx<'_>,
        no: TaskNo,
        mut body: Body,
        status: TaskStatus,
    ) {
        tx.cx.stats.tasks.add(status.state());
        if body.bytes == 0 {
            body.measure(&tx.cx.settings, &tx.room.name);
        }
        if let TaskStage::Ended { how, at, .. } = status.stage {
            if how != TaskEnding::Dead {
                body.payload = None;
            }
            self.insert(no, body, status, None);
            if is_gathered(&self.tasks[&no]) {
                let until = self.tasks[&no].body.kept_until(&tx.cx.settings, at);
                self.ended.insert((until, no));
                self.count_result(tx, no);
            } else {
                self.join_group(tx, no);
            }
            return;
        }
        tx.cx.reserve_result(&body.dispatcher);
        self.payload_bytes += body.payload_bytes();
        if let Some(deadline) = body.deadline {
            let subject = TimerSubject::Task(tx.room.name.clone(), no);
            tx.cx.timers.arm(deadline, Timer::Deadline, subject);
        }
        // The limit held when the task was taken; a smaller one must not lose it now.
        let route = self.scheduler.enter(body.need(), usize::MAX);
        self.insert(no, body, status, route);
        self.rebuild_stage(tx, no);
        self.join_family(no);
        self.join_group(tx, no);
    }

    fn rebuild_stage(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let Some(task) = self.tasks.get(&no) else {
            return;
        };
        let subject = TimerSubject::Task(tx.room.name.clone(), no);
        match &task.status.stage {
            TaskStage::Waiting { until, unmet } => {
                tx.cx.timers.arm(*until, Timer::Due, subject);
                let given_back_by = task.status.history.given_back_by();
                let waits_for_more = !unmet.is_empty() || task.status.awaits.is_some();
                let given_back_by = given_back_by.filter(|_| !waits_for_more).cloned();
                if let (Some(place), Some(worker)) = (task.queue_key(), given_back_by) {
                    let scheduler = &mut self.scheduler;
                    scheduler.offer_to_others(place, no, worker);
                }
                let unmet = unmet.clone();
                self.await_dependencies(tx, no, &unmet);
            }
            TaskStage::Queued => {
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
            TaskStage::Held { worker, .. } => match tx.room.members.0.get_mut(worker) {
                Some(member) => {
                    member.held.insert(no);
                }
                None => tx.cx.timers.arm(tx.cx.now, Timer::Lease, subject),
            },
            TaskStage::Asking { until, .. } => tx.cx.timers.arm(*until, Timer::Answer, subject),
            TaskStage::Ended { .. } => {}
        }
    }
}

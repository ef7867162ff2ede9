//! Tasks rebuilt from their records: queues, timers and promises are derived, nothing is decided.

use crate::engine::context::Context;
use crate::engine::room::RoomState;
use crate::engine::timer::{Subject, Timer};

use super::task::{Body, Ending, Stage, Status, TaskNo};

impl RoomState {
    /// Takes a task in. They come by number, after the members of the room.
    pub(in crate::engine) fn rebuild_task(
        &mut self,
        cx: &mut Context,
        no: TaskNo,
        mut body: Body,
        status: Status,
    ) {
        cx.stats.tasks.add(status.state());
        if body.bytes == 0 {
            body.measure(&cx.settings, &self.name);
        }
        if let Stage::Ended { how, at, .. } = status.stage {
            if how != Ending::Dead {
                body.payload = None;
            }
            self.handoff.insert(no, body, status, None);
            if self.handoff.tasks[&no].is_gathered() {
                let until = self.handoff.tasks[&no].body.kept_until(&cx.settings, at);
                self.handoff.ended.insert((until, no));
                self.count_result(cx, no);
            } else {
                self.join_group(cx, no);
            }
            return;
        }
        cx.promise(&body.dispatcher);
        self.handoff.payload_bytes += body.payload_bytes();
        if let Some(deadline) = body.deadline {
            let subject = Subject::Task(self.name.clone(), no);
            cx.timers.arm(deadline, Timer::Deadline, subject);
        }
        // The limit held when the task was taken; a smaller one must not lose it now.
        let route = self.handoff.scheduler.enter(body.need(), usize::MAX);
        self.handoff.insert(no, body, status, route);
        self.rebuild_stage(cx, no);
        self.join_family(no);
        self.join_group(cx, no);
    }

    fn rebuild_stage(&mut self, cx: &mut Context, no: TaskNo) {
        let Some(task) = self.handoff.tasks.get(&no) else {
            return;
        };
        let subject = Subject::Task(self.name.clone(), no);
        match &task.status.stage {
            Stage::Waiting { until, unmet } => {
                cx.timers.arm(*until, Timer::Due, subject);
                let given_back_by = task.status.history.given_back_by();
                let given_back_by = given_back_by.filter(|_| unmet.is_empty()).cloned();
                if let (Some(place), Some(worker)) = (task.queue_key(), given_back_by) {
                    let scheduler = &mut self.handoff.scheduler;
                    scheduler.offer_to_others(place, no, worker);
                }
                let unmet = unmet.clone();
                self.await_dependencies(cx, no, &unmet);
            }
            Stage::Queued => {
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
            Stage::Held { worker, .. } => match self.members.0.get_mut(worker) {
                Some(member) => {
                    member.held.insert(no);
                }
                None => cx.timers.arm(cx.now, Timer::Lease, subject),
            },
            Stage::Ended { .. } => {}
        }
    }
}

//! Results that are kept: what a task came to can be asked for as long as the task is remembered, and as far as there is room.
//!
//! Until a group is gathered `group` keeps those of its tasks; a room has bytes of its own for all others, and the oldest go first.

use crate::wire::json::Json;

use crate::engine::context::Context;
use crate::engine::keep::MOST_AT_ONCE;
use crate::engine::record::Change;
use crate::engine::room::RoomState;

use super::task::{Stage, Task, TaskNo};

impl Task {
    /// What it came to, as far as that is kept.
    pub(super) fn kept_result(&self) -> Option<&Json> {
        let has_ended = matches!(self.status.stage, Stage::Ended { .. });
        self.status.kept.as_ref().filter(|_| has_ended)
    }

    /// Whether it came to something that is not kept.
    pub(super) fn lost_result(&self) -> bool {
        let has_ended = matches!(self.status.stage, Stage::Ended { .. });
        has_ended && self.status.omitted && self.status.kept.is_none()
    }
}

impl RoomState {
    /// A task has ended with this.
    pub(super) fn keep_result(&mut self, cx: &mut Context, no: TaskNo, result: Option<Json>) {
        let Some(task) = self.handoff.tasks.get_mut(&no) else {
            return;
        };
        if !task.is_gathered() {
            self.ended_in_group(cx, no, result);
            return;
        }
        task.status.kept = result;
        self.count_result(cx, no);
    }

    /// From now on its result counts among those of the room.
    pub(super) fn count_result(&mut self, cx: &mut Context, no: TaskNo) {
        let Some(task) = self.handoff.tasks.get(&no) else {
            return;
        };
        let Stage::Ended { at, .. } = task.status.stage else {
            return;
        };
        let until = task.body.kept_until(&cx.settings, at);
        let bytes = task.kept_result().map_or(0, |json| json.text().len());
        self.handoff.results.add((until, no), bytes);
        let limit = cx.settings.max_result_bytes_per_room;
        for _ in 0..MOST_AT_ONCE {
            let Some((_, oldest)) = self.handoff.results.pop_over(limit) else {
                break;
            };
            cx.stats.forgotten_early += 1;
            if let Some(task) = self.handoff.tasks.get_mut(&oldest) {
                task.status.kept = None;
                task.status.omitted = true;
            }
            self.change(cx, Change::State(oldest));
        }
    }

    /// Tasks that have ended are remembered for another time than when they did.
    pub(in crate::engine) fn reset_retention(&mut self, cx: &Context) {
        for (before, no) in std::mem::take(&mut self.handoff.ended) {
            let Some(task) = self.handoff.tasks.get(&no) else {
                continue;
            };
            if let Stage::Ended { at, .. } = task.status.stage {
                let until = task.body.kept_until(&cx.settings, at);
                self.handoff.ended.insert((until, no));
                self.handoff.results.rename(&(before, no), (until, no));
            }
        }
    }

    /// A task lives again: what it came to does not count any more.
    pub(super) fn drop_result(&mut self, no: TaskNo) {
        if let Some(task) = self.handoff.tasks.get_mut(&no) {
            task.status.kept = None;
            task.status.omitted = false;
        }
    }
}

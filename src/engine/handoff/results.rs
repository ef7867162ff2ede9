//! Results that are kept: what a task came to can be asked for as long as the task is remembered,
//! and as far as there is room.
//!
//! Until a group is gathered `group` keeps those of its tasks; a room has bytes of its own for all
//! others, and the oldest go first.

use crate::wire::json::Json;

use super::records::TaskChange;
use crate::engine::kept_bytes::MOST_AT_ONCE;
use crate::engine::recorded::Recorded;
use crate::engine::tx::RoomTx;

use super::Handoff;
use super::group::is_gathered;
use super::task::{Task, TaskStage};
use crate::engine::ids::TaskNo;

impl Task {
    /// What it came to, as far as that is kept.
    pub(super) fn kept_result(&self) -> Option<&Json> {
        let has_ended = matches!(self.status.stage, TaskStage::Ended { .. });
        self.status.kept.as_ref().filter(|_| has_ended)
    }

    /// Whether it came to something that is not kept.
    pub(super) fn lost_result(&self) -> bool {
        let has_ended = matches!(self.status.stage, TaskStage::Ended { .. });
        has_ended && self.status.omitted && self.status.kept.is_none()
    }
}

impl Handoff {
    /// A task has ended with this.
    pub(super) fn keep_result(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, result: Option<Json>) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        if !is_gathered(task) {
            self.ended_in_group(tx, no, result);
            return;
        }
        task.status.kept = result;
        self.count_result(tx, no);
    }

    /// From now on its result counts among those of the room.
    pub(super) fn count_result(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let Some(task) = self.tasks.get(&no) else {
            return;
        };
        let TaskStage::Ended { at, .. } = task.status.stage else {
            return;
        };
        let until = task.body.kept_until(&tx.cx.settings, at);
        let bytes = task.kept_result().map_or(0, |json| json.text().len());
        self.results.add((until, no), bytes);
        let limit = tx.cx.settings.handoff.max_result_bytes_per_room.0;
        for _ in 0..MOST_AT_ONCE {
            let Some((_, oldest)) = self.results.pop_over(limit) else {
                break;
            };
            tx.cx.stats.forgotten_early += 1;
            if let Some(task) = self.tasks.get_mut(&oldest) {
                task.status.kept = None;
                task.status.omitted = true;
            }
            self.change(tx, TaskChange::State(oldest));
        }
    }

    /// Tasks that have ended are remembered for another time than when they did.
    pub(in crate::engine) fn reset_retention(&mut self, tx: &RoomTx<'_>) {
        for (before, no) in std::mem::take(&mut self.ended) {
            let Some(task) = self.tasks.get(&no) else {
                continue;
            };
            if let TaskStage::Ended { at, .. } = task.status.stage {
                let until = task.body.kept_until(&tx.cx.settings, at);
                self.ended.insert((until, no));
                self.results.rename(&(before, no), (until, no));
            }
        }
    }

    /// A task lives again: what it came to does not count any more.
    pub(super) fn drop_result(&mut self, no: TaskNo) {
        if let Some(task) = self.tasks.get_mut(&no) {
            task.status.kept = None;
            task.status.omitted = false;
        }
    }
}

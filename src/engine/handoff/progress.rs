//! Progress: what a worker said last of how far it is, so that the next attempt can go on from
//! there.
//!
//! It stands in a record of its own, because it may be large and a task's state is written at every
//! step.

use std::collections::BTreeMap;

use crate::wire::json::Json;

use super::records::TaskChange;
use crate::engine::recorded::Recorded;
use crate::engine::tx::RoomTx;

use super::Handoff;
use crate::engine::ids::TaskNo;

/// The last progress of tasks that have not ended well.
#[derive(Debug, Default)]
pub(in crate::engine) struct ProgressReports {
    of: BTreeMap<TaskNo, Json>,
    bytes: usize,
}

impl ProgressReports {
    pub(in crate::engine) fn get(&self, no: TaskNo) -> Option<&Json> {
        self.of.get(&no)
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &TaskNo> {
        self.of.keys()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn put(&mut self, no: TaskNo, said: Json) {
        self.bytes += said.text().len();
        if let Some(before) = self.of.insert(no, said) {
            self.bytes -= before.text().len();
        }
    }

    fn take(&mut self, no: TaskNo) -> bool {
        let taken = self.of.remove(&no);
        self.bytes -= taken.as_ref().map_or(0, |said| said.text().len());
        taken.is_some()
    }
}

impl Handoff {
    /// Recovery, after the tasks.
    pub(in crate::engine) fn rebuild_progress(&mut self, no: TaskNo, said: Json) {
        if self.tasks.contains_key(&no) {
            self.progress.put(no, said);
        }
    }
}

impl Handoff {
    /// Keeps what a worker said for whoever has the task next, if there is room for it in the room.
    pub(super) fn keep_progress(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, said: Option<Json>) {
        let Some(said) = said else {
            return;
        };
        let before = self.progress.get(no).map_or(0, |said| said.text().len());
        let others = self.kept_bytes() - before;
        if others + said.text().len() > tx.cx.settings.handoff.max_task_bytes_per_room.0 {
            tx.cx.stats.forgotten_early += 1;
            return;
        }
        self.progress.put(no, said);
        self.change(tx, TaskChange::Progress(no));
    }

    pub(super) fn forget_progress(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if self.progress.take(no) {
            self.change(tx, TaskChange::Progress(no));
        }
    }
}

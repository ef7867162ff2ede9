//! Affinity: the same value prefers the worker that had it last.
//!
//! A preference only: it chooses among workers that are free, and a restart forgets it.

use std::collections::{BTreeMap, VecDeque};

use crate::wire::name::Agent;

use super::Handoff;
use crate::engine::ids::TaskNo;
use crate::engine::tx::RoomTx;

/// The last worker of each value.
#[derive(Debug, Default)]
pub(super) struct Affinities {
    workers: BTreeMap<Box<str>, Agent>,
    /// Values, oldest first.
    order: VecDeque<Box<str>>,
}

impl Affinities {
    fn remember(&mut self, value: &str, worker: &Agent, limit: usize) {
        if let Some(known) = self.workers.get_mut(value) {
            known.clone_from(worker);
            return;
        }
        if self.order.len() >= limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.workers.remove(&oldest);
        }
        self.order.push_back(value.into());
        self.workers.insert(value.into(), worker.clone());
    }
}

impl Handoff {
    pub(super) fn remember_affinity(&mut self, tx: &RoomTx<'_>, no: TaskNo, worker: &Agent) {
        let task = self.tasks.get(&no);
        if let Some(value) = task.and_then(|task| task.body.affinity.as_deref()) {
            let limit = tx.cx.settings.handoff.max_affinities_per_room;
            self.affinities.remember(value, worker, limit);
        }
    }

    /// The worker that had the last task of the same value, if it is free for this one.
    pub(super) fn preferred(&self, no: TaskNo) -> Option<Agent> {
        let task = self.tasks.get(&no)?;
        let value = task.body.affinity.as_deref()?;
        let worker = self.affinities.workers.get(value)?;
        let is_free = self.scheduler.is_free(task.queue_key()?, worker);
        is_free.then(|| worker.clone())
    }
}

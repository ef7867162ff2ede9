//! The blackboard as one of a room's patterns.

use crate::wire::name::Agent;
use crate::wire::topic::Topic;

use crate::engine::pattern::{AgentChange, Pattern};
use crate::engine::record::RoomCounters;
use crate::engine::replies::{Call, Outcome, no_command};
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Blackboard;

impl Pattern for Blackboard {
    fn command(&mut self, tx: &mut RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        match &call.command.topic.topic {
            Topic::BlackboardSet { key, .. } => self.set(tx, call, key),
            Topic::BlackboardDelete { key, .. } => self.delete(tx, call, key),
            Topic::BlackboardTxn { .. } => self.transact(tx, call),
            Topic::BlackboardGet { .. } => self.snapshot(tx, call),
            Topic::BlackboardList { .. } => self.list_keys(tx, call),
            Topic::BlackboardHistory { .. } => self.history(tx, call),
            Topic::BlackboardLock { name, .. } => self.lock(tx, call, name),
            Topic::BlackboardUnlock { name, .. } => self.unlock(tx, call, name),
            _ => Err(no_command()),
        }
    }

    fn timer(&mut self, tx: &mut RoomTx<'_>, timer: Timer, subject: &TimerSubject) {
        match (timer, subject) {
            (Timer::KeyExpiry, TimerSubject::Key(_, key)) => self.key_expired(tx, key),
            (Timer::LockLease, TimerSubject::Lock(_, name)) => self.lock_expired(tx, name),
            (Timer::LockWait, TimerSubject::Waiter(_, name, who)) => self.wait_over(tx, name, who),
            _ => {}
        }
    }

    fn agent_changed(&mut self, tx: &mut RoomTx<'_>, agent: &Agent, change: AgentChange<'_>) {
        if let AgentChange::GivesUp(_) = change {
            self.release_locks(tx, agent);
        }
    }

    /// Deleted keys keep their versions one by one as long as somebody may think of them.
    fn has_remains(&self) -> bool {
        !self.tombstones.is_empty()
    }

    fn forget_remains(&mut self, tx: &mut RoomTx<'_>) -> bool {
        self.merge_oldest_tombstone(tx)
    }

    fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.locks.is_empty()
    }

    fn end_some(&mut self, tx: &mut RoomTx<'_>, left: &mut usize, words: &'static str) -> bool {
        while *left > 0 && (self.end_first_lock(tx, words) || self.delete_first_key(tx)) {
            *left -= 1;
        }
        *left > 0
    }

    fn note_head(&self, head: &mut RoomCounters) {
        head.revision = self.revision;
        head.version_floor = self.version_floor;
        head.history_floor = Some(self.history.floor);
        head.last_token = self.locks.last_token;
    }

    fn go_on(&mut self, head: &RoomCounters) {
        self.revision = head.revision;
        self.version_floor = head.version_floor;
        self.history.floor = head.history_floor();
        self.locks.last_token = head.last_token;
    }
}

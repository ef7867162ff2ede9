//! What the desk knows of the clocks: where the wall clock is, for the engine to show, and the mark for the next start.
//!
//! Time itself is an argument of everything that the desk does; here is only what must be noticed and written down about it.

use tracing::warn;

use super::core::Desk;
use crate::clock::{LEAST_STEP_MS, Mark, Reading};
use crate::engine::Input;
use crate::ledger::{Space, Store, StoreError};
use crate::wire::Millis;

/// The mark's key among the facts about the ledger.
const KEY: &[u8] = b"clock";

/// An idle gateway marks the time so often: what a start cannot know otherwise after a power cut on a machine whose wall clock stands.
const IDLE_MARK_MS: u64 = 300_000;

/// What is shown follows the wall clock in steps of this size: the clocks are not read at the same moment.
const JITTER_MS: u64 = 50;

/// The clocks as the desk saw them last; nothing before [`Desk::keep_time`].
#[derive(Debug, Default)]
pub(super) struct Time {
    reading: Option<Reading>,
    marked_at: Millis,
}

/// The mark that the last run left.
///
/// # Errors
/// If the store cannot be read.
pub fn last_mark(store: &dyn Store) -> Result<Option<Mark>, StoreError> {
    let value = store.get(Space::Meta, KEY)?;
    // One that cannot be read is as good as none: the wall clock counts, and what is known to have happened.
    Ok(value.and_then(|value| serde_cbor::from_slice(&value).ok()))
}

impl Desk {
    /// From now on the desk knows where the wall clock is, and says so in each commit. Before [`Desk::recover`].
    pub fn keep_time(&mut self, reading: Reading) {
        self.engine.set_wall(reading.ahead);
        self.time.reading = Some(reading);
    }

    /// The wall clock is so far ahead of the timeline now, in milliseconds.
    pub fn look_at_wall(&mut self, now: Millis, ahead: i64) {
        let Some(reading) = &mut self.time.reading else {
            return;
        };
        let by = ahead.saturating_sub(reading.ahead);
        if by.unsigned_abs() < JITTER_MS {
            return;
        }
        reading.ahead = ahead;
        if by.unsigned_abs() < LEAST_STEP_MS {
            self.engine.set_wall(ahead);
        } else {
            self.tell_step(now, by, ahead);
        }
    }

    /// The wall clock has been set by so much since the last run, without a reason that anybody knows.
    pub fn step_found(&mut self, now: Millis, by: i64) {
        if let Some(reading) = &self.time.reading
            && by.unsigned_abs() >= LEAST_STEP_MS
        {
            self.tell_step(now, by, reading.ahead);
        }
    }

    fn tell_step(&mut self, now: Millis, by: i64, ahead: i64) {
        let (direction, count) = match by {
            ..0 => ("back", &self.stats.clock_steps_back),
            _ => ("forward", &self.stats.clock_steps_forward),
        };
        count.add_one();
        warn!(
            by_ms = by,
            "the wall clock was set {direction} by {}.{:03} s: what is shown follows it, what lasts does not",
            by.unsigned_abs() / 1_000,
            by.unsigned_abs() % 1_000
        );
        self.feed(now, Input::ClockStepped { by, ahead });
    }

    /// The latest point of the timeline that is known of.
    pub fn latest(&self) -> Millis {
        self.engine.latest()
    }

    /// Writes down where the timeline is.
    pub(super) fn mark_time(&mut self, now: Millis) {
        if let Some(reading) = &self.time.reading {
            self.time.marked_at = now;
            let mark = Mark {
                at: now,
                reading: reading.clone(),
            };
            let value = serde_cbor::to_vec(&mark).expect("a mark is a map of numbers and texts");
            self.pending.records.put(Space::Meta, KEY, value);
        }
    }

    /// The same, where nothing else may follow.
    pub fn leave_mark(&mut self, now: Millis) {
        if self.time.reading.is_some() {
            self.mark_time(now);
            self.note_lazy_change(now);
        }
    }

    /// When the time is to be marked although nothing happens.
    pub(super) fn next_mark(&self) -> Option<Millis> {
        self.time.reading.as_ref()?;
        Some(self.time.marked_at.saturating_add(IDLE_MARK_MS))
    }
}

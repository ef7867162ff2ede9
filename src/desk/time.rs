//! What the desk knows of the clocks, and the mark that it leaves for the next start.
//!
//! Time itself is an argument of everything that the desk does; here is only what must be written
//! down about it.

use crate::clock::{LEAST_STEP_MS, Mark, Reading};
use crate::ledger::{Batch, Space, Store, StoreError};
use crate::wire::Millis;

/// The mark's key among the facts about the ledger.
const KEY: &[u8] = b"clock";

/// An idle gateway marks the time so often: what a start cannot know otherwise after a power cut on
/// a machine whose wall clock stands.
const IDLE_MARK_MS: u64 = 300_000;

/// What is shown follows the wall clock in steps of this size: the clocks are not read at the same
/// moment.
const JITTER_MS: u64 = 50;

/// The clocks as the desk saw them last; nothing before [`super::Desk::keep_time`].
#[derive(Debug, Default)]
pub(super) struct Time {
    reading: Option<Reading>,
    marked_at: Millis,
}

/// How the wall clock has moved against the timeline, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// As a clock does that is not perfect.
    Drifted,
    /// Somebody has set it, by so much.
    Set(i64),
}

impl Moved {
    fn of(by: i64) -> Moved {
        match by.unsigned_abs() < LEAST_STEP_MS {
            true => Moved::Drifted,
            false => Moved::Set(by),
        }
    }
}

impl Time {
    /// The clocks as they are before the first input.
    pub(super) fn begin(&mut self, reading: Reading) {
        self.reading = Some(reading);
    }

    /// Whether the clocks are known.
    pub(super) fn is_kept(&self) -> bool {
        self.reading.is_some()
    }

    /// The wall clock is so far ahead of the timeline now, in milliseconds: how it has moved, if it
    /// has.
    pub(super) fn look(&mut self, ahead: i64) -> Option<Moved> {
        let reading = self.reading.as_mut()?;
        let by = ahead.saturating_sub(reading.ahead);
        if by.unsigned_abs() < JITTER_MS {
            return None;
        }
        reading.ahead = ahead;
        Some(Moved::of(by))
    }

    /// The wall clock has been set by so much since the last run: where it is, if that is worth a
    /// word.
    pub(super) fn step_found(&self, by: i64) -> Option<i64> {
        let reading = self.reading.as_ref()?;
        (Moved::of(by) == Moved::Set(by)).then_some(reading.ahead)
    }

    /// Writes down where the timeline is, if that is known.
    pub(super) fn mark(&mut self, now: Millis, records: &mut Batch) {
        if let Some(reading) = &self.reading {
            self.marked_at = now;
            let mark = Mark {
                at: now,
                reading: reading.clone(),
            };
            let value = serde_cbor::to_vec(&mark).expect("a mark is a map of numbers and texts");
            records.put(Space::Meta, KEY, value);
        }
    }

    /// When the time is to be marked although nothing happens.
    pub(super) fn next_mark(&self) -> Option<Millis> {
        self.reading.as_ref()?;
        Some(self.marked_at.saturating_add(IDLE_MARK_MS))
    }
}

/// The mark that the last run left.
///
/// # Errors
/// If the store cannot be read.
pub fn last_mark(store: &dyn Store) -> Result<Option<Mark>, StoreError> {
    let value = store.get(Space::Meta, KEY)?;
    // One that cannot be read is as good as none: the wall clock counts, and what is known to have
    // happened.
    Ok(value.and_then(|value| serde_cbor::from_slice(&value).ok()))
}

//! What the desk knows of the clocks, and the mark that it leaves for the next start.
//!
//! Time itself is an argument of everything that the desk does; here is only what must be written down about it.

use crate::clock::{Mark, Reading};
use crate::ledger::{Batch, Space, Store, StoreError};
use crate::wire::Millis;

/// The mark's key among the facts about the ledger.
const KEY: &[u8] = b"clock";

/// An idle gateway marks the time so often: what a start cannot know otherwise after a power cut on a machine whose wall clock stands.
const IDLE_MARK_MS: u64 = 300_000;

/// The clocks as the desk saw them last; nothing before [`super::Desk::keep_time`].
#[derive(Debug, Default)]
pub(super) struct Time {
    pub reading: Option<Reading>,
    marked_at: Millis,
}

impl Time {
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
    // One that cannot be read is as good as none: the wall clock counts, and what is known to have happened.
    Ok(value.and_then(|value| serde_cbor::from_slice(&value).ok()))
}

//! Consistent views of a store that somebody else owns: for backups.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::store::{Store, StoreError, StoreReader};
use super::LogStats;
use super::flusher::Flusher;

type Take = dyn Fn() -> Result<Box<dyn StoreReader>, StoreError> + Send + Sync;

/// Takes views of a [`super::LoggedStore`] for as long as that lives; does not keep it open.
#[derive(Clone)]
pub struct Snapshots {
    take: Arc<Take>,
    stats: Arc<LogStats>,
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots").finish_non_exhaustive()
    }
}

impl Snapshots {
    pub(super) fn new<S: Store + 'static>(flusher: &Flusher<S>) -> Snapshots {
        let shared = flusher.shared();
        let closed = || StoreError::Other {
            path: PathBuf::from("the ledger"),
            reason: "it is closed".into(),
        };
        Snapshots {
            take: Arc::new(move || shared.upgrade().ok_or_else(closed)?.view()),
            stats: flusher.stats(),
        }
    }

    /// A view of all that is committed now, and of nothing that comes later. The database's own log
    /// grows for as long as it is held.
    ///
    /// # Errors
    /// Whatever opening it meets; that the store is closed.
    pub fn take(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        (self.take)()
    }

    /// About how many bytes there are to read.
    pub fn bytes(&self) -> u64 {
        let stats = &self.stats;
        stats
            .database_bytes
            .value()
            .saturating_sub(stats.free_bytes.value())
    }
}

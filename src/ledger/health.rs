//! How the committer is doing: counters for metrics and a state that the runtime can wait on.
//!
//! It owns numbers and words only. The committer writes them; metrics, readiness and the runtime
//! read them.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::metrics::{Count, Latency, MetricSet, Scrape, Seconds, metrics};

/// Whether batches become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitState {
    /// They do.
    Ok,
    /// The store refuses for now; the batch is kept, tried again, and nothing is released
    /// meanwhile.
    Stalled {
        /// When the first attempt failed.
        since: Instant,
        /// The store's words at the last attempt.
        error: String,
    },
    /// The store is beyond help. Nothing will be released any more: the process should end.
    Failed {
        /// The store's words.
        error: String,
    },
}

metrics! {
    /// What commits come to.
    #[derive(Debug, Default)]
    pub struct CommitStats {
        /// Batches made durable.
        counter commits: Count = "ledger_commits",
        /// Rows written or deleted.
        counter rows: Count = "ledger_rows",
        /// Bytes of keys and values committed.
        counter bytes: Count = "ledger_bytes",
        /// From handing a batch to the ledger until it is on disk: what waits there for the commit
        /// before it included.
        histogram latency: Latency = "ledger_commit_seconds",
        /// Time spent in commits.
        counter sync: Seconds = "ledger_sync_seconds",
        /// Time of the last commit.
        gauge last_sync: Seconds = "ledger_last_sync_seconds",
        /// Times that the disk began to refuse.
        counter stalls: Count = "ledger_stalls",
    }
}

/// Shared by the committer and everybody who watches it.
#[derive(Debug)]
pub struct CommitHealth {
    stats: CommitStats,
    state: watch::Sender<CommitState>,
}

impl MetricSet for CommitHealth {
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let is_ok = matches!(self.state(), CommitState::Ok);
        let help = "1 while commits reach the disk.";
        scrape.gauge("ledger_ok", help, &u64::from(is_ok))?;
        self.stats.encode(scrape)
    }
}

impl CommitHealth {
    pub(super) fn new() -> Self {
        Self {
            stats: CommitStats::default(),
            state: watch::Sender::new(CommitState::Ok),
        }
    }

    /// What commits came to so far; empty batches cost none and do not count.
    pub fn stats(&self) -> &CommitStats {
        &self.stats
    }

    /// The state now.
    pub fn state(&self) -> CommitState {
        self.state.borrow().clone()
    }

    /// Follows the state; the receiver sees the latest one, not each one.
    pub fn watch(&self) -> watch::Receiver<CommitState> {
        self.state.subscribe()
    }

    /// Waits until the committer has failed for good and returns the store's words. Cancel-safe.
    pub async fn failed(&self) -> String {
        let mut state = self.watch();
        loop {
            if let CommitState::Failed { error } = &*state.borrow_and_update() {
                return error.clone();
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// So many rows and bytes, which took so long, and so long since they were handed over.
    pub(super) fn committed(&self, rows: usize, bytes: usize, took: Duration, since: Duration) {
        let stats = &self.stats;
        stats.latency.add(since, 1);
        stats.commits.add_one();
        stats.rows.add(rows as u64);
        stats.bytes.add(bytes as u64);
        stats.sync.add(took);
        stats.last_sync.set(took);
    }

    /// True if this is the first failure of a new stall.
    pub(super) fn stalled(&self, error: String) -> bool {
        let mut begins = false;
        self.state.send_modify(|state| {
            let since = match state {
                CommitState::Stalled { since, .. } => *since,
                _ => {
                    begins = true;
                    Instant::now()
                }
            };
            *state = CommitState::Stalled { since, error };
        });
        if begins {
            self.stats.stalls.add_one();
        }
        begins
    }

    /// How long the stall took, if there was one.
    pub(super) fn recovered(&self) -> Option<Duration> {
        let mut took = None;
        self.state.send_if_modified(|state| {
            let CommitState::Stalled { since, .. } = state else {
                return false;
            };
            took = Some(since.elapsed());
            *state = CommitState::Ok;
            true
        });
        took
    }

    /// The first failure is the one that is kept.
    pub(super) fn fail(&self, error: String) {
        self.state.send_if_modified(|state| {
            let first = !matches!(state, CommitState::Failed { .. });
            if first {
                *state = CommitState::Failed { error };
            }
            first
        });
    }
}

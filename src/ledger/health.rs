//! How the committer is doing: counters for metrics and a state that the runtime can wait on.
//!
//! It owns numbers and words only. The committer writes them; metrics, readiness and the runtime read them.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::count::{Count, Latency, MOMENTS};

/// Whether batches become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitState {
    /// They do.
    Ok,
    /// The store refuses for now; the batch is kept, tried again, and nothing is released meanwhile.
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

/// Shared by the committer and everybody who watches it. Counters only grow.
#[derive(Debug)]
pub struct CommitHealth {
    commits: Count,
    rows: Count,
    bytes: Count,
    sync_micros: Count,
    last_sync_micros: Count,
    /// From handing a batch over until it is on disk.
    pub latency: Latency,
    stalls: Count,
    state: watch::Sender<CommitState>,
}

impl CommitHealth {
    pub(super) fn new() -> Self {
        Self {
            commits: Count::default(),
            rows: Count::default(),
            bytes: Count::default(),
            sync_micros: Count::default(),
            last_sync_micros: Count::default(),
            latency: Latency::new(MOMENTS),
            stalls: Count::default(),
            state: watch::Sender::new(CommitState::Ok),
        }
    }

    /// Batches made durable; empty ones cost no commit and do not count.
    pub fn commits(&self) -> u64 {
        self.commits.value()
    }

    /// Rows written or deleted.
    pub fn rows(&self) -> u64 {
        self.rows.value()
    }

    /// Bytes of keys and values committed.
    pub fn bytes(&self) -> u64 {
        self.bytes.value()
    }

    /// Time spent in successful commits, sync included, to the microsecond.
    pub fn sync_time(&self) -> Duration {
        Duration::from_micros(self.sync_micros.value())
    }

    /// Time of the last successful commit.
    pub fn last_sync_time(&self) -> Duration {
        Duration::from_micros(self.last_sync_micros.value())
    }

    /// How often the store began to refuse.
    pub fn stalls(&self) -> u64 {
        self.stalls.value()
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
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency.add(since, 1);
        self.commits.add(1);
        self.rows.add(rows as u64);
        self.bytes.add(bytes as u64);
        self.sync_micros.add(micros);
        self.last_sync_micros.set(micros);
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
            self.stalls.add(1);
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

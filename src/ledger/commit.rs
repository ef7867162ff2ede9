//! The committer: one thread that makes batches durable and only then lets their consequences out.
//!
//! It owns the store, the one waiting batch and the order of release. It never looks into a batch
//! and never drops one: a store that refuses for now stalls it, a store that is broken stops it for
//! good. The desk submits; the runtime watches [`CommitHealth`] and closes it.
//!
//! **The invariant: `release` runs after the batch is on disk, in the order of submission, or
//! never.**
//!
//! While one batch is being synced the next may wait here and the one after it fills at the desk:
//! throughput does not wait for the disk and latency is one sync.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::health::CommitHealth;
use super::store::{Batch, Store, StoreError};

/// One unit of durability: a batch of changes and what may happen once they are on disk.
#[derive(Debug)]
pub struct SealedBatch<R> {
    /// The changes; an empty batch costs no commit but keeps its place in the order.
    pub batch: Batch,
    /// Handed to the `release` callback when the batch is durable.
    pub release: R,
}

/// How the committer behaves when the store refuses for now.
#[derive(Debug, Clone)]
pub struct CommitOptions {
    /// Pause before the second attempt; doubles with every attempt.
    pub retry_initial: Duration,
    /// Longest pause between attempts.
    pub retry_max: Duration,
}

impl Default for CommitOptions {
    fn default() -> Self {
        Self {
            retry_initial: Duration::from_millis(20),
            retry_max: Duration::from_secs(2),
        }
    }
}

/// The handle of the committer. Dropping it closes it, as [`Committer::close`] does, without the
/// result.
#[derive(Debug)]
pub struct Committer<R> {
    shared: Arc<CommitQueue<R>>,
    health: Arc<CommitHealth>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

#[derive(Debug)]
struct CommitQueue<R> {
    desk: Mutex<HandOver<R>>,
    changed: Condvar,
}

/// What the two sides of the hand-over see.
#[derive(Debug)]
struct HandOver<R> {
    /// And since when.
    waiting: Option<(SealedBatch<R>, Instant)>,
    /// A batch was taken and is not yet released.
    working: bool,
    closing: bool,
    /// The thread has ended or will: nothing is taken any more.
    stopped: bool,
}

impl<R: Send + 'static> Committer<R> {
    /// Starts the thread that owns `store`.
    ///
    /// `release` is called on it, in order, once a batch is durable; a slow one delays the next
    /// commit. `idle` is called on it whenever a waiting batch was taken, so that the desk can wake
    /// up and submit the next.
    ///
    /// # Panics
    /// If the system cannot start a thread.
    pub fn spawn(
        store: Box<dyn Store>,
        options: CommitOptions,
        release: impl FnMut(R) + Send + 'static,
        idle: impl Fn() + Send + 'static,
    ) -> Self {
        let shared = Arc::new(CommitQueue::new());
        let health = Arc::new(CommitHealth::new());
        let worker = CommitWorker {
            store,
            options,
            release,
            idle,
            shared: Arc::clone(&shared),
            health: Arc::clone(&health),
        };
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || worker.run())
            .expect("the system starts a thread at start-up");
        Self {
            shared,
            health,
            thread: Some(thread),
        }
    }

    /// Hands over the next batch if the place behind the one being synced is free.
    ///
    /// # Errors
    /// Gives the batch back if the place is taken (`idle` will say when it is free) or if the
    /// committer has failed or is closing ([`Committer::health`] tells).
    pub fn try_submit(&self, sealed: SealedBatch<R>) -> Result<(), SealedBatch<R>> {
        let mut desk = self.shared.lock();
        if desk.waiting.is_some() || desk.closing || desk.stopped {
            return Err(sealed);
        }
        desk.waiting = Some((sealed, Instant::now()));
        drop(desk);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// True if nothing waits and nothing is being synced: a batch handed over now goes to the disk
    /// at once. A desk that submits only then, or when its batch is large, makes the fewest syncs.
    pub fn is_idle(&self) -> bool {
        let desk = self.shared.lock();
        desk.waiting.is_none() && !desk.working && !desk.stopped
    }

    /// Counters and state, shared with whoever watches.
    pub fn health(&self) -> Arc<CommitHealth> {
        Arc::clone(&self.health)
    }

    /// Waits until everything submitted is durable and released and the store is closed. Blocks:
    /// not for an async task.
    ///
    /// # Errors
    /// The store's error if it failed, or if it is stalled: then one last attempt is made, and what
    /// could not be committed is dropped without release, as a crash would have.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.stop()
    }
}

impl<R> Committer<R> {
    fn stop(&mut self) -> Result<(), StoreError> {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread.join().unwrap_or_else(|_| {
            Err(StoreError::Other {
                path: "the committer".into(),
                reason: PANICKED.into(),
            })
        })
    }
}

impl<R> Drop for Committer<R> {
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(error) = self.stop()
        {
            tracing::error!(%error, "ledger closed with an error");
        }
    }
}

const PANICKED: &str = "the committer's thread panicked";

impl<R> CommitQueue<R> {
    fn new() -> Self {
        let desk = HandOver {
            waiting: None,
            working: false,
            closing: false,
            stopped: false,
        };
        Self {
            desk: Mutex::new(desk),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HandOver<R>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch; `None` when the committer is closing and nothing waits.
    fn take(&self) -> Option<(SealedBatch<R>, Instant)> {
        let mut desk = self.lock();
        desk.working = false;
        loop {
            if let Some(waiting) = desk.waiting.take() {
                desk.working = true;
                return Some(waiting);
            }
            if desk.closing {
                return None;
            }
            desk = self
                .changed
                .wait(desk)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for `pause` or until the committer is closing; true if it is.
    fn pause(&self, pause: Duration) -> bool {
        let closing = |desk: &mut HandOver<R>| !desk.closing;
        let (desk, _) = self
            .changed
            .wait_timeout_while(self.lock(), pause, closing)
            .unwrap_or_else(PoisonError::into_inner);
        desk.closing
    }
}

/// The thread's side.
struct CommitWorker<R, Release, Idle> {
    store: Box<dyn Store>,
    options: CommitOptions,
    release: Release,
    idle: Idle,
    shared: Arc<CommitQueue<R>>,
    health: Arc<CommitHealth>,
}

impl<R, Release: FnMut(R), Idle: Fn()> CommitWorker<R, Release, Idle> {
    fn run(mut self) -> Result<(), StoreError> {
        let _end = EndOfThread {
            shared: Arc::clone(&self.shared),
            health: Arc::clone(&self.health),
        };
        let outcome = self.serve();
        if let Err(error) = &outcome {
            tracing::error!(%error, "ledger failed: nothing more is acknowledged");
            self.shared.lock().stopped = true;
            self.health.fail(error.to_string());
        }
        outcome
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        while let Some((sealed, since)) = self.shared.take() {
            (self.idle)();
            if !sealed.batch.is_empty() {
                self.make_durable(&sealed.batch, since)?;
            }
            (self.release)(sealed.release);
        }
        Ok(())
    }

    /// Commits the batch, however often it takes.
    fn make_durable(&mut self, batch: &Batch, since: Instant) -> Result<(), StoreError> {
        let mut pause = self.options.retry_initial;
        let mut last_attempt = false;
        loop {
            let start = Instant::now();
            let error = match self.store.commit(batch) {
                Ok(()) => {
                    let now = Instant::now();
                    let (took, since) = (now - start, now - since);
                    self.health
                        .committed(batch.len(), batch.bytes(), took, since);
                    self.note_recovery();
                    return Ok(());
                }
                Err(error) => error,
            };
            if !error.retryable() || last_attempt {
                return Err(error);
            }
            if self.health.stalled(error.to_string()) {
                tracing::warn!(%error, "ledger stalled: acknowledgements wait until it accepts the batch");
            }
            last_attempt = self.shared.pause(pause);
            pause = (pause * 2).min(self.options.retry_max);
        }
    }

    fn note_recovery(&self) {
        if let Some(stalled) = self.health.recovered() {
            tracing::info!(
                stalled_ms = stalled.as_millis(),
                "ledger accepts batches again"
            );
        }
    }
}

/// Tells both sides that the thread is gone, also when it panics.
struct EndOfThread<R> {
    shared: Arc<CommitQueue<R>>,
    health: Arc<CommitHealth>,
}

impl<R> Drop for EndOfThread<R> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        if std::thread::panicking() {
            self.health.fail(PANICKED.into());
        }
    }
}

#[cfg(test)]
mod tests;

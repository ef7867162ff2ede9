//! The thread behind the log: makes the next segment ahead of time, and copies full ones to the database.
//!
//! It owns the database. It never touches the segment that takes commits. A failure is kept, shown to the next commit that
//! needs room, and tried again.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::store::{Store, StoreError};
use super::overlay::Overlay;
use super::pending::Pending;
use super::segment::Segment;
use super::{FLUSH_BYTES, LogLimits, LogStats, note_flushed};

/// Pause before something that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// A segment that takes no more commits, and what it says.
#[derive(Debug)]
struct Full {
    segment: Segment,
    overlay: Arc<Overlay>,
}

/// The log's side.
#[derive(Debug)]
pub(super) struct Flusher<S: Store + 'static> {
    shared: Arc<Shared<S>>,
    max_full: usize,
    segment_bytes: u64,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared<S> {
    base: Mutex<S>,
    pending: Arc<Pending>,
    state: Mutex<State>,
    changed: Condvar,
    stats: Arc<LogStats>,
}

#[derive(Debug)]
struct State {
    /// Oldest first. The first may be on its way to the database.
    full: VecDeque<Full>,
    /// The next segment, made ahead.
    ready: Option<Segment>,
    /// The number that it has or will have.
    next_number: u64,
    /// The room that it must have.
    next_bytes: u64,
    /// One that is in the database, to be made into a next one.
    used: Option<Segment>,
    /// What the last attempt to make the next segment met.
    not_made: Option<StoreError>,
    /// What the last attempt to copy a full one met.
    not_flushed: Option<StoreError>,
    closing: bool,
}

/// What the thread does next.
enum Job {
    /// The next segment: its number, its room, and a file that may become it.
    Make(u64, u64, Option<Segment>),
    Flush(Arc<Overlay>),
    End,
}

impl State {
    fn wants_segment(&mut self) -> Option<Job> {
        self.ready
            .is_none()
            .then(|| Job::Make(self.next_number, self.next_bytes, self.used.take()))
    }

    /// The oldest is in the database. Keeps one file for the next segment, and gives back what is too many.
    fn flushed(&mut self) -> Option<Segment> {
        let flushed = self.full.pop_front()?.segment;
        self.used.replace(flushed)
    }
}

impl<S: Store + 'static> Flusher<S> {
    pub(super) fn start(
        base: S,
        dir: PathBuf,
        limits: LogLimits,
        next_number: u64,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            base: Mutex::new(base),
            pending: Arc::default(),
            state: Mutex::new(State {
                full: VecDeque::new(),
                ready: None,
                next_number,
                next_bytes: limits.segment_bytes,
                used: None,
                not_made: None,
                not_flushed: None,
                closing: false,
            }),
            changed: Condvar::new(),
            stats: Arc::default(),
        });
        let worker = Worker {
            shared: Arc::clone(&shared),
            dir: dir.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("flusher".into())
            .spawn(move || worker.run())
            .map_err(|error| StoreError::Other {
                path: dir,
                reason: format!("cannot start the flusher's thread: {error}"),
            })?;
        Ok(Self {
            shared,
            max_full: limits.segments,
            segment_bytes: limits.segment_bytes,
            thread: Some(thread),
        })
    }

    pub(super) fn stats(&self) -> Arc<LogStats> {
        Arc::clone(&self.shared.stats)
    }

    /// The next segment, with room for so many bytes. Waits until it is made and another full one may wait.
    pub(super) fn next_segment(&self, bytes: u64) -> Result<Segment, StoreError> {
        let mut state = self.shared.lock();
        let mut waited = false;
        loop {
            let is_large = |ready: &mut Segment| ready.capacity() >= bytes;
            if state.full.len() < self.max_full
                && let Some(ready) = state.ready.take_if(is_large)
            {
                state.next_number += 1;
                state.next_bytes = self.segment_bytes;
                return Ok(ready);
            }
            let is_at_bound = state.full.len() >= self.max_full;
            let behind = if is_at_bound {
                &state.not_flushed
            } else {
                &state.not_made
            };
            if let Some(error) = behind {
                return Err(error.clone());
            }
            if state
                .ready
                .as_ref()
                .is_some_and(|ready| ready.capacity() < bytes)
            {
                // Made anew, larger.
                let too_small = state.ready.take();
                let spare = std::mem::replace(&mut state.used, too_small);
                state.next_bytes = bytes;
                spare.map_or(Ok(()), Segment::remove)?;
                self.shared.changed.notify_all();
            }
            if !waited {
                waited = true;
                self.shared.stats.waits.add_one();
            }
            state = self.shared.wait(state);
        }
    }

    /// Takes over a full segment.
    pub(super) fn take(&self, segment: Segment) {
        let overlay = self.shared.pending.seal();
        let mut state = self.shared.lock();
        state.full.push_back(Full { segment, overlay });
        self.shared.stats.full_segments.set_len(state.full.len());
        drop(state);
        self.shared.changed.notify_all();
    }

    /// What is not in the database yet.
    pub(super) fn pending(&self) -> Arc<Pending> {
        Arc::clone(&self.shared.pending)
    }

    /// The database; waits while a part of a segment is written to it.
    pub(super) fn base(&self) -> MutexGuard<'_, S> {
        self.shared.base()
    }

    /// Ends the thread, and copies what is left to the database.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the flusher's thread panicked");
        }
        let full = std::mem::take(&mut self.shared.lock().full);
        let last = self.shared.pending.seal();
        let left = full.iter().map(|full| &full.overlay).chain([&last]);
        left.filter(|overlay| !overlay.is_empty())
            .try_for_each(|overlay| super::flush(&mut *self.shared.base(), overlay))
    }
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn base(&self) -> MutexGuard<'_, S> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt did not succeed; why is kept in the state.
struct Failed;

struct Worker<S> {
    shared: Arc<Shared<S>>,
    dir: PathBuf,
}

impl<S: Store> Worker<S> {
    fn run(self) {
        loop {
            let done = match self.next() {
                Job::End => return,
                Job::Make(number, bytes, used) => self.make(number, bytes, used),
                Job::Flush(overlay) => self.flush(&overlay),
            };
            if done.is_err() {
                self.pause();
            }
        }
    }

    /// The next segment goes before full ones: a commit may wait for it.
    fn next(&self) -> Job {
        let mut state = self.shared.lock();
        loop {
            if state.closing {
                return Job::End;
            }
            if let Some(make) = state.wants_segment() {
                return make;
            }
            if let Some(full) = state.full.front() {
                return Job::Flush(Arc::clone(&full.overlay));
            }
            state = self.shared.wait(state);
        }
    }

    /// Waits before the next attempt, unless a segment is wanted meanwhile.
    fn pause(&self) {
        let stay = |state: &mut State| {
            let is_wanted = state.ready.is_none() && state.not_made.is_none();
            !state.closing && !is_wanted
        };
        let state = self.shared.lock();
        drop(self.shared.changed.wait_timeout_while(state, RETRY, stay));
    }

    /// An error is kept for the commit that waits.
    fn make(&self, number: u64, bytes: u64, used: Option<Segment>) -> Result<(), Failed> {
        let made = Segment::make(&self.dir, number, bytes, used);
        let mut state = self.shared.lock();
        let done = match made {
            Ok(made) => {
                state.ready = Some(made);
                state.not_made = None;
                Ok(())
            }
            Err(error) => Err(self.keep(error, &mut state.not_made)),
        };
        drop(state);
        self.shared.changed.notify_all();
        done
    }

    fn flush(&self, overlay: &Overlay) -> Result<(), Failed> {
        let copied = self.copy(overlay);
        let mut state = self.shared.lock();
        let done = match copied {
            Ok(()) => {
                state.not_flushed = None;
                Ok(())
            }
            Err(error) => Err(self.keep(error, &mut state.not_flushed)),
        };
        drop(state);
        self.shared.changed.notify_all();
        done
    }

    fn keep(&self, error: StoreError, place: &mut Option<StoreError>) -> Failed {
        self.shared.stats.failures.add_one();
        if place.is_none() {
            tracing::warn!(%error, "the commit log makes no progress for now");
        }
        *place = Some(error);
        Failed
    }

    /// Copies a part of the segment at a time, and sees between them whether a next segment is wanted.
    fn copy(&self, overlay: &Overlay) -> Result<(), StoreError> {
        for batch in overlay.batches(FLUSH_BYTES) {
            self.shared.base().commit(&batch)?;
            self.shared.stats.flushed_rows.add(batch.len() as u64);
            let wanted = self.shared.lock().wants_segment();
            if let Some(Job::Make(number, bytes, used)) = wanted {
                // It is tried again when this segment is done.
                let _ = self.make(number, bytes, used);
            }
        }
        note_flushed(&mut *self.shared.base(), overlay)?;
        self.shared.pending.flushed();
        let superfluous = self.shared.lock().flushed();
        self.shared.stats.full_segments.lower();
        self.shared.stats.flushed_segments.add_one();
        superfluous.map_or(Ok(()), Segment::remove)
    }
}

//! The thread behind the log: makes the next segment ahead of time, copies full ones to the
//! database, and has the database give back what it does not need when there is nothing else to do.
//!
//! It owns the database. It never touches the segment that takes commits. A failure is kept, shown
//! to the next commit that needs room, and tried again.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::store::{Store, StoreError, StoreReader};
use super::overlay::Overlay;
use super::pending::PendingOverlays;
use super::reader::LoggedReader;
use super::segment::LogSegment;
use super::state::LogState;
use super::{FLUSH_BYTES, LogLimits, LogStats};

/// Pause before something that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Commits on their way to the database.
#[derive(Debug)]
struct FlushJob {
    /// The segment that takes no more commits; `None` if it still does.
    segment: Option<LogSegment>,
    /// What it says and the database does not have.
    overlay: Arc<Overlay>,
}

/// The log's side.
#[derive(Debug)]
pub(super) struct Flusher<S: Store + 'static> {
    shared: Arc<FlushQueue<S>>,
    max_full: usize,
    segment_bytes: u64,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) struct FlushQueue<S> {
    base: Mutex<S>,
    /// What the database knows of the log. Taken after `base`.
    known: Mutex<LogState>,
    pending: Arc<PendingOverlays>,
    state: Mutex<FlushState>,
    changed: Condvar,
    stats: Arc<LogStats>,
}

#[derive(Debug)]
struct FlushState {
    /// Oldest first. The first may be on its way to the database.
    full: VecDeque<FlushJob>,
    /// The next segment, made ahead.
    ready: Option<LogSegment>,
    /// The number that it has or will have.
    next_number: u64,
    /// The room that it must have.
    next_bytes: u64,
    /// One that is in the database, to be made into a next one.
    used: Option<LogSegment>,
    /// What the last attempt to make the next segment met.
    not_made: Option<StoreError>,
    /// What the last attempt to copy a full one met.
    not_flushed: Option<StoreError>,
    /// When what is pending was last sealed, for a full segment or because it had rested.
    sealed_at: Instant,
    /// The database may have something to give back.
    has_slack: bool,
    /// What was sealed last had not filled its segment: little comes at the moment.
    is_quiet: bool,
    closing: bool,
}

/// What the thread does next.
enum Job {
    /// The next segment: its number, its room, and a file that may become it.
    Make(u64, u64, Option<LogSegment>),
    /// What it says goes to the database; the number of its segment if that is full.
    Flush(Arc<Overlay>, Option<u64>),
    /// The database gives back what it does not need.
    Tidy,
    End,
}

impl FlushState {
    fn wants_segment(&mut self) -> Option<Job> {
        self.ready
            .is_none()
            .then(|| Job::Make(self.next_number, self.next_bytes, self.used.take()))
    }

    /// The oldest is in the database. Keeps one file for the next segment, and gives back the rest.
    fn flushed(&mut self) -> Option<LogSegment> {
        self.has_slack = true;
        let flushed = self.full.pop_front()?.segment?;
        self.used.replace(flushed)
    }

    /// Full segments that wait for the database.
    fn full_segments(&self) -> usize {
        self.full
            .iter()
            .filter(|full| full.segment.is_some())
            .count()
    }
}

impl<S: Store + 'static> Flusher<S> {
    pub(super) fn start(
        base: S,
        dir: PathBuf,
        limits: LogLimits,
        known: LogState,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(FlushQueue {
            base: Mutex::new(base),
            known: Mutex::new(known),
            pending: Arc::default(),
            state: Mutex::new(FlushState {
                full: VecDeque::new(),
                ready: None,
                next_number: known.from + 1,
                next_bytes: limits.segment_bytes,
                used: None,
                not_made: None,
                not_flushed: None,
                sealed_at: Instant::now(),
                has_slack: true,
                is_quiet: true,
                closing: false,
            }),
            changed: Condvar::new(),
            stats: Arc::default(),
        });
        let worker = FlushWorker {
            shared: Arc::clone(&shared),
            dir: dir.clone(),
            rest: limits.rest,
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

    /// The next segment, with room for so many bytes. Waits until it is made and another full one
    /// may wait.
    pub(super) fn next_segment(&self, bytes: u64) -> Result<LogSegment, StoreError> {
        let mut state = self.shared.lock();
        let mut waited = false;
        loop {
            let is_large = |ready: &mut LogSegment| ready.capacity() >= bytes;
            if state.full_segments() < self.max_full
                && let Some(ready) = state.ready.take_if(is_large)
            {
                state.next_number += 1;
                state.next_bytes = self.segment_bytes;
                return Ok(ready);
            }
            let is_at_bound = state.full_segments() >= self.max_full;
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
                spare.map_or(Ok(()), LogSegment::remove)?;
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
    pub(super) fn take(&self, segment: LogSegment) {
        let mut state = self.shared.lock();
        self.shared.seal(&mut state, Some(segment));
        let full = state.full_segments();
        self.shared.stats.full_segments.set_len(full);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// A view of all that is committed now, and of nothing that comes later.
    pub(super) fn view(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        self.shared.view()
    }

    /// The same for somebody who must not keep the database open.
    pub(super) fn shared(&self) -> Weak<FlushQueue<S>> {
        Arc::downgrade(&self.shared)
    }

    /// What is not in the database yet.
    pub(super) fn pending(&self) -> Arc<PendingOverlays> {
        Arc::clone(&self.shared.pending)
    }

    /// The database; waits while a part of a segment is written to it.
    pub(super) fn base(&self) -> MutexGuard<'_, S> {
        self.shared.base()
    }

    /// Ends the thread, copies what is left to the database, and notes that it is all there is.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the flusher's thread panicked");
        }
        let mut state = self.shared.lock();
        self.shared.seal(&mut state, None);
        let (full, next) = (std::mem::take(&mut state.full), state.next_number);
        drop(state);
        let base = &mut *self.shared.base();
        for FlushJob { overlay, .. } in full {
            let batches = overlay.batches(FLUSH_BYTES);
            batches
                .into_iter()
                .try_for_each(|batch| base.commit(&batch))?;
            self.shared.note(base, |known| known.has(&overlay))?;
        }
        self.shared.note(base, |known| {
            known.is_clean = true;
            // Its file is removed with the others.
            known.from = next + 1;
        })
    }
}

impl<S: Store> FlushQueue<S> {
    /// Changes what the database knows of the log, there first.
    fn note(&self, base: &mut S, change: impl FnOnce(&mut LogState)) -> Result<(), StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = *known;
        change(&mut next);
        next.write(base)?;
        *known = next;
        Ok(())
    }

    pub(super) fn view(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        // While this is held nothing goes to the database: it has no commit that is newer than what
        // is sealed.
        let base = self.base();
        self.seal(&mut self.lock(), None);
        let over = self.pending.sealed();
        let reader = base.view()?;
        drop(base);
        self.changed.notify_all();
        let over = move |space, from: &[u8], to: Option<&[u8]>| {
            let mut all = super::overlay::Over::new();
            for overlay in &over {
                overlay.lay_over(space, from, to, &mut all);
            }
            all
        };
        Ok(Box::new(LoggedReader::new(over, reader)))
    }
}

impl<S> FlushQueue<S> {
    fn lock(&self) -> MutexGuard<'_, FlushState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines up what is pending for the database: with its segment if full, else if there is any.
    fn seal(&self, state: &mut FlushState, segment: Option<LogSegment>) {
        state.sealed_at = Instant::now();
        state.is_quiet = segment.is_none();
        if segment.is_some() || !self.pending.is_sealed() {
            let overlay = self.pending.seal();
            state.full.push_back(FlushJob { segment, overlay });
        }
    }

    fn base(&self) -> MutexGuard<'_, S> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, FlushState>) -> MutexGuard<'a, FlushState> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt did not succeed; why is kept in the state.
struct Failed;

struct FlushWorker<S> {
    shared: Arc<FlushQueue<S>>,
    dir: PathBuf,
    rest: Duration,
}

impl<S: Store> FlushWorker<S> {
    fn run(self) {
        loop {
            let done = match self.next() {
                Job::End => return,
                Job::Make(number, bytes, used) => self.make(number, bytes, used),
                Job::Flush(overlay, full) => self.flush(&overlay, full),
                Job::Tidy => {
                    self.tidy();
                    continue;
                }
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
                let number = full.segment.as_ref().map(|segment| segment.home.segment);
                return Job::Flush(Arc::clone(&full.overlay), number);
            }
            if state.has_slack {
                return Job::Tidy;
            }
            let left = self.rest.saturating_sub(state.sealed_at.elapsed());
            if left.is_zero() {
                self.shared.seal(&mut state, None);
            } else {
                let waited = self.shared.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// One bounded step, and a pause as long as it took: commits need the disk, too.
    fn tidy(&self) {
        let start = Instant::now();
        let is_quiet = self.shared.lock().is_quiet;
        let tidied = self.shared.base().tidy(is_quiet);
        let has_more = match tidied {
            Ok(tidied) => {
                self.shared.stats.database_bytes.set(tidied.bytes);
                self.shared.stats.free_bytes.set(tidied.free_bytes);
                tidied.has_more
            }
            Err(error) => {
                self.shared.stats.failures.add_one();
                tracing::debug!(%error, "the database gives nothing back for now");
                false
            }
        };
        let mut state = self.shared.lock();
        state.has_slack = has_more;
        if !has_more && is_quiet {
            // It only spares the making of another.
            let spare = state.used.take();
            drop(state);
            if spare
                .map(LogSegment::remove)
                .is_some_and(|gone| gone.is_err())
            {
                self.shared.stats.failures.add_one();
            }
        } else if has_more {
            let is_idle = |state: &mut FlushState| {
                !state.closing && state.ready.is_some() && state.full.is_empty()
            };
            let changed = &self.shared.changed;
            drop(changed.wait_timeout_while(state, start.elapsed(), is_idle));
        }
    }

    /// Waits before the next attempt, unless a segment is wanted meanwhile.
    fn pause(&self) {
        let stay = |state: &mut FlushState| {
            let is_wanted = state.ready.is_none() && state.not_made.is_none();
            !state.closing && !is_wanted
        };
        let state = self.shared.lock();
        drop(self.shared.changed.wait_timeout_while(state, RETRY, stay));
    }

    fn known(&self) -> LogState {
        let known = &self.shared.known;
        *known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error is kept for the commit that waits.
    fn make(&self, number: u64, bytes: u64, used: Option<LogSegment>) -> Result<(), Failed> {
        let home = self.known().home(number);
        let made = LogSegment::make(&self.dir, home, bytes, used);
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

    fn flush(&self, overlay: &Overlay, full: Option<u64>) -> Result<(), Failed> {
        let copied = self.copy(overlay, full);
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

    /// Copies a part of the segment at a time, and sees between them whether a next segment is
    /// wanted.
    fn copy(&self, overlay: &Overlay, full: Option<u64>) -> Result<(), StoreError> {
        for batch in overlay.batches(FLUSH_BYTES) {
            self.shared.base().commit(&batch)?;
            self.shared.stats.flushed_rows.add(batch.len() as u64);
            let wanted = self.shared.lock().wants_segment();
            if let Some(Job::Make(number, bytes, used)) = wanted {
                // It is tried again when this segment is done.
                let _ = self.make(number, bytes, used);
            }
        }
        self.shared.note(&mut self.shared.base(), |known| {
            known.has(overlay);
            if let Some(number) = full {
                known.from = number + 1;
            }
        })?;
        self.shared.pending.flushed();
        let mut state = self.shared.lock();
        let superfluous = state.flushed();
        let left = state.full_segments();
        self.shared.stats.full_segments.set_len(left);
        drop(state);
        if full.is_some() {
            self.shared.stats.flushed_segments.add_one();
        }
        superfluous.map_or(Ok(()), LogSegment::remove)
    }
}

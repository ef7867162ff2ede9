//! The commit log in front of the store: a commit is one write to a file that has its size already,
//! and one sync.
//!
//! It owns the segments below `log` in the data directory, what they hold and the database does not
//! yet, and the thread that copies the one into the other. It never looks into a key or a value.
//! The committer calls it as any [`Store`].
//!
//! **Why.** A database writes a page of 4 KiB for every row that a small commit touches, and syncs
//! a file that grows. Here a commit costs its own bytes. Most of what a busy gateway commits is
//! overwritten or deleted within a second (a message that was delivered, a task that has moved on):
//! only what is left when a segment is full reaches the database, once.
//!
//! **Life of a segment.** It takes frames, one a commit, until the next does not fit. Then it is
//! full, and the next one, made ahead by the flusher's thread, takes over. The flusher copies what
//! the full one says to the database; once that is on disk the file is made into a next segment.
//! The log's first segment therefore begins at or before the end of the database.
//!
//! **Bounds.** [`LogLimits::segments`] full ones may wait; a commit that needs another waits for
//! the flusher, or is refused for now if the flusher meets errors. Memory for what is not in the
//! database yet is at most what these files hold.
//!
//! **Idle.** What has lain in the log for [`LogLimits::rest`] goes to the database without waiting
//! for a full segment, so that what was deleted is given back. The frames stay where they are until
//! their segment is full.
//!
//! **Start.** The segments are read in order, and once all of them are known to be whole they are
//! read again and copied to the database; then an empty log begins. An incomplete frame at the very
//! end is a commit that nobody was told of. Anything else that does not read as it was written is
//! damage, and refused; so is a log of which a part is gone: [`state`] has what the database knows
//! of it. After an orderly end the database is complete without a log, and says so.

mod flusher;
mod frame;
mod legacy;
pub(super) mod look;
mod overlay;
mod pending;
mod pieces;
mod reader;
pub(super) mod replay;
mod segment;
mod snapshot;
mod state;
pub(super) mod stream;
pub(super) mod survey;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::flusher::Flusher;
use self::frame::{ChainLink, Frame};
use self::reader::LoggedReader;
use self::replay::replay;
use self::segment::LogSegment;
pub use self::snapshot::Snapshots;
pub(super) use self::state::{LogState, begin, is_state};
use super::directory;
use super::store::{Batch, Space, Store, StoreError, StoreReader, Visit, prefix_end};
use crate::metrics::{Count, metrics};

/// The directory of the segments, in the data directory.
pub const LOG_DIRECTORY: &str = "log";
/// Bytes of keys and values that go to the database in one of its commits.
const FLUSH_BYTES: usize = 1024 * 1024;

/// How much the log may hold.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Bytes of commits in a segment; a larger commit gets a segment of its own.
    pub segment_bytes: u64,
    /// Full segments that may wait for the database.
    pub segments: usize,
    /// How long commits stay in the log alone while there is time to copy them.
    pub rest: Duration,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            segment_bytes: 4 * 1024 * 1024,
            segments: 8,
            rest: Duration::from_secs(20),
        }
    }
}

metrics! {
    /// How the log and what copies it are doing.
    #[derive(Debug, Default)]
    pub struct LogStats {
        /// Full files of the commit log that wait to be copied to the database.
        gauge full_segments: Count = "log_full_segments",
        /// Files of the commit log copied to the database.
        counter flushed_segments: Count = "log_segments_flushed",
        /// Rows of the database written or deleted.
        counter flushed_rows: Count = "log_rows_flushed",
        /// Attempts to copy or to make a file of the commit log that failed; each is tried again.
        counter failures: Count = "log_failures",
        /// Bytes of the database's file, as of the last time that there was time to look.
        gauge database_bytes: Count = "ledger_database_bytes",
        /// Bytes of it that hold nothing; they are used again, or given back while there is time.
        gauge free_bytes: Count = "ledger_database_free_bytes",
        /// Commits that waited for the next file of the commit log.
        counter waits: Count = "log_waits",
    }
}

/// A store with a log in front of it.
#[derive(Debug)]
pub struct LoggedStore<S: Store + 'static> {
    dir: PathBuf,
    current: LogSegment,
    /// What takes over once the current one is marked as full.
    next: Option<LogSegment>,
    last: ChainLink,
    flusher: Flusher<S>,
    /// After a failed sync nobody knows what is on disk: nothing is written any more.
    broken: Option<StoreError>,
}

impl<S: Store + 'static> LoggedStore<S> {
    /// Opens the log below `data` in front of `base`, which alone uses that directory, and copies
    /// to `base` what the log holds from the last run.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a commit is missing or damaged; [`StoreError::NewerFormat`]; what
    /// the file system or `base` answer.
    pub fn open(mut base: S, data: &Path, limits: LogLimits) -> Result<Self, StoreError> {
        let dir = data.join(LOG_DIRECTORY);
        directory::create(&dir)?;
        let clean = replay(&mut base, &dir)?;
        let current = LogSegment::make(&dir, clean.home(clean.from), limits.segment_bytes, None)?;
        // The file is there: from now on it must be.
        let running = LogState {
            is_clean: false,
            ..clean
        };
        running.write(&mut base)?;
        let flusher = Flusher::start(base, dir.clone(), limits, running)?;
        Ok(Self {
            dir,
            current,
            next: None,
            last: clean.flushed,
            flusher,
            broken: None,
        })
    }

    /// Figures, shared with whoever watches.
    pub fn stats(&self) -> Arc<LogStats> {
        self.flusher.stats()
    }

    /// Consistent views of what is committed, for whoever does not own the store.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(&self.flusher)
    }

    /// Sees that the current segment has room: if not, hands it to the flusher and goes on in the
    /// next.
    fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        loop {
            let next = match self.next.take() {
                Some(next) => next,
                None if self.current.fits(bytes) => return Ok(()),
                None => self.flusher.next_segment(bytes as u64)?,
            };
            if let Err(error) = self.current.close(self.last.seq) {
                self.next = Some(next);
                return Err(error);
            }
            let full = std::mem::replace(&mut self.current, next);
            self.flusher.take(full);
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<Frame, StoreError> {
        self.make_room(Frame::size(batch))?;
        let frame = Frame::encode(batch, self.current.home, self.last);
        self.current.append(&frame)?;
        Ok(frame)
    }

    /// Where the next frame goes in its file.
    #[cfg(test)]
    fn current_end(&self) -> usize {
        usize::try_from(self.current.end()).unwrap()
    }
}

impl<S: Store + 'static> Store for LoggedStore<S> {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        if batch.is_empty() {
            return Ok(());
        }
        let frame = self.write(batch).inspect_err(|error| {
            if !error.retryable() {
                self.broken = Some(error.clone());
            }
        })?;
        self.last = frame.link();
        self.flusher.pending().add(&frame);
        Ok(())
    }

    fn scan(&self, space: Space, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        let over = self
            .flusher
            .pending()
            .over(space, prefix, prefix_end(prefix).as_deref());
        let base = self.flusher.base();
        overlay::visit_merged(over, |visit| base.scan(space, prefix, visit), visit)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.flusher.pending().get(space, key) {
            Some(value) => Ok(value.map(|value| value.to_vec())),
            None => self.flusher.base().get(space, key),
        }
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        let base = self.flusher.base().reader()?;
        let pending = self.flusher.pending();
        let over = move |space, from: &[u8], to: Option<&[u8]>| pending.over(space, from, to);
        Ok(Box::new(LoggedReader::new(over, base)))
    }

    fn view(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        self.flusher.view()
    }
}

impl<S: Store + 'static> Drop for LoggedStore<S> {
    /// Copies everything to the database, so that a clean end leaves an empty log. Best effort: the
    /// next start reads what is left.
    fn drop(&mut self) {
        let closed = self.flusher.close().and_then(|()| {
            let left = segment::find(&self.dir)?;
            left.iter().try_for_each(segment::FoundSegment::remove)
        });
        if let Err(error) = closed {
            tracing::warn!(%error, path = %self.dir.display(), "commit log kept, the next start reads it");
        }
    }
}

fn damaged(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        path: path.into(),
        reason: reason.into(),
    }
}

fn missing(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::Missing {
        path: path.into(),
        reason: reason.into(),
    }
}

//! The commit log in front of the store: a commit is one write to a file that has its size already, and one sync.
//!
//! It owns the segments below `log` in the data directory, what they hold and the database does not yet, and the thread
//! that copies the one into the other. It never looks into a key or a value. The committer calls it as any [`Store`].
//!
//! **Why.** A database writes a page of 4 KiB for every row that a small commit touches, and syncs a file that grows. Here a
//! commit costs its own bytes. Most of what a busy gateway commits is overwritten or deleted within a second (a message that
//! was delivered, a task that has moved on): only what is left when a segment is full reaches the database, once.
//!
//! **Life of a segment.** It takes frames, one a commit, until the next does not fit. Then it is full, and the next one, made
//! ahead by the flusher's thread, takes over. The flusher copies what the full one says to the database; once that is on disk
//! the file is made into a next segment. The log's first segment therefore begins at or before the end of the database.
//!
//! **Bounds.** [`LogLimits::segments`] full ones may wait; a commit that needs another waits for the flusher, or is
//! refused for now if the flusher meets errors. Memory for what is not in the database yet is at most what these files hold.
//!
//! **Start.** The segments are read in order and copied to the database; then an empty log begins. An incomplete frame at
//! the very end is a commit that nobody was told of. Anything else that does not read as it was written is damage, and refused.

mod flusher;
mod frame;
mod overlay;
mod pending;
mod reader;
mod segment;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::flusher::Flusher;
use self::frame::Frame;
use self::overlay::Overlay;
use self::reader::LoggedReader;
use self::segment::Segment;
use super::directory;
use super::store::{Batch, Reader, Space, Store, StoreError, Visit, prefix_end};
use crate::count::Count;

/// The directory of the segments, in the data directory.
pub const LOG_DIRECTORY: &str = "log";
/// Where the database remembers the last commit that it has all of, in [`Space::Meta`].
const FLUSHED_KEY: &[u8] = b"log";
/// Bytes of keys and values that go to the database in one of its commits.
const FLUSH_BYTES: usize = 1024 * 1024;

/// How much the log may hold.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Bytes of commits in a segment; a larger commit gets a segment of its own.
    pub segment_bytes: u64,
    /// Full segments that may wait for the database.
    pub segments: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            segment_bytes: 4 * 1024 * 1024,
            segments: 8,
        }
    }
}

/// Figures for the metrics.
#[derive(Debug, Default)]
pub struct LogStats {
    /// Full segments that wait for the database.
    pub full_segments: Count,
    /// Segments copied to the database.
    pub flushed_segments: Count,
    /// Rows written to or deleted from the database.
    pub flushed_rows: Count,
    /// Attempts to copy or to make a segment that failed; each is tried again.
    pub failures: Count,
    /// Commits that waited for the flusher.
    pub waits: Count,
}

/// A store with a log in front of it.
#[derive(Debug)]
pub struct LoggedStore<S: Store + 'static> {
    dir: PathBuf,
    current: Segment,
    last_seq: u64,
    flusher: Flusher<S>,
    /// After a failed sync nobody knows what is on disk: nothing is written any more.
    broken: Option<StoreError>,
}

impl<S: Store + 'static> LoggedStore<S> {
    /// Opens the log below `data` in front of `base`, which alone uses that directory, and copies to `base` what the log holds
    /// from the last run.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a commit is missing or damaged; [`StoreError::NewerFormat`]; what the file system or `base` answer.
    pub fn open(mut base: S, data: &Path, limits: LogLimits) -> Result<Self, StoreError> {
        let dir = data.join(LOG_DIRECTORY);
        directory::create(&dir)?;
        let (last_segment, last_seq) = replay(&mut base, &dir)?;
        let current = Segment::make(&dir, last_segment + 1, limits.segment_bytes, None)?;
        let flusher = Flusher::start(base, dir.clone(), limits, current.number + 1)?;
        Ok(Self {
            dir,
            current,
            last_seq,
            flusher,
            broken: None,
        })
    }

    /// Figures, shared with whoever watches.
    pub fn stats(&self) -> Arc<LogStats> {
        self.flusher.stats()
    }

    /// Hands the current segment to the flusher and goes on in the next.
    fn next_segment(&mut self, bytes: usize) -> Result<(), StoreError> {
        let next = self.flusher.next_segment(bytes as u64)?;
        self.flusher
            .take(std::mem::replace(&mut self.current, next));
        Ok(())
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
        let size = Frame::size(batch);
        if !self.current.fits(size) {
            self.next_segment(size)?;
        }
        let frame = Frame::encode(batch, self.current.number, self.last_seq + 1);
        if let Err(error) = self.current.append(&frame) {
            if !error.retryable() {
                self.broken = Some(error.clone());
            }
            return Err(error);
        }
        self.last_seq += 1;
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

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        let base = self.flusher.base().reader()?;
        Ok(Box::new(LoggedReader::new(self.flusher.pending(), base)))
    }
}

impl<S: Store + 'static> Drop for LoggedStore<S> {
    /// Copies everything to the database, so that a clean end leaves an empty log. Best effort: the next start reads what is left.
    fn drop(&mut self) {
        let closed = self.flusher.close().and_then(|()| {
            let left = segment::find(&self.dir)?;
            left.iter().try_for_each(segment::Found::remove)
        });
        if let Err(error) = closed {
            tracing::warn!(%error, path = %self.dir.display(), "commit log kept, the next start reads it");
        }
    }
}

/// Copies the log of the last run to the database and removes it. Returns the last segment's number and the last commit's.
fn replay(base: &mut impl Store, dir: &Path) -> Result<(u64, u64), StoreError> {
    let found = segment::find(dir)?;
    let flushed = flushed_seq(base, dir)?;
    let mut reading = Reading {
        flushed,
        last_seq: flushed,
        overlay: Overlay::default(),
    };
    for segment in &found {
        reading.read(segment)?;
        if reading.overlay.bytes >= FLUSH_BYTES {
            flush(base, &std::mem::take(&mut reading.overlay))?;
        }
    }
    if !reading.overlay.is_empty() {
        flush(base, &reading.overlay)?;
    }
    let last_seq = reading.last_seq;
    if last_seq > flushed {
        let commits = last_seq - flushed;
        tracing::info!(commits, "commits of the log copied to the database");
    }
    found.iter().try_for_each(segment::Found::remove)?;
    directory::sync(dir)?;
    Ok((found.last().map_or(0, |last| last.number), last_seq))
}

/// Reads segment after segment and sees that no commit is missing after those that the database has.
struct Reading {
    flushed: u64,
    last_seq: u64,
    overlay: Overlay,
}

impl Reading {
    fn read(&mut self, segment: &segment::Found) -> Result<(), StoreError> {
        let (frames, is_gap) = segment.frames()?;
        let is_new = |frame: &&Frame| frame.seq() > self.flushed;
        for frame in frames.iter().filter(is_new) {
            let seq = frame.seq();
            if seq != self.last_seq + 1 {
                let reason = format!(
                    "commit {seq} follows commit {}: those between them are missing",
                    self.last_seq
                );
                return Err(corrupt(&segment.path, reason));
            }
            if self.overlay.add(frame).is_err() {
                let reason = format!("commit {seq} holds a change that cannot be");
                return Err(corrupt(&segment.path, reason));
            }
            self.last_seq = seq;
        }
        if is_gap {
            let reason = "a commit in the middle does not read as it was written".into();
            return Err(corrupt(&segment.path, reason));
        }
        Ok(())
    }
}

/// Copies what an overlay says to the database, and then how far the database has got.
fn flush(base: &mut dyn Store, overlay: &Overlay) -> Result<(), StoreError> {
    for batch in overlay.batches(FLUSH_BYTES) {
        base.commit(&batch)?;
    }
    note_flushed(base, overlay)
}

fn note_flushed(base: &mut dyn Store, overlay: &Overlay) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put(
        Space::Meta,
        FLUSHED_KEY,
        overlay.last_seq.to_be_bytes().to_vec(),
    );
    base.commit(&batch)
}

/// The last commit that the database has all of; 0 before the first.
fn flushed_seq(base: &impl Store, dir: &Path) -> Result<u64, StoreError> {
    let Some(value) = base.get(Space::Meta, FLUSHED_KEY)? else {
        return Ok(0);
    };
    match value.first_chunk() {
        Some(seq) => Ok(u64::from_be_bytes(*seq)),
        None => Err(corrupt(
            dir,
            "the database does not say how far it got".into(),
        )),
    }
}

fn corrupt(path: &Path, reason: String) -> StoreError {
    StoreError::Corrupt {
        path: path.into(),
        reason,
    }
}

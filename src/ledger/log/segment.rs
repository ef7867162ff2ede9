//! One file of the log: filled with zeros before its first frame, so that a commit changes no metadata and its sync is one
//! write to the disk.
//!
//! ```text
//! LOG/00000000000000000007.log    magic `HwLg` (4)   format (4)   number (8)   frames … zeros
//! ```
//!
//! A file gets its name once it is whole on disk, and the name is on disk before the first frame. So a file under such a name
//! is one that a commit may lie in. A segment whose commits are in the database is taken as the next one, zeros or not: its old
//! frames carry its old number.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::directory;
use super::super::store::StoreError;
use super::frame::Frame;

const MAGIC: &[u8; 4] = b"HwLg";
const FORMAT: u32 = 1;
/// Bytes before the first frame.
pub(super) const HEADER: u64 = 16;
const EXTENSION: &str = "log";
/// A file on its way to becoming a segment; what a crash leaves of one is removed.
const MAKING: &str = "making";
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A segment that takes frames.
#[derive(Debug)]
pub(super) struct Segment {
    /// Counts segments, from 1.
    pub(super) number: u64,
    path: PathBuf,
    file: File,
    /// Where the next frame goes.
    end: u64,
    capacity: u64,
}

impl Segment {
    /// Makes the segment `number` with room for `capacity` bytes of frames, out of a used one if that has just as much.
    ///
    /// # Errors
    /// [`StoreError::Full`] if there is no room for it; nothing is left behind then.
    pub(super) fn make(
        dir: &Path,
        number: u64,
        capacity: u64,
        used: Option<Segment>,
    ) -> Result<Segment, StoreError> {
        let making = dir.join(format!("{number:020}.{MAKING}"));
        let path = file_name(dir, number);
        let made = match used {
            Some(used) if used.capacity == capacity => reuse(used, dir, &making, number),
            other => {
                other.map(Segment::remove).transpose()?;
                fill(&making, number, capacity).map_err(|error| failed(&making, error))
            }
        };
        let named = made.and_then(|file| {
            fs::rename(&making, &path).map_err(|error| failed(&path, error))?;
            directory::sync(dir)?;
            Ok(file)
        });
        if named.is_err() {
            // Best effort: the next start removes it, too.
            let _ = fs::remove_file(&making);
        }
        Ok(Segment {
            number,
            path,
            file: named?,
            end: HEADER,
            capacity,
        })
    }

    /// Whether so many bytes still fit.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.end + bytes as u64 <= HEADER + self.capacity
    }

    /// Writes a frame and waits until it is on disk. After an error the same place is written again.
    ///
    /// # Errors
    /// [`StoreError::Full`] and [`StoreError::Busy`] where the write was refused; [`StoreError::Other`] where the sync was: the
    /// system may have dropped the pages and call the next sync a success.
    pub(super) fn append(&mut self, frame: &Frame) -> Result<(), StoreError> {
        write_at(&self.file, self.end, frame.bytes()).map_err(|error| failed(&self.path, error))?;
        self.file.sync_data().map_err(|error| StoreError::Other {
            path: self.path.clone(),
            reason: format!("sync failed: {error}"),
        })?;
        self.end += frame.bytes().len() as u64;
        Ok(())
    }

    /// Removes the file.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub(super) fn remove(self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(|error| failed(&self.path, error))
    }

    /// Where the next frame goes.
    #[cfg(test)]
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of frames that it has room for in all.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }
}

fn reuse(used: Segment, dir: &Path, making: &Path, number: u64) -> Result<File, StoreError> {
    fs::rename(&used.path, making).map_err(|error| failed(making, error))?;
    // Before the header changes: no crash may leave a file whose name and header disagree.
    directory::sync(dir)?;
    write_at(&used.file, 0, &header(number))
        .and_then(|()| used.file.sync_data())
        .map_err(|error| failed(making, error))?;
    Ok(used.file)
}

fn fill(making: &Path, number: u64, capacity: u64) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(making)?;
    let size = HEADER + capacity;
    let mut at = 0;
    while at < size {
        let chunk = ZEROS
            .len()
            .min(usize::try_from(size - at).unwrap_or(usize::MAX));
        (&file).write_all(&ZEROS[..chunk])?;
        at += chunk as u64;
    }
    write_at(&file, 0, &header(number))?;
    file.sync_all()?;
    Ok(file)
}

fn header(number: u64) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    header[..4].copy_from_slice(MAGIC);
    header[4..8].copy_from_slice(&FORMAT.to_be_bytes());
    header[8..].copy_from_slice(&number.to_be_bytes());
    header
}

/// A segment as a start finds it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) path: PathBuf,
}

impl Found {
    /// Removes the file.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(|error| failed(&self.path, error))
    }

    /// The whole frames from the start, and whether what follows them cannot be the end of the log: the frame after the next lies
    /// there whole.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`], and [`StoreError::Corrupt`] for a file that is no segment of that number.
    pub(super) fn frames(&self) -> Result<(Vec<Frame>, bool), StoreError> {
        let bytes = Bytes::from(fs::read(&self.path).map_err(|error| failed(&self.path, error))?);
        self.check_header(&bytes)?;
        let mut rest = bytes.slice(HEADER as usize..);
        let mut frames: Vec<Frame> = Vec::new();
        while let Some(frame) = Frame::decode(&rest, self.number) {
            // What a reused segment holds of this very number can only be older.
            if frames
                .last()
                .is_some_and(|last| last.seq() + 1 != frame.seq())
            {
                break;
            }
            rest = rest.slice(frame.bytes().len()..);
            frames.push(frame);
        }
        let is_gap = self.is_followed_by_a_frame(&rest, frames.last());
        Ok((frames, is_gap))
    }

    /// A commit is written when the one before it is on disk, so only the last can be incomplete.
    fn is_followed_by_a_frame(&self, rest: &Bytes, last: Option<&Frame>) -> bool {
        let Some(length) = rest.first_chunk() else {
            return false;
        };
        let next = super::frame::HEADER.saturating_add(u32::from_be_bytes(*length) as usize);
        rest.len() > next
            && Frame::decode(&rest.slice(next..), self.number)
                .is_some_and(|frame| last.is_none_or(|last| frame.seq() > last.seq()))
    }

    fn check_header(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path.clone();
        let Some(found) = bytes
            .get(..HEADER as usize)
            .filter(|h| h.starts_with(MAGIC))
        else {
            let reason = "it does not begin as a segment of the log does".into();
            return Err(StoreError::Corrupt { path, reason });
        };
        let format = u32::from_be_bytes([found[4], found[5], found[6], found[7]]);
        if format > FORMAT {
            return Err(StoreError::NewerFormat {
                found: format,
                supported: FORMAT,
                path,
            });
        }
        if found != header(self.number) {
            let reason = "its name and its header disagree about its number".into();
            return Err(StoreError::Corrupt { path, reason });
        }
        Ok(())
    }
}

/// The segments in `dir`, in order; what a crash left of one that was being made is removed.
///
/// # Errors
/// Whatever the file system answers.
pub(super) fn find(dir: &Path) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed(dir, error))? {
        let path = entry.map_err(|error| failed(dir, error))?.path();
        let extension = path.extension().and_then(|text| text.to_str());
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse().ok());
        match (number, extension) {
            (Some(_), Some(MAKING)) => {
                fs::remove_file(&path).map_err(|error| failed(&path, error))?;
            }
            (Some(number), Some(EXTENSION)) => found.push(Found { number, path }),
            // Not ours.
            _ => {}
        }
    }
    found.sort_by_key(|found| found.number);
    Ok(found)
}

fn file_name(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.{EXTENSION}"))
}

fn write_at(mut file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// What the system's answer means for whoever waits for the commit.
fn failed(path: &Path, error: io::Error) -> StoreError {
    let path = path.to_path_buf();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { path },
        ErrorKind::OutOfMemory | ErrorKind::ResourceBusy => StoreError::Busy {
            path,
            reason: error.to_string(),
        },
        _ => StoreError::Other {
            path,
            reason: error.to_string(),
        },
    }
}

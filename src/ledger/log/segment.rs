//! One file of the log: filled with zeros before its first frame, so that a commit changes no
//! metadata and its sync is one write to the disk.
//!
//! ```text
//! LOG/00000000000000000007.log    magic `HwLg` (4)   format (4)   number (8)   ledger's id (16)   checksum (4)
//!                                 mark: end of the frames (8)   last commit (8)   checksum (4)   bytes of the file (8)
//!                                 frames … zeros
//! ```
//!
//! A file gets its name once it is whole on disk, and the name is on disk before the first frame.
//! So a file under such a name is one that a commit may lie in. A segment whose commits are in the
//! database is taken as the next one, zeros or not: its old frames carry its old number.
//!
//! The mark is written when the next segment takes over, before that takes its first frame: a
//! segment that has it must read to its end, and the next one must be there. It shares a sector
//! with the beginning of the file, so that no damage takes the mark alone.
//!
//! A file has all its bytes before it gets its name, and nothing makes it shorter: one that is has
//! lost its end, and the commits in it. Segments of earlier releases have zeros where others say
//! how long they were made.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes};

use super::super::directory;
use super::super::store::StoreError;
use super::frame::{self, Frame, Home};
use super::pieces::Pieces;
use super::state::LedgerId;

const MAGIC: &[u8; 4] = b"HwLg";
const FORMAT: u32 = 2;
/// The format without id, chain and mark; see [`super::legacy`].
const LEGACY_FORMAT: u32 = 1;
const LEGACY_HEADER: u64 = 16;
/// Bytes before the first frame.
pub(super) const HEADER: u64 = 64;
/// Where the mark lies.
const MARK: usize = 36;
const MARK_END: usize = MARK + 20;
/// Where it says how long it was made; 0 in those of releases that did not say.
const SIZE: usize = MARK_END;
const EXTENSION: &str = "log";
/// A file on its way to becoming a segment; what a crash leaves of one is removed.
const MAKING: &str = "making";
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A segment that takes frames.
#[derive(Debug)]
pub(super) struct LogSegment {
    /// Its number, from 1, and whose it is.
    pub(super) home: Home,
    path: PathBuf,
    file: File,
    /// Where the next frame goes.
    end: u64,
    capacity: u64,
}

impl LogSegment {
    /// Makes the segment of `home` with room for `capacity` bytes of frames, out of a used one if
    /// that has just as much.
    ///
    /// # Errors
    /// [`StoreError::Full`] if there is no room for it; nothing is left behind then.
    pub(super) fn make(
        dir: &Path,
        home: Home,
        capacity: u64,
        used: Option<LogSegment>,
    ) -> Result<LogSegment, StoreError> {
        let number = home.segment;
        let making = dir.join(format!("{number:020}.{MAKING}"));
        let path = file_name(dir, number);
        let made = match used {
            Some(used) if used.capacity == capacity => reuse(used, dir, &making, home),
            other => {
                other.map(LogSegment::remove).transpose()?;
                fill(&making, home, capacity).map_err(|error| failed(&making, error))
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
        Ok(LogSegment {
            home,
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

    /// Writes a frame and waits until it is on disk. After an error the same place is written
    /// again.
    ///
    /// # Errors
    /// [`StoreError::Full`] and [`StoreError::Busy`] where the write was refused;
    /// [`StoreError::Other`] where the sync was: the system may have dropped the pages and call the
    /// next sync a success.
    pub(super) fn append(&mut self, frame: &Frame) -> Result<(), StoreError> {
        self.write(self.end, frame.bytes())?;
        self.end += frame.bytes().len() as u64;
        Ok(())
    }

    /// Marks that it takes no more frames, and that the next segment is there.
    ///
    /// # Errors
    /// As [`LogSegment::append`].
    pub(super) fn close(&self, last_seq: u64) -> Result<(), StoreError> {
        let closed = Closed {
            end: self.end,
            last_seq,
        };
        self.write(MARK as u64, &closed.encode(self.home))
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        write_at(&self.file, at, bytes).map_err(|error| failed(&self.path, error))?;
        self.file.sync_data().map_err(|error| StoreError::Other {
            path: self.path.clone(),
            reason: format!("sync failed: {error}"),
        })
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

fn reuse(used: LogSegment, dir: &Path, making: &Path, home: Home) -> Result<File, StoreError> {
    fs::rename(&used.path, making).map_err(|error| failed(making, error))?;
    // Before the header changes: no crash may leave a file whose name and header disagree.
    directory::sync(dir)?;
    write_at(&used.file, 0, &header(home, used.capacity))
        .and_then(|()| used.file.sync_data())
        .map_err(|error| failed(making, error))?;
    Ok(used.file)
}

fn fill(making: &Path, home: Home, capacity: u64) -> io::Result<File> {
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
    write_at(&file, 0, &header(home, capacity))?;
    file.sync_all()?;
    Ok(file)
}

fn header(home: Home, capacity: u64) -> [u8; HEADER as usize] {
    let mut header = [0; HEADER as usize];
    let mut out = &mut header[..];
    out.put_slice(MAGIC);
    out.put_u32(FORMAT);
    out.put_u64(home.segment);
    out.put_slice(&home.ledger.0);
    let checksum = frame::checksum(home, &header[..32]);
    header[32..MARK].copy_from_slice(&checksum.to_be_bytes());
    header[SIZE..].copy_from_slice(&(HEADER + capacity).to_be_bytes());
    header
}

/// What the mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    /// Where the frames end.
    pub(super) end: u64,
    /// The last commit in it, or in those before it if it has none.
    pub(super) last_seq: u64,
}

impl Closed {
    fn encode(self, home: Home) -> [u8; MARK_END - MARK] {
        let mut mark = [0; MARK_END - MARK];
        let mut out = &mut mark[..];
        out.put_u64(self.end);
        out.put_u64(self.last_seq);
        let checksum = frame::checksum(home, &mark[..16]);
        mark[16..].copy_from_slice(&checksum.to_be_bytes());
        mark
    }
}

/// A segment as a start finds it.
#[derive(Debug)]
pub(super) struct FoundSegment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
}

/// What one holds.
#[derive(Debug)]
pub(super) struct Contents {
    /// The whole file.
    bytes: Bytes,
    /// Whose it is; `None` if it has the format that does not say.
    pub(super) home: Option<Home>,
    /// The mark, if the next segment has taken over.
    pub(super) closed: Option<Closed>,
    /// How many bytes it was made with, if it has fewer now.
    pub(super) cut_from: Option<u64>,
    number: u64,
}

impl Contents {
    /// What is to be said of one that lost its end.
    pub(super) fn cut(&self) -> Option<String> {
        let (made, left) = (self.cut_from?, self.bytes.len());
        Some(format!(
            "it was made with {made} bytes and has {left}: its end is gone, and the commits in that"
        ))
    }

    /// The frames and what lies between them. Frames after commit `last` are looked for behind
    /// damage.
    pub(super) fn pieces(&self, last: u64) -> Pieces {
        let start = if self.home.is_some() {
            HEADER
        } else {
            LEGACY_HEADER
        };
        Pieces::new(self.bytes.clone(), start, self.home, self.number, last)
    }
}

impl FoundSegment {
    /// Removes the file.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(|error| failed(&self.path, error))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`], and [`StoreError::Corrupt`] for a file that is no segment of
    /// that number.
    pub(super) fn read(&self) -> Result<Contents, StoreError> {
        let bytes = Bytes::from(fs::read(&self.path).map_err(|error| failed(&self.path, error))?);
        let number = self.number;
        match self.format(&bytes)? {
            LEGACY_FORMAT => {
                if bytes.get(8..16) != Some(&number.to_be_bytes()) {
                    return Err(self.disagrees());
                }
                Ok(Contents {
                    bytes,
                    home: None,
                    closed: None,
                    cut_from: None,
                    number,
                })
            }
            _ => {
                let home = self.home(&bytes)?;
                let closed = self.mark(&bytes, home)?;
                let made = frame::u64_at(&bytes, SIZE);
                let cut_from = Some(made).filter(|made| *made > bytes.len() as u64);
                Ok(Contents {
                    cut_from,
                    bytes,
                    home: Some(home),
                    closed,
                    number,
                })
            }
        }
    }

    fn format(&self, bytes: &[u8]) -> Result<u32, StoreError> {
        let begins = bytes.get(..16).filter(|start| start.starts_with(MAGIC));
        let Some(start) = begins else {
            return Err(self.damaged("it does not begin as a segment of the log does"));
        };
        match frame::u32_at(start, 4) {
            0 => Err(self.damaged("it does not say which format it has")),
            // A number that somebody wrote, not a bit that flipped in ours.
            found if found > FORMAT && !self.is_whole(bytes) => {
                Err(self.damaged("what it says of its format cannot be"))
            }
            found if found > FORMAT => Err(StoreError::NewerFormat {
                found,
                supported: FORMAT,
                path: self.path.clone(),
            }),
            format => Ok(format),
        }
    }

    /// Whether a header has the checksum of what it says.
    fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes.get(..MARK).is_some_and(|begin| {
            let checksum = frame::checksum(self.home_in(begin), &begin[..32]);
            checksum.to_be_bytes() == begin[32..]
        })
    }

    /// What a header says of its ledger, at the place in it where this file's name puts it.
    fn home_in(&self, header: &[u8]) -> Home {
        let mut id = [0; 16];
        id.copy_from_slice(&header[16..32]);
        Home {
            ledger: LedgerId(id),
            segment: self.number,
        }
    }

    fn home(&self, bytes: &[u8]) -> Result<Home, StoreError> {
        let begin = bytes.get(..HEADER as usize);
        let begin = begin.ok_or_else(|| self.damaged("it ends before its first commit"))?;
        let home = self.home_in(begin);
        if begin[..MARK] != header(home, 0)[..MARK] {
            return Err(self.disagrees());
        }
        Ok(home)
    }

    fn mark(&self, bytes: &[u8], home: Home) -> Result<Option<Closed>, StoreError> {
        let mark = &bytes[MARK..MARK_END];
        if mark.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let closed = Closed {
            end: frame::u64_at(mark, 0),
            last_seq: frame::u64_at(mark, 8),
        };
        if mark != closed.encode(home) {
            return Err(self.damaged("what it says of its own end cannot be"));
        }
        Ok(Some(closed))
    }

    fn disagrees(&self) -> StoreError {
        self.damaged("its name and its header disagree about its number")
    }

    fn damaged(&self, reason: &str) -> StoreError {
        super::damaged(&self.path, reason)
    }
}

/// The segments in `dir`, in order; what a crash left of one that was being made is removed.
///
/// # Errors
/// Whatever the file system answers.
pub(super) fn find(dir: &Path) -> Result<Vec<FoundSegment>, StoreError> {
    let (found, half_made) = list(dir)?;
    for path in half_made {
        fs::remove_file(&path).map_err(|error| failed(&path, error))?;
    }
    Ok(found)
}

/// The segments in `dir`, in order, and what a crash left of one that was being made. A directory
/// that is not there has none.
///
/// # Errors
/// Whatever the file system answers.
pub(super) fn list(dir: &Path) -> Result<(Vec<FoundSegment>, Vec<PathBuf>), StoreError> {
    let (mut found, mut half_made) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((found, half_made)),
        entries => entries.map_err(|error| failed(dir, error))?,
    };
    for entry in entries {
        let path = entry.map_err(|error| failed(dir, error))?.path();
        let extension = path.extension().and_then(|text| text.to_str());
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse().ok());
        match (number, extension) {
            (Some(_), Some(MAKING)) => half_made.push(path),
            (Some(number), Some(EXTENSION)) => found.push(FoundSegment { number, path }),
            // Not ours.
            _ => {}
        }
    }
    found.sort_by_key(|found| found.number);
    Ok((found, half_made))
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

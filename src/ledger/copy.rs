//! A ledger of its own made from the rows of another: what backups and restores are, and repairs
//! fill.
//!
//! It owns the new directory until it is complete. A copy that was cut short says so when somebody
//! starts on it, and is removed if it failed.

use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::log::{LogState, begin, is_state, stream, survey};
use super::sqlite::{DATABASE_FILE, Inspection, RESTORING_FILE, bring_up_to_date};
use super::store::{Batch, Space, Store, StoreError, StoreReader};
use super::{SqliteStore, directory};

/// Bytes of keys and values that are read and written at once.
pub(super) const CHUNK: usize = 512 * 1024;
/// Above every key: none begins with so many of these.
pub(super) const END: [u8; 64] = [u8::MAX; 64];
/// How a stream of rows begins.
const GREETING: &str = "hallward-rows 1";

/// Rows go on to somewhere.
pub type Sink<'a> = &'a mut (dyn FnMut(&Batch) -> Result<(), StoreError> + 'a);

/// Hands all rows of a view to `sink`, some at a time.
///
/// # Errors
/// What reading meets, or `sink`.
pub fn rows(view: &dyn StoreReader, sink: Sink<'_>) -> Result<(), StoreError> {
    for space in Space::ALL {
        let mut batch = Batch::default();
        let mut failed = None;
        // In one go: whoever looks for a key again may find another place where a page is damaged.
        view.range(space, &[], &END, &mut |key, value| {
            if !is_state(space, key) {
                batch.put(space, key, value.to_vec());
            }
            if batch.bytes() < CHUNK {
                return ControlFlow::Continue(());
            }
            failed = sink(&std::mem::take(&mut batch)).err();
            match failed {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if !batch.is_empty() {
            sink(&batch)?;
        }
    }
    Ok(())
}

/// A directory that becomes a ledger.
#[derive(Debug)]
pub struct Target {
    store: Option<SqliteStore>,
    state: LogState,
    dir: PathBuf,
    /// It was not there before.
    is_new: bool,
}

impl Target {
    /// Begins one in a directory that is empty or not there.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`], and what making it meets.
    pub fn begin(dir: &Path) -> Result<Target, StoreError> {
        let is_new = !dir.exists();
        directory::create(dir)?;
        directory::expect_empty(dir, &[])?;
        let mut target = Target {
            store: None,
            state: begin(dir)?,
            dir: dir.into(),
            is_new,
        };
        let store = target.store.insert(SqliteStore::open(dir)?);
        target.state.write(store)?;
        Ok(target)
    }

    /// Adds rows.
    ///
    /// # Errors
    /// What the store answers. Nobody makes room meanwhile: a full disk is an end.
    pub fn add(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.store
            .as_mut()
            .map_or(Ok(()), |store| store.commit(batch))
    }

    /// It has everything.
    ///
    /// # Errors
    /// What the store answers.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.state.is_clean = true;
        if let Some(store) = &mut self.store {
            self.state.write(store)?;
        }
        self.store = None;
        directory::sync(&self.dir)
    }
}

impl Drop for Target {
    /// What is not complete is of no use. Best effort: what is left is refused by a start.
    fn drop(&mut self) {
        if self.store.take().is_none() && self.state.is_clean {
            return;
        }
        for name in directory::FILES_OF_A_STORE {
            let _ = fs::remove_file(self.dir.join(name));
        }
        if self.is_new {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

/// Sends all rows of a view, `bytes` of them as far as is known.
///
/// # Errors
/// What reading meets, or the other side.
pub fn send(view: &dyn StoreReader, bytes: u64, mut to: impl Write) -> Result<(), StoreError> {
    let broken = |error: io::Error| other(Path::new("the connection"), &error);
    writeln!(to, "{GREETING} {bytes}").map_err(broken)?;
    let mut sender = stream::Sender::new(to);
    rows(view, &mut |batch| sender.send(batch).map_err(broken))?;
    sender.finish().map_err(broken)
}

/// Says why nothing is sent, or no more.
pub fn refuse(mut to: impl Write, why: &str) {
    // Whoever asked may be gone.
    let _ = writeln!(to, "{}{}", stream::REFUSED, why.replace('\n', " "));
}

/// Receives what [`send`] sends; `sink` also hears how many bytes there are about.
///
/// # Errors
/// [`StoreError::Other`] in the words of a refusal, whenever it comes, or if the other side ended
/// early; what `sink` answers.
pub fn receive(
    from: impl Read,
    sink: &mut dyn FnMut(u64, &Batch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let broken = |error: io::Error| other(Path::new("the gateway's answer"), &error);
    let mut from = io::BufReader::new(from);
    let mut line = String::new();
    from.by_ref()
        .take(stream::MAX_REFUSAL)
        .read_line(&mut line)
        .map_err(broken)?;
    let greeting = line.trim_end().strip_prefix(GREETING).map(str::trim);
    let Some(bytes) = greeting.and_then(|bytes| bytes.parse().ok()) else {
        let reason = line
            .trim_end()
            .strip_prefix(stream::REFUSED)
            .unwrap_or("no rows came")
            .to_owned();
        let path = "the gateway".into();
        return Err(StoreError::Other { path, reason });
    };
    let mut receiver = stream::Receiver::new(from);
    while let Some(batch) = receiver.next().map_err(broken)? {
        sink(bytes, &batch)?;
    }
    Ok(())
}

/// Copies a backup into a data directory that is empty or not there, once it has seen that all of
/// it is whole.
///
/// # Errors
/// [`StoreError::NotEmpty`]; [`StoreError::Missing`] and [`StoreError::Corrupt`] for what is no
/// complete backup.
pub fn restore(backup: &Path, dir: &Path) -> Result<u64, StoreError> {
    let source = Inspection::open(backup)?;
    expect_complete(&source, backup)?;
    directory::create(dir)?;
    let lock = directory::lock(dir)?;
    let copy = dir.join(RESTORING_FILE);
    let companions = ["-wal", "-shm"].map(|suffix| format!("{RESTORING_FILE}{suffix}"));
    directory::expect_empty(dir, &[RESTORING_FILE, &companions[0], &companions[1]])?;
    for left in &companions {
        directory::remove(&dir.join(left))?;
    }
    fs::copy(backup.join(DATABASE_FILE), &copy)
        .and_then(|_| fs::File::open(&copy)?.sync_all())
        .map_err(|error| directory::refused(&copy, error))?;
    let rows = expect_whole(&copy, backup).inspect_err(|_| {
        // Best effort: the next restore removes it, too, and a start says that this one was not
        // finished.
        let _ = directory::remove(&copy);
    })?;
    bring_up_to_date(&copy)?;
    let database = dir.join(DATABASE_FILE);
    fs::rename(&copy, &database).map_err(|error| directory::refused(&database, error))?;
    directory::sync(dir)?;
    drop(lock);
    Ok(rows)
}

/// Sees that all of a copy is as it was written, and says how many rows it has.
fn expect_whole(copy: &Path, backup: &Path) -> Result<u64, StoreError> {
    let copied = Inspection::of(copy.into(), None)?;
    let mut problems = copied.problems();
    let rows = copied.rows();
    problems.extend(rows.lines());
    match problems.into_iter().next() {
        None => Ok(rows.rows),
        Some(reason) => Err(StoreError::Corrupt {
            path: backup.join(DATABASE_FILE),
            reason,
        }),
    }
}

fn expect_complete(source: &Inspection, backup: &Path) -> Result<(), StoreError> {
    // What says so may be damaged.
    LogState::read(&*source.reader()?, backup)?;
    let seen = survey::survey(backup, Some(&*source.reader()?), &mut |_| Ok(()))?;
    if seen.is_clean && seen.commits == 0 {
        return Ok(());
    }
    let reason = "it is not a finished backup, nor a ledger that was closed in order".into();
    Err(StoreError::Missing {
        path: backup.into(),
        reason,
    })
}

fn other(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => StoreError::Other {
            path: path.into(),
            reason: "it ended before all rows were there".into(),
        },
        _ => StoreError::Other {
            path: path.into(),
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
pub(super) mod tests;

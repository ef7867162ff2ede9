//! A ledger of its own made from the rows of another: what backups, restores and repairs are.
//!
//! It owns the new directory until it is complete. A copy that was cut short says so when somebody starts on it, and is removed if
//! it failed.

use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::log::{LOG_DIRECTORY, State, begin, is_state, stream, survey};
use super::sqlite::{DATABASE_FILE, Inspection, RESTORING_FILE};
use super::store::{Batch, Reader, Space, Store, StoreError};
use super::{SqliteStore, directory};

/// Bytes of keys and values that are read and written at once.
const CHUNK: usize = 512 * 1024;
/// Above every key: none begins with so many of these.
const END: [u8; 64] = [u8::MAX; 64];
/// How a stream of rows begins.
const GREETING: &str = "hallward-rows 1";

/// Rows go on to somewhere.
pub type Sink<'a> = &'a mut (dyn FnMut(&Batch) -> Result<(), StoreError> + 'a);

/// What was found, or done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// What is whole.
    pub whole: Vec<String>,
    /// What is not.
    pub problems: Vec<String>,
}

/// Hands all rows of a view to `sink`, some at a time.
///
/// # Errors
/// What reading meets, or `sink`.
pub fn rows(view: &dyn Reader, sink: Sink<'_>) -> Result<(), StoreError> {
    for space in Space::ALL {
        let mut from = Vec::new();
        loop {
            let mut batch = Batch::default();
            let mut last = None;
            view.range(space, &from, &END, &mut |key, value| {
                if !is_state(space, key) {
                    batch.put(space, key, value.to_vec());
                }
                last = Some(key.to_vec());
                if batch.bytes() < CHUNK {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            let is_last = batch.bytes() < CHUNK;
            if !batch.is_empty() {
                sink(&batch)?;
            }
            match last {
                Some(last) if !is_last => from = [&last[..], &[0]].concat(),
                _ => break,
            }
        }
    }
    Ok(())
}

/// A directory that becomes a ledger.
#[derive(Debug)]
pub struct Target {
    store: Option<SqliteStore>,
    state: State,
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
pub fn send(view: &dyn Reader, bytes: u64, mut to: impl Write) -> Result<(), StoreError> {
    let broken = |error: io::Error| other(Path::new("the connection"), &error);
    writeln!(to, "{GREETING} {bytes}").map_err(broken)?;
    let mut sender = stream::Sender::new(to);
    rows(view, &mut |batch| sender.send(batch).map_err(broken))?;
    sender.finish().map_err(broken)
}

/// Says why nothing is sent.
pub fn refuse(mut to: impl Write, why: &str) {
    // Whoever asked may be gone.
    let _ = writeln!(to, "refused {}", why.replace('\n', " "));
}

/// Receives what [`send`] sends; `sink` also hears how many bytes there are about.
///
/// # Errors
/// [`StoreError::Other`] in the words of a refusal, or if the other side ended early; what `sink` answers.
pub fn receive(
    from: impl Read,
    sink: &mut dyn FnMut(u64, &Batch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let broken = |error: io::Error| other(Path::new("the gateway's answer"), &error);
    let mut from = io::BufReader::new(from);
    let mut line = String::new();
    from.by_ref()
        .take(4096)
        .read_line(&mut line)
        .map_err(broken)?;
    let greeting = line.trim_end().strip_prefix(GREETING).map(str::trim);
    let Some(bytes) = greeting.and_then(|bytes| bytes.parse().ok()) else {
        let reason = line
            .trim_end()
            .strip_prefix("refused ")
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

/// Copies a backup into a data directory that is empty or not there, once it has seen that all of it is whole.
///
/// # Errors
/// [`StoreError::NotEmpty`]; [`StoreError::Missing`] and [`StoreError::Corrupt`] for what is no complete backup.
pub fn restore(backup: &Path, dir: &Path) -> Result<u64, StoreError> {
    let source = Inspection::open(backup)?;
    expect_complete(&source, backup)?;
    directory::create(dir)?;
    let lock = directory::lock(dir)?;
    directory::expect_empty(dir, &[RESTORING_FILE])?;
    let copy = dir.join(RESTORING_FILE);
    fs::copy(backup.join(DATABASE_FILE), &copy)
        .and_then(|_| fs::File::open(&copy)?.sync_all())
        .map_err(|error| directory::refused(&copy, error))?;
    let copied = Inspection::of(copy.clone(), None)?;
    let problems = copied.problems();
    if let Some(problem) = problems.first() {
        return Err(StoreError::Corrupt {
            path: copy,
            reason: problem.clone(),
        });
    }
    let rows = copied.rows()?;
    drop(copied);
    let database = dir.join(DATABASE_FILE);
    fs::rename(&copy, &database).map_err(|error| directory::refused(&database, error))?;
    directory::sync(dir)?;
    drop(lock);
    Ok(rows)
}

fn expect_complete(source: &Inspection, backup: &Path) -> Result<(), StoreError> {
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

/// Says what of a ledger is whole. Changes nothing.
///
/// # Errors
/// [`StoreError::Locked`], and what reading meets that tells nothing about the ledger.
pub fn check(dir: &Path) -> Result<Report, StoreError> {
    let database = Inspection::open(dir)?;
    let mut report = Report::default();
    let problems = database.problems();
    if problems.is_empty() {
        let rows = database.rows()?;
        report
            .whole
            .push(format!("{DATABASE_FILE}: {rows} rows, whole"));
    }
    let named = problems
        .iter()
        .map(|problem| format!("{DATABASE_FILE}: {problem}"));
    report.problems.extend(named);
    let reader = database.reader()?;
    let seen = survey::survey(dir, Some(&*reader), &mut |_| Ok(()))?;
    Ok(add_log(report, seen))
}

/// Copies what is whole into the directory `to`, which is empty or not there. With `up_to_damage` nothing that lies behind
/// damage in the log goes with it, so that the copy is what once was.
///
/// # Errors
/// As [`check`] and [`Target::begin`].
pub fn repair(dir: &Path, to: &Path, up_to_damage: bool) -> Result<Report, StoreError> {
    let database = match Inspection::open(dir) {
        Ok(database) => Some(database),
        Err(StoreError::Missing { .. }) if dir.join(LOG_DIRECTORY).is_dir() => None,
        Err(error) => return Err(error),
    };
    let mut target = Target::begin(to)?;
    let mut report = Report::default();
    let reader = match &database {
        Some(database) => {
            salvage(database, &mut target, &mut report)?;
            Some(database.reader()?)
        }
        None => {
            report
                .problems
                .push(format!("{DATABASE_FILE}: gone, only the log is copied"));
            None
        }
    };
    let mut commits = 0;
    let whole = |seen: &survey::Survey| seen.lost == 0;
    let limit = if up_to_damage {
        // What is whole before the first commit that is lost.
        let seen = survey::survey(dir, reader.as_deref(), &mut |_| Ok(()))?;
        if whole(&seen) {
            u64::MAX
        } else {
            seen.before_loss
        }
    } else {
        u64::MAX
    };
    let seen = survey::survey(dir, reader.as_deref(), &mut |batch| {
        if commits < limit {
            commits += 1;
            target.add(batch)?;
        }
        Ok(())
    })?;
    target.finish()?;
    report.whole.push(format!("{commits} commits of the log"));
    Ok(add_log(report, seen))
}

fn salvage(
    database: &Inspection,
    target: &mut Target,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut rows = 0_u64;
    for space in Space::ALL {
        let mut batch = Batch::default();
        let mut failed = None;
        let problems = database.salvage(space, &mut |key, value| {
            if !is_state(space, key) {
                batch.put(space, key, value.to_vec());
            }
            if batch.bytes() >= CHUNK {
                rows += batch.len() as u64;
                failed = target.add(&std::mem::take(&mut batch)).err();
            }
            match failed {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        rows += batch.len() as u64;
        target.add(&batch)?;
        report.problems.extend(problems);
    }
    report.whole.push(format!("{rows} rows of {DATABASE_FILE}"));
    Ok(())
}

fn add_log(mut report: Report, seen: survey::Survey) -> Report {
    report.whole.extend(seen.whole);
    report.problems.extend(seen.problems);
    if seen.lost > 0 {
        let (lost, commits) = (seen.lost, seen.commits);
        let words = format!("{lost} commits are lost, {commits} that the database lacks are whole");
        report.problems.push(words);
    }
    report
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
mod tests;

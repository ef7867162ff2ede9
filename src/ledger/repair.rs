//! What of a ledger is whole, and a new one made of that.
//!
//! It looks at files that no gateway uses and changes none of them. What it says of damage is
//! bounded; what it counts is not.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::copy::{CHUNK, END, Target};
use super::log::{LOG_DIRECTORY, is_state, look, replay, survey};
use super::sqlite::{DATABASE_FILE, Inspection, Salvaged};
use super::store::{Batch, Space, Store, StoreError, StoreReader, Visit, VisitKey, prefix_end};

/// What was found, or done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RepairReport {
    /// What is whole.
    pub whole: Vec<String>,
    /// What is not.
    pub problems: Vec<String>,
    /// What a repair did not copy.
    pub left_out: Vec<String>,
    /// What it copied.
    pub copied: Copied,
    /// Why no gateway would start on the copy, if so.
    pub refusal: Option<String>,
}

/// How much a repair copied.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Rows that the copy has.
    pub rows: u64,
    /// Commits of the log that the database lacked, and that are in them.
    pub commits: u64,
}

/// Says what of a ledger is whole. Changes nothing. Whatever in the files makes a start refuse is
/// among the problems.
///
/// # Errors
/// [`StoreError::Locked`], and what reading meets that tells nothing about the ledger.
pub fn check(dir: &Path) -> Result<RepairReport, StoreError> {
    let database = Inspection::open(dir)?;
    let mut report = RepairReport::default();
    let mut problems = database.problems();
    let rows = database.rows();
    problems.extend(rows.lines());
    if problems.is_empty() {
        report.whole.push(rows_in_words(&rows));
    }
    let named = problems
        .iter()
        .map(|problem| format!("{DATABASE_FILE}: {problem}"));
    report.problems.extend(named);
    let reader = database.reader()?;
    let seen = survey::survey(dir, Some(&*reader), &mut |_| Ok(()))?;
    let mut report = add_log(report, seen);
    if report.problems.is_empty()
        && let Err(refusal) = replay::verify(&*reader, &dir.join(LOG_DIRECTORY))
    {
        report.problems.push(in_words(dir, &refusal));
    }
    Ok(report)
}

/// A refusal without what can be done, which is said once for all.
fn in_words(dir: &Path, refusal: &StoreError) -> String {
    match refusal {
        StoreError::Corrupt { path, reason } | StoreError::Missing { path, reason } => {
            let path = path.strip_prefix(dir).unwrap_or(path);
            format!("{}: {reason}", path.display())
        }
        other => other.to_string(),
    }
}

fn rows_in_words(rows: &Salvaged) -> String {
    let all = format!("{DATABASE_FILE}: {}, all whole", count(rows.rows, "row"));
    match rows.unchecked {
        0 => all,
        unchecked => format!(
            "{all} as far as can be told: an older release wrote {unchecked} of them without a checksum; `hallward ledger compact` \
             gives them one"
        ),
    }
}

/// A number of things.
pub fn count(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// Copies what is whole into the directory `to`, which is empty or not there. With `up_to_damage`
/// nothing that lies behind damage in the log goes with it, so that the copy is what once was.
///
/// # Errors
/// As [`check`] and [`Target::begin`].
pub fn repair(dir: &Path, to: &Path, up_to_damage: bool) -> Result<RepairReport, StoreError> {
    let (database, without) = match Inspection::open_what_is_left(dir) {
        Ok(database) => (Some(database), String::new()),
        Err(StoreError::Missing { .. }) if dir.join(LOG_DIRECTORY).is_dir() => {
            (None, "it is gone, only what is in the log is copied".into())
        }
        Err(StoreError::Corrupt { path, reason }) => (None, instead(dir, path, &reason)?),
        Err(error) => return Err(error),
    };
    let mut target = Target::begin(to)?;
    let mut report = RepairReport::default();
    let reader = match &database {
        Some(database) => {
            salvage(database, &mut target, &mut report)?;
            Some(database.reader()?)
        }
        None => {
            report.problems.push(format!("{DATABASE_FILE}: {without}"));
            None
        }
    };
    if up_to_damage && !report.problems.is_empty() {
        let words = "the database is not whole: the copy is not what the ledger once was";
        report.problems.push(words.into());
    }
    let mut limit = u64::MAX;
    if up_to_damage {
        // What is whole before the first commit that is lost.
        let seen = survey::survey(dir, reader.as_deref(), &mut |_| Ok(()))?;
        if seen.lost > 0 {
            limit = seen.before_loss;
        }
    }
    let mut commits = 0;
    let seen = survey::survey(dir, reader.as_deref(), &mut |batch| {
        if commits < limit {
            commits += 1;
            target.add(batch)?;
        }
        Ok(())
    })?;
    target.finish()?;
    let behind = seen.commits - commits;
    let mut report = add_log(report, seen);
    report.copied = Copied {
        rows: Inspection::open(to)?.rows().rows,
        commits,
    };
    if behind > 0 {
        let commits = count(behind, "commit");
        let words = format!("{commits} of the log that lie behind the damage");
        report.left_out.push(words);
    }
    Ok(report)
}

/// What is said where nothing of the database can be read and the log has every commit from the
/// first one on.
fn instead(dir: &Path, path: PathBuf, reason: &str) -> Result<String, StoreError> {
    let seen = survey::survey(dir, None, &mut |_| Ok(()))?;
    if seen.commits > 0 && seen.lost == 0 && seen.problems.is_empty() {
        return Ok(format!(
            "nothing in it can be read ({reason}): what is copied is the log, which has every commit from the first one on, but not what \
             a restore or a repair had put into the database before"
        ));
    }
    let reason = format!(
        "nothing in it can be read ({reason}), and the log does not have every commit from the first one on: there is nothing to \
         copy; take a backup back with `hallward restore`"
    );
    Err(StoreError::Other { path, reason })
}

fn salvage(
    database: &Inspection,
    target: &mut Target,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let mut found = Salvaged::default();
    for space in Space::ALL {
        let mut batch = Batch::default();
        let mut failed = None;
        let of_space = database.salvage(space, &mut |key, value| {
            if !is_state(space, key) {
                batch.put(space, key, value.to_vec());
            }
            if batch.bytes() >= CHUNK {
                failed = target.add(&std::mem::take(&mut batch)).err();
            }
            match failed {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        target.add(&batch)?;
        found.add(of_space);
    }
    let named = found
        .lines()
        .into_iter()
        .map(|line| format!("{DATABASE_FILE}: {line}"));
    report.problems.extend(named);
    if found.damaged > 0 {
        let rows = count(found.damaged, "damaged row");
        report.left_out.push(format!("{rows} of {DATABASE_FILE}"));
    }
    if found.lost > 0 {
        let rows = count(found.lost, "row");
        let words = format!("{rows} of {DATABASE_FILE} that cannot be read");
        report.left_out.push(words);
    }
    if report.problems.is_empty() {
        report.whole.push(rows_in_words(&found));
    }
    Ok(())
}

fn add_log(mut report: RepairReport, seen: survey::Survey) -> RepairReport {
    report.whole.extend(seen.whole);
    report.problems.extend(seen.problems);
    if seen.lost > 0 {
        let (lost, whole) = (count(seen.lost, "commit"), count(seen.commits, "commit"));
        let are = if seen.lost == 1 { "is" } else { "are" };
        report.problems.push(format!(
            "in all, {lost} {are} lost; {whole} that the database lacks can be read"
        ));
    }
    report
}

/// What a start would read in a data directory that no gateway uses: the database, and what the log
/// has beside it.
///
/// # Errors
/// What reading meets.
pub fn read_only(dir: &Path) -> Result<ReadOnly, StoreError> {
    let database = Inspection::open(dir)?;
    let reader = look::look(dir, database.reader()?)?;
    Ok(ReadOnly {
        reader: SharedReader(Arc::new(Mutex::new(reader))),
        _database: database,
    })
}

/// A ledger that takes no commit. It has the directory for as long as it lives.
pub struct ReadOnly {
    reader: SharedReader,
    _database: Inspection,
}

#[derive(Clone)]
struct SharedReader(Arc<Mutex<Box<dyn StoreReader>>>);

impl SharedReader {
    fn lock(&self) -> MutexGuard<'_, Box<dyn StoreReader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoreReader for SharedReader {
    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        self.lock().range(space, from, to, visit)
    }

    fn keys(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: VisitKey<'_>,
    ) -> Result<(), StoreError> {
        self.lock().keys(space, from, to, visit)
    }
}

impl Store for ReadOnly {
    fn commit(&mut self, _: &Batch) -> Result<(), StoreError> {
        Err(StoreError::Other {
            path: DATABASE_FILE.into(),
            reason: "it was opened to be read".into(),
        })
    }

    fn scan(&self, space: Space, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        let end = prefix_end(prefix).unwrap_or_else(|| END.to_vec());
        self.reader.range(space, prefix, &end, visit)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut found = None;
        let end = [key, &[0]].concat();
        self.reader.range(space, key, &end, &mut |_, value| {
            found = Some(value.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        Ok(Box::new(self.reader.clone()))
    }

    fn view(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        self.reader()
    }
}

#[cfg(test)]
mod tests;

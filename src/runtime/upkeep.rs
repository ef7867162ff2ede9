//! What people do to a data directory: backups, checks, repairs. For the commands; a gateway that
//! runs is asked over its control socket, all else wants the directory for itself.

use std::path::Path;
use std::time::{Duration, Instant};

use super::control::ask_for_rows;
use super::{GatewayError, rehearsal};
use crate::config::Config;
use crate::ledger::copy::{self, Target};
use crate::ledger::repair;
use crate::ledger::{Batch, SqliteStore, Store, StoreError};

pub use crate::ledger::repair::{RepairReport, count};

/// How far a backup has got: bytes of keys and values, and about how many there are, 0 if that is
/// not known.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Copies what the gateway of `config` has committed now into the directory `to`, at most `rate`
/// bytes a second. Works whether or not it runs. Returns the rows copied.
///
/// # Errors
/// If `to` is not empty or has no room, or nothing can be read.
pub fn back_up(
    config: &Config,
    to: &Path,
    rate: u64,
    progress: Progress<'_>,
) -> Result<u64, GatewayError> {
    let dir = &config.data.dir;
    let asked = ask_for_rows(dir).map_err(|error| {
        GatewayError::Failed(format!(
            "cannot ask the gateway that uses {}: {error}",
            dir.display()
        ))
    })?;
    let mut copying = Copying {
        target: Target::begin(to)?,
        rate,
        begun: Instant::now(),
        rows: 0,
        bytes: 0,
        progress,
    };
    match asked {
        Some(stream) => copy::receive(stream, &mut |all, batch| copying.add(all, batch))?,
        None => copy_stopped(config, &mut copying)?,
    }
    let rows = copying.rows;
    copying.target.finish()?;
    Ok(rows)
}

/// Nobody runs: what is in its log goes to the database first, as a start would do it.
fn copy_stopped(config: &Config, copying: &mut Copying<'_>) -> Result<(), StoreError> {
    let dir = &config.data.dir;
    expect_ledger(dir)?;
    let store = crate::ledger::open(dir, config.data.log())?;
    let view = store.view()?;
    copy::rows(&*view, &mut |batch| copying.add(0, batch))
}

struct Copying<'a> {
    target: Target,
    rate: u64,
    begun: Instant,
    rows: u64,
    bytes: u64,
    progress: Progress<'a>,
}

impl Copying<'_> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a pace is time, and nothing else happens on this thread"
    )]
    fn add(&mut self, all: u64, batch: &Batch) -> Result<(), StoreError> {
        self.target.add(batch)?;
        self.rows += batch.len() as u64;
        self.bytes += batch.bytes() as u64;
        (self.progress)(self.bytes, all);
        // Commits share the disk. A gateway that sends waits for whoever receives.
        let due = Duration::from_millis(self.bytes.saturating_mul(1000) / self.rate.max(1));
        std::thread::sleep(due.saturating_sub(self.begun.elapsed()));
        Ok(())
    }
}

/// Copies a backup to where the gateway of `config` keeps its data, which must be empty or not
/// there. Returns the rows restored.
///
/// # Errors
/// If that is not empty, or the backup is not complete and whole.
pub fn restore(config: &Config, backup: &Path) -> Result<u64, GatewayError> {
    Ok(copy::restore(backup, &config.data.dir)?)
}

/// Says what in a data directory is whole; changes nothing. Where it names no problem, a gateway
/// starts on it.
///
/// # Errors
/// If it is in use, or nothing can be said.
pub fn check(dir: &Path) -> Result<RepairReport, GatewayError> {
    let mut report = repair::check(dir)?;
    if report.problems.is_empty()
        && let Err(refusal) = rehearsal::rehearse(&repair::read_only(dir)?)
    {
        report.problems.push(refusal.to_string());
    }
    Ok(report)
}

/// Copies what is whole in a data directory to another, on which a gateway starts: what cannot be
/// read without something that is lost is left out as well.
///
/// # Errors
/// If it is in use, or the other is not empty or has no room.
pub fn repair(dir: &Path, to: &Path, up_to_damage: bool) -> Result<RepairReport, GatewayError> {
    let mut report = repair::repair(dir, to, up_to_damage)?;
    rehearsal::fit(&mut SqliteStore::open(to)?, &mut report)?;
    Ok(report)
}

/// Writes the database anew without what it does not need. Returns its size before and after.
///
/// # Errors
/// If it is in use or there is no room.
pub fn compact(dir: &Path) -> Result<(u64, u64), GatewayError> {
    expect_ledger(dir)?;
    let mut store = SqliteStore::open(dir)?;
    let size = |store: &SqliteStore| {
        let size = store.size();
        size.map_err(|error| GatewayError::Failed(format!("{}: {error}", dir.display())))
    };
    let before = size(&store)?;
    store.compact()?;
    Ok((before, size(&store)?))
}

/// A command that reads makes no ledger.
fn expect_ledger(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(crate::ledger::sqlite::DATABASE_FILE);
    if path.exists() {
        return Ok(());
    }
    let reason = "there is no database".into();
    Err(StoreError::Missing { path, reason })
}

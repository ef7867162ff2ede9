//! Opening a gateway's ledger: looked at first, so that a start which is refused for its log has
//! changed nothing.

use std::path::Path;

use super::log::{LOG_DIRECTORY, replay};
use super::sqlite::{DATABASE_FILE, Inspection};
use super::store::{Store, StoreError};
use super::{LogLimits, LoggedStore, MemoryStore, SqliteStore};

/// Opens the ledger in `dir`, creating it if need be, and keeps every other instance out until it
/// is dropped.
///
/// # Errors
/// What of the files is not as it must be. Nothing is changed then, unless it is a row of the
/// database that shows it, which is read when the log is in the database.
pub fn open(dir: &Path, limits: LogLimits) -> Result<LoggedStore<SqliteStore>, StoreError> {
    let log = dir.join(LOG_DIRECTORY);
    if dir.join(DATABASE_FILE).exists() {
        let database = Inspection::open(dir)?;
        replay::verify(&*database.reader()?, &log)?;
    } else if log.is_dir() {
        // As a start sees it that makes one.
        replay::verify(&*MemoryStore::new().reader()?, &log)?;
    }
    LoggedStore::open(SqliteStore::open(dir)?, dir, limits)
}

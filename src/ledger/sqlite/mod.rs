//! The store on disk: one SQLite file in WAL mode, synced on every commit.
//!
//! It owns `hallward.db` and its companions in the data directory, and holds `lock` there while it
//! lives. It never decides what is written. The committer's thread calls it; recovery scans it
//! before that thread starts.
//!
//! **Layout.** One ordinary table per space with a unique index on the key, 4 KiB pages. Measured
//! for queues (append, then delete from the front, 2,000 rows between) against `WITHOUT ROWID`: the
//! latter writes a quarter less per commit for 256 B values committed one by one, about even at 512
//! B, and from 1.5 KiB on costs 1.5 to 2.3 times the ordinary table, because rows above a quarter
//! of a page spill to overflow pages and fan-out collapses. Messages go up to 64 KiB, so the
//! ordinary table it is. 8 and 16 KiB pages are faster in large commits, but a lone 256 B record
//! then costs two to three times the bytes, which wears the flash of an edge box; 4 KiB is the
//! middle.
//!
//! **Rows.** Each carries a checksum over its table, key and value: SQLite looks at the structure
//! of its pages, not at what stands in them. It is checked wherever a value is read; whoever reads
//! keys alone takes them as the index has them.
//!
//! **Memory.** 4 MiB of page cache per store, no memory map (an I/O error would become a signal,
//! and the map counts as resident), temporary b-trees in memory because the ledger needs none.

mod checkpoint;
mod format;
mod inspect;
mod reader;
mod rows;
mod salvage;
mod seal;
mod vacuum;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, ffi};

use self::checkpoint::{Checkpointer, WalFrames};
#[cfg(test)]
pub(super) use self::format::file_of_format;
pub(super) use self::inspect::{Inspection, Salvaged};
use self::reader::SqliteReader;
use self::rows::{ReadError, RowVerdict};
pub(super) use self::seal::bring_up_to_date;
use super::directory;
use super::store::{Batch, Space, Store, StoreError, StoreReader, Tidied, Visit, prefix_end};

/// The database file in the data directory.
pub const DATABASE_FILE: &str = "hallward.db";
/// A database on its way into a data directory.
pub(super) const RESTORING_FILE: &str = "hallward.db.restoring";
const CACHE_KIB: u32 = 1024;
/// Only an outside tool (a backup, a shell) can hold the file, and it gets this long before the
/// commit counts as stalled.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// Put, delete, get and two kinds of scan for every space, and a few of the store's own.
const CACHED_STATEMENTS: usize = Space::ALL.len() * 5 + 8;

/// How large the write-ahead log may grow, in pages of 4 KiB.
#[derive(Debug, Clone, Copy)]
pub struct WalLimits {
    /// From here the checkpointer's thread copies it back.
    pub soft_pages: u64,
    /// From here a commit waits for a checkpoint first. A reader from outside can hold the log
    /// beyond it.
    pub hard_pages: u64,
}

impl Default for WalLimits {
    fn default() -> Self {
        Self {
            soft_pages: 1024,
            hard_pages: 16 * 1024,
        }
    }
}

impl WalLimits {
    /// How long its file may stay.
    fn kept_pages(self) -> u64 {
        self.soft_pages * 2
    }
}

/// The ledger's store on disk. See the module for its shape.
#[derive(Debug)]
pub struct SqliteStore {
    // Fields drop in this order: see `checkpoint` for why the second handle of the file outlives
    // the connections.
    checkpointer: Option<Checkpointer>,
    connection: Connection,
    statements: [Statements; Space::ALL.len()],
    limits: WalLimits,
    /// The log's length at which the checkpointer is called next.
    call_at: u64,
    wal: WalFrames,
    path: PathBuf,
    database: Arc<File>,
    _lock: File,
}

#[derive(Debug)]
struct Statements {
    put: String,
    delete: String,
    get: String,
    scan: String,
    scan_to_end: String,
}

impl Statements {
    fn of(space: Space) -> Self {
        let table = space.name();
        Self {
            put: format!(
                "INSERT INTO {table} (k, v, c) VALUES (?1, ?2, ?3)
                 ON CONFLICT (k) DO UPDATE SET v = excluded.v, c = excluded.c"
            ),
            delete: format!("DELETE FROM {table} WHERE k = ?1"),
            get: format!("SELECT v, c FROM {table} WHERE k = ?1"),
            scan: format!("SELECT k, v, c FROM {table} WHERE k >= ?1 AND k < ?2 ORDER BY k"),
            scan_to_end: format!("SELECT k, v, c FROM {table} WHERE k >= ?1 ORDER BY k"),
        }
    }
}

impl SqliteStore {
    /// Opens the ledger in `dir`, creating both if need be, and keeps every other instance out
    /// until it is dropped.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NotADirectory`] and [`StoreError::NotWritable`] about
    /// the directory; [`StoreError::NewerFormat`], [`StoreError::Foreign`] and
    /// [`StoreError::Corrupt`] about the file in it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, WalLimits::default())
    }

    /// As [`SqliteStore::open`], with other bounds for the write-ahead log.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with(dir: &Path, limits: WalLimits) -> Result<Self, StoreError> {
        directory::create(dir)?;
        let lock = directory::lock(dir)?;
        let path = dir.join(DATABASE_FILE);
        if !path.exists() && dir.join(RESTORING_FILE).exists() {
            let reason = "a restore was not finished: run it again".into();
            return Err(StoreError::Missing { path, reason });
        }
        let fail = |error| store_error(&path, &error);
        let mut connection = connect(&path).map_err(fail)?;
        format::check(&connection, &path)?;
        format::expect_shapes(&connection, &path)?;
        configure(&connection, limits, &path)?;
        format::migrate(&mut connection, &path)?;
        // Frames left by an unclean end may sit in the page cache of the system alone, after a
        // failed sync: copying them into the database and syncing that makes them durable whatever
        // happened before.
        checkpoint::truncate(&connection).map_err(fail)?;
        directory::sync(dir)?;

        let database = directory::open_for_sync(&path)?;
        let second = connect(&path).map_err(fail)?;
        let checkpointer = Checkpointer::spawn(second, Arc::clone(&database), path.clone())
            .map_err(|error| StoreError::Other {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            checkpointer: Some(checkpointer),
            connection,
            statements: Space::ALL.map(Statements::of),
            limits,
            call_at: limits.soft_pages,
            wal: WalFrames::default(),
            path,
            database,
            _lock: lock,
        })
    }

    /// Bytes of the database file, the write-ahead log not counted.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub fn size(&self) -> io::Result<u64> {
        Ok(std::fs::metadata(&self.path)?.len())
    }

    /// Writes the file anew without what it does not need, in the form that can give pages back
    /// later, and with a checksum in every row. Needs as much room again as what it keeps.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Corrupt`] for a row that is not as it was written, and
    /// what else the file meets; nothing is lost.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        let _turn = self.checkpointer.as_ref().map(Checkpointer::turn);
        seal::seal(&self.connection, &self.path)?;
        let fail = |error| store_error(&self.path, &error);
        self.connection
            .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")
            .map_err(fail)?;
        checkpoint::truncate(&self.connection)
            .map(|_| ())
            .map_err(fail)
    }

    /// Makes the database behave as on a disk of so many pages.
    #[cfg(test)]
    fn limit_pages(&self, pages: u32) {
        self.connection
            .pragma_update(None, "max_page_count", pages)
            .unwrap();
    }

    fn statements(&self, space: Space) -> &Statements {
        &self.statements[space.index()]
    }

    /// A log past its hard limit is copied back here and now, so that a checkpointer that cannot
    /// keep up slows the commits instead of filling the disk.
    fn bound_wal(&mut self) -> Result<(), rusqlite::Error> {
        if self.wal.log < self.limits.hard_pages {
            return Ok(());
        }
        checkpoint::passive(&self.connection)?;
        self.note_wal();
        if self.wal.left() > 0 {
            tracing::debug!(
                pages = self.wal.log,
                "write-ahead log is held past its hard limit, by a reader or a running checkpoint"
            );
        }
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), rusqlite::Error> {
        let transaction =
            Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        for (space, key, value) in batch.iter() {
            let statements = self.statements(space);
            match value {
                Some(value) => transaction.prepare_cached(&statements.put)?.execute((
                    key,
                    &value[..],
                    rows::checksum(space, key, value),
                ))?,
                None => transaction
                    .prepare_cached(&statements.delete)?
                    .execute((key,))?,
            };
        }
        transaction.commit()
    }

    fn visit_rows(&self, space: Space, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        let end = prefix_end(prefix);
        let statements = self.statements(space);
        let sql = if end.is_some() {
            &statements.scan
        } else {
            &statements.scan_to_end
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = match &end {
            Some(end) => statement.query((prefix, end.as_slice()))?,
            None => statement.query((prefix,))?,
        };
        rows::visit(space, found, visit)
    }

    /// Looks at the log's length and calls the checkpointer once for every `soft_pages` that it
    /// grew.
    fn call_checkpointer(&mut self) {
        let before = self.wal.log;
        self.note_wal();
        if self.wal.log < before {
            self.call_at = self.limits.soft_pages;
        }
        if self.wal.log >= self.call_at
            && let Some(checkpointer) = &self.checkpointer
        {
            checkpointer.call();
            self.call_at = self.wal.log + self.limits.soft_pages;
        }
    }

    /// There is nothing else to do: the files become as short as what is in them.
    fn cut_wal(&mut self, tidied: &Tidied, is_quiet: bool) {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let pages = match is_quiet {
            true => checkpoint::TAIL_PAGES.min(self.limits.soft_pages),
            false => self.limits.kept_pages(),
        };
        let is_slack = vacuum::is_slack(&self.path, log.as_ref(), tidied, pages);
        if let Some(checkpointer) = self.checkpointer.as_ref().filter(|_| is_slack) {
            checkpointer.call_to_cut();
        }
    }

    /// Best effort: the batch is durable already, and the next commit looks again.
    fn note_wal(&mut self) {
        if let Ok(frames) = checkpoint::frames(&self.connection) {
            self.wal = frames;
        }
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.bound_wal()
            .map_err(|error| store_error(&self.path, &error))?;
        {
            let _turn = self.checkpointer.as_ref().map(Checkpointer::turn);
            self.write(batch)
                .map_err(|error| store_error(&self.path, &error))?;
        }
        self.call_checkpointer();
        Ok(())
    }

    fn scan(&self, space: Space, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.visit_rows(space, prefix, visit)
            .map_err(|error| error.of(&self.path))
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let get = || {
            let mut statement = self
                .connection
                .prepare_cached(&self.statements(space).get)?;
            let mut found = statement.query((key,))?;
            let Some(row) = found.next()? else {
                return Ok(None);
            };
            let found = rows::look_up(space, key, row)?;
            match found.verdict {
                RowVerdict::Damaged => Err(ReadError::Damaged(rows::damage(space, key))),
                _ => Ok(Some(found.value.to_vec())),
            }
        };
        get().map_err(|error| error.of(&self.path))
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        let reader = SqliteReader::open(self.path.clone(), Arc::clone(&self.database))?;
        Ok(Box::new(reader))
    }

    fn view(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        let reader = SqliteReader::open(self.path.clone(), Arc::clone(&self.database))?;
        Ok(Box::new(reader.pin()?))
    }

    fn tidy(&mut self, is_quiet: bool) -> Result<Tidied, StoreError> {
        let fail = |error| store_error(&self.path, &error);
        let stepped = {
            let _turn = self.checkpointer.as_ref().map(Checkpointer::turn);
            vacuum::step(&self.connection, is_quiet)
        };
        let tidied = stepped.map_err(fail)?;
        if tidied.has_more {
            self.call_checkpointer();
            return Ok(tidied);
        }
        if is_quiet {
            vacuum::forget_pages(&self.connection).map_err(fail)?;
        }
        self.cut_wal(&tidied, is_quiet);
        Ok(tidied)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // Ends the thread and its connection before the last checkpoint.
        self.checkpointer = None;
        if let Err(error) = checkpoint::truncate(&self.connection) {
            tracing::warn!(%error, path = %self.path.display(), "write-ahead log kept, the next start reads it");
        }
    }
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -{CACHE_KIB};
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;"
    ))?;
    Ok(connection)
}

/// The settings that touch the file: after its format is known to be ours.
fn configure(connection: &Connection, limits: WalLimits, path: &Path) -> Result<(), StoreError> {
    let fail = |error| store_error(path, &error);
    connection
        .pragma_update(None, "page_size", format::PAGE_BYTES)
        .map_err(fail)?;
    // Means something only while the file is empty, and WAL mode writes its first page.
    connection
        .pragma_update(None, "auto_vacuum", "INCREMENTAL")
        .map_err(fail)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(fail)?;
    if !mode.eq_ignore_ascii_case("wal") {
        let reason = format!(
            "the file system offers journal mode {mode}, expected wal: is it a network share?"
        );
        return Err(StoreError::Other {
            path: path.into(),
            reason,
        });
    }
    // A burst may leave a large log behind; it shrinks to this when it starts over.
    let keep = limits.kept_pages() * u64::from(format::PAGE_BYTES);
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    connection
        .pragma_update_and_check(None, "journal_size_limit", keep, |_| Ok(()))
        .map_err(fail)
}

/// What the engine's answer means for whoever waits for the commit.
fn store_error(path: &Path, error: &rusqlite::Error) -> StoreError {
    let (path, reason) = (path.to_path_buf(), error.to_string());
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return StoreError::Other { path, reason };
    };
    match (failure.code, failure.extended_code) {
        // Growing the shared index of the log is the first thing to fail when only a few blocks are
        // left.
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => StoreError::Full { path },
        // A refused write (a quota, say) changed nothing. A refused sync is another matter: the
        // system may have dropped the pages and call the next sync a success, so only a restart
        // that copies the log anew is safe.
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory, _)
        | (_, ffi::SQLITE_IOERR_WRITE) => StoreError::Busy { path, reason },
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => {
            StoreError::Corrupt { path, reason }
        }
        (ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied, _) => {
            StoreError::NotWritable {
                path,
                source: Arc::new(io::Error::other(reason)),
            }
        }
        _ => StoreError::Other { path, reason },
    }
}

#[cfg(test)]
mod tests;

//! A look at a ledger's file that changes nothing, for whoever checks, copies or saves it.
//!
//! It holds the directory's lock, so that no gateway begins to write meanwhile.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::super::directory;
use super::super::store::{Reader, Space, StoreError, Visit};
use super::reader::SqliteReader;
use super::{BUSY_TIMEOUT, DATABASE_FILE, format, store_error};

/// What is said of a damaged file at most.
const MAX_PROBLEMS: usize = 20;

/// A file of the ledger that is looked at.
pub(in super::super) struct Inspection {
    connection: Connection,
    path: PathBuf,
    _lock: Option<File>,
}

impl Inspection {
    /// Looks at the database in a data directory that no gateway uses.
    pub(in super::super) fn open(dir: &Path) -> Result<Inspection, StoreError> {
        let lock = directory::lock_if_there(dir)?;
        Inspection::of(dir.join(DATABASE_FILE), lock)
    }

    /// Looks at a file whose directory is locked already.
    pub(in super::super) fn of(
        path: PathBuf,
        lock: Option<File>,
    ) -> Result<Inspection, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing {
                reason: "there is no database".into(),
                path,
            });
        }
        let connection = read_only(&path).map_err(|error| store_error(&path, &error))?;
        format::check(&connection, &path)?;
        Ok(Inspection {
            connection,
            path,
            _lock: lock,
        })
    }

    /// What SQLite finds wrong with the file; nothing if it is whole.
    pub(in super::super) fn problems(&self) -> Vec<String> {
        let pragma = format!("PRAGMA integrity_check({MAX_PROBLEMS})");
        let check = || {
            let mut statement = self.connection.prepare(&pragma)?;
            let lines = statement.query_map((), |row| row.get::<_, String>(0))?;
            lines.collect::<Result<Vec<_>, _>>()
        };
        match check() {
            Ok(lines) => lines.into_iter().filter(|line| line != "ok").collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    /// Rows in all spaces.
    pub(in super::super) fn rows(&self) -> Result<u64, StoreError> {
        let mut rows = 0;
        for space in self.spaces()? {
            let sql = format!("SELECT count(*) FROM {}", space.name());
            let count = self
                .connection
                .query_row(&sql, (), |row| row.get::<_, i64>(0));
            let count = count.map_err(|error| store_error(&self.path, &error))?;
            rows += u64::try_from(count).unwrap_or_default();
        }
        Ok(rows)
    }

    /// Reads the rows.
    pub(in super::super) fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        let connection = read_only(&self.path).map_err(|error| store_error(&self.path, &error))?;
        Ok(Box::new(SqliteReader::new(
            connection,
            self.path.clone(),
            None,
        )))
    }

    /// Every row of a space that can be read, some of them several times; with what could not.
    pub(in super::super) fn salvage(
        &self,
        space: Space,
        visit: Visit<'_>,
    ) -> Result<Vec<String>, StoreError> {
        if !self.spaces()?.contains(&space) {
            return Ok(Vec::new());
        }
        let table = space.name();
        // By key; and if a page is damaged there, what lies before and behind it.
        let ways = [
            format!("SELECT k, v FROM {table} ORDER BY k"),
            format!("SELECT k, v FROM {table} ORDER BY k DESC"),
            format!("SELECT k, v FROM {table} NOT INDEXED ORDER BY rowid"),
            format!("SELECT k, v FROM {table} NOT INDEXED ORDER BY rowid DESC"),
        ];
        let mut problems = Vec::new();
        for way in ways {
            match self.visit(&way, visit) {
                Ok(()) if problems.is_empty() => break,
                Ok(()) => {}
                Err(error) => problems.push(format!("table {table}: {error}")),
            }
        }
        problems.dedup();
        Ok(problems)
    }

    fn visit(&self, sql: &str, visit: Visit<'_>) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            if visit(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Those that the file has: older formats lack some.
    fn spaces(&self) -> Result<Vec<Space>, StoreError> {
        let has = |space: &Space| {
            let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
            self.connection
                .query_row(sql, (space.name(),), |row| row.get::<_, i64>(0))
        };
        let mut spaces = Vec::new();
        for space in Space::ALL {
            if has(&space).map_err(|error| store_error(&self.path, &error))? > 0 {
                spaces.push(space);
            }
        }
        Ok(spaces)
    }
}

/// A file without a write-ahead log is opened as one that nobody changes, so that nothing is made beside it.
fn read_only(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        // Writing to a string does not fail.
        let _ = match byte {
            b'/' | b'.' | b'-' | b'_' => write!(uri, "{}", char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => write!(uri, "{}", char::from(*byte)),
            byte => write!(uri, "%{byte:02X}"),
        };
    }
    if !has_log {
        uri.push_str("?immutable=1");
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
    Ok(connection)
}

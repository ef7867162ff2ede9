//! A look at a ledger's file that changes nothing, for whoever checks, copies or saves it.
//!
//! It holds the directory's lock, so that no gateway begins to write meanwhile.

use std::fmt::Write as _;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::super::directory;
use super::super::log::is_state;
use super::super::store::{Space, StoreError, StoreReader};
use super::format::Shape;
use super::reader::SqliteReader;
use super::rows::{self, RowVerdict};
use super::{BUSY_TIMEOUT, DATABASE_FILE, format, store_error};

/// What is said of a damaged file at most.
const MAX_PROBLEMS: usize = 20;

/// What was found of rows.
#[derive(Debug, Default)]
pub(in super::super) struct Salvaged {
    /// All that were read, damaged or not, but for what the ledger keeps of itself.
    pub(in super::super) rows: u64,
    /// Those that an older release wrote, without a checksum.
    pub(in super::super) unchecked: u64,
    /// Those that are not what was written, in words: some of them.
    pub(in super::super) named: Vec<String>,
    /// All of those.
    pub(in super::super) damaged: u64,
    /// Those that cannot be read, in words: some of them.
    pub(in super::super) lost_named: Vec<String>,
    /// All of those whose keys are known.
    pub(in super::super) lost: u64,
    /// What reading met otherwise.
    pub(in super::super) problems: Vec<String>,
}

impl Salvaged {
    pub(super) fn damage(&mut self, space: Space, key: &[u8]) {
        self.damaged += 1;
        if self.named.len() < MAX_PROBLEMS {
            self.named.push(rows::damage(space, key));
        }
    }

    pub(super) fn lose(&mut self, space: Space, key: &[u8]) {
        self.lost += 1;
        if self.lost_named.len() < MAX_PROBLEMS {
            self.lost_named.push(rows::loss(space, key));
        }
    }

    /// Adds what was found of another table.
    pub(in super::super) fn add(&mut self, other: Salvaged) {
        self.rows += other.rows;
        self.unchecked += other.unchecked;
        self.damaged += other.damaged;
        let room = MAX_PROBLEMS - self.named.len();
        self.named.extend(other.named.into_iter().take(room));
        self.lost += other.lost;
        let room = MAX_PROBLEMS - self.lost_named.len();
        self.lost_named
            .extend(other.lost_named.into_iter().take(room));
        self.problems.extend(other.problems);
    }

    /// What is wrong, in lines: a bounded number of them.
    pub(in super::super) fn lines(&self) -> Vec<String> {
        let mut lines = self.problems.clone();
        lines.extend(self.named.iter().cloned());
        let more = self.damaged - self.named.len() as u64;
        if more > 0 {
            lines.push(format!("and {more} more rows are not what was written"));
        }
        lines.extend(self.lost_named.iter().cloned());
        let more = self.lost - self.lost_named.len() as u64;
        if more > 0 {
            lines.push(format!("and {more} more rows are lost"));
        }
        lines
    }
}

/// A file of the ledger that is looked at.
pub(in super::super) struct Inspection {
    connection: Connection,
    shapes: [Shape; Space::ALL.len()],
    path: PathBuf,
    /// Less of the file is there than it says.
    is_short: bool,
    _lock: Option<File>,
}

impl Inspection {
    /// Looks at the database in a data directory that no gateway uses.
    pub(in super::super) fn open(dir: &Path) -> Result<Inspection, StoreError> {
        let lock = directory::lock_if_there(dir)?;
        Inspection::of(dir.join(DATABASE_FILE), lock)
    }

    /// As [`Inspection::open`], also where the end of the file is gone: for whoever takes what is
    /// left.
    pub(in super::super) fn open_what_is_left(dir: &Path) -> Result<Inspection, StoreError> {
        Inspection::open(dir).or_else(|refusal| match refusal {
            StoreError::Corrupt { .. } => {
                let lock = directory::lock_if_there(dir)?;
                Inspection::look_at(dir.join(DATABASE_FILE), lock, true).map_err(|_| refusal)
            }
            refusal => Err(refusal),
        })
    }

    /// Looks at a file whose directory is locked already.
    pub(in super::super) fn of(
        path: PathBuf,
        lock: Option<File>,
    ) -> Result<Inspection, StoreError> {
        Inspection::look_at(path, lock, false)
    }

    fn look_at(
        path: PathBuf,
        lock: Option<File>,
        is_short: bool,
    ) -> Result<Inspection, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing {
                reason: "there is no database".into(),
                path,
            });
        }
        let connection = read_only(&path, is_short).map_err(|error| store_error(&path, &error))?;
        format::check(&connection, &path)?;
        let shapes = format::shapes(&connection).map_err(|error| store_error(&path, &error))?;
        Ok(Inspection {
            connection,
            shapes,
            path,
            is_short,
            _lock: lock,
        })
    }

    /// What SQLite finds wrong with the file, and whether its tables are those of its format;
    /// nothing if all is well.
    pub(in super::super) fn problems(&self) -> Vec<String> {
        let pragma = format!("PRAGMA integrity_check({MAX_PROBLEMS})");
        let check = || {
            let mut statement = self.connection.prepare(&pragma)?;
            let lines = statement.query_map((), |row| row.get::<_, String>(0))?;
            lines.collect::<Result<Vec<_>, _>>()
        };
        let mut problems = match check() {
            Ok(lines) => lines.into_iter().filter(|line| line != "ok").collect(),
            Err(error) => vec![error.to_string()],
        };
        match format::expect_shapes(&self.connection, &self.path) {
            Err(StoreError::Corrupt { reason, .. }) => problems.push(reason),
            Err(error) => problems.push(error.to_string()),
            Ok(()) => {}
        }
        problems
    }

    /// Reads all rows as a start would, and says which are damaged.
    pub(in super::super) fn rows(&self) -> Salvaged {
        let mut found = Salvaged::default();
        for space in Space::ALL {
            let mut of_space = Salvaged::default();
            if let Some(sql) = self.by_key(space) {
                let read = self.look(space, &sql, &mut |row| {
                    let counts = u64::from(!is_state(space, row.key));
                    of_space.rows += counts;
                    match row.verdict {
                        RowVerdict::Whole => {}
                        RowVerdict::Unchecked => of_space.unchecked += counts,
                        RowVerdict::Damaged => of_space.damage(space, row.key),
                    }
                });
                if let Err(error) = read {
                    let table = space.name();
                    of_space = self.salvage(space, &mut |_, _| ControlFlow::Continue(()));
                    of_space.problems.push(format!("table {table}: {error}"));
                    of_space.problems.sort();
                    of_space.problems.dedup();
                }
            }
            found.add(of_space);
        }
        found
    }

    /// Reads the rows.
    pub(in super::super) fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        let connection = read_only(&self.path, self.is_short)
            .map_err(|error| store_error(&self.path, &error))?;
        Ok(Box::new(SqliteReader::new(
            connection,
            self.path.clone(),
            self.shapes,
            None,
        )))
    }

    /// Where a space's rows are.
    pub(super) fn table(&self, space: Space) -> (&Connection, Shape) {
        (&self.connection, self.shapes[space.index()])
    }

    /// Reads a space's rows by key, as a start does.
    fn by_key(&self, space: Space) -> Option<String> {
        let (table, shape) = (space.name(), self.shapes[space.index()]);
        let sum = shape.checksum();
        let select = || format!("SELECT k, v, {sum} FROM {table} ORDER BY k");
        (shape != Shape::Missing).then(select)
    }

    fn look(
        &self,
        space: Space,
        sql: &str,
        visit: &mut dyn FnMut(rows::FoundRow<'_>),
    ) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare(sql)?;
        let mut found = statement.query(())?;
        while let Some(row) = found.next()? {
            visit(rows::look(space, row, 0)?);
        }
        Ok(())
    }
}

/// A file without a write-ahead log is opened as one that nobody changes, so that nothing is made
/// beside it.
fn read_only(path: &Path, is_short: bool) -> Result<Connection, rusqlite::Error> {
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
    if is_short {
        // Has SQLite open a file that has fewer pages than its header says; nothing can be written
        // here.
        connection.execute_batch("PRAGMA writable_schema = ON;")?;
    }
    Ok(connection)
}

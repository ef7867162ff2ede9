//! A second way into the file, for whoever reads while the committer commits.
//!
//! It owns a connection that cannot write. Each call is a read transaction of its own and ends with
//! the call, so that it holds back no checkpoint for longer than that.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;

use super::super::store::{Space, StoreError, StoreReader, Visit, VisitKey};
use super::format::Shape;
use super::{connect, rows, store_error};

/// What is read is a page here and a page there: little of it is worth keeping.
const CACHE_KIB: u32 = 1024;

/// Reads the ledger of a [`super::SqliteStore`].
pub(super) struct SqliteReader {
    connection: Connection,
    /// None for a table that the file does not have.
    statements: [Option<ReaderStatements>; Space::ALL.len()],
    path: PathBuf,
    // Closed after the connection: see `checkpoint`.
    _database: Option<Arc<File>>,
}

struct ReaderStatements {
    range: String,
    keys: String,
}

impl ReaderStatements {
    fn of(space: Space, shape: Shape) -> Option<ReaderStatements> {
        let (table, sum) = (space.name(), shape.checksum());
        (shape != Shape::Missing).then(|| ReaderStatements {
            range: format!("SELECT k, v, {sum} FROM {table} WHERE k >= ?1 AND k < ?2 ORDER BY k"),
            keys: format!("SELECT k FROM {table} WHERE k >= ?1 AND k < ?2 ORDER BY k"),
        })
    }
}

impl SqliteReader {
    pub(super) fn open(path: PathBuf, database: Arc<File>) -> Result<SqliteReader, StoreError> {
        let open = || {
            let connection = connect(&path)?;
            connection.execute_batch(&format!(
                "PRAGMA query_only = ON; PRAGMA cache_size = -{CACHE_KIB};"
            ))?;
            Ok(connection)
        };
        let connection = open().map_err(|error| store_error(&path, &error))?;
        let shapes = [Shape::Checked; Space::ALL.len()];
        Ok(SqliteReader::new(connection, path, shapes, Some(database)))
    }

    /// Reads through a connection that cannot write.
    pub(super) fn new(
        connection: Connection,
        path: PathBuf,
        shapes: [Shape; Space::ALL.len()],
        database: Option<Arc<File>>,
    ) -> SqliteReader {
        SqliteReader {
            connection,
            statements: Space::ALL.map(|space| ReaderStatements::of(space, shapes[space.index()])),
            path,
            _database: database,
        }
    }
}

impl SqliteReader {
    /// From now on sees what there is now. Holds back checkpoints for as long as it lives.
    pub(super) fn pin(self) -> Result<SqliteReader, StoreError> {
        // The first read is what begins the transaction.
        let begun = self
            .connection
            .execute_batch("BEGIN DEFERRED; SELECT count(*) FROM sqlite_schema;");
        begun.map_err(|error| store_error(&self.path, &error))?;
        Ok(self)
    }
}

impl StoreReader for SqliteReader {
    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(statements) = &self.statements[space.index()] else {
            return Ok(());
        };
        let mut read = || {
            let mut statement = self.connection.prepare_cached(&statements.range)?;
            rows::visit(space, statement.query((from, to))?, visit)
        };
        read().map_err(|error| error.of(&self.path))
    }

    fn keys(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: VisitKey<'_>,
    ) -> Result<(), StoreError> {
        let Some(statements) = &self.statements[space.index()] else {
            return Ok(());
        };
        let mut read = || {
            let mut statement = self.connection.prepare_cached(&statements.keys)?;
            let mut rows = statement.query((from, to))?;
            while let Some(row) = rows.next()? {
                if visit(row.get_ref(0)?.as_blob()?).is_break() {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|error| store_error(&self.path, &error))
    }
}

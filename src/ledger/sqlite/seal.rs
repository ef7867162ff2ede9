//! Checksums for the rows of older releases, which have none: where a file is rewritten or copied
//! anyway.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::super::store::{Space, StoreError};
use super::rows::{self, ReadError, RowVerdict};
use super::{WalLimits, checkpoint, configure, connect, format, store_error};

/// Rows that are looked at between two commits, and bytes of them.
const CHUNK_ROWS: usize = 4096;
const CHUNK_BYTES: usize = 512 * 1024;

/// Brings a file that nobody uses to the current format, with a checksum in every row.
pub(in super::super) fn bring_up_to_date(path: &Path) -> Result<(), StoreError> {
    let fail = |error| store_error(path, &error);
    let mut connection = connect(path).map_err(fail)?;
    format::check(&connection, path)?;
    format::expect_shapes(&connection, path)?;
    configure(&connection, WalLimits::default(), path)?;
    format::migrate(&mut connection, path)?;
    seal(&connection, path)?;
    checkpoint::truncate(&connection).map_err(fail)?;
    connection.close().map_err(|(_, error)| fail(error))
}

/// Writes a checksum into each row that has none, and sees that all others are as they were
/// written.
pub(super) fn seal(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    for space in Space::ALL {
        let mut from = Some(i64::MIN);
        while let Some(row) = from {
            from = seal_some(connection, space, row).map_err(|error| error.of(path))?;
        }
    }
    Ok(())
}

/// Seals rows from `from` on; says where to go on.
fn seal_some(connection: &Connection, space: Space, from: i64) -> Result<Option<i64>, ReadError> {
    let table = space.name();
    let (mut sums, mut seen, mut bytes, mut next) = (Vec::new(), 0, 0, None);
    {
        let sql = format!(
            "SELECT rowid, k, v, c FROM {table} NOT INDEXED WHERE rowid >= ?1 ORDER BY rowid"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut found = statement.query((from,))?;
        while let Some(row) = found.next()? {
            let id: i64 = row.get(0)?;
            if seen == CHUNK_ROWS || bytes >= CHUNK_BYTES {
                next = Some(id);
                break;
            }
            let read = rows::look(space, row, 1)?;
            match read.verdict {
                RowVerdict::Whole => {}
                RowVerdict::Unchecked => {
                    sums.push((rows::checksum(space, read.key, read.value), id));
                }
                RowVerdict::Damaged => {
                    return Err(ReadError::Damaged(rows::damage(space, read.key)));
                }
            }
            seen += 1;
            bytes += read.key.len() + read.value.len();
        }
    }
    if !sums.is_empty() {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let sql = format!("UPDATE {table} SET c = ?1 WHERE rowid = ?2");
        for sum in sums {
            transaction.prepare_cached(&sql)?.execute(sum)?;
        }
        transaction.commit()?;
    }
    Ok(next)
}

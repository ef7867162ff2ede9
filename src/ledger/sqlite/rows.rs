//! What a row says of itself: a checksum over its table, key and value, so that a bit that flips is
//! not taken for what was written.
//!
//! Rows that a release before format 5 wrote have none until they are written again. The checksum
//! is the log's (CRC-32, IEEE).

use std::ops::ControlFlow;

use rusqlite::types::ValueRef;
use rusqlite::{Row, Rows};

use super::super::store::{Space, StoreError, Visit};
use super::store_error;

/// Bytes of a key that are shown.
const SHOWN: usize = 96;

/// What a row's checksum must be.
pub(super) fn checksum(space: Space, key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[space.code()]);
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// Whether a row is as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowVerdict {
    Whole,
    /// An older release wrote it, without a checksum.
    Unchecked,
    Damaged,
}

/// A row as it was found.
pub(super) struct FoundRow<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) verdict: RowVerdict,
}

/// Judges a row of the columns `k`, `v` and `c`, which begin at `first`.
pub(super) fn look<'a>(
    space: Space,
    row: &'a Row<'_>,
    first: usize,
) -> Result<FoundRow<'a>, rusqlite::Error> {
    let (key, value) = (row.get_ref(first)?, row.get_ref(first + 1)?);
    let sum = row.get_ref(first + 2)?;
    Ok(judge(space, key, value, sum))
}

/// Judges a row whose key is known, of the columns `v` and `c`.
pub(super) fn look_up<'a>(
    space: Space,
    key: &'a [u8],
    row: &'a Row<'_>,
) -> Result<FoundRow<'a>, rusqlite::Error> {
    let (value, sum) = (row.get_ref(0)?, row.get_ref(1)?);
    Ok(judge(space, ValueRef::Blob(key), value, sum))
}

fn judge<'a>(
    space: Space,
    key: ValueRef<'a>,
    value: ValueRef<'a>,
    sum: ValueRef<'a>,
) -> FoundRow<'a> {
    let are_blobs = matches!((key, value), (ValueRef::Blob(_), ValueRef::Blob(_)));
    let (key, value) = (bytes(key), bytes(value));
    let verdict = match sum {
        _ if !are_blobs => RowVerdict::Damaged,
        ValueRef::Null => RowVerdict::Unchecked,
        ValueRef::Integer(sum) if sum == i64::from(checksum(space, key, value)) => {
            RowVerdict::Whole
        }
        _ => RowVerdict::Damaged,
    };
    FoundRow {
        key,
        value,
        verdict,
    }
}

/// All that can be shown of a column that should have bytes.
fn bytes(column: ValueRef<'_>) -> &[u8] {
    match column {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes,
        _ => &[],
    }
}

/// What reading rows meets.
#[derive(Debug)]
pub(super) enum ReadError {
    Sqlite(rusqlite::Error),
    /// A row that is not what was written, in words.
    Damaged(String),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> ReadError {
        ReadError::Sqlite(error)
    }
}

impl ReadError {
    pub(super) fn of(self, path: &std::path::Path) -> StoreError {
        match self {
            ReadError::Sqlite(error) => store_error(path, &error),
            ReadError::Damaged(reason) => StoreError::Corrupt {
                path: path.into(),
                reason,
            },
        }
    }
}

/// Hands rows of `k`, `v` and `c`, which come in the order of their keys, to `visit`.
pub(super) fn visit(space: Space, mut rows: Rows<'_>, visit: Visit<'_>) -> Result<(), ReadError> {
    let mut order = Order::default();
    while let Some(row) = rows.next()? {
        let found = look(space, row, 0)?;
        if found.verdict == RowVerdict::Damaged {
            return Err(ReadError::Damaged(damage(space, found.key)));
        }
        order.expect(space, found.key)?;
        if visit(found.key, found.value) == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(())
}

/// Sees that keys rise: those that do not have lost others between them.
#[derive(Default)]
struct Order {
    last: Vec<u8>,
    begun: bool,
}

impl Order {
    fn expect(&mut self, space: Space, key: &[u8]) -> Result<(), ReadError> {
        if self.begun && self.last[..] >= *key {
            let (table, key) = (space.name(), show(key));
            let words = format!("the index of table {table} is out of order at the key {key}");
            return Err(ReadError::Damaged(words));
        }
        self.begun = true;
        self.last.clear();
        self.last.extend_from_slice(key);
        Ok(())
    }
}

/// What is said of a row that is not as it was written.
pub(super) fn damage(space: Space, key: &[u8]) -> String {
    let (table, key) = (space.name(), show(key));
    format!("the row of table {table} with the key {key} is not what was written there")
}

/// What is said of a row whose key is all that is left.
pub(super) fn loss(space: Space, key: &[u8]) -> String {
    let (table, key) = (space.name(), show(key));
    format!("the row of table {table} with the key {key} cannot be read: it is lost")
}

/// A key in print.
fn show(key: &[u8]) -> String {
    let (shown, rest) = key.split_at(key.len().min(SHOWN));
    match rest.len() {
        0 => format!("\"{}\"", shown.escape_ascii()),
        more => format!("\"{}\" (and {more} bytes more)", shown.escape_ascii()),
    }
}

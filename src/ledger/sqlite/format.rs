//! The file format: whose file it is, which version it has, and how an older one becomes a current
//! one.
//!
//! It owns the application id, the version and the list of migrations. It never touches a file of
//! another program or of a newer release.

use std::path::Path;

use rusqlite::{Connection, Transaction};

use super::{Space, StoreError, store_error};

/// Bytes of a database page.
pub(super) const PAGE_BYTES: u32 = 4096;
/// `Hwrd` in ASCII, in the header of every ledger.
const APPLICATION_ID: u32 = 0x4877_7264;

/// Step `n` takes a file from version `n` to `n + 1`. Released steps are never edited, only
/// followed by new ones, and spell out the names that were current then.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta     (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE engine   (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE session  (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE outbox   (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE inbound  (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE retained (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) STRICT;
",
    "
    CREATE TABLE journal  (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) STRICT;
",
    // From here on commits may lie in the log beside the file: releases that do not know it must
    // not open the file.
    "",
    // From here on the log is chained and the database says which of it must be there: releases
    // that do not know that would neither read it nor notice that it is gone.
    "",
    // A row's checksum, none in those that are there: no file is rewritten for it.
    "
    ALTER TABLE meta     ADD COLUMN c INTEGER;
    ALTER TABLE engine   ADD COLUMN c INTEGER;
    ALTER TABLE session  ADD COLUMN c INTEGER;
    ALTER TABLE outbox   ADD COLUMN c INTEGER;
    ALTER TABLE inbound  ADD COLUMN c INTEGER;
    ALTER TABLE retained ADD COLUMN c INTEGER;
    ALTER TABLE journal  ADD COLUMN c INTEGER;
",
    "
    CREATE TABLE bridge   (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL, c INTEGER) STRICT;
",
];

/// The newest version that this build reads.
pub(super) const SUPPORTED: u32 = MIGRATIONS.len() as u32;

/// The first version whose rows have checksums.
const WITH_CHECKSUMS: u32 = 5;
/// The first version that has each table but the first six.
const WITH_JOURNAL: u32 = 2;
const WITH_BRIDGE: u32 = 6;

/// What a file has of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// No table.
    Missing,
    /// Rows without checksums.
    Bare,
    /// Rows with checksums.
    Checked,
}

impl Shape {
    /// What a file of this version has.
    fn expected(version: u32, space: Space) -> Shape {
        match version {
            0 => Shape::Missing,
            _ if version < WITH_JOURNAL && space == Space::Journal => Shape::Missing,
            _ if version < WITH_BRIDGE && space == Space::Bridge => Shape::Missing,
            _ if version < WITH_CHECKSUMS => Shape::Bare,
            _ => Shape::Checked,
        }
    }

    /// What to select for a row's checksum.
    pub(super) fn checksum(self) -> &'static str {
        match self {
            Shape::Checked => "c",
            Shape::Bare | Shape::Missing => "NULL",
        }
    }
}

/// What a file has of each space, whatever its version says.
pub(super) fn shapes(
    connection: &Connection,
) -> Result<[Shape; Space::ALL.len()], rusqlite::Error> {
    let mut shapes = [Shape::Missing; Space::ALL.len()];
    let mut columns = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    for space in Space::ALL {
        let names = columns.query_map((space.name(),), |row| row.get::<_, String>(0))?;
        let names = names.collect::<Result<Vec<_>, _>>()?;
        shapes[space.index()] = match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["k", "v"] => Shape::Bare,
            ["k", "v", "c"] => Shape::Checked,
            _ => Shape::Missing,
        };
    }
    Ok(shapes)
}

/// Sees that a file has the tables that its version says.
pub(super) fn expect_shapes(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let fail = |error| store_error(path, &error);
    let version = pragma(connection, "user_version").map_err(fail)?;
    let shapes = shapes(connection).map_err(fail)?;
    let differs = |space: &Space| shapes[space.index()] != Shape::expected(version, *space);
    match Space::ALL.into_iter().find(differs) {
        None => Ok(()),
        Some(space) => Err(StoreError::Corrupt {
            path: path.into(),
            reason: format!(
                "it says that it has format {version}, and its table {} is not of that format",
                space.name()
            ),
        }),
    }
}

/// Refuses files that are not ours to open, without changing them.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let fail = |error| store_error(path, &error);
    let application_id = pragma(connection, "application_id").map_err(fail)?;
    let found = pragma(connection, "user_version").map_err(fail)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
        .map_err(fail)?;
    let empty = application_id == 0 && found == 0 && tables == 0;
    if application_id != APPLICATION_ID && !empty {
        return Err(StoreError::Foreign {
            found: application_id,
            path: path.into(),
        });
    }
    if found > SUPPORTED {
        return Err(StoreError::NewerFormat {
            found,
            supported: SUPPORTED,
            path: path.into(),
        });
    }
    Ok(())
}

/// Takes the file to [`SUPPORTED`], each step in a transaction of its own, so that a crash repeats
/// at most one.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let fail = |error| store_error(path, &error);
    let found = pragma(connection, "user_version").map_err(fail)?;
    for (from, step) in (0u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction().map_err(fail)?;
        take_step(&transaction, from, step)
            .and_then(|()| transaction.commit())
            .map_err(fail)?;
        if found > 0 {
            tracing::info!(path = %path.display(), from, to = from + 1, "ledger format brought up to date");
        }
    }
    if found == 0 {
        tracing::info!(path = %path.display(), format = SUPPORTED, "new ledger");
    }
    Ok(())
}

fn take_step(transaction: &Transaction<'_>, from: u32, step: &str) -> Result<(), rusqlite::Error> {
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", from + 1)
}

/// A file as a release of this format made it.
#[cfg(test)]
pub(in super::super) fn file_of_format(path: &Path, version: u32) -> Connection {
    let mut file = Connection::open(path).unwrap();
    for (from, step) in (0..version).zip(MIGRATIONS) {
        let transaction = file.transaction().unwrap();
        take_step(&transaction, from, step).unwrap();
        transaction.commit().unwrap();
    }
    file
}

/// Both ids are signed 32-bit numbers in the file; ours are not negative, and a foreign negative
/// one stays recognisable.
fn pragma(connection: &Connection, name: &str) -> Result<u32, rusqlite::Error> {
    connection
        .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
        .map(i32::cast_unsigned)
}

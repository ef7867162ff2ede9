//! Giving pages back that hold nothing, a few at a time.
//!
//! A new file keeps the pointers that this needs (`auto_vacuum`). A file of an older release does
//! not: it is rewritten once by `hallward ledger compact`, and reuses its free pages until then.

use std::path::Path;

use rusqlite::Connection;

use super::super::store::Tidied;
use super::format;

/// Pages moved in a step: half a megabyte that the disk writes.
const STEP: u64 = 128;
/// So many free pages stay, and [`KEPT_SHARE`] of the file: a queue that fills and empties would
/// move them for nothing.
const KEPT: u64 = 1024;
/// So many while it is quiet.
const KEPT_IN_QUIET: u64 = 128;
const KEPT_SHARE: u64 = 16;

/// One step, if there is enough to give back.
pub(super) fn step(connection: &Connection, is_quiet: bool) -> Result<Tidied, rusqlite::Error> {
    let number = |pragma| {
        connection.pragma_query_value(None, pragma, |row| {
            row.get::<_, i64>(0)
                .map(|n| u64::try_from(n).unwrap_or_default())
        })
    };
    let (pages, free) = (number("page_count")?, number("freelist_count")?);
    let least = if is_quiet { KEPT_IN_QUIET } else { KEPT };
    let kept = least.max(pages / KEPT_SHARE);
    let can_move = number("auto_vacuum")? == INCREMENTAL;
    let gone = free.saturating_sub(kept).min(STEP);
    if can_move && gone > 0 {
        let sql = format!("PRAGMA incremental_vacuum({gone})");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query(())?;
        // Each row that is asked for moves one page.
        while rows.next()?.is_some() {}
    }
    let has_more = can_move && gone == STEP;
    let bytes = |pages: u64| pages * u64::from(format::PAGE_BYTES);
    Ok(Tidied {
        bytes: bytes(number("page_count")?),
        free_bytes: bytes(number("freelist_count")?),
        has_more,
    })
}

/// Gives back the memory of pages that are only kept to be read again.
pub(super) fn forget_pages(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch("PRAGMA shrink_memory")
}

/// Whether the files are longer than what is in them: pages that were given back are still in the
/// database's until its log is copied, and the log's keeps the length of the longest burst. So many
/// pages of that do not count.
pub(super) fn is_slack(database: &Path, log: &Path, tidied: &Tidied, log_pages: u64) -> bool {
    let len = |path| std::fs::metadata(path).map_or(0, |file| file.len());
    len(database) > tidied.bytes || len(log) > log_pages * u64::from(format::PAGE_BYTES)
}

/// What `auto_vacuum` is called in a file that gives pages back when asked.
pub(super) const INCREMENTAL: u64 = 2;

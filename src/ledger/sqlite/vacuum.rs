//! Giving pages back that hold nothing, a few at a time.
//!
//! A new file keeps the pointers that this needs (`auto_vacuum`). A file of an older release does not: it is rewritten once by
//! `hallward ledger compact`, and reuses its free pages until then.

use rusqlite::Connection;

use super::super::store::Tidied;
use super::{checkpoint, format};

/// Pages moved in a step: half a megabyte that the disk writes.
const STEP: u64 = 128;
/// So many free pages stay, and [`KEPT_SHARE`] of the file: a queue that fills and empties would move them for nothing.
const KEPT: u64 = 1024;
const KEPT_SHARE: u64 = 16;

/// One step, if there is enough to give back.
pub(super) fn step(connection: &Connection) -> Result<Tidied, rusqlite::Error> {
    let number = |pragma| {
        connection.pragma_query_value(None, pragma, |row| {
            row.get::<_, i64>(0)
                .map(|n| u64::try_from(n).unwrap_or_default())
        })
    };
    let (pages, free) = (number("page_count")?, number("freelist_count")?);
    let kept = KEPT.max(pages / KEPT_SHARE);
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
    if can_move && gone > 0 && !has_more {
        // The file shrinks when its log is copied back.
        checkpoint::passive(connection)?;
    }
    let bytes = |pages: u64| pages * u64::from(format::PAGE_BYTES);
    Ok(Tidied {
        bytes: bytes(number("page_count")?),
        free_bytes: bytes(number("freelist_count")?),
        has_more,
    })
}

/// What `auto_vacuum` is called in a file that gives pages back when asked.
pub(super) const INCREMENTAL: u64 = 2;

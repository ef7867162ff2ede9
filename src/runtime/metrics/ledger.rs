//! Figures of the ledger: commits, and the log in front of the database.

use super::{gauge, histogram};
use crate::http::Metric;
use crate::ledger::{CommitHealth, CommitState, LogStats};

/// The log in front of the database.
pub(in super::super) fn log(stats: &LogStats) -> Vec<Metric> {
    vec![
        gauge(
            "log_full_segments",
            "Full files of the commit log that wait to be copied to the database.",
            stats.full_segments.value(),
        ),
        Metric::counter(
            "log_segments_flushed",
            "Files of the commit log copied to the database.",
            stats.flushed_segments.value(),
        ),
        Metric::counter(
            "log_rows_flushed",
            "Rows of the database written or deleted.",
            stats.flushed_rows.value(),
        ),
        Metric::counter(
            "log_failures",
            "Attempts to copy or to make a file of the commit log that failed; each is tried again.",
            stats.failures.value(),
        ),
        gauge(
            "ledger_database_bytes",
            "Bytes of the database's file, as of the last time that there was time to look.",
            stats.database_bytes.value(),
        ),
        gauge(
            "ledger_database_free_bytes",
            "Bytes of it that hold nothing; they are used again, or given back while there is time.",
            stats.free_bytes.value(),
        ),
        Metric::counter(
            "log_waits",
            "Commits that waited for the next file of the commit log.",
            stats.waits.value(),
        ),
    ]
}

/// Commits.
pub(in super::super) fn ledger(health: &CommitHealth) -> Vec<Metric> {
    let ok = matches!(health.state(), CommitState::Ok);
    vec![
        gauge(
            "ledger_ok",
            "1 while commits reach the disk.",
            u64::from(ok),
        ),
        Metric::counter("ledger_commits", "Batches made durable.", health.commits()),
        Metric::counter("ledger_rows", "Rows written or deleted.", health.rows()),
        Metric::counter(
            "ledger_bytes",
            "Bytes of keys and values committed.",
            health.bytes(),
        ),
        Metric::histogram(
            "ledger_commit_seconds",
            "From handing a batch to the ledger until it is on disk: what waits there for the commit before it included.",
            histogram(&health.latency),
        ),
        Metric::seconds(
            "ledger_sync_seconds",
            "Time spent in commits.",
            health.sync_time().as_secs_f64(),
        ),
        Metric::gauge(
            "ledger_last_sync_seconds",
            "Time of the last commit.",
            health.last_sync_time().as_secs_f64(),
        ),
        Metric::counter(
            "ledger_stalls",
            "Times that the disk began to refuse.",
            health.stalls(),
        ),
    ]
}

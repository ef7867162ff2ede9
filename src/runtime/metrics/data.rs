//! The data directory, as the file system sees it.

use std::path::Path;

use crate::http::Metric;
use crate::ledger::DiskUse;

/// How much of the disk it takes.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating-point in the format"
)]
pub(in crate::runtime) fn data(directory: &Path) -> Vec<Metric> {
    let found = DiskUse::of(directory);
    let parts = [
        ("database", found.database),
        ("log", found.log),
        ("other", found.other),
    ];
    vec![Metric::gauges(
        "data_bytes",
        "Bytes of the disk that the data directory takes: the database with its own log, the commit log, the rest.",
        "part",
        parts.map(|(part, bytes)| (part, bytes as f64)),
    )]
}

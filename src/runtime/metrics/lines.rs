//! Log lines that nobody can read.

use crate::http::Metric;
use crate::runtime::log::lost_lines;

/// What the log lost.
pub(in crate::runtime) fn log_lines() -> Vec<Metric> {
    let (full, failed) = lost_lines();
    vec![Metric::counters(
        "log_lines_lost",
        "Log lines that were not written.",
        "reason",
        [("full", full), ("failed", failed)],
    )]
}

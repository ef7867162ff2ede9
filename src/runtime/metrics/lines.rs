//! Log lines that nobody can read.

use crate::diary::Diary;
use crate::http::Metric;
use crate::runtime::log::lost_lines;

/// What the log lost, and what it left out.
pub(in crate::runtime) fn log_lines(diary: &Diary) -> Vec<Metric> {
    let (full, failed) = lost_lines();
    vec![
        Metric::counters(
            "log_lines_lost",
            "Log lines that were not written.",
            "reason",
            [("full", full), ("failed", failed)],
        ),
        Metric::counter(
            "log_lines_limited",
            "Log lines about clients that were lines at debug, because there were such lines enough that minute.",
            diary.unwritten.value(),
        ),
    ]
}

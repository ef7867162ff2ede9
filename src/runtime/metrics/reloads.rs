//! The configuration, and how often it was read again.

use super::gauge;
use crate::http::Metric;
use crate::runtime::ReloadStats;

/// What came of reading it again.
pub(in crate::runtime) fn reloads(stats: &ReloadStats) -> Vec<Metric> {
    vec![
        Metric::counters(
            "config_reloads",
            "Times that the configuration was read again.",
            "outcome",
            [
                ("done", stats.done.value()),
                ("failed", stats.failed.value()),
            ],
        ),
        gauge(
            "config_restart_settings",
            "Settings that are configured and wait for a restart.",
            stats.waiting.value(),
        ),
    ]
}

//! What each part counts, under the names that `/metrics` shows. `hallward_` goes in front.

mod budgets;
mod data;
mod desk;
mod front_door;
mod ledger;
mod lines;
mod process;
mod reloads;

use crate::auth;
use crate::count::Latency;
use crate::http::{Histogram, Metric};
use crate::live;

pub(super) use budgets::budgets;
pub(super) use data::data;
pub(super) use desk::{desk, memory};
pub(super) use front_door::{front_door, tls};
pub(super) use ledger::{ledger, log};
pub(super) use lines::log_lines;
pub(super) use process::process;
pub(super) use reloads::reloads;

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating-point in the format"
)]
fn gauge(name: &'static str, help: &'static str, value: u64) -> Metric {
    Metric::gauge(name, help, value as f64)
}

fn histogram(latency: &Latency) -> Histogram {
    Histogram {
        sum: latency.sum(),
        buckets: latency.buckets().collect(),
    }
}

/// The guard.
pub(super) fn auth(stats: &auth::Stats) -> Vec<Metric> {
    vec![
        Metric::counter(
            "auth_logins",
            "Clients that proved who they are.",
            stats.logins.value(),
        ),
        Metric::counters(
            "auth_refusals",
            "What clients were refused.",
            "kind",
            auth::Refused::ALL.map(|kind| (kind.name(), stats.refused(kind))),
        ),
        gauge(
            "auth_password_checks",
            "Password checks that run now.",
            stats.checks_running.value(),
        ),
        gauge(
            "auth_password_checks_waiting",
            "Clients whose password check waits for others.",
            stats.checks_waiting.value(),
        ),
        Metric::counters(
            "auth_reloads",
            "Times that users, rights and keys were read anew.",
            "outcome",
            [
                ("done", stats.reloads.value()),
                ("failed", stats.reloads_failed.value()),
            ],
        ),
    ]
}

/// The live plane.
pub(super) fn live(stats: &live::Stats) -> Vec<Metric> {
    vec![
        Metric::counter(
            "live_published",
            "Frames given to a router.",
            stats.published,
        ),
        Metric::counter(
            "live_unwanted",
            "Frames that nobody wanted.",
            stats.unwanted,
        ),
        Metric::counter(
            "live_delivered",
            "Frames handed to subscribers.",
            stats.delivered,
        ),
        Metric::counter(
            "live_missed",
            "Frames that lagging subscribers jumped over.",
            stats.missed,
        ),
        Metric::counter(
            "live_lost",
            "Frames that a router held when it died.",
            stats.lost,
        ),
        Metric::counter(
            "live_routers_started",
            "Routers started.",
            stats.routers_started,
        ),
        Metric::counter(
            "live_routers_died",
            "Routers replaced because they died.",
            stats.routers_died,
        ),
        Metric::counter(
            "live_too_slow",
            "Subscribers told that they are too slow.",
            stats.too_slow,
        ),
        gauge("live_links", "Links open.", stats.links_open),
        gauge(
            "live_filters",
            "Distinct filters subscribed.",
            stats.filters,
        ),
    ]
}

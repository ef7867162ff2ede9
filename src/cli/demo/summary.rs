//! The summary at the end of the demo.

use std::fmt::Write as _;

use super::orchestrator::{Report, latency};
use super::story::TOPIC;

/// A screenful: tasks, attempts, versions, latencies.
pub(super) fn of(report: &Report, events: usize) -> String {
    let mut out = String::new();
    let attempts: u32 = report.tasks.iter().map(|result| result.attempts).sum();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {name:<12} {value}");
    };
    line(
        "tasks",
        format!("{} ended, {attempts} attempts", report.tasks.len()),
    );
    line("plan", format!("version {}", report.plan_version));
    if let Some(decision) = &report.decision {
        let by: Vec<&str> = decision.by.iter().map(|agent| agent.as_str()).collect();
        let outcome = if decision.approved {
            "approved"
        } else {
            "rejected"
        };
        line("approval", format!("{outcome} by {}", by.join(", ")));
    }
    line(
        "article",
        match report.published {
            true => format!("published on {TOPIC}"),
            false => "not published".to_owned(),
        },
    );
    line("events", format!("{events} seen"));
    if report.gateway_crashes > 0 {
        line(
            "chaos",
            format!(
                "the gateway was killed {} time(s), a worker once",
                report.gateway_crashes
            ),
        );
    }
    let mut latencies: Vec<u64> = report.tasks.iter().map(latency).collect();
    latencies.sort_unstable();
    if let (Some(median), Some(slowest)) = (latencies.get(latencies.len() / 2), latencies.last()) {
        line(
            "latency",
            format!("median {median} ms, slowest {slowest} ms (the work itself takes 150)"),
        );
    }
    out
}

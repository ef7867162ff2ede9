//! The process, under the names that every exporter gives it.

use crate::http::Metric;
use crate::runtime::process;

/// What the system knows of this process, as far as it tells.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating-point in the format"
)]
pub(in crate::runtime) fn process() -> Vec<Metric> {
    let own = process::read();
    let cpu = own.cpu_seconds.map(|seconds| {
        let help = "Total user and system CPU time spent in seconds.";
        Metric::seconds("process_cpu_seconds", help, seconds)
    });
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            own.resident_bytes.map(|bytes| bytes as f64),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            own.virtual_bytes.map(|bytes| bytes as f64),
        ),
        (
            "process_open_fds",
            "Number of open file descriptors.",
            own.open_fds.map(|count| count as f64),
        ),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            own.max_fds.map(|count| count as f64),
        ),
        (
            "process_threads",
            "Number of threads.",
            own.threads.map(|count| count as f64),
        ),
        (
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds.",
            own.started_at,
        ),
    ];
    let gauges = gauges
        .into_iter()
        .filter_map(|(name, help, value)| Some(Metric::gauge(name, help, value?)));
    cpu.into_iter().chain(gauges).collect()
}

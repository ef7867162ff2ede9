//! What the figures were taken on: cores, kernel, file system, how busy the machine was before; and
//! room for ten thousand sockets. Called by `main`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

/// The machine and its state before the run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// Of the directory that holds the servers' data.
    pub(crate) file_system: String,
    /// Runnable processes over the last minute, before the load: other work disturbs the figures.
    pub(crate) load_average: f64,
}

impl Machine {
    pub(crate) fn survey(data: &Path) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: field("/proc/cpuinfo", "model name"),
            memory_mib: field("/proc/meminfo", "MemTotal")
                .trim_end_matches(" kB")
                .parse()
                .unwrap_or(0)
                / 1_024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            file_system: file_system(data),
            load_average: load_average(),
        }
    }
}

/// One minute's load average.
fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or(f64::NAN)
}

fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name);
    line.map_or_else(
        || "unknown".to_owned(),
        |(_, value)| value.trim().to_owned(),
    )
}

/// Type of the mount with the longest path above `data`.
fn file_system(data: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        data.starts_with(point)
            .then(|| (point.len(), kind.to_owned()))
    });
    above
        .max()
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

/// Raises this process's limit of open files to what it is allowed; the servers inherit it. Without
/// the tool, or the right, the scenario that needs many sockets ends with an error row.
pub(crate) fn raise_open_files() {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let hard = limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?
            .split_whitespace()
            .nth(1)
            .map(str::to_owned)
    });
    if let Some(hard) = hard {
        let _ = Command::new("prlimit")
            .arg(format!("--pid={}", std::process::id()))
            .arg(format!("--nofile={hard}:{hard}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

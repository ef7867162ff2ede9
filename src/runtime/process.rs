//! What the system knows of this process, under the names that every exporter gives it. Linux
//! tells; elsewhere nothing is known.

use crate::metrics::metrics;

metrics! {
    /// As of one moment; what cannot be read is not known.
    #[derive(Debug, Clone, Default)]
    pub(super) struct Process {
        /// Total user and system CPU time spent in seconds.
        counter cpu_seconds: Option<f64> = "process_cpu_seconds",
        /// Resident memory size in bytes.
        gauge resident_bytes: Option<u64> = "process_resident_memory_bytes",
        /// Virtual memory size in bytes.
        gauge virtual_bytes: Option<u64> = "process_virtual_memory_bytes",
        /// Number of open file descriptors.
        gauge open_fds: Option<u64> = "process_open_fds",
        /// Maximum number of open file descriptors.
        gauge max_fds: Option<u64> = "process_max_fds",
        /// Number of threads.
        gauge threads: Option<u64> = "process_threads",
        /// Start time of the process since the Unix epoch in seconds.
        gauge started_at: Option<f64> = "process_start_time_seconds",
    }
}

/// Memory of the machine that this process has, in bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    read_stat().resident_bytes
}

/// Everything that is known.
#[cfg(target_os = "linux")]
pub(super) fn read() -> Process {
    let Ok(own) = procfs::process::Process::myself() else {
        return Process::default();
    };
    let limits = own.limits().ok();
    let max_fds = limits.and_then(|limits| match limits.max_open_files.soft_limit {
        procfs::process::LimitValue::Value(most) => Some(most),
        procfs::process::LimitValue::Unlimited => None,
    });
    Process {
        open_fds: own.fd_count().ok().map(|count| count as u64),
        max_fds,
        ..read_stat()
    }
}

/// What one file tells.
#[cfg(target_os = "linux")]
#[expect(
    clippy::cast_precision_loss,
    reason = "exact for thousands of years of clock ticks"
)]
fn read_stat() -> Process {
    let own = procfs::process::Process::myself();
    let Ok(stat) = own.and_then(|own| own.stat()) else {
        return Process::default();
    };
    let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
    let booted_at = procfs::boot_time_secs().ok();
    Process {
        cpu_seconds: Some(seconds(stat.utime + stat.stime)),
        resident_bytes: Some(stat.rss * procfs::page_size()),
        virtual_bytes: Some(stat.vsize),
        threads: u64::try_from(stat.num_threads).ok(),
        started_at: booted_at.map(|booted_at| booted_at as f64 + seconds(stat.starttime)),
        ..Process::default()
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read() -> Process {
    Process::default()
}

#[cfg(not(target_os = "linux"))]
fn read_stat() -> Process {
    Process::default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn all_of_it_is_known_and_plausible() {
        let kept: Vec<u8> = vec![1; 32 << 20];
        let own = read();
        let resident = own.resident_bytes.expect("resident");
        assert!(resident > 32 << 20, "{own:?}");
        assert!(own.virtual_bytes.expect("virtual") > resident, "{own:?}");
        assert!(own.cpu_seconds.expect("processor time") >= 0.0, "{own:?}");
        assert!(own.threads.expect("threads") >= 1, "{own:?}");
        let open = own.open_fds.expect("descriptors");
        assert!(open >= 3 && open <= own.max_fds.unwrap_or(open), "{own:?}");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let since = now.as_secs_f64() - own.started_at.expect("start");
        assert!((-2.0..86_400.0).contains(&since), "{since} {own:?}");
        drop(kept);
    }
}

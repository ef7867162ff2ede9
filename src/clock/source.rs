//! Where time comes from: the system's clocks, or a test's.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::wire::Millis;

/// Two clocks of a machine.
pub trait Source {
    /// The wall clock, Unix milliseconds; 0 before 1970.
    fn wall(&self) -> Millis;
    /// Milliseconds for which the machine, or on some systems the process, has run: nobody can set
    /// it, and where the system has such a clock it counts while the machine sleeps.
    fn running(&self) -> u64;
    /// What tells this start of the machine from all others; `None` where `running` counts from
    /// something else, or nobody knows.
    fn boot(&self) -> Option<String>;
}

/// The system's.
#[derive(Debug, Clone)]
pub struct System {
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    begun: std::time::Instant,
}

impl System {
    /// Its clocks from now on.
    #[expect(clippy::new_without_default, reason = "it begins something")]
    pub fn new() -> System {
        System {
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            begun: std::time::Instant::now(),
        }
    }
}

impl Source for System {
    fn wall(&self) -> Millis {
        wall()
    }

    // `std::time::Instant` stands still while the machine sleeps.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn running(&self) -> u64 {
        let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(since.tv_sec).unwrap_or_default();
        seconds * 1_000 + u64::try_from(since.tv_nsec / 1_000_000).unwrap_or_default()
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn running(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn boot(&self) -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn boot(&self) -> Option<String> {
        None
    }
}

/// The wall clock, Unix milliseconds; 0 before 1970.
pub fn wall() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

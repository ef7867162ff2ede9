//! What must survive.

use std::path::PathBuf;

use super::LogLimits;
use crate::setting::{Size, gib, kib, mib, settings};

settings! {
    /// What must survive.
    pub struct DataConfig;

    /// The directory of the ledger; made if it does not exist, used by one gateway at a time.
    /// ":memory:" stands for a temporary one that is gone when the gateway ends.
    #[restart("the files are open")]
    dir: PathBuf = PathBuf::from("./hallward-data");
    /// Size of a file of the commit log; so much is set aside on the disk twice.
    #[restart("the files are open")]
    log_segment: Size = mib(4), kib(64)..=gib(1)
        => "a file of the commit log is full and waits to be copied to the database; a larger \
            commit gets a file of its own", "log_full_segments";
    /// Full files that may wait to be copied to the database; beyond it commits wait.
    #[restart("the files are open")]
    log_segments: usize = 8, 1..=1000
        => "so many full files wait: commits wait for the copying, or for the disk if that fails; \
            times `data.log_segment`, the memory for it",
            "log_full_segments, log_waits_total, log_failures_total";
}

impl DataConfig {
    /// What the commit log may hold.
    pub fn log(&self) -> LogLimits {
        LogLimits {
            segment_bytes: self.log_segment.0 as u64,
            segments: self.log_segments,
            ..LogLimits::default()
        }
    }
}

//! What the disk itself can do: append and `fdatasync`, one after the other, on the file system
//! that holds the brokers' data. This is the floor under every durable latency in the table. Called
//! by the durable scenarios.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::stats::{Latencies, rate};

/// Bytes appended before each sync.
pub(crate) const RECORD: usize = 512;

/// An append-only file that is synced after every record.
pub(crate) struct Probe {
    file: File,
    busy: Duration,
    pub(crate) latencies: Latencies,
}

impl Probe {
    /// Creates the file in `dir`; it goes away with the run's directory.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let path = dir.join("fdatasync.probe");
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self {
            file,
            busy: Duration::ZERO,
            latencies: Latencies::default(),
        })
    }

    /// Records synced per second of probing.
    pub(crate) fn per_second(&self) -> f64 {
        rate(self.latencies.len() as u64, self.busy)
    }

    /// Appends and syncs for the given time.
    pub(crate) fn run(&mut self, during: Duration) -> Result<()> {
        let record = [0x5a; RECORD];
        let begin = Instant::now();
        while begin.elapsed() < during {
            let start = Instant::now();
            self.file.write_all(&record)?;
            self.file.sync_data()?;
            self.latencies.record(start.elapsed());
        }
        self.busy += begin.elapsed();
        Ok(())
    }
}

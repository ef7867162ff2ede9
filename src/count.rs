//! A number that one part changes and anybody reads: counters and gauges for the metrics.
//!
//! It orders nothing between threads and is no lock: whoever decides by it decides by an estimate.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter that only grows, or a gauge that goes up and down; its owner knows which.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// One less.
    pub fn lower(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// One more for as long as what is returned lives.
    pub fn raise(&self) -> Raised<'_> {
        self.add_one();
        Raised(self)
    }

    /// It is so many now.
    pub fn set(&self, now: u64) {
        self.0.store(now, Relaxed);
    }

    /// It is as many as this now.
    pub fn set_len(&self, now: usize) {
        self.set(now as u64);
    }

    /// How many.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Keeps a gauge one higher while it lives.
#[derive(Debug)]
pub struct Raised<'a>(&'a Count);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.lower();
    }
}

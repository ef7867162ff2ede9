//! A number that one part changes and anybody reads: counters and gauges for the metrics.
//!
//! It orders nothing between threads and is no lock: whoever decides by it decides by an estimate.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// A time that is shown in seconds, to the microsecond: the sum of many, or the last.
#[derive(Debug, Default)]
pub struct Seconds(Count);

impl Seconds {
    /// So much more.
    pub fn add(&self, more: Duration) {
        self.0.add(micros(more));
    }

    /// It is so much now.
    pub fn set(&self, now: Duration) {
        self.0.set(micros(now));
    }

    /// How much.
    pub fn value(&self) -> Duration {
        Duration::from_micros(self.0.value())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Numbers that their owner counts without sharing them, as of the last time that it showed them.
#[derive(Debug, Default)]
pub struct Latest<T>(Mutex<T>);

impl<T> Latest<T> {
    /// They are these now.
    pub fn set(&self, now: T) {
        *self.lock() = now;
    }

    /// Looks at them.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long something took, each time that it happened, counted by how long that was: the histogram
/// of a latency.
///
/// Adding to it is two or three additions and no lock, whatever the number of times.
#[derive(Debug)]
pub struct Latency {
    bounds: &'static [Duration],
    /// One more than there are bounds: what took longer than all of them.
    counts: Box<[Count]>,
    nanos: Count,
}

/// For what a client waits for with its line open: the disk, the next turn of a thread.
const MOMENTS: &[Duration] = &[
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

impl Default for Latency {
    /// Counts by bounds for what a client waits for: from 50 µs to 10 s.
    fn default() -> Latency {
        Latency::new(MOMENTS)
    }
}

impl Latency {
    /// Counts by these bounds, which rise.
    pub fn new(bounds: &'static [Duration]) -> Latency {
        Latency {
            bounds,
            counts: (0..=bounds.len()).map(|_| Count::default()).collect(),
            nanos: Count::default(),
        }
    }

    /// It took so long, so many times.
    pub fn add(&self, took: Duration, times: u64) {
        let at = self.bounds.partition_point(|bound| *bound < took);
        self.counts[at].add(times);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.add(nanos.saturating_mul(times));
    }

    /// The bounds in seconds, the last one infinite, and how often it took at most that long and
    /// longer than the bound before.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().map(Duration::as_secs_f64);
        let counts = self.counts.iter().map(Count::value);
        bounds.chain([f64::INFINITY]).zip(counts)
    }

    /// How long it took in all, in seconds.
    pub fn sum(&self) -> f64 {
        Duration::from_nanos(self.nanos.value()).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_as_long_as_a_bound_is_counted_below_it() {
        const BOUNDS: &[Duration] = &[Duration::from_millis(1), Duration::from_millis(10)];
        let latency = Latency::new(BOUNDS);
        latency.add(Duration::from_millis(1), 2);
        latency.add(Duration::from_nanos(1_000_001), 1);
        latency.add(Duration::from_secs(3), 4);
        let buckets: Vec<(f64, u64)> = latency.buckets().collect();
        assert_eq!(buckets, [(0.001, 2), (0.01, 1), (f64::INFINITY, 4)]);
        assert!((latency.sum() - 12.003).abs() < 1e-5, "{}", latency.sum());
    }

    #[test]
    fn the_bounds_of_moments_rise() {
        assert!(MOMENTS.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

//! Counters of the live plane: kept here, raised by its parts, read through [`Plane::stats`](super::Plane::stats).

use std::sync::atomic::{AtomicU64, Ordering};

/// What the live plane has done since it started. Counts unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames given to a router.
    pub published: u64,
    /// Frames that no subscription wanted when they were flushed, which never reached a router.
    pub unwanted: u64,
    /// Frames handed to subscribers, once per subscriber.
    pub delivered: u64,
    /// Frames that lagging subscribers jumped over, once per subscription concerned.
    pub missed: u64,
    /// Frames that a router held, unconfirmed, when it died: some may have been delivered.
    pub lost: u64,
    /// Routers started, the first one included.
    pub routers_started: u64,
    /// Routers replaced because they died.
    pub routers_died: u64,
    /// Links open now, the plane's own included.
    pub links_open: u64,
    /// Distinct filters subscribed now.
    pub filters: u64,
    /// Times the memory of overlapping filters overflowed; each may have let one frame through twice.
    pub overlaps_forgotten: u64,
    /// Subscribers told that they held up publishers for too long.
    pub too_slow: u64,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) published: Count,
    pub(super) unwanted: Count,
    pub(super) delivered: Count,
    pub(super) missed: Count,
    pub(super) lost: Count,
    pub(super) routers_started: Count,
    pub(super) routers_died: Count,
    pub(super) links_opened: Count,
    pub(super) links_closed: Count,
    pub(super) overlaps_forgotten: Count,
    pub(super) too_slow: Count,
}

impl Counters {
    pub(super) fn snapshot(&self, filters: u64) -> Stats {
        Stats {
            published: self.published.read(),
            unwanted: self.unwanted.read(),
            delivered: self.delivered.read(),
            missed: self.missed.read(),
            lost: self.lost.read(),
            routers_started: self.routers_started.read(),
            routers_died: self.routers_died.read(),
            links_open: self
                .links_opened
                .read()
                .saturating_sub(self.links_closed.read()),
            filters,
            overlaps_forgotten: self.overlaps_forgotten.read(),
            too_slow: self.too_slow.read(),
        }
    }
}

/// One monotone counter; relaxed, since nothing is ordered by it.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

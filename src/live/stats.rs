//! Counters of the live plane: kept here, raised by its parts, read through [`Plane::stats`](super::Plane::stats).

use crate::count::Count;

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
            published: self.published.value(),
            unwanted: self.unwanted.value(),
            delivered: self.delivered.value(),
            missed: self.missed.value(),
            lost: self.lost.value(),
            routers_started: self.routers_started.value(),
            routers_died: self.routers_died.value(),
            links_open: self
                .links_opened
                .value()
                .saturating_sub(self.links_closed.value()),
            filters,
            overlaps_forgotten: self.overlaps_forgotten.value(),
            too_slow: self.too_slow.value(),
        }
    }
}

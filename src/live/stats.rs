//! What the live plane counts: raised by its parts, read through
//! [`Plane::stats`](super::Plane::stats).

use crate::metrics::{Count, metrics};

metrics! {
    /// What the live plane has done since it started, and what it has now.
    #[derive(Debug, Default)]
    pub struct LiveStats {
        /// Frames given to a router.
        counter published: Count = "live_published",
        /// Frames that nobody wanted.
        counter unwanted: Count = "live_unwanted",
        /// Frames handed to subscribers.
        counter delivered: Count = "live_delivered",
        /// Frames that lagging subscribers jumped over.
        counter missed: Count = "live_missed",
        /// Frames that a router held when it died.
        counter lost: Count = "live_lost",
        /// Routers started.
        counter routers_started: Count = "live_routers_started",
        /// Routers replaced because they died.
        counter routers_died: Count = "live_routers_died",
        /// Subscribers told that they are too slow.
        counter too_slow: Count = "live_too_slow",
        /// Links open.
        gauge links_open: Count = "live_links",
        /// Distinct filters subscribed.
        gauge filters: Count = "live_filters",
        /// Times the memory of overlapping filters overflowed; each may have let one frame through
        /// twice.
        hidden overlaps_forgotten: Count,
    }
}

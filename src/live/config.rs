//! The fan-out to whoever listens now.

use crate::setting::{Size, Span, gib, hours, kib, mib, ms, seconds, settings};

const LAID_OUT: &str = "the router's memory is laid out by them";

settings! {
    /// The fan-out to whoever listens now.
    pub struct LiveConfig;

    /// One segment of a topic filter's log.
    #[restart(LAID_OUT)]
    segment: Size = mib(1), kib(64)..=gib(1)
        => "times `live.segments`, the memory of one topic filter's log";
    /// Segments per log; a listener that falls behind all of them has missed messages, which is
    /// counted.
    #[restart(LAID_OUT)]
    segments: usize = 4, 2..=1000
        => "a listener that is behind by all of them has missed messages: counted at QoS 0; at \
            QoS 1 and 2 it is disconnected (0x97), after publishers have waited for it for \
            `live.patience`", "live_missed_total, live_too_slow_total";
    /// How long publishers of QoS 1 and 2 are held back for a subscriber that does not keep up,
    /// before it is disconnected.
    #[restart(LAID_OUT)]
    patience: Span = seconds(10), ms(0)..=hours(1);
    /// Distinct topics published through one router before it is replaced.
    #[restart(LAID_OUT)]
    topics_per_router: usize = 100_000, 1000..=100_000_000
        => "the router is replaced, and nobody notices", "live_routers_started_total";
    /// Distinct filters no longer subscribed to before a router is replaced.
    #[restart(LAID_OUT)]
    filters_per_router: usize = 10_000, 1000..=100_000_000
        => "the router is replaced, and nobody notices", "live_routers_started_total";
    /// Links opened to one router before it is replaced.
    #[restart(LAID_OUT)]
    links_per_router: usize = 1_000_000, 1000..=100_000_000
        => "the router is replaced, and nobody notices", "live_routers_started_total";
}

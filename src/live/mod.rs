//! The live plane: fan-out to whoever is listening now.
//!
//! It embeds a rumqttd router as a disposable part: supervised, replaced when it dies or has grown,
//! never asked to keep anything that must not be lost. Sessions publish and subscribe here, the
//! committer publishes what it has made durable; nobody outside sees a rumqttd type, and nobody is
//! told when the router changes.
//!
//! Promises: a frame published after a subscription returned is received, once, in its publisher's
//! order, or its absence is counted; a reliable frame waits for listeners that lag; a router's
//! death loses at most what it held.

mod attachment;
mod config;
mod congestion;
mod filter_index;
mod frame;
mod pending_subscriptions;
mod plane;
mod plane_state;
mod publisher;
mod publisher_link;
mod router;
mod stats;
mod subscriber;
mod subscriber_slot;
mod subscriptions;
mod supervisor;
#[cfg(test)]
mod tests;
mod topics;
mod traffic;

use std::fmt;

use std::sync::Arc;

use tokio::runtime::Handle;

pub use config::LiveConfig;
pub use publisher::LivePublisher;
pub use stats::LiveStats;

use crate::metrics::{MetricSet, Scrape};
pub use plane::{Plane, Publisher, Received, Subscriber};
pub use subscriber::LiveSubscriber;

use plane_state::{Orders, Phase, PlaneState};
use publisher_link::{BYTES_PER_EVENT, PUBLISHER_LINKS, UNROUTED_BYTES};

/// The least that a log must hold. What all publisher links may have under way reaches the log in
/// one turn of the router; with less than twice that, a reader could be overtaken before it or its
/// publishers had a chance.
const LEAST_LOG_BYTES: usize = 2 * PUBLISHER_LINKS * (UNROUTED_BYTES + BYTES_PER_EVENT);

impl LiveConfig {
    /// Bytes by which a reliable reader may lag before publishers are held back: half of what a log
    /// surely holds.
    fn tolerated_lag(&self) -> u64 {
        self.log_bytes() as u64 / 2
    }

    /// Bytes of messages that a filter's log surely holds: the oldest segment goes as a whole when
    /// a new one begins.
    fn log_bytes(&self) -> usize {
        self.segment
            .0
            .saturating_mul(self.segments.saturating_sub(1))
    }

    fn validate(&self, max_links: usize) -> Result<(), LiveError> {
        let limits = [
            ("max_links", max_links, 1),
            ("segment_bytes", self.segment.0, 1024),
            ("segments", self.segments, 2),
            (
                "segment_bytes × (segments - 1)",
                self.log_bytes(),
                LEAST_LOG_BYTES,
            ),
            ("topics_per_router", self.topics_per_router, 1),
            ("filters_per_router", self.filters_per_router, 1),
            ("links_per_router", self.links_per_router, 1),
        ];
        match limits.into_iter().find(|(_, value, least)| value < least) {
            Some((key, value, least)) => Err(LiveError::TooSmall { key, value, least }),
            None => Ok(()),
        }
    }
}

/// Why the live plane could not start.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LiveError {
    /// A limit is too small to work with.
    #[error("live plane: {key} must be at least {least}, found {value}")]
    TooSmall {
        /// The limit's name.
        key: &'static str,
        /// What was configured.
        value: usize,
        /// The least that works.
        least: usize,
    },
    /// Called outside a tokio runtime.
    #[error("live plane: expected to be started within a tokio runtime, found none")]
    NoRuntime,
    /// The router thread did not answer.
    #[error("live plane: the router thread did not start")]
    RouterDidNotStart,
}

/// Handle to the live plane; cheap to clone. The plane stops when the last handle, publisher and
/// subscriber is gone.
#[derive(Clone)]
pub struct LivePlane {
    shared: Arc<PlaneState>,
}

impl MetricSet for LivePlane {
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        self.stats().encode(scrape)
    }
}

impl Plane for LivePlane {
    type Publisher = LivePublisher;
    type Subscriber = LiveSubscriber;

    fn publisher(&self) -> LivePublisher {
        LivePublisher::new(Arc::clone(&self.shared))
    }

    fn subscriber(&self) -> LiveSubscriber {
        LiveSubscriber::new(Arc::clone(&self.shared))
    }
}

impl LivePlane {
    /// Starts the router, a thread of its own, and its supervisor, a task of the current tokio
    /// runtime. The runtime needs its timer. Subscribers beyond `max_links` that have subscriptions
    /// at once wait in their first subscribe.
    ///
    /// # Errors
    /// A limit too small, no runtime, or a thread that could not be started.
    pub fn start(config: LiveConfig, max_links: usize) -> Result<Self, LiveError> {
        config.validate(max_links)?;
        let runtime = Handle::try_current().map_err(|_| LiveError::NoRuntime)?;
        let (counters, orders) = (Arc::new(LiveStats::default()), Arc::new(Orders::default()));
        let (router, watch) = supervisor::start_router(&config, max_links, &counters, &orders)?;
        let shared = Arc::new(PlaneState::new(
            config,
            max_links,
            counters,
            Arc::clone(&orders),
            router,
            runtime,
        ));
        tokio::spawn(supervisor::run(Arc::downgrade(&shared), orders, watch));
        Ok(Self { shared })
    }

    /// Lets so many subscribers have subscriptions at the same time, soon: a router that takes more
    /// of them is started first. Fewer than before changes nothing.
    pub fn set_max_links(&self, links: usize) {
        self.shared.want_links(links);
    }

    /// What the plane has done so far.
    pub fn stats(&self) -> &LiveStats {
        let stats = &self.shared.counters;
        stats.filters.set_len(self.shared.interest().filters());
        stats
    }

    /// Makes the router thread panic, the way it does in the field. For tests of whatever relies on
    /// its supervision.
    pub fn crash_router(&self) {
        let router = self.shared.current.borrow().router.clone();
        if let Some(router) = router {
            router.crash();
        }
    }

    /// Stops the plane. Publishers discard and subscribers receive nothing from here on.
    pub async fn shutdown(self) {
        let mut changes = self.shared.current.subscribe();
        self.shared.orders.stop.notify_one();
        changes
            .wait_for(|current| current.phase == Phase::Stopped)
            .await
            .ok();
    }
}

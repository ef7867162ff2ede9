//! What all connections of the server share: its settings, its ends of the desk and the live plane,
//! and what is counted or remembered about all clients together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::desk::MemoryBudget;
use crate::desk::port::{ConnectionId, Interest, Request};
use crate::log_limiter::{About, LogLimiter};

use super::accept::admission::AdmissionControl;
use super::accept::takeover::{ConnectedClients, RecentTakeovers};
use super::config::DoorConfig;
use super::current::Current;
use super::metrics::Metrics;
use super::peer::Peer;
use super::session::poison::PoisonTracker;
use crate::live::Plane;

/// What every connection of the gateway shares.
pub struct ServerContext<P> {
    pub(super) config: Current<DoorConfig>,
    pub(super) desk: mpsc::Sender<Request>,
    pub(super) interest: Arc<dyn Interest>,
    pub(super) plane: P,
    pub(super) metrics: Arc<Metrics>,
    /// `None` while everybody is let in.
    pub(super) authenticator: Option<Arc<Authenticator>>,
    pub(super) memory: Arc<MemoryBudget>,
    pub(super) clock: Arc<Clock>,
    pub(super) connected: Arc<ConnectedClients>,
    pub(super) log_limiter: Arc<LogLimiter>,
    pub(super) recent_takeovers: RecentTakeovers,
    pub(super) poison: PoisonTracker,
    pub(super) admission: Arc<AdmissionControl>,
    last_connection: AtomicU64,
}

/// What it shares with other parts of the gateway.
#[derive(Debug)]
pub struct ServerParts {
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// The memory for what waits.
    pub memory: Arc<MemoryBudget>,
    /// `None` while everybody is let in.
    pub authenticator: Option<Arc<Authenticator>>,
    /// Which lines about clients are worth the log.
    pub log_limiter: Arc<LogLimiter>,
    /// What expiries are counted by.
    pub clock: Arc<Clock>,
}

impl<P: Plane> ServerContext<P> {
    /// One for a desk and a live plane.
    pub fn new(
        config: DoorConfig,
        desk: mpsc::Sender<Request>,
        interest: Arc<dyn Interest>,
        plane: P,
        parts: ServerParts,
    ) -> Arc<ServerContext<P>> {
        let admission = AdmissionControl::new(
            &config.mqtt,
            Arc::clone(&parts.metrics),
            Arc::clone(&parts.log_limiter),
        );
        Arc::new(ServerContext {
            poison: PoisonTracker::default(),
            config: Current::new(config),
            desk,
            interest,
            plane,
            metrics: parts.metrics,
            authenticator: parts.authenticator,
            memory: parts.memory,
            clock: parts.clock,
            connected: Arc::default(),
            log_limiter: parts.log_limiter,
            recent_takeovers: RecentTakeovers::default(),
            admission,
            last_connection: AtomicU64::new(0),
        })
    }

    /// Other settings from now on. Connections that are open keep what their clients were told and
    /// what their buffers were made for.
    pub fn configure(&self, config: DoorConfig) {
        self.admission.configure(&config.mqtt);
        self.config.set(config);
    }

    /// Whether a line about somebody who has not said CONNECT is worth the log: strangers are told
    /// apart by address.
    pub(super) fn admits_stranger(&self, kind: &'static str, peer: &Peer) -> bool {
        let address = peer.address.map(|address| address.ip().to_string());
        let address = address.unwrap_or_default();
        self.log_limiter.admits(About::Stranger, kind, &address)
    }

    pub(super) fn next_connection(&self) -> ConnectionId {
        self.last_connection.fetch_add(1, Ordering::Relaxed) + 1
    }
}

//! The desk's settings.

use std::sync::Arc;

use super::config::RetainedConfig;
use super::limits::{ClientLimits, JournalLimits};
use super::memory::MemoryBudget;
use super::port::Authorizers;
use crate::log_limiter::{About, LogLimiter};

/// The desk's settings.
#[derive(Debug, Clone)]
pub struct DeskSettings {
    /// The topic level under which rooms live.
    pub root: String,
    /// Limits of mailboxes and queues.
    pub clients: ClientLimits,
    /// Limits of the retained store.
    pub retained: RetainedConfig,
    /// How much of rooms' past is kept.
    pub journal: JournalLimits,
    /// The bound on everything that waits, shared with the front door.
    pub memory: Arc<MemoryBudget>,
    /// Who judges the wills that a restart publishes; `None` while everybody may do everything.
    pub authorizers: Option<Arc<dyn Authorizers>>,
    /// Which lines about clients are worth the log.
    pub log_limiter: Arc<LogLimiter>,
    /// How long deletions of what was acknowledged may wait for company, in milliseconds.
    pub linger_ms: u64,
    /// How long publishers of QoS 1 and 2 wait for a connected client whose queue is half full,
    /// before it is disconnected, in milliseconds.
    pub slow_consumer_timeout_ms: u64,
}

impl DeskSettings {
    /// Whether a line of this kind about a client is worth the log.
    pub(super) fn admits(&self, kind: &'static str, client: &str) -> bool {
        self.log_limiter.admits(About::Client, kind, client)
    }
}

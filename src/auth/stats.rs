//! What authentication and authorisation count.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A wrong password, an unknown user, a token that is none.
    Credentials,
    /// A client that brought nothing to prove who it is.
    Anonymous,
    /// A client id that is not the user's.
    ClientId,
    /// A session or mailbox of another user.
    Owner,
    /// A will on a topic that the client may not write.
    Will,
    /// A publish.
    Publish,
    /// A subscription.
    Subscribe,
    /// A delivery.
    Receive,
    /// A session whose user was removed or changed.
    Removed,
    /// A session whose token is over.
    Expired,
}

impl Refused {
    /// Every kind.
    pub const ALL: [Refused; 10] = [
        Refused::Credentials,
        Refused::Anonymous,
        Refused::ClientId,
        Refused::Owner,
        Refused::Will,
        Refused::Publish,
        Refused::Subscribe,
        Refused::Receive,
        Refused::Removed,
        Refused::Expired,
    ];

    /// As metrics and log lines name it.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Credentials => "credentials",
            Refused::Anonymous => "anonymous",
            Refused::ClientId => "client_id",
            Refused::Owner => "owner",
            Refused::Will => "will",
            Refused::Publish => "publish",
            Refused::Subscribe => "subscribe",
            Refused::Receive => "receive",
            Refused::Removed => "removed",
            Refused::Expired => "expired",
        }
    }
}

/// Counters and gauges.
#[derive(Debug, Default)]
pub struct Stats {
    refused: [AtomicU64; Refused::ALL.len()],
    pub(super) logins: AtomicU64,
    pub(super) checks_running: AtomicU64,
    pub(super) checks_waiting: AtomicU64,
    pub(super) reloads: AtomicU64,
    pub(super) reloads_failed: AtomicU64,
    pub(super) unlogged: AtomicU64,
}

impl Stats {
    pub(super) fn count(&self, kind: Refused) {
        self.refused[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a delivery that was refused.
    pub fn count_delivery(&self) {
        self.count(Refused::Receive);
    }

    /// Refusals of one kind.
    pub fn refused(&self, kind: Refused) -> u64 {
        self.refused[kind as usize].load(Ordering::Relaxed)
    }

    /// Clients that proved who they are.
    pub fn logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    /// Password checks that run now.
    pub fn checks_running(&self) -> u64 {
        self.checks_running.load(Ordering::Relaxed)
    }

    /// Clients whose password check waits now.
    pub fn checks_waiting(&self) -> u64 {
        self.checks_waiting.load(Ordering::Relaxed)
    }

    /// Times that the files were read anew: those that worked, and those that changed nothing.
    pub fn reloads(&self) -> (u64, u64) {
        (
            self.reloads.load(Ordering::Relaxed),
            self.reloads_failed.load(Ordering::Relaxed),
        )
    }

    /// Refusals that were counted and not logged.
    pub fn unlogged(&self) -> u64 {
        self.unlogged.load(Ordering::Relaxed)
    }
}

/// Raises a gauge while it lives.
pub(super) struct Raised<'a>(&'a AtomicU64);

impl<'a> Raised<'a> {
    pub(super) fn new(gauge: &'a AtomicU64) -> Raised<'a> {
        gauge.fetch_add(1, Ordering::Relaxed);
        Raised(gauge)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

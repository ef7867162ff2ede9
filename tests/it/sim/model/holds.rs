//! Who has a task, and until when.

use hallward::wire::Millis;
use hallward::wire::name::Agent;

/// A worker has it.
#[derive(Debug, Clone)]
pub(in super::super) struct Hold {
    pub(in super::super) worker: Agent,
    /// The lease runs at least until here …
    pub(in super::super) lease_low: Millis,
    /// … and no longer than until here, while the worker is connected.
    pub(in super::super) lease_high: Millis,
    /// What is left of the lease while it does not run: until its worker is sent the task on its
    /// present connection.
    pub(in super::super) left: Option<Millis>,
    /// Its worker has begun a new session, and was not sent the task there.
    pub(in super::super) owed: bool,
    /// How often it was sent since its worker said how far it is.
    pub(in super::super) deliveries: u32,
    /// The worker gave it back in the step that is being looked at.
    pub(in super::super) given_back: bool,
}

impl Hold {
    /// The lease does not run until the task is sent; that is waited for within the grace, or what
    /// is left if that is longer.
    pub(super) fn pause(&mut self, now: Millis, grace_ms: Millis) {
        let left = self
            .left
            .unwrap_or(self.lease_high.saturating_sub(now).max(1));
        self.left = Some(left);
        self.run_until(now + left.max(grace_ms));
    }

    pub(super) fn run_until(&mut self, at: Millis) {
        (self.lease_low, self.lease_high) = (at, at);
    }
}

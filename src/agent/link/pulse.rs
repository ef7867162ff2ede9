//! Whether the gateway is still there.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

/// Keeps the connection alive, and notices when it is not.
pub(super) struct Pulse {
    beats: tokio::time::Interval,
    heard: Instant,
    keep_alive: Duration,
}

impl Pulse {
    pub(super) fn new(keep_alive: Duration) -> Pulse {
        // Zero: the gateway does not care.
        let keep_alive = match keep_alive.is_zero() {
            true => Duration::from_secs(60),
            false => keep_alive,
        };
        let mut beats = tokio::time::interval(keep_alive / 2);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats.reset();
        Pulse {
            beats,
            heard: Instant::now(),
            keep_alive,
        }
    }

    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    pub(super) async fn beat(&mut self) {
        self.beats.tick().await;
    }

    /// Whether anything came in the time of one and a half keep alives: at least the answer to a
    /// PINGREQ should have.
    pub(super) fn is_alive(&self) -> bool {
        self.heard.elapsed() < self.keep_alive + self.keep_alive / 2
    }
}

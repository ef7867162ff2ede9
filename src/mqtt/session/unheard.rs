//! Refusals that a client cannot hear: 3.1.1 has no word for one in PUBACK, and who sends in bulk
//! seldom reads its replies meanwhile.
//!
//! A publisher of 3.1.1 that waits for as many results and decisions as it may (429,
//! `mailbox.max_results`) and asks for more is not read for a while, as one that is too fast; one
//! that meets nothing but that for `mqtt.patience` is closed. What others are to blame for, or what
//! a pause of its own would mend, is none of it. It has no clock: every call brings the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::live::Plane;
use crate::mqtt::disconnect_reason::DisconnectReason;
use crate::mqtt::metrics::Metrics;
use crate::wire::reply::Code;

use super::ClientSession;
use super::throttle::HeldBack;

/// For how long a refusal keeps a client from being read.
const PAUSE: Duration = Duration::from_secs(1);

/// A row of refusals that goes on.
#[derive(Debug)]
pub(super) struct Unheard {
    since: Instant,
    /// Not read until then.
    until: Instant,
    /// Lowers the gauge when the pause, or the connection, is over.
    counted: Option<HeldBack>,
}

impl Unheard {
    /// Another refusal; whether it is the last that the client gets.
    pub(super) fn refused(
        row: &mut Option<Box<Unheard>>,
        now: Instant,
        patience: Duration,
        metrics: &Arc<Metrics>,
    ) -> bool {
        match row {
            // One pause for all that was on its way.
            Some(row) if now < row.until => {}
            Some(row) if now < row.until + PAUSE => {
                row.until = now + PAUSE;
                row.counted = Some(HeldBack::count(metrics));
            }
            _ => {
                *row = Some(Box::new(Unheard {
                    since: now,
                    until: now + PAUSE,
                    counted: Some(HeldBack::count(metrics)),
                }));
            }
        }
        row.as_ref().is_some_and(|row| now >= row.since + patience)
    }

    /// Something was taken: what is refused from now on is another row.
    pub(super) fn is_over(&mut self, now: Instant) {
        self.since = now;
    }

    /// Until when the client is not read, if it is not.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.counted.is_some().then_some(self.until)
    }

    /// Lets the client go on if its time has come; whether it was held back until now.
    pub(super) fn release(&mut self, now: Instant) -> bool {
        self.counted.take_if(|_| self.until <= now).is_some()
    }
}

impl<P: Plane> ClientSession<P> {
    /// A client that cannot be told of a refusal is slowed down by it.
    pub(super) fn slow_down_unheard(&mut self, verdict: Result<(), Code>, of_own_backlog: bool) {
        match verdict {
            Err(_) if of_own_backlog && !self.client.v5 => {
                let (now, patience) = (Instant::now(), self.config.mqtt.patience.0);
                let metrics = &self.io.metrics;
                if Unheard::refused(&mut self.unheard, now, patience, metrics) {
                    self.refuse(DisconnectReason::NoRoom);
                }
            }
            Err(_) => {}
            Ok(()) => {
                if let Some(row) = &mut self.unheard {
                    row.is_over(Instant::now());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_refusals_ends_with_the_patience_and_a_pause_ends_the_row() {
        let (metrics, patience) = (Arc::default(), Duration::from_secs(5));
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut row = None;
        for second in 0..5 {
            let now = at(second * 1_100);
            assert!(
                !Unheard::refused(&mut row, now, patience, &metrics),
                "{second}"
            );
            assert!(!Unheard::refused(&mut row, now, patience, &metrics));
            let held = row.as_mut().unwrap();
            assert_eq!(held.held_until(), Some(now + PAUSE));
            assert!(!held.release(now));
            assert!(held.release(now + PAUSE));
            assert_eq!(held.held_until(), None);
        }
        assert!(Unheard::refused(&mut row, at(5_500), patience, &metrics));
        assert_eq!(metrics.throttled.value(), 6);
        // Long enough without one.
        assert!(!Unheard::refused(&mut row, at(20_000), patience, &metrics));
        row = None;
        assert_eq!(metrics.throttled_now.value(), 0);
        assert!(!Unheard::refused(&mut row, at(30_000), patience, &metrics));
    }
}

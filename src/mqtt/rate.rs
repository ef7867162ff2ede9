//! A rate with a burst, reckoned with one instant: when the bucket would be full again (the generic
//! cell rate algorithm).
//!
//! It has no clock and waits for nobody: every call brings the time. `admission` refuses by it,
//! `throttle` holds back by it.

use std::time::Duration;

use tokio::time::Instant;

use super::config::RateLimit;

/// A rate in the form that a [`Meter`] reckons with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RatePace {
    per_second: u64,
    /// How long an empty bucket takes to fill.
    depth: Duration,
}

impl RatePace {
    /// None if the rate is 0: no limit. A burst of 0 is taken for 1, or nothing would ever pass.
    pub(super) fn new(rate: RateLimit) -> Option<RatePace> {
        let RateLimit { per_second, burst } = rate;
        (per_second > 0).then(|| RatePace {
            per_second,
            depth: span(burst.max(1), per_second),
        })
    }
}

/// What has passed lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meter {
    /// None if nothing has passed.
    full_at: Option<Instant>,
}

impl Meter {
    /// Until when so much must wait; `None` if it may pass now. It may be more than the bucket
    /// holds: then it passes when the bucket is full, and what comes next waits until the debt is
    /// paid.
    pub(super) fn wait_until(&self, pace: RatePace, amount: u64, now: Instant) -> Option<Instant> {
        let spare = pace.depth.saturating_sub(span(amount, pace.per_second));
        let full_at = self.full_at.filter(|&full_at| full_at > now + spare)?;
        Some(full_at - spare)
    }

    /// So much has passed.
    pub(super) fn pay(&mut self, pace: RatePace, amount: u64, now: Instant) {
        let from = self.full_at.map_or(now, |full_at| full_at.max(now));
        self.full_at = Some(from + span(amount, pace.per_second));
    }

    /// Lets one pass, or not.
    pub(super) fn pass(&mut self, pace: RatePace, now: Instant) -> bool {
        let passes = self.wait_until(pace, 1, now).is_none();
        if passes {
            self.pay(pace, 1, now);
        }
        passes
    }

    /// Whether it is as if nothing had passed.
    pub(super) fn is_rested(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now)
    }
}

/// How long the rate takes for so much.
fn span(amount: u64, per_second: u64) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let nanos = u128::from(amount) * SECOND / u128::from(per_second);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_second: u64, burst: u64) -> RatePace {
        RatePace::new(RateLimit { per_second, burst }).unwrap()
    }

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let pace = pace(10, 3);
        let (mut meter, begin) = (Meter::default(), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        for _ in 0..3 {
            assert!(meter.pass(pace, begin));
        }
        assert!(!meter.pass(pace, begin));
        assert_eq!(meter.wait_until(pace, 1, begin), Some(at(100)));
        assert!(!meter.pass(pace, at(99)));
        assert!(meter.pass(pace, at(100)));
        assert!(!meter.pass(pace, at(100)));
        assert!(!meter.is_rested(at(399)));
        assert!(meter.is_rested(at(400)));
        for _ in 0..3 {
            assert!(meter.pass(pace, at(10_000)));
        }
        assert!(!meter.pass(pace, at(10_000)));
    }

    #[test]
    fn more_than_the_bucket_holds_passes_when_it_is_full_and_is_paid_for_afterwards() {
        let pace = pace(10, 2);
        let (mut meter, begin) = (Meter::default(), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        assert_eq!(meter.wait_until(pace, 5, begin), None);
        meter.pay(pace, 1, begin);
        assert_eq!(meter.wait_until(pace, 5, begin), Some(at(100)));
        meter.pay(pace, 5, at(100));
        assert_eq!(meter.wait_until(pace, 1, at(100)), Some(at(500)));
    }

    #[test]
    fn no_rate_is_no_limit_and_no_burst_is_one() {
        let (per_second, burst) = (0, 100);
        assert_eq!(RatePace::new(RateLimit { per_second, burst }), None);
        let pace = pace(1, 0);
        let (mut meter, now) = (Meter::default(), Instant::now());
        assert!(meter.pass(pace, now));
        assert!(!meter.pass(pace, now));
    }
}

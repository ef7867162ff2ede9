//! A rate with a burst, as one instant (the generic cell rate algorithm, as ATM and many rate limiters have it).

use std::time::Duration;

use tokio::time::Instant;

/// So many a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Between two, where they come evenly.
    every: Duration,
    /// How far ahead of even a burst may run.
    ahead: Duration,
}

impl Rate {
    /// None if `per_second` is 0: no limit. A burst of 0 is taken for 1, or nothing would ever pass.
    pub(super) fn new(per_second: u32, burst: u32) -> Option<Rate> {
        let every = Duration::from_secs(1).checked_div(per_second)?;
        Some(Rate {
            every,
            ahead: every * burst.saturating_sub(1),
        })
    }
}

/// What has passed lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meter {
    /// When the next would come if all came evenly; none if nothing has passed.
    next: Option<Instant>,
}

impl Meter {
    /// Lets one pass, or not.
    pub(super) fn pass(&mut self, rate: Rate, now: Instant) -> bool {
        let next = self.next.map_or(now, |next| next.max(now));
        if next > now + rate.ahead {
            return false;
        }
        self.next = Some(next + rate.every);
        true
    }

    /// Whether it is as if nothing had passed.
    pub(super) fn is_rested(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let rate = Rate::new(10, 3).unwrap();
        let (mut meter, begin) = (Meter::default(), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        for _ in 0..3 {
            assert!(meter.pass(rate, begin));
        }
        assert!(!meter.pass(rate, begin));
        assert!(!meter.pass(rate, at(99)));
        assert!(meter.pass(rate, at(100)));
        assert!(!meter.pass(rate, at(100)));
        assert!(!meter.is_rested(at(399)));
        assert!(meter.is_rested(at(400)));
        for _ in 0..3 {
            assert!(meter.pass(rate, at(10_000)));
        }
        assert!(!meter.pass(rate, at(10_000)));
    }

    #[test]
    fn no_rate_is_no_limit_and_no_burst_is_one() {
        assert_eq!(Rate::new(0, 100), None);
        let rate = Rate::new(1, 0).unwrap();
        let (mut meter, now) = (Meter::default(), Instant::now());
        assert!(meter.pass(rate, now));
        assert!(!meter.pass(rate, now));
    }
}

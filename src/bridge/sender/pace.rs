//! Not more than so many messages a second, and a tenth of a second's at once.

use crate::wire::Millis;

/// In microseconds, what may be sent ahead of time.
const BURST_US: u64 = 100_000;

#[derive(Debug)]
pub(super) struct Pace {
    /// Microseconds for each; 0: no limit.
    each_us: u64,
    /// When the next one would be due if they came evenly.
    due_us: u64,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Pace {
        let each_us = 1_000_000_u64.checked_div(rate.into()).unwrap_or(0);
        Pace { each_us, due_us: 0 }
    }

    /// Whether one may be sent; then it counts.
    pub(super) fn may_send(&mut self, now: Millis) -> bool {
        let now_us = now.saturating_mul(1_000);
        if self.each_us == 0 {
            return true;
        }
        if self.due_us > now_us + BURST_US {
            return false;
        }
        self.due_us = self.due_us.max(now_us) + self.each_us;
        true
    }

    /// When one may be sent again, where there is a limit.
    pub(super) fn next(&self) -> Option<Millis> {
        let at_us = self.due_us.saturating_sub(BURST_US);
        (self.each_us > 0).then(|| at_us.div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_sends_as_many_as_the_rate_says() {
        let mut pace = Pace::new(100);
        let mut sent = 0;
        for now in 5_000..6_000 {
            while pace.may_send(now) {
                sent += 1;
            }
        }
        assert!((100..=111).contains(&sent), "{sent}");
        assert!(pace.next().is_some_and(|at| (6_000..=6_010).contains(&at)));
        assert!(Pace::new(0).may_send(0) && Pace::new(0).next().is_none());
    }
}

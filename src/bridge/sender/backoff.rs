//! How long to wait before the next connection: decorrelated jitter, so that many bridges that lost
//! the same broker do not come back at once.

use super::BackoffSettings;

#[derive(Debug)]
pub(super) struct ReconnectBackoff {
    settings: BackoffSettings,
    last_ms: u64,
    state: u64,
}

impl ReconnectBackoff {
    pub(super) fn new(settings: BackoffSettings, seed: u64) -> ReconnectBackoff {
        ReconnectBackoff {
            settings,
            last_ms: settings.initial_ms,
            state: seed,
        }
    }

    /// The next wait, after a connection that lasted so long. From the shortest wait to three times
    /// the last one, and never more than the longest.
    pub(super) fn next(&mut self, lasted_ms: u64, refused: bool) -> u64 {
        let BackoffSettings {
            initial_ms,
            max_ms,
            refused_ms,
            stable_ms,
        } = self.settings;
        if lasted_ms >= stable_ms {
            self.last_ms = initial_ms;
        }
        let most = self.last_ms.saturating_mul(3).min(max_ms).max(initial_ms);
        let wait = initial_ms + self.dice() % (most - initial_ms + 1);
        self.last_ms = wait;
        match refused {
            true => wait.max(refused_ms),
            false => wait,
        }
    }

    /// SplitMix64.
    fn dice(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_spread_up_to_their_bound_and_are_short_again_after_a_stable_time() {
        let settings = BackoffSettings {
            initial_ms: 1_000,
            max_ms: 60_000,
            refused_ms: 60_000,
            stable_ms: 60_000,
        };
        let mut longest = 0;
        for seed in 0..200 {
            let mut backoff = ReconnectBackoff::new(settings, seed);
            assert!((1_000..=3_000).contains(&backoff.next(0, false)));
            for _ in 0..20 {
                let wait = backoff.next(10, false);
                assert!((1_000..=60_000).contains(&wait));
                longest = longest.max(wait);
            }
            assert!((1_000..=3_000).contains(&backoff.next(60_000, false)));
            assert!(backoff.next(0, true) >= 60_000);
        }
        assert!(longest > 30_000, "{longest}");
    }
}

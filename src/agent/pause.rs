//! How long to wait before the next try.

use std::time::Duration;

use ulid::Ulid;

/// Pauses that grow, with jitter: of many that failed together, few come back together.
#[derive(Debug, Clone)]
pub(super) struct RetryPause {
    next: Duration,
    longest: Duration,
}

impl RetryPause {
    /// Before a connection is tried again.
    pub(super) fn reconnecting() -> RetryPause {
        RetryPause {
            next: Duration::from_millis(100),
            longest: Duration::from_secs(10),
        }
    }

    /// Before a command that was refused with 429 or 503 is tried again.
    pub(super) fn refused() -> RetryPause {
        RetryPause {
            next: Duration::from_millis(250),
            longest: Duration::from_secs(60),
        }
    }

    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        // Between a half of it and all of it; the randomness of an id is at hand.
        let dice = u32::try_from(Ulid::generate().random() & 0xFF).unwrap_or_default();
        whole / 2 + whole / 2 * dice / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let mut pause = RetryPause::reconnecting();
        let first = pause.next();
        assert!((Duration::from_millis(50)..=Duration::from_millis(100)).contains(&first));
        let last = (0..20).map(|_| pause.next()).last().expect("some");
        assert!((Duration::from_secs(5)..=Duration::from_secs(10)).contains(&last));
    }
}

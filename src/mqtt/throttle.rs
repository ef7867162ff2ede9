//! How fast one client is read: two token buckets, one for its PUBLISH packets and one for all its bytes.
//!
//! It decides and remembers, the session asks it before each packet, and the connection waits until the time that it names.
//! It has no clock: every call brings the time. Nothing is ever dropped for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config::{MqttConfig, Rate};
use super::metrics::Metrics;

/// A bucket never holds less than its rate lets through in this time: timers are not finer than a millisecond, and one
/// token a tick would be less than the rate.
const LEAST_BURST: Duration = Duration::from_millis(10);

/// What one client may send, and how far it is ahead of that.
#[derive(Debug)]
pub(super) struct Throttle {
    publishes: Bucket,
    bytes: Bucket,
    held: Option<Held>,
}

/// The client is not read until then.
#[derive(Debug)]
struct Held {
    until: Instant,
    /// Lowers the gauge when the wait, or the connection, is over.
    _counted: HeldBack,
}

#[derive(Debug)]
struct HeldBack(Arc<Metrics>);

impl HeldBack {
    fn count(metrics: &Arc<Metrics>) -> HeldBack {
        metrics.throttled.add_one();
        metrics.throttled_now.add_one();
        HeldBack(Arc::clone(metrics))
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.0.throttled_now.lower();
    }
}

impl Throttle {
    /// `None` where nothing is limited.
    pub(super) fn new(config: &MqttConfig, now: Instant) -> Option<Box<Throttle>> {
        let limited = config.publish_rate.per_second > 0 || config.byte_rate.per_second > 0;
        limited.then(|| {
            Box::new(Throttle {
                publishes: Bucket::new(config.publish_rate, now),
                bytes: Bucket::new(config.byte_rate, now),
                held: None,
            })
        })
    }

    /// Whether a packet of so many bytes may be taken now; if not, the client is held back until it may.
    pub(super) fn takes(
        &mut self,
        publish: bool,
        bytes: usize,
        now: Instant,
        metrics: &Arc<Metrics>,
    ) -> bool {
        let publishes_at = publish.then(|| self.publishes.next_at(1)).flatten();
        let next_at = publishes_at.max(self.bytes.next_at(bytes as u64));
        if let Some(until) = next_at.filter(|&at| at > now) {
            self.held = Some(Held {
                until,
                _counted: HeldBack::count(metrics),
            });
            return false;
        }
        if publish {
            self.publishes.pay(1, now);
        }
        self.bytes.pay(bytes as u64, now);
        true
    }

    /// Until when the client is not read.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.until)
    }

    /// Lets the client go on if its time has come; whether it was held back until now.
    pub(super) fn release(&mut self, now: Instant) -> bool {
        self.held.take_if(|held| held.until <= now).is_some()
    }
}

/// A token bucket in the form of the time at which it would be full again. A cost may be more than the bucket holds: it is
/// taken when the bucket is full, and the next one waits until the debt is paid.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// How long an empty bucket takes to fill.
    depth: Duration,
    full_at: Instant,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Bucket {
        let burst = match rate.burst {
            0 => rate.per_second,
            burst => burst,
        };
        Bucket {
            rate,
            depth: span(burst, rate).max(span(1, rate)).max(LEAST_BURST),
            full_at: now,
        }
    }

    /// The earliest time at which the cost may be taken; `None` if the bucket is bottomless.
    fn next_at(&self, cost: u64) -> Option<Instant> {
        let limited = self.rate.per_second > 0;
        limited.then(|| {
            let spare = self.depth.saturating_sub(span(cost, self.rate));
            // A clock that began later than that has no such time.
            self.full_at.checked_sub(spare).unwrap_or(self.full_at)
        })
    }

    fn pay(&mut self, cost: u64, now: Instant) {
        if self.rate.per_second > 0 {
            self.full_at = self.full_at.max(now) + span(cost, self.rate);
        }
    }
}

/// How long the rate takes for so much.
fn span(amount: u64, rate: Rate) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let nanos = u128::from(amount) * SECOND / u128::from(rate.per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: u64, burst: u64) -> Rate {
        Rate { per_second, burst }
    }

    struct Reader {
        throttle: Box<Throttle>,
        metrics: Arc<Metrics>,
        now: Instant,
    }

    impl Reader {
        fn new(publish_rate: Rate, byte_rate: Rate) -> Reader {
            let config = MqttConfig {
                publish_rate,
                byte_rate,
                ..MqttConfig::default()
            };
            let now = Instant::now();
            Reader {
                throttle: Throttle::new(&config, now).unwrap(),
                metrics: Arc::default(),
                now,
            }
        }

        fn publishes(&mut self, bytes: usize) -> bool {
            self.throttle.takes(true, bytes, self.now, &self.metrics)
        }

        /// How many of an endless row of publishes it takes at this time.
        fn takes(&mut self, bytes: usize) -> usize {
            let mut count = 0;
            while self.publishes(bytes) {
                count += 1;
            }
            count
        }

        /// Passes the time until the client is read again; how long that was.
        fn wait(&mut self) -> Duration {
            let until = self.throttle.held_until().expect("held back");
            let waited = until - self.now;
            self.now = until;
            assert!(self.throttle.release(self.now));
            waited
        }
    }

    const FREE: Rate = Rate {
        per_second: 0,
        burst: 0,
    };

    #[test]
    fn nothing_is_kept_where_nothing_is_limited() {
        assert!(Throttle::new(&MqttConfig::default(), Instant::now()).is_none());
    }

    #[test]
    fn a_burst_passes_and_the_rest_follows_at_the_rate() {
        let mut reader = Reader::new(rate(10, 3), FREE);
        assert_eq!(reader.takes(1), 3);
        assert_eq!(reader.wait().as_millis(), 100);
        assert_eq!(reader.takes(1), 1);
        reader.wait();
        reader.now += Duration::from_secs(60);
        assert_eq!(
            reader.takes(1),
            3,
            "a long silence saves up no more than a burst"
        );
    }

    #[test]
    fn a_second_is_saved_up_where_no_burst_is_named() {
        assert_eq!(Reader::new(rate(7, 0), FREE).takes(1), 7);
    }

    #[test]
    fn a_packet_larger_than_the_bucket_is_taken_and_paid_for_afterwards() {
        let mut reader = Reader::new(FREE, rate(1000, 100));
        assert!(reader.publishes(5000));
        assert!(!reader.publishes(1));
        assert_eq!(reader.wait().as_millis(), 4901);
        assert!(reader.publishes(1));
    }

    #[test]
    fn the_slower_of_two_rates_counts_and_only_publishes_count_as_messages() {
        let mut reader = Reader::new(rate(10, 1), rate(1000, 200));
        assert!(reader.publishes(10));
        let (now, metrics) = (reader.now, Arc::clone(&reader.metrics));
        assert!(reader.throttle.takes(false, 190, now, &metrics), "an ack");
        assert!(!reader.publishes(1));
        assert_eq!(reader.wait().as_millis(), 100);
    }

    #[test]
    fn clients_that_are_held_back_are_counted_once_a_wait() {
        let mut reader = Reader::new(rate(10, 1), FREE);
        reader.takes(1);
        assert_eq!(reader.metrics.throttled.value(), 1);
        assert_eq!(reader.metrics.throttled_now.value(), 1);
        assert!(!reader.throttle.release(reader.now), "too early");
        reader.wait();
        assert_eq!(reader.metrics.throttled_now.value(), 0);
        reader.takes(1);
        let metrics = Arc::clone(&reader.metrics);
        drop(reader);
        assert_eq!(metrics.throttled.value(), 2);
        assert_eq!(metrics.throttled_now.value(), 0, "its connection is gone");
    }

    proptest! {
        /// Whatever comes when: in no stretch of time is more taken than the burst and the rate allow, and a client that
        /// always has something to send gets all of its rate. Two more or less for what is rounded.
        #[test]
        fn the_rate_is_held_and_reached(per_second in 1u64..100_000, burst in 1u64..1000, rounds in 1usize..200) {
            let mut reader = Reader::new(rate(per_second, burst), FREE);
            let begin = reader.now;
            let mut taken = reader.takes(1) as u64;
            for _ in 0..rounds {
                reader.wait();
                taken += reader.takes(1) as u64;
            }
            let passed = (reader.now - begin).as_nanos();
            let by_rate = u64::try_from(passed * u128::from(per_second) / 1_000_000_000).unwrap();
            let burst = burst.max(per_second / 100);
            prop_assert!(taken <= by_rate + burst + 2, "{taken} of {by_rate} + {burst}");
            prop_assert!(taken + 2 >= by_rate + burst, "{taken} of {by_rate} + {burst}");
        }
    }
}

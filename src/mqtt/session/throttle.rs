//! How fast one client is read: by two rates, one for its PUBLISH packets and one for all its
//! bytes.
//!
//! It decides and remembers, the session asks it before each packet, and the connection waits until
//! the time that it names. It has no clock: every call brings the time. Nothing is ever dropped for
//! it.

use std::sync::Arc;

use tokio::time::Instant;

use crate::live::Plane;
use crate::mqtt::config::{MqttConfig, RateLimit};
use crate::mqtt::metrics::Metrics;
use crate::mqtt::rate::{Meter, RatePace};

use super::ClientSession;

/// A burst is never less than this part of what a second lets through: timers are not finer than a
/// millisecond, and one packet a tick would be less than the rate.
const LEAST_BURST: u64 = 100;

/// What one client may send, and how far it is ahead of that.
#[derive(Debug)]
pub(super) struct Throttle {
    publishes: Option<Limit>,
    bytes: Option<Limit>,
    held: Option<Pause>,
}

/// The client is not read until then.
#[derive(Debug)]
struct Pause {
    until: Instant,
    /// Lowers the gauge when the wait, or the connection, is over.
    _counted: HeldBack,
}

/// Counts a client that is not read, as long as it is there.
#[derive(Debug)]
pub(super) struct HeldBack(Arc<Metrics>);

impl HeldBack {
    pub(super) fn count(metrics: &Arc<Metrics>) -> HeldBack {
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
    pub(super) fn new(config: &MqttConfig) -> Option<Box<Throttle>> {
        let publishes = Limit::new(config.publishes());
        let bytes = Limit::new(config.bytes());
        let limited = publishes.is_some() || bytes.is_some();
        limited.then(|| {
            Box::new(Throttle {
                publishes,
                bytes,
                held: None,
            })
        })
    }

    /// Whether a packet of so many bytes may be taken now; if not, the client is held back until it
    /// may.
    pub(super) fn takes(
        &mut self,
        publish: bool,
        bytes: usize,
        now: Instant,
        metrics: &Arc<Metrics>,
    ) -> bool {
        let publishes = self.publishes.as_mut().filter(|_| publish);
        let costs = [(publishes, 1), (self.bytes.as_mut(), bytes as u64)];
        let waits = costs
            .iter()
            .filter_map(|(limit, cost)| limit.as_ref()?.wait_until(*cost, now));
        if let Some(until) = waits.max() {
            self.held = Some(Pause {
                until,
                _counted: HeldBack::count(metrics),
            });
            return false;
        }
        for (limit, cost) in costs {
            if let Some(limit) = limit {
                limit.pay(cost, now);
            }
        }
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

impl<P: Plane> ClientSession<P> {
    /// Until when the client is not read because it sent too fast, or more than there is room for.
    pub(in crate::mqtt) fn held_until(&self) -> Option<Instant> {
        let throttle = self.throttle.as_ref();
        let throttle = throttle.and_then(|throttle| throttle.held_until());
        let unheard = self.unheard.as_ref();
        let unheard = unheard.and_then(|unheard| unheard.held_until());
        throttle.max(unheard)
    }

    /// Whether the client's rates allow a packet now.
    pub(super) fn in_time(&mut self, publishes: bool, bytes: usize) -> bool {
        let metrics = &self.io.metrics;
        self.throttle
            .as_mut()
            .is_none_or(|throttle| throttle.takes(publishes, bytes, Instant::now(), metrics))
    }
}

/// One of the two limits, where it is set.
#[derive(Debug)]
struct Limit {
    pace: RatePace,
    meter: Meter,
}

impl Limit {
    fn new(rate: RateLimit) -> Option<Limit> {
        let burst = match rate.burst {
            0 => rate.per_second,
            burst => burst,
        };
        let pace = RatePace::new(RateLimit {
            burst: burst.max(rate.per_second / LEAST_BURST),
            ..rate
        })?;
        let meter = Meter::default();
        Some(Limit { pace, meter })
    }

    fn wait_until(&self, amount: u64, now: Instant) -> Option<Instant> {
        self.meter.wait_until(self.pace, amount, now)
    }

    fn pay(&mut self, amount: u64, now: Instant) {
        self.meter.pay(self.pace, amount, now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::setting::Size;

    fn rate(per_second: u64, burst: u64) -> RateLimit {
        RateLimit { per_second, burst }
    }

    struct Reader {
        throttle: Box<Throttle>,
        metrics: Arc<Metrics>,
        now: Instant,
    }

    impl Reader {
        fn new(publish_rate: RateLimit, byte_rate: RateLimit) -> Reader {
            let config = MqttConfig {
                max_publish_rate: publish_rate.per_second,
                publish_burst: publish_rate.burst,
                max_byte_rate: Size(byte_rate.per_second as usize),
                byte_burst: Size(byte_rate.burst as usize),
                ..MqttConfig::default()
            };
            let now = Instant::now();
            Reader {
                throttle: Throttle::new(&config).unwrap(),
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

    const FREE: RateLimit = RateLimit {
        per_second: 0,
        burst: 0,
    };

    #[test]
    fn nothing_is_kept_where_nothing_is_limited() {
        assert!(Throttle::new(&MqttConfig::default()).is_none());
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
        /// Whatever comes when: in no stretch of time is more taken than the burst and the rate
        /// allow, and a client that always has something to send gets all of its rate. Two more or
        /// less for what is rounded.
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

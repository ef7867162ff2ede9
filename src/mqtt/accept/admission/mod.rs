//! Who may come in at all: how many connections, how many from one address, how fast, and how many
//! may be opening.
//!
//! Decided the moment a connection is accepted, before a byte of it is read, for all listeners
//! together. What is refused is closed unanswered and counted. It never waits. `listener` asks it.

mod half_open;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub(super) use half_open::HalfOpenPlace;

use crate::log_limiter::{About, LogLimiter, limited};
use crate::mqtt::config::MqttConfig;
use crate::mqtt::metrics::Metrics;
use crate::mqtt::rate::{Meter, RatePace};

use half_open::HalfOpen;

/// Addresses without a connection whose recent connects are remembered; beyond it all of them are
/// forgotten.
const MAX_RESTING: usize = 65_536;

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdmissionRefusal {
    Total,
    Address,
    Rate,
    AddressRate,
    Opening,
}

impl AdmissionRefusal {
    /// The setting that it follows from.
    fn key(self) -> &'static str {
        match self {
            AdmissionRefusal::Total => "mqtt.max_connections",
            AdmissionRefusal::Address => "mqtt.max_connections_per_address",
            AdmissionRefusal::Rate => "mqtt.connect_rate",
            AdmissionRefusal::AddressRate => "mqtt.connect_rate_per_address",
            AdmissionRefusal::Opening => "mqtt.max_opening",
        }
    }
}

/// An address as far as its owner cannot change it at will: with IPv6 people have a /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SourceAddress(IpAddr);

impl SourceAddress {
    fn of(address: IpAddr) -> SourceAddress {
        match address.to_canonical() {
            IpAddr::V6(own) => {
                let network = own.to_bits() & !u128::from(u64::MAX);
                SourceAddress(Ipv6Addr::from_bits(network).into())
            }
            own => SourceAddress(own),
        }
    }
}

#[derive(Debug)]
struct AdmissionLimits {
    max_connections: usize,
    max_per_address: Option<usize>,
    rate: Option<RatePace>,
    rate_per_address: Option<RatePace>,
}

impl AdmissionLimits {
    fn of(config: &MqttConfig) -> AdmissionLimits {
        AdmissionLimits {
            max_connections: config.max_connections,
            max_per_address: Some(config.max_connections_per_address).filter(|&max| max > 0),
            rate: RatePace::new(config.connects()),
            rate_per_address: RatePace::new(config.connects_per_address()),
        }
    }
}

#[derive(Debug)]
struct AdmissionState {
    limits: AdmissionLimits,
    open: usize,
    meter: Meter,
    sources: HashMap<SourceAddress, FromSource>,
}

#[derive(Debug, Default)]
struct FromSource {
    open: usize,
    meter: Meter,
}

/// What it counts, for all listeners.
#[derive(Debug)]
pub(in crate::mqtt) struct AdmissionControl {
    metrics: Arc<Metrics>,
    log_limiter: Arc<LogLimiter>,
    state: Mutex<AdmissionState>,
    half_open: Arc<HalfOpen>,
}

impl AdmissionControl {
    pub(in crate::mqtt) fn new(
        config: &MqttConfig,
        metrics: Arc<Metrics>,
        log_limiter: Arc<LogLimiter>,
    ) -> Arc<AdmissionControl> {
        Arc::new(AdmissionControl {
            metrics,
            log_limiter,
            state: Mutex::new(AdmissionState {
                limits: AdmissionLimits::of(config),
                open: 0,
                meter: Meter::default(),
                sources: HashMap::new(),
            }),
            half_open: Arc::new(HalfOpen::new(config.max_opening)),
        })
    }

    /// Other limits from now on: whoever is in stays.
    pub(in crate::mqtt) fn configure(&self, config: &MqttConfig) {
        self.state().limits = AdmissionLimits::of(config);
        self.half_open.set_places(config.max_opening);
    }

    fn state(&self) -> MutexGuard<'_, AdmissionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, or counts why not.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<(ConnectionPermit, HalfOpenPlace), AdmissionRefusal> {
        let source = SourceAddress::of(address);
        let mut state = self.state();
        let judged = self.judge(&mut state, source, now);
        match judged {
            Ok(waiting) => {
                state.open += 1;
                let own = state.sources.entry(source).or_default();
                own.open += 1;
                let guest = ConnectionPermit {
                    admission: Arc::clone(self),
                    source,
                };
                Ok((guest, waiting))
            }
            Err(refusal) => {
                drop(state);
                self.refuse(refusal, address);
                Err(refusal)
            }
        }
    }

    /// The order matters: what one address does beyond its share takes nothing from the share of
    /// all.
    fn judge(
        &self,
        state: &mut AdmissionState,
        source: SourceAddress,
        now: Instant,
    ) -> Result<HalfOpenPlace, AdmissionRefusal> {
        let AdmissionState {
            limits,
            open,
            meter,
            sources,
        } = state;
        if *open >= limits.max_connections {
            return Err(AdmissionRefusal::Total);
        }
        let own = sources.get(&source).map_or(0, |own| own.open);
        if limits.max_per_address.is_some_and(|max| own >= max) {
            return Err(AdmissionRefusal::Address);
        }
        if let Some(rate) = limits.rate_per_address {
            if sources.len() >= limits.max_connections + MAX_RESTING {
                sources.retain(|_, from| from.open > 0);
            }
            let own = sources.entry(source).or_default();
            if !own.meter.pass(rate, now) {
                return Err(AdmissionRefusal::AddressRate);
            }
        }
        if limits.rate.is_some_and(|rate| !meter.pass(rate, now)) {
            return Err(AdmissionRefusal::Rate);
        }
        self.half_open.enter(now).ok_or(AdmissionRefusal::Opening)
    }

    fn refuse(&self, refusal: AdmissionRefusal, address: IpAddr) {
        let counts = &self.metrics.connections_refused;
        let count = match refusal {
            AdmissionRefusal::Total => &counts.too_many,
            AdmissionRefusal::Address => &counts.address,
            AdmissionRefusal::Rate => &counts.rate,
            AdmissionRefusal::AddressRate => &counts.address_rate,
            AdmissionRefusal::Opening => &counts.opening,
        };
        count.add(1);
        let key = refusal.key();
        // A line for each limit says enough.
        let admitted = self.log_limiter.admits(About::Stranger, key, "");
        limited!(warn, admitted, %address, limit = key, "connection refused");
    }

    fn leave(&self, source: SourceAddress) {
        let mut state = self.state();
        state.open -= 1;
        if let Some(from) = state.sources.get_mut(&source) {
            from.open -= 1;
            if from.open == 0 && from.meter.is_rested(Instant::now()) {
                state.sources.remove(&source);
            }
        }
    }
}

/// A connection that was let in; dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    admission: Arc<AdmissionControl>,
    source: SourceAddress,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.admission.leave(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(config: MqttConfig) -> Arc<AdmissionControl> {
        AdmissionControl::new(&config, Arc::default(), Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn connections_are_bounded_in_all_and_by_address() {
        let admission = admission(MqttConfig {
            max_connections: 3,
            max_connections_per_address: 2,
            ..MqttConfig::default()
        });
        let now = Instant::now();
        let enter = |address| admission.enter(ip(address), now).map(|(guest, _)| guest);
        let first = enter("192.0.2.1").expect("let in");
        let _second = enter("192.0.2.1").expect("let in");
        assert_eq!(enter("192.0.2.1").err(), Some(AdmissionRefusal::Address));
        assert_eq!(
            enter("::ffff:192.0.2.1").err(),
            Some(AdmissionRefusal::Address),
            "the same address in another spelling"
        );
        let _third = enter("192.0.2.2").expect("let in");
        assert_eq!(enter("192.0.2.3").err(), Some(AdmissionRefusal::Total));
        drop(first);
        enter("192.0.2.1").expect("there is room again");
        let refused = &admission.metrics.connections_refused;
        assert_eq!((refused.address.value(), refused.too_many.value()), (2, 1));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let admission = admission(MqttConfig {
            max_connections_per_address: 1,
            ..MqttConfig::default()
        });
        let now = Instant::now();
        let _one = admission.enter(ip("2001:db8::1"), now).expect("let in");
        let refused = admission.enter(ip("2001:db8::ffff:1"), now).err();
        assert_eq!(refused, Some(AdmissionRefusal::Address));
        admission
            .enter(ip("2001:db8:0:1::1"), now)
            .expect("another network");
    }

    #[test]
    fn one_fast_address_takes_nothing_from_the_rate_of_all() {
        let admission = admission(MqttConfig {
            connect_rate: 1,
            connect_burst: 3,
            connect_rate_per_address: 1,
            connect_burst_per_address: 2,
            ..MqttConfig::default()
        });
        let now = Instant::now();
        let enter = |address| admission.enter(ip(address), now).map(drop);
        assert_eq!(enter("192.0.2.1"), Ok(()));
        assert_eq!(enter("192.0.2.1"), Ok(()));
        for _ in 0..10 {
            assert_eq!(enter("192.0.2.1"), Err(AdmissionRefusal::AddressRate));
        }
        assert_eq!(enter("192.0.2.2"), Ok(()));
        assert_eq!(enter("192.0.2.3"), Err(AdmissionRefusal::Rate));
        let refused = &admission.metrics.connections_refused;
        assert_eq!(
            (refused.address_rate.value(), refused.rate.value()),
            (10, 1)
        );
    }

    #[test]
    fn addresses_are_forgotten_when_nothing_need_be_remembered() {
        let none = admission(MqttConfig::default());
        drop(none.enter(ip("192.0.2.1"), Instant::now()));
        assert!(none.state().sources.is_empty());

        let many = admission(MqttConfig {
            max_connections: 1,
            connect_rate_per_address: 1,
            connect_burst_per_address: 20,
            ..MqttConfig::default()
        });
        // Whoever leaves has been there so lately that it is remembered, however long this takes.
        let now = Instant::now() + std::time::Duration::from_secs(3600);
        for number in 0..MAX_RESTING as u32 + 5 {
            drop(many.enter(IpAddr::V4(number.into()), now));
            assert!(many.state().sources.len() <= MAX_RESTING + 1);
        }
        assert!(
            many.state().sources.len() < 10,
            "all but the last were forgotten"
        );
    }

    #[test]
    fn the_lobby_is_left_by_those_who_got_through() {
        let admission = admission(MqttConfig {
            max_opening: 1,
            ..MqttConfig::default()
        });
        let now = Instant::now();
        let (_guest, waiting) = admission.enter(ip("192.0.2.1"), now).expect("let in");
        let refused = admission.enter(ip("192.0.2.2"), now).err();
        assert_eq!(refused, Some(AdmissionRefusal::Opening));
        drop(waiting);
        admission
            .enter(ip("192.0.2.2"), now)
            .expect("the lobby is empty");
    }
}

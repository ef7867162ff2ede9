//! Who may come in at all: how many connections, how many from one address, how fast, and how many may be opening.
//!
//! Decided the moment a connection is accepted, before a byte of it is read, for all listeners together. What is refused is closed
//! unanswered and counted. It never waits. `listener` asks it.

mod lobby;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub(super) use lobby::Waiting;

use crate::diary::{About, Diary, limited};
use crate::mqtt::config::MqttConfig;
use crate::mqtt::metrics::Metrics;
use crate::mqtt::rate::{Meter, Pace};

use lobby::Lobby;

/// Addresses without a connection whose recent connects are remembered; beyond it all of them are forgotten.
const MAX_RESTING: usize = 65_536;

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Total,
    Address,
    Rate,
    AddressRate,
    Opening,
}

impl Refusal {
    /// The setting that it follows from.
    fn key(self) -> &'static str {
        match self {
            Refusal::Total => "mqtt.max_connections",
            Refusal::Address => "mqtt.max_connections_per_address",
            Refusal::Rate => "mqtt.connect_rate",
            Refusal::AddressRate => "mqtt.connect_rate_per_address",
            Refusal::Opening => "mqtt.max_opening",
        }
    }
}

/// An address as far as its owner cannot change it at will: with IPv6 people have a /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl Source {
    fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V6(own) => {
                let network = own.to_bits() & !u128::from(u64::MAX);
                Source(Ipv6Addr::from_bits(network).into())
            }
            own => Source(own),
        }
    }
}

#[derive(Debug)]
struct Limits {
    max_connections: usize,
    max_per_address: Option<usize>,
    rate: Option<Pace>,
    rate_per_address: Option<Pace>,
}

impl Limits {
    fn of(config: &MqttConfig) -> Limits {
        Limits {
            max_connections: config.max_connections,
            max_per_address: Some(config.max_connections_per_address).filter(|&max| max > 0),
            rate: Pace::new(config.connects()),
            rate_per_address: Pace::new(config.connects_per_address()),
        }
    }
}

#[derive(Debug)]
struct State {
    limits: Limits,
    open: usize,
    meter: Meter,
    sources: HashMap<Source, FromSource>,
}

#[derive(Debug, Default)]
struct FromSource {
    open: usize,
    meter: Meter,
}

/// The state of the door, for all listeners.
#[derive(Debug)]
pub(super) struct Admission {
    metrics: Arc<Metrics>,
    diary: Arc<Diary>,
    state: Mutex<State>,
    lobby: Arc<Lobby>,
}

impl Admission {
    pub(super) fn new(
        config: &MqttConfig,
        metrics: Arc<Metrics>,
        diary: Arc<Diary>,
    ) -> Arc<Admission> {
        Arc::new(Admission {
            metrics,
            diary,
            state: Mutex::new(State {
                limits: Limits::of(config),
                open: 0,
                meter: Meter::default(),
                sources: HashMap::new(),
            }),
            lobby: Arc::new(Lobby::new(config.max_opening)),
        })
    }

    /// Other limits from now on: whoever is in stays.
    pub(super) fn configure(&self, config: &MqttConfig) {
        self.state().limits = Limits::of(config);
        self.lobby.set_seats(config.max_opening);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, or counts why not.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<(Guest, Waiting), Refusal> {
        let source = Source::of(address);
        let mut state = self.state();
        let judged = self.judge(&mut state, source, now);
        match judged {
            Ok(waiting) => {
                state.open += 1;
                let own = state.sources.entry(source).or_default();
                own.open += 1;
                let guest = Guest {
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

    /// The order matters: what one address does beyond its share takes nothing from the share of all.
    fn judge(&self, state: &mut State, source: Source, now: Instant) -> Result<Waiting, Refusal> {
        let State {
            limits,
            open,
            meter,
            sources,
        } = state;
        if *open >= limits.max_connections {
            return Err(Refusal::Total);
        }
        let own = sources.get(&source).map_or(0, |own| own.open);
        if limits.max_per_address.is_some_and(|max| own >= max) {
            return Err(Refusal::Address);
        }
        if let Some(rate) = limits.rate_per_address {
            if sources.len() >= limits.max_connections + MAX_RESTING {
                sources.retain(|_, from| from.open > 0);
            }
            let own = sources.entry(source).or_default();
            if !own.meter.pass(rate, now) {
                return Err(Refusal::AddressRate);
            }
        }
        if limits.rate.is_some_and(|rate| !meter.pass(rate, now)) {
            return Err(Refusal::Rate);
        }
        self.lobby.enter(now).ok_or(Refusal::Opening)
    }

    fn refuse(&self, refusal: Refusal, address: IpAddr) {
        let counts = &self.metrics.connections_refused;
        let count = match refusal {
            Refusal::Total => &counts.too_many,
            Refusal::Address => &counts.address,
            Refusal::Rate => &counts.rate,
            Refusal::AddressRate => &counts.address_rate,
            Refusal::Opening => &counts.opening,
        };
        count.add(1);
        let key = refusal.key();
        // A line for each limit says enough.
        let admitted = self.diary.admits(About::Stranger, key, "");
        limited!(warn, admitted, %address, limit = key, "connection refused");
    }

    fn leave(&self, source: Source) {
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
pub(super) struct Guest {
    admission: Arc<Admission>,
    source: Source,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.admission.leave(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(config: MqttConfig) -> Arc<Admission> {
        Admission::new(&config, Arc::default(), Arc::default())
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
        assert_eq!(enter("192.0.2.1").err(), Some(Refusal::Address));
        assert_eq!(
            enter("::ffff:192.0.2.1").err(),
            Some(Refusal::Address),
            "the same address in another spelling"
        );
        let _third = enter("192.0.2.2").expect("let in");
        assert_eq!(enter("192.0.2.3").err(), Some(Refusal::Total));
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
        assert_eq!(refused, Some(Refusal::Address));
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
            assert_eq!(enter("192.0.2.1"), Err(Refusal::AddressRate));
        }
        assert_eq!(enter("192.0.2.2"), Ok(()));
        assert_eq!(enter("192.0.2.3"), Err(Refusal::Rate));
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
        assert_eq!(refused, Some(Refusal::Opening));
        drop(waiting);
        admission
            .enter(ip("192.0.2.2"), now)
            .expect("the lobby is empty");
    }
}

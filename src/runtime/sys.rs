//! `$SYS/broker/…`: what the gateway says about itself, under the names that mosquitto's users know
//! (mosquitto(8)).
//!
//! It turns counters into messages once an interval; the desk publishes those that changed. Rates
//! are moving averages per minute over 1, 5 and 15 minutes, as an operating system shows its load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::process;
use crate::desk::DeskStats;
use crate::desk::port::{Holdings, Request};
use crate::mqtt::Metrics;
use crate::wire::message::{Message, Parts, Qos};

const TREE: &str = "$SYS/broker/";

/// Minutes that a rate is averaged over.
const WINDOWS: [u32; 3] = [1, 5, 15];

/// Publishes the figures until `stop` turns true or the desk is gone.
pub(super) async fn run(
    interval: Duration,
    desk: mpsc::Sender<Request>,
    mut status: Status,
    mut stop: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            // An error means that the sender is gone, which is as good as a stop.
            _ = stop.wait_for(|&stop| stop) => return,
            _ = ticks.tick() => {}
        }
        let (answer, holdings) = oneshot::channel();
        if desk.send(Request::Measure(answer)).await.is_err() {
            return;
        }
        let Ok(holdings) = holdings.await else {
            return;
        };
        let figures = status.figures(Instant::now(), &holdings);
        let messages = figures
            .into_iter()
            .map(|(name, value)| message(&name, &value));
        if desk
            .send(Request::Announce(messages.collect()))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// At QoS 0: nobody's queue fills with figures that are soon old.
fn message(name: &str, value: &str) -> Message {
    Message::encode(&Parts {
        topic: &format!("{TREE}{name}"),
        qos: Qos::AtMostOnce,
        retain: true,
        payload: value.as_bytes(),
        ..Parts::default()
    })
}

/// Where the figures come from.
pub(super) struct Status {
    front_door: Arc<Metrics>,
    desk: Arc<DeskStats>,
    started: Instant,
    clients_maximum: usize,
    memory_maximum: u64,
    rates: Vec<(&'static str, Rate)>,
}

impl Status {
    /// What the desk counts.
    pub(super) fn desk(&self) -> Arc<DeskStats> {
        self.desk.clone()
    }

    pub(super) fn new(front_door: Arc<Metrics>, desk: Arc<DeskStats>, started: Instant) -> Status {
        Status {
            front_door,
            desk,
            started,
            clients_maximum: 0,
            memory_maximum: 0,
            rates: Vec::new(),
        }
    }

    /// Names below `$SYS/broker/` and values.
    fn figures(&mut self, now: Instant, holdings: &Holdings) -> Vec<(String, String)> {
        let mut all = vec![
            (
                "version".to_owned(),
                concat!("hallward version ", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
            (
                "uptime".to_owned(),
                format!("{} seconds", (now - self.started).as_secs()),
            ),
        ];
        let numbers = self.holdings(holdings).into_iter().chain(self.memory());
        let counters = self.counters();
        all.extend(
            numbers
                .chain(counters.iter().map(|&(name, _, value)| (name, value)))
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, value)| (name.to_owned(), value.to_string())),
        );
        for (_, load, value) in counters {
            all.extend(self.rates(load, value, now));
        }
        all
    }

    fn holdings(&mut self, now: &Holdings) -> Vec<(&'static str, u64)> {
        self.clients_maximum = self.clients_maximum.max(now.clients);
        let away = now.clients.saturating_sub(now.connected);
        [
            ("clients/total", now.clients),
            ("clients/maximum", self.clients_maximum),
            ("clients/connected", now.connected),
            ("clients/active", now.connected),
            ("clients/disconnected", away),
            ("clients/inactive", away),
            ("subscriptions/count", now.subscriptions),
            ("shared_subscriptions/count", now.shared_subscriptions),
            ("retained messages/count", now.retained),
            ("messages/stored", now.stored_messages),
            ("store/messages/count", now.stored_messages),
            ("store/messages/bytes", now.stored_bytes),
        ]
        .map(|(name, value)| (name, value as u64))
        .to_vec()
    }

    /// What the process has of the machine's memory, in bytes, where the system tells.
    fn memory(&mut self) -> Vec<(&'static str, u64)> {
        let Some(current) = process::resident_bytes() else {
            return Vec::new();
        };
        self.memory_maximum = self.memory_maximum.max(current);
        vec![
            ("heap/current", current),
            ("heap/maximum", self.memory_maximum),
        ]
    }

    /// What only grows: its name, the name of its rate, its value. Either name may be empty:
    /// mosquitto does not show both of everything.
    fn counters(&self) -> [(&'static str, &'static str, u64); 12] {
        let (door, desk) = (&self.front_door, &self.desk);
        let [received, sent] = [&door.publishes_received, &door.publishes_sent].map(|counts| {
            let levels = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
            levels.map(|qos| counts.of(qos).value()).iter().sum()
        });
        let dropped = door.undelivered.slow_reader.value()
            + door.undelivered.too_large_for_client.value()
            + door.undelivered.lagged.value()
            + desk.dropped.queue_full.value()
            + desk.dropped.backlog.value();
        [
            (
                "messages/received",
                "messages/received",
                door.packets_received.value(),
            ),
            ("messages/sent", "messages/sent", door.packets_sent.value()),
            (
                "bytes/received",
                "bytes/received",
                door.bytes_received.value(),
            ),
            ("bytes/sent", "bytes/sent", door.bytes_sent.value()),
            ("publish/messages/received", "publish/received", received),
            ("publish/messages/sent", "publish/sent", sent),
            ("publish/messages/dropped", "publish/dropped", dropped),
            (
                "publish/bytes/received",
                "",
                door.publish_bytes_received.value(),
            ),
            ("publish/bytes/sent", "", door.publish_bytes_sent.value()),
            ("clients/expired", "", desk.expired_sessions.value()),
            ("sockets/opened", "sockets", door.connections_total.value()),
            ("", "connections", door.connects.value()),
        ]
    }

    fn rates(&mut self, load: &'static str, value: u64, now: Instant) -> Vec<(String, String)> {
        if load.is_empty() {
            return Vec::new();
        }
        let at = self.rates.iter().position(|(name, _)| *name == load);
        let at = at.unwrap_or_else(|| {
            self.rates.push((load, Rate::new(value, now)));
            self.rates.len() - 1
        });
        let averages = self.rates[at].1.take(value, now);
        WINDOWS
            .iter()
            .zip(averages)
            .map(|(minutes, average)| {
                (format!("load/{load}/{minutes}min"), format!("{average:.2}"))
            })
            .collect()
    }
}

/// Moving averages of what a counter gains in a minute.
#[derive(Debug)]
struct Rate {
    last: u64,
    at: Instant,
    averages: [f64; 3],
}

impl Rate {
    fn new(value: u64, now: Instant) -> Rate {
        Rate {
            last: value,
            at: now,
            averages: [0.0; 3],
        }
    }

    fn take(&mut self, value: u64, now: Instant) -> [f64; 3] {
        let minutes = (now - self.at).as_secs_f64() / 60.0;
        if minutes > 0.0 {
            #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
            let gained = value.saturating_sub(self.last) as f64 / minutes;
            for (average, window) in self.averages.iter_mut().zip(WINDOWS) {
                let kept = (-minutes / f64::from(window)).exp();
                *average = gained + kept * (*average - gained);
            }
            (self.last, self.at) = (value, now);
        }
        self.averages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_approaches_what_comes_steadily_and_forgets_it_as_slowly() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(0, start);
        let mut averages = [0.0; 3];
        for minute in 1..=60 {
            averages = rate.take(minute * 600, at(minute * 60));
        }
        assert!(
            averages
                .iter()
                .all(|average| (580.0..=600.0).contains(average)),
            "{averages:?}"
        );
        let after = rate.take(60 * 600, at(61 * 60));
        assert!(after[0] < 230.0 && after[1] > 480.0, "{after:?}");
        assert_eq!(
            rate.take(60 * 600, at(61 * 60)),
            after,
            "no time has passed"
        );
    }

    #[test]
    fn figures_are_there_under_the_names_that_people_know() {
        let start = Instant::now();
        let mut status = Status::new(Arc::default(), Arc::default(), start);
        status.front_door.packets_received.add(7);
        let holdings = Holdings {
            clients: 3,
            connected: 1,
            ..Holdings::default()
        };
        let figures = status.figures(start + Duration::from_secs(5), &holdings);
        let value = |name: &str| {
            let figure = figures.iter().find(|(known, _)| known == name);
            figure.map_or_else(
                || panic!("no {name} in {figures:?}"),
                |(_, value)| value.as_str(),
            )
        };
        assert_eq!(value("uptime"), "5 seconds");
        assert_eq!(value("messages/received"), "7");
        assert_eq!(value("clients/disconnected"), "2");
        assert_eq!(value("load/messages/received/1min"), "0.00");
        value("retained messages/count");
        value("publish/messages/dropped");
        // All that mosquitto(8) lists below load.
        for load in [
            "bytes/received",
            "bytes/sent",
            "connections",
            "messages/received",
            "messages/sent",
            "publish/dropped",
            "publish/received",
            "publish/sent",
            "sockets",
        ] {
            for minutes in WINDOWS {
                assert_eq!(value(&format!("load/{load}/{minutes}min")), "0.00");
            }
        }
        assert!(figures.iter().all(|(name, _)| !name.is_empty()));
    }

    #[test]
    fn clients_that_connect_are_the_load_of_connections() {
        let start = Instant::now();
        let mut status = Status::new(Arc::default(), Arc::default(), start);
        let load = |status: &mut Status, after: u64| {
            let now = start + Duration::from_secs(after);
            let figures = status.figures(now, &Holdings::default());
            let own = figures.into_iter().filter_map(|(name, value)| {
                let minutes = name.strip_prefix("load/connections/")?;
                Some((minutes.to_owned(), value.parse::<f64>().expect("a number")))
            });
            own.collect::<Vec<_>>()
        };
        load(&mut status, 0);
        status.front_door.connects.add(60);
        let after = load(&mut status, 60);
        let [one, five, fifteen] = &after[..] else {
            panic!("three averages: {after:?}");
        };
        assert_eq!([&one.0, &five.0, &fifteen.0], ["1min", "5min", "15min"]);
        // 60 in the last minute and none before, each window with its own memory: 60 (1 -
        // e^(-1/minutes)).
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 0.01;
        let ok = near(one.1, 37.93) && near(five.1, 10.88) && near(fifteen.1, 3.87);
        assert!(ok, "{after:?}");
    }
}

//! Drives the bridges: a task for each, with its own connection, its own reads of the disk and its
//! own time.
//!
//! It holds no promise itself. What is to be sent and what is done the state machine in `sender`
//! says; what is done the desk hears, which alone changes the queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::check::host_and_port;
use super::config::BridgeConfig;
use super::credentials::BridgeCredentials;
use super::link::{BridgeLinkOptions, BrokerLink, LinkEvent, NotSent};
use super::metrics::{BridgeMetrics, BridgeStats};
use super::preset::BridgePreset;
use super::sender::{
    BackoffSettings, BridgeSender, CutCause, PacketLimits, SenderSettings, SenderStep,
};
use crate::clock::Clock;
use crate::desk::port::Request;
use crate::desk::{ForwardBounds, ForwardEntry, ForwardPort};
use crate::log_limiter::{About, LogLimiter, limited, shown};
use crate::wire::Millis;
use crate::wire::message::{Message, Parts};

/// Messages that are read at once.
const READ_AT_ONCE: u64 = 1024;
/// Events of a connection that are taken before anything else is looked at.
const EVENTS_A_TURN: usize = 256;
/// Gauges are no older than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// Before a read that failed is tried again.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// What bridges need of the gateway.
#[derive(Debug, Clone)]
pub struct BridgeParts {
    /// The timeline.
    pub clock: Arc<Clock>,
    /// Which lines are worth the log.
    pub log_limiter: Arc<LogLimiter>,
}

/// All bridges, not running yet.
#[derive(Debug)]
pub struct Bridges {
    bridges: Vec<(BridgeConfig, ForwardPort, Arc<BridgeStats>)>,
    parts: BridgeParts,
}

impl Bridges {
    /// Bridges with their queues, in the same order.
    pub fn new(configs: &[BridgeConfig], ports: Vec<ForwardPort>, parts: BridgeParts) -> Bridges {
        let both = configs.iter().cloned().zip(ports);
        let bridges = both.map(|(config, port)| (config, port, Arc::default()));
        Bridges {
            bridges: bridges.collect(),
            parts,
        }
    }

    /// Their numbers, to show them.
    pub fn metrics(&self) -> BridgeMetrics {
        let each = self.bridges.iter().map(|(_, port, stats)| {
            let (name, stats) = (port.name().clone(), stats.clone());
            (name, stats, port.stats())
        });
        BridgeMetrics::new(each.collect())
    }

    /// Runs them until `stop` turns true.
    pub async fn run(self, desk: mpsc::Sender<Request>, stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for (config, port, stats) in self.bridges {
            let bridge = BridgeTask::new(config, port, stats, desk.clone(), self.parts.clone());
            tasks.spawn(bridge.run(stop.clone()));
        }
        drop(desk);
        tasks.join_all().await;
    }
}

type PendingRead = JoinHandle<(ForwardPort, u64, Vec<ForwardEntry>)>;

/// One bridge that runs.
struct BridgeTask {
    config: BridgeConfig,
    name: Arc<str>,
    sender: BridgeSender,
    settings: SenderSettings,
    stats: Arc<BridgeStats>,
    desk: mpsc::Sender<Request>,
    parts: BridgeParts,
    bounds: watch::Receiver<ForwardBounds>,
    /// Here unless it reads.
    port: Option<ForwardPort>,
    reading: Option<PendingRead>,
    link: Option<BrokerLink>,
    /// Of the addresses.
    next_address: usize,
    address: String,
    /// What was said of it below `$SYS`.
    announced: Option<bool>,
}

fn settings(config: &BridgeConfig, preset: &BridgePreset) -> SenderSettings {
    let rate = match (config.rate, preset.rate) {
        (0, preset) => preset,
        (own, _) => own,
    };
    SenderSettings {
        window: preset.window.min(config.window.into()),
        window_bytes: preset.window_bytes.min(config.window_bytes.0),
        read_ahead: config.read_ahead.0,
        rate,
        limits: PacketLimits {
            max_topic: preset.max_topic,
            max_slashes: preset.max_slashes,
            max_payload: preset.max_payload,
            max_packet: preset.max_packet,
        },
        connect_timeout_ms: config.connect_timeout.ms(),
        ack_timeout_ms: config.ack_timeout.ms(),
        backoff: BackoffSettings {
            initial_ms: config.backoff_initial.ms(),
            max_ms: config.backoff_max.ms(),
            refused_ms: config.backoff_refused.ms(),
            stable_ms: config.stable_after.ms(),
        },
        seed: seed(),
    }
}

/// Another one for each bridge and each start: they must not all wait for the same time.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

impl BridgeTask {
    fn new(
        config: BridgeConfig,
        port: ForwardPort,
        stats: Arc<BridgeStats>,
        desk: mpsc::Sender<Request>,
        parts: BridgeParts,
    ) -> BridgeTask {
        // The configuration has been checked: there is such a preset.
        let preset = BridgePreset::named(&config.preset).unwrap_or(&super::PRESETS[0]);
        let settings = settings(&config, preset);
        let mut bounds = port.bounds();
        let known = *bounds.borrow_and_update();
        BridgeTask {
            name: port.name().clone(),
            sender: BridgeSender::new(settings, known, stats.clone()),
            settings,
            stats,
            desk,
            parts,
            bounds,
            port: Some(port),
            reading: None,
            link: None,
            next_address: 0,
            address: String::new(),
            announced: None,
            config,
        }
    }

    fn now(&self) -> Millis {
        self.parts.clock.now()
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.take_steps().await;
            self.announce().await;
            let sleep = self.sleep();
            tokio::select! {
                // An error means that the sender is gone, which is as good as a stop.
                _ = stop.wait_for(|&stop| stop) => break,
                event = next_event(&mut self.link) => self.take_events(event),
                read = next_read(&mut self.reading) => self.take_read(read),
                // The desk is gone: the gateway stops.
                changed = self.bounds.changed() => match changed {
                    Ok(()) => {
                        let (now, bounds) = (self.now(), *self.bounds.borrow_and_update());
                        self.sender.bounds(now, bounds);
                    }
                    Err(_) => break,
                },
                () = tokio::time::sleep(sleep) => {}
            }
            let now = self.now();
            self.sender.tick(now);
            let oldest = self.sender.oldest();
            let age = oldest.map_or(0, |at| now.saturating_sub(at));
            self.stats.oldest_age.set(Duration::from_millis(age));
        }
        self.end().await;
    }

    fn sleep(&self) -> Duration {
        let at = self.sender.poll_timeout();
        let left = at.map(|at| Duration::from_millis(at.saturating_sub(self.now())));
        left.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    async fn take_steps(&mut self) {
        while let Some(step) = self.sender.poll() {
            match step {
                SenderStep::Connect => self.connect().await,
                SenderStep::Disconnect => self.link = None,
                SenderStep::Send { entry, may_retain } => self.send(&entry, may_retain),
                SenderStep::Read { from } => self.read(from),
                SenderStep::Finish { done, dead } => {
                    for letter in &dead {
                        self.log_dead(&letter.entry, letter.reason);
                    }
                    let queue = self.name.clone();
                    let request = Request::Forwarded { queue, done, dead };
                    // Without a desk the gateway stops.
                    let _ = self.desk.send(request).await;
                }
            }
        }
    }

    async fn connect(&mut self) {
        let addresses = &self.config.addresses;
        let address = addresses[self.next_address % addresses.len()].clone();
        self.next_address += 1;
        let config = self.config.clone();
        let read = tokio::task::spawn_blocking(move || BridgeCredentials::read(&config)).await;
        let credentials = read.unwrap_or_else(|error| Err(error.to_string()));
        let place = host_and_port(&address);
        match (credentials, place) {
            (Ok(credentials), Some(place)) => {
                let SenderSettings { window, limits, .. } = self.settings;
                let options = BridgeLinkOptions::new(
                    &self.config,
                    place,
                    window,
                    limits.max_packet,
                    credentials,
                );
                self.link = Some(BrokerLink::open(self.config.protocol, &options));
                self.address = address;
            }
            (Err(words), _) => self.cut(CutCause::Unreachable, &words),
            (_, None) => self.cut(CutCause::Unreachable, "no address"),
        }
    }

    fn send(&mut self, entry: &ForwardEntry, may_retain: bool) {
        let now = self.now();
        let Some(link) = &mut self.link else {
            return;
        };
        if link.publish(entry.seq, &entry.message, may_retain, now) == Err(NotSent) {
            // The connection has ended, which is the next thing that it says: then this goes again,
            // as all that is unacknowledged. Topics are good and there is room, so it is nothing
            // else; and if it were, there is the deadline of acknowledgements.
            tracing::debug!(bridge = &*self.name, seq = entry.seq, "too late to be sent");
        }
    }

    fn read(&mut self, from: u64) {
        let Some(port) = self.port.take() else {
            return;
        };
        let (name, bytes) = (self.name.clone(), self.config.read_ahead.0 / 2);
        self.reading = Some(tokio::spawn(async move {
            let mut port = port;
            loop {
                let read = tokio::task::spawn_blocking(move || {
                    let found = port.read(from, READ_AT_ONCE, bytes);
                    (port, found)
                });
                let (again, found) = match read.await {
                    Ok(read) => read,
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                };
                port = again;
                match found {
                    Ok(found) => return (port, from + READ_AT_ONCE, found),
                    Err(error) => tracing::error!(bridge = %name, %error, "bridge waits"),
                }
                tokio::time::sleep(READ_PAUSE).await;
            }
        }));
    }

    fn take_read(&mut self, (port, end, found): (ForwardPort, u64, Vec<ForwardEntry>)) {
        self.port = Some(port);
        let now = self.now();
        self.sender.filled(now, found, end);
    }

    fn take_events(&mut self, first: LinkEvent) {
        let mut next = Some(first);
        for _ in 0..EVENTS_A_TURN {
            let Some(event) = next.take() else {
                return;
            };
            self.take_event(event);
            next = self.link.as_mut().and_then(BrokerLink::try_next);
        }
        if let Some(event) = next {
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: LinkEvent) {
        let now = self.now();
        if event.is_from_there() {
            self.sender.heard(now);
        }
        match event {
            LinkEvent::Connected(grant) => {
                let (bridge, address) = (&*self.name, &*self.address);
                let (window, packet) = (grant.receive_maximum, grant.max_packet);
                tracing::info!(bridge, address, window, packet, "bridge connected");
                self.sender.connected(now, grant);
            }
            LinkEvent::Numbered(id) => {
                if let Some(link) = &mut self.link {
                    link.number(id);
                }
            }
            LinkEvent::Acked(id, code) => {
                let seq = self.link.as_mut().and_then(|link| link.answered(id));
                match seq {
                    Some(seq) if code < 0x80 => self.sender.acked(now, seq),
                    Some(seq) => self.sender.nacked(now, seq, code),
                    None => self.cut(CutCause::Protocol, "an acknowledgement of nothing"),
                }
            }
            LinkEvent::Heard => {}
            LinkEvent::Ended(cause, words) => self.cut(cause, &words),
        }
    }

    fn cut(&mut self, cause: CutCause, words: &str) {
        self.link = None;
        let kind = "bridge_cut";
        let admitted = self
            .parts
            .log_limiter
            .admits(About::Client, kind, &self.name);
        let (bridge, address, reason) = (&*self.name, &*self.address, cause.name());
        limited!(
            warn,
            admitted,
            bridge,
            kind,
            address,
            reason,
            words,
            "bridge has no connection"
        );
        let now = self.now();
        self.sender.cut(now, cause);
    }

    fn log_dead(&self, entry: &ForwardEntry, reason: &str) {
        let kind = "bridge_dead";
        let limiter = &self.parts.log_limiter;
        let admitted = limiter.admits(About::Client, kind, &self.name);
        let (bridge, topic) = (&*self.name, shown(entry.message.topic()));
        limited!(
            warn,
            admitted,
            bridge,
            kind,
            topic,
            reason,
            "the other broker will not have a message: it is kept apart"
        );
    }

    /// Says below `$SYS` whether there is a connection, as mosquitto does.
    async fn announce(&mut self) {
        let is_connected = self.sender.is_connected();
        if self.announced == Some(is_connected) {
            return;
        }
        self.announced = Some(is_connected);
        let message = Message::encode(&Parts {
            topic: &format!("$SYS/broker/connection/{}/state", self.name),
            retain: true,
            payload: if is_connected { b"1" } else { b"0" },
            ..Parts::default()
        });
        // Without a desk the gateway stops.
        let _ = self.desk.send(Request::Announce(vec![message])).await;
    }

    /// What was acknowledged by now is not sent again by the next start.
    async fn end(mut self) {
        while let Some(event) = self.link.as_mut().and_then(BrokerLink::try_next) {
            self.take_event(event);
        }
        while let Some(step) = self.sender.poll() {
            if let SenderStep::Finish { done, dead } = step {
                let queue = self.name.clone();
                let request = Request::Forwarded { queue, done, dead };
                let _ = self.desk.send(request).await;
            }
        }
        if let Some(link) = self.link.take() {
            link.leave().await;
        }
        if let Some(reading) = self.reading.take() {
            // A read of the ledger ends before the ledger does.
            reading.abort();
            let _ = reading.await;
        }
    }
}

async fn next_event(link: &mut Option<BrokerLink>) -> LinkEvent {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

async fn next_read(reading: &mut Option<PendingRead>) -> (ForwardPort, u64, Vec<ForwardEntry>) {
    let Some(handle) = reading else {
        return std::future::pending().await;
    };
    let read = handle.await;
    *reading = None;
    match read {
        Ok(read) => read,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

//! The gateway of one run: a door over pipes, a desk over a store in memory, three hostile clients
//! and two bystanders.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hallward::desk::port::{Holdings, Request};
use hallward::desk::{
    self, ClientLimits, Desk, DeskSettings, JournalLimits, MemoryBudget, Release, RetainedConfig,
};
use hallward::engine::{Engine, Settings};
use hallward::ledger::{MemoryStore, Store};
use hallward::mqtt::{Metrics, MqttConfig, ServerContext, ServerParts};
use hallward::setting::{Size, seconds};
use tokio::io::duplex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::Step;
use super::packets::{Connect, Packet, Properties, Publish, Version, encode};
use super::peer::Peer;
use super::plane::MemoryPlane;

/// What the bystanders' names begin with.
pub(super) const NAME: &[u8] = b"bystander";
/// Steps of one run.
pub(super) const MAX_STEPS: usize = 200;
const ATTACKERS: usize = 3;
/// Bytes that fit a pipe.
const PIPE: usize = 16 * 1024;
/// Turns without any event after which nothing is going to happen by itself.
const QUIET: usize = 6;
/// Turns after which something goes round in circles.
const RESTLESS: usize = 100_000;
/// The most that one write repeats.
const MAX_REPEATED_BYTES: usize = 8 * 1024;

/// For all that waits: more than hostile clients can take here.
const MEMORY: usize = 1 << 30;

const LIMITS: ClientLimits = ClientLimits {
    max_clients: 5_000,
    max_subscriptions: 8,
    max_mailbox_messages: 16,
    max_results: 1_000,
    max_result_bytes: 1 << 20,
    max_mailbox_bytes: 64 * 1024,
    max_replies: 8,
    // Far away: nobody is to be held back for a hostile subscriber here.
    max_queued_messages: 10_000_000,
    max_queued_bytes: 1 << 40,
    max_backlog_bytes: 1 << 20,
    refuse_when_full: false,
};
const RETAINED: RetainedConfig = RetainedConfig {
    max_messages: 8,
    max_bytes: Size(64 * 1024),
};

pub(super) struct World {
    door: Arc<ServerContext<MemoryPlane>>,
    plane: MemoryPlane,
    desk: Desk,
    requests: mpsc::Receiver<Request>,
    store: MemoryStore,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    attackers: [Option<Peer>; ATTACKERS],
    bystanders: Vec<Peer>,
    leaving: Vec<JoinHandle<()>>,
    /// Seconds that the desk's clock is ahead.
    ahead: u64,
    rounds: u16,
}

fn desk_settings(memory: Arc<MemoryBudget>) -> DeskSettings {
    DeskSettings {
        root: "rooms".into(),
        clients: LIMITS,
        retained: RETAINED,
        linger_ms: 0,
        slow_consumer_timeout_ms: 10_000,
        journal: JournalLimits {
            keep: true,
            retention_ms: 60_000,
            max_bytes_per_room: 1 << 20,
            max_bytes: 1 << 22,
            max_rooms: 100,
            max_read_bytes: 1 << 20,
            rooms: std::collections::BTreeMap::new(),
        },
        memory,
        authorizers: None,
        log_limiter: Arc::default(),
    }
}

fn front_door(
    plane: &MemoryPlane,
    metrics: &Arc<Metrics>,
    interest: Arc<desk::InterestIndex>,
    memory: Arc<MemoryBudget>,
) -> (Arc<ServerContext<MemoryPlane>>, mpsc::Receiver<Request>) {
    let (to_desk, requests) = mpsc::channel(16);
    let config = MqttConfig {
        max_packet: Size(64 * 1024),
        max_inflight: 4,
        receive_maximum: 8,
        write_high_water: Size(8 * 1024),
        write_buffer: Size(8 * 1024),
        max_session_expiry: seconds(u32::MAX.into()),
        ..MqttConfig::default()
    };
    let door = ServerContext::new(
        config.into(),
        to_desk,
        interest,
        plane.clone(),
        ServerParts {
            metrics: Arc::clone(metrics),
            memory,
            authenticator: None,
            log_limiter: Arc::default(),
            clock: Arc::default(),
        },
    );
    (door, requests)
}

impl World {
    pub(super) async fn new() -> World {
        let (plane, metrics) = (MemoryPlane::default(), Arc::new(Metrics::default()));
        let interest = Arc::new(desk::InterestIndex::default());
        let memory = MemoryBudget::new(MEMORY);
        let (door, requests) = front_door(&plane, &metrics, interest.clone(), memory.clone());
        let engine = Engine::new(Settings::default(), 1);
        let mut world = World {
            door,
            plane,
            desk: Desk::new(desk_settings(memory), engine, interest),
            requests,
            store: MemoryStore::new(),
            metrics,
            stop: watch::Sender::new(false),
            attackers: [None, None, None],
            bystanders: Vec::new(),
            leaving: Vec::new(),
            ahead: 0,
            rounds: 0,
        };
        world.let_bystanders_in().await;
        world
    }

    async fn let_bystanders_in(&mut self) {
        for connect in [
            Connect::v5("bystander-clean"),
            Connect::v311("bystander-kept").persistent(),
        ] {
            let mut peer = self.dial(connect.version);
            let subscribe = Packet::Subscribe {
                packet_id: 1,
                filters: vec![("bystanders/#".to_owned(), 1)],
                properties: Properties::new(),
            };
            let version = connect.version;
            peer.send(&encode(&Packet::Connect(connect), version));
            peer.send(&encode(&subscribe, version));
            self.bystanders.push(peer);
        }
        self.settle().await;
        for peer in &mut self.bystanders {
            let answers = std::mem::take(&mut peer.packets);
            assert!(
                matches!(
                    &answers[..],
                    [Packet::ConnAck { code: 0, .. }, Packet::SubAck { .. }]
                ),
                "{answers:?}"
            );
        }
    }

    fn dial(&self, version: Version) -> Peer {
        let (near, far) = duplex(PIPE);
        let serving = Arc::clone(&self.door).serve_stream(
            far,
            hallward::mqtt::Peer::default(),
            self.stop.subscribe(),
        );
        Peer::new(near, tokio::spawn(serving), version)
    }

    pub(super) async fn step(&mut self, step: Step) {
        match step {
            Step::Connect { who, connect } => {
                let bytes = encode(&Packet::Connect(connect.0.clone()), connect.0.version);
                let peer = self.dial(connect.0.version);
                self.attack_with(who, peer, &bytes);
            }
            Step::Blurt { who, bytes } => {
                let mut peer = self.dial(Version::V5);
                peer.strict = false;
                self.attack_with(who, peer, &bytes);
            }
            Step::Send { who, packet } => self.send(who, |version| encode(&packet.0, version)),
            Step::Repeat { who, packet, times } => self.send(who, |version| {
                let once = encode(&packet.0, version);
                let most = (MAX_REPEATED_BYTES / once.len()).max(1);
                once.repeat(usize::from(times).min(most))
            }),
            Step::Raw { who, bytes } => self.send(who, |_| bytes),
            Step::Ears { who, open } => {
                if let Some(peer) = &mut self.attackers[usize::from(who) % ATTACKERS] {
                    peer.hears = open;
                }
            }
            Step::Vanish { who } => {
                let gone = self.attackers[usize::from(who) % ATTACKERS].take();
                self.leaving.extend(gone.map(Peer::vanish));
            }
            Step::Later { seconds } => self.ahead += u64::from(seconds),
            Step::Restart => self.restart().await,
        }
        self.settle().await;
    }

    fn attack_with(&mut self, who: u8, mut peer: Peer, bytes: &[u8]) {
        peer.send(bytes);
        let earlier = self.attackers[usize::from(who) % ATTACKERS].replace(peer);
        self.leaving.extend(earlier.map(Peer::vanish));
    }

    fn send(&mut self, who: u8, bytes: impl FnOnce(Version) -> Vec<u8>) {
        if let Some(peer) = &mut self.attackers[usize::from(who) % ATTACKERS] {
            let bytes = bytes(peer.version);
            peer.send(&bytes);
        }
    }

    /// Kill -9, and a start on what the store has.
    async fn restart(&mut self) {
        self.stop.send_replace(true);
        let everyone = self.attackers.iter_mut().filter_map(Option::take);
        let everyone = everyone.chain(self.bystanders.drain(..));
        self.leaving.extend(everyone.map(Peer::vanish));
        self.join_leavers().await;
        self.stop = watch::Sender::new(false);
        let records = desk::engine_records(&self.store).expect("own records can be read");
        let settings = Settings::default();
        let engine = Engine::recover(settings, 2, records).expect("own records can be read");
        let interest = Arc::new(desk::InterestIndex::default());
        let memory = MemoryBudget::new(MEMORY);
        self.desk = Desk::new(desk_settings(memory.clone()), engine, interest.clone());
        let now = self.now();
        self.desk
            .recover(now, &self.store)
            .expect("own records can be read");
        (self.door, self.requests) = front_door(&self.plane, &self.metrics, interest, memory);
        self.let_bystanders_in().await;
    }

    /// Waits for the tasks of connections that broke; what they panicked with is the run's.
    async fn join_leavers(&mut self) {
        while let Some(serving) = self.leaving.pop() {
            while !serving.is_finished() {
                self.serve_desk();
                tokio::task::yield_now().await;
            }
            if let Err(error) = serving.await {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    fn now(&self) -> u64 {
        hallward::clock::wall() + self.ahead * 1000
    }

    /// Lets everything happen that needs no more input.
    async fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..RESTLESS {
            tokio::task::yield_now().await;
            let mut moved = self.serve_desk();
            let attackers = self.attackers.iter_mut().flatten();
            for peer in attackers.chain(self.bystanders.iter_mut()) {
                moved |= peer.move_bytes().await;
            }
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet > QUIET {
                return;
            }
        }
        panic!("the gateway does not come to rest");
    }

    /// Takes requests, commits, and lets out what that justifies; whether there was anything.
    fn serve_desk(&mut self) -> bool {
        let mut any = false;
        while let Ok(request) = self.requests.try_recv() {
            self.desk.handle(self.now(), request);
            any = true;
        }
        let now = self.now();
        self.desk.tick(now);
        while self.desk.wants_sealing(now) == desk::Sealing::Now {
            let pending = self.desk.seal(now);
            self.store
                .commit(&pending.records)
                .expect("memory takes everything");
            for release in pending.releases {
                match release {
                    Release::Answer(answer) => answer.send(),
                    Release::Published(count) => drop(count.fetch_add(1, Ordering::Release)),
                    Release::Respond(connection, response)
                    | Release::NonDurable(connection, response) => {
                        drop(connection.responses.send(response));
                    }
                    Release::Broadcast(message) => {
                        self.plane.send(message.topic(), message.as_bytes());
                    }
                }
            }
            self.desk.committed(pending.number);
            any = true;
        }
        any
    }

    /// The promises, after whatever happened.
    pub(super) async fn end(mut self) {
        self.bystanders_notice_nothing().await;
        self.limits_hold();
        let attackers = self.attackers.iter_mut().filter_map(Option::take);
        self.leaving.extend(attackers.map(Peer::vanish));
        self.join_leavers().await;
        self.settle().await;
        let left = self.bystanders.len();
        assert_eq!(self.metrics.connections_open.value(), left as u64);
        assert_eq!(self.plane.listeners(), left, "links that nobody needs");
    }

    /// Each publishes, is acknowledged, and both receive it once.
    async fn bystanders_notice_nothing(&mut self) {
        for from in 0..self.bystanders.len() {
            self.rounds += 1;
            let text = format!("round {}", self.rounds);
            let mut publish = Publish::new("bystanders/x", text.as_bytes(), 1);
            publish.packet_id = Some(100 + self.rounds);
            let peer = &mut self.bystanders[from];
            peer.send(&encode(&Packet::Publish(publish), peer.version));
            self.settle().await;
            let acked = |packet: &Packet| matches!(packet, Packet::PubAck(ack) if ack.packet_id == 100 + self.rounds);
            let acks = self.bystanders[from].packets.iter();
            assert_eq!(acks.filter(|packet| acked(packet)).count(), 1, "acked");
            for peer in &self.bystanders {
                assert!(!peer.closed, "a bystander lost its connection");
                let is_it = |packet: &&Packet| matches!(packet, Packet::Publish(publish) if publish.payload == text.as_bytes());
                let copies = peer.packets.iter().filter(is_it).count();
                assert_eq!(copies, 1, "{text} to a bystander");
            }
        }
    }

    fn limits_hold(&mut self) {
        let (ask, mut answer) = oneshot::channel();
        let now = self.now();
        self.desk.handle(now, Request::Measure(ask));
        let held: Holdings = answer.try_recv().expect("the desk answers at once");
        assert!(held.clients <= LIMITS.max_clients, "{held:?}");
        assert!(
            held.subscriptions <= LIMITS.max_clients * LIMITS.max_subscriptions,
            "{held:?}"
        );
    }
}

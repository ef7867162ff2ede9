//! The sender against a reference: a queue, another broker and a network that do anything, for many
//! seeds.
//!
//! The model knows what was put into the queue and what the other broker has taken. It holds: what
//! is done the other broker has, or it is dead or expired; the first time that a message comes is
//! in the queue's order, as long as nothing was refused for a while; repeats are of what was
//! unacknowledged at a cut; the window holds for repeats, too; and in the end everything is done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::bridge::sender::*;
use crate::wire::message::{Message, Parts, Qos};

/// How many runs; each takes a few milliseconds.
const SEEDS: u64 = 1_000;
const WINDOW: usize = 5;
const WINDOW_BYTES: usize = 600;

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }
}

/// A queue as the desk keeps it.
#[derive(Default)]
struct Queue {
    kept: BTreeMap<u64, ForwardEntry>,
    first: u64,
    next: u64,
}

struct World {
    dice: Dice,
    now: Millis,
    queue: Queue,
    sender: BridgeSender,
    stats: Arc<BridgeStats>,
    /// On their way on this connection, as the other broker sees it.
    wire: VecDeque<(u64, usize)>,
    is_open: bool,
    /// What the other broker has taken.
    taken: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    /// The last one that came for the first time.
    newest: u64,
    /// Something was refused that may pass, or expired: from then on order is not held.
    was_deferred: bool,
    /// Messages at which the other broker closes.
    poison: BTreeSet<u64>,
    reads: VecDeque<u64>,
}

fn settings(seed: u64) -> SenderSettings {
    SenderSettings {
        window: WINDOW,
        window_bytes: WINDOW_BYTES,
        read_ahead: 3_000,
        rate: if seed.is_multiple_of(5) { 200 } else { 0 },
        limits: PacketLimits {
            max_topic: 100,
            max_slashes: 5,
            max_payload: 400,
            max_packet: 1_000,
        },
        connect_timeout_ms: 10_000,
        ack_timeout_ms: 30_000,
        backoff: BackoffSettings {
            initial_ms: 1_000,
            max_ms: 60_000,
            refused_ms: 60_000,
            stable_ms: 60_000,
        },
        seed,
    }
}

impl World {
    fn new(seed: u64) -> World {
        let queue = Queue {
            first: 1,
            next: 1,
            ..Queue::default()
        };
        let stats = Arc::<BridgeStats>::default();
        let bounds = ForwardBounds { first: 1, next: 1 };
        World {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now: 1_000_000,
            queue,
            sender: BridgeSender::new(settings(seed), bounds, stats.clone()),
            stats,
            wire: VecDeque::new(),
            is_open: false,
            taken: BTreeSet::new(),
            dead: BTreeSet::new(),
            newest: 0,
            was_deferred: false,
            poison: BTreeSet::new(),
            reads: VecDeque::new(),
        }
    }

    fn bounds(&self) -> ForwardBounds {
        ForwardBounds {
            first: self.queue.first,
            next: self.queue.next,
        }
    }

    fn append(&mut self) {
        let seq = self.queue.next;
        let payload = match self.dice.below(12) {
            0 => 401,
            n => 20 * usize::try_from(n).expect("small"),
        };
        if self.dice.below(40) == 0 {
            self.poison.insert(seq);
        }
        let message = Message::encode(&Parts {
            topic: "a/b",
            qos: Qos::AtLeastOnce,
            payload: &vec![0; payload],
            ..Parts::default()
        });
        let at = self.now;
        self.queue
            .kept
            .insert(seq, ForwardEntry { seq, at, message });
        self.queue.next += 1;
        let bounds = self.bounds();
        self.sender.bounds(self.now, bounds);
    }

    /// Takes all steps.
    fn steps(&mut self) {
        while let Some(step) = self.sender.poll() {
            match step {
                SenderStep::Connect => {
                    assert!(!self.is_open, "one connection at a time");
                    self.is_open = true;
                }
                SenderStep::Disconnect => self.close(),
                SenderStep::Read { from } => self.reads.push_back(from),
                SenderStep::Send { entry, .. } => {
                    assert!(self.is_open, "nothing is sent without a connection");
                    self.wire.push_back((entry.seq, entry.message.size()));
                    let bytes: usize = self.wire.iter().map(|(_, bytes)| bytes).sum();
                    assert!(self.wire.len() <= WINDOW, "the window of messages");
                    assert!(
                        bytes <= WINDOW_BYTES || self.wire.len() == 1,
                        "the window of bytes"
                    );
                }
                SenderStep::Finish { done, dead } => self.finish(done, dead),
            }
        }
    }

    fn finish(&mut self, done: u64, dead: Vec<DeadLetter>) {
        self.dead.extend(dead.iter().map(|letter| letter.entry.seq));
        for seq in self.queue.first..done {
            assert!(
                self.taken.contains(&seq) || self.dead.contains(&seq),
                "{seq} is done and the other broker does not have it"
            );
            self.queue.kept.remove(&seq);
        }
        assert!(done <= self.queue.next);
        self.queue.first = self.queue.first.max(done);
    }

    fn close(&mut self) {
        self.is_open = false;
        self.wire.clear();
    }

    /// The other broker reads the next message; whether it lives with it.
    fn takes(&mut self) -> Option<u64> {
        let (seq, _) = self.wire.front().copied()?;
        if self.poison.contains(&seq) {
            self.close();
            self.sender.cut(self.now, CutCause::Closed);
            return None;
        }
        self.wire.pop_front();
        if self.taken.insert(seq) {
            assert!(
                seq > self.newest || self.was_deferred,
                "{seq} after {}",
                self.newest
            );
            self.newest = self.newest.max(seq);
        }
        Some(seq)
    }

    fn read(&mut self) {
        if let Some(from) = self.reads.pop_front() {
            let most = 1 + self.dice.below(8);
            let range = self.queue.kept.range(from..from + most);
            let found = range.map(|(_, entry)| entry.clone()).collect();
            self.sender.filled(self.now, found, from + most);
        }
    }

    fn wait(&mut self) {
        if let Some(at) = self.sender.poll_timeout() {
            self.now = self.now.max(at);
        }
        self.sender.tick(self.now);
    }

    fn act(&mut self) {
        match self.dice.below(24) {
            0..=6 => self.append(),
            7..=9 => self.read(),
            10..=15 => {
                if let Some(seq) = self.takes() {
                    self.sender.acked(self.now, seq);
                }
            }
            16 => {
                // It has it, and its acknowledgement is lost.
                if self.takes().is_some() {
                    self.cut();
                }
            }
            17 => self.nack(),
            18 => self.cut(),
            19 => self.crash(),
            20 | 21 => self.connect(),
            22 => {
                self.now += self.dice.below(2_000);
                self.sender.heard(self.now);
                self.sender.tick(self.now);
            }
            _ => self.wait(),
        }
        self.steps();
    }

    fn connect(&mut self) {
        if self.is_open && !self.sender.is_connected() {
            let grant = ConnectGrant {
                receive_maximum: 100,
                max_packet: 1 << 20,
                retain: true,
                keep_alive_ms: 30_000,
            };
            self.sender.connected(self.now, grant);
        }
    }

    fn nack(&mut self) {
        if let Some((seq, _)) = self.wire.pop_front() {
            let codes = [0x80, 0x87, 0x97];
            let code = codes[usize::try_from(self.dice.below(3)).expect("small")];
            self.was_deferred |= code != 0x87;
            self.sender.nacked(self.now, seq, code);
        }
    }

    fn cut(&mut self) {
        if self.is_open {
            let causes = [CutCause::Network, CutCause::Refused, CutCause::Closed];
            let cause = causes[usize::try_from(self.dice.below(3)).expect("small")];
            self.close();
            self.sender.cut(self.now, cause);
        }
    }

    /// The gateway starts again: what it has is what is in the queue.
    fn crash(&mut self) {
        self.close();
        self.reads.clear();
        let seed = self.dice.next();
        self.sender = BridgeSender::new(settings(seed), self.bounds(), self.stats.clone());
    }

    /// From now on all goes well, but for what the other broker closes at.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.steps();
            if self.queue.first == self.queue.next {
                return;
            }
            if !self.reads.is_empty() {
                self.read();
            } else if self.is_open && !self.sender.is_connected() {
                self.connect();
            } else if let Some(seq) = self.takes() {
                self.sender.heard(self.now);
                self.sender.acked(self.now, seq);
            } else {
                self.wait();
            }
        }
        panic!("it does not come to an end: {:?}", self.sender);
    }
}

#[test]
fn whatever_happens_nothing_is_lost_and_everything_ends() {
    for seed in 1..=SEEDS {
        let mut world = World::new(seed);
        for _ in 0..300 {
            world.act();
        }
        world.settle();
        for seq in 1..world.queue.next {
            assert!(world.taken.contains(&seq) || world.dead.contains(&seq));
        }
    }
}

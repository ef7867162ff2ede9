//! Sustained flows: one publisher to one or a hundred subscribers, at each QoS, live or to a
//! persistent session. Reports deliveries per second over the measured time, and over the whole run
//! what was lost and what came twice. Called through the catalogue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::receive::{self, Progress, Tally};
use super::{Outcome, PAYLOAD, Plan};
use crate::brokers::{Running, pause};
use crate::client::{self, Client, DRAIN_LIMIT, PacketIds};
use crate::codec::{self, Packet};
use crate::disk::Probe;
use crate::stats::{Latencies, Reading, Unit, as_f64, rate};

/// Deliveries per second.
pub(super) const DELIVERED: &str = "delivered";
const TOPIC: &str = "load/flow";
/// Unacknowledged messages of a QoS 1 or 2 publisher.
const WINDOW: u64 = 1_000;
/// Messages that a paced publisher may be ahead of its subscribers.
const LEAD: u64 = 1_000;
/// Messages written at once; smaller refills wait for more room.
const BATCH: u64 = 64;
/// A paced publisher that sees no delivery for this long writes off what is missing and goes on.
const FORGIVE: Duration = Duration::from_millis(250);
/// Subscribers of a fan-out.
const FAN: usize = 100;
const DISK_TIME: Duration = Duration::from_millis(300);

/// The shape of a flow.
#[derive(Clone, Copy)]
struct Flow {
    qos: u8,
    subscribers: usize,
    persistent: bool,
    paced: bool,
}

const PAIR: Flow = Flow {
    qos: 0,
    subscribers: 1,
    persistent: false,
    paced: false,
};

pub(super) fn qos0(plan: &Plan, server: &Running) -> Result<Outcome> {
    PAIR.run(plan, server)
}

pub(super) fn qos0_paced(plan: &Plan, server: &Running) -> Result<Outcome> {
    Flow {
        paced: true,
        ..PAIR
    }
    .run(plan, server)
}

pub(super) fn qos1(plan: &Plan, server: &Running) -> Result<Outcome> {
    Flow { qos: 1, ..PAIR }.run(plan, server)
}

pub(super) fn qos2(plan: &Plan, server: &Running) -> Result<Outcome> {
    Flow { qos: 2, ..PAIR }.run(plan, server)
}

pub(super) fn fanout0(plan: &Plan, server: &Running) -> Result<Outcome> {
    Flow {
        subscribers: FAN,
        paced: true,
        ..PAIR
    }
    .run(plan, server)
}

pub(super) fn fanout1(plan: &Plan, server: &Running) -> Result<Outcome> {
    Flow {
        qos: 1,
        subscribers: FAN,
        paced: true,
        ..PAIR
    }
    .run(plan, server)
}

pub(super) fn durable(plan: &Plan, server: &Running) -> Result<Outcome> {
    let mut probe = Probe::new(server.dir())?;
    probe.run(DISK_TIME)?;
    let outcome = Flow {
        qos: 1,
        persistent: true,
        ..PAIR
    }
    .run(plan, server)?;
    Ok(Outcome {
        disk: probe.latencies.readings("publish → PUBACK "),
        ..outcome
    })
}

impl Flow {
    fn run(self, plan: &Plan, server: &Running) -> Result<Outcome> {
        let progress = Arc::new(Progress::default());
        let receiver = self.spawn_receiver(server, &progress)?;
        let publisher = self.spawn_publisher(server, &progress)?;

        pause(plan.warm_up);
        progress.measuring.store(true, Ordering::Relaxed);
        let (start, before) = (Instant::now(), progress.delivered.load(Ordering::Acquire));
        pause(plan.seconds);
        let (took, after) = (start.elapsed(), progress.delivered.load(Ordering::Acquire));
        progress.measuring.store(false, Ordering::Relaxed);

        progress.ended.store(true, Ordering::Release);
        let published = client::join(publisher);
        // Told also when the publisher failed, or the receiver would wait for it.
        progress.publisher_done(published.as_ref().map_or(0, |published| published.sent));
        let tallies = client::join(receiver);
        let (published, tallies) = (published?, tallies?);
        Ok(self
            .readings(rate(after - before, took), published, &tallies)
            .into())
    }

    fn spawn_receiver(
        self,
        server: &Running,
        progress: &Arc<Progress>,
    ) -> Result<thread::JoinHandle<Result<Vec<Tally>>>> {
        let mut clients = Vec::with_capacity(self.subscribers);
        for index in 0..self.subscribers {
            let mut client =
                Client::connect(server.addr, &format!("load-sub-{index}"), !self.persistent)?;
            client.subscribe(&[TOPIC], self.qos)?;
            clients.push(client);
        }
        let progress = Arc::clone(progress);
        Ok(thread::spawn(move || match clients.len() {
            1 => clients
                .into_iter()
                .map(|client| receive::one(client, &progress))
                .collect(),
            _ => receive::many(clients, &progress),
        }))
    }

    fn spawn_publisher(
        self,
        server: &Running,
        progress: &Arc<Progress>,
    ) -> Result<thread::JoinHandle<Result<Published>>> {
        let client = Client::connect(server.addr, "load-pub", true)?;
        let progress = Arc::clone(progress);
        Ok(thread::spawn(move || {
            Publisher::new(self, client, &progress).run()
        }))
    }

    fn readings(self, delivered: f64, published: Published, tallies: &[Tally]) -> Vec<Reading> {
        let due = published.sent * u64::try_from(tallies.len()).unwrap_or(u64::MAX);
        let arrived: u64 = tallies.iter().map(Tally::distinct).sum();
        let repeated: u64 = tallies.iter().map(|tally| tally.repeated).sum();
        let lost = due.saturating_sub(arrived);
        let mut readings = vec![
            Reading::new(DELIVERED, Unit::PerSecond, delivered),
            Reading::new("lost", Unit::Faults, as_f64(lost)),
            Reading::new(
                "lost, of sent",
                Unit::PercentLost,
                100.0 * as_f64(lost) / as_f64(due.max(1)),
            ),
            Reading::new("repeated or out of order", Unit::Faults, as_f64(repeated)),
        ];
        if self.persistent {
            readings.extend(published.latencies.readings("publish → PUBACK "));
        }
        readings
    }
}

/// What the publisher did in all.
struct Published {
    sent: u64,
    latencies: Latencies,
}

/// The sending side, on a thread of its own.
struct Publisher<'a> {
    flow: Flow,
    client: Client,
    progress: &'a Progress,
    packet_ids: PacketIds,
    /// When each packet id in flight was sent, by id.
    in_flight: InFlight,
    sent: u64,
    /// Messages that a paced publisher no longer waits for.
    forgiven: u64,
    payload: [u8; PAYLOAD],
}

impl<'a> Publisher<'a> {
    fn new(flow: Flow, client: Client, progress: &'a Progress) -> Self {
        if flow.paced {
            progress.paced.get_or_init(thread::current);
        }
        Self {
            flow,
            client,
            progress,
            packet_ids: PacketIds::default(),
            in_flight: InFlight::default(),
            sent: 0,
            forgiven: 0,
            payload: [0x2e; PAYLOAD],
        }
    }

    fn run(mut self) -> Result<Published> {
        while !self.progress.ended.load(Ordering::Acquire) {
            match self.room() {
                room if room >= BATCH => self.send(BATCH)?,
                _ if self.in_flight.count > 0 => self.hear()?,
                _ => self.wait_for_deliveries()?,
            }
        }
        let ending = Instant::now();
        while self.in_flight.count > 0 {
            self.hear()?;
            let unacked = self.in_flight.count;
            ensure!(
                ending.elapsed() < DRAIN_LIMIT,
                "expected every publish to be acknowledged, {unacked} were not"
            );
        }
        Ok(Published {
            sent: self.sent,
            latencies: self.in_flight.latencies,
        })
    }

    /// How many messages may be sent now. Never less than a batch when nothing is outstanding.
    fn room(&self) -> u64 {
        let window = if self.flow.qos == 0 {
            u64::MAX
        } else {
            WINDOW - self.in_flight.count
        };
        let lead = if self.flow.paced {
            LEAD.saturating_sub(self.outstanding())
        } else {
            u64::MAX
        };
        window.min(lead)
    }

    /// Messages that the average subscriber has yet to get.
    fn outstanding(&self) -> u64 {
        let delivered =
            self.progress.delivered.load(Ordering::Acquire) / self.flow.subscribers as u64;
        self.sent.saturating_sub(self.forgiven + delivered)
    }

    fn send(&mut self, count: u64) -> Result<()> {
        let now = Instant::now();
        for _ in 0..count {
            self.payload[..8].copy_from_slice(&self.sent.to_be_bytes());
            let packet_id = if self.flow.qos == 0 {
                0
            } else {
                self.packet_ids.mint()
            };
            if packet_id > 0 {
                self.in_flight.start(packet_id, now)?;
            }
            codec::publish(
                &mut self.client.out,
                TOPIC,
                self.flow.qos,
                packet_id,
                &self.payload,
            );
            self.sent += 1;
        }
        if self.in_flight.count == count {
            self.client.begin_waiting();
        }
        self.client.flush()
    }

    /// Takes acknowledgements, waiting for at least some.
    fn hear(&mut self) -> Result<()> {
        let measuring = self.progress.measuring.load(Ordering::Relaxed);
        let in_flight = &mut self.in_flight;
        self.client.pump(|packet, out| {
            match packet {
                Packet::PubAck(id) | Packet::PubComp(id) => in_flight.end(id, measuring)?,
                Packet::PubRec(id) => codec::release(out, id),
                _ => {}
            }
            Ok(())
        })?;
        self.client.expect_sound()
    }

    fn wait_for_deliveries(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.room() < BATCH && !self.progress.ended.load(Ordering::Acquire) {
            thread::park_timeout(FORGIVE);
            if start.elapsed() >= FORGIVE {
                self.forgiven += self.outstanding();
            }
        }
        Ok(())
    }
}

/// The publisher's unacknowledged messages.
struct InFlight {
    sent_at: Vec<Option<Instant>>,
    count: u64,
    latencies: Latencies,
}

impl Default for InFlight {
    fn default() -> Self {
        Self {
            sent_at: vec![None; 1 << 16],
            count: 0,
            latencies: Latencies::default(),
        }
    }
}

impl InFlight {
    fn start(&mut self, packet_id: u16, now: Instant) -> Result<()> {
        let slot = &mut self.sent_at[usize::from(packet_id)];
        ensure!(
            slot.is_none(),
            "packet id {packet_id} came round again and is still not acknowledged"
        );
        *slot = Some(now);
        self.count += 1;
        Ok(())
    }

    fn end(&mut self, packet_id: u16, measuring: bool) -> Result<()> {
        let sent_at = self.sent_at[usize::from(packet_id)].take();
        ensure!(
            sent_at.is_some(),
            "expected an ack for a packet id in flight, the broker acked {packet_id}"
        );
        self.count -= 1;
        if let (true, Some(sent_at)) = (measuring, sent_at) {
            self.latencies.record(sent_at.elapsed());
        }
        Ok(())
    }
}

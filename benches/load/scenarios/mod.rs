//! The catalogue: which work is measured, on whom, and what DESIGN.md asks of it. Each scenario is
//! a function that puts one running server under load for a set time and returns its readings.
//! Called by `main`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::brokers::Broker::{Hallward, Mosquitto, Redis, Rumqttd};
use crate::brokers::{Broker, Running, Storage};
use crate::stats::Reading;

mod abuse;
mod flow;
mod handoff;
mod idle;
mod receive;
mod single;
mod streams;

/// Bytes of every message, task and result.
pub(crate) const PAYLOAD: usize = 256;

/// How long and how much.
pub(crate) struct Plan {
    /// Measured time of one run.
    pub(crate) seconds: Duration,
    /// Time under load before the measured time.
    pub(crate) warm_up: Duration,
    /// Numbers of idle connections, rising.
    pub(crate) idle_connections: Vec<usize>,
    /// Where servers keep their data: the file system under test.
    pub(crate) dir: PathBuf,
}

/// What one run found.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) readings: Vec<Reading>,
    /// The disk's own latencies, taken in the same run.
    pub(crate) disk: Vec<Reading>,
}

impl From<Vec<Reading>> for Outcome {
    fn from(readings: Vec<Reading>) -> Self {
        Self {
            readings,
            disk: Vec::new(),
        }
    }
}

/// What DESIGN.md asks of a measure.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    TimesPeer(f64, Broker),
    AtMostPeer(Broker),
    TimesDisk(f64),
}

/// One kind of work.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Read beneath the table.
    pub(crate) note: &'static str,
    pub(crate) storage: Storage,
    pub(crate) brokers: &'static [Broker],
    pub(crate) goals: &'static [(&'static str, Goal)],
    pub(crate) run: fn(&Plan, &Running) -> Result<Outcome>,
}

/// Every scenario, in the order of the table.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "qos0",
        title: "QoS 0, 1→1, flat out",
        note: "the publisher writes as fast as its socket takes it; loss is what the broker dropped",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto, Rumqttd],
        goals: &[],
        run: flow::qos0,
    },
    Scenario {
        name: "qos0-paced",
        title: "QoS 0, 1→1, paced",
        note: "the publisher stays at most 1,000 messages ahead of the subscriber",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto, Rumqttd],
        goals: &[],
        run: flow::qos0_paced,
    },
    Scenario {
        name: "qos1",
        title: "QoS 1, 1→1, clean sessions",
        note: "1,000 in flight",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto, Rumqttd],
        goals: &[
            (flow::DELIVERED, Goal::TimesPeer(4.0, Mosquitto)),
            (flow::DELIVERED, Goal::TimesPeer(0.8, Rumqttd)),
        ],
        run: flow::qos1,
    },
    Scenario {
        name: "qos2",
        title: "QoS 2, 1→1, clean sessions",
        note: "1,000 in flight, each until its PUBCOMP",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto, Rumqttd],
        goals: &[
            (flow::DELIVERED, Goal::TimesPeer(4.0, Mosquitto)),
            (flow::DELIVERED, Goal::TimesPeer(0.8, Rumqttd)),
        ],
        run: flow::qos2,
    },
    Scenario {
        name: "fanout0",
        title: "QoS 0, 1→100",
        note: "the publisher stays at most 1,000 messages ahead of the average subscriber",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto, Rumqttd],
        goals: &[(flow::DELIVERED, Goal::TimesPeer(6.0, Mosquitto))],
        run: flow::fanout0,
    },
    Scenario {
        name: "fanout1",
        title: "QoS 1, 1→100, clean sessions",
        note: "paced as above, and 1,000 in flight",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto, Rumqttd],
        goals: &[],
        run: flow::fanout1,
    },
    Scenario {
        name: "rtt",
        title: "round trip, QoS 1, clean sessions",
        note: "ping to one client and pong back, both QoS 1, one at a time",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto],
        goals: &[("p50", Goal::AtMostPeer(Mosquitto))],
        run: single::round_trip,
    },
    Scenario {
        name: "durable",
        title: "durable QoS 1, 1→1, persistent session",
        note: "subscriber online with clean session off, 1,000 in flight; mosquitto acknowledges before it saves (once a \
               second, `autosave_interval 1`) and never syncs, so its figure is for an ack that promises less",
        storage: Storage::Durable,
        brokers: &[Hallward, Mosquitto],
        goals: &[(flow::DELIVERED, Goal::AtLeast(50_000.0))],
        run: flow::durable,
    },
    Scenario {
        name: "durable-ack",
        title: "durable QoS 1, publish → PUBACK, one at a time",
        note: "to a persistent session that is online; mosquitto does not sync before the ack",
        storage: Storage::Durable,
        brokers: &[Hallward, Mosquitto],
        goals: &[],
        run: single::durable_ack,
    },
    Scenario {
        name: "dispatch",
        title: "durable command (dispatch → PUBACK), one at a time",
        note: "for Redis: XADD → reply, `appendfsync always`",
        storage: Storage::Durable,
        brokers: &[Hallward, Redis],
        goals: &[("p50", Goal::TimesDisk(1.5)), ("p99", Goal::TimesDisk(2.0))],
        run: single::dispatch,
    },
    Scenario {
        name: "handoff1",
        title: "handoff round trip, 1 worker, 1 in flight",
        note: "dispatch → worker → result, the payload echoed; for Redis: XADD → XREADGROUP → XADD and XACK → XREAD, \
               `appendfsync always`",
        storage: Storage::Durable,
        brokers: &[Hallward, Redis],
        goals: &[
            ("p50", Goal::AtMost(900.0)),
            (handoff::TASKS, Goal::AtLeast(1_100.0)),
        ],
        run: handoff::one_worker,
    },
    Scenario {
        name: "handoff8",
        title: "handoff round trip, 8 workers, 64 in flight",
        note: "as above; every worker takes up to 8 tasks at once, and who has several messages to send sends them \
               together, to Redis too (pipelined)",
        storage: Storage::Durable,
        brokers: &[Hallward, Redis],
        goals: &[
            (handoff::TASKS, Goal::AtLeast(10_000.0)),
            (handoff::TASKS, Goal::TimesPeer(3.0, Redis)),
        ],
        run: handoff::eight_workers,
    },
    Scenario {
        name: "handoff8-serial",
        title: "handoff round trip, 8 workers of capacity 1, 64 in flight",
        note: "as above; every worker takes one task at a time",
        storage: Storage::Durable,
        brokers: &[Hallward, Redis],
        goals: &[],
        run: handoff::eight_serial_workers,
    },
    Scenario {
        name: "abuse",
        title: "round trip, QoS 1, while others misbehave",
        note: "as `rtt`, in slices of the measured time: quiet before each attack, then under it. Attackers share the machine: a \
               flood of 20,000 messages/s to a subscriber that does not read; two threads that take over one persistent session \
               as fast as they can; two that subscribe to 1,000 filters, overlapping and with wildcards, leave and come again; \
               5,000 idle connections and two threads that connect and leave",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto],
        goals: abuse::GOALS,
        run: abuse::abuse,
    },
    Scenario {
        name: "idle",
        title: "idle",
        note: "resident memory of the process; connections after CONNACK, without subscriptions, their growth divided by \
               their number",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto],
        goals: &[
            (idle::RESIDENT, Goal::AtMost(30.0)),
            ("per connection at 1000", Goal::AtMost(10.0)),
            ("per connection at 10000", Goal::AtMost(10.0)),
            ("resident at 10000 connections", Goal::AtMost(120.0)),
        ],
        run: idle::idle,
    },
    Scenario {
        name: "idle-subscribed",
        title: "idle, with a subscription each",
        note: "as above, every connection subscribed at QoS 1 to a topic of its own",
        storage: Storage::Live,
        brokers: &[Hallward, Mosquitto],
        goals: &[],
        run: idle::subscribed,
    },
];

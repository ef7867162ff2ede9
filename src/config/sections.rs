//! The sections of the configuration, one struct each, and their defaults.
//!
//! `config/hallward.toml` shows the same keys with the same defaults (a test compares them), `limits` says how far each
//! may go. Types only: reading and checking happen next door.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::{address, duration, size};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// `[mqtt]`: the front door, and what one client may use of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// Where MQTT clients connect; 3.1.1 and 5.0 on the same port.
    #[serde(with = "address")]
    pub listen: SocketAddr,
    /// Connections at once; more are closed unanswered.
    pub max_connections: usize,
    /// From the TCP accept to a complete CONNECT.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// The largest packet, in bytes (MQTT 5 section 3.2.2.3.6).
    #[serde(with = "size")]
    pub max_packet: usize,
    /// Deliveries of QoS 1 and 2 unacknowledged at once, per client; its Receive Maximum may lower it.
    pub max_inflight: u16,
    /// Publishes of QoS 1 and 2 that a client may have unacknowledged (MQTT 5 section 3.2.2.3.3).
    pub receive_maximum: u16,
    /// The longest keep-alive granted; MQTT 5 clients that ask for more, or for none, are told so.
    #[serde(with = "duration")]
    pub max_keep_alive: Duration,
    /// Topic aliases per connection and direction; 0 turns them off.
    pub topic_alias_max: u16,
    /// Bytes that may wait to be written to one client; beyond it QoS 0 is dropped, oldest first.
    #[serde(with = "size")]
    pub write_buffer: usize,
    /// QoS 1 and 2 messages that may wait for one client without a durable session before it is disconnected (0x97).
    pub max_pending_messages: usize,
    /// The same in bytes.
    #[serde(with = "size")]
    pub max_pending_bytes: usize,
    /// Subscriptions per client.
    pub max_subscriptions: usize,
    /// The longest that a session outlives its connection; longer requests are lowered to it.
    #[serde(with = "duration")]
    pub max_session_expiry: Duration,
}

impl Default for Mqtt {
    fn default() -> Mqtt {
        Mqtt {
            listen: loopback(1883),
            max_connections: 10_000,
            connect_timeout: Duration::from_secs(10),
            max_packet: MIB,
            max_inflight: 256,
            receive_maximum: 1024,
            max_keep_alive: HOUR,
            topic_alias_max: 16,
            write_buffer: MIB,
            max_pending_messages: 10_000,
            max_pending_bytes: 16 * MIB,
            max_subscriptions: 1000,
            max_session_expiry: 30 * DAY,
        }
    }
}

/// `[http]`: health and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where HTTP clients connect.
    #[serde(with = "address")]
    pub listen: SocketAddr,
    /// Connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// For a whole request to arrive, and for a client to take some of its answer.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: loopback(8080),
            max_connections: 128,
            timeout: Duration::from_secs(10),
        }
    }
}

/// `[data]`: what must survive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The directory of the ledger; made if it does not exist, used by one gateway at a time.
    pub dir: PathBuf,
}

impl Default for Data {
    fn default() -> Data {
        Data {
            dir: PathBuf::from("./hallward-data"),
        }
    }
}

/// `[rooms]`: rooms and the agents in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rooms {
    /// The first topic segments, before the room.
    pub root: String,
    /// Rooms at once.
    pub max_rooms: usize,
    /// Agents per room, connected or not.
    pub max_agents_per_room: usize,
    /// How long an agent that lost its connection keeps its tasks and its place.
    #[serde(with = "duration")]
    pub reconnect_grace: Duration,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms {
            root: "rooms".to_owned(),
            max_rooms: 10_000,
            max_agents_per_room: 10_000,
            reconnect_grace: Duration::from_secs(30),
        }
    }
}

/// `[handoff]`: tasks, and the defaults that a task may override.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Handoff {
    /// How long a worker may be silent before its task goes to another.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// Attempts before a task is dead.
    pub max_attempts: u32,
    /// The wait before the second attempt.
    #[serde(with = "duration")]
    pub backoff_initial: Duration,
    /// Each wait is the last one times this.
    pub backoff_factor: f64,
    /// No wait is longer.
    #[serde(with = "duration")]
    pub backoff_max: Duration,
    /// Tasks per room, those whose result is still kept included.
    pub max_tasks_per_room: usize,
    /// How long a task that ended can still be asked for.
    #[serde(with = "duration")]
    pub result_retention: Duration,
    /// The largest task payload or result, in bytes.
    #[serde(with = "size")]
    pub max_payload: usize,
}

impl Default for Handoff {
    fn default() -> Handoff {
        Handoff {
            lease: MINUTE,
            max_attempts: 3,
            backoff_initial: Duration::from_secs(1),
            backoff_factor: 2.0,
            backoff_max: MINUTE,
            max_tasks_per_room: 1_000_000,
            result_retention: DAY,
            max_payload: 256 * KIB,
        }
    }
}

/// `[blackboard]`: versioned shared state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blackboard {
    /// Keys per room.
    pub max_keys_per_room: usize,
    /// The largest value, in bytes.
    #[serde(with = "size")]
    pub max_value: usize,
}

impl Default for Blackboard {
    fn default() -> Blackboard {
        Blackboard {
            max_keys_per_room: 100_000,
            max_value: 256 * KIB,
        }
    }
}

/// `[approve]`: gates that a person holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approve {
    /// How long a request waits where it does not say.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Whether a request may ask to count as approved when nobody decides in time.
    pub approve_on_timeout: bool,
    /// Undecided requests per room.
    pub max_pending_per_room: usize,
}

impl Default for Approve {
    fn default() -> Approve {
        Approve {
            timeout: 15 * MINUTE,
            approve_on_timeout: false,
            max_pending_per_room: 1000,
        }
    }
}

/// `[commands]`: what all commands share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Commands {
    /// How long a repeated command `id` is recognised.
    #[serde(with = "duration")]
    pub idempotency: Duration,
}

impl Default for Commands {
    fn default() -> Commands {
        Commands { idempotency: DAY }
    }
}

/// `[mailbox]`: directed messages that wait for one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mailbox {
    /// Messages per agent, replies aside; a full mailbox refuses the sender (429).
    pub max_messages: usize,
    /// The same in bytes.
    #[serde(with = "size")]
    pub max_bytes: usize,
    /// Replies per agent; the oldest give way.
    pub max_replies: usize,
    /// How long a reply waits for its agent.
    #[serde(with = "duration")]
    pub reply_ttl: Duration,
    /// How long an inbox message waits for its agent.
    #[serde(with = "duration")]
    pub inbox_ttl: Duration,
}

impl Default for Mailbox {
    fn default() -> Mailbox {
        Mailbox {
            max_messages: 10_000,
            max_bytes: 16 * MIB,
            max_replies: 1000,
            reply_ttl: HOUR,
            inbox_ttl: 7 * DAY,
        }
    }
}

/// `[session]`: messages that wait for a persistent session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// Messages per session; a full one refuses the publisher.
    pub max_queued_messages: usize,
    /// The same in bytes.
    #[serde(with = "size")]
    pub max_queued_bytes: usize,
}

impl Default for Session {
    fn default() -> Session {
        Session {
            max_queued_messages: 10_000,
            max_queued_bytes: 64 * MIB,
        }
    }
}

/// `[retained]`: retained messages of clients, the gateway's own aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retained {
    /// Messages.
    pub max_messages: usize,
    /// The same in bytes.
    #[serde(with = "size")]
    pub max_bytes: usize,
}

impl Default for Retained {
    fn default() -> Retained {
        Retained {
            max_messages: 100_000,
            max_bytes: 256 * MIB,
        }
    }
}

/// `[desk]`: the one thread that takes every input that changes durable state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Desk {
    /// Bytes that may wait for the disk; beyond it publishers are not read.
    #[serde(with = "size")]
    pub max_pending: usize,
    /// Inputs per commit.
    pub max_batch: usize,
}

impl Default for Desk {
    fn default() -> Desk {
        Desk {
            max_pending: 64 * MIB,
            max_batch: 4096,
        }
    }
}

/// `[live]`: the fan-out to whoever listens now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Live {
    /// Bytes per segment of a filter's log.
    #[serde(with = "size")]
    pub segment: usize,
    /// Segments per filter's log; a listener that falls behind all of them has missed messages.
    pub segments: usize,
    /// How long publishers of QoS 1 and 2 are held back for one listener that lags before it is disconnected (0x97).
    #[serde(with = "duration")]
    pub patience: Duration,
}

impl Default for Live {
    fn default() -> Live {
        Live {
            segment: MIB,
            segments: 4,
            patience: Duration::from_secs(10),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged: this level and the graver ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may need attention.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word for it, as `tracing` filters read it.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// `[log]`: to standard error; `RUST_LOG` goes before it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
}

/// `[auth]`: who may connect. Nothing to configure yet: everyone may, so the gateway stays on loopback.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Whether clients must prove who they are.
    pub enabled: bool,
}

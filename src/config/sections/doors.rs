//! Sections about what is outside: who may connect where, what is kept on disk, what is logged.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::units::{address, duration, optional_address, size};
use super::{DAY, KIB, MIB};

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// What becomes of a publish that must not be taken, and that its client sends again whenever it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Poison {
    /// It is acknowledged and dropped.
    Ack,
    /// It costs the connection each time.
    Close,
}

/// `[mqtt]`: the front door, and what one client may use of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// Where MQTT clients connect over plain TCP; 3.1.1 and 5.0 on the same port. Nowhere, if none.
    #[serde(with = "optional_address")]
    pub listen: Option<SocketAddr>,
    /// Connections at once; more are closed unanswered.
    pub max_connections: usize,
    /// The same from one address (with IPv6: one /64); 0 is no bound of its own.
    pub max_connections_per_address: usize,
    /// Connections accepted a second, on average; more are closed unanswered. 0 is no limit.
    pub connect_rate: u32,
    /// How many may come at once after a pause.
    pub connect_burst: u32,
    /// The rate from one address; 0 is no limit.
    pub connect_rate_per_address: u32,
    /// How many may come at once from one address after a pause.
    pub connect_burst_per_address: u32,
    /// Connections that have not sent their CONNECT; when there are more, the one that has waited longest is closed.
    pub max_opening: usize,
    /// From the TCP accept to a complete CONNECT.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// The largest first packet, in bytes: what a stranger may make the gateway hold.
    #[serde(with = "size")]
    pub max_connect_packet: usize,
    /// How long a stop waits for clients to take what is on its way to them.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// The largest packet, in bytes (MQTT 5 section 3.2.2.3.6).
    #[serde(with = "size")]
    pub max_packet: usize,
    /// The largest packet that is read away, rather than closing the connection, where MQTT lets it stay open; in bytes.
    #[serde(with = "size")]
    pub max_discarded: usize,
    /// What becomes of a publish that has cost its client the connection twice.
    pub poison: Poison,
    /// How long a client of 3.1.1 that waits for all the results that it may is heard asking for more before it is closed.
    #[serde(with = "duration")]
    pub patience: Duration,
    /// Clients of which it is remembered that a publish has cost them a connection; those of others cost it each time.
    pub max_poison: usize,
    /// Levels of a topic name or filter; deeper ones are refused (0x90, in SUBACK 0x8F).
    pub max_topic_levels: usize,
    /// Deliveries of QoS 1 and 2 unacknowledged at once, per client; its Receive Maximum may lower it.
    pub max_inflight: u16,
    /// Publishes of QoS 1 and 2 that a client may have unacknowledged (MQTT 5 section 3.2.2.3.3).
    pub receive_maximum: u16,
    /// PUBLISH packets a second that are read from one client; 0 for as many as come.
    pub max_publish_rate: u64,
    /// PUBLISH packets that a client may send at once after a silence; 0 for as many as in a second.
    pub publish_burst: u64,
    /// Bytes a second that are read from one client; 0 for as many as come.
    #[serde(with = "size")]
    pub max_byte_rate: usize,
    /// Bytes that a client may send at once after a silence; 0 for as many as in a second.
    #[serde(with = "size")]
    pub byte_burst: usize,
    /// The longest keep-alive granted; MQTT 5 clients that ask for more, or for none, are told so. 0 grants any, and none.
    #[serde(with = "duration")]
    pub max_keep_alive: Duration,
    /// After how much silence the operating system asks whether the client's machine is still there; 0 never asks.
    #[serde(with = "duration")]
    pub tcp_keepalive: Duration,
    /// Topic aliases per connection and direction; 0 turns them off.
    pub topic_alias_max: u16,
    /// Whether what refuses says why in words, too (MQTT 5 Reason String): acknowledgements, CONNACK, DISCONNECT.
    pub reason_strings: bool,
    /// Whether MQTT 5 clients are refused filters about rooms that no topic of a room can match (0x8F); else the log warns of them.
    pub strict_filters: bool,
    /// Bytes that may wait for one client's socket before deliveries of QoS 1 and 2 are held back.
    #[serde(with = "size")]
    pub write_high_water: usize,
    /// Bytes of QoS 0 messages that may wait for one client; beyond it they are dropped, oldest first.
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
    /// How often the figures under `$SYS/broker/` are published; 0 publishes none.
    #[serde(with = "duration")]
    pub sys_interval: Duration,
}

impl Default for Mqtt {
    fn default() -> Mqtt {
        Mqtt {
            listen: Some(loopback(1883)),
            max_connections: 10_000,
            max_connections_per_address: 0,
            connect_rate: 0,
            connect_burst: 100,
            connect_rate_per_address: 0,
            connect_burst_per_address: 20,
            max_opening: 4096,
            connect_timeout: Duration::from_secs(10),
            max_connect_packet: 64 * KIB,
            drain_timeout: Duration::from_secs(5),
            max_packet: MIB,
            max_discarded: 16 * MIB,
            poison: Poison::Ack,
            patience: Duration::from_secs(10),
            max_poison: 10_000,
            max_topic_levels: 128,
            max_inflight: 256,
            receive_maximum: 1024,
            max_publish_rate: 0,
            publish_burst: 0,
            max_byte_rate: 0,
            byte_burst: 0,
            max_keep_alive: Duration::ZERO,
            tcp_keepalive: Duration::from_secs(60),
            topic_alias_max: 16,
            reason_strings: true,
            strict_filters: false,
            write_high_water: 256 * KIB,
            write_buffer: MIB,
            max_pending_messages: 10_000,
            max_pending_bytes: 16 * MIB,
            max_subscriptions: 10_000,
            max_session_expiry: 30 * DAY,
            sys_interval: Duration::from_secs(10),
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
    /// Size of a file of the commit log; so much is set aside on the disk twice.
    #[serde(with = "size")]
    pub log_segment: usize,
    /// Full files that may wait to be copied to the database; beyond it commits wait.
    pub log_segments: usize,
}

impl Default for Data {
    fn default() -> Data {
        Data {
            dir: PathBuf::from("./hallward-data"),
            log_segment: 4 * MIB,
            log_segments: 8,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
    /// Whether each client that comes or goes is a line.
    pub connections: bool,
    /// Lines a minute of one kind about clients, and again about strangers; more are counted and summed up.
    pub max_lines: usize,
    /// Bytes of lines that may wait to be written; more lines are dropped and counted.
    #[serde(with = "size")]
    pub max_waiting: usize,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            format: LogFormat::default(),
            level: LogLevel::default(),
            connections: true,
            max_lines: 100,
            max_waiting: MIB,
        }
    }
}

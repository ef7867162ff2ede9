//! The bridges' settings: where each goes, and what takes it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::desk::QueueFullRule;
use crate::setting::{Size, Span, gib, hours, kib, mib, minutes, ms, seconds, settings};

/// Which MQTT the other broker is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BridgeProtocol {
    /// MQTT 5.
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
}

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BridgeDirection {
    /// To the other broker.
    Out,
    /// From it.
    In,
    /// Both ways.
    Both,
}

/// What becomes of the retain flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetainRule {
    /// As the preset has it.
    Preset,
    /// It stays.
    Keep,
    /// It goes.
    Strip,
}

settings! {
    /// A bridge to another broker, which is sent what its rules say: store and forward. Each is a
    /// `[[bridge]]` with at least one `[[bridge.rule]]`; all of it takes a restart. docs/bridge.md
    pub struct BridgeConfig;

    /// Its name: under it its queue is found again after a restart.
    name: String = String::new();
    /// The other broker, `"host:port"`; of several the next one is tried after each failure.
    addresses: Vec<String> = Vec::new();
    /// "5" or "3.1.1".
    protocol: BridgeProtocol = BridgeProtocol::V5;
    /// What the other broker takes: "generic", "mosquitto", "hallward", "aws", "azure", "emqx" or
    /// "hivemq".
    preset: String = "generic".to_owned();
    /// Its client id there; "": `hallward-` and its name.
    client_id: String = String::new();
    /// The user there; "": none.
    username: String = String::new();
    /// A file with the password, read at each connect; a line break at its end does not count.
    password_file: PathBuf = PathBuf::new();
    /// Whether to speak TLS.
    tls: bool = false;
    /// Certificates in PEM of those who may have signed the other broker's; needed for TLS.
    ca_file: PathBuf = PathBuf::new();
    /// A certificate to show, in PEM, with those above it.
    certificate: PathBuf = PathBuf::new();
    /// Its key, in PEM.
    key: PathBuf = PathBuf::new();
    /// What to ask for with ALPN; "": nothing.
    alpn: String = String::new();
    /// How often to ask whether the other broker is still there. After one and a half times as
    /// long without a word the connection is given up.
    keep_alive: Span = seconds(30), seconds(5)..=seconds(65_535);
    /// Messages that may be unacknowledged; preset and CONNACK may lower it.
    window: u16 = 100, 1..=10_000
        => "so many are unacknowledged at the other broker: the others wait in the queue",
            "bridge_backlog_messages";
    /// Bytes of those; a larger message goes alone.
    window_bytes: Size = mib(4), kib(1)..=mib(256)
        => "the same in bytes; a larger message goes alone", "bridge_backlog_bytes";
    /// Bytes that are read ahead from the disk.
    read_ahead: Size = mib(4), kib(64)..=gib(1)
        => "so much is in memory: what comes after it is read when there is room";
    /// Messages a second; 0: as many as the preset says.
    rate: u32 = 0, 0..=1_000_000
        => "the others wait in the queue; 0: as the preset says", "bridge_backlog_messages";
    /// Messages that may wait in the queue, on disk.
    max_messages: u64 = 1_000_000, 1..=100_000_000
        => "`when_full` decides, with a line of the log each minute: `refuse` (the default): \
            nobody gets the message and its publisher is refused (0x97); `drop_oldest`: the \
            oldest in the queue give way; `drop_newest`: the other broker misses it. Messages of \
            the gateway's own that cannot be refused are dropped",
            "bridge_refused_total, bridge_dropped_total";
    /// Their bytes.
    max_bytes: Size = gib(1), kib(64)..=gib(1024)
        => "the same in bytes", "bridge_refused_total, bridge_dropped_total";
    /// A message for a full queue: "refuse" its publisher, "drop_oldest" or "drop_newest".
    when_full: QueueFullRule = QueueFullRule::Refuse;
    /// Messages that the other broker will not have and that are kept apart.
    max_dead: usize = 1000, 0..=1_000_000
        => "of those that the other broker will not have the oldest are forgotten",
            "bridge_dead_letters, bridge_dropped_total";
    /// How long a connection may take, CONNACK included.
    connect_timeout: Span = seconds(10), ms(100)..=minutes(5);
    /// How long an acknowledgement may take; then the connection is given up and all that is
    /// unacknowledged is sent again.
    ack_timeout: Span = seconds(30), ms(100)..=hours(1);
    /// The shortest wait before the next connection.
    backoff_initial: Span = seconds(1), ms(10)..=minutes(10);
    /// The longest.
    backoff_max: Span = seconds(60), ms(10)..=hours(1);
    /// The shortest wait where the other broker refused us, or another client took our place.
    backoff_refused: Span = seconds(60), ms(10)..=hours(1);
    /// A connection that lasts for so long makes waits short again.
    stable_after: Span = seconds(60), ms(10)..=hours(1);
    /// What goes over it: the first rule that matches.
    rule: Vec<BridgeRule> = Vec::new();
}

settings! {
    /// A rule: which messages go over the bridge, and as what.
    pub struct BridgeRule;

    /// "out". ("in" and "both" are refused: that is not there yet.)
    direction: BridgeDirection = BridgeDirection::Out;
    /// Which topics.
    filter: String = String::new();
    /// Of these, not those that match one of these filters.
    except: Vec<String> = Vec::new();
    /// The topic there: `{1}` for what the first `+` of the filter matched, `{#}` at the end for
    /// what its `#` did; "": the same.
    template: String = String::new();
    /// The highest QoS there. 1 is all that there is.
    max_qos: u8 = 1;
    /// Whether retained messages are retained there: "keep", "strip", or as the "preset" says.
    retain: RetainRule = RetainRule::Preset;
    /// How long a message may wait; then it is dropped. 0s: as long as it takes.
    expiry: Span = seconds(0), seconds(0)..=hours(24 * 365);
}

impl BridgeConfig {
    /// Its client id at the other broker.
    pub fn client_id(&self) -> String {
        match self.client_id.as_str() {
            "" => format!("hallward-{}", self.name),
            given => given.to_owned(),
        }
    }
}

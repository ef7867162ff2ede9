//! Every limit of the front door, by name. Plain values: who reads them from files is `config`'s business.

use std::time::Duration;

/// So much a second, and so much at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// 0 for without limit.
    pub per_second: u64,
    /// What may come at once after a pause; for one client's publishes and bytes 0 is as much as in a second.
    pub burst: u64,
}

/// Limits and timeouts of the MQTT listener and of each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttConfig {
    /// The first level of every room topic.
    pub root: String,
    /// Connections at once; more are closed as they arrive.
    pub max_connections: usize,
    /// The same from one address (with IPv6: from one /64); none is no bound of its own.
    pub max_connections_per_address: Option<usize>,
    /// Connections accepted; more are closed as they arrive.
    pub connect_rate: Rate,
    /// The same from one address.
    pub connect_rate_per_address: Rate,
    /// Connections that have not said CONNECT, handshakes included. When there are more, the one that has waited longest is closed,
    /// or the newest if all of them have come just now.
    pub max_opening: usize,
    /// From accept to a whole CONNECT, and from there to the desk's word.
    pub connect_timeout: Duration,
    /// How long a stop waits for connections to say goodbye before it cuts them.
    pub drain_timeout: Duration,
    /// The largest first packet, in bytes: what a stranger may make us hold.
    pub max_connect_packet_bytes: usize,
    /// Levels of a topic or a filter.
    pub max_topic_levels: usize,
    /// Subscriptions of one client, and filters in one SUBSCRIBE.
    pub max_subscriptions: usize,
    /// The largest packet taken from a client, in bytes; MQTT 5 clients are told (Maximum Packet Size).
    pub max_packet_bytes: usize,
    /// The largest packet that is read away where it need not cost the connection, in bytes.
    pub max_discarded_bytes: usize,
    /// Whether a publish that has cost its client two connections is acknowledged and dropped.
    pub poison_ack: bool,
    /// How long a client of 3.1.1 that waits for all the results that it may is heard asking for more before it is closed.
    pub patience: Duration,
    /// Clients of which it is remembered that a publish has cost them a connection.
    pub max_poison: usize,
    /// Deliveries of QoS 1 and 2 that may be unacknowledged at once, where the client allows as many.
    pub max_inflight: u16,
    /// Publishes of QoS 1 and 2 from one client that may be unacknowledged at once (Receive Maximum).
    pub receive_maximum: u16,
    /// PUBLISH packets read from one client; beyond it the client is not read for a while.
    pub publish_rate: Rate,
    /// Bytes read from one client, likewise.
    pub byte_rate: Rate,
    /// The longest keep-alive granted to an MQTT 5 client, in seconds (Server Keep Alive); `None` grants any, and none.
    pub max_keep_alive: Option<u16>,
    /// Silence after which TCP probes whether the other end is there; whoever does not answer for as long again is closed.
    pub tcp_keepalive: Option<Duration>,
    /// Topic aliases that a client may set; 0 forbids them.
    pub max_topic_alias: u16,
    /// Whether what refuses has a Reason String.
    pub reason_strings: bool,
    /// Whether MQTT 5 clients are refused filters about rooms that no topic of a room can match (0x8F).
    pub strict_filters: bool,
    /// Whether each client that comes or goes is a line of the log.
    pub log_connections: bool,
    /// Whether acks say 0x87 where rights are missing, or 0x80 (which is for servers that do not wish to reveal the reason).
    pub reveal_denials: bool,
    /// The longest session expiry granted, in seconds; `u32::MAX` is for ever.
    pub session_expiry_max: u32,
    /// Encoded bytes that may wait for a client's socket before new deliveries are held back.
    pub write_high_water_bytes: usize,
    /// Bytes of QoS 0 messages that wait for a client; beyond it the oldest are dropped.
    pub max_lossy_bytes: usize,
    /// Live messages of QoS 1 and 2 that wait for a client's window; past half of it publishers are held back, past
    /// all of it the client is disconnected.
    pub max_pending_messages: usize,
    /// The same in bytes.
    pub max_pending_bytes: usize,
}

impl MqttConfig {
    /// What holds for a connection that was opened under these settings, now that there are others.
    pub(super) fn renewed(&self, now: &MqttConfig) -> MqttConfig {
        MqttConfig {
            // What CONNACK said.
            max_packet_bytes: self.max_packet_bytes,
            receive_maximum: self.receive_maximum,
            max_topic_alias: self.max_topic_alias,
            // What its buffers were made for.
            write_high_water_bytes: self.write_high_water_bytes,
            max_lossy_bytes: self.max_lossy_bytes,
            max_pending_messages: self.max_pending_messages,
            max_pending_bytes: self.max_pending_bytes,
            // What a start alone can change.
            root: self.root.clone(),
            ..now.clone()
        }
    }
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            root: "rooms".to_owned(),
            max_connections: 10_000,
            max_connections_per_address: None,
            connect_rate: Rate::default(),
            connect_rate_per_address: Rate::default(),
            max_opening: 4096,
            connect_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
            max_connect_packet_bytes: 64 * 1024,
            max_packet_bytes: 1024 * 1024,
            max_discarded_bytes: 16 * 1024 * 1024,
            poison_ack: true,
            patience: Duration::from_secs(10),
            max_poison: 10_000,
            max_topic_levels: 128,
            max_inflight: 256,
            receive_maximum: 1024,
            publish_rate: Rate::default(),
            byte_rate: Rate::default(),
            max_keep_alive: None,
            tcp_keepalive: Some(Duration::from_secs(60)),
            max_topic_alias: 16,
            reason_strings: true,
            strict_filters: false,
            log_connections: true,
            reveal_denials: true,
            session_expiry_max: u32::MAX,
            max_subscriptions: 10_000,
            write_high_water_bytes: 256 * 1024,
            max_lossy_bytes: 1024 * 1024,
            max_pending_messages: 16 * 1024,
            max_pending_bytes: 16 * 1024 * 1024,
        }
    }
}

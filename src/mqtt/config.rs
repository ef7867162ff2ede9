//! Every limit of the front door, by name. Plain values: who reads them from files is `config`'s business.

use std::time::Duration;

/// Limits and timeouts of the MQTT listener and of each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttConfig {
    /// The first level of every room topic.
    pub root: String,
    /// Connections at once; more are closed as they arrive.
    pub max_connections: usize,
    /// From accept to a whole CONNECT, and from there to the desk's word.
    pub connect_timeout: Duration,
    /// How long a stop waits for connections to say goodbye before it cuts them.
    pub drain_timeout: Duration,
    /// The largest first packet, in bytes: what a stranger may make us hold.
    pub max_connect_packet_bytes: usize,
    /// The largest packet taken from a client, in bytes; MQTT 5 clients are told (Maximum Packet Size).
    pub max_packet_bytes: usize,
    /// Deliveries of QoS 1 and 2 that may be unacknowledged at once, where the client allows as many.
    pub max_inflight: u16,
    /// Publishes of QoS 1 and 2 from one client that may be unacknowledged at once (Receive Maximum).
    pub receive_maximum: u16,
    /// The longest keep-alive granted to an MQTT 5 client, in seconds (Server Keep Alive); `None` grants any, and none.
    pub max_keep_alive: Option<u16>,
    /// Topic aliases that a client may set; 0 forbids them.
    pub max_topic_alias: u16,
    /// The longest session expiry granted, in seconds; `u32::MAX` is for ever.
    pub session_expiry_max: u32,
    /// Subscriptions of one client.
    pub max_subscriptions: usize,
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

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            root: "rooms".to_owned(),
            max_connections: 10_000,
            connect_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
            max_connect_packet_bytes: 64 * 1024,
            max_packet_bytes: 1024 * 1024,
            max_inflight: 256,
            receive_maximum: 1024,
            max_keep_alive: None,
            max_topic_alias: 16,
            session_expiry_max: u32::MAX,
            max_subscriptions: 1000,
            write_high_water_bytes: 256 * 1024,
            max_lossy_bytes: 1024 * 1024,
            max_pending_messages: 16 * 1024,
            max_pending_bytes: 16 * 1024 * 1024,
        }
    }
}

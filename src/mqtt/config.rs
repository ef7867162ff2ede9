//! The front door's settings: who may connect, and what one client may use of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setting::{
    Listen, Size, Span, days, gib, hours, kib, loopback, mib, minutes, ms, seconds, settings,
};

/// So much a second, and so much at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// 0 for without limit.
    pub per_second: u64,
    /// What may come at once after a pause; for one client's publishes and bytes 0 is as much as in
    /// a second.
    pub burst: u64,
}

/// What holds for the listener and for each connection.
#[derive(Debug, Clone, PartialEq)]
pub struct DoorConfig {
    /// The settings of its own section.
    pub mqtt: MqttConfig,
    /// The first level of every room topic.
    pub root: String,
    /// Whether each client that comes or goes is a line of the log.
    pub log_connections: bool,
    /// Whether acks say 0x87 where rights are missing, or 0x80 (which is for servers that do not
    /// wish to reveal the reason).
    pub reveal_denials: bool,
}

impl From<MqttConfig> for DoorConfig {
    fn from(mqtt: MqttConfig) -> DoorConfig {
        DoorConfig {
            mqtt,
            root: "rooms".to_owned(),
            log_connections: true,
            reveal_denials: true,
        }
    }
}

impl DoorConfig {
    /// What holds for a connection that was opened under these settings, now that there are others.
    pub(super) fn renewed(&self, now: &DoorConfig) -> DoorConfig {
        let was = &self.mqtt;
        let mqtt = MqttConfig {
            // What CONNACK said.
            max_packet: was.max_packet,
            receive_maximum: was.receive_maximum,
            topic_alias_max: was.topic_alias_max,
            // What its buffers were made for.
            write_high_water: was.write_high_water,
            write_buffer: was.write_buffer,
            max_pending_messages: was.max_pending_messages,
            max_pending_bytes: was.max_pending_bytes,
            ..now.mqtt.clone()
        };
        DoorConfig {
            mqtt,
            // What a start alone can change.
            root: self.root.clone(),
            ..now.clone()
        }
    }
}

impl MqttConfig {
    /// Connections accepted; more are closed as they arrive.
    pub(super) fn connects(&self) -> RateLimit {
        RateLimit {
            per_second: self.connect_rate.into(),
            burst: self.connect_burst.into(),
        }
    }

    /// The same from one address.
    pub(super) fn connects_per_address(&self) -> RateLimit {
        RateLimit {
            per_second: self.connect_rate_per_address.into(),
            burst: self.connect_burst_per_address.into(),
        }
    }

    /// PUBLISH packets read from one client; beyond it the client is not read for a while.
    pub(super) fn publishes(&self) -> RateLimit {
        RateLimit {
            per_second: self.max_publish_rate,
            burst: self.publish_burst,
        }
    }

    /// Bytes read from one client, likewise.
    pub(super) fn bytes(&self) -> RateLimit {
        RateLimit {
            per_second: self.max_byte_rate.0 as u64,
            burst: self.byte_burst.0 as u64,
        }
    }

    /// The longest keep-alive granted to an MQTT 5 client, in seconds (Server Keep Alive); `None`
    /// grants any, and none.
    pub(super) fn longest_keep_alive(&self) -> Option<u16> {
        let seconds = u16::try_from(self.max_keep_alive.0.as_secs()).ok();
        seconds.filter(|&seconds| seconds > 0)
    }

    /// The longest session expiry granted, in seconds.
    pub(super) fn longest_session(&self) -> u32 {
        u32::try_from(self.max_session_expiry.0.as_secs()).unwrap_or(u32::MAX)
    }

    /// Silence after which TCP probes whether the other end is there; whoever does not answer for
    /// as long again is closed.
    pub(super) fn probes_after(&self) -> Option<Duration> {
        Some(self.tcp_keepalive.0).filter(|idle| !idle.is_zero())
    }
}

settings! {
    /// The front door for MQTT clients, and what one client may use of it.
    pub struct MqttConfig;

    /// IP address and port for plain TCP; 3.1.1 and 5.0 share it. Loopback only while
    /// authentication is off. "": nowhere.
    #[restart("sockets are opened at the start")]
    listen: Listen = Listen(Some(loopback(1883)));
    /// Connections at once; more are closed unanswered.
    max_connections: usize = 10_000, 1..=1_000_000
        => "a new connection is closed unanswered", "mqtt_connections_refused_total";
    /// The same from one IP address (IPv6: from one /64); 0: no bound of its own.
    max_connections_per_address: usize = 0, 0..=1_000_000
        => "likewise, of one IP address (IPv6: one /64); 0: no bound of its own",
            "mqtt_connections_refused_total";
    /// Connections accepted a second, on average; more are closed unanswered. 0: no limit.
    connect_rate: u32 = 0, 0..=1_000_000
        => "likewise, more a second than that; 0: no limit", "mqtt_connections_refused_total";
    /// How many may come at once after a pause, where there is a rate.
    connect_burst: u32 = 100, 1..=1_000_000
        => "so many may come at once after a pause, where there is a rate";
    /// The same rate for each IP address. 0: no limit.
    connect_rate_per_address: u32 = 0, 0..=1_000_000
        => "likewise, for each IP address; 0: no limit", "mqtt_connections_refused_total";
    /// The same burst for each IP address.
    connect_burst_per_address: u32 = 20, 1..=1_000_000
        => "so many may come at once after a pause from one, where there is a rate";
    /// Connections that have not sent their CONNECT yet, TLS and WebSocket handshakes included.
    /// When there are more, the one that has waited longest (two seconds at least) is closed; if
    /// there is none, the newest.
    max_opening: usize = 4096, 1..=1_000_000
        => "of those that have not sent CONNECT the one that has waited longest is closed, or the \
            new one if none has waited for two seconds",
            "mqtt_openings_failed_total, mqtt_connections_refused_total";
    /// From the TCP connection to a complete CONNECT, TLS and WebSocket handshakes included.
    connect_timeout: Span = seconds(10), ms(100)..=minutes(5);
    /// The largest first packet: what a stranger may make the gateway hold.
    max_connect_packet: Size = kib(64), kib(1)..=mib(16)
        => "a larger first packet closes its connection", "mqtt_connects_refused_total";
    /// How long a stop waits for clients to take what is on its way to them.
    drain_timeout: Span = seconds(5), ms(0)..=minutes(5);
    /// The largest packet.
    // MQTT's Remaining Length ends at 256 MiB; the header of a packet needs some bytes, too.
    max_packet: Size = mib(1), kib(1)..=mib(255)
        => "a larger packet ends its connection as soon as its header is read (0x95); MQTT 5 \
            clients are told the limit. A QoS 0 publish of a 3.1.1 client is read away instead \
            and dropped, and one of QoS 1 or 2 the third time (see below)",
            "mqtt_disconnects_total, mqtt_publishes_dropped_total";
    /// A PUBLISH above max_packet, but not above this, is read away where MQTT lets its connection
    /// stay open; a larger one closes it.
    max_discarded: Size = mib(16), Size(0)..=mib(256)
        => "a packet larger than this is not read away but ends its connection each time",
            "mqtt_disconnects_total";
    /// A publish that cannot be taken and costs the connection (too large, too deep, no room; 3.1.1
    /// has no word for it) is sent again by its client before anything else. After the second time
    /// for one reason: "ack" it and drop it, which is counted, logged and told; or "close" each
    /// time, for good.
    poison: PoisonRule = PoisonRule::Ack;
    /// Clients of which it is remembered, for ten minutes, that a publish has cost them a
    /// connection; those of others are closed each time.
    max_poison: usize = 10_000, 1..=1_000_000
        => "so many clients have lost a connection to a publish in the last ten minutes: those of \
            further ones cost it each time";
    /// A client of 3.1.1 cannot be told in PUBACK that it waits for mailbox.max_results already. It
    /// is read more slowly if it asks for more, and closed after so long with nothing but refusals
    /// for that.
    patience: Span = seconds(10), seconds(1)..=hours(1);
    /// Levels of a topic or a filter; deeper ones are refused.
    // The topics of rooms have up to 15; each level is a step of a recursion.
    max_topic_levels: usize = 128, 16..=1000
        => "a deeper topic in PUBLISH ends the connection (0x90), one in a will is refused with \
            it (0x90), a deeper filter is refused in SUBACK (0x8F)", "mqtt_topics_too_deep_total";
    /// Deliveries of QoS 1 and 2 that a client may leave unacknowledged; its own Receive Maximum
    /// may lower it.
    max_inflight: u16 = 256, 1..=u16::MAX
        => "further deliveries of QoS 1 and 2 wait for an acknowledgement; the client's own \
            Receive Maximum may be lower";
    /// Publishes of QoS 1 and 2 that a client may have waiting for the gateway's acknowledgement.
    receive_maximum: u16 = 1024, 1..=u16::MAX
        => "one publish of QoS 1 or 2 more than may be unacknowledged ends an MQTT 5 connection \
            (0x93); a 3.1.1 client is not read until the desk has answered some. QoS 2 packet ids \
            that a 3.1.1 client never releases are bounded by there being 65,535, and by \
            `memory.max_queued`", "mqtt_disconnects_total";
    /// PUBLISH packets a second from one client. One that sends more is not read for a while:
    /// nothing is dropped. 0: as many as come.
    max_publish_rate: u64 = 0, 0..=100_000_000
        => "the client is not read until it is back within its rate; nothing is dropped, and its \
            keep-alive does not run meanwhile. 0: no limit",
            "mqtt_throttled_total, mqtt_throttled_clients";
    /// PUBLISH packets that a client may send at once after a silence. 0: as many as in a second.
    publish_burst: u64 = 0, 0..=100_000_000
        => "so many may come at once after a silence; 0: as many as in a second. Never less than \
            the rate lets through in 10 ms";
    /// Bytes a second from one client, packets of every kind; likewise. 0B: as many as come.
    max_byte_rate: Size = Size(0), Size(0)..=gib(64)
        => "as `mqtt.max_publish_rate`, for the bytes of packets of every kind; a packet larger \
            than the burst is taken whole and paid for afterwards",
            "mqtt_throttled_total, mqtt_throttled_clients";
    /// Bytes that a client may send at once after a silence. 0B: as many as in a second.
    byte_burst: Size = Size(0), Size(0)..=gib(64)
        => "so many may come at once after a silence; 0B: as many as in a second";
    /// The longest keep-alive; MQTT 5 clients that ask for a longer one, or for none, are told this
    /// one. 0s: as they ask.
    max_keep_alive: Span = ms(0), ms(0)..=seconds(65_535);
    /// A connection without traffic for so long is asked by the operating system whether its other
    /// end is still there, and closed if there is no answer within as much again. It finds clients
    /// that have vanished and asked for no keep-alive of MQTT. 0s: never.
    // The longest is what Linux takes.
    tcp_keepalive: Span = minutes(1), ms(0)..=seconds(32_767);
    /// Topic aliases per connection and direction (MQTT 5); 0 turns them off.
    topic_alias_max: u16 = 16, 0..=u16::MAX
        => "a higher alias ends the connection (0x94); MQTT 5 clients are told the limit",
            "mqtt_disconnects_total";
    /// Say why in words, too, on what refuses: acknowledgements, CONNACK, DISCONNECT (MQTT 5 Reason
    /// String). A few clients read only the code.
    reason_strings: bool = true;
    /// Refuse filters about rooms that no topic of a room can match, a misspelt pattern say (MQTT
    /// 5: 0x8F); the log warns of them either way.
    strict_filters: bool = false;
    /// What may wait for one client's socket before deliveries of QoS 1 and 2 are held back.
    write_high_water: Size = kib(256), kib(4)..=gib(1)
        => "so much waits for its socket: further deliveries wait in their queues, and the client \
            is not read";
    /// QoS 0 messages that may wait for one client, in bytes; beyond it they are dropped, oldest
    /// first.
    write_buffer: Size = mib(1), kib(4)..=gib(1)
        => "QoS 0 messages for it are dropped, oldest first; new ones to a member of a shared \
            subscription", "mqtt_messages_dropped_total, desk_messages_dropped_total";
    /// QoS 1 and 2 messages that may wait for one client without a persistent session: its
    /// publishers are held back from half of it. What is on its way by then still comes, however
    /// many messages that are.
    max_pending_messages: usize = 10_000, 1..=100_000_000
        => "QoS 1 and 2 without a persistent session: publishers are held back from half of it, \
            for `live.patience` at most, then the subscriber is disconnected (0x97)",
            "mqtt_disconnects_total";
    /// The same in bytes; the client is disconnected beyond it.
    max_pending_bytes: Size = mib(16), kib(64)..=gib(64)
        => "the same in bytes; beyond it the subscriber is disconnected (0x97)",
            "mqtt_disconnects_total";
    /// Subscriptions per client.
    max_subscriptions: usize = 10_000, 1..=1_000_000
        => "the filter is refused in SUBACK (0x97); so are all behind the first so many of one \
            SUBSCRIBE", "mqtt_subscriptions_refused_total";
    /// The longest that a session outlives its connection; longer requests are lowered to it.
    max_session_expiry: Span = days(30), ms(0)..=seconds(4_294_967_294);
    /// How often the figures under $SYS/broker/ are published; 0s: never.
    #[restart("the figures under `$SYS` are set up once")]
    sys_interval: Span = seconds(10), ms(0)..=days(1);
}

/// What becomes of a publish that must not be taken, and that its client sends again whenever it
/// comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoisonRule {
    /// It is acknowledged and dropped.
    Ack,
    /// It costs the connection each time.
    Close,
}

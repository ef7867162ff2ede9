//! What the front door counts, for all connections together.

use super::disconnect_reason::DisconnectReason;
use super::session::ack_times::AckLatency;
use super::session::poison::Cause;
use crate::metrics::{Count, MetricLabel, Per, labelled, metrics};
use crate::wire::message::Qos;

impl MetricLabel for Qos {
    const KEY: &'static str = "qos";
    const ALL: &'static [Qos] = &[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

    fn index(self) -> usize {
        usize::from(self.level())
    }

    fn text(self) -> &'static str {
        ["0", "1", "2"][self.index()]
    }
}

labelled! {
    /// Connections closed as they arrived.
    pub struct RefusedConnections by "reason" {
        /// There were as many as there may be.
        too_many,
        /// There were as many from that address.
        address,
        /// They came too fast.
        rate,
        /// They came too fast from that address.
        address_rate,
        /// Too many were opening.
        opening,
    }
}

labelled! {
    /// Connections that ended between accept and CONNECT.
    pub struct FailedOpenings by "reason" {
        /// TLS did not come about: an unknown authority, an old version, a revoked certificate, no
        /// TLS at all.
        tls,
        /// The request for a WebSocket was not good.
        websocket,
        /// The deadline came first.
        timeout,
        /// They had to give way to others.
        gave_way,
    }
}

labelled! {
    /// Messages that did not reach a client.
    pub struct UndeliveredMessages by "reason" {
        /// QoS 0, because the client did not keep up.
        slow_reader,
        /// Larger than the client takes.
        too_large_for_client,
        /// Their time was over.
        expired,
        /// Live ones, because too many came before the SUBACK of the subscription that selects
        /// them.
        before_suback,
        /// QoS 0, because the live plane jumped over them.
        lagged,
    }
}

metrics! {
    /// What the front door counts since the process began.
    #[derive(Debug, Default)]
    pub struct Metrics {
        /// Connections now.
        gauge connections_open: Count = "mqtt_connections",
        /// Connections accepted.
        counter connections_total: Count = "mqtt_connections_accepted",
        /// Connections closed as they arrived.
        counter connections_refused: RefusedConnections = "mqtt_connections_refused",
        /// Connections that ended before CONNECT.
        counter openings_failed: FailedOpenings = "mqtt_openings_failed",
        /// CONNECT packets read, refused ones included.
        counter connects: Count = "mqtt_connects",
        /// CONNECTs answered with a refusal.
        counter connects_refused: Count = "mqtt_connects_refused",
        /// Connections that the gateway closed for a reason of its own.
        counter disconnects: Per<DisconnectReason> = "mqtt_disconnects",
        /// Packets read.
        counter packets_received: Count = "mqtt_packets_received",
        /// Packets written.
        counter packets_sent: Count = "mqtt_packets_sent",
        /// Bytes read.
        counter bytes_received: Count = "mqtt_bytes_received",
        /// Bytes written.
        counter bytes_sent: Count = "mqtt_bytes_sent",
        /// PUBLISH packets read.
        counter publishes_received: Per<Qos> = "mqtt_publishes_received",
        /// PUBLISH packets written.
        counter publishes_sent: Per<Qos> = "mqtt_publishes_sent",
        /// From reading a PUBLISH until its PUBACK (QoS 1) or PUBREC (QoS 2) was written for its
        /// client.
        histogram ack_latency: AckLatency = "mqtt_ack_seconds",
        /// Payload bytes of PUBLISH packets read.
        counter publish_bytes_received: Count = "mqtt_publish_bytes_received",
        /// Payload bytes of PUBLISH packets written.
        counter publish_bytes_sent: Count = "mqtt_publish_bytes_sent",
        /// Publishes acknowledged and dropped because they would cost their client its connection
        /// again.
        counter publishes_dropped: Per<Cause> = "mqtt_publishes_dropped",
        /// Messages that did not reach a client.
        counter undelivered: UndeliveredMessages = "mqtt_messages_dropped",
        /// Filters refused because a client has as many as it may.
        counter subscriptions_refused: Count = "mqtt_subscriptions_refused",
        /// Publishes on topics that begin with $.
        counter refused_dollar: Count = "mqtt_refused_dollar_topics",
        /// Times that a client was not read because it sent faster than it may, or asked for more
        /// results than it may wait for.
        counter throttled: Count = "mqtt_throttled",
        /// Clients that are not read for that reason now.
        gauge throttled_now: Count = "mqtt_throttled_clients",
        /// Topics and filters refused because they have too many levels.
        counter too_deep: Count = "mqtt_topics_too_deep",
        /// Acks for packet ids that were not in flight.
        counter stray_acks: Count = "mqtt_stray_acks",
    }
}

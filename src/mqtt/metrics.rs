//! Counters of the front door, shared by all connections. Names and types for export are the exporter's business.

use crate::count::Count;
use crate::wire::message::Qos;

use super::ack_times::AckLatency;
use super::ending::PerEnding;
use super::poison::PerCause;

/// One count per QoS.
#[derive(Debug, Default)]
pub struct PerQos([Count; 3]);

impl PerQos {
    /// The count of one QoS.
    pub fn of(&self, qos: Qos) -> &Count {
        &self.0[usize::from(qos.level())]
    }
}

/// Connections closed as they arrived.
#[derive(Debug, Default)]
pub struct RefusedConnections {
    /// There were as many as there may be.
    pub too_many: Count,
    /// There were as many from that address.
    pub address: Count,
    /// They came too fast.
    pub rate: Count,
    /// They came too fast from that address.
    pub address_rate: Count,
    /// Too many were opening.
    pub opening: Count,
}

/// Connections that ended between accept and CONNECT.
#[derive(Debug, Default)]
pub struct FailedOpenings {
    /// TLS did not come about: an unknown authority, an old version, a revoked certificate, no TLS at all.
    pub tls: Count,
    /// The request for a WebSocket was not good.
    pub websocket: Count,
    /// The deadline came first.
    pub timeout: Count,
    /// They had to give way to others.
    pub gave_way: Count,
}

/// What the front door counts since the process began.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections now, from accept to close.
    pub connections_open: Count,
    /// Connections accepted.
    pub connections_total: Count,
    /// Connections closed as they arrived, by the limit that they met.
    pub connections_refused: RefusedConnections,
    /// Connections closed before they said CONNECT, by what became of them.
    pub openings_failed: FailedOpenings,
    /// CONNECT packets that came as a connection's first, refused ones included.
    pub connects: Count,
    /// CONNECTs answered with a refusal.
    pub connects_refused: Count,
    /// Connections that the gateway closed for a reason of its own, and said so where MQTT 5 lets it.
    pub disconnects: PerEnding,
    /// Packets read.
    pub packets_received: Count,
    /// Packets written.
    pub packets_sent: Count,
    /// Bytes read.
    pub bytes_received: Count,
    /// Bytes written.
    pub bytes_sent: Count,
    /// PUBLISH packets read.
    pub publishes_received: PerQos,
    /// PUBLISH packets written.
    pub publishes_sent: PerQos,
    /// How long clients wait for PUBACK and PUBREC.
    pub ack_latency: AckLatency,
    /// Payload bytes of PUBLISH packets read.
    pub publish_bytes_received: Count,
    /// Payload bytes of PUBLISH packets written.
    pub publish_bytes_sent: Count,
    /// Publishes acknowledged and dropped, because they would cost their client its connection again.
    pub publishes_dropped: PerCause,
    /// QoS 0 messages dropped because the client did not keep up.
    pub dropped_slow: Count,
    /// Messages dropped because they are larger than the client takes.
    pub dropped_too_large: Count,
    /// Live messages dropped because too many came before the SUBACK of the subscription that selects them.
    pub dropped_early: Count,
    /// Messages dropped because they had expired.
    pub dropped_expired: Count,
    /// Messages of QoS 0 that the live plane jumped over.
    pub missed: Count,
    /// Filters refused because a client has as many as it may.
    pub subscriptions_refused: Count,
    /// Publishes on `$…` topics, which clients may not write.
    pub refused_dollar: Count,
    /// Times that a client was not read because it sent faster than it may, or asked for more results than it may wait for.
    pub throttled: Count,
    /// Now: clients that are not read for one of those reasons.
    pub throttled_now: Count,
    /// Topics and filters refused because they have too many levels.
    pub too_deep: Count,
    /// Acks for packet ids that were not in flight.
    pub stray_acks: Count,
}

//! Figures of the front door, and of its certificates.

use super::{gauge, histogram};
use crate::http::Metric;
use crate::mqtt;
use crate::mqtt::transport::tls::Tls;
use crate::wire::message::Qos;

/// The front door.
pub(in crate::runtime) fn front_door(m: &mqtt::Metrics) -> Vec<Metric> {
    let by_qos = |counts: &mqtt::metrics::PerQos| {
        [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]
            .map(|qos| (qos.level().to_string(), counts.of(qos).value()))
    };
    vec![
        gauge(
            "mqtt_connections",
            "Connections now.",
            m.connections_open.value(),
        ),
        Metric::counter(
            "mqtt_connections_accepted",
            "Connections accepted.",
            m.connections_total.value(),
        ),
        Metric::counters(
            "mqtt_connections_refused",
            "Connections closed as they arrived.",
            "reason",
            [
                ("too_many", m.connections_refused.too_many.value()),
                ("address", m.connections_refused.address.value()),
                ("rate", m.connections_refused.rate.value()),
                ("address_rate", m.connections_refused.address_rate.value()),
                ("opening", m.connections_refused.opening.value()),
            ],
        ),
        Metric::counters(
            "mqtt_openings_failed",
            "Connections that ended before CONNECT.",
            "reason",
            [
                ("tls", m.openings_failed.tls.value()),
                ("websocket", m.openings_failed.websocket.value()),
                ("timeout", m.openings_failed.timeout.value()),
                ("gave_way", m.openings_failed.gave_way.value()),
            ],
        ),
        Metric::counter(
            "mqtt_connects",
            "CONNECT packets read, refused ones included.",
            m.connects.value(),
        ),
        Metric::counter(
            "mqtt_connects_refused",
            "CONNECTs answered with a refusal.",
            m.connects_refused.value(),
        ),
        Metric::counters(
            "mqtt_disconnects",
            "Connections that the gateway closed for a reason of its own.",
            "reason",
            mqtt::Ending::ALL.map(|ending| (ending.name(), m.disconnects.of(ending).value())),
        ),
        Metric::counter(
            "mqtt_packets_received",
            "Packets read.",
            m.packets_received.value(),
        ),
        Metric::counter(
            "mqtt_packets_sent",
            "Packets written.",
            m.packets_sent.value(),
        ),
        Metric::counter(
            "mqtt_bytes_received",
            "Bytes read.",
            m.bytes_received.value(),
        ),
        Metric::counter("mqtt_bytes_sent", "Bytes written.", m.bytes_sent.value()),
        Metric::counters(
            "mqtt_publishes_received",
            "PUBLISH packets read.",
            "qos",
            by_qos(&m.publishes_received),
        ),
        Metric::counters(
            "mqtt_publishes_sent",
            "PUBLISH packets written.",
            "qos",
            by_qos(&m.publishes_sent),
        ),
        Metric::histograms(
            "mqtt_ack_seconds",
            "From reading a PUBLISH until its PUBACK (QoS 1) or PUBREC (QoS 2) was written for its client.",
            "qos",
            [
                ("1", histogram(&m.ack_latency.puback)),
                ("2", histogram(&m.ack_latency.pubrec)),
            ],
        ),
        Metric::counter(
            "mqtt_publish_bytes_received",
            "Payload bytes of PUBLISH packets read.",
            m.publish_bytes_received.value(),
        ),
        Metric::counter(
            "mqtt_publish_bytes_sent",
            "Payload bytes of PUBLISH packets written.",
            m.publish_bytes_sent.value(),
        ),
        Metric::counters(
            "mqtt_publishes_dropped",
            "Publishes acknowledged and dropped because they would cost their client its connection again.",
            "reason",
            mqtt::Cause::ALL.map(|cause| (cause.name(), m.publishes_dropped.of(cause).value())),
        ),
        Metric::counters(
            "mqtt_messages_dropped",
            "Messages that did not reach a client.",
            "reason",
            [
                ("slow_reader", m.dropped_slow.value()),
                ("too_large_for_client", m.dropped_too_large.value()),
                ("expired", m.dropped_expired.value()),
                ("before_suback", m.dropped_early.value()),
                ("lagged", m.missed.value()),
            ],
        ),
        Metric::counter(
            "mqtt_subscriptions_refused",
            "Filters refused because a client has as many as it may.",
            m.subscriptions_refused.value(),
        ),
        Metric::counter(
            "mqtt_refused_dollar_topics",
            "Publishes on topics that begin with $.",
            m.refused_dollar.value(),
        ),
        Metric::counter(
            "mqtt_throttled",
            "Times that a client was not read because it sent faster than it may, or asked for more results than it may wait for.",
            m.throttled.value(),
        ),
        gauge(
            "mqtt_throttled_clients",
            "Clients that are not read for that reason now.",
            m.throttled_now.value(),
        ),
        Metric::counter(
            "mqtt_topics_too_deep",
            "Topics and filters refused because they have too many levels.",
            m.too_deep.value(),
        ),
        Metric::counter(
            "mqtt_stray_acks",
            "Acks for packet ids that were not in flight.",
            m.stray_acks.value(),
        ),
    ]
}

/// The certificates.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating-point in the format"
)]
pub(in crate::runtime) fn tls(tls: &Tls) -> Vec<Metric> {
    vec![
        Metric::gauge(
            "tls_certificate_not_after_seconds",
            "When the first of the gateway's certificates expires, in Unix time.",
            tls.not_after() as f64,
        ),
        Metric::counters(
            "tls_reloads",
            "Times that the files were read again.",
            "outcome",
            [
                ("done", tls.reloads.value()),
                ("failed", tls.reloads_failed.value()),
            ],
        ),
    ]
}

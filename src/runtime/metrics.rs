//! What each part counts, under the names that `/metrics` shows. `hallward_` goes in front.

use crate::desk::{Count, DeskStats};
use crate::http::Metric;
use crate::ledger::{CommitHealth, CommitState};
use crate::live;
use crate::mqtt;
use crate::wire::message::Qos;

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating-point in the format"
)]
fn gauge(name: &'static str, help: &'static str, value: u64) -> Metric {
    Metric::gauge(name, help, value as f64)
}

fn of(count: &Count) -> u64 {
    count.get()
}

/// The front door.
pub(super) fn front_door(m: &mqtt::Metrics) -> Vec<Metric> {
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
        Metric::counter(
            "mqtt_connections_refused",
            "Connections closed at once because there were too many.",
            m.connections_refused.value(),
        ),
        Metric::counter(
            "mqtt_connects_refused",
            "CONNECTs answered with a refusal.",
            m.connects_refused.value(),
        ),
        Metric::counter(
            "mqtt_disconnects",
            "Connections that the gateway closed for a reason of its own.",
            m.disconnects.value(),
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
            "mqtt_messages_dropped",
            "Messages that did not reach a client.",
            "reason",
            [
                ("slow_reader", m.dropped_slow.value()),
                ("too_large_for_client", m.dropped_too_large.value()),
                ("expired", m.dropped_expired.value()),
                ("lagged", m.missed.value()),
            ],
        ),
        Metric::counter(
            "mqtt_refused_dollar_topics",
            "Publishes on topics that begin with $.",
            m.refused_dollar.value(),
        ),
        Metric::counter(
            "mqtt_stray_acks",
            "Acks for packet ids that were not in flight.",
            m.stray_acks.value(),
        ),
    ]
}

/// The desk.
pub(super) fn desk(d: &DeskStats) -> Vec<Metric> {
    vec![
        Metric::counter("desk_requests", "Requests handled.", of(&d.requests)),
        Metric::counter("desk_batches", "Batches sealed.", of(&d.batches)),
        Metric::counter(
            "desk_publishes",
            "Publishes that came to the desk.",
            of(&d.publishes),
        ),
        Metric::counter(
            "desk_refusals",
            "Commands and publishes refused.",
            of(&d.refusals),
        ),
        Metric::counter(
            "desk_deliveries",
            "Messages sent from mailboxes and queues.",
            of(&d.deliveries),
        ),
        Metric::counter(
            "desk_broadcasts",
            "Messages sent to the live plane.",
            of(&d.broadcasts),
        ),
        Metric::counter(
            "desk_held_acks",
            "Acks held back because a subscriber is slow.",
            of(&d.held_acks),
        ),
        Metric::counter(
            "desk_disconnects_too_slow",
            "Clients disconnected because publishers had to wait for them for too long.",
            of(&d.too_slow),
        ),
        Metric::counters(
            "desk_messages_dropped",
            "Messages that were not kept.",
            "reason",
            [
                ("queue_full", of(&d.dropped_queue_full)),
                ("old_reply", of(&d.dropped_replies)),
                ("no_mailbox", of(&d.dropped_no_mailbox)),
                ("backlog", of(&d.dropped_backlog)),
                ("expired", of(&d.expired)),
            ],
        ),
        gauge(
            "clients",
            "Clients with a session, a connection or mail.",
            of(&d.clients),
        ),
        Metric::counter(
            "sessions_expired",
            "Sessions that ended because nobody came back in time.",
            of(&d.expired_sessions),
        ),
        gauge(
            "sessions_connected",
            "Sessions with a connection.",
            of(&d.connections),
        ),
        gauge("retained_messages", "Retained messages.", of(&d.retained)),
        gauge(
            "retained_bytes",
            "Bytes of retained messages.",
            of(&d.retained_bytes),
        ),
        gauge("rooms", "Rooms.", of(&d.rooms)),
        gauge(
            "tasks_unfinished",
            "Tasks that have not ended.",
            of(&d.tasks),
        ),
        gauge(
            "approvals_pending",
            "Approvals that await a decision.",
            of(&d.approvals),
        ),
        gauge("blackboard_keys", "Blackboard keys.", of(&d.keys)),
    ]
}

/// The ledger.
pub(super) fn ledger(health: &CommitHealth) -> Vec<Metric> {
    let ok = matches!(health.state(), CommitState::Ok);
    vec![
        gauge(
            "ledger_ok",
            "1 while commits reach the disk.",
            u64::from(ok),
        ),
        Metric::counter("ledger_commits", "Batches made durable.", health.commits()),
        Metric::counter("ledger_rows", "Rows written or deleted.", health.rows()),
        Metric::counter(
            "ledger_bytes",
            "Bytes of keys and values committed.",
            health.bytes(),
        ),
        Metric::counter(
            "ledger_sync_microseconds",
            "Time spent in commits.",
            health.sync_micros(),
        ),
        gauge(
            "ledger_last_sync_microseconds",
            "Time of the last commit.",
            health.last_sync_micros(),
        ),
        Metric::counter(
            "ledger_stalls",
            "Times that the disk began to refuse.",
            health.stalls(),
        ),
    ]
}

/// The live plane.
pub(super) fn live(stats: &live::Stats) -> Vec<Metric> {
    vec![
        Metric::counter(
            "live_published",
            "Frames given to a router.",
            stats.published,
        ),
        Metric::counter(
            "live_unwanted",
            "Frames that nobody wanted.",
            stats.unwanted,
        ),
        Metric::counter(
            "live_delivered",
            "Frames handed to subscribers.",
            stats.delivered,
        ),
        Metric::counter(
            "live_missed",
            "Frames that lagging subscribers jumped over.",
            stats.missed,
        ),
        Metric::counter(
            "live_lost",
            "Frames that a router held when it died.",
            stats.lost,
        ),
        Metric::counter(
            "live_routers_started",
            "Routers started.",
            stats.routers_started,
        ),
        Metric::counter(
            "live_routers_died",
            "Routers replaced because they died.",
            stats.routers_died,
        ),
        Metric::counter(
            "live_too_slow",
            "Subscribers told that they are too slow.",
            stats.too_slow,
        ),
        gauge("live_links", "Links open.", stats.links_open),
        gauge(
            "live_filters",
            "Distinct filters subscribed.",
            stats.filters,
        ),
    ]
}

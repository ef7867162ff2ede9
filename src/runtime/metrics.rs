//! What each part counts, under the names that `/metrics` shows. `hallward_` goes in front.

mod budgets;
mod ledger;
mod lines;

use crate::auth;
use crate::desk::{DeskStats, Holder, Memory};
use crate::engine::{Refusals, ToolOutcomes};
use crate::http::Metric;
use crate::live;
use crate::mqtt;
use crate::mqtt::transport::tls::Tls;
use crate::wire::message::Qos;

pub(super) use budgets::budgets;
pub(super) use ledger::{ledger, log};
pub(super) use lines::log_lines;

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating-point in the format"
)]
fn gauge(name: &'static str, help: &'static str, value: u64) -> Metric {
    Metric::gauge(name, help, value as f64)
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
            "Times that a client was not read because it sent faster than it may.",
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
pub(super) fn tls(tls: &Tls) -> Vec<Metric> {
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

/// The desk.
pub(super) fn desk(d: &DeskStats) -> Vec<Metric> {
    vec![
        Metric::counter("desk_requests", "Requests handled.", d.requests.value()),
        Metric::counter("desk_batches", "Batches sealed.", d.batches.value()),
        Metric::counter(
            "desk_publishes",
            "Publishes that came to the desk.",
            d.publishes.value(),
        ),
        Metric::counter(
            "desk_refusals",
            "Commands and publishes refused.",
            d.refusals.value(),
        ),
        Metric::counters(
            "desk_publishes_refused",
            "Publishes refused for want of room: memory_refusals has those for want of memory.",
            "reason",
            [
                ("queue_full", d.refused_queue_full.value()),
                ("retained_full", d.refused_retained_full.value()),
            ],
        ),
        Metric::counter(
            "journal_events",
            "Events kept for replays.",
            d.journal_events.value(),
        ),
        Metric::counter(
            "journal_written_bytes",
            "Bytes of events kept for replays.",
            d.journal_written.value(),
        ),
        Metric::counter(
            "journal_trimmed",
            "Events that are kept no longer, for their age or for a limit.",
            d.journal_trimmed.value(),
        ),
        gauge(
            "journal_bytes",
            "Bytes of events that can be replayed.",
            d.journal_bytes.value(),
        ),
        gauge(
            "journal_rooms",
            "Rooms with events that can be replayed.",
            d.journal_rooms.value(),
        ),
        Metric::counters(
            "commands_refused",
            "Commands refused, by the code of the reply.",
            "code",
            Refusals::CODES
                .iter()
                .zip(&d.commands_refused)
                .map(|(code, count)| (u16::from(*code).to_string(), count.value())),
        ),
        Metric::counter(
            "forgotten_early",
            "Ended tasks, their results, decided approvals, their contents, and outcomes forgotten before their time for a limit.",
            d.forgotten_early.value(),
        ),
        Metric::counter(
            "desk_subscriptions_refused",
            "Filters refused because their client has all the subscriptions that it may have.",
            d.refused_subscriptions.value(),
        ),
        Metric::counter(
            "sessions_refused",
            "CONNECTs refused because there are too many sessions and mailboxes.",
            d.refused_sessions.value(),
        ),
        Metric::counter(
            "desk_deliveries",
            "Messages sent from mailboxes and queues.",
            d.deliveries.value(),
        ),
        Metric::counter(
            "desk_deliveries_shortened",
            "Messages shortened for readers that announced maxBytes.",
            d.shortened.value(),
        ),
        Metric::counter(
            "desk_broadcasts",
            "Messages sent to the live plane.",
            d.broadcasts.value(),
        ),
        Metric::counter(
            "desk_held_acks",
            "Acks held back because a subscriber is slow.",
            d.held_acks.value(),
        ),
        Metric::counter(
            "desk_disconnects_too_slow",
            "Clients disconnected because publishers had to wait for them for too long.",
            d.too_slow.value(),
        ),
        Metric::counters(
            "desk_messages_dropped",
            "Messages that were not kept.",
            "reason",
            [
                ("queue_full", d.dropped_queue_full.value()),
                ("old_reply", d.dropped_replies.value()),
                ("no_mailbox", d.dropped_no_mailbox.value()),
                ("too_large", d.dropped_too_large.value()),
                ("backlog", d.dropped_backlog.value()),
                ("expired", d.expired.value()),
                ("purged", d.purged.value()),
            ],
        ),
        gauge(
            "clients",
            "Clients with a session, a connection or mail.",
            d.clients.value(),
        ),
        Metric::counter(
            "sessions_expired",
            "Sessions that ended because nobody came back in time.",
            d.expired_sessions.value(),
        ),
        gauge(
            "sessions_connected",
            "Sessions with a connection.",
            d.connections.value(),
        ),
        gauge(
            "retained_messages",
            "Retained messages.",
            d.retained.value(),
        ),
        gauge(
            "retained_bytes",
            "Bytes of retained messages.",
            d.retained_bytes.value(),
        ),
        gauge("rooms", "Rooms.", d.rooms.value()),
        gauge(
            "rooms_vacated",
            "Rooms that nobody is in, of which only the numbers are remembered.",
            d.vacated_rooms.value(),
        ),
        gauge(
            "agents_with_encoding",
            "Agents of which it is remembered that they speak CBOR, or have announced an encoding.",
            d.encodings.value(),
        ),
        gauge(
            "tasks_unfinished",
            "Tasks that have not ended.",
            d.tasks.value(),
        ),
        gauge(
            "approvals_pending",
            "Approvals that await a decision.",
            d.approvals.value(),
        ),
        gauge(
            "tools",
            "Tools that somebody has registered.",
            d.tools.value(),
        ),
        gauge(
            "tool_calls",
            "Tool calls that are not over.",
            d.tool_calls.value(),
        ),
        Metric::counters(
            "tool_calls_ended",
            "Tool calls that are over, by how they ended.",
            "outcome",
            ToolOutcomes::ALL
                .iter()
                .zip(&d.tool_endings)
                .map(|((_, name), count)| (*name, count.value())),
        ),
        gauge("blackboard_keys", "Blackboard keys.", d.keys.value()),
        gauge(
            "blackboard_locks",
            "Locks that somebody holds.",
            d.locks.value(),
        ),
    ]
}

/// Everything that waits.
pub(super) fn memory(memory: &Memory) -> Vec<Metric> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floating-point in the format"
    )]
    let held = Holder::ALL.map(|(holder, name)| (name, memory.held(holder) as f64));
    vec![
        Metric::gauges(
            "queued_bytes",
            "Bytes that wait, by what holds them; what waits for several is counted for each.",
            "holder",
            held,
        ),
        Metric::counters(
            "memory_refusals",
            "What came of reaching memory.max_queued.",
            "outcome",
            [
                ("refused", memory.refused.value()),
                ("dropped", memory.dropped.value()),
                ("closed", memory.closed.value()),
            ],
        ),
    ]
}

/// The guard.
pub(super) fn auth(stats: &auth::Stats) -> Vec<Metric> {
    vec![
        Metric::counter(
            "auth_logins",
            "Clients that proved who they are.",
            stats.logins.value(),
        ),
        Metric::counters(
            "auth_refusals",
            "What clients were refused.",
            "kind",
            auth::Refused::ALL.map(|kind| (kind.name(), stats.refused(kind))),
        ),
        gauge(
            "auth_password_checks",
            "Password checks that run now.",
            stats.checks_running.value(),
        ),
        gauge(
            "auth_password_checks_waiting",
            "Clients whose password check waits for others.",
            stats.checks_waiting.value(),
        ),
        Metric::counters(
            "auth_reloads",
            "Times that users, rights and keys were read anew.",
            "outcome",
            [
                ("done", stats.reloads.value()),
                ("failed", stats.reloads_failed.value()),
            ],
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

//! Figures of the desk and the engine, and of what waits.

use super::{gauge, histogram};
use crate::desk::{DeskStats, Holder, Memory};
use crate::engine::{Refusals, TaskResults, ToolOutcomes};
use crate::http::Metric;

/// The desk.
pub(in crate::runtime) fn desk(d: &DeskStats) -> Vec<Metric> {
    vec![
        Metric::counter("desk_requests", "Requests handled.", d.requests.value()),
        Metric::counter("desk_batches", "Batches sealed.", d.batches.value()),
        Metric::counter(
            "desk_publishes",
            "Publishes that came to the desk.",
            d.publishes.value(),
        ),
        Metric::counter(
            "desk_direct_commands",
            "Commands of callers within the process.",
            d.direct_commands.value(),
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
        Metric::counters(
            "clock_steps",
            "Times that somebody set the wall clock by a second or more.",
            "direction",
            [
                ("forward", d.clock_steps_forward.value()),
                ("back", d.clock_steps_back.value()),
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
            "Ended tasks and tool calls, their results, decided approvals, their contents, and outcomes forgotten before their time for a limit.",
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
        Metric::histogram(
            "handoff_wait_seconds",
            "From when nothing but a worker was missing (the dispatch, or the end of a delay and of what the task depends on) until the first assignment was on its way.",
            histogram(&d.task_times.waits),
        ),
        Metric::histograms(
            "handoff_result_seconds",
            "From a dispatch until its result, by how the task ended.",
            "outcome",
            TaskResults::STATES
                .iter()
                .zip(&d.task_times.results)
                .map(|(state, times)| (state.as_str(), histogram(times))),
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
        gauge(
            "tool_calls_remembered",
            "Tool calls that are over and remembered.",
            d.ended_calls.value(),
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
pub(in crate::runtime) fn memory(memory: &Memory) -> Vec<Metric> {
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

//! What the desk counts.

use super::budget::Budgets;
use super::journal::JournalStats;
use crate::count::{Count, Latency};
use crate::engine::{Refusals, Spread, Stats, TaskCounts, TaskResults, ToolOutcomes};

/// The desk's counters and gauges.
#[derive(Debug, Default)]
pub struct DeskStats {
    /// Requests handled.
    pub requests: Count,
    /// Batches sealed.
    pub batches: Count,
    /// Publishes that came to the desk.
    pub publishes: Count,
    /// Commands of callers within the process.
    pub direct_commands: Count,
    /// Refused commands and publishes.
    pub refusals: Count,
    /// Deliveries sent to sessions.
    pub deliveries: Count,
    /// Broadcasts sent to the live plane.
    pub broadcasts: Count,
    /// Publishes refused because a session's queue was full.
    pub refused_queue_full: Count,
    /// Publishes refused because the retained store was full.
    pub refused_retained_full: Count,
    /// Filters refused because their client has all the subscriptions that it may have.
    pub refused_subscriptions: Count,
    /// CONNECTs refused because there are too many sessions and mailboxes.
    pub refused_sessions: Count,
    /// Messages of the gateway's own dropped because a session's queue was full.
    pub dropped_queue_full: Count,
    /// Replies dropped because newer ones came and nobody fetched them.
    pub dropped_replies: Count,
    /// Directed messages dropped because there are too many clients to keep another mailbox.
    pub dropped_no_mailbox: Count,
    /// Directed messages that their reader cannot take, not even shortened.
    pub dropped_too_large: Count,
    /// Directed messages that were shortened for their reader.
    pub shortened: Count,
    /// QoS 0 messages to members of shared subscriptions dropped because they do not keep up.
    pub dropped_backlog: Count,
    /// Sessions that ended because nobody came back in time.
    pub expired_sessions: Count,
    /// Commands refused, by code, in the order of [`Refusals::CODES`].
    pub commands_refused: [Count; Refusals::CODES.len()],
    /// Ended tasks, decided approvals and outcomes that were forgotten before their time.
    pub forgotten_early: Count,
    /// Messages that were taken out of a mailbox on somebody's word.
    pub purged: Count,
    /// Messages that expired undelivered.
    pub expired: Count,
    /// Acknowledgements held back because a subscriber is slow.
    pub held_acks: Count,
    /// Clients disconnected because publishers had to wait for them for too long.
    pub too_slow: Count,
    /// Times that somebody set the wall clock forward.
    pub clock_steps_forward: Count,
    /// Times that somebody set it back.
    pub clock_steps_back: Count,
    /// Now: clients with a session, a connection or mail.
    pub clients: Count,
    /// Now: connections.
    pub connections: Count,
    /// Now: retained messages.
    pub retained: Count,
    /// Now: bytes of retained messages.
    pub retained_bytes: Count,
    /// Now: rooms.
    pub rooms: Count,
    /// Now: rooms that nobody is in, of which only the numbers are remembered.
    pub vacated_rooms: Count,
    /// Now: agents whose encoding is remembered.
    pub encodings: Count,
    /// Now: unfinished tasks.
    pub tasks: Count,
    /// How long tasks wait, and take.
    pub task_times: TaskTimes,
    /// Now: approvals that await a decision.
    pub approvals: Count,
    /// Now: tools that somebody has registered.
    pub tools: Count,
    /// Now: tool calls that are not over.
    pub tool_calls: Count,
    /// Now: tool calls that are over and remembered.
    pub ended_calls: Count,
    /// Tool calls that are over, by how, in the order of [`ToolOutcomes::ALL`].
    pub tool_endings: [Count; ToolOutcomes::ALL.len()],
    /// Now: how full the budgets are that everybody shares.
    pub budgets: Budgets,
    /// Now: blackboard keys.
    pub keys: Count,
    /// Now: locks that somebody holds.
    pub locks: Count,
    /// Events that the journal has taken.
    pub journal_events: Count,
    /// Bytes that the journal has taken.
    pub journal_written: Count,
    /// Events that the journal has given up.
    pub journal_trimmed: Count,
    /// Now: bytes in the journal.
    pub journal_bytes: Count,
    /// Now: rooms with events in the journal.
    pub journal_rooms: Count,
}

impl DeskStats {
    /// The gauges of the engine, as they are now.
    pub(super) fn show_engine(&self, engine: &Stats) {
        self.rooms.set_len(engine.rooms);
        self.vacated_rooms.set_len(engine.vacated_rooms);
        self.encodings.set_len(engine.encodings);
        let unfinished = TaskCounts::STATES.iter().filter(|state| !state.is_final());
        self.tasks
            .set_len(unfinished.map(|state| engine.tasks.of(*state)).sum());
        self.task_times.set(engine);
        for (code, refused) in Refusals::CODES.iter().zip(&self.commands_refused) {
            refused.set(engine.refusals.of(*code));
        }
        self.forgotten_early.set(engine.forgotten_early);
        self.approvals.set_len(engine.pending_approvals);
        self.tools.set_len(engine.tools);
        self.tool_calls.set_len(engine.tool_calls);
        self.ended_calls.set_len(engine.ended_calls);
        for ((outcome, _), ended) in ToolOutcomes::ALL.iter().zip(&self.tool_endings) {
            ended.set(engine.tool_endings.of(*outcome));
        }
        self.keys.set_len(engine.keys);
        self.locks.set_len(engine.locks);
    }

    /// Those of the journal.
    pub(super) fn show_journal(&self, journal: JournalStats) {
        self.journal_events.set(journal.events);
        self.journal_written.set(journal.written);
        self.journal_trimmed.set(journal.trimmed);
        self.journal_bytes.set(journal.bytes);
        self.journal_rooms.set_len(journal.rooms);
    }
}

/// How long tasks wait, and take, as the engine counts it.
#[derive(Debug)]
pub struct TaskTimes {
    /// See [`Stats::task_waits`].
    pub waits: Latency,
    /// In the order of [`TaskResults::STATES`].
    pub results: [Latency; TaskResults::STATES.len()],
}

impl Default for TaskTimes {
    fn default() -> TaskTimes {
        TaskTimes {
            waits: Latency::new(&Spread::BOUNDS),
            results: TaskResults::STATES.map(|_| Latency::new(&Spread::BOUNDS)),
        }
    }
}

impl TaskTimes {
    /// As the engine has it now.
    pub(super) fn set(&self, engine: &Stats) {
        let waits = &engine.task_waits;
        self.waits.set(&waits.counts, waits.sum);
        for (shown, (_, now)) in self.results.iter().zip(engine.task_results.all()) {
            shown.set(&now.counts, now.sum);
        }
    }
}

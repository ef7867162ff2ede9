//! Numbers for the metrics: kept up to date as things happen, so that reading them costs nothing.

use std::fmt;
use std::time::Duration;

use crate::metrics::{Out, Per, Values, labels, metrics};
use crate::wire::Millis;
use crate::wire::handoff::TaskState;
use crate::wire::reply::Code;

metrics! {
    /// What the engine holds and what it has done since it was made.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct EngineStats {
        /// Rooms.
        gauge rooms: usize = "rooms",
        /// Rooms that nobody is in, of which only the numbers are remembered.
        gauge vacated_rooms: usize = "rooms_vacated",
        /// Agents of which it is remembered that they speak CBOR, or have announced an encoding.
        gauge encodings: usize = "agents_with_encoding",
        /// Places of agents in rooms: an agent in two rooms counts twice.
        hidden agents: usize,
        /// Tasks that have not ended.
        gauge tasks: TaskCounts = "tasks_unfinished",
        /// From when nothing but a worker was missing (the dispatch, or the end of a delay and of
        /// what the task depends on) until the first assignment was on its way.
        histogram task_waits: Spread = "handoff_wait_seconds",
        /// From a dispatch until its result, by how the task ended.
        histogram task_results: TaskResults = "handoff_result_seconds",
        /// Approvals that await a decision.
        gauge pending_approvals: usize = "approvals_pending",
        /// Tools that somebody has registered.
        gauge tools: usize = "tools",
        /// Tool calls that are not over.
        gauge tool_calls: usize = "tool_calls",
        /// Tool calls that are over and remembered.
        gauge ended_calls: usize = "tool_calls_remembered",
        /// Tool calls that are over, by how they ended.
        counter tool_endings: Per<ToolOutcome, u64> = "tool_calls_ended",
        /// Blackboard keys.
        gauge keys: usize = "blackboard_keys",
        /// Bytes of their values.
        hidden key_bytes: usize,
        /// Locks that somebody holds.
        gauge locks: usize = "blackboard_locks",
        /// Commands handled, refused ones included.
        hidden commands: u64,
        /// Commands refused, by the code of the reply.
        counter refusals: Refusals = "commands_refused",
        /// Effects handed out.
        hidden effects: u64,
        /// Ended tasks and tool calls, their results, decided approvals, their contents, and
        /// outcomes forgotten before their time for a limit.
        counter forgotten_early: u64 = "forgotten_early",
    }
}

/// A number for each task state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskCounts([usize; TaskCounts::STATES.len()]);

impl TaskCounts {
    /// Every state, in the order in which a task passes through them.
    pub const STATES: [TaskState; 9] = [
        TaskState::Waiting,
        TaskState::Queued,
        TaskState::Assigned,
        TaskState::Running,
        TaskState::Asking,
        TaskState::Succeeded,
        TaskState::Dead,
        TaskState::Expired,
        TaskState::Cancelled,
    ];

    /// How many tasks are in this state.
    pub fn of(&self, state: TaskState) -> usize {
        self.0[state as usize]
    }

    pub(super) fn add(&mut self, state: TaskState) {
        self.0[state as usize] += 1;
    }

    pub(super) fn remove(&mut self, state: TaskState) {
        self.0[state as usize] -= 1;
    }
}

impl Values for TaskCounts {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        let unfinished = TaskCounts::STATES.iter().filter(|state| !state.is_final());
        let sum: usize = unfinished.map(|state| self.of(*state)).sum();
        sum.encode(out)
    }
}

/// How long something took, each time that it happened, counted by how long that was. The engine's
/// time has milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    /// How often it took at most as long as each bound and longer than the one before; the last,
    /// longer than all.
    pub counts: [u64; Spread::BOUNDS.len() + 1],
    /// How long in all.
    pub sum: Duration,
}

impl Spread {
    /// From a round trip to a day.
    pub const BOUNDS: [Duration; 17] = [
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_secs(1),
        Duration::from_millis(2500),
        Duration::from_secs(10),
        Duration::from_secs(30),
        Duration::from_secs(60),
        Duration::from_secs(5 * 60),
        Duration::from_secs(30 * 60),
        Duration::from_secs(3 * 3600),
        Duration::from_secs(24 * 3600),
    ];

    /// Something began at one time and was over at another.
    pub(super) fn add(&mut self, began: Millis, over: Millis) {
        let took = Duration::from_millis(over.saturating_sub(began));
        let at = Spread::BOUNDS.partition_point(|bound| *bound < took);
        self.counts[at] += 1;
        self.sum += took;
    }
}

impl Values for Spread {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        let bounds = Spread::BOUNDS.iter().map(Duration::as_secs_f64);
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(self.counts).collect();
        out.buckets(self.sum.as_secs_f64(), &buckets)
    }
}

/// A spread for each way in which a task ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskResults([Spread; TaskResults::STATES.len()]);

impl TaskResults {
    /// Every state in which a task has its result.
    pub const STATES: [TaskState; 4] = [
        TaskState::Succeeded,
        TaskState::Dead,
        TaskState::Expired,
        TaskState::Cancelled,
    ];

    /// Each state with its spread.
    pub fn all(&self) -> impl Iterator<Item = (TaskState, &Spread)> {
        TaskResults::STATES.into_iter().zip(&self.0)
    }

    /// A task that was dispatched at one time has ended so at another; any other state is no end.
    pub(super) fn add(&mut self, how: TaskState, dispatched: Millis, ended: Millis) {
        let places = TaskResults::STATES.iter().zip(&mut self.0);
        for (_, spread) in places.filter(|(state, _)| **state == how) {
            spread.add(dispatched, ended);
        }
    }
}

impl Values for TaskResults {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        self.all()
            .try_for_each(|(state, spread)| out.labelled("outcome", state.as_str(), spread))
    }
}

labels! {
    /// How a tool call ends.
    pub enum ToolOutcome by "outcome" {
        /// Its provider did it.
        Success = "success",
        /// Its provider could not.
        Error = "error",
        /// Nobody answered in time.
        TimedOut = "timed_out",
        /// Its caller did not want it any more.
        Cancelled = "cancelled",
        /// It was not approved.
        NotApproved = "not_approved",
        /// Its provider, or what the tool was, is gone.
        Lost = "lost",
    }
}

/// A number for each code of a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refusals::CODES.len()]);

impl Refusals {
    /// Every code with which a command can be refused.
    pub const CODES: [Code; 9] = [
        Code::Malformed,
        Code::Forbidden,
        Code::NotFound,
        Code::Expired,
        Code::Conflict,
        Code::TooLarge,
        Code::Invalid,
        Code::TooMany,
        Code::Unavailable,
    ];

    /// How many commands were refused with this code; 0 for a code of acceptance.
    pub fn of(&self, code: Code) -> u64 {
        Refusals::place(code).map_or(0, |place| self.0[place])
    }

    pub(super) fn count(&mut self, code: Code) {
        if let Some(place) = Refusals::place(code) {
            self.0[place] += 1;
        }
    }

    fn place(code: Code) -> Option<usize> {
        Refusals::CODES.iter().position(|known| *known == code)
    }
}

impl Values for Refusals {
    fn encode(&self, out: &mut Out<'_>) -> fmt::Result {
        let codes = Refusals::CODES.iter().zip(&self.0);
        codes.into_iter().try_for_each(|(code, count)| {
            out.labelled("code", &u16::from(*code).to_string(), count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_as_long_as_a_bound_is_counted_below_it() {
        assert!(Spread::BOUNDS.windows(2).all(|pair| pair[0] < pair[1]));
        let mut spread = Spread::default();
        spread.add(10, 10);
        spread.add(10, 11);
        spread.add(10, 12);
        spread.add(10, 9);
        spread.add(0, 24 * 3_600_000 + 1);
        assert_eq!(spread.counts[..2], [3, 1]);
        assert_eq!(spread.counts[Spread::BOUNDS.len()], 1);
        assert_eq!(spread.sum, Duration::from_millis(24 * 3_600_000 + 4));
    }

    #[test]
    fn every_state_has_its_own_place() {
        let mut counts = TaskCounts::default();
        for state in TaskCounts::STATES {
            counts.add(state);
        }
        assert!(
            TaskCounts::STATES
                .iter()
                .all(|state| counts.of(*state) == 1)
        );
    }
}

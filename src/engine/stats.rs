//! Numbers for the metrics: kept up to date as things happen, so that reading them costs nothing.

use std::time::Duration;

use crate::wire::Millis;
use crate::wire::handoff::TaskState;
use crate::wire::reply::Code;

/// What the engine holds and what it has done since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rooms that exist.
    pub rooms: usize,
    /// Rooms of which nothing is left but their counters.
    pub vacated_rooms: usize,
    /// Now: agents whose encoding is remembered.
    pub encodings: usize,
    /// Places of agents in rooms: an agent in two rooms counts twice.
    pub agents: usize,
    /// Tasks by state, ended ones as long as they are remembered.
    pub tasks: TaskCounts,
    /// How long tasks waited for their first worker once nothing else was missing, until they were on their way.
    pub task_waits: Spread,
    /// From the dispatch of a task until its result.
    pub task_results: TaskResults,
    /// Blackboard keys, without deleted ones.
    pub keys: usize,
    /// Bytes of their values.
    pub key_bytes: usize,
    /// Locks that somebody holds.
    pub locks: usize,
    /// Approvals that await a decision.
    pub pending_approvals: usize,
    /// Tools that somebody has registered.
    pub tools: usize,
    /// Tool calls that are not over.
    pub tool_calls: usize,
    /// Tool calls that are over, as long as they are remembered.
    pub ended_calls: usize,
    /// Tool calls that are over, all of them.
    pub tool_endings: ToolOutcomes,
    /// Commands handled, refused ones included.
    pub commands: u64,
    /// Refusals, by code.
    pub refusals: Refusals,
    /// Effects handed out.
    pub effects: u64,
    /// Ended tasks and tool calls, their results, decided approvals, their contents, and outcomes that were forgotten before their time because a limit was reached.
    pub forgotten_early: u64,
}

/// A number for each task state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskCounts([usize; TaskCounts::STATES.len()]);

impl TaskCounts {
    /// Every state, in the order in which a task passes through them.
    pub const STATES: [TaskState; 8] = [
        TaskState::Waiting,
        TaskState::Queued,
        TaskState::Assigned,
        TaskState::Running,
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

/// How long something took, each time that it happened, counted by how long that was. The engine's time has milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    /// How often it took at most as long as each bound and longer than the one before; the last, longer than all.
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

/// How a tool call ends, as the metrics tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolOutcome {
    /// Its provider did it.
    Success,
    /// Its provider could not.
    Error,
    /// Nobody answered in time.
    TimedOut,
    /// Its caller did not want it any more.
    Cancelled,
    /// Its provider, or what the tool was, is gone.
    Lost,
}

/// A number for each way in which a tool call ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolOutcomes([u64; ToolOutcomes::ALL.len()]);

impl ToolOutcomes {
    /// Every way, with its name.
    pub const ALL: [(ToolOutcome, &'static str); 5] = [
        (ToolOutcome::Success, "success"),
        (ToolOutcome::Error, "error"),
        (ToolOutcome::TimedOut, "timed_out"),
        (ToolOutcome::Cancelled, "cancelled"),
        (ToolOutcome::Lost, "lost"),
    ];

    /// How many calls ended so.
    pub fn of(&self, outcome: ToolOutcome) -> u64 {
        self.0[outcome as usize]
    }

    pub(super) fn count(&mut self, outcome: ToolOutcome) {
        self.0[outcome as usize] += 1;
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

//! Time: one ordered set of everything that will happen by itself.
//!
//! It knows when and to what; what then happens is decided by whoever armed it. It never reads a
//! clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::blackboard::LockName;
use crate::wire::name::{Agent, ApprovalId, CallId, Key, Room};

use super::ids::TaskNo;

/// Why the engine wants to be woken. At the same time, earlier variants go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A task's time to live is over: it expires, wherever it stands.
    Deadline,
    /// Something that a task depends on has failed: it fails, too.
    Dependency,
    /// An agent's reconnect grace is over: its tasks go back.
    Grace,
    /// A worker was silent for a whole lease: its task goes back.
    Lease,
    /// Nobody answered a worker's question in time: it goes on without.
    Answer,
    /// A task's delay or backoff is over: it queues for a worker.
    Due,
    /// No further task came to a group for too long: it is gathered as it is.
    Group,
    /// An approval was not decided in time: it fails closed, or as its request says.
    Approval,
    /// A tool call was not answered in time: its caller is told so.
    Call,
    /// An agent that lost its connection has not been back soon enough for its tool calls.
    ProviderGrace,
    /// A key's time to live is over: it is deleted.
    KeyExpiry,
    /// A lock's lease is over: it goes to the next who waits, or is free.
    LockLease,
    /// An agent has waited for a lock for as long as it would.
    LockWait,
    /// The oldest ended task, decided approval or remembered outcome of a room may be forgotten.
    Retention,
    /// A room is being closed: more of what is in it ends.
    Closing,
}

/// What a timer is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerSubject {
    Agent(Agent),
    Provider(Room, Agent),
    Room(Room),
    Task(Room, TaskNo),
    Approval(Room, ApprovalId),
    Call(Room, CallId),
    Key(Room, Key),
    Lock(Room, LockName),
    Waiter(Room, LockName, Agent),
}

impl TimerSubject {
    /// The room that it is in, unless it is of no single one.
    pub(super) fn room(&self) -> Option<&Room> {
        match self {
            TimerSubject::Agent(_) => None,
            TimerSubject::Room(room)
            | TimerSubject::Provider(room, _)
            | TimerSubject::Task(room, _)
            | TimerSubject::Approval(room, _)
            | TimerSubject::Call(room, _)
            | TimerSubject::Key(room, _)
            | TimerSubject::Lock(room, _)
            | TimerSubject::Waiter(room, _, _) => Some(room),
        }
    }
}

type Armed = BTreeSet<(Millis, Timer, TimerSubject)>;

/// All timers that are armed. Who arms one remembers the time, because it takes it to disarm it.
#[derive(Debug, Default)]
pub(super) struct Timers {
    armed: Armed,
    /// Those of rooms that stand still: they are due when their rooms go on.
    halted: BTreeMap<Room, Armed>,
}

impl Timers {
    pub(super) fn arm(&mut self, at: Millis, timer: Timer, subject: TimerSubject) {
        self.of(&subject).insert((at, timer, subject));
    }

    pub(super) fn disarm(&mut self, at: Millis, timer: Timer, subject: TimerSubject) {
        self.of(&subject).remove(&(at, timer, subject));
    }

    fn of(&mut self, subject: &TimerSubject) -> &mut Armed {
        let halted = subject.room().and_then(|room| self.halted.get_mut(room));
        halted.unwrap_or(&mut self.armed)
    }

    /// From now on nothing in this room is due. Looks at all that is armed.
    pub(super) fn halt(&mut self, room: &Room) {
        if !self.halted.contains_key(room) {
            let own =
                |(_, _, subject): &(Millis, Timer, TimerSubject)| subject.room() == Some(room);
            let halted = self.armed.extract_if(.., own).collect();
            self.halted.insert(room.clone(), halted);
        }
    }

    /// Whatever would have been due in this room in the meantime is due now. Says whether it stood
    /// still.
    pub(super) fn go_on(&mut self, room: &Room) -> bool {
        let halted = self.halted.remove(room);
        let was_halted = halted.is_some();
        self.armed.extend(halted.into_iter().flatten());
        was_halted
    }

    pub(super) fn next(&self) -> Option<(Millis, Timer)> {
        self.armed.first().map(|(at, timer, _)| (*at, *timer))
    }

    /// Takes the earliest timer if its time has come.
    pub(super) fn pop_due(&mut self, now: Millis) -> Option<(Timer, TimerSubject)> {
        self.armed.first().filter(|(at, ..)| *at <= now)?;
        self.armed
            .pop_first()
            .map(|(_, timer, subject)| (timer, subject))
    }
}

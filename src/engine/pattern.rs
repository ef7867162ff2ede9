//! What a room asks of every pattern alike: to answer commands, to see to what is due, to hear of
//! agents, to forget, to end, to be recorded.
//!
//! Whatever goes over all patterns is a loop over these. A new pattern is one more in the room's
//! list.

use std::collections::BTreeSet;

use crate::wire::Millis;
use crate::wire::name::{Agent, Capability, Room, Tool};

use super::gate::GateMessage;
use super::ids::TaskNo;
use super::mailboxes::Mailboxes;
use super::member::Departure;
use super::record::{Half, RoomCounters};
use super::recorded::Records;
use super::replies::{Call, Outcome};
use super::settings::Settings;
use super::timer::{Timer, TimerSubject};
use super::tx::RoomTx;

/// What became of an agent that has a place in the room.
#[derive(Clone, Copy)]
pub(super) enum AgentChange<'a> {
    /// What it can take may be something else now: as a member says it, unless it may be given
    /// nothing here.
    Able { may_work: bool },
    /// It can be sent so many messages before it has to acknowledge one.
    Window(u32),
    /// It is connected, with the session that it had (`resumed`) or with a new one.
    Connected {
        resumed: bool,
        mailboxes: &'a dyn Mailboxes,
    },
    /// It goes on with the session that it had, and what that was sent.
    Resumed,
    /// Its connection is gone: it keeps what it has until the grace is over.
    Disconnected,
    /// It said DISCONNECT in good order, and its session ends with that.
    SaidGoodbye,
    /// It takes work of this capability.
    Works(&'a Capability),
    /// It takes the runs of this tool.
    Provides(&'a Tool),
    /// The gateway has restarted, and the agent was connected.
    Restarted,
    /// Its room goes on after it stood still.
    WentOn,
    /// The grace is over, and it is connected: what its new session has not taken up is gone.
    /// `owed` are the tasks of that.
    Confirmed { owed: &'a BTreeSet<TaskNo> },
    /// It is about to leave, or has left: it can be given nothing.
    Leaves,
    /// What it had in hand is for others.
    GivesUp(Departure),
    /// It has not come back within the grace, and its session lasts.
    Offline,
    /// It has no place here any more.
    Removed,
}

/// A pattern's part of a room.
pub(super) trait Pattern: Records {
    /// Does what a command of this pattern's asks for.
    fn command(&mut self, tx: &mut RoomTx<'_>, call: &mut Call<'_>) -> Outcome;

    /// A timer of the room's is due; one of another pattern's is none of its business.
    fn timer(&mut self, tx: &mut RoomTx<'_>, timer: Timer, subject: &TimerSubject);

    /// Something became of an agent.
    fn agent_changed(&mut self, tx: &mut RoomTx<'_>, agent: &Agent, change: AgentChange<'_>);

    /// Hears what another pattern has to say of what waits for approval.
    fn gate_told(&mut self, _tx: &mut RoomTx<'_>, _message: &GateMessage) {}

    /// Lets what was freed find its use.
    fn settle(&mut self, _tx: &mut RoomTx<'_>) {}

    /// Shows what looks different from when it was last shown: the batch ends.
    fn flush(&mut self, _tx: &mut RoomTx<'_>) {}

    /// The gateway has restarted.
    fn restarted(&mut self, _tx: &mut RoomTx<'_>) {}

    /// Other settings hold; these did.
    fn reconfigured(&mut self, _tx: &mut RoomTx<'_>, _before: &Settings) {}

    /// When the next of what is over may be forgotten.
    fn next_retention(&self, _settings: &Settings) -> Option<Millis> {
        None
    }

    /// Forgets what that is about.
    fn forget_oldest(&mut self, _tx: &mut RoomTx<'_>) {}

    /// Whether there is something that only a deserted room forgets.
    fn has_remains(&self) -> bool {
        false
    }

    /// Forgets one of those; whether there was one.
    fn forget_remains(&mut self, _tx: &mut RoomTx<'_>) -> bool {
        false
    }

    /// Whether nothing must be remembered, but for remains.
    fn is_empty(&self) -> bool;

    /// The room is being closed from now on.
    fn begin_closing(&mut self) {}

    /// Ends at most so many of what has not ended, in these words, and counts them down. Whether
    /// nothing is left.
    fn end_some(&mut self, tx: &mut RoomTx<'_>, left: &mut usize, words: &'static str) -> bool;

    /// Where its counters stand.
    fn note_head(&self, _head: &mut RoomCounters) {}

    /// Lets them go on from there.
    fn go_on(&mut self, _head: &RoomCounters) {}

    /// All records of the room are back. What is only half there is told.
    fn restored(&self, _room: &Room) -> Result<(), Half> {
        Ok(())
    }
}

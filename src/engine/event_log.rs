//! The past: what the engine may ask the desk about events that are over.
//!
//! The engine remembers none of its events but their number. Whoever drives it may keep them, and
//! shows them here; it keeps nothing back that was told before.

use std::ops::ControlFlow;

use crate::wire::Millis;
use crate::wire::name::Room;

/// How much of a room's past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRange {
    /// The oldest event.
    pub oldest: u64,
    /// The newest.
    pub newest: u64,
    /// Events of this time and earlier are not kept any more; 0 where all are.
    pub lost_at: Millis,
}

/// An event that is over, as it was told.
#[derive(Debug, Clone, Copy)]
pub struct Recalled<'a> {
    /// Its number.
    pub seq: u64,
    /// When it was: a point of the timeline.
    pub at: Millis,
    /// The last level of its topic.
    pub category: &'a str,
    /// JSON.
    pub payload: &'a [u8],
}

/// Sees an event; breaking ends the reading.
pub type Recall<'a> = &'a mut (dyn FnMut(Recalled<'_>) -> ControlFlow<()> + 'a);

/// Why the past cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// So much of it has been read at once that others must get their turn.
    #[error("too much of the past is being read at once: ask again")]
    Busy,
    /// The disk does not answer.
    #[error("the past cannot be read from the disk at present")]
    Unreadable,
}

/// The events of rooms, as far as they are kept.
pub trait Past {
    /// How much of a room's past is kept; `None` if nothing is.
    fn kept(&self, room: &Room) -> Option<EventRange>;

    /// An event from which on to read for those of a time and later: none of them is before it, and
    /// few others after it.
    ///
    /// # Errors
    /// See [`EventLogError`].
    fn near(&self, room: &Room, at: Millis) -> Result<u64, EventLogError>;

    /// Visits the events of a room from a number on, in order, until `visit` breaks.
    ///
    /// # Errors
    /// See [`EventLogError`]; what was visited before stands.
    fn read(&self, room: &Room, from: u64, visit: Recall<'_>) -> Result<(), EventLogError>;
}

/// Nothing is kept.
#[derive(Debug)]
pub struct NoPast;

impl Past for NoPast {
    fn kept(&self, _: &Room) -> Option<EventRange> {
        None
    }

    fn near(&self, _: &Room, _: Millis) -> Result<u64, EventLogError> {
        Ok(0)
    }

    fn read(&self, _: &Room, _: u64, _: Recall<'_>) -> Result<(), EventLogError> {
        Ok(())
    }
}

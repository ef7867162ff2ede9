//! The clock: one timeline that never jumps, and how far the wall clock is from it.
//!
//! Whatever lasts (a lease, a time-out, an expiry) lasts on the timeline, in milliseconds that pass
//! at the same pace whether somebody sets the wall clock or not, also while the machine sleeps. It
//! began as the wall clock's time, and is that as long as nobody sets it. A [`Mark`] on disk says
//! where it was; a start goes on from there by what is known of the time that was down. It decides
//! nothing about what is due.

mod config;
mod source;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::wire::Millis;

pub use config::ClockConfig;
pub use source::{Source, System, wall};

/// Smaller differences between the wall clock and the timeline are no step: clocks are read one
/// after the other, and are disciplined.
pub const LEAST_STEP_MS: u64 = 1_000;

/// Where the two clocks are, as far as that only changes when one is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// How far the wall clock is ahead of the timeline, in milliseconds.
    pub ahead: i64,
    /// Where the timeline was when the machine started.
    pub zero: i64,
    /// Which start of the machine that was, where the system says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// Where the timeline was, for the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The point.
    pub at: Millis,
    /// What the clocks were by then.
    #[serde(flatten)]
    pub reading: Reading,
}

/// How a start learned for how long nothing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// There is no mark: the timeline begins.
    First,
    /// The machine has not been started since: it has counted.
    Counted {
        /// Milliseconds.
        down: u64,
    },
    /// By the wall clock, which says something plausible.
    ByWallClock {
        /// Milliseconds.
        down: u64,
    },
    /// The wall clock says what cannot be believed without other evidence.
    Implausible {
        /// What it says, in milliseconds; negative if it is earlier than it was.
        says: i64,
        /// What counts, in milliseconds.
        down: u64,
    },
}

/// The clocks of a run.
pub struct Clock<S = System> {
    source: S,
    zero: i64,
    boot: Option<String>,
}

impl Default for Clock {
    /// One that begins now.
    fn default() -> Clock {
        Clock::start(System::new(), None, 0, 0).0
    }
}

impl<S: Source> Clock<S> {
    /// Goes on from a mark, or begins where there is none: at the wall clock's time, but not before
    /// `least`, which is the latest time that is known of. A time that was down counts as
    /// `max_step_ms` at most where only the wall clock speaks for it, and never as less than
    /// nothing.
    pub fn start(source: S, last: Option<&Mark>, least: Millis, max_step_ms: u64) -> (Self, Gap) {
        let (running, wall) = (source.running(), source.wall());
        let boot = source.boot();
        let (now, gap) = match last {
            None => (wall, Gap::First),
            Some(mark) => {
                let gap = gap(mark, running, wall, boot.as_deref(), max_step_ms);
                (mark.at.saturating_add(gap.down()), gap)
            }
        };
        let zero = difference(now.max(least), running);
        (Clock { source, zero, boot }, gap)
    }

    /// The timeline's point.
    pub fn now(&self) -> Millis {
        self.source.running().saturating_add_signed(self.zero)
    }

    /// Where the clocks are now.
    pub fn reading(&self) -> Reading {
        Reading {
            ahead: self.ahead(),
            zero: self.zero,
            boot: self.boot.clone(),
        }
    }

    /// How far the wall clock is ahead of the timeline, in milliseconds.
    pub fn ahead(&self) -> i64 {
        difference(self.source.wall(), self.now())
    }
}

impl<S> std::fmt::Debug for Clock<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("zero", &self.zero).finish()
    }
}

impl Gap {
    /// What counts, in milliseconds.
    pub fn down(self) -> u64 {
        match self {
            Gap::First => 0,
            Gap::Counted { down } | Gap::ByWallClock { down } | Gap::Implausible { down, .. } => {
                down
            }
        }
    }
}

fn gap(mark: &Mark, running: u64, wall: Millis, boot: Option<&str>, max_step_ms: u64) -> Gap {
    let is_same_start = boot.is_some() && boot == mark.reading.boot.as_deref();
    // A machine that was put back to an earlier state has counted less than before: that is no
    // evidence.
    let counted = running.saturating_add_signed(mark.reading.zero);
    if is_same_start && counted >= mark.at {
        return Gap::Counted {
            down: counted - mark.at,
        };
    }
    let says = difference(wall, mark.at.saturating_add_signed(mark.reading.ahead));
    match u64::try_from(says) {
        Ok(down) if down <= max_step_ms => Gap::ByWallClock { down },
        Ok(_) => Gap::Implausible {
            says,
            down: max_step_ms,
        },
        Err(_) if says.unsigned_abs() < LEAST_STEP_MS => Gap::ByWallClock { down: 0 },
        Err(_) => Gap::Implausible { says, down: 0 },
    }
}

fn difference(one: Millis, other: Millis) -> i64 {
    let difference = i128::from(one) - i128::from(other);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

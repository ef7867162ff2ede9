//! The machine that the gateway runs on: it counts how long it has run, and has a wall clock that
//! somebody sets.

use hallward::clock::{Clock, Gap, Mark, Source};
use hallward::wire::Millis;

use super::super::dice::Dice;

/// Longer than any run: what the wall clock says of the time that was down is believed.
const MAX_STEP_MS: u64 = 86_400_000;
/// Where somebody puts the wall clock, in so many cases of a hundred.
const AHEAD_MS: [(u64, i64); 5] = [
    (30, 0),
    (25, 300_000),
    (20, -120_000),
    (15, 86_400_000 * 365 * 20),
    (10, -86_400_000 * 365 * 50),
];

#[derive(Debug, Clone, Copy)]
pub(super) struct Machine {
    /// What nobody in the gateway can know: the world's time.
    pub(super) now: Millis,
    /// How far its wall clock is ahead of that, in milliseconds.
    pub(super) ahead: i64,
    started_at: Millis,
    starts: u32,
}

impl Machine {
    pub(super) fn new(now: Millis) -> Machine {
        Machine {
            now,
            ahead: 0,
            started_at: now - 1_000,
            starts: 1,
        }
    }

    /// Somebody sets its wall clock; not before the gateway has noted when this start of the
    /// machine was.
    pub(super) fn set_clock(&mut self, dice: &mut Dice, last: Option<&Mark>) {
        if last.is_some_and(|mark| mark.reading.boot == self.boot()) {
            self.ahead = dice.weighted(&AHEAD_MS);
        }
    }

    /// As it would be by now if nobody had set its wall clock since.
    pub(super) fn untouched_since(self, last: Option<&Mark>, now: Millis) -> Machine {
        let ahead = last.map_or(0, |mark| mark.reading.ahead);
        Machine { now, ahead, ..self }
    }

    /// Power comes back; `running` begins anew. Only where the wall clock was not set since the
    /// gateway looked at it: else nobody could say how long it was.
    pub(super) fn starts_anew(&mut self, last: Option<&Mark>) {
        if last.is_some_and(|mark| mark.reading.ahead == self.ahead) {
            self.started_at = self.now;
            self.starts += 1;
        }
    }

    /// The gateway's clock on this machine, which shows the world's time whatever happened to the
    /// machine.
    pub(super) fn clock(
        self,
        last: Option<&Mark>,
        least: Millis,
    ) -> Result<Clock<Machine>, String> {
        let (clock, gap) = Clock::start(self, last, least, MAX_STEP_MS);
        let is_known = !matches!(gap, Gap::Implausible { .. });
        if is_known && clock.now() == self.now {
            return Ok(clock);
        }
        let shown = clock.now();
        Err(format!(
            "at {} the clock starts at {shown}: {gap:?} after {last:?} on {self:?}",
            self.now
        ))
    }
}

/// A time that was shown, of about now, in the world's time. The clock may have been set since it
/// was shown; the places where it is put are far enough from one another.
pub(super) fn unset(shown: Millis, now: Millis) -> Millis {
    let places = AHEAD_MS.iter();
    let candidates = places.map(|(_, ahead)| shown.saturating_add_signed(-ahead));
    candidates
        .min_by_key(|at| at.abs_diff(now))
        .unwrap_or(shown)
}

impl Source for Machine {
    fn wall(&self) -> Millis {
        self.now.saturating_add_signed(self.ahead)
    }

    fn running(&self) -> u64 {
        self.now - self.started_at
    }

    fn boot(&self) -> Option<String> {
        Some(self.starts.to_string())
    }
}

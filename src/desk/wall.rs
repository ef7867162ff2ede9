//! The wall clock: where it is, for the engine to show, and that somebody has set it.

use tracing::warn;

use super::core::Desk;
use crate::clock::{LEAST_STEP_MS, Reading};
use crate::engine::Input;
use crate::wire::Millis;

/// What is shown follows the wall clock in steps of this size: the clocks are not read at the same moment.
const JITTER_MS: u64 = 50;

impl Desk {
    /// From now on the desk knows where the wall clock is, and says so in each commit. Before [`Desk::recover`].
    pub fn keep_time(&mut self, reading: Reading) {
        self.engine.set_wall(reading.ahead);
        self.time.reading = Some(reading);
    }

    /// The wall clock is so far ahead of the timeline now, in milliseconds.
    pub fn look_at_wall(&mut self, now: Millis, ahead: i64) {
        let Some(reading) = &mut self.time.reading else {
            return;
        };
        let by = ahead.saturating_sub(reading.ahead);
        if by.unsigned_abs() < JITTER_MS {
            return;
        }
        reading.ahead = ahead;
        if by.unsigned_abs() < LEAST_STEP_MS {
            self.engine.set_wall(ahead);
        } else {
            self.tell_step(now, by, ahead);
        }
    }

    /// The wall clock has been set by so much since the last run, without a reason that anybody knows.
    pub fn step_found(&mut self, now: Millis, by: i64) {
        if let Some(reading) = &self.time.reading
            && by.unsigned_abs() >= LEAST_STEP_MS
        {
            self.tell_step(now, by, reading.ahead);
        }
    }

    fn tell_step(&mut self, now: Millis, by: i64, ahead: i64) {
        let (direction, count) = match by {
            ..0 => ("back", &self.stats.clock_steps_back),
            _ => ("forward", &self.stats.clock_steps_forward),
        };
        count.add_one();
        warn!(
            by_ms = by,
            "the wall clock was set {direction} by {}.{:03} s: what is shown follows it, what lasts does not",
            by.unsigned_abs() / 1_000,
            by.unsigned_abs() % 1_000
        );
        self.feed(now, Input::ClockStepped { by, ahead });
    }

    /// The latest point of the timeline that is known of.
    pub fn latest(&self) -> Millis {
        self.engine.latest()
    }

    /// Writes down where the timeline is, where nothing else may follow.
    pub fn leave_mark(&mut self, now: Millis) {
        if self.time.reading.is_some() {
            self.time.mark(now, &mut self.pending.records);
            self.note_lazy_change(now);
        }
    }
}

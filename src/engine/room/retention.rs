//! Forgetting: what is over goes when it has been remembered for long enough.

use crate::wire::Millis;

use crate::engine::context::Context;
use crate::engine::core::Change;
use crate::engine::timer::{Subject, Timer};

use super::RoomState;

/// How much one retention timer forgets, so that no single input takes long; the rest follows at once.
const FORGOTTEN_AT_ONCE: usize = 100;

impl RoomState {
    /// Sees to it that the oldest thing that the room remembers is forgotten in time.
    pub(in crate::engine) fn arm_retention(&mut self, cx: &mut Context) {
        let Some(at) = self.next_retention(cx) else {
            return;
        };
        // What ended later may be kept for a shorter time.
        if self.retention_at.is_some_and(|armed| armed <= at) {
            return;
        }
        self.disarm_retention(cx);
        let subject = Subject::Room(self.core.name.clone());
        cx.timers.arm(at, Timer::Retention, subject);
        self.retention_at = Some(at);
    }

    fn next_retention(&self, cx: &Context) -> Option<Millis> {
        let settings = &cx.settings;
        let patterns = self.patterns.all();
        let kept = patterns
            .iter()
            .filter_map(|pattern| pattern.next_retention(settings));
        let outcome = self.core.outcomes.oldest();
        let outcome = outcome.map(|at| at.saturating_add(settings.idempotency_ms));
        let departed = self.core.departures.oldest();
        let departed = departed.map(|at| at.saturating_add(settings.departed_retention_ms));
        let remains = self.has_remains() && self.is_deserted();
        let remains = remains.then(|| self.core.log.at.saturating_add(settings.idempotency_ms));
        kept.chain(outcome).chain(departed).chain(remains).min()
    }

    /// Forgets what has been remembered for long enough.
    pub(super) fn retention_over(&mut self, cx: &mut Context) {
        self.retention_at = None;
        for _ in 0..FORGOTTEN_AT_ONCE {
            if !self.forget_one(cx) {
                break;
            }
        }
        self.arm_retention(cx);
    }

    fn forget_one(&mut self, cx: &mut Context) -> bool {
        let is_forgotten = self.any(cx, |pattern, tx| {
            let at = pattern.next_retention(&tx.cx.settings);
            let is_due = at.is_some_and(|at| at <= tx.cx.now);
            if is_due {
                pattern.forget_oldest(tx);
            }
            is_due
        });
        if is_forgotten {
            return true;
        }
        let now = cx.now;
        let is_over = |at: Millis, ms: u64| at.saturating_add(ms) <= now;
        let idempotency = cx.settings.idempotency_ms;
        let outcome = self.core.outcomes.oldest();
        if outcome.is_some_and(|at| is_over(at, idempotency)) {
            if let Some(key) = self.core.outcomes.forget_oldest() {
                self.tx(cx).change(Change::Outcome(key));
            }
            return true;
        }
        let departed = self.core.departures.oldest();
        if departed.is_some_and(|at| is_over(at, cx.settings.departed_retention_ms)) {
            self.tx(cx).forget_oldest_departed();
            return true;
        }
        if !is_over(self.core.log.at, idempotency) || !self.is_deserted() {
            return false;
        }
        self.any(cx, |pattern, tx| pattern.forget_remains(tx))
    }

    /// Nothing is to be forgotten for now: the room is about to go, or something else is due sooner.
    pub(in crate::engine) fn disarm_retention(&mut self, cx: &mut Context) {
        if let Some(at) = self.retention_at.take() {
            let subject = Subject::Room(self.core.name.clone());
            cx.timers.disarm(at, Timer::Retention, subject);
        }
    }
}

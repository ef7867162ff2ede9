//! Forgetting: what is over goes when it has been remembered for long enough.

use crate::wire::Millis;

use crate::engine::context::Context;
use crate::engine::core::RoomChange;
use crate::engine::timer::{Timer, TimerSubject};

use super::RoomState;
use super::member_list::forget_oldest_departed;

/// How much one retention timer forgets, so that no single input takes long; the rest follows at
/// once.
const FORGOTTEN_AT_ONCE: usize = 100;

/// Sees to it that the oldest thing that the room remembers is forgotten in time.
pub(in crate::engine) fn arm(room: &mut RoomState, cx: &mut Context) {
    let Some(at) = next(room, cx) else {
        return;
    };
    // What ended later may be kept for a shorter time.
    if room.retention_at.is_some_and(|armed| armed <= at) {
        return;
    }
    disarm(room, cx);
    let subject = TimerSubject::Room(room.core.name.clone());
    cx.timers.arm(at, Timer::Retention, subject);
    room.retention_at = Some(at);
}

fn next(room: &RoomState, cx: &Context) -> Option<Millis> {
    let settings = &cx.settings;
    let patterns = room.patterns.all();
    let kept = patterns
        .iter()
        .filter_map(|pattern| pattern.next_retention(settings));
    let outcome = room.core.outcomes.oldest();
    let outcome = outcome.map(|at| at.saturating_add(settings.commands.idempotency.ms()));
    let departed = room.core.departures.oldest();
    let departed = departed.map(|at| at.saturating_add(settings.rooms.departed_retention.ms()));
    let remains = room.has_remains() && room.is_deserted();
    let remains = remains.then(|| {
        room.core
            .log
            .at
            .saturating_add(settings.commands.idempotency.ms())
    });
    kept.chain(outcome).chain(departed).chain(remains).min()
}

/// Forgets what has been remembered for long enough.
pub(super) fn over(room: &mut RoomState, cx: &mut Context) {
    room.retention_at = None;
    for _ in 0..FORGOTTEN_AT_ONCE {
        if !forget_one(room, cx) {
            break;
        }
    }
    arm(room, cx);
}

fn forget_one(room: &mut RoomState, cx: &mut Context) -> bool {
    let is_forgotten = room.any(cx, |pattern, tx| {
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
    let idempotency = cx.settings.commands.idempotency.ms();
    let outcome = room.core.outcomes.oldest();
    if outcome.is_some_and(|at| is_over(at, idempotency)) {
        if let Some(key) = room.core.outcomes.forget_oldest() {
            room.tx(cx).change(RoomChange::Outcome(key));
        }
        return true;
    }
    let departed = room.core.departures.oldest();
    if departed.is_some_and(|at| is_over(at, cx.settings.rooms.departed_retention.ms())) {
        forget_oldest_departed(&mut room.tx(cx));
        return true;
    }
    if !is_over(room.core.log.at, idempotency) || !room.is_deserted() {
        return false;
    }
    room.any(cx, |pattern, tx| pattern.forget_remains(tx))
}

/// Nothing is to be forgotten for now: the room is about to go, or something else is due sooner.
pub(in crate::engine) fn disarm(room: &mut RoomState, cx: &mut Context) {
    if let Some(at) = room.retention_at.take() {
        let subject = TimerSubject::Room(room.core.name.clone());
        cx.timers.disarm(at, Timer::Retention, subject);
    }
}

//! Closing a room: everything in it ends with words, and until it is opened again nothing begins.
//!
//! What is in a room may be much, so it ends a portion at a time: tasks and calls of tools are
//! cancelled, approvals refused, locks freed, keys deleted, agents taken out, each as if somebody
//! had said so, with the results, decisions and events that go with it. A room that is being closed
//! takes no command but questions and the one that opens it.

use crate::wire::name::Agent;
use crate::wire::reply::{Code, Rejection};
use crate::wire::room::CloseRoom;
use crate::wire::topic::{Topic, TopicMark};

use crate::engine::context::Context;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::machine::{Machine, Transition};
use crate::engine::member::Departure;
use crate::engine::replies::{Accepted, Call, Outcome, text_at_most};
use crate::engine::timer::{Timer, TimerSubject};

use super::RoomState;

/// What one input ends at most, so that none takes long.
const ENDED_AT_ONCE: usize = 100;
const WORDS: &str = "the room was closed";

/// A room that is in use.
pub(in crate::engine) const ROOM: Machine = Machine {
    name: "room",
    transitions: &[
        Transition::moves("open", "an operator closes it", "closed", "room.closed"),
        Transition::moves("closed", "an operator opens it", "open", "room.opened"),
    ],
};

impl RoomState {
    /// Refuses what a closed room does not take: all but questions, and what is asked of operators.
    pub(in crate::engine) fn expect_open(&self, topic: &Topic) -> Result<(), Rejection> {
        let still_taken = topic.row().has(TopicMark::WhenClosed);
        if still_taken { Ok(()) } else { self.is_open() }
    }

    pub(in crate::engine) fn is_open(&self) -> Result<(), Rejection> {
        match self.closed {
            None => Ok(()),
            Some(since) => {
                let reason = format!("the room {} was closed at {since}", self.core.name);
                Err(Rejection::new(Code::Unavailable, reason))
            }
        }
    }

    pub(in crate::engine) fn close(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        let close: CloseRoom = call.read_or_default(&cx.settings)?;
        let limit = cx.settings.commands.max_reason.0;
        text_at_most("reason", close.reason.as_deref(), limit)?;
        self.once(cx, call, |room, cx| {
            if room.closed.is_none() {
                room.closed = Some(cx.now);
                for pattern in room.patterns.all_mut() {
                    pattern.begin_closing();
                }
                let name = room.core.name.clone();
                let happened = RoomEvent {
                    from: Some("open"),
                    to: Some("closed"),
                    detail: Detail {
                        reason: close.reason.as_deref(),
                        ..Detail::default()
                    },
                    ..RoomEvent::new("room.closed", name.as_str(), call.from())
                };
                room.tx(cx).record_event(&happened);
                room.sweep(cx);
            }
            Ok(Accepted::new(Code::Done))
        })
    }

    /// Runs a command on the whole room, or returns what its first run came to where it carries an
    /// id that is known.
    fn once(
        &mut self,
        cx: &mut Context,
        call: &Call<'_>,
        act: impl FnOnce(&mut RoomState, &mut Context) -> Outcome,
    ) -> Outcome {
        if let Some(first) = self.tx(cx).first_outcome(call)? {
            return Ok(first);
        }
        let accepted = act(self, cx)?;
        self.tx(cx).remember_call(call, &accepted);
        Ok(accepted)
    }

    pub(in crate::engine) fn open(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        let _: CloseRoom = call.read_or_default(&cx.settings)?;
        self.once(cx, call, |room, cx| {
            if room.closed.is_some() && room.is_sweeping {
                let reason = "the room is still being closed: ask again";
                return Err(Rejection::new(Code::Conflict, reason));
            }
            if room.closed.take().is_some() {
                let name = room.core.name.clone();
                let happened = RoomEvent {
                    from: Some("closed"),
                    to: Some("open"),
                    ..RoomEvent::new("room.opened", name.as_str(), call.from())
                };
                room.tx(cx).record_event(&happened);
            }
            Ok(Accepted::new(Code::Done))
        })
    }

    /// Ends a portion of what is in a room that is closed; the rest follows at once.
    pub(in crate::engine) fn sweep(&mut self, cx: &mut Context) {
        if self.closed.is_none() {
            return;
        }
        self.is_sweeping = !self.end_some(cx);
        if self.is_sweeping {
            let subject = TimerSubject::Room(self.core.name.clone());
            cx.timers.arm(cx.after(1), Timer::Closing, subject);
        }
    }

    /// Whether nothing is left to be ended.
    fn end_some(&mut self, cx: &mut Context) -> bool {
        let mut left = ENDED_AT_ONCE;
        if !self.end_some_of_patterns(cx, &mut left) {
            return false;
        }
        left -= self.take_out(cx, left);
        left > 0
    }

    fn end_some_of_patterns(&mut self, cx: &mut Context, left: &mut usize) -> bool {
        !self.any(cx, |pattern, tx| !pattern.end_some(tx, left, WORDS))
    }

    /// Takes at most so many agents out; how many there were.
    fn take_out(&mut self, cx: &mut Context, most: usize) -> usize {
        let here = self.core.members.0.iter();
        let here = here.filter(|(_, member)| !member.left);
        let some: Vec<Agent> = here.take(most).map(|(agent, _)| agent.clone()).collect();
        for agent in &some {
            self.depart(cx, agent, Departure::Left);
        }
        some.len()
    }
}

//! Closing a room: everything in it ends with words, and until it is opened again nothing begins.
//!
//! What is in a room may be much, so it ends a portion at a time: tasks and calls of tools are cancelled, approvals refused, locks
//! freed, keys deleted, agents taken out, each as if somebody had said so, with the results, decisions and events that go with it. A room that is being closed takes no
//! command but questions and the one that opens it.

use crate::wire::name::Agent;
use crate::wire::reply::{Code, Rejection};
use crate::wire::room::CloseRoom;
use crate::wire::topic::Topic;

use super::context::Context;
use super::event::{Detail, Happened};
use super::handoff::TaskNo;
use super::machine::{Machine, Transition};
use super::member::Departure;
use super::replies::{Accepted, Call, Outcome, text_at_most};
use super::room::RoomState;
use super::timer::{Subject, Timer};

/// What one input ends at most, so that none takes long.
const ENDED_AT_ONCE: usize = 100;
/// Ended tasks that one input may pass by on its way to those that have not.
const PASSED_AT_ONCE: usize = 10_000;
const WORDS: &str = "the room was closed";

/// A room that is in use.
pub(super) const ROOM: Machine = Machine {
    name: "room",
    transitions: &[
        Transition::moves("open", "an operator closes it", "closed", "room.closed"),
        Transition::moves("closed", "an operator opens it", "open", "room.opened"),
    ],
};

impl RoomState {
    /// Refuses what a closed room does not take: all but questions, and what is asked of operators.
    pub(super) fn expect_open(&self, topic: &Topic) -> Result<(), Rejection> {
        let still_taken = matches!(
            topic,
            Topic::RoomClose { .. }
                | Topic::RoomOpen { .. }
                | Topic::PresenceList { .. }
                | Topic::MailboxList { .. }
                | Topic::MailboxPurge { .. }
                | Topic::ObserveReplay { .. }
                | Topic::HandoffGet { .. }
                | Topic::HandoffList { .. }
                | Topic::BlackboardGet { .. }
                | Topic::BlackboardList { .. }
                | Topic::BlackboardHistory { .. }
                | Topic::ApproveAudit { .. }
                | Topic::ToolsGet { .. }
        );
        if still_taken { Ok(()) } else { self.is_open() }
    }

    pub(super) fn is_open(&self) -> Result<(), Rejection> {
        match self.closed {
            None => Ok(()),
            Some(since) => {
                let reason = format!("the room {} was closed at {since}", self.name);
                Err(Rejection::new(Code::Unavailable, reason))
            }
        }
    }

    pub(super) fn close(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        let close: CloseRoom = call.read_or_default(&cx.settings)?;
        let limit = cx.settings.max_reason_bytes;
        text_at_most("reason", close.reason.as_deref(), limit)?;
        self.once(cx, call, |room, cx| {
            if room.closed.is_none() {
                room.closed = Some(cx.now);
                room.swept = TaskNo(0);
                let name = room.name.clone();
                let happened = Happened {
                    from: Some("open"),
                    to: Some("closed"),
                    detail: Detail {
                        reason: close.reason.as_deref(),
                        ..Detail::default()
                    },
                    ..Happened::new("room.closed", name.as_str(), call.from())
                };
                room.log.tell(cx, &happened);
                room.sweep(cx);
            }
            Ok(Accepted::new(Code::Done))
        })
    }

    pub(super) fn open(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        let _: CloseRoom = call.read_or_default(&cx.settings)?;
        self.once(cx, call, |room, cx| {
            if room.closed.is_some() && room.is_sweeping {
                let reason = "the room is still being closed: ask again";
                return Err(Rejection::new(Code::Conflict, reason));
            }
            if room.closed.take().is_some() {
                let name = room.name.clone();
                let happened = Happened {
                    from: Some("closed"),
                    to: Some("open"),
                    ..Happened::new("room.opened", name.as_str(), call.from())
                };
                room.log.tell(cx, &happened);
            }
            Ok(Accepted::new(Code::Done))
        })
    }

    /// Ends a portion of what is in a room that is closed; the rest follows at once.
    pub(super) fn sweep(&mut self, cx: &mut Context) {
        if self.closed.is_none() {
            return;
        }
        self.is_sweeping = !self.end_some(cx);
        if self.is_sweeping {
            let subject = Subject::Room(self.name.clone());
            cx.timers.arm(cx.after(1), Timer::Closing, subject);
        }
    }

    /// Whether nothing is left to be ended.
    fn end_some(&mut self, cx: &mut Context) -> bool {
        let mut left = ENDED_AT_ONCE;
        if !self.end_tasks(cx, &mut left) {
            return false;
        }
        while left > 0
            && (self.gather_first_group(cx)
                || self.refuse_oldest_approval(cx, WORDS)
                || self.cancel_first_call(cx, WORDS)
                || self.end_first_lock(cx, WORDS)
                || self.delete_first_key(cx))
        {
            left -= 1;
        }
        left -= self.take_out(cx, left);
        left > 0
    }

    fn end_tasks(&mut self, cx: &mut Context, left: &mut usize) -> bool {
        let mut passed = 0;
        loop {
            let next = self.handoff.tasks.range(self.swept..).next();
            let Some((no, task)) = next else {
                return true;
            };
            let (no, is_over) = (*no, task.status.state().is_final());
            if *left == 0 || passed == PASSED_AT_ONCE {
                return false;
            }
            self.swept = TaskNo(no.0 + 1);
            if is_over {
                passed += 1;
            } else {
                self.cancel_for(cx, no, WORDS);
                *left -= 1;
            }
        }
    }

    /// Takes at most so many agents out; how many there were.
    fn take_out(&mut self, cx: &mut Context, most: usize) -> usize {
        let here = self.members.0.iter().filter(|(_, member)| !member.left);
        let some: Vec<Agent> = here.take(most).map(|(agent, _)| agent.clone()).collect();
        for agent in &some {
            self.depart(cx, agent, Departure::Left);
        }
        some.len()
    }
}

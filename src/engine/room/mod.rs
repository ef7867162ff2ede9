//! A room: everything that its agents share, and the door through which their commands come in.
//!
//! It holds the patterns' state side by side and lends each what it needs of the room. It never
//! looks at other rooms.
//!
//! Tags of records, and whose they are (`record` says what a tag is):
//!
//! | tag | what | rest of the key | whose |
//! |---|---|---|---|
//! | 1 | `RoomCounters` of the room, before everything else of it | nothing | the room's |
//! | 2 | an agent's place | the agent | the room's |
//! | 3 | task body, written once | the task's number, 8 bytes, big end first | handoff |
//! | 4 | task status, at every transition | the same | handoff |
//! | 5 | a key as earlier versions wrote it; no longer written | the key | blackboard |
//! | 6 | approval | its id | approve |
//! | 7 | outcome of a command with an id | agent, command, id, with zero bytes between | the room's |
//! | 8 | version of a key, written once; the last one is what stands | the key, a zero byte, the room's revision, 8 bytes, big end first | blackboard |
//! | 9 | lock that somebody holds, with those who wait | its name | blackboard |
//! | 10 | a task's last progress, as text | the task's number, 8 bytes, big end first | handoff |
//! | 11 | what was asked of a task, and answered | the same | handoff |
//! | 20 | tool | its name | tools |
//! | 21 | tool call that is not over, after the tools | its id | tools |
//! | 22 | tool call that is over | its id | tools |
//! | 32 | somebody who left | the agent | the room's |

mod closing;
mod inbox;
mod mailbox;
mod member_list;
mod observe;
mod presence;
pub(super) mod retention;

use crate::wire::Millis;
use crate::wire::name::{Agent, Room};
use crate::wire::reply::Code;
use crate::wire::topic::Topic;

use super::approve::Approvals;
use super::blackboard::Blackboard;
use super::context::Context;
use super::core::RoomCore;
use super::handoff::Handoff;
use super::pattern::{AgentChange, Pattern};
use super::record::{HEAD, Half, Put, RecordProblem, RoomCounters, decode};
use super::replies::{Accepted, Call, Outcome, no_command};
use super::settings::Settings;
use super::timer::{Timer, TimerSubject};
use super::tools::Tools;
use super::tx::RoomTx;

use inbox::inbox;
use mailbox::{list_mail, purge_mail};
use member_list::list_presence;
use observe::{replay, told};

pub(super) use closing::ROOM;

#[derive(Debug)]
pub(super) struct RoomState {
    pub(super) core: RoomCore,
    pub(super) patterns: Patterns,
    retention_at: Option<Millis>,
    /// Since when nothing begins in it, if so.
    closed: Option<Millis>,
    /// Whether not all has ended yet that was in it when it was closed.
    is_sweeping: bool,
}

/// Every pattern's part of a room.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    pub(super) handoff: Handoff,
    pub(super) approvals: Approvals,
    pub(super) tools: Tools,
    pub(super) blackboard: Blackboard,
}

impl Patterns {
    /// All of them, in the order in which they hear of things, and in which what is in them ends
    /// when a room is closed: what waits for an approval before the approval.
    fn all(&self) -> [&dyn Pattern; 4] {
        [
            &self.handoff,
            &self.tools,
            &self.approvals,
            &self.blackboard,
        ]
    }

    /// The one that a topic's first word names.
    fn named(&mut self, name: &str) -> Option<&mut dyn Pattern> {
        Some(match name {
            "handoff" => &mut self.handoff,
            "approve" => &mut self.approvals,
            "tools" => &mut self.tools,
            "blackboard" => &mut self.blackboard,
            _ => return None,
        })
    }

    fn all_mut(&mut self) -> [&mut dyn Pattern; 4] {
        [
            &mut self.handoff,
            &mut self.tools,
            &mut self.approvals,
            &mut self.blackboard,
        ]
    }
}

impl RoomState {
    pub(super) fn new(name: Room) -> RoomState {
        RoomState {
            core: RoomCore::new(name),
            patterns: Patterns::default(),
            retention_at: None,
            closed: None,
            is_sweeping: false,
        }
    }

    /// The room without its patterns, as one of them is lent it.
    pub(super) fn lend<'a>(&'a mut self, cx: &'a mut Context) -> (RoomTx<'a>, &'a mut Patterns) {
        let room = &mut self.core;
        (RoomTx { cx, room }, &mut self.patterns)
    }

    /// The same, where no pattern is concerned.
    fn tx<'a>(&'a mut self, cx: &'a mut Context) -> RoomTx<'a> {
        self.lend(cx).0
    }

    /// Does something with every pattern.
    fn each(&mut self, cx: &mut Context, mut act: impl FnMut(&mut dyn Pattern, &mut RoomTx<'_>)) {
        let (mut tx, patterns) = self.lend(cx);
        for pattern in patterns.all_mut() {
            act(pattern, &mut tx);
        }
    }

    /// Whether a pattern does something; those after it are not asked.
    fn any(
        &mut self,
        cx: &mut Context,
        mut act: impl FnMut(&mut dyn Pattern, &mut RoomTx<'_>) -> bool,
    ) -> bool {
        let (mut tx, patterns) = self.lend(cx);
        let mut patterns = patterns.all_mut().into_iter();
        patterns.any(|pattern| act(pattern, &mut tx))
    }

    /// Where its counters stand.
    pub(super) fn head(&self) -> RoomCounters {
        let mut head = RoomCounters {
            seq: self.core.log.seq,
            at: self.core.log.at,
            closed: self.closed,
            ..RoomCounters::default()
        };
        for pattern in self.patterns.all() {
            pattern.note_head(&mut head);
        }
        head
    }

    /// Lets its counters go on from where they stood.
    pub(super) fn go_on(&mut self, from: &RoomCounters) {
        self.core.log.seq = from.seq;
        self.core.log.at = from.at;
        self.closed = from.closed;
        for pattern in self.patterns.all_mut() {
            pattern.go_on(from);
        }
    }

    /// Whether nobody is in it and nothing of it must be remembered but what a deserted room
    /// forgets last.
    fn is_deserted(&self) -> bool {
        self.core.members.0.is_empty()
            && self.core.outcomes.len() == 0
            && self.patterns.all().iter().all(|pattern| pattern.is_empty())
    }

    fn has_remains(&self) -> bool {
        self.patterns
            .all()
            .iter()
            .any(|pattern| pattern.has_remains())
    }

    /// Whether its counters are all that is left of it.
    pub(super) fn is_vacant(&self) -> bool {
        self.is_deserted() && !self.has_remains() && self.closed.is_none()
    }

    /// Hands a command to its pattern.
    pub(super) fn command(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        self.tx(cx).expect_member(call.from())?;
        let topic = &call.command.topic.topic;
        if matches!(topic, Topic::ObserveEvents { .. }) && self.is_open().is_err() {
            // It passes, and nothing of it is kept.
            return Ok(Accepted::new(Code::Done));
        }
        self.expect_open(topic)?;
        let (mut tx, patterns) = self.lend(cx);
        let outcome = match &call.command.topic.topic {
            Topic::PresenceAnnounce { .. } => return self.announce(cx, call),
            Topic::RoomClose { .. } => return self.close(cx, call),
            Topic::RoomOpen { .. } => return self.open(cx, call),
            Topic::PresenceList { .. } => list_presence(&tx, call),
            Topic::Inbox { to, .. } => inbox(&mut tx, call, to),
            Topic::ObserveReplay { .. } => replay(&mut tx, call),
            Topic::ObserveEvents { category, .. } => told(&mut tx, call, category),
            Topic::MailboxList { me, of } => list_mail(&mut tx, call, of.as_ref().unwrap_or(me)),
            Topic::MailboxPurge { me, of } => purge_mail(&mut tx, call, of.as_ref().unwrap_or(me)),
            topic => match patterns.named(topic.row().pattern()) {
                Some(pattern) => pattern.command(&mut tx, call),
                None => Err(no_command()),
            },
        };
        self.reassess(cx);
        outcome
    }

    /// A timer of the room's is due.
    pub(super) fn timer(&mut self, cx: &mut Context, timer: Timer, subject: &TimerSubject) {
        match timer {
            Timer::Retention => retention::over(self, cx),
            Timer::Closing => self.sweep(cx),
            _ => {
                self.each(cx, |pattern, tx| pattern.timer(tx, timer, subject));
                // Before what is due after it: an approval that times out ends its task.
                self.pass_on(cx);
            }
        }
    }

    /// Tells every pattern what became of an agent.
    pub(super) fn agent_changed(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        change: AgentChange<'_>,
    ) {
        self.each(cx, |pattern, tx| pattern.agent_changed(tx, agent, change));
    }

    /// Passes on what patterns have to tell each other, until they have no more to say: each
    /// message brings at most one more.
    fn pass_on(&mut self, cx: &mut Context) {
        while let Some(message) = self.core.gate_messages.pop_front() {
            self.each(cx, |pattern, tx| pattern.gate_told(tx, &message));
        }
    }

    /// Lets what was freed find its use.
    pub(super) fn settle(&mut self, cx: &mut Context) {
        self.pass_on(cx);
        self.each(cx, |pattern, tx| pattern.settle(tx));
    }

    /// Shows what looks different from when it was last shown.
    pub(super) fn flush(&mut self, cx: &mut Context) {
        self.tx(cx).flush_presence();
        self.each(cx, |pattern, tx| pattern.flush(tx));
    }

    /// The gateway has restarted.
    pub(super) fn restarted(&mut self, cx: &mut Context) {
        if cx.may_exist(&self.core.name) {
            self.sweep(cx);
        }
        self.each(cx, |pattern, tx| pattern.restarted(tx));
    }

    /// Other settings hold for the patterns; these did.
    pub(super) fn reconfigure_patterns(&mut self, cx: &mut Context, before: &Settings) {
        self.each(cx, |pattern, tx| pattern.reconfigured(tx, before));
    }

    /// Every record that changed since the last call, each once: `None` deletes. The head is not
    /// among them.
    pub(super) fn drain_records(&mut self, put: Put<'_>) {
        self.core.drain_records(put);
        for pattern in self.patterns.all_mut() {
            pattern.drain_records(&self.core.name, put);
        }
    }

    /// Takes a record back.
    pub(super) fn restore(
        &mut self,
        cx: &mut Context,
        tag: u8,
        rest: &[u8],
        value: &[u8],
    ) -> Result<(), RecordProblem> {
        if tag == HEAD {
            if !rest.is_empty() {
                return Err(RecordProblem::Key);
            }
            let head: RoomCounters = decode(value)?;
            self.go_on(&head);
            // The clock never goes back, not even over a restart.
            cx.now = cx.now.max(head.at);
            return Ok(());
        }
        if let Some(taken) = self.core.restore(cx, tag, rest, value) {
            return taken;
        }
        let (mut tx, patterns) = self.lend(cx);
        let mut taken = patterns
            .all_mut()
            .into_iter()
            .filter_map(|pattern| pattern.restore(&mut tx, tag, rest, value));
        taken.next().unwrap_or(Err(RecordProblem::Key))
    }

    /// All records are back. What is only half there is told.
    pub(super) fn restored(&mut self) -> Result<(), Half> {
        self.core.outcomes.sort();
        let room = &self.core.name;
        let mut patterns = self.patterns.all().into_iter();
        patterns.try_for_each(|pattern| pattern.restored(room))
    }
}

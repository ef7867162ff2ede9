//! Handoff as one of a room's patterns.

use crate::wire::Millis;
use crate::wire::name::{Agent, Room};
use crate::wire::topic::Topic;

use crate::engine::gate::GateMessage;
use crate::engine::ids::TaskNo;
use crate::engine::pattern::{AgentChange, Pattern};
use crate::engine::record::{Half, RecordKey, RoomCounters};
use crate::engine::replies::{Call, Outcome, no_command};
use crate::engine::settings::Settings;
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Handoff;
use super::records::TaskChange;

/// Ended tasks that one input may pass by on its way to those that have not.
const PASSED_AT_ONCE: usize = 10_000;

impl Pattern for Handoff {
    fn command(&mut self, tx: &mut RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        match &call.command.topic.topic {
            Topic::HandoffDispatch { .. } => self.dispatch(tx, call),
            Topic::HandoffUpdate { .. } => self.update(tx, call),
            Topic::HandoffAnswer { .. } => self.answer(tx, call),
            Topic::HandoffCancel { .. } => self.cancel(tx, call),
            Topic::HandoffGet { .. } => self.get_task(tx, call),
            Topic::HandoffList { .. } => self.list_tasks(tx, call),
            Topic::HandoffRedrive { .. } => self.redrive(tx, call),
            _ => Err(no_command()),
        }
    }

    fn timer(&mut self, tx: &mut RoomTx<'_>, timer: Timer, subject: &TimerSubject) {
        let TimerSubject::Task(_, no) = subject else {
            return;
        };
        match timer {
            Timer::Deadline => self.deadline_over(tx, *no),
            Timer::Dependency => self.dependency_over(tx, *no),
            Timer::Group => self.group_over(tx, *no),
            Timer::Lease => self.lease_over(tx, *no),
            Timer::Answer => self.answer_over(tx, *no),
            Timer::Due => self.due(tx, *no),
            _ => {}
        }
    }

    fn agent_changed(&mut self, tx: &mut RoomTx<'_>, agent: &Agent, change: AgentChange<'_>) {
        match change {
            AgentChange::Able { may_work } => self.assess(tx, agent, may_work),
            AgentChange::Window(free) => self.scheduler.set_window(agent, free),
            AgentChange::Connected { .. } | AgentChange::Disconnected => {
                self.pause_leases(tx, agent);
            }
            AgentChange::Resumed => self.deliver_held(tx, agent),
            AgentChange::SaidGoodbye => self.release_all(tx, agent),
            AgentChange::Works(capability) => self.deliver_owed(tx, agent, capability),
            AgentChange::Restarted => self.restart_leases(tx, agent),
            AgentChange::WentOn => self.begin_leases_anew(tx, agent),
            AgentChange::Confirmed { owed } => {
                for no in owed {
                    self.give_back(tx, *no, crate::engine::member::Departure::Ended);
                }
            }
            AgentChange::Leaves | AgentChange::Removed => self.scheduler.remove_worker(agent),
            AgentChange::GivesUp(why) => self.give_back_all(tx, agent, why),
            AgentChange::Provides(_) | AgentChange::Offline => {}
        }
    }

    fn gate_told(&mut self, tx: &mut RoomTx<'_>, message: &GateMessage) {
        self.approval_told(tx, message);
    }

    /// Brings tasks and free workers together, the most urgent first, until one of them runs out.
    fn settle(&mut self, tx: &mut RoomTx<'_>) {
        self.assign(tx);
    }

    fn reconfigured(&mut self, tx: &mut RoomTx<'_>, before: &Settings) {
        let now = &tx.cx.settings;
        if (before.handoff.result_retention, &before.handoff.types)
            != (now.handoff.result_retention, &now.handoff.types)
        {
            self.reset_retention(tx);
        }
    }

    fn next_retention(&self, _: &Settings) -> Option<Millis> {
        self.forgets_at()
    }

    fn forget_oldest(&mut self, tx: &mut RoomTx<'_>) {
        self.forget_oldest_task(tx);
    }

    fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    fn begin_closing(&mut self) {
        self.swept = TaskNo(0);
    }

    fn end_some(&mut self, tx: &mut RoomTx<'_>, left: &mut usize, words: &'static str) -> bool {
        if !self.end_tasks(tx, left, words) {
            return false;
        }
        while *left > 0 && self.gather_first_group(tx) {
            *left -= 1;
        }
        *left > 0
    }

    fn note_head(&self, head: &mut RoomCounters) {
        head.last_task = self.last_no;
    }

    fn go_on(&mut self, head: &RoomCounters) {
        self.last_no = head.last_task;
    }

    fn restored(&self, room: &Room) -> Result<(), Half> {
        match self.bodies.keys().next() {
            Some(no) => Err(Half {
                name: format!("task {}", no.0),
                row: TaskChange::Body(*no).key(room),
            }),
            None => Ok(()),
        }
    }
}

impl Handoff {
    /// Lets the scheduler know what an agent can take.
    fn assess(&mut self, tx: &RoomTx<'_>, agent: &Agent, may_work: bool) {
        let Some(member) = tx.room.members.0.get(agent) else {
            return;
        };
        match member.skills().filter(|_| may_work) {
            Some(skills) => {
                let session = tx.cx.sessions.get(agent);
                let window = session.map_or(u32::MAX, |session| session.window);
                let in_flight = member.in_flight();
                self.scheduler.set_worker(agent, skills, in_flight, window);
            }
            None => self.scheduler.remove_worker(agent),
        }
    }

    fn end_tasks(&mut self, tx: &mut RoomTx<'_>, left: &mut usize, words: &str) -> bool {
        let mut passed = 0;
        loop {
            let next = self.tasks.range(self.swept..).next();
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
                self.cancel_for(tx, no, words);
                *left -= 1;
            }
        }
    }
}

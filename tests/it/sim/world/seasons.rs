//! The four seasons of a run: trouble, calm, everybody leaves, all is forgotten.

use hallward::engine::{Command, Input};
use hallward::wire::handoff::Cancel;
use hallward::wire::json;
use hallward::wire::mirror::CommandMirrors;
use hallward::wire::name::{Agent, Room, TaskId};
use hallward::wire::topic::{RoomTopic, Topic};

use super::super::agenda::Action;
use super::super::agents::{Content, Intent, Role};
use super::{CALM_MS, DAWN, Outcome, TROUBLE_MS, World};

impl World {
    /// From dawn to oblivion.
    pub(super) fn live(&mut self) -> Outcome {
        for who in 0..self.everybody.len() {
            let at = self.now + self.dice.below(1_500);
            self.agenda.plan(at, Action::Connect(who));
            self.agenda.plan(at, Action::Wake(who, Intent::Stroll));
        }
        self.plan_crash();
        self.pass(DAWN + TROUBLE_MS)?;
        self.calm_down()?;
        self.everybody_leaves()?;
        self.forget()
    }

    /// Everybody comes back and does what it should; in the end no task is open that anybody could have done.
    fn calm_down(&mut self) -> Outcome {
        self.calm = true;
        for who in 0..self.everybody.len() {
            if let Role::Worker(worker) = &mut self.everybody[who].role {
                worker.reform();
            }
            let at = self.now + self.dice.between(100, 4_000);
            if !self.everybody[who].connected {
                self.agenda.plan(at, Action::Connect(who));
            } else if let Role::Worker(_) = &self.everybody[who].role {
                // Once more from a clean sheet, so that what it forgot on purpose comes to an end.
                let link = self.everybody[who].link;
                self.agenda.plan(at, Action::HangUp(who, link));
                self.agenda.plan(at + 100, Action::Connect(who));
            }
        }
        self.pass(DAWN + TROUBLE_MS + CALM_MS / 2)?;
        self.cancel_the_impossible()?;
        self.pass(DAWN + TROUBLE_MS + CALM_MS)?;
        self.seal(true)?;
        for one in &self.everybody {
            if let Some(packet) = one.outbox.front() {
                return Err(format!("{} was never answered: {packet:?}", one.name));
            }
        }
        self.checker.finished(&self.everybody)
    }

    /// Tasks that nobody can do wait for ever, as they should; their dispatchers give up.
    fn cancel_the_impossible(&mut self) -> Outcome {
        for (room, task, dispatcher) in self.checker.waiting_for_nobody()? {
            let who = self.names.iter().position(|name| *name == dispatcher);
            let who = who.expect("a dispatcher takes part");
            let command = cancel(&room, task, dispatcher);
            self.send(
                who,
                Content::Publish {
                    command,
                    repeatable: false,
                },
            );
        }
        Ok(())
    }

    fn everybody_leaves(&mut self) -> Outcome {
        for who in 0..self.everybody.len() {
            let link = self.everybody[who].link;
            self.hang_up(who, link)?;
            let agent = self.everybody[who].name.clone();
            self.hand_in(Input::SessionEnded { agent })?;
        }
        self.seal(true)
    }

    /// Nothing happens for longer than anything is remembered.
    fn forget(&mut self) -> Outcome {
        self.pass(self.now + 2 * self.rules.retention_ms)?;
        self.hand_in(Input::Tick)?;
        self.seal(true)?;
        self.checker.forgotten(&self.desk)?;
        self.desk.crash();
        self.desk.recover(self.now);
        self.seal(true)?;
        self.pass(self.now + 2 * self.rules.retention_ms)?;
        self.checker.forgotten(&self.desk)
    }
}

fn cancel(room: &Room, task: TaskId, me: Agent) -> Command {
    Command {
        from: me.clone(),
        topic: RoomTopic::new(room.clone(), Topic::HandoffCancel { me }),
        payload: json::encode(&Cancel {
            task,
            reason: None,
            id: None,
            correlation_id: None,
        }),
        mirrors: CommandMirrors::default(),
    }
}

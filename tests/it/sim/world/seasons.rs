//! The seasons of a run: trouble, calm, everybody leaves, all is forgotten; and somebody comes
//! back.

use std::collections::BTreeSet;

use bytes::Bytes;
use hallward::engine::{Command, Input};
use hallward::wire::handoff::Cancel;
use hallward::wire::json;
use hallward::wire::mirror::CommandMirrors;
use hallward::wire::name::{Agent, Key, Room, TaskId};
use hallward::wire::topic::{RoomTopic, Topic};

use super::super::agenda::Action;
use super::super::agents::{Content, Intent, KEYS, Role};
use super::{CALM_MS, Outcome, World};

impl World {
    /// From dawn to oblivion.
    pub(super) fn live(&mut self) -> Outcome {
        for who in 0..self.everybody.len() {
            let at = self.now + self.dice.below(1_500);
            self.agenda.plan(at, Action::Connect(who));
            self.agenda.plan(at, Action::Wake(who, Intent::Stroll));
        }
        self.plan_crash();
        if self.has_clock_steps {
            self.plan_clock();
        }
        self.plan_configuring();
        self.pass(self.calm_at)?;
        self.calm_down()?;
        self.everybody_leaves()?;
        self.forget()?;
        self.somebody_comes_back()?;
        self.clean_up()?;
        self.forget()
    }

    /// Everybody comes back and does what it should; in the end no task is open that anybody could
    /// have done.
    fn calm_down(&mut self) -> Outcome {
        self.calm = true;
        for who in 0..self.everybody.len() {
            match &mut self.everybody[who].role {
                Role::Worker(worker) => worker.reform(),
                Role::Smith(smith) => smith.reform(),
                _ => {}
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
        self.open_all_rooms();
        self.pass(self.calm_at + CALM_MS / 2)?;
        self.cancel_the_impossible()?;
        self.pass(self.calm_at + CALM_MS)?;
        self.seal(true)?;
        for one in &self.everybody {
            if let Some(packet) = one.outbox.front() {
                return Err(format!("{} was never answered: {packet:?}", one.name));
            }
        }
        self.checker.finished(&self.everybody, &self.desk.durable)
    }

    /// Whatever was closed is opened, and everybody goes back in.
    fn open_all_rooms(&mut self) {
        for who in 0..self.everybody.len() {
            for room in self.everybody[who].rooms.clone() {
                let (after, intent) = match self.everybody[who].role {
                    Role::Operator(_) => (5_000, Intent::Open(room)),
                    _ => (10_000, Intent::Return(room)),
                };
                self.agenda
                    .plan(self.now + after, Action::Wake(who, intent));
            }
        }
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
        self.seal(true)?;
        self.clean_up()
    }

    /// Some rooms are left without a key.
    fn clean_up(&mut self) -> Outcome {
        let me = &self.names[0].clone();
        for (room, board) in self.checker.model.boards.clone() {
            let is_left_as_it_is = self.dice.percent(50);
            for key in board.entries.into_keys().filter(|_| !is_left_as_it_is) {
                let me_too = me.clone();
                let delete = Topic::BlackboardDelete { me: me_too, key };
                self.hand_in(said(&room, me, delete, Bytes::new()))?;
            }
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

    /// Rooms that were vacated go on where they were: in numbers of events, in revisions and in
    /// versions.
    fn somebody_comes_back(&mut self) -> Outcome {
        let me = &self.names[0].clone();
        let rooms: BTreeSet<Room> = self.checker.model.seqs.keys().cloned().collect();
        for room in &rooms {
            for key in KEYS {
                let (me_too, key) = (me.clone(), Key::new(key).expect("a key"));
                let set = Topic::BlackboardSet { me: me_too, key };
                let one = r#"{"value":1,"correlationId":"c"}"#;
                self.hand_in(said(room, me, set, one))?;
            }
        }
        self.seal(true)
    }
}

fn said(room: &Room, me: &Agent, topic: Topic, payload: impl Into<Bytes>) -> Input {
    Input::Command(command(room, me, topic, payload))
}

fn cancel(room: &Room, task: TaskId, me: Agent) -> Command {
    let cancel = Cancel {
        task: Some(task),
        group: None,
        reason: None,
        id: None,
        correlation_id: None,
    };
    let topic = Topic::HandoffCancel { me: me.clone() };
    command(room, &me, topic, json::encode(&cancel))
}

fn command(room: &Room, me: &Agent, topic: Topic, payload: impl Into<Bytes>) -> Command {
    Command {
        from: me.clone(),
        user: None,
        topic: RoomTopic::new(room.clone(), topic),
        payload: payload.into(),
        mirrors: CommandMirrors::default(),
    }
}

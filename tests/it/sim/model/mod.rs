//! The reference model: what the committed history says is true.
//!
//! It decides nothing. It follows inputs and effects in the order in which they were committed and
//! keeps, for each agent, task, key and approval, what may be true now; where the protocol leaves
//! the engine a choice, it keeps the bounds.

pub(super) mod approvals;
pub(super) mod asks;
pub(super) mod board;
pub(super) mod encodings;
pub(super) mod gates;
pub(super) mod holds;
pub(super) mod locks;
pub(super) mod people;
mod tally;
pub(super) mod tasks;
pub(super) mod tools;
pub(super) mod walks;

use std::collections::BTreeMap;

use bytes::Bytes;
use hallward::engine::{Directed, DirectedKind, Effect, Input};
use hallward::wire::Millis;
use hallward::wire::approve::{CancelApproval, PendingApproval};
use hallward::wire::name::{Agent, ApprovalId, Room, TaskId};
use hallward::wire::observe::Event;
use hallward::wire::presence::Encoding;
use hallward::wire::reply::{Code, Reply};
use hallward::wire::topic::{RoomTopic, Topic};
use serde::Serialize;

use super::history::{LOCK, Step, group_result, read};
use super::rules::Rules;
use approvals::Approval;
use board::Board;
use encodings::{Encodings, canonical};
use locks::Locks;
use people::People;
pub(super) use tally::Tally;
use tasks::Tasks;
use tools::Tools;
use walks::Walks;

/// Says that an agent has no place in a room any more.
pub(super) const LEFT: &str = "presence.left";

/// A command's id: who said it, in which room, about what.
pub(super) type Identity = (Agent, Room, String);

/// What a command says: its topic and its fields.
pub(super) type Said = (String, serde_json::Value);

/// The whole of it.
pub(in super::super) struct Model {
    pub(super) rules: Rules,
    pub(super) now: Millis,
    /// The time of the latest input: timers that are due run before it, so every timer up to here
    /// has fired.
    pub(super) ticked_at: Millis,
    /// When the gateway restarted last.
    pub(super) recovered_at: Millis,
    /// Since when rooms are closed.
    pub(super) closed: BTreeMap<Room, Millis>,
    pub(super) encodings: Encodings,
    pub(super) people: People,
    pub(super) tasks: Tasks,
    pub(super) boards: BTreeMap<Room, Board>,
    no_board: Board,
    pub(super) locks: Locks,
    pub(super) tools: Tools,
    pub(super) walks: Walks,
    pub(super) approvals: BTreeMap<(Room, ApprovalId), Approval>,
    /// The inbox messages that each agent was sent.
    pub(super) relayed: BTreeMap<Agent, Vec<(RoomTopic, Bytes)>>,
    /// The first outcome of every accepted command that carried an id.
    pub(super) outcomes: BTreeMap<Identity, (Said, Reply)>,
    /// The last event of each room.
    pub(super) seqs: BTreeMap<Room, u64>,
    /// Every event of each room.
    pub(super) past: BTreeMap<Room, Vec<Event>>,
    pub(in super::super) tally: Tally,
}

impl Model {
    pub(super) fn new(rules: &Rules) -> Model {
        Model {
            rules: rules.clone(),
            now: 0,
            ticked_at: 0,
            recovered_at: 0,
            closed: BTreeMap::new(),
            encodings: Encodings::default(),
            people: People::default(),
            tasks: Tasks::default(),
            boards: BTreeMap::new(),
            no_board: Board::default(),
            locks: Locks::default(),
            tools: Tools::default(),
            walks: Walks::default(),
            approvals: BTreeMap::new(),
            relayed: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            seqs: BTreeMap::new(),
            past: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// The clock and the connections, before anything else of a step.
    pub(super) fn begin(&mut self, step: &Step) {
        self.now = step.now;
        self.tally.steps += 1;
        let before = self.ticked_at;
        if step.input().is_some() {
            self.ticked_at = step.now;
        }
        if let Some(code) = step.refusal() {
            *self.tally.rejected.entry(code.into()).or_default() += 1;
        }
        match step.input() {
            Some(Input::Recovered) => self.recovered_at = step.now,
            Some(Input::Settings(settings)) => {
                self.rules.heed(settings);
                self.tools.keep(self.rules.kept_calls);
            }
            Some(Input::TooLarge { .. }) if step.events().count() > 0 => self.tally.too_large += 1,
            _ => {}
        }
        if let Some(input) = step.input().filter(|input| !self.is_in_vain(input)) {
            self.people.input(step.now, input, before, &self.rules);
            self.tasks.input(step.now, input, &self.rules);
        }
    }

    /// Nobody comes into a room that is closed.
    fn is_in_vain(&self, input: &Input) -> bool {
        matches!(input, Input::Offered { offer, .. } if self.closed.contains_key(offer.room()))
    }

    fn room_event(&mut self, event: &Event) {
        let room = &event.room;
        match event.what.as_str() {
            "room.closed" => {
                self.closed.insert(room.clone(), event.at);
                self.tally.closed += 1;
            }
            "room.opened" => {
                self.closed.remove(room);
                self.tally.opened += 1;
            }
            // What it has subscribed to counts again when it comes back.
            LEFT if self.closed.contains_key(room) => self.people.said_farewell(room, &event.who),
            LEFT => self.people.left(room, &event.who),
            _ => {}
        }
    }

    /// What an accepted command makes known before its effects. Not for repeats.
    pub(super) fn take_command(&mut self, step: &Step) {
        let Some(command) = step.command() else {
            return;
        };
        if step.verdict.is_err() {
            // A partial result that finds no room is a sign of life all the same.
            if let (Topic::HandoffUpdate { .. }, Err(Code::TooMany)) =
                (&command.topic.topic, step.verdict)
            {
                self.tasks.gave_a_sign(step);
            }
            return;
        }
        match &command.topic.topic {
            Topic::HandoffDispatch { .. } => self.tasks.dispatched(step, &self.rules),
            Topic::HandoffUpdate { .. } => self.tasks.updated(step),
            Topic::HandoffAnswer { .. } => self.tasks.answered(step),
            Topic::ApproveRequest { .. } => {
                let (id, approval) = approvals::requested(step, command, &self.rules);
                self.approvals
                    .insert((command.topic.room.clone(), id), approval);
            }
            Topic::ApproveDecide { me, id } => {
                let key = (command.topic.room.clone(), id.clone());
                if let Some(approval) = self.approvals.get_mut(&key) {
                    approval.voted(step.now, me, &read(&command.payload));
                }
            }
            Topic::ApproveCancel { .. } => {
                let cancel: CancelApproval = read(&command.payload);
                let key = (command.topic.room.clone(), cancel.approval);
                if let Some(approval) = self.approvals.get_mut(&key) {
                    approval.take_back(step.now);
                }
            }
            Topic::ToolsRegister { me, tool } => {
                if !command.payload.is_empty() {
                    self.people.joined(&command.topic.room, me);
                }
                self.tools.registered(step, tool);
            }
            Topic::ToolsCall { tool, .. } => {
                self.tools.called(step, tool, self.rules.tool_timeout_ms);
            }
            Topic::ToolsReturn { .. } => self.tools.answered(step),
            Topic::ToolsAnswer { .. } => self.tools.told(step),
            Topic::MailboxList { .. } => self.tally.mail_listed += step.mail.len() as u64,
            Topic::PresenceAnnounce { me } if command.payload.is_empty() => {
                self.people.said_farewell(&command.topic.room, me);
                self.tasks.left(&command.topic.room, me);
            }
            Topic::PresenceAnnounce { me } => {
                self.people
                    .announced(&command.topic.room, me, &command.payload);
            }
            _ => {}
        }
    }

    /// Something has happened in a room.
    fn happened(&mut self, step: &Step, event: &Event) {
        self.seqs.insert(event.room.clone(), event.seq);
        let past = self.past.entry(event.room.clone()).or_default();
        past.push(event.clone());
        self.tasks.event(event, &mut self.tally);
        self.asks_again(event);
        self.gate_decided(event);
        if let Some(board) = self.boards.get_mut(&event.room) {
            board.event(event);
        }
        self.locks.event(step, event, &mut self.tally);
        self.tools.event(event);
        self.room_event(event);
    }

    /// An effect has been checked and is now part of the truth.
    pub(super) fn apply(&mut self, step: &Step, effect: &Effect) {
        match effect {
            Effect::Event(event) => self.happened(step, event),
            Effect::Deliver(directed) => match &directed.class {
                DirectedKind::Assignment(key) => {
                    self.tasks
                        .assigned(self.now, key, &directed.to, &self.rules, &mut self.tally);
                }
                DirectedKind::Result => match group_result(directed) {
                    Some(result) => {
                        let name = (
                            directed.topic.room.clone(),
                            directed.to.clone(),
                            result.group,
                        );
                        self.tasks.gathered(name, &mut self.tally);
                    }
                    None => self
                        .tasks
                        .result(&directed.topic.room, &read(&directed.payload)),
                },
                DirectedKind::Decision(id) => {
                    let key = (directed.topic.room.clone(), id.clone());
                    if let Some(approval) = self.approvals.get_mut(&key) {
                        approval.decided(read(&directed.payload), &mut self.tally);
                    }
                }
                DirectedKind::Run(key) => {
                    self.tools
                        .ran(self.now, directed, key.turn, &mut self.tally);
                }
                DirectedKind::ToolResult => {
                    let result = read(&directed.payload);
                    self.tools
                        .result(&directed.topic.room, result, &mut self.tally);
                    self.tools.keep(self.rules.kept_calls);
                }
                DirectedKind::Notice => {}
                DirectedKind::Reply | DirectedKind::Refusal => self.reply(directed),
            },
            Effect::Retain { topic, payload } => match &topic.topic {
                Topic::BlackboardState { key } => {
                    let board = self.boards.entry(topic.room.clone()).or_default();
                    board.retained(key, payload.as_ref(), &mut self.tally);
                }
                Topic::HandoffAsking { task } => {
                    let shown = payload.as_ref().map(|payload| read(payload));
                    self.tasks.shown(&topic.room, task, shown);
                }
                Topic::ApprovePending { id } => {
                    let key = (topic.room.clone(), id.clone());
                    if let Some(payload) = payload
                        && !self.approvals.contains_key(&key)
                    {
                        self.asked(&topic.room, id, &read::<PendingApproval>(payload));
                    }
                    if let Some(approval) = self.approvals.get_mut(&key) {
                        approval.pending = payload.clone();
                    }
                }
                _ => {}
            },
            Effect::Relay { to, .. } => {
                self.tally.relayed += 1;
                if let Some(command) = step.command() {
                    let message = (command.topic.clone(), command.payload.clone());
                    self.relayed.entry(to.clone()).or_default().push(message);
                }
            }
            Effect::Discard { seqs, .. } => self.tally.mail_purged += seqs.len() as u64,
            Effect::Revoke { .. } => {}
        }
    }

    /// A lock command was answered; one that renews a lease says until when.
    fn reply(&mut self, directed: &Directed) {
        let reply: Reply = read(&directed.payload);
        self.tally.transactions += u64::from(!reply.versions.is_empty());
        self.tally.fenced_off += u64::from(reply.path.as_deref() == Some("fence"));
        if reply.command != LOCK {
            return;
        }
        if let Some(correlation) = &reply.correlation_id {
            self.locks.unanswered.remove(correlation);
        }
        if let Some(state) = reply.lock {
            let key = (directed.topic.room.clone(), state.name.to_string());
            if let Some(holder) = self.locks.held.get_mut(&key) {
                holder.until = state.expires_at;
            }
        }
    }

    /// Whether what all are shown in a room is what it should be: to the letter in JSON; CBOR has
    /// but the values.
    pub(super) fn shows<T: Serialize + PartialEq>(&self, room: &Room, one: &T, other: &T) -> bool {
        let is_cbor = self.rules.encoding(room) == Encoding::Cbor;
        one == other || (is_cbor && canonical(one) == canonical(other))
    }

    /// The same of what one of them is told of it.
    pub(super) fn tells<T: Serialize + PartialEq>(
        &self,
        room: &Room,
        reader: &Agent,
        one: &T,
        other: &T,
    ) -> bool {
        self.encodings.same(reader, one, other) || self.shows(room, one, other)
    }

    /// The approval of a room by its id.
    pub(super) fn approval(&self, room: &Room, id: &ApprovalId) -> Option<&Approval> {
        self.approvals.get(&(room.clone(), id.clone()))
    }

    /// The letters that an agent will get for certain: a result for each of its tasks, a decision
    /// for each of its requests.
    pub(super) fn promised(&self, agent: &Agent) -> usize {
        let tasks = self.tasks.live();
        let approvals = self.approvals.values();
        let groups = self.tasks.groups.keys();
        tasks.filter(|(_, task)| task.dispatcher == *agent).count()
            + groups.filter(|(_, whose, _)| whose == agent).count()
            + self.tools.promised(agent)
            + approvals
                .filter(|approval| approval.is_open() && approval.requester == *agent)
                .filter(|approval| approval.holds_back.is_none())
                .count()
    }

    /// The board of a room, empty before the first write.
    pub(super) fn board(&self, room: &Room) -> &Board {
        self.boards.get(room).unwrap_or(&self.no_board)
    }
}

/// Names a task in every room.
pub(super) type TaskName = (Room, TaskId);

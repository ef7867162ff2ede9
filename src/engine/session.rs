//! Sessions: what connections do to an agent's places in all its rooms.
//!
//! It turns the desk's news about sessions into calls on the rooms concerned, and runs the
//! reconnect grace.

use crate::wire::Millis;
use crate::wire::name::{Agent, Room};
use crate::wire::presence::ConnectionState;

use super::Engine;
use super::context::Context;
use super::effect::DirectedKind;
use super::ids::AssignmentKey;
use super::mailboxes::Mailboxes;
use super::member::{AgentSession, Departure};
use super::pattern::AgentChange;
use super::room::RoomState;
use super::timer::{Timer, TimerSubject};

impl Engine {
    /// How many messages an agent can be sent now.
    pub(super) fn set_window(&mut self, agent: &Agent, free: u32) {
        if let Some(session) = self.cx.sessions.get_mut(agent) {
            session.window = free;
        }
        self.in_rooms_of(agent, |room, cx| {
            room.agent_changed(cx, agent, AgentChange::Window(free));
        });
    }

    /// Work is on its way to a worker.
    pub(super) fn sent(&mut self, agent: &Agent, assignments: Vec<AssignmentKey>) {
        for key in assignments {
            let room = key.room.clone();
            self.in_room(&room, |room, cx| {
                let (mut tx, patterns) = room.lend(cx);
                patterns.handoff.sent(&mut tx, agent, &key);
            });
        }
    }

    pub(super) fn connected(
        &mut self,
        agent: &Agent,
        resumed: bool,
        durable: bool,
        window: u32,
        mailboxes: &dyn Mailboxes,
    ) {
        let cx = &mut self.cx;
        disarm_grace(cx, agent);
        let session = cx.sessions.entry(agent.clone()).or_default();
        session.connected = true;
        session.durable = durable;
        session.window = window;
        let mut unconfirmed = false;
        self.in_rooms_of(agent, |room, cx| {
            room.agent_changed(cx, agent, AgentChange::Window(window));
            room.connected(cx, agent, resumed, durable, mailboxes);
            unconfirmed |= room.is_unconfirmed(agent);
        });
        let has_rooms = |session: &AgentSession| !session.rooms.is_empty();
        if unconfirmed || (!resumed && self.cx.sessions.get(agent).is_some_and(has_rooms)) {
            arm_grace(&mut self.cx, agent);
        }
    }

    pub(super) fn disconnected(&mut self, agent: &Agent, why: &'static str, gives_back: bool) {
        // What was not connected keeps the grace that it has.
        let session = self.cx.sessions.get_mut(agent);
        let Some(session) = session.filter(|session| session.connected) else {
            return;
        };
        session.connected = false;
        let durable = session.durable;
        if session.rooms.is_empty() {
            self.cx.sessions.remove(agent);
            return;
        }
        disarm_grace(&mut self.cx, agent);
        arm_grace(&mut self.cx, agent);
        self.in_rooms_of(agent, |room, cx| {
            room.disconnected(cx, agent, durable, why);
            if gives_back {
                room.agent_changed(cx, agent, AgentChange::SaidGoodbye);
            }
        });
    }

    pub(super) fn session_ended(&mut self, agent: &Agent) {
        disarm_grace(&mut self.cx, agent);
        self.in_rooms_of(agent, |room, cx| room.depart(cx, agent, Departure::Ended));
        self.cx.sessions.remove(agent);
    }

    pub(super) fn grace_over(&mut self, agent: &Agent) {
        let now = self.cx.now;
        let session = self.cx.sessions.get_mut(agent);
        let is_over = |session: &&mut AgentSession| session.grace_until.is_some_and(|at| at <= now);
        let Some(session) = session.filter(is_over) else {
            return;
        };
        session.grace_until = None;
        let AgentSession {
            connected, durable, ..
        } = *session;
        if connected {
            self.in_rooms_of(agent, |room, cx| room.confirm(cx, agent));
        } else if durable {
            self.in_rooms_of(agent, |room, cx| {
                if room.is_unconfirmed(agent) {
                    // The session that outlives its connection has never been here; the one that
                    // was has ended.
                    room.depart(cx, agent, Departure::Ended);
                    return;
                }
                room.set_connection(cx, agent, ConnectionState::Offline, true, "");
                let given_up = AgentChange::GivesUp(Departure::Ended);
                room.agent_changed(cx, agent, given_up);
                room.agent_changed(cx, agent, AgentChange::Offline);
            });
        } else {
            self.session_ended(agent);
        }
    }

    /// Nobody is connected after a restart; everyone who was has the grace from now.
    pub(super) fn recovered(&mut self) {
        let agents: Vec<Agent> = self.cx.sessions.keys().cloned().collect();
        for agent in &agents {
            let mut away = false;
            self.in_rooms_of(agent, |room, cx| away |= room.recovered(cx, agent));
            if away {
                arm_grace(&mut self.cx, agent);
            }
        }
        let rooms: Vec<Room> = self.rooms.keys().cloned().collect();
        for room in &rooms {
            self.in_room(room, |room, cx| room.restarted(cx));
        }
    }

    /// Takes back what an agent was to get, and cannot any more.
    pub(super) fn take_back_too_large(&mut self, agent: &Agent, class: &DirectedKind) {
        match class {
            DirectedKind::Assignment(key) => self.in_room(&key.room, |room, cx| {
                let (mut tx, patterns) = room.lend(cx);
                patterns.handoff.take_back_if_unseen(&mut tx, agent, key);
            }),
            DirectedKind::Run(key) => self.in_room(&key.room, |room, cx| {
                let (mut tx, patterns) = room.lend(cx);
                patterns.tools.lose_run_too_large(&mut tx, agent, key);
            }),
            _ => {}
        }
    }

    /// Acts in every room where the agent has a place, then lets the freed work find its workers.
    fn in_rooms_of(&mut self, agent: &Agent, mut act: impl FnMut(&mut RoomState, &mut Context)) {
        let Some(session) = self.cx.sessions.get(agent) else {
            return;
        };
        for room in session.rooms.clone() {
            self.in_room(&room, &mut act);
        }
    }
}

fn arm_grace(cx: &mut Context, agent: &Agent) {
    let at: Millis = cx.after(cx.settings.rooms.reconnect_grace.ms());
    if let Some(session) = cx.sessions.get_mut(agent) {
        session.grace_until = Some(at);
        cx.timers
            .arm(at, Timer::Grace, TimerSubject::Agent(agent.clone()));
    }
}

fn disarm_grace(cx: &mut Context, agent: &Agent) {
    let session = cx.sessions.get_mut(agent);
    if let Some(at) = session.and_then(|session| session.grace_until.take()) {
        cx.timers
            .disarm(at, Timer::Grace, TimerSubject::Agent(agent.clone()));
    }
}

//! Presence: who is in a room, whether the gateway holds their connection, and what they can take.
//!
//! It changes an agent's place in one room; `session` does so in all its rooms. Whatever may change
//! how an agent looks only stirs it: what it then looks like is shown once per batch, by `flush`.

use crate::wire::name::{Agent, Capability, Tool};
use crate::wire::presence::{Announcement, ConnectionState, Status};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{Offer, RoomTopic, Topic};

use crate::engine::context::Context;
use crate::engine::core::RoomChange;
use crate::engine::effect::Effect;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::mailboxes::Mailboxes;
use crate::engine::member::{AgentSession, Departure, Member, connection_word, status_word};
use crate::engine::pattern::AgentChange;
use crate::engine::replies::{
    Accepted, Call, Outcome, between, entries_at_most, json_at_most, text_at_most,
};
use crate::engine::tx::RoomTx;

use super::RoomState;
use super::member_list::{is_back, remember_departed};

impl RoomTx<'_> {
    /// Shows every agent that looks different from when it was last shown.
    pub(in crate::engine) fn flush_presence(&mut self) {
        for (agent, must_show) in std::mem::take(&mut self.room.dirty_presence) {
            let member = self.room.members.0.get_mut(&agent);
            let Some(member) = member.filter(|member| !member.left) else {
                continue;
            };
            let looks = (member.in_flight(), member.status(), member.connection);
            if !must_show && member.shown == Some(looks) {
                continue;
            }
            member.shown = Some(looks);
            let payload = self.cx.wall.encode(&member.presence(&agent));
            let topic = RoomTopic::new(self.room.name.clone(), Topic::PresenceAgent { agent });
            self.cx.emit(Effect::Retain {
                topic,
                payload: Some(payload),
            });
        }
    }

    /// The agent's place, made if it has none; says so if it is new or was left.
    pub(in crate::engine) fn join(&mut self, agent: &Agent) -> Result<(), Rejection> {
        let limit = self.cx.settings.rooms.max_agents_per_room;
        let is_full = self.room.members.0.len() >= limit;
        let joined = match self.room.members.0.get_mut(agent) {
            Some(member) if member.left => {
                member.left = false;
                member.since = self.cx.now;
                true
            }
            Some(_) => false,
            None if is_full => {
                let reason = format!("the room has its {limit} agents");
                return Err(Rejection::new(Code::TooMany, reason));
            }
            None => {
                let mut member = Member::new(self.cx.now);
                (member.connection, member.durable) = self.take_place(agent);
                self.room.members.0.insert(agent.clone(), member);
                self.cx.stats.agents += 1;
                true
            }
        };
        if joined {
            self.room.present += 1;
            is_back(self, agent);
            let connection = self
                .room
                .members
                .0
                .get(agent)
                .map(|member| member.connection);
            let happened = RoomEvent {
                to: connection.map(connection_word),
                ..RoomEvent::new("presence.joined", agent.as_str(), agent)
            };
            self.record_event(&happened);
        }
        if let Some(member) = self.room.members.0.get_mut(agent) {
            member.unconfirmed = false;
        }
        Ok(())
    }

    /// Enters the room into the agent's session; returns how its connection stands (a will speaks
    /// for who is not there) and whether the session is durable.
    fn take_place(&mut self, agent: &Agent) -> (ConnectionState, bool) {
        let session = self
            .cx
            .sessions
            .entry(agent.clone())
            .or_insert_with(|| AgentSession {
                connected: true,
                window: u32::MAX,
                ..AgentSession::default()
            });
        session.rooms.insert(self.room.name.clone());
        let connection = match (session.connected, session.grace_until) {
            (true, _) => ConnectionState::Online,
            (false, Some(_)) => ConnectionState::Away,
            (false, None) => ConnectionState::Offline,
        };
        (connection, session.durable)
    }

    /// Records and tells what changed about an agent. Patterns hear of it after that.
    pub(in crate::engine) fn refresh(&mut self, agent: &Agent) {
        self.change(RoomChange::Member(agent.clone()));
        self.mark_presence_dirty(agent, true);
        self.room.reassess.push(agent.clone());
    }

    /// Says so when an agent that takes no new work has none left.
    pub(in crate::engine) fn tell_drained(&mut self, agent: &Agent) {
        let member = self.room.members.0.get(agent);
        let drained = |member: &Member| {
            member.status() == Status::Draining && member.held.is_empty() && !member.left
        };
        if member.is_some_and(drained) {
            let happened = RoomEvent::new("presence.drained", agent.as_str(), agent);
            self.record_event(&happened);
        }
    }

    fn tell_capability(&mut self, what: &'static str, agent: &Agent, capability: &Capability) {
        let detail = Detail {
            capability: Some(capability),
            ..Detail::default()
        };
        let happened = RoomEvent::new(what, agent.as_str(), agent);
        self.record_event(&RoomEvent { detail, ..happened });
    }
}

impl RoomState {
    /// Records and shows what changed about an agent, and lets patterns know what it can take.
    fn refresh(&mut self, cx: &mut Context, agent: &Agent) {
        self.tx(cx).refresh(agent);
        self.reassess(cx);
    }

    /// Lets patterns know what agents can take of whom something changed.
    pub(super) fn reassess(&mut self, cx: &mut Context) {
        for agent in std::mem::take(&mut self.core.reassess) {
            self.assess(cx, &agent);
        }
    }

    /// Lets patterns know what an agent can take.
    pub(in crate::engine) fn assess(&mut self, cx: &mut Context, agent: &Agent) {
        if self.core.members.0.contains_key(agent) {
            let may_work = cx.may_work(&self.core.name, agent);
            self.agent_changed(cx, agent, AgentChange::Able { may_work });
        }
    }

    pub(in crate::engine) fn announce(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        let agent = call.from();
        if call.command.payload.is_empty() {
            self.depart(cx, agent, Departure::Left);
            return Ok(Accepted::new(Code::Done));
        }
        let said: Announcement = call.read(&cx.settings)?;
        check_announcement(cx, &said)?;
        self.tx(cx).join(agent)?;
        if let Some(encoding) = said.encoding {
            let limit = cx.settings.rooms.max_encodings;
            cx.encodings.announced(agent, encoding, limit);
        }
        let Some(member) = self.core.members.0.get_mut(agent) else {
            return Ok(Accepted::new(Code::Done));
        };
        let before = member.status();
        member.last_seen = cx.now;
        member.lapsed = false;
        member.announcement = Some(Box::new(said));
        let after = member.status();
        let happened = RoomEvent {
            from: Some(status_word(before)),
            to: Some(status_word(after)),
            ..RoomEvent::new("presence.announced", agent.as_str(), agent)
        };
        self.tx(cx).record_event(&happened);
        self.refresh(cx, agent);
        self.tx(cx).tell_drained(agent);
        Ok(Accepted::new(Code::Done))
    }

    pub(in crate::engine) fn offer(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        offer: Offer,
    ) -> Result<(), Rejection> {
        self.tx(cx).expect_member(agent)?;
        if self.closed.is_some() && matches!(offer, Offer::Joins(_)) {
            // To listen, for replies say, is no part in it.
            return Ok(());
        }
        self.is_open()?;
        self.tx(cx).join(agent)?;
        let limit = cx.settings.rooms.max_capabilities_per_agent;
        let Some(member) = self.core.members.0.get_mut(agent) else {
            return Ok(());
        };
        member.last_seen = cx.now;
        if let Offer::Works(_, capability) = offer {
            if member.works.len() >= limit && !member.works.contains(&capability) {
                let reason = format!("{agent} offers its {limit} capabilities in the room");
                return Err(Rejection::new(Code::TooMany, reason));
            }
            if member.works.insert(capability.clone()) {
                self.tx(cx)
                    .tell_capability("presence.offered", agent, &capability);
            }
            self.refresh(cx, agent);
            self.agent_changed(cx, agent, AgentChange::Works(&capability));
        } else {
            if let Offer::Provides(_, tool) = &offer {
                let limit = cx.settings.tools.max_per_agent;
                if member.provides.len() >= limit && !member.provides.contains(tool) {
                    let reason = format!("{agent} listens to its {limit} tools in the room");
                    return Err(Rejection::new(Code::TooMany, reason));
                }
                member.provides.insert(tool.clone());
            }
            self.refresh(cx, agent);
            if let Offer::Provides(_, tool) = &offer {
                self.agent_changed(cx, agent, AgentChange::Provides(tool));
            }
        }
        Ok(())
    }

    pub(in crate::engine) fn withdraw(&mut self, cx: &mut Context, agent: &Agent, offer: &Offer) {
        if let Offer::Provides(_, tool) = offer {
            self.stop_listening(cx, agent, tool);
        }
        let Offer::Works(_, capability) = offer else {
            return;
        };
        let Some(member) = self.core.members.0.get_mut(agent) else {
            return;
        };
        if !member.works.remove(capability) {
            return;
        }
        member.last_seen = cx.now;
        if member.left && member.offers_nothing() {
            self.remove_member(cx, agent);
            return;
        }
        if !member.left {
            self.tx(cx)
                .tell_capability("presence.withdrawn", agent, capability);
        }
        self.refresh(cx, agent);
    }

    fn stop_listening(&mut self, cx: &mut Context, agent: &Agent, tool: &Tool) {
        let Some(member) = self.core.members.0.get_mut(agent) else {
            return;
        };
        if !member.provides.remove(tool) {
            return;
        }
        member.last_seen = cx.now;
        if member.left && member.offers_nothing() {
            self.remove_member(cx, agent);
        } else {
            self.refresh(cx, agent);
        }
    }

    /// Takes an agent out of the room: its tasks go back, its presence is cleared.
    pub(in crate::engine) fn depart(&mut self, cx: &mut Context, agent: &Agent, why: Departure) {
        if self
            .core
            .members
            .0
            .get(agent)
            .is_some_and(|member| !member.left)
        {
            self.core.present -= 1;
            remember_departed(&mut self.tx(cx), agent);
        }
        let Some(member) = self.core.members.0.get_mut(agent) else {
            return;
        };
        let was_there = !std::mem::replace(&mut member.left, true);
        let connection = member.connection;
        member.announcement = None;
        member.owed.clear();
        member.shown = None;
        let stays = why == Departure::Left && !member.offers_nothing();
        self.agent_changed(cx, agent, AgentChange::Leaves);
        if was_there {
            self.agent_changed(cx, agent, AgentChange::GivesUp(why));
            let happened = RoomEvent {
                from: Some(connection_word(connection)),
                ..RoomEvent::new("presence.left", agent.as_str(), agent)
            };
            self.tx(cx).record_event(&happened);
        }
        self.core.dirty_presence.remove(agent);
        if was_there {
            let topic = Topic::PresenceAgent {
                agent: agent.clone(),
            };
            cx.emit(Effect::Retain {
                topic: RoomTopic::new(self.core.name.clone(), topic),
                payload: None,
            });
        }
        if stays {
            self.tx(cx).change(RoomChange::Member(agent.clone()));
        } else {
            self.remove_member(cx, agent);
        }
    }

    fn remove_member(&mut self, cx: &mut Context, agent: &Agent) {
        self.core.members.0.remove(agent);
        self.agent_changed(cx, agent, AgentChange::Removed);
        cx.stats.agents -= 1;
        if let Some(session) = cx.sessions.get_mut(agent) {
            session.rooms.remove(&self.core.name);
            if session.rooms.is_empty() && !session.connected {
                cx.sessions.remove(agent);
            }
        }
        self.tx(cx).change(RoomChange::Member(agent.clone()));
    }

    /// Notes what became of an agent's connection.
    pub(in crate::engine) fn set_connection(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        connection: ConnectionState,
        durable: bool,
        why: &'static str,
    ) {
        let Some(member) = self.core.members.0.get_mut(agent) else {
            return;
        };
        let before = std::mem::replace(&mut member.connection, connection);
        let was_durable = std::mem::replace(&mut member.durable, durable);
        let is_there = !member.left;
        if before == connection && was_durable == durable {
            return;
        }
        if is_there && before != connection {
            let what = match connection {
                ConnectionState::Online => "presence.online",
                ConnectionState::Away => "presence.away",
                ConnectionState::Offline => "presence.offline",
            };
            let happened = RoomEvent {
                from: Some(connection_word(before)),
                to: Some(connection_word(connection)),
                detail: Detail {
                    reason: Some(why).filter(|why| !why.is_empty()),
                    ..Detail::default()
                },
                ..RoomEvent::new(what, agent.as_str(), agent)
            };
            self.tx(cx).record_event(&happened);
        }
        self.refresh(cx, agent);
    }

    /// A new session of an agent that has a place here: its subscriptions stand, or are gone with
    /// its earlier session.
    pub(in crate::engine) fn connected(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        resumed: bool,
        durable: bool,
        mailboxes: &dyn Mailboxes,
    ) {
        let Some(member) = self.core.members.0.get_mut(agent) else {
            return;
        };
        member.last_seen = cx.now;
        member.lapsed = false;
        if !resumed {
            if member.left {
                self.remove_member(cx, agent);
                return;
            }
            member.works.clear();
            member.provides.clear();
            member.unconfirmed = true;
            member.owed = member.held.clone();
        }
        self.set_connection(cx, agent, ConnectionState::Online, durable, "");
        let connected = AgentChange::Connected { resumed, mailboxes };
        self.agent_changed(cx, agent, connected);
        if resumed {
            self.agent_changed(cx, agent, AgentChange::Resumed);
        } else {
            self.refresh(cx, agent);
        }
    }

    /// The connection is gone: the agent keeps what it has until the grace is over.
    pub(in crate::engine) fn disconnected(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        durable: bool,
        why: &'static str,
    ) {
        self.set_connection(cx, agent, ConnectionState::Away, durable, why);
        self.agent_changed(cx, agent, AgentChange::Disconnected);
    }

    /// After a restart: an agent that was connected is away, with its tasks. Says whether it is.
    pub(in crate::engine) fn recovered(&mut self, cx: &mut Context, agent: &Agent) -> bool {
        let member = self.core.members.0.get(agent);
        let Some(member) = member.filter(|member| member.connection == ConnectionState::Away)
        else {
            return false;
        };
        if !member.left {
            let happened = RoomEvent {
                to: Some(connection_word(ConnectionState::Away)),
                detail: Detail {
                    reason: Some("the gateway restarted"),
                    ..Detail::default()
                },
                ..RoomEvent::new("presence.away", agent.as_str(), agent)
            };
            self.tx(cx).record_event(&happened);
        }
        self.refresh(cx, agent);
        self.agent_changed(cx, agent, AgentChange::Restarted);
        true
    }

    /// Whether the agent has its place from an earlier session, and the present one is silent here.
    pub(in crate::engine) fn is_unconfirmed(&self, agent: &Agent) -> bool {
        let member = self.core.members.0.get(agent);
        member.is_some_and(|member| member.unconfirmed)
    }

    /// The grace of a connected agent is over: what its new session has not taken up is gone.
    pub(in crate::engine) fn confirm(&mut self, cx: &mut Context, agent: &Agent) {
        let Some(member) = self.core.members.0.get_mut(agent) else {
            return;
        };
        if member.unconfirmed {
            self.depart(cx, agent, Departure::Ended);
            return;
        }
        let owed = &std::mem::take(&mut member.owed);
        self.agent_changed(cx, agent, AgentChange::Confirmed { owed });
    }
}

fn check_announcement(cx: &Context, said: &Announcement) -> Result<(), Rejection> {
    let settings = &cx.settings;
    text_at_most("name", said.name.as_deref(), settings.commands.max_label.0)?;
    text_at_most("role", said.role.as_deref(), settings.commands.max_label.0)?;
    json_at_most(
        "metadata",
        said.metadata.as_ref(),
        settings.rooms.max_metadata.0,
    )?;
    let capabilities = said.capabilities.len();
    entries_at_most(
        "capabilities",
        capabilities,
        settings.rooms.max_capabilities_per_agent,
    )?;
    let capacity = said.capacity.unwrap_or(1);
    between(
        "capacity",
        capacity.into(),
        0,
        settings.rooms.max_capacity.into(),
    )?;
    if said.load.is_some_and(|load| !(0.0..=1.0).contains(&load)) {
        let reason = format!(
            "load must be 0 to 1, but is {}",
            said.load.unwrap_or_default()
        );
        return Err(Rejection::new(Code::Invalid, reason).at("load"));
    }
    Ok(())
}

//! Presence: who is in a room, whether the gateway holds their connection, and what they can take.
//!
//! It changes an agent's place in one room; `session` does so in all its rooms. Whatever may change how an agent looks only stirs
//! it: what it then looks like is shown once per batch, by `flush`.

use crate::wire::name::{Agent, Capability, Tool};
use crate::wire::presence::{Announcement, ConnectionState, Status};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{Offer, RoomTopic, Topic};

use super::context::Context;
use super::event::{Detail, Happened};
use super::member::{Departure, Member, Session, connection_word, status_word};
use super::record::Change;
use super::replies::{
    Accepted, Call, Outcome, between, entries_at_most, json_at_most, text_at_most,
};
use super::room::RoomState;
use super::{Effect, Mailboxes};

impl RoomState {
    /// Notes that an agent may look different; `surely` where more changed than the number of its tasks.
    pub(super) fn stir(&mut self, cx: &mut Context, agent: &Agent, surely: bool) {
        self.touch(cx);
        match self.stirred.get_mut(agent) {
            Some(known) => *known |= surely,
            None => {
                self.stirred.insert(agent.clone(), surely);
            }
        }
    }

    /// Shows every agent that looks different from when it was last shown.
    pub(super) fn flush_presence(&mut self, cx: &mut Context) {
        for (agent, surely) in std::mem::take(&mut self.stirred) {
            let member = self.members.0.get_mut(&agent);
            let Some(member) = member.filter(|member| !member.left) else {
                continue;
            };
            let looks = (member.in_flight(), member.status(), member.connection);
            if !surely && member.shown == Some(looks) {
                continue;
            }
            member.shown = Some(looks);
            let payload = cx.wall.encode(&member.presence(&agent));
            let topic = RoomTopic::new(self.name.clone(), Topic::PresenceAgent { agent });
            cx.emit(Effect::Retain {
                topic,
                payload: Some(payload),
            });
        }
    }

    /// The agent's place, made if it has none; says so if it is new or was left.
    pub(super) fn join(&mut self, cx: &mut Context, agent: &Agent) -> Result<(), Rejection> {
        let limit = cx.settings.max_agents_per_room;
        let is_full = self.members.0.len() >= limit;
        let joined = match self.members.0.get_mut(agent) {
            Some(member) if member.left => {
                member.left = false;
                member.since = cx.now;
                true
            }
            Some(_) => false,
            None if is_full => {
                let reason = format!("the room has its {limit} agents");
                return Err(Rejection::new(Code::TooMany, reason));
            }
            None => {
                let mut member = Member::new(cx.now);
                (member.connection, member.durable) = self.take_place(cx, agent);
                self.members.0.insert(agent.clone(), member);
                cx.stats.agents += 1;
                true
            }
        };
        if joined {
            self.present += 1;
            self.is_back(cx, agent);
            let connection = self.members.0.get(agent).map(|member| member.connection);
            let happened = Happened {
                to: connection.map(connection_word),
                ..Happened::new("presence.joined", agent.as_str(), agent)
            };
            self.tell(cx, &happened);
        }
        if let Some(member) = self.members.0.get_mut(agent) {
            member.unconfirmed = false;
        }
        Ok(())
    }

    /// Enters the room into the agent's session; returns how its connection stands (a will speaks for who is not there) and whether
    /// the session is durable.
    fn take_place(&self, cx: &mut Context, agent: &Agent) -> (ConnectionState, bool) {
        let session = cx.sessions.entry(agent.clone()).or_insert_with(|| Session {
            connected: true,
            window: u32::MAX,
            ..Session::default()
        });
        session.rooms.insert(self.name.clone());
        let connection = match (session.connected, session.grace_until) {
            (true, _) => ConnectionState::Online,
            (false, Some(_)) => ConnectionState::Away,
            (false, None) => ConnectionState::Offline,
        };
        (connection, session.durable)
    }

    /// Records and shows what changed about an agent, and lets the scheduler know what it can take.
    pub(super) fn refresh(&mut self, cx: &mut Context, agent: &Agent) {
        self.change(cx, Change::Member(agent.clone()));
        self.stir(cx, agent, true);
        self.assess(cx, agent);
    }

    /// Lets the scheduler know what an agent can take.
    pub(super) fn assess(&mut self, cx: &mut Context, agent: &Agent) {
        let Some(member) = self.members.0.get(agent) else {
            return;
        };
        let may_work = cx.may_work(&self.name, agent);
        match member.skills().filter(|_| may_work) {
            Some(skills) => {
                let session = cx.sessions.get(agent);
                let window = session.map_or(u32::MAX, |session| session.window);
                let in_flight = member.in_flight();
                let scheduler = &mut self.handoff.scheduler;
                scheduler.set_worker(agent, skills, in_flight, window);
            }
            None => self.handoff.scheduler.remove_worker(agent),
        }
        self.recall(cx, agent);
    }

    pub(super) fn announce(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        let agent = call.from();
        if call.command.payload.is_empty() {
            self.depart(cx, agent, Departure::Left);
            return Ok(Accepted::new(Code::Done));
        }
        let said: Announcement = call.read(&cx.settings)?;
        check_announcement(cx, &said)?;
        self.join(cx, agent)?;
        if let Some(encoding) = said.encoding {
            let limit = cx.settings.max_encodings;
            cx.encodings.announced(agent, encoding, limit);
        }
        let Some(member) = self.members.0.get_mut(agent) else {
            return Ok(Accepted::new(Code::Done));
        };
        let before = member.status();
        member.last_seen = cx.now;
        member.lapsed = false;
        member.announcement = Some(Box::new(said));
        let after = member.status();
        let happened = Happened {
            from: Some(status_word(before)),
            to: Some(status_word(after)),
            ..Happened::new("presence.announced", agent.as_str(), agent)
        };
        self.tell(cx, &happened);
        self.refresh(cx, agent);
        self.tell_drained(cx, agent);
        Ok(Accepted::new(Code::Done))
    }

    /// Says so when an agent that takes no new work has none left.
    pub(super) fn tell_drained(&mut self, cx: &mut Context, agent: &Agent) {
        let member = self.members.0.get(agent);
        let drained = |member: &Member| {
            member.status() == Status::Draining && member.held.is_empty() && !member.left
        };
        if member.is_some_and(drained) {
            let happened = Happened::new("presence.drained", agent.as_str(), agent);
            self.tell(cx, &happened);
        }
    }

    pub(super) fn offer(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        offer: Offer,
    ) -> Result<(), Rejection> {
        self.expect_member(cx, agent)?;
        if self.closed.is_some() && matches!(offer, Offer::Joins(_)) {
            // To listen, for replies say, is no part in it.
            return Ok(());
        }
        self.is_open()?;
        self.join(cx, agent)?;
        let limit = cx.settings.max_capabilities_per_agent;
        let Some(member) = self.members.0.get_mut(agent) else {
            return Ok(());
        };
        member.last_seen = cx.now;
        if let Offer::Works(_, capability) = offer {
            if member.works.len() >= limit && !member.works.contains(&capability) {
                let reason = format!("{agent} offers its {limit} capabilities in the room");
                return Err(Rejection::new(Code::TooMany, reason));
            }
            if member.works.insert(capability.clone()) {
                self.tell_capability(cx, "presence.offered", agent, &capability);
            }
            self.refresh(cx, agent);
            self.deliver_owed(cx, agent, &capability);
        } else {
            if let Offer::Provides(_, tool) = &offer {
                let limit = cx.settings.max_tools_per_agent;
                if member.provides.len() >= limit && !member.provides.contains(tool) {
                    let reason = format!("{agent} listens to its {limit} tools in the room");
                    return Err(Rejection::new(Code::TooMany, reason));
                }
                member.provides.insert(tool.clone());
            }
            self.refresh(cx, agent);
            if let Offer::Provides(_, tool) = &offer {
                self.send_owed_runs(cx, agent, tool);
            }
        }
        Ok(())
    }

    pub(super) fn withdraw(&mut self, cx: &mut Context, agent: &Agent, offer: &Offer) {
        if let Offer::Provides(_, tool) = offer {
            self.stop_listening(cx, agent, tool);
        }
        let Offer::Works(_, capability) = offer else {
            return;
        };
        let Some(member) = self.members.0.get_mut(agent) else {
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
            self.tell_capability(cx, "presence.withdrawn", agent, capability);
        }
        self.refresh(cx, agent);
    }

    fn stop_listening(&mut self, cx: &mut Context, agent: &Agent, tool: &Tool) {
        let Some(member) = self.members.0.get_mut(agent) else {
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

    fn tell_capability(
        &mut self,
        cx: &mut Context,
        what: &'static str,
        agent: &Agent,
        capability: &Capability,
    ) {
        let detail = Detail {
            capability: Some(capability),
            ..Detail::default()
        };
        let happened = Happened::new(what, agent.as_str(), agent);
        self.tell(cx, &Happened { detail, ..happened });
    }

    /// Takes an agent out of the room: its tasks go back, its presence is cleared.
    pub(super) fn depart(&mut self, cx: &mut Context, agent: &Agent, why: Departure) {
        if self.members.0.get(agent).is_some_and(|member| !member.left) {
            self.present -= 1;
            self.remember_departed(cx, agent);
        }
        let Some(member) = self.members.0.get_mut(agent) else {
            return;
        };
        let was_there = !std::mem::replace(&mut member.left, true);
        let connection = member.connection;
        member.announcement = None;
        member.owed.clear();
        member.shown = None;
        let stays = why == Departure::Left && !member.offers_nothing();
        self.handoff.scheduler.remove_worker(agent);
        self.withdraw_tools(cx, agent);
        if was_there {
            self.give_back_all(cx, agent, why);
            self.release_locks(cx, agent);
            let happened = Happened {
                from: Some(connection_word(connection)),
                ..Happened::new("presence.left", agent.as_str(), agent)
            };
            self.tell(cx, &happened);
        }
        self.stirred.remove(agent);
        if was_there {
            let topic = Topic::PresenceAgent {
                agent: agent.clone(),
            };
            cx.emit(Effect::Retain {
                topic: RoomTopic::new(self.name.clone(), topic),
                payload: None,
            });
        }
        if stays {
            self.change(cx, Change::Member(agent.clone()));
        } else {
            self.remove_member(cx, agent);
        }
    }

    fn remove_member(&mut self, cx: &mut Context, agent: &Agent) {
        self.members.0.remove(agent);
        self.handoff.scheduler.remove_worker(agent);
        cx.stats.agents -= 1;
        if let Some(session) = cx.sessions.get_mut(agent) {
            session.rooms.remove(&self.name);
            if session.rooms.is_empty() && !session.connected {
                cx.sessions.remove(agent);
            }
        }
        self.change(cx, Change::Member(agent.clone()));
    }

    /// Notes what became of an agent's connection.
    pub(super) fn set_connection(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        connection: ConnectionState,
        durable: bool,
        why: &'static str,
    ) {
        let Some(member) = self.members.0.get_mut(agent) else {
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
            let happened = Happened {
                from: Some(connection_word(before)),
                to: Some(connection_word(connection)),
                detail: Detail {
                    reason: Some(why).filter(|why| !why.is_empty()),
                    ..Detail::default()
                },
                ..Happened::new(what, agent.as_str(), agent)
            };
            self.tell(cx, &happened);
        }
        self.refresh(cx, agent);
    }

    /// A new session of an agent that has a place here: its subscriptions stand, or are gone with its earlier session.
    pub(super) fn connected(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        resumed: bool,
        durable: bool,
        mailboxes: &dyn Mailboxes,
    ) {
        let Some(member) = self.members.0.get_mut(agent) else {
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
        self.pause_leases(cx, agent);
        self.provider_is_back(cx, agent, resumed, mailboxes);
        if resumed {
            self.deliver_held(cx, agent);
        } else {
            self.refresh(cx, agent);
        }
    }

    /// How many messages an agent can be sent now.
    pub(super) fn set_window(&mut self, agent: &Agent, free: u32) {
        self.handoff.scheduler.set_window(agent, free);
    }

    /// The connection is gone: the agent keeps what it has until the grace is over.
    pub(super) fn disconnected(
        &mut self,
        cx: &mut Context,
        agent: &Agent,
        durable: bool,
        why: &'static str,
    ) {
        self.set_connection(cx, agent, ConnectionState::Away, durable, why);
        self.expect_provider_back(cx, agent);
        self.pause_leases(cx, agent);
    }

    /// After a restart: an agent that was connected is away, with its tasks. Says whether it is.
    pub(super) fn recovered(&mut self, cx: &mut Context, agent: &Agent) -> bool {
        let member = self.members.0.get(agent);
        let Some(member) = member.filter(|member| member.connection == ConnectionState::Away)
        else {
            return false;
        };
        if !member.left {
            let happened = Happened {
                to: Some(connection_word(ConnectionState::Away)),
                detail: Detail {
                    reason: Some("the gateway restarted"),
                    ..Detail::default()
                },
                ..Happened::new("presence.away", agent.as_str(), agent)
            };
            self.tell(cx, &happened);
        }
        self.refresh(cx, agent);
        self.restart_leases(cx, agent);
        self.spare_provider(agent);
        true
    }

    /// Whether the agent has its place from an earlier session, and the present one has said nothing here.
    pub(super) fn is_unconfirmed(&self, agent: &Agent) -> bool {
        let member = self.members.0.get(agent);
        member.is_some_and(|member| member.unconfirmed)
    }

    /// The grace is over for an agent that is connected: what its new session has not taken up is gone.
    pub(super) fn confirm(&mut self, cx: &mut Context, agent: &Agent) {
        let Some(member) = self.members.0.get_mut(agent) else {
            return;
        };
        if member.unconfirmed {
            self.depart(cx, agent, Departure::Ended);
            return;
        }
        let owed = std::mem::take(&mut member.owed);
        for no in owed {
            self.give_back(cx, no, Departure::Ended);
        }
        self.confirm_tools(cx, agent);
    }
}

fn check_announcement(cx: &Context, said: &Announcement) -> Result<(), Rejection> {
    let settings = &cx.settings;
    text_at_most("name", said.name.as_deref(), settings.max_label_bytes)?;
    text_at_most("role", said.role.as_deref(), settings.max_label_bytes)?;
    json_at_most(
        "metadata",
        said.metadata.as_ref(),
        settings.max_metadata_bytes,
    )?;
    let capabilities = said.capabilities.len();
    entries_at_most(
        "capabilities",
        capabilities,
        settings.max_capabilities_per_agent,
    )?;
    let capacity = said.capacity.unwrap_or(1);
    between("capacity", capacity.into(), 0, settings.max_capacity.into())?;
    if said.load.is_some_and(|load| !(0.0..=1.0).contains(&load)) {
        let reason = format!(
            "load must be 0 to 1, but is {}",
            said.load.unwrap_or_default()
        );
        return Err(Rejection::new(Code::Invalid, reason).at("load"));
    }
    Ok(())
}

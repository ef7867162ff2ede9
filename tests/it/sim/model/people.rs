//! Who is connected, since when not, and what each can do in which room.

use std::collections::{BTreeMap, BTreeSet};

use hallward::engine::Input;
use hallward::wire::Millis;
use hallward::wire::json;
use hallward::wire::name::{Agent, Capability, Room, Tool};
use hallward::wire::presence::{Announcement, Status};
use hallward::wire::topic::Offer;

use super::super::rules::Rules;

/// Where an agent's connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Link {
    Online,
    /// Lost; the grace runs from `since`, which is the gateway's last restart if it was not over
    /// before that.
    Away {
        since: Millis,
    },
    /// The session is gone.
    Gone,
}

/// What an agent is in one room.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Member {
    pub(in super::super) works: BTreeSet<Capability>,
    pub(in super::super) provides: BTreeSet<Tool>,
    pub(in super::super) joins: bool,
    pub(in super::super) announcement: Option<Announcement>,
    /// It came back with a new session and has not said anew what it can: what it announced before
    /// may count or not.
    pub(in super::super) unsure: bool,
    /// When the grace began of a session that has said nothing in the room yet, not even that it is
    /// there.
    pub(in super::super) silent_since: Option<Millis>,
}

/// Everybody.
#[derive(Default)]
pub(in super::super) struct People {
    pub(in super::super) links: BTreeMap<Agent, Link>,
    durable: BTreeMap<Agent, bool>,
    /// When an agent came with a new session last.
    begun: BTreeMap<Agent, Millis>,
    /// Since when those are away whose connection broke while the gateway was there to see it.
    cut: BTreeMap<Agent, Millis>,
    pub(in super::super) members: BTreeMap<(Room, Agent), Member>,
    /// Subscriptions of those who said that they leave and did not unsubscribe: they count again
    /// when they come back.
    dormant: BTreeMap<(Room, Agent), Member>,
}

impl Member {
    /// All that it can do here.
    pub(in super::super) fn capabilities(&self) -> BTreeSet<Capability> {
        let announced = self.announcement.iter().flat_map(|a| &a.capabilities);
        self.works.iter().chain(announced).cloned().collect()
    }

    /// Tasks at once.
    pub(in super::super) fn capacity(&self) -> u32 {
        let announced = self.announcement.as_ref().and_then(|a| a.capacity);
        announced.unwrap_or(1)
    }

    pub(in super::super) fn is_draining(&self) -> bool {
        let status = self.announcement.as_ref().and_then(|a| a.status);
        status == Some(Status::Draining)
    }

    /// The largest assignment that it takes; `None` if it takes any.
    pub(in super::super) fn max_bytes(&self) -> Option<u32> {
        self.announcement.as_ref().and_then(|said| said.max_bytes)
    }

    /// Whether anything says that it is in the room.
    pub(in super::super) fn is_in(&self) -> bool {
        let offers = !self.works.is_empty() || !self.provides.is_empty();
        self.joins || offers || self.announcement.is_some()
    }
}

impl People {
    /// `ticked_at` is the time of the input before.
    pub(super) fn input(&mut self, now: Millis, input: &Input, ticked_at: Millis, rules: &Rules) {
        self.grace_begins_anew(now, input);
        match input {
            Input::Recovered => self.cut.clear(),
            Input::Disconnected { agent, .. } => drop(self.cut.insert(agent.clone(), now)),
            Input::Connected { agent, .. } => drop(self.cut.remove(agent)),
            Input::SessionEnded { agent } => drop(self.cut.remove(agent)),
            _ => {}
        }
        match input {
            Input::Recovered => self.recovered(now, |since| since + rules.grace_ms <= ticked_at),
            Input::Connected {
                agent,
                resumed,
                durable,
                ..
            } => {
                self.links.insert(agent.clone(), Link::Online);
                self.durable.insert(agent.clone(), *durable);
                if !resumed {
                    self.begun.insert(agent.clone(), now);
                    self.new_session(agent, now);
                }
            }
            Input::Offered { agent, offer } => {
                let member = self.member(offer.room(), agent);
                member.silent_since = None;
                match offer {
                    Offer::Works(_, capability) => drop(member.works.insert(capability.clone())),
                    Offer::Provides(_, tool) => drop(member.provides.insert(tool.clone())),
                    Offer::Joins(_) => member.joins = true,
                }
            }
            Input::Withdrawn { agent, offer } => {
                // Having been in the room, it stays: only leaving leaves.
                let key = (offer.room().clone(), agent.clone());
                let (members, dormant) = (&mut self.members, &mut self.dormant);
                for member in [members.get_mut(&key), dormant.get_mut(&key)] {
                    let Some(member) = member else { continue };
                    member.joins = true;
                    match offer {
                        Offer::Works(_, capability) => drop(member.works.remove(capability)),
                        Offer::Provides(_, tool) => drop(member.provides.remove(tool)),
                        Offer::Joins(_) => {}
                    }
                }
            }
            Input::Disconnected { agent, .. } => {
                self.links.insert(agent.clone(), Link::Away { since: now });
            }
            Input::SessionEnded { agent } => {
                self.links.insert(agent.clone(), Link::Gone);
                self.members.retain(|(_, member), _| member != agent);
                self.dormant.retain(|(_, member), _| member != agent);
            }
            Input::Command(_)
            | Input::Ask(_)
            | Input::Refused { .. }
            | Input::Settings(_)
            | Input::ClockStepped { .. }
            | Input::TooLarge { .. }
            | Input::Sent { .. }
            | Input::Window { .. }
            | Input::Tick => {}
        }
    }

    /// Nobody is connected, and whoever was or still had the grace has all of it.
    fn recovered(&mut self, now: Millis, is_over: impl Fn(Millis) -> bool) {
        for link in self.links.values_mut() {
            *link = match *link {
                Link::Gone => Link::Gone,
                Link::Away { since } if is_over(since) => Link::Away { since },
                Link::Online | Link::Away { .. } => Link::Away { since: now },
            };
        }
    }

    /// Who connects, is cut off or finds the gateway restarted has the grace from then to say
    /// something.
    fn grace_begins_anew(&mut self, now: Millis, input: &Input) {
        let concerned = |agent: &Agent| match input {
            Input::Recovered => true,
            Input::Connected { agent: whose, .. } | Input::Disconnected { agent: whose, .. } => {
                agent == whose
            }
            _ => false,
        };
        for ((_, agent), member) in &mut self.members {
            if member.silent_since.is_some() && concerned(agent) {
                member.silent_since = Some(now);
            }
        }
    }

    fn new_session(&mut self, agent: &Agent, now: Millis) {
        self.dormant.retain(|(_, member), _| member != agent);
        for ((_, member), what) in &mut self.members {
            if member == agent {
                what.works.clear();
                what.provides.clear();
                what.joins = false;
                what.unsure = true;
                what.silent_since = Some(now);
            }
        }
    }

    fn member(&mut self, room: &Room, agent: &Agent) -> &mut Member {
        let key = (room.clone(), agent.clone());
        let dormant = self.dormant.remove(&key);
        self.members
            .entry(key)
            .or_insert_with(|| dormant.unwrap_or_default())
    }

    /// Something that it said makes it a member.
    pub(super) fn joined(&mut self, room: &Room, agent: &Agent) {
        let member = self.member(room, agent);
        member.joins = true;
        member.silent_since = None;
    }

    /// It said so.
    pub(super) fn said_farewell(&mut self, room: &Room, agent: &Agent) {
        let key = (room.clone(), agent.clone());
        if let Some(member) = self.members.remove(&key) {
            let standing = Member {
                works: member.works,
                provides: member.provides,
                joins: true,
                ..Member::default()
            };
            self.dormant.insert(key, standing);
        }
    }

    pub(super) fn announced(&mut self, room: &Room, agent: &Agent, payload: &[u8]) {
        let member = self.member(room, agent);
        member.announcement = json::decode(payload).ok();
        member.unsure = false;
        member.silent_since = None;
    }

    pub(super) fn left(&mut self, room: &Room, agent: &Agent) {
        self.members.remove(&(room.clone(), agent.clone()));
    }

    pub(in super::super) fn link(&self, agent: &Agent) -> Link {
        self.links.get(agent).copied().unwrap_or(Link::Gone)
    }

    pub(in super::super) fn is_online(&self, agent: &Agent) -> bool {
        self.link(agent) == Link::Online
    }

    pub(in super::super) fn outlives_its_connection(&self, agent: &Agent) -> bool {
        self.durable.get(agent).copied().unwrap_or(false)
    }

    /// Whether the agent has been away for `grace` by now.
    pub(in super::super) fn is_past(&self, agent: &Agent, grace: Millis, now: Millis) -> bool {
        match self.link(agent) {
            Link::Online => false,
            Link::Away { since } => since + grace <= now,
            Link::Gone => true,
        }
    }

    /// When the agent's connection broke, if the gateway has not restarted since.
    pub(in super::super) fn cut_at(&self, agent: &Agent) -> Option<Millis> {
        self.cut.get(agent).copied()
    }

    /// Whether the agent's connection broke so long ago, and the gateway has not restarted since.
    pub(in super::super) fn cut_off(&self, agent: &Agent, grace: Millis, now: Millis) -> bool {
        self.cut
            .get(agent)
            .is_some_and(|since| since + grace <= now)
    }

    /// Whether the agent's session began after something was sent to it, `grace` ago or longer.
    pub(in super::super) fn began_anew(
        &self,
        agent: &Agent,
        sent_at: Millis,
        grace: Millis,
        now: Millis,
    ) -> bool {
        let begun = self.begun.get(agent);
        begun.is_some_and(|at| *at >= sent_at && *at + grace <= now)
    }

    /// Whether an agent can be called for a tool that it has registered: surely, or at least
    /// perhaps.
    pub(in super::super) fn provides(
        &self,
        room: &Room,
        agent: &Agent,
        tool: &Tool,
        surely: bool,
    ) -> bool {
        let member = self.member_of(room, agent);
        let member = member.filter(|member| member.provides.contains(tool));
        let willing = |member: &Member| !member.is_draining() || (member.unsure && !surely);
        self.is_online(agent) && member.is_some_and(willing)
    }

    /// The members of a room.
    pub(in super::super) fn of_room<'a>(
        &'a self,
        room: &'a Room,
    ) -> impl Iterator<Item = (&'a Agent, &'a Member)> {
        self.members
            .iter()
            .filter(move |((where_, _), _)| where_ == room)
            .map(|((_, agent), member)| (agent, member))
    }

    pub(in super::super) fn member_of(&self, room: &Room, agent: &Agent) -> Option<&Member> {
        self.members.get(&(room.clone(), agent.clone()))
    }
}

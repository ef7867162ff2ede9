//! Members: an agent's session, its place in a room, and what that looks like to the others.
//!
//! Plain data with derived views; `presence` and `session` change it.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::name::{Agent, Capability, Room, Tool};
use crate::wire::presence::{Announcement, ConnectionState, Presence, Status};

use super::ids::TaskNo;
use super::machine::{Machine, Transition};
use super::size::SizeClass;

/// An agent's MQTT session, as far as coordination cares.
#[derive(Debug, Clone, Default)]
pub(super) struct AgentSession {
    pub(super) connected: bool,
    /// Whether it outlives its connection.
    pub(super) durable: bool,
    /// Where the agent has a place.
    pub(super) rooms: BTreeSet<Room>,
    /// When the grace ends that runs now.
    pub(super) grace_until: Option<Millis>,
    /// How many messages it can be sent before it has to acknowledge one, as far as the desk has
    /// said.
    pub(super) window: u32,
}

/// All sessions that are connected or have a place in a room.
pub(super) type Sessions = BTreeMap<Agent, AgentSession>;

/// An agent's place in a room.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) since: Millis,
    pub(super) last_seen: Millis,
    pub(super) announcement: Option<Box<Announcement>>,
    /// Capabilities that its subscriptions offer.
    pub(super) works: BTreeSet<Capability>,
    /// Tools whose runs its subscriptions take.
    pub(super) provides: BTreeSet<Tool>,
    pub(super) connection: ConnectionState,
    pub(super) durable: bool,
    /// It said that it leaves while subscriptions still stand: invisible and without work until it
    /// comes back.
    pub(super) left: bool,
    /// Its earlier session is gone and the new one has said nothing in this room yet.
    pub(super) unconfirmed: bool,
    /// A lease of its ran out and it has said nothing since. Not recorded.
    pub(super) lapsed: bool,
    /// The tasks that it has.
    pub(super) held: BTreeSet<TaskNo>,
    /// Those that its new session has not been sent again yet.
    pub(super) owed: BTreeSet<TaskNo>,
    /// What of its looks was shown last that may change without anybody saying so; unknown after a
    /// restart.
    pub(super) shown: Option<(u32, Status, ConnectionState)>,
}

/// What an available worker can take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Skills {
    /// By subscription: where assignments can be sent.
    pub(super) offered: BTreeSet<Capability>,
    /// Besides those.
    pub(super) announced: BTreeSet<Capability>,
    /// Tasks at once.
    pub(super) capacity: u32,
    /// The largest assignment that it takes.
    pub(super) limit: SizeClass,
}

/// The agents of a room.
#[derive(Debug, Default)]
pub(super) struct Members(pub(super) BTreeMap<Agent, Member>);

/// Why an agent has no place in a room any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It said so.
    Left,
    /// Its session is over.
    Ended,
}

impl Member {
    pub(super) fn new(now: Millis) -> Member {
        Member {
            since: now,
            last_seen: now,
            announcement: None,
            works: BTreeSet::new(),
            provides: BTreeSet::new(),
            connection: ConnectionState::Online,
            durable: false,
            left: false,
            unconfirmed: false,
            lapsed: false,
            held: BTreeSet::new(),
            owed: BTreeSet::new(),
            shown: None,
        }
    }

    /// Whether no subscription of its offers work or tools.
    pub(super) fn offers_nothing(&self) -> bool {
        self.works.is_empty() && self.provides.is_empty()
    }

    fn announced<T>(&self, field: impl FnOnce(&Announcement) -> Option<T>) -> Option<T> {
        self.announcement.as_deref().and_then(field)
    }

    pub(super) fn capacity(&self) -> u32 {
        self.announced(|said| said.capacity).unwrap_or(1)
    }

    /// The largest assignment that it takes, in bytes; `None` if it takes any.
    pub(super) fn max_bytes(&self) -> Option<u32> {
        self.announced(|said| said.max_bytes)
    }

    pub(super) fn in_flight(&self) -> u32 {
        u32::try_from(self.held.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn status(&self) -> Status {
        let derived = match self.lapsed {
            true => Status::Overloaded,
            false if self.in_flight() >= self.capacity() => Status::Busy,
            false => Status::Idle,
        };
        self.announced(|said| said.status).unwrap_or(derived)
    }

    /// Whether it can be given anything to do, as long as it has room for it.
    pub(super) fn is_available(&self) -> bool {
        let said = self.announced(|said| said.status);
        let willing = !matches!(said, Some(Status::Draining | Status::Overloaded));
        let online = self.connection == ConnectionState::Online;
        online && willing && !self.left
    }

    /// What it can be given work for; `None` while it can be given none at all.
    pub(super) fn skills(&self) -> Option<Skills> {
        self.is_available().then(|| Skills {
            offered: self.works.clone(),
            announced: self
                .announced(|said| Some(said.capabilities.iter().cloned().collect()))
                .unwrap_or_default(),
            capacity: self.capacity(),
            limit: SizeClass::of_limit(self.max_bytes()),
        })
    }

    pub(super) fn presence(&self, agent: &Agent) -> Presence {
        let mut capabilities = self.works.clone();
        capabilities.extend(
            self.announcement
                .iter()
                .flat_map(|said| said.capabilities.clone()),
        );
        let said = self.announcement.as_deref();
        Presence {
            agent: agent.clone(),
            name: said.and_then(|said| said.name.clone()),
            role: said.and_then(|said| said.role.clone()),
            capabilities: capabilities.into_iter().collect(),
            capacity: self.capacity(),
            in_flight: self.in_flight(),
            status: self.status(),
            connection: self.connection,
            load: said.and_then(|said| said.load),
            metadata: said.and_then(|said| said.metadata.clone()),
            since: self.since,
            last_seen: self.last_seen,
        }
    }
}

impl Members {
    pub(super) fn role(&self, agent: &Agent) -> Option<&str> {
        let member = self.0.get(agent).filter(|member| !member.left)?;
        member.announcement.as_deref()?.role.as_deref()
    }
}

/// An agent's connection, as a room sees it.
#[rustfmt::skip]
pub(super) const CONNECTION: Machine = Machine {
    name: "connection",
    transitions: &[
        Transition::begins("an agent that is connected subscribes or announces itself in the room", "online", "presence.joined"),
        Transition::begins("its will brings it there while the reconnect grace runs", "away", "presence.joined"),
        Transition::begins("its will brings it there after the reconnect grace", "offline", "presence.joined"),
        Transition::moves("online", "its connection ends", "away", "presence.away"),
        Transition::stays("away", "the gateway has restarted: so is whoever was online before", "presence.away"),
        Transition::moves("away", "it is back in time", "online", "presence.online"),
        Transition::moves("away", "the reconnect grace is over, and its session lasts", "offline", "presence.offline"),
        Transition::moves("offline", "it is back", "online", "presence.online"),
        Transition::ends("online", "it leaves; or its new session has not come here within the grace; or the room is closed", "presence.left"),
        Transition::ends("away", "the reconnect grace is over, and its session does not last; or its session is ended; or the room is closed", "presence.left"),
        Transition::ends("offline", "its session is over, or the room is closed", "presence.left"),
    ],
};

pub(super) fn connection_word(connection: ConnectionState) -> &'static str {
    match connection {
        ConnectionState::Online => "online",
        ConnectionState::Away => "away",
        ConnectionState::Offline => "offline",
    }
}

pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Idle => "idle",
        Status::Busy => "busy",
        Status::Overloaded => "overloaded",
        Status::Draining => "draining",
    }
}

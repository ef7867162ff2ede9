//! Everyone whom the desk keeps something for: connections, sessions, mailboxes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::client_state::{ClientState, Connected, Session, Will};
use super::commits::Commits;
use super::limits::ClientLimits;
use super::memory::MemoryBudget;
use super::outbox::Outbox;
use super::port::ConnectionId;
use super::records::{self, SessionRecord};
use crate::engine::Mailboxes;
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::name::{Agent, GATEWAY};

/// One client.
#[derive(Debug)]
pub struct Client {
    /// The MQTT client id.
    pub id: Arc<str>,
    /// The same, where it is an agent's.
    pub agent: Option<Agent>,
    /// The user whose it is: session, mailbox and connection. `None` until a user has claimed it.
    pub owner: Option<Arc<str>>,
    /// Whether the ledger knows the owner.
    pub owner_stored: bool,
    /// Where it is: its connection and its session.
    pub state: ClientState,
    /// What waits for it.
    pub outbox: Outbox,
    /// A will that waits for it to come back, or for its session to end, and until when.
    pub delayed_will: Option<(Millis, Will)>,
    /// Whether the ledger has a will of it.
    pub will_stored: bool,
}

impl Client {
    /// Its session, which survives; made if it is not known yet.
    pub fn durable_session(&mut self) -> &mut Session {
        let session = self.state.session_or_new();
        session.durable = true;
        session
    }

    fn new(id: Arc<str>, memory: Arc<MemoryBudget>) -> Client {
        let agent = Agent::new(&id)
            .ok()
            .filter(|agent| agent.as_str() != GATEWAY);
        Client {
            id,
            agent,
            owner: None,
            owner_stored: false,
            state: ClientState::default(),
            outbox: Outbox::counted_in(memory),
            delayed_will: None,
            will_stored: false,
        }
    }

    /// Whether it is connected, and allowed to receive on this topic.
    pub fn may_receive_now(&self, topic: &str) -> bool {
        self.state.connected().is_some_and(|connected| {
            let authorizer = connected.authorizer.as_ref();
            authorizer.is_none_or(|authorizer| authorizer.may_receive(topic))
        })
    }

    /// Whether nothing of it is left to keep.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, ClientState::MailboxOnly)
            && self.outbox.is_empty()
            && self.delayed_will.is_none()
    }

    /// Whether its session's queue has room for so many bytes more.
    pub fn can_queue(&self, limits: &ClientLimits, bytes: usize) -> bool {
        self.outbox.queued_messages() < limits.max_queued_messages
            && self.outbox.queued_bytes() + bytes <= limits.max_queued_bytes
    }
}

/// All clients, by id.
#[derive(Debug)]
pub struct Clients {
    clients: BTreeMap<Arc<str>, Client>,
    connections: BTreeMap<ConnectionId, Arc<str>>,
    limits: ClientLimits,
    memory: Arc<MemoryBudget>,
}

impl Clients {
    /// Nobody yet.
    pub fn new(limits: ClientLimits, memory: Arc<MemoryBudget>) -> Clients {
        Clients {
            clients: BTreeMap::new(),
            connections: BTreeMap::new(),
            limits,
            memory,
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> &ClientLimits {
        &self.limits
    }

    /// Other limits from now on; what is there stays.
    pub fn set_limits(&mut self, limits: ClientLimits) {
        self.limits = limits;
    }

    /// A client is connected by this connection from now on.
    pub fn add_connection(&mut self, connection: ConnectionId, id: &Arc<str>) {
        self.connections.insert(connection, id.clone());
    }

    /// The client behind a connection; `None` after a take-over, whose late requests count for
    /// nothing.
    pub fn of_connection(&self, connection: ConnectionId) -> Option<Arc<str>> {
        self.connections.get(&connection).cloned()
    }

    /// A connection is gone; the client that was behind it.
    pub fn remove_connection(&mut self, connection: ConnectionId) -> Option<Arc<str>> {
        self.connections.remove(&connection)
    }

    /// How many are connected.
    pub fn connections_len(&self) -> usize {
        self.connections.len()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Looks one up.
    pub fn get(&self, id: &str) -> Option<&Client> {
        self.clients.get(id)
    }

    /// Looks one up, to change it.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Client> {
        self.clients.get_mut(id)
    }

    /// The connection of a client that is connected.
    pub fn connected(&self, id: &str) -> Option<&Connected> {
        self.get(id)?.state.connected()
    }

    /// The same, to change it.
    pub fn connected_mut(&mut self, id: &str) -> Option<&mut Connected> {
        self.get_mut(id)?.state.connected_mut()
    }

    /// Whether a client is connected.
    pub fn is_connected(&self, id: &str) -> bool {
        self.connected(id).is_some()
    }

    /// The session of a client that has one.
    pub fn session(&self, id: &str) -> Option<&Session> {
        self.get(id)?.state.session()
    }

    /// The same, to change it.
    pub fn session_mut(&mut self, id: &str) -> Option<&mut Session> {
        self.get_mut(id)?.state.session_mut()
    }

    /// Looks one up or makes one, unless there are too many.
    pub fn get_or_add(&mut self, id: &Arc<str>) -> Option<&mut Client> {
        if !self.clients.contains_key(id) {
            if self.clients.len() >= self.limits.max_clients {
                return None;
            }
            let client = Client::new(id.clone(), self.memory.clone());
            self.clients.insert(id.clone(), client);
        }
        self.clients.get_mut(id)
    }

    /// Puts one back from the ledger, whatever the limits are now.
    pub fn restore(&mut self, id: &str) -> &mut Client {
        let id: Arc<str> = id.into();
        self.clients
            .entry(id.clone())
            .or_insert_with(|| Client::new(id, self.memory.clone()))
    }

    /// Forgets a client of which nothing is left.
    pub(super) fn forget_if_idle(&mut self, id: &str, commits: &mut Commits) {
        let idle = self.clients.get(id).filter(|client| client.is_idle());
        let Some(idle) = idle else { return };
        if idle.owner_stored {
            commits.delete(Space::Session, records::owner_key(id));
        }
        self.clients.remove(id);
    }

    /// Whether what is kept under a client id, or is connected under it, is this user's or still
    /// nobody's. Without authentication nobody is asked.
    pub fn may_claim(&self, id: &str, user: Option<&Arc<str>>) -> bool {
        let owner = self.get(id).and_then(|client| client.owner.as_ref());
        match (owner, user) {
            (Some(owner), Some(user)) => owner == user,
            _ => true,
        }
    }

    /// The user whose a client is, where users are known.
    pub fn owner_of(&self, id: &str) -> Option<Arc<str>> {
        self.get(id)?.owner.clone()
    }

    /// What is kept under a client id is this user's from now on, unless it is somebody's.
    pub(super) fn claim(&mut self, id: &str, user: Option<&Arc<str>>, commits: &mut Commits) {
        let client = self.clients.get_mut(id);
        if let Some(client) = client.filter(|client| client.owner.is_none()) {
            client.owner = user.cloned();
        }
        self.store_owner(id, commits);
    }

    /// Puts a client's owner on disk as soon as there is something to be owned there.
    pub(super) fn store_owner(&mut self, id: &str, commits: &mut Commits) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let kept = client.will_stored || client.state.is_durable() || client.outbox.mail_len() > 0;
        let owner = client.owner.as_ref();
        if let Some(owner) = owner.filter(|_| kept && !client.owner_stored) {
            let value = Bytes::copy_from_slice(owner.as_bytes());
            commits.put(Space::Session, records::owner_key(id), value);
            client.owner_stored = true;
        }
    }

    /// Puts the header of a client's session on disk.
    pub(super) fn store_header(&self, id: &str, commits: &mut Commits) {
        let Some(client) = self.get(id) else {
            return;
        };
        let Some(session) = client.state.session() else {
            return;
        };
        let record = SessionRecord {
            expiry: session.expiry,
            offline_since: session.offline_since.unwrap_or(0),
            sent: client.outbox.sent().max(session.sent),
        };
        commits.put(Space::Session, records::header_key(id), record.encode());
    }

    /// Stores the will of the connection that was just accepted, or forgets that of an earlier one.
    pub(super) fn store_will(&mut self, id: &str, commits: &mut Commits) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let connected = client.state.connected();
        let will = connected.and_then(|connected| connected.will.as_ref());
        match will.and_then(|will| records::will::encode(&will.record)) {
            Some(record) => {
                client.will_stored = true;
                commits.put(Space::Session, records::will_key(id), record);
            }
            None => self.forget_will(id, commits),
        }
    }

    /// The will is published, or never will be.
    pub(super) fn forget_will(&mut self, id: &str, commits: &mut Commits) {
        let client = self.clients.get_mut(id);
        if client.is_some_and(|client| std::mem::take(&mut client.will_stored)) {
            commits.delete(Space::Session, records::will_key(id));
        }
    }

    /// Whether a client waits for an answer to SUBSCRIBE or UNSUBSCRIBE that only the disk can
    /// give, which takes nothing.
    pub(super) fn waits_for_disk(&self, id: &str, commits: &Commits) -> bool {
        let durable = self.session(id).is_some_and(|session| session.durable);
        let connected = self.connected(id);
        commits.is_stalled()
            && durable
            && connected.is_some_and(|own| !commits.is_durable(own.subscribed_in))
    }

    /// Everyone, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// Everyone, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.clients.values_mut()
    }
}

impl Mailboxes for Clients {
    fn free_messages(&self, agent: &Agent) -> usize {
        match self.get(agent.as_str()) {
            Some(client) => self
                .limits
                .max_mailbox_messages
                .saturating_sub(client.outbox.directed_messages()),
            None if self.clients.len() < self.limits.max_clients => {
                self.limits.max_mailbox_messages
            }
            None => 0,
        }
    }

    fn free_bytes(&self, agent: &Agent) -> usize {
        let used = self
            .get(agent.as_str())
            .map_or(0, |client| client.outbox.directed_bytes());
        self.limits.max_mailbox_bytes.saturating_sub(used)
    }

    fn free_results(&self, agent: &Agent) -> usize {
        let used = match self.get(agent.as_str()) {
            Some(client) => client.outbox.promised_messages(),
            None if self.clients.len() < self.limits.max_clients => 0,
            None => return 0,
        };
        self.limits.max_results.saturating_sub(used)
    }

    fn free_result_bytes(&self, agent: &Agent) -> usize {
        let client = self.get(agent.as_str());
        let used = client.map_or(0, |client| client.outbox.promised_bytes());
        self.limits.max_result_bytes.saturating_sub(used)
    }

    fn free_memory(&self) -> usize {
        self.memory.room_to_store()
    }
}

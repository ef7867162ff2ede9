//! Everyone whom the desk keeps something for: connections, sessions, mailboxes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client_state::{ClientState, Connected, Session, Will};
use super::kind::Kind;
use super::limits::ClientLimits;
use super::memory::Memory;
use super::outbox::{Entry, Outbox};
use crate::engine::Mailboxes;
use crate::wire::Millis;
use crate::wire::filter::{self, Shared};
use crate::wire::message::Qos;
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

    fn new(id: Arc<str>, memory: Arc<Memory>) -> Client {
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
            let gate = connected.gate.as_ref();
            gate.is_none_or(|gate| gate.may_receive(topic))
        })
    }

    /// Whether nothing of it is left to keep.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, ClientState::MailboxOnly)
            && self.outbox.is_empty()
            && self.delayed_will.is_none()
    }

    /// What the session grants to a directed message on a topic: QoS and subscription identifiers.
    ///
    /// The topics that offer work or tools count only when subscribed to exactly: a wildcard there only watches.
    pub fn grants(&self, topic: &str, exact_only: bool) -> Option<(Qos, Vec<u32>)> {
        let mut granted: Option<(Qos, Vec<u32>)> = None;
        for subscription in self.state.session()?.subscriptions.values() {
            let filter = Shared::parse(&subscription.filter)
                .map_or(&*subscription.filter, |shared| shared.filter);
            let matches = if exact_only {
                filter == topic
            } else {
                filter::matches(filter, topic)
            };
            if matches {
                let (qos, ids) = granted.get_or_insert_default();
                *qos = (*qos).max(subscription.qos);
                ids.extend(subscription.id);
            }
        }
        granted
    }

    /// Whether its session's queue has room for so many bytes more.
    pub fn can_queue(&self, limits: &ClientLimits, bytes: usize) -> bool {
        self.outbox.queued_messages() < limits.max_queued_messages
            && self.outbox.queued_bytes() + bytes <= limits.max_queued_bytes
    }

    /// How an entry of the outbox is to be sent now; `None` if no subscription matches.
    pub fn terms(&self, entry: &Entry) -> Option<(Qos, bool, Vec<u32>)> {
        match &entry.kind {
            Kind::Queued {
                qos,
                retain,
                subscription_ids,
                ..
            } => Some((*qos, *retain, subscription_ids.clone())),
            Kind::Inbox | Kind::Directed(_) | Kind::Summary => {
                let exact_only = entry.kind.is_for_exact_topic();
                let (granted, ids) = self.grants(entry.message.topic(), exact_only)?;
                Some((entry.message.qos().min(granted), false, ids))
            }
        }
    }
}

/// All clients, by id.
#[derive(Debug)]
pub struct Clients {
    clients: BTreeMap<Arc<str>, Client>,
    /// The limits in force.
    pub limits: ClientLimits,
    memory: Arc<Memory>,
}

impl Clients {
    /// Nobody yet.
    pub fn new(limits: ClientLimits, memory: Arc<Memory>) -> Clients {
        Clients {
            clients: BTreeMap::new(),
            limits,
            memory,
        }
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
    pub fn forget_if_idle(&mut self, id: &str) {
        if self.clients.get(id).is_some_and(Client::is_idle) {
            self.clients.remove(id);
        }
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

//! Everyone whom the desk keeps something for: connections, sessions, mailboxes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kind::Kind;
use super::lanes::Sent;
use super::limits::ClientLimits;
use super::memory::{Held, Holder, Memory};
use super::outbox::{Entry, Outbox};
use super::port::{Connection, Gate, Response};
use super::records::will::WillRecord;
use super::subscription::{Replay, Subscription};
use crate::engine::Mailboxes;
use crate::wire::Millis;
use crate::wire::filter::{self, Shared};
use crate::wire::message::Qos;
use crate::wire::name::{Agent, GATEWAY};
use crate::wire::topic::Offer;

/// A client that is connected now.
#[derive(Debug)]
pub struct Connected {
    /// The way to it.
    pub connection: Connection,
    /// How many deliveries may be unacknowledged.
    pub window: usize,
    /// How many assignments it can still be sent, as far as the engine has been told.
    pub told_window: usize,
    /// The batch of what was held back for it last (CONNACK, SUBACK, a delivery): nothing is delivered before that.
    pub answered_in: u64,
    /// The batch that has the last answer to SUBSCRIBE or UNSUBSCRIBE: they go in order.
    pub subscribed_in: u64,
    /// What it may do; `None` for everything.
    pub gate: Option<Arc<dyn Gate>>,
    /// Published if it ends badly.
    pub will: Option<Will>,
    /// Acknowledgements of publishers that wait until this client catches up.
    pub held: Vec<(Connection, Response)>,
    /// How long those publishers are asked to wait, if there are any.
    pub patience_ends: Option<Millis>,
}

/// What is published when a connection ends without DISCONNECT.
#[derive(Debug)]
pub struct Will {
    /// What the ledger has of it.
    pub record: WillRecord,
    /// Asked again when it is published.
    pub gate: Option<Arc<dyn Gate>>,
    /// Its place in memory.
    _held: Held,
}

impl Will {
    /// Counts it in `memory` as long as it lives.
    pub fn new(memory: &Arc<Memory>, record: WillRecord, gate: Option<Arc<dyn Gate>>) -> Will {
        let size = record.publication.message.size();
        Will {
            _held: Held::new(memory, Holder::Wills, size),
            record,
            gate,
        }
    }
}

/// A session (MQTT section 4.1).
#[derive(Debug, Default)]
pub struct Session {
    /// Seconds that it outlives its connection.
    pub expiry: u32,
    /// Whether it is in the ledger.
    pub durable: bool,
    /// When the connection was lost.
    pub offline_since: Option<Millis>,
    /// By filter.
    pub subscriptions: BTreeMap<Arc<str>, Subscription>,
    /// Subscriptions, by filter, whose retained messages did not fit the queue at once.
    pub replays: BTreeMap<Arc<str>, Replay>,
    /// What the subscriptions say, and how many say it.
    pub offers: BTreeMap<Offer, usize>,
    /// Packet ids of inbound QoS 2 messages that were taken and not released.
    pub unreleased: BTreeSet<u16>,
    /// After a restart: what may have been sent before it.
    pub sent: Sent,
}

impl Session {
    /// When it ends, if it is offline and ends at all.
    pub fn ends_at(&self) -> Option<Millis> {
        if self.expiry == u32::MAX {
            return None;
        }
        self.offline_since
            .map(|since| since + u64::from(self.expiry) * 1000)
    }
}

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
    /// Its connection, if it has one.
    pub connected: Option<Connected>,
    /// Its session, if it has one.
    pub session: Option<Session>,
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
        let session = self.session.get_or_insert_default();
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
            connected: None,
            session: None,
            outbox: Outbox::counted_in(memory),
            delayed_will: None,
            will_stored: false,
        }
    }

    /// Whether it is connected, and allowed to receive on this topic.
    pub fn may_receive_now(&self, topic: &str) -> bool {
        self.connected.as_ref().is_some_and(|connected| {
            let gate = connected.gate.as_ref();
            gate.is_none_or(|gate| gate.may_receive(topic))
        })
    }

    /// Whether nothing of it is left to keep.
    pub fn is_idle(&self) -> bool {
        self.connected.is_none()
            && self.session.is_none()
            && self.outbox.is_empty()
            && self.delayed_will.is_none()
    }

    /// What the session grants to a directed message on a topic: QoS and subscription identifiers.
    ///
    /// The topics that offer work or tools count only when subscribed to exactly: a wildcard there only watches.
    pub fn grants(&self, topic: &str, exact_only: bool) -> Option<(Qos, Vec<u32>)> {
        let mut granted: Option<(Qos, Vec<u32>)> = None;
        for subscription in self.session.as_ref()?.subscriptions.values() {
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

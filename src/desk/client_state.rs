//! What there is of a client beside its mailbox: a connection and a session, a session alone, or
//! neither.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::memory::{Account, MemoryBudget, Reservation};
use super::outbox::OutboxEntry;
use super::outbox_kind::OutboxKind;
use super::port::{Authorizer, Connection, Response};
use super::records::will::WillRecord;
use super::send_order::SentMarks;
use super::subscription::{RetainedCursor, Subscription};
use crate::wire::Millis;
use crate::wire::filter::{self, SharedFilter};
use crate::wire::message::Qos;
use crate::wire::topic::Offer;

/// Where a client is. Whoever is connected has a session.
#[derive(Debug, Default)]
pub enum ClientState {
    /// Here.
    Connected(Box<Connected>, Session),
    /// Its connection is gone, its session is not.
    Away(Session),
    /// It has no session: its mail waits, or its will.
    #[default]
    MailboxOnly,
}

impl ClientState {
    /// Its connection, if it has one.
    pub fn connected(&self) -> Option<&Connected> {
        match self {
            ClientState::Connected(connected, _) => Some(connected),
            ClientState::Away(_) | ClientState::MailboxOnly => None,
        }
    }

    /// The same, to change it.
    pub fn connected_mut(&mut self) -> Option<&mut Connected> {
        match self {
            ClientState::Connected(connected, _) => Some(connected),
            ClientState::Away(_) | ClientState::MailboxOnly => None,
        }
    }

    /// Whether it has a connection.
    pub fn is_connected(&self) -> bool {
        self.connected().is_some()
    }

    /// Its session, if it has one.
    pub fn session(&self) -> Option<&Session> {
        match self {
            ClientState::Connected(_, session) | ClientState::Away(session) => Some(session),
            ClientState::MailboxOnly => None,
        }
    }

    /// The same, to change it.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            ClientState::Connected(_, session) | ClientState::Away(session) => Some(session),
            ClientState::MailboxOnly => None,
        }
    }

    /// Whether its session is in the ledger.
    pub fn is_durable(&self) -> bool {
        self.session().is_some_and(|session| session.durable)
    }

    /// Its session; a new one if it has none.
    pub fn session_or_new(&mut self) -> &mut Session {
        if let ClientState::MailboxOnly = self {
            *self = ClientState::Away(Session::default());
        }
        self.session_mut().expect("it has one now")
    }

    /// It is here, with the session that it had or a new one.
    pub fn connect(&mut self, connected: Connected) {
        let session = match std::mem::take(self) {
            ClientState::Connected(_, session) | ClientState::Away(session) => session,
            ClientState::MailboxOnly => Session::default(),
        };
        *self = ClientState::Connected(Box::new(connected), session);
    }

    /// It is away: takes its connection, if it had one.
    pub fn disconnect(&mut self) -> Option<Connected> {
        match std::mem::take(self) {
            ClientState::Connected(connected, session) => {
                *self = ClientState::Away(session);
                Some(*connected)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// Takes the session of a client that is away.
    pub fn end_session(&mut self) -> Option<Session> {
        match std::mem::take(self) {
            ClientState::Away(session) => Some(session),
            other => {
                *self = other;
                None
            }
        }
    }

    /// What the session grants to a directed message on a topic.
    ///
    /// The topics that offer work or tools count only when subscribed to exactly: a wildcard there
    /// only watches.
    pub fn grants(&self, topic: &str, exact_only: bool) -> Option<Grant> {
        let mut granted: Option<Grant> = None;
        for subscription in self.session()?.subscriptions.values() {
            let filter = SharedFilter::parse(&subscription.filter)
                .map_or(&*subscription.filter, |shared| shared.filter);
            let matches = if exact_only {
                filter == topic
            } else {
                filter::matches(filter, topic)
            };
            if matches {
                let grant = granted.get_or_insert(Grant {
                    qos: Qos::AtMostOnce,
                    retain: false,
                    subscription_ids: Vec::new(),
                });
                grant.qos = grant.qos.max(subscription.qos);
                grant.subscription_ids.extend(subscription.id);
            }
        }
        granted
    }

    /// How an entry of the outbox is to be sent now; `None` if no subscription matches.
    pub fn grant_of(&self, entry: &OutboxEntry) -> Option<Grant> {
        if let OutboxKind::Queued {
            qos,
            retain,
            subscription_ids,
            ..
        } = &entry.kind
        {
            return Some(Grant {
                qos: *qos,
                retain: *retain,
                subscription_ids: subscription_ids.clone(),
            });
        }
        let exact_only = entry.kind.is_for_exact_topic();
        let granted = self.grants(entry.message.topic(), exact_only)?;
        let qos = granted.qos.min(entry.message.qos());
        Some(Grant { qos, ..granted })
    }
}

/// How a message is to be sent to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The effective QoS.
    pub qos: Qos,
    /// The retain flag to show.
    pub retain: bool,
    /// MQTT 5 identifiers of the subscriptions that it matches.
    pub subscription_ids: Vec<u32>,
}

/// A client that is connected now.
#[derive(Debug)]
pub struct Connected {
    /// The way to it.
    pub connection: Connection,
    /// How many deliveries may be unacknowledged.
    pub window: usize,
    /// How many assignments it can still be sent, as far as the engine has been told.
    pub reported_window: usize,
    /// The batch of what was held back for it last (CONNACK, SUBACK, a delivery): nothing is
    /// delivered before that.
    pub answered_in: u64,
    /// The batch that has the last answer to SUBSCRIBE or UNSUBSCRIBE: they go in order.
    pub subscribed_in: u64,
    /// What it may do; `None` for everything.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// Published if it ends badly.
    pub will: Option<Will>,
    /// Acknowledgements of publishers that wait until this client catches up.
    pub deferred_acks: Vec<(Connection, Response)>,
    /// Until when those publishers wait, if there are any.
    pub slow_consumer_deadline: Option<Millis>,
}

/// What is published when a connection ends without DISCONNECT.
#[derive(Debug)]
pub struct Will {
    /// What the ledger has of it.
    pub record: WillRecord,
    /// Asked again when it is published.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// Its place in memory.
    _reservation: Reservation,
}

impl Will {
    /// Counts it in `memory` as long as it lives.
    pub fn new(
        memory: &Arc<MemoryBudget>,
        record: WillRecord,
        authorizer: Option<Arc<dyn Authorizer>>,
    ) -> Will {
        let size = record.publication.message.size();
        Will {
            _reservation: Reservation::new(memory, Account::Wills, size),
            record,
            authorizer,
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
    pub retained_cursors: BTreeMap<Arc<str>, RetainedCursor>,
    /// What the subscriptions say, and how many say it.
    pub offers: BTreeMap<Offer, usize>,
    /// Packet ids of inbound QoS 2 messages that were taken and not released.
    pub unreleased: BTreeSet<u16>,
    /// After a restart: what may have been sent before it.
    pub sent: SentMarks,
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

    /// One subscription more makes this offer.
    pub fn count_offer(&mut self, offer: Offer) {
        *self.offers.entry(offer).or_default() += 1;
    }

    /// One subscription less makes this offer; whether none is left.
    pub fn withdraw(&mut self, offer: &Offer) -> bool {
        let Some(count) = self.offers.get_mut(offer) else {
            return false;
        };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.offers.remove(offer);
        }
        last
    }
}

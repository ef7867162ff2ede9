//! Who wants what: the subscriptions of all sessions by their filters, and what the front door is
//! to know of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::interest::{Interest, Wanted};
use super::kind::Kind;
use super::memory::{Holder, Memory};
use super::shares::{Member, Shares, Turn};
use super::subscription::Subscription;
use super::trie::FilterTrie;
use crate::wire::filter::{self, SharedFilter};
use crate::wire::message::{Message, Qos};
use crate::wire::topic;

/// A durable subscription, as the index has it.
#[derive(Debug, Clone, Copy)]
struct Terms {
    qos: Qos,
    no_local: bool,
    retain_as_published: bool,
    id: Option<u32>,
}

/// All subscriptions that the desk must know by their filters.
#[derive(Debug)]
pub(super) struct SubscriptionIndex {
    /// The topic level under which rooms live.
    root: Box<str>,
    /// Unshared filters of durable sessions, by client. Those of QoS 0 add their identifiers to
    /// what the others have delivered.
    durable: FilterTrie<Arc<str>, Terms>,
    shares: Shares,
    /// Wildcard filters that may see other agents' directed messages, by client.
    watchers: FilterTrie<Arc<str>, ()>,
    interest: Arc<Interest>,
    memory: Arc<Memory>,
}

impl SubscriptionIndex {
    /// Nobody wants anything yet.
    pub(super) fn new(
        root: &str,
        interest: Arc<Interest>,
        memory: Arc<Memory>,
    ) -> SubscriptionIndex {
        SubscriptionIndex {
            root: root.into(),
            durable: FilterTrie::default(),
            shares: Shares::default(),
            watchers: FilterTrie::default(),
            interest,
            memory,
        }
    }

    /// Adds a subscription of a session, which is durable or not.
    pub(super) fn add(&mut self, id: &Arc<str>, durable: bool, subscription: &Subscription) {
        let filter = &subscription.filter;
        self.memory.take(Holder::Subscriptions, weight(filter));
        if let Some(shared) = SharedFilter::parse(filter) {
            let member = Member {
                qos: subscription.qos,
                id: subscription.id,
                lasts: durable,
            };
            if self.shares.join(filter, shared.filter, id, member) {
                self.interest.add(Wanted::Shared, shared.filter, filter);
            }
            return;
        }
        if durable {
            let terms = Terms {
                qos: subscription.qos,
                no_local: subscription.no_local,
                retain_as_published: subscription.retain_as_published,
                id: subscription.id,
            };
            self.durable.insert(filter, id.clone(), terms);
            if subscription.qos > Qos::AtMostOnce {
                self.interest.add(Wanted::Durably, filter, id);
            }
        }
        if filter::has_wildcard(filter) && !topic::is_own_mail(&self.root, id, filter) {
            self.watchers.insert(filter, id.clone(), ());
        }
    }

    /// Takes one out again.
    pub(super) fn remove(&mut self, id: &Arc<str>, durable: bool, subscription: &Subscription) {
        let filter = &subscription.filter;
        self.memory.give_back(Holder::Subscriptions, weight(filter));
        if let Some(shared) = SharedFilter::parse(filter) {
            if self.shares.leave(filter, shared.filter, id) {
                self.interest.remove(Wanted::Shared, shared.filter, filter);
            }
            return;
        }
        if durable
            && let Some(terms) = self.durable.remove(filter, id)
            && terms.qos > Qos::AtMostOnce
        {
            self.interest.remove(Wanted::Durably, filter, id);
        }
        self.watchers.remove(filter, id);
    }

    /// Whether somebody watches whose directed messages these are not.
    pub(super) fn is_watched(&self, topic: &str) -> bool {
        self.watchers.matches(topic)
    }

    /// The groups.
    pub(super) fn shares(&self) -> &Shares {
        &self.shares
    }

    /// The groups, to change what they owe.
    pub(super) fn shares_mut(&mut self) -> &mut Shares {
        &mut self.shares
    }

    /// For each group that a message concerns, the member whose turn it is; see [`Shares::pick`].
    pub(super) fn turns(&mut self, topic: &str, can_take: impl Fn(&str) -> bool) -> Vec<Turn> {
        self.shares.pick(topic, can_take)
    }

    /// Each durable session that matches, once, with the highest QoS of its matching subscriptions
    /// (MQTT-3.3.4-2, -3).
    pub(super) fn durable_matches(&self, message: &Message) -> BTreeMap<Arc<str>, Kind> {
        let mut matches: BTreeMap<Arc<str>, Kind> = BTreeMap::new();
        if message.qos() == Qos::AtMostOnce {
            return matches;
        }
        self.durable.visit(message.topic(), &mut |client, terms| {
            if terms.no_local && **client == *message.publisher() {
                return;
            }
            let granted = message.qos().min(terms.qos);
            let shows_retain = message.retain() && terms.retain_as_published;
            let kind = matches.entry(client.clone()).or_insert(Kind::Queued {
                qos: granted,
                retain: shows_retain,
                subscription_ids: Vec::new(),
                share: None,
            });
            if let Kind::Queued {
                qos,
                retain,
                subscription_ids,
                ..
            } = kind
            {
                *qos = (*qos).max(granted);
                *retain |= shows_retain;
                subscription_ids.extend(terms.id);
            }
        });
        // Whom QoS 0 is enough for is served by the live plane.
        let queued =
            |kind: &Kind| matches!(kind, Kind::Queued { qos, .. } if *qos > Qos::AtMostOnce);
        matches.retain(|_, kind| queued(kind));
        matches
    }
}

/// What a subscription takes in the indexes of the desk and of its connection, in bytes, roughly:
/// its text in both, and an entry for each level.
fn weight(filter: &str) -> usize {
    const OF_ONE: usize = 256;
    const OF_A_LEVEL: usize = 128;
    OF_ONE + 2 * filter.len() + OF_A_LEVEL * filter.split('/').count()
}

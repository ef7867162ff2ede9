//! Who wants what: the subscriptions of all sessions by their filters, and what the front door is
//! to know of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::interest::{InterestIndex, InterestKind};
use super::memory::{Account, MemoryBudget};
use super::outbox_kind::OutboxKind;
use super::shared_subscriptions::{GroupMember, MemberTurn, SharedSubscriptions};
use super::subscription::Subscription;
use super::trie::FilterTrie;
use crate::wire::filter::{self, SharedFilter};
use crate::wire::message::{Message, Qos};
use crate::wire::topic;

/// A durable subscription's options and identifier (MQTT 5 sections 3.8.3.1 and 3.8.2.1.2).
#[derive(Debug, Clone, Copy)]
struct SubscriptionOptions {
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
    durable: FilterTrie<Arc<str>, SubscriptionOptions>,
    shares: SharedSubscriptions,
    /// Wildcard filters that may see other agents' directed messages, by client.
    watchers: FilterTrie<Arc<str>, ()>,
    interest: Arc<InterestIndex>,
    memory: Arc<MemoryBudget>,
}

impl SubscriptionIndex {
    /// Nobody wants anything yet.
    pub(super) fn new(
        root: &str,
        interest: Arc<InterestIndex>,
        memory: Arc<MemoryBudget>,
    ) -> SubscriptionIndex {
        SubscriptionIndex {
            root: root.into(),
            durable: FilterTrie::default(),
            shares: SharedSubscriptions::default(),
            watchers: FilterTrie::default(),
            interest,
            memory,
        }
    }

    /// What sessions ask: who else wants messages kept says so there, too.
    pub(super) fn interest(&self) -> &InterestIndex {
        &self.interest
    }

    /// Adds a subscription of a session, which is durable or not.
    pub(super) fn add(&mut self, id: &Arc<str>, durable: bool, subscription: &Subscription) {
        let filter = &subscription.filter;
        self.memory.reserve(Account::Subscriptions, weight(filter));
        if let Some(shared) = SharedFilter::parse(filter) {
            let member = GroupMember {
                qos: subscription.qos,
                id: subscription.id,
                durable,
            };
            if self.shares.join(filter, shared.filter, id, member) {
                self.interest
                    .add(InterestKind::Shared, shared.filter, filter);
            }
            return;
        }
        if durable {
            let options = SubscriptionOptions {
                qos: subscription.qos,
                no_local: subscription.no_local,
                retain_as_published: subscription.retain_as_published,
                id: subscription.id,
            };
            self.durable.insert(filter, id.clone(), options);
            if subscription.qos > Qos::AtMostOnce {
                self.interest.add(InterestKind::Durably, filter, id);
            }
        }
        if filter::has_wildcard(filter) && !topic::is_own_mail(&self.root, id, filter) {
            self.watchers.insert(filter, id.clone(), ());
        }
    }

    /// Takes one out again.
    pub(super) fn remove(&mut self, id: &Arc<str>, durable: bool, subscription: &Subscription) {
        let filter = &subscription.filter;
        self.memory.release(Account::Subscriptions, weight(filter));
        if let Some(shared) = SharedFilter::parse(filter) {
            if self.shares.leave(filter, shared.filter, id) {
                self.interest
                    .remove(InterestKind::Shared, shared.filter, filter);
            }
            return;
        }
        if durable
            && let Some(options) = self.durable.remove(filter, id)
            && options.qos > Qos::AtMostOnce
        {
            self.interest.remove(InterestKind::Durably, filter, id);
        }
        self.watchers.remove(filter, id);
    }

    /// Whether somebody watches whose directed messages these are not.
    pub(super) fn is_watched(&self, topic: &str) -> bool {
        self.watchers.matches(topic)
    }

    /// The groups.
    pub(super) fn shares(&self) -> &SharedSubscriptions {
        &self.shares
    }

    /// The groups, to note which absent members have messages.
    pub(super) fn shares_mut(&mut self) -> &mut SharedSubscriptions {
        &mut self.shares
    }

    /// For each group that a message concerns, the member whose turn it is; see
    /// [`SharedSubscriptions::pick`].
    pub(super) fn turns(
        &mut self,
        topic: &str,
        can_take: impl Fn(&str) -> bool,
    ) -> Vec<MemberTurn> {
        self.shares.pick(topic, can_take)
    }

    /// Each durable session that matches, once, with the highest QoS of its matching subscriptions
    /// (MQTT-3.3.4-2, -3).
    pub(super) fn durable_matches(&self, message: &Message) -> BTreeMap<Arc<str>, OutboxKind> {
        let mut matches: BTreeMap<Arc<str>, OutboxKind> = BTreeMap::new();
        if message.qos() == Qos::AtMostOnce {
            return matches;
        }
        self.durable.visit(message.topic(), &mut |client, options| {
            if options.no_local && **client == *message.publisher() {
                return;
            }
            let granted = message.qos().min(options.qos);
            let shows_retain = message.retain() && options.retain_as_published;
            let kind = matches.entry(client.clone()).or_insert(OutboxKind::Queued {
                qos: granted,
                retain: shows_retain,
                subscription_ids: Vec::new(),
                share: None,
            });
            if let OutboxKind::Queued {
                qos,
                retain,
                subscription_ids,
                ..
            } = kind
            {
                *qos = (*qos).max(granted);
                *retain |= shows_retain;
                subscription_ids.extend(options.id);
            }
        });
        // Whom QoS 0 is enough for is served by the live plane.
        let queued = |kind: &OutboxKind| matches!(kind, OutboxKind::Queued { qos, .. } if *qos > Qos::AtMostOnce);
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

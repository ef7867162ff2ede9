//! SUBSCRIBE and UNSUBSCRIBE: indexes, offers, retained messages.

use std::sync::Arc;

use super::core::{Desk, Terms};
use super::interest::Wanted;
use super::memory::Holder;
use super::port::{ConnectionId, Response, RetainHandling, Subscription};
use super::records;
use super::shares::Member;
use crate::engine::Input;
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::filter::{self, Shared};
use crate::wire::message::{Message, Qos};
use crate::wire::reply::Code;
use crate::wire::topic::{self, Offer};

impl Desk {
    /// SUBSCRIBE.
    pub(super) fn subscribe(
        &mut self,
        now: Millis,
        connection: ConnectionId,
        packet_id: u16,
        asked: Vec<Subscription>,
    ) {
        let Some(id) = self.client_of(connection) else {
            return;
        };
        if self.refuse_subscriptions(&id, packet_id, &asked) {
            return;
        }
        let mut results = Vec::with_capacity(asked.len());
        let mut retained = Vec::new();
        let retained_room = self.retained_room();
        for (index, subscription) in asked.iter().enumerate() {
            let room = retained_room - retained.len();
            let added = self.add_subscription(now, &id, subscription);
            results.push(added.and_then(|existed| {
                if !wants_retained(subscription, existed) {
                    return Ok(subscription.qos);
                }
                let messages = self.retained_at_once(now, &id, subscription, room);
                if messages.is_none() && !existed {
                    self.remove_subscription(now, &id, &subscription.filter);
                }
                let messages = messages.ok_or(Code::TooMany)?;
                retained.extend(messages.into_iter().map(|message| (index, message)));
                self.begin_replay(&id, subscription);
                Ok(subscription.qos)
            }));
        }
        let response = Response::Subscribed {
            packet_id,
            results,
            retained,
            retained_room,
            stamp: self.stamp,
        };
        if let Some(connected) = self.clients.connected_mut(&id) {
            connected.answered_in = self.pending.number;
        }
        self.answer(now, connection, response);
        self.resume_deliveries(now, &id);
        self.store_marks(&id, &asked);
    }

    /// Adds or replaces one; whether it existed (MQTT-3.8.4-3).
    fn add_subscription(
        &mut self,
        now: Millis,
        id: &Arc<str>,
        subscription: &Subscription,
    ) -> Result<bool, Code> {
        let limit = self.clients.limits.max_subscriptions;
        let client = self.clients.get_mut(id).ok_or(Code::Unavailable)?;
        let session = client.state.session_mut().ok_or(Code::Unavailable)?;
        let old = session.subscriptions.get(&subscription.filter).cloned();
        if old.is_none() && session.subscriptions.len() >= limit {
            self.stats.refused_subscriptions.add_one();
            return Err(Code::TooMany);
        }
        if old.is_none() && self.settings.memory.is_full() {
            self.settings.memory.refused.add_one();
            return Err(Code::TooMany);
        }
        let durable = session.durable;
        self.offer(now, id, &subscription.filter)?;
        let session = self.clients.session_mut(id);
        let session = session.ok_or(Code::Unavailable)?;
        session
            .subscriptions
            .insert(subscription.filter.clone(), subscription.clone());
        if let Some(old) = &old {
            self.unindex(id, durable, old);
        }
        self.index(id, durable, subscription);
        if durable {
            let key = records::subscription_key(id, &subscription.filter);
            self.pending.records.put(
                Space::Session,
                key,
                records::encode_subscription(subscription),
            );
        }
        if old.is_none() {
            self.count_offer(id, &subscription.filter);
        }
        Ok(old.is_some())
    }

    /// Puts a subscription into the indexes that it belongs to.
    pub(super) fn index(&mut self, id: &Arc<str>, durable: bool, subscription: &Subscription) {
        let filter = &subscription.filter;
        let memory = &self.settings.memory;
        memory.take(Holder::Subscriptions, weight(filter));
        if let Some(shared) = Shared::parse(filter) {
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
            self.subscribers.insert(filter, id.clone(), terms);
            if subscription.qos > Qos::AtMostOnce {
                self.interest.add(Wanted::Durably, filter, id);
            }
        }
        if filter::has_wildcard(filter) && !topic::is_own_mail(&self.settings.root, id, filter) {
            self.watchers.insert(filter, id.clone(), ());
        }
    }

    /// Tells the engine what a filter offers; also when it was offered before, because after a reconnect the engine brings the
    /// agent's assignments again.
    fn offer(&mut self, now: Millis, id: &Arc<str>, filter: &str) -> Result<(), Code> {
        let offer = Offer::of_filter(&self.settings.root, filter);
        let agent = self.clients.get(id).and_then(|client| client.agent.clone());
        match (agent, offer) {
            (Some(agent), Some(offer)) => {
                self.feed_with(now, Input::Offered { agent, offer }, None)
            }
            _ => Ok(()),
        }
    }

    /// One subscription more makes this offer.
    pub(super) fn count_offer(&mut self, id: &str, filter: &str) {
        let session = self.clients.session_mut(id);
        if let (Some(session), Some(offer)) =
            (session, Offer::of_filter(&self.settings.root, filter))
        {
            *session.offers.entry(offer).or_default() += 1;
        }
    }

    /// UNSUBSCRIBE.
    pub(super) fn unsubscribe(
        &mut self,
        now: Millis,
        connection: ConnectionId,
        packet_id: u16,
        filters: &[Arc<str>],
    ) {
        let Some(id) = self.client_of(connection) else {
            return;
        };
        let existed = filters
            .iter()
            .map(|filter| self.remove_subscription(now, &id, filter))
            .collect();
        self.answer(
            now,
            connection,
            Response::Unsubscribed { packet_id, existed },
        );
    }

    fn remove_subscription(&mut self, now: Millis, id: &Arc<str>, filter: &Arc<str>) -> bool {
        let Some(client) = self.clients.get_mut(id) else {
            return false;
        };
        let agent = client.agent.clone();
        let Some(session) = client.state.session_mut() else {
            return false;
        };
        let Some(old) = session.subscriptions.remove(filter) else {
            return false;
        };
        let withdrawn =
            Offer::of_filter(&self.settings.root, filter).filter(|offer| session.withdraw(offer));
        let durable = session.durable;
        self.unindex(id, durable, &old);
        if durable {
            self.pending
                .records
                .delete(Space::Session, records::subscription_key(id, filter));
            self.end_replay(id, filter);
        }
        if let (Some(agent), Some(offer)) = (agent, withdrawn) {
            self.feed(now, Input::Withdrawn { agent, offer });
        }
        true
    }

    /// The most copies of retained messages that may wait for one client: each one four times, for filters that overlap, and some.
    /// Without it, a packet full of filters that all match everything would multiply the store.
    fn retained_room(&self) -> usize {
        4 * self.retained.count() + 1024
    }

    /// The retained messages of a new subscription that go out with SUBACK: all but what a durable session gets into its queue.
    /// Nothing at all if there are more than fit.
    fn retained_at_once(
        &self,
        now: Millis,
        id: &str,
        subscription: &Subscription,
        room: usize,
    ) -> Option<Vec<Message>> {
        let session = self.clients.session(id);
        let is_durable = session.is_some_and(|session| session.durable);
        let at_once = |message: &&Message| {
            let queued = is_durable && message.qos().min(subscription.qos) > Qos::AtMostOnce;
            !queued && !is_unwanted(message, id, subscription)
        };
        let matching = self.retained.matching(&subscription.filter, now);
        let messages: Vec<Message> = matching.filter(at_once).take(room + 1).cloned().collect();
        (messages.len() <= room).then_some(messages)
    }
}

/// Whether a new subscription asks for retained messages (MQTT 5 section 3.3.1.3); one of a group never does.
fn wants_retained(subscription: &Subscription, existed: bool) -> bool {
    let wanted = match subscription.retain_handling {
        RetainHandling::Always => true,
        RetainHandling::IfNew => !existed,
        RetainHandling::Never => false,
    };
    wanted && Shared::parse(&subscription.filter).is_none()
}

/// An own message is not for a client that wants none of its own (MQTT-3.8.3-3), however old it is.
pub(super) fn is_unwanted(message: &Message, id: &str, subscription: &Subscription) -> bool {
    subscription.no_local && message.publisher() == id
}

/// What a subscription takes in the indexes of the desk and of its connection, in bytes, roughly: its text in both, and an
/// entry for each level.
pub(super) fn weight(filter: &str) -> usize {
    const OF_ONE: usize = 256;
    const OF_A_LEVEL: usize = 128;
    OF_ONE + 2 * filter.len() + OF_A_LEVEL * filter.split('/').count()
}

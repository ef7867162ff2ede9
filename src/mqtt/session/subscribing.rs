//! SUBSCRIBE and UNSUBSCRIBE: first the live plane, then the desk, then the client's answer.
//!
//! A filter is live before the desk takes its snapshot of retained messages, so that nothing falls
//! in between; what comes twice, their sequence numbers sort out. While the live plane is being
//! asked, no further packet is read: requests keep their order. A PUBLISH waits for the desk's
//! answer, too.

use std::sync::Arc;

use crate::auth::may_match;
use crate::desk::port::{Request, Response, Subscription};
use crate::live::Plane;
use crate::log_limiter::{limited, shortened, shown};
use crate::mqtt::codec::decode::{self, RequestedFilter};
use crate::mqtt::codec::reason::{Reason, of_subscription};
use crate::wire::filter::{
    SharedFilter, TopicRule, check_filter, check_levels, check_plain_filter,
};
use crate::wire::message::{Message, Qos};
use crate::wire::name::Room;
use crate::wire::reply::Code;
use crate::wire::topic::Offer;

use super::ClientSession;
use super::outbound::{Origin, OutgoingPublish};
use super::pending_subscribes::{Action, PendingAnswer, Suback};
use super::subscriptions::needs_live;

/// What must not even be asked for ends the connection.
fn check_sound(v5: bool, entry: &RequestedFilter) -> Result<(), Reason> {
    check_grammar(v5, &entry.filter)?;
    if entry.no_local && SharedFilter::parse(&entry.filter).is_some() {
        // MQTT-3.8.3-4.
        return Err(Reason::Protocol);
    }
    Ok(())
}

/// Whether a filter is about rooms and matches none of their topics: it is misspelt.
fn is_vain(root: &str, filter: &str) -> bool {
    let filter = SharedFilter::parse(filter).map_or(filter, |shared| shared.filter);
    let Some(below) = filter
        .strip_prefix(root)
        .and_then(|rest| rest.strip_prefix('/'))
    else {
        return false;
    };
    match below.split_once('/') {
        Some((room, rest)) => !(room == "+" || Room::new(room).is_ok()) || !may_match(rest),
        None => below != "#",
    }
}

/// A filter that breaks MQTT's grammar closes the connection of 3.1.1, which knows nothing else
/// (MQTT-4.8.0-1); MQTT 5 has a code for it. What breaks a rule of ours, or that of shared
/// subscriptions, 3.1.1 may ask for and not get.
fn check_grammar(v5: bool, filter: &str) -> Result<(), Reason> {
    match check_plain_filter(filter) {
        Err(TopicRule::Null) => Err(Reason::Malformed),
        Err(_) if !v5 => Err(Reason::FilterInvalid),
        _ => Ok(()),
    }
}

impl<P: Plane> ClientSession<P> {
    pub(super) fn on_subscribe(&mut self, body: &[u8]) -> Result<(), Reason> {
        let mut packet = decode::subscribe(self.client.v5, body)?;
        let id = packet.id;
        // What a packet asks for beyond what a client may have is refused at once: kept, it would
        // take far more memory than its bytes.
        let most = self.config.mqtt.max_subscriptions.min(packet.entries.len());
        let surplus = packet.entries.split_off(most);
        for entry in &surplus {
            check_sound(self.client.v5, entry)?;
        }
        let surplus = surplus.len();
        let asked = packet
            .entries
            .into_iter()
            .map(|entry| self.subscription(entry, id));
        let mut asked: Vec<Result<Subscription, Reason>> = asked.collect::<Result<_, Reason>>()?;
        let surplus_in_all = surplus + self.refuse_too_many(&mut asked);
        self.tell_of_surplus(surplus_in_all);
        if asked.iter().all(Result::is_err) {
            let codes = asked
                .iter()
                .map(|one| self.suback_code(one.as_ref().err()))
                .collect();
            self.send_suback(packet.packet_id, codes, surplus);
            return Ok(());
        }
        for subscription in asked.iter().flatten() {
            self.open_live(subscription);
        }
        self.ask_for_part(Suback {
            packet_id: packet.packet_id,
            codes: Vec::with_capacity(asked.len()),
            part: Vec::new(),
            rest: asked.into(),
            surplus,
        });
        Ok(())
    }

    /// Answers a SUBSCRIBE; as many filters behind the codes are refused because there are too
    /// many.
    fn send_suback(&mut self, packet_id: u16, mut codes: Vec<u8>, surplus: usize) {
        let refused = self.suback_code(Some(&Reason::QuotaExceeded));
        codes.extend(std::iter::repeat_n(refused, surplus));
        let v5 = self.client.v5;
        self.io.output.suback(v5, packet_id, &codes);
    }

    /// Asks the desk about the next filters of a SUBSCRIBE.
    fn ask_for_part(&mut self, mut suback: Suback) {
        let request = Request::Subscribe {
            connection: self.io.connection,
            subscriptions: suback.take_part(),
            packet_id: suback.packet_id,
        };
        self.pending_subscribes
            .ask(PendingAnswer::Suback(suback), request);
    }

    /// What exceeds the limit of subscriptions must not get as far as the live plane, let alone the
    /// desk.
    fn refuse_too_many(&self, asked: &mut [Result<Subscription, Reason>]) -> usize {
        let mut refused = 0;
        let most = self.config.mqtt.max_subscriptions;
        let mut all = self.subscriptions.len();
        for one in asked.iter_mut() {
            let is_new = |filter: &str| {
                !self.subscriptions.contains(filter) && !self.pending_subscribes.has(filter)
            };
            match one {
                Ok(subscription) if is_new(&subscription.filter) => {
                    all += 1;
                    if all > most {
                        refused += 1;
                        *one = Err(Reason::QuotaExceeded);
                    }
                }
                _ => {}
            }
        }
        refused
    }

    fn tell_of_surplus(&self, filters: usize) {
        if filters > 0 {
            let counted = &self.io.metrics.subscriptions_refused;
            counted.add(filters as u64);
            let admitted = self.admits("max_subscriptions");
            let (client, most) = (
                shortened(&self.client.id),
                self.config.mqtt.max_subscriptions,
            );
            limited!(
                info,
                admitted,
                client,
                kind = "max_subscriptions",
                filters,
                most,
                "filters refused: more than mqtt.max_subscriptions"
            );
        }
    }

    /// How deep a topic or a filter may be is ours to say.
    pub(super) fn check_depth(&self, topic: &str) -> Result<(), TopicRule> {
        let most = self.config.mqtt.max_topic_levels;
        check_levels(topic, most).inspect_err(|_| self.io.metrics.too_deep.add_one())
    }

    /// A filter as the desk takes it; the inner error goes into SUBACK, the outer one ends the
    /// connection.
    fn subscription(
        &self,
        entry: RequestedFilter,
        id: Option<u32>,
    ) -> Result<Result<Subscription, Reason>, Reason> {
        check_sound(self.client.v5, &entry)?;
        if check_filter(&entry.filter).is_err() || self.check_depth(&entry.filter).is_err() {
            return Ok(Err(Reason::FilterInvalid));
        }
        if let Some(access) = &self.access
            && !access.may_subscribe(&entry.filter)
        {
            return Ok(Err(Reason::NotAuthorized));
        }
        if is_vain(&self.config.root, &entry.filter) {
            let admitted = self.admits("vain_filter");
            let (client, filter) = (shortened(&self.client.id), shown(&entry.filter));
            limited!(
                warn,
                admitted,
                client,
                kind = "vain_filter",
                filter,
                "nothing can ever match this filter: no topic of a room is like it"
            );
            if self.config.mqtt.strict_filters && self.client.v5 {
                return Ok(Err(Reason::FilterInvalid));
            }
        }
        Ok(Ok(Subscription {
            filter: entry.filter.into(),
            qos: entry.qos,
            no_local: entry.no_local,
            retain_as_published: entry.retain_as_published,
            retain_handling: entry.retain_handling,
            id,
        }))
    }

    /// Queues what a filter needs of the live plane, if that is not there yet, or not as it should
    /// be.
    fn open_live(&mut self, subscription: &Subscription) {
        let filter = &subscription.filter;
        if !needs_live(&self.config.root, &self.client.id, filter) {
            return;
        }
        let reliable = self.client.relies_on(subscription);
        let Some((filter, reliable)) = self.live_filters.open(filter, reliable) else {
            return;
        };
        let plane = &self.context.plane;
        self.live
            .subscriber
            .get_or_insert_with(|| plane.subscriber());
        self.pending_subscribes
            .want(Action::LiveOpen { filter, reliable });
    }

    /// Queues a filter to be dropped from the live plane, unless it is still, or again, wanted.
    fn close_live(&mut self, filter: &Arc<str>) {
        // Without a subscriber nothing was ever subscribed there, and nobody would do it.
        if self.live.subscriber.is_some()
            && needs_live(&self.config.root, &self.client.id, filter)
            && !self.subscriptions.contains(filter)
            && !self.pending_subscribes.has(filter)
            && let Some(filter) = self.live_filters.close(filter)
        {
            self.pending_subscribes.want(Action::LiveClose(filter));
        }
    }

    pub(super) fn on_unsubscribe(&mut self, body: &[u8]) -> Result<(), Reason> {
        let (packet_id, filters) = decode::unsubscribe(self.client.v5, body)?;
        for filter in &filters {
            check_grammar(self.client.v5, filter)?;
        }
        let max_levels = self.config.mqtt.max_topic_levels;
        let valid = |filter: String| {
            let valid = check_filter(&filter).and_then(|()| check_levels(&filter, max_levels));
            valid.is_ok().then(|| Arc::from(filter))
        };
        let asked: Vec<Option<Arc<str>>> = filters.into_iter().map(valid).collect();
        let filters: Vec<Arc<str>> = asked.iter().flatten().cloned().collect();
        if filters.is_empty() {
            let codes = vec![Reason::FilterInvalid.code(); asked.len()];
            self.io.output.unsuback(self.client.v5, packet_id, &codes);
            return Ok(());
        }
        let request = Request::Unsubscribe {
            connection: self.io.connection,
            packet_id,
            filters,
        };
        self.pending_subscribes
            .ask(PendingAnswer::Unsuback(packet_id, asked), request);
        Ok(())
    }

    /// Withdraws the offers of work and tools that the client may not make any more, so that tasks
    /// and calls go to others, and makes those again that it may. Other subscriptions stand: what
    /// they bring is checked one by one.
    pub(super) fn review_offers(&mut self) {
        let Some(access) = &self.access else {
            return;
        };
        let root = &self.config.root;
        let is_offer = |filter: &str| {
            matches!(
                Offer::of_filter(root, filter),
                Some(Offer::Works(..) | Offer::Provides(..))
            )
        };
        let may = |filter: &str| access.still_may_subscribe(filter);
        let lost = self
            .subscriptions
            .take(|filter| is_offer(filter) && !may(filter));
        let suspended = std::mem::take(&mut self.pending_subscribes.suspended);
        let (again, still): (Vec<_>, Vec<_>) =
            suspended.into_iter().partition(|one| may(&one.filter));
        self.pending_subscribes.suspended = still;
        let connection = self.io.connection;
        if !lost.is_empty() {
            let filters = lost.iter().map(|one| Arc::clone(&one.filter)).collect();
            self.pending_subscribes.suspended.extend(lost);
            self.pending_subscribes.ask(
                PendingAnswer::Withdrawn,
                Request::Unsubscribe {
                    connection,
                    packet_id: 0,
                    filters,
                },
            );
        }
        if !again.is_empty() {
            for subscription in &again {
                let qos = subscription.qos;
                self.subscriptions.insert(subscription.clone(), qos, 0);
            }
            self.pending_subscribes.ask(
                PendingAnswer::Restored(again.clone()),
                Request::Subscribe {
                    connection,
                    packet_id: 0,
                    subscriptions: again,
                },
            );
        }
    }

    /// The desk's answer to SUBSCRIBE, or to a part of it: SUBACK once it is complete, then what is
    /// retained (MQTT-3.8.4). What is retained under earlier parts goes before it, lest its
    /// successors overtake it.
    pub(super) fn on_subscribed(&mut self, response: Response) -> Result<(), Reason> {
        let Response::Subscribed {
            results,
            retained,
            retained_room,
            retained_seq,
            ..
        } = response
        else {
            return Ok(());
        };
        let mut suback = match self.pending_subscribes.answered() {
            Some(PendingAnswer::Suback(suback)) => suback,
            Some(PendingAnswer::Restored(_)) => return Ok(()),
            _ => return Err(Reason::ImplementationSpecific),
        };
        let mut results = results.into_iter();
        let mut granted = Vec::with_capacity(suback.part.len());
        for one in std::mem::take(&mut suback.part) {
            let code = match one {
                Err(reason) => self.suback_code(Some(&reason)),
                Ok(subscription) => {
                    let result = results.next().unwrap_or(Err(Code::Unavailable));
                    granted.push((subscription.id, result.unwrap_or_default()));
                    self.settle(subscription, result, retained_seq)
                }
            };
            suback.codes.push(code);
        }
        if suback.rest.is_empty() {
            self.send_suback(suback.packet_id, suback.codes, suback.surplus);
        } else {
            self.ask_for_part(suback);
        }
        if self.outbound.snapshots() + retained.len() > retained_room {
            // It asks for everything again and again, and does not take it.
            return Err(Reason::QuotaExceeded);
        }
        self.send_retained(retained, &granted)?;
        self.pending_subscribes
            .take_early()
            .into_iter()
            .try_for_each(|message| self.on_live(message))
    }

    fn settle(
        &mut self,
        subscription: Subscription,
        result: Result<Qos, Code>,
        retained_seq: u64,
    ) -> u8 {
        match result {
            Ok(qos) => {
                self.pending_subscribes
                    .suspended
                    .retain(|one| one.filter != subscription.filter);
                self.subscriptions.insert(subscription, qos, retained_seq);
                qos.level()
            }
            Err(code) => {
                self.close_live(&subscription.filter);
                self.suback_code(Some(&of_subscription(code)))
            }
        }
    }

    fn suback_code(&self, reason: Option<&Reason>) -> u8 {
        match reason {
            Some(reason) if self.client.v5 => reason.code(),
            // MQTT-3.9.3-2 of 3.1.1: it has one code for every failure.
            _ => Reason::Unspecified.code(),
        }
    }

    fn send_retained(
        &mut self,
        retained: Vec<(usize, Message)>,
        granted: &[(Option<u32>, Qos)],
    ) -> Result<(), Reason> {
        let now = self.now;
        for (index, message) in retained {
            let (id, granted) = granted.get(index).copied().unwrap_or_default();
            let publish = OutgoingPublish {
                origin: Origin::Snapshot,
                qos: message.qos().min(granted),
                retain: true,
                dup: false,
                seq: 0,
                packet_id: None,
                subscription_ids: id.into_iter().collect(),
                message,
            };
            self.offer(publish, now)?;
        }
        Ok(())
    }

    /// The desk's answer to UNSUBSCRIBE.
    pub(super) fn on_unsubscribed(&mut self, existed: &[bool]) -> Result<(), Reason> {
        let (packet_id, asked) = match self.pending_subscribes.answered() {
            Some(PendingAnswer::Unsuback(packet_id, asked)) => (packet_id, asked),
            Some(PendingAnswer::Withdrawn) => return Ok(()),
            _ => return Err(Reason::ImplementationSpecific),
        };
        const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
        let mut existed = existed.iter();
        let mut codes = Vec::with_capacity(asked.len());
        for filter in asked {
            codes.push(match filter {
                None => Reason::FilterInvalid.code(),
                Some(filter) if existed.next() == Some(&true) => {
                    self.subscriptions.remove(&filter);
                    self.pending_subscribes
                        .suspended
                        .retain(|one| one.filter != filter);
                    self.close_live(&filter);
                    0
                }
                Some(_) => NO_SUBSCRIPTION_EXISTED,
            });
        }
        self.io.output.unsuback(self.client.v5, packet_id, &codes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_filters_of_rooms_are_found() {
        for filter in [
            "rooms/lab/handof/work/writing",
            "rooms/lab/handoff/works/writing",
            "rooms/lab/inbox/ann/x/y",
            "rooms/lab",
            "rooms/+",
            "rooms/a b/presence/agent/+",
            "$share/g/rooms/lab/observe/event/#",
            "rooms/lab/handoff/dispatch/ann",
        ] {
            assert!(is_vain("rooms", filter), "{filter}");
        }
        for filter in [
            "rooms/#",
            "rooms/+/#",
            "rooms/lab/#",
            "rooms/lab/+/+/+",
            "rooms/lab/handoff/work/writing",
            "rooms/lab/observe/events/#",
            "rooms/lab/inbox/ann/+",
            "$share/g/rooms/lab/handoff/work/+",
            "room/lab",
            "roomservice/x",
            "#",
            "+/lab/nothing",
        ] {
            assert!(!is_vain("rooms", filter), "{filter}");
        }
    }
}

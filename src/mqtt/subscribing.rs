//! SUBSCRIBE and UNSUBSCRIBE: first the live plane, then the desk, then the client's answer.
//!
//! A filter is live before the desk takes its snapshot of retained messages, so that nothing falls in between; what comes twice,
//! the stamps sort out. While the live plane is being asked, no further packet is read: requests keep their order. A PUBLISH
//! waits for the desk's answer, too.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::desk::port::{Request, Response, Subscription};
use crate::wire::filter::{Shared, TopicRule, check_filter, check_levels, matches};
use crate::wire::message::{Message, Qos};
use crate::wire::reply::Code;
use crate::wire::topic::Offer;

use super::decode::{self, Entry};
use super::outbound::{Origin, Parcel};
use super::plane::Plane;
use super::reason::{Reason, of_subscription};
use super::session::Session;
use super::subscriptions::needs_live;

/// SUBSCRIBEs and UNSUBSCRIBEs of one client that may await the desk at once; beyond, its socket is not read. The desk answers with
/// every commit, so a larger number would only let one client hold more; there is no key for it.
pub(super) const MAX_AWAITED: usize = 16;

/// Live messages that wait for the SUBACK of the subscription that selects them.
const MAX_EARLY: usize = 256;

/// Something to be done in order, one after the other.
#[derive(Debug)]
pub(super) enum Step {
    /// Subscribe on the live plane; `reliable` if what it carries must not be lost.
    Open { filter: Arc<str>, reliable: bool },
    /// Unsubscribe there.
    Close(Arc<str>),
    /// Then ask the desk.
    Ask(Box<Request>),
}

/// What was asked and not answered yet.
#[derive(Debug)]
enum Awaited {
    /// Per filter: what was asked of the desk, or why it was not.
    Suback(u16, Vec<Result<Subscription, Reason>>),
    /// Per filter: asked of the desk, or no filter at all.
    Unsuback(u16, Vec<Option<Arc<str>>>),
    /// Offers that the client may not make any more; nobody waits for an answer.
    Withdrawn,
    /// Offers that it may make again.
    Restored(Vec<Subscription>),
}

#[derive(Debug, Default)]
pub(super) struct Subscribing {
    pub(super) steps: VecDeque<Step>,
    awaited: VecDeque<Awaited>,
    /// Live messages that only a filter still awaited selects: they follow its SUBACK.
    early: Vec<Message>,
    /// A PUBLISH came while something was awaited: it goes first as soon as nothing is.
    publish_waits: bool,
    /// Offers that stand and may not be made at present.
    suspended: Vec<Subscription>,
}

impl Subscribing {
    /// Whether more may be asked.
    pub(super) fn has_room(&self) -> bool {
        self.steps.is_empty() && self.awaited.len() < MAX_AWAITED && !self.publish_waits
    }

    /// Whether a PUBLISH has to wait. A client that subscribes and publishes in one breath expects to receive that; until the desk
    /// has answered, the session does not know the subscription.
    pub(super) fn holds_publish(&mut self) -> bool {
        self.publish_waits = !self.awaited.is_empty();
        self.publish_waits
    }

    /// What the desk has answered now.
    fn answered(&mut self) -> Option<Awaited> {
        let awaited = self.awaited.pop_front();
        self.publish_waits &= !self.awaited.is_empty();
        awaited
    }

    /// Keeps a live message that no subscription that stands selects, if one that is awaited does. Nobody was promised it yet, so
    /// beyond the bound it is let go.
    pub(super) fn keep_early(&mut self, message: &Message) {
        let topic = message.topic();
        let selects = |awaited: &Awaited| match awaited {
            Awaited::Suback(_, asked) => asked
                .iter()
                .flatten()
                .any(|subscription| matches(&subscription.filter, topic)),
            Awaited::Unsuback(..) | Awaited::Withdrawn | Awaited::Restored(_) => false,
        };
        if self.early.len() < MAX_EARLY && self.awaited.iter().any(selects) {
            self.early.push(message.clone());
        }
    }

    fn awaits(&self, filter: &str) -> bool {
        self.awaited.iter().any(|awaited| match awaited {
            Awaited::Suback(_, asked) => asked
                .iter()
                .flatten()
                .any(|subscription| &*subscription.filter == filter),
            Awaited::Restored(again) => again.iter().any(|one| &*one.filter == filter),
            Awaited::Unsuback(..) | Awaited::Withdrawn => false,
        })
    }
}

impl<P: Plane> Session<P> {
    pub(super) fn on_subscribe(&mut self, body: &[u8]) -> Result<(), Reason> {
        let packet = decode::subscribe(self.client.v5, body)?;
        let id = packet.id;
        if packet.entries.len() > self.door.config.max_subscriptions {
            // More than a client may have, so that some must be refused; as one packet they would take far more memory
            // than their bytes.
            let codes = vec![self.suback_code(Some(&Reason::QuotaExceeded)); packet.entries.len()];
            let output = &mut self.exits.output;
            output.suback(self.client.v5, packet.packet_id, &codes);
            return Ok(());
        }
        let asked = packet
            .entries
            .into_iter()
            .map(|entry| self.subscription(entry, id));
        let asked: Vec<Result<Subscription, Reason>> = asked.collect::<Result<_, Reason>>()?;
        let subscriptions: Vec<Subscription> = asked.iter().flatten().cloned().collect();
        if subscriptions.is_empty() {
            let codes: Vec<u8> = asked
                .iter()
                .map(|one| self.suback_code(one.as_ref().err()))
                .collect();
            self.exits
                .output
                .suback(self.client.v5, packet.packet_id, &codes);
            return Ok(());
        }
        for subscription in &subscriptions {
            self.open_live(subscription);
        }
        self.subscribing
            .steps
            .push_back(Step::Ask(Box::new(Request::Subscribe {
                connection: self.exits.connection,
                packet_id: packet.packet_id,
                subscriptions,
            })));
        self.subscribing
            .awaited
            .push_back(Awaited::Suback(packet.packet_id, asked));
        Ok(())
    }

    /// How deep a topic or a filter may be is ours to say.
    pub(super) fn check_depth(&self, topic: &str) -> Result<(), TopicRule> {
        let most = self.door.config.max_topic_levels;
        check_levels(topic, most).inspect_err(|_| self.exits.metrics.too_deep.add_one())
    }

    /// A filter as the desk takes it; the inner error goes into SUBACK, the outer one ends the connection.
    fn subscription(
        &self,
        entry: Entry,
        id: Option<u32>,
    ) -> Result<Result<Subscription, Reason>, Reason> {
        if entry.filter.contains('\0') {
            return Err(Reason::Malformed);
        }
        if entry.no_local && Shared::parse(&entry.filter).is_some() {
            // MQTT-3.8.3-4.
            return Err(Reason::Protocol);
        }
        if check_filter(&entry.filter).is_err() || self.check_depth(&entry.filter).is_err() {
            return Ok(Err(Reason::FilterInvalid));
        }
        if let Some(access) = &self.access
            && !access.may_subscribe(self.now, &entry.filter)
        {
            return Ok(Err(Reason::NotAuthorized));
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

    /// Queues a filter for the live plane, if it is needed there and not there yet, or not as it should be.
    fn open_live(&mut self, subscription: &Subscription) {
        let filter = &subscription.filter;
        let reliable = self.client.relies_on(subscription);
        let stands = self.subscriptions.contains(filter) || self.subscribing.awaits(filter);
        if !needs_live(&self.door.config.root, &self.client.id, filter) || (stands && !reliable) {
            return;
        }
        if self.subscriber.is_none() {
            self.subscriber = Some(self.door.plane.subscriber());
        }
        self.subscribing.steps.push_back(Step::Open {
            filter: Arc::clone(filter),
            reliable,
        });
    }

    /// Queues a filter to be dropped from the live plane, unless it is still, or again, wanted.
    fn close_live(&mut self, filter: &Arc<str>) {
        // Without a subscriber nothing was ever subscribed there, and nobody would take the step.
        if self.subscriber.is_some()
            && needs_live(&self.door.config.root, &self.client.id, filter)
            && !self.subscriptions.contains(filter)
            && !self.subscribing.awaits(filter)
        {
            self.subscribing
                .steps
                .push_back(Step::Close(Arc::clone(filter)));
        }
    }

    pub(super) fn on_unsubscribe(&mut self, body: &[u8]) -> Result<(), Reason> {
        let (packet_id, filters) = decode::unsubscribe(self.client.v5, body)?;
        if filters.iter().any(|filter| filter.contains('\0')) {
            return Err(Reason::Malformed);
        }
        let max_levels = self.door.config.max_topic_levels;
        let valid = |filter: String| {
            let valid = check_filter(&filter).and_then(|()| check_levels(&filter, max_levels));
            valid.is_ok().then(|| Arc::from(filter))
        };
        let asked: Vec<Option<Arc<str>>> = filters.into_iter().map(valid).collect();
        let filters: Vec<Arc<str>> = asked.iter().flatten().cloned().collect();
        if filters.is_empty() {
            let codes = vec![Reason::FilterInvalid.code(); asked.len()];
            self.exits
                .output
                .unsuback(self.client.v5, packet_id, &codes);
            return Ok(());
        }
        self.subscribing
            .steps
            .push_back(Step::Ask(Box::new(Request::Unsubscribe {
                connection: self.exits.connection,
                packet_id,
                filters,
            })));
        self.subscribing
            .awaited
            .push_back(Awaited::Unsuback(packet_id, asked));
        Ok(())
    }

    /// Withdraws the offers of work and tools that the client may not make any more, so that tasks and calls go to others, and
    /// makes those again that it may. Other subscriptions stand: what they bring is checked one by one.
    pub(super) fn review_offers(&mut self) {
        let Some(access) = &self.access else {
            return;
        };
        let root = &self.door.config.root;
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
        let suspended = std::mem::take(&mut self.subscribing.suspended);
        let (again, still): (Vec<_>, Vec<_>) =
            suspended.into_iter().partition(|one| may(&one.filter));
        self.subscribing.suspended = still;
        let connection = self.exits.connection;
        if !lost.is_empty() {
            let filters = lost.iter().map(|one| Arc::clone(&one.filter)).collect();
            self.subscribing.suspended.extend(lost);
            self.ask_in_turn(
                Awaited::Withdrawn,
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
            self.ask_in_turn(
                Awaited::Restored(again.clone()),
                Request::Subscribe {
                    connection,
                    packet_id: 0,
                    subscriptions: again,
                },
            );
        }
    }

    fn ask_in_turn(&mut self, awaited: Awaited, request: Request) {
        self.subscribing.awaited.push_back(awaited);
        self.subscribing
            .steps
            .push_back(Step::Ask(Box::new(request)));
    }

    /// The desk's answer to SUBSCRIBE: SUBACK first, then what is retained (MQTT-3.8.4).
    pub(super) fn on_subscribed(&mut self, response: Response) -> Result<(), Reason> {
        let Response::Subscribed {
            results,
            retained,
            stamp,
            ..
        } = response
        else {
            return Ok(());
        };
        let (packet_id, asked) = match self.subscribing.answered() {
            Some(Awaited::Suback(packet_id, asked)) => (packet_id, asked),
            Some(Awaited::Restored(_)) => return Ok(()),
            _ => return Err(Reason::ImplementationSpecific),
        };
        let mut results = results.into_iter();
        let mut codes = Vec::with_capacity(asked.len());
        let mut granted = Vec::with_capacity(asked.len());
        for one in asked {
            let code = match one {
                Err(reason) => self.suback_code(Some(&reason)),
                Ok(subscription) => {
                    let result = results.next().unwrap_or(Err(Code::Unavailable));
                    granted.push((subscription.id, result.unwrap_or_default()));
                    self.settle(subscription, result, stamp)
                }
            };
            codes.push(code);
        }
        self.exits.output.suback(self.client.v5, packet_id, &codes);
        self.send_retained(retained, &granted)?;
        std::mem::take(&mut self.subscribing.early)
            .into_iter()
            .try_for_each(|message| self.on_live(message))
    }

    fn settle(&mut self, subscription: Subscription, result: Result<Qos, Code>, stamp: u64) -> u8 {
        match result {
            Ok(qos) => {
                self.subscribing
                    .suspended
                    .retain(|one| one.filter != subscription.filter);
                self.subscriptions.insert(subscription, qos, stamp);
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
            let parcel = Parcel {
                origin: Origin::Snapshot,
                qos: message.qos().min(granted),
                retain: true,
                dup: false,
                seq: 0,
                packet_id: None,
                subscription_ids: id.into_iter().collect(),
                message,
            };
            self.offer(parcel, now)?;
        }
        Ok(())
    }

    /// The desk's answer to UNSUBSCRIBE.
    pub(super) fn on_unsubscribed(&mut self, existed: &[bool]) -> Result<(), Reason> {
        let (packet_id, asked) = match self.subscribing.answered() {
            Some(Awaited::Unsuback(packet_id, asked)) => (packet_id, asked),
            Some(Awaited::Withdrawn) => return Ok(()),
            _ => return Err(Reason::ImplementationSpecific),
        };
        const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
        let mut existed = existed.iter();
        let mut codes = Vec::with_capacity(asked.len());
        for filter in asked {
            codes.push(match filter {
                None => Reason::FilterInvalid.code(),
                Some(filter) => {
                    self.subscriptions.remove(&filter);
                    self.subscribing
                        .suspended
                        .retain(|one| one.filter != filter);
                    self.close_live(&filter);
                    match existed.next() {
                        Some(true) => 0,
                        _ => NO_SUBSCRIPTION_EXISTED,
                    }
                }
            });
        }
        self.exits
            .output
            .unsuback(self.client.v5, packet_id, &codes);
        Ok(())
    }
}

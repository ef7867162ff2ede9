//! Publishes from the client: where each goes, and when it is acknowledged.
//!
//! What only the desk may take (commands, retained, what somebody durable wants) is acknowledged
//! when the desk says that it is on disk. The rest goes to the live plane and is acknowledged at
//! once. QoS 2 ids are remembered from PUBLISH to PUBREL either way (method B of MQTT 5 section
//! 4.3.3), and not a second PUBREC leaves before the first one was due.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::desk::port::{Full, Publication, Request, Route, Sorted, sort};
use crate::live::{Plane, Publisher};
use crate::mqtt::codec::decode::{self, Ack, Publish};
use crate::mqtt::codec::encode::{PUBACK, PUBCOMP, PUBREC};
use crate::mqtt::codec::properties::Properties;
use crate::mqtt::codec::reason::{Reason, of_publish};
use crate::mqtt::disconnect_reason::DisconnectReason;
use crate::wire::Millis;
use crate::wire::cbor;
use crate::wire::filter::TopicRule;
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::mirror::{CommandMirrors, Trace};
use crate::wire::name::{Agent, Key};
use crate::wire::reply::Code;
use crate::wire::topic::{RoomTopic, Topic};

use super::ClientSession;
use super::aliases::ClientAliases;
use super::poison::Cause;

/// How far an incoming QoS 2 message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exactly {
    /// The desk has it; PUBREC waits for its word.
    AtDesk,
    /// PUBREC was sent. `by_desk`: it is the desk that remembers the id.
    Taken { by_desk: bool },
    /// PUBREL is here; PUBCOMP waits for the desk's word.
    Releasing,
}

/// Publishes of QoS 1 and 2 that are not fully acknowledged, and topic aliases.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct Inbound {
    exactly: HashMap<u16, Exactly>,
    /// Of `exactly`: ids of an earlier connection.
    restored: BTreeSet<u16>,
    /// Of `exactly`: those that wait for the desk.
    exactly_at_desk: usize,
    at_least_at_desk: usize,
    /// Ids at the desk that were refused for their topic: their reason code says so.
    refused_topics: Vec<u16>,
    aliases: ClientAliases,
    /// Publishes handed to the desk, and how many of them have left it.
    handed_over: u64,
    /// The last of them by topic (its hash), forgotten once all have left.
    on_their_way: HashMap<u64, u64>,
    published: Arc<AtomicU64>,
}

impl Inbound {
    /// `published` is how many publishes of the connection the desk has handed on, `unreleased` the
    /// ids of earlier ones that it holds until PUBREL.
    pub(in crate::mqtt) fn new(published: Arc<AtomicU64>, unreleased: &[u16]) -> Inbound {
        let taken = |&id: &u16| (id, Exactly::Taken { by_desk: true });
        Inbound {
            exactly: unreleased.iter().map(taken).collect(),
            restored: unreleased.iter().copied().collect(),
            published,
            ..Inbound::default()
        }
    }

    /// What the client may not exceed (MQTT 5 section 4.9). What it sent on an earlier connection
    /// does not count.
    fn unacknowledged(&self) -> usize {
        self.at_least_at_desk + self.exactly.len() - self.restored.len()
    }

    /// A QoS 2 id is free again.
    fn forget(&mut self, packet_id: u16) {
        self.exactly.remove(&packet_id);
        self.restored.remove(&packet_id);
    }

    /// Whether the desk still has a publish on this topic, which a later one must not overtake
    /// (MQTT-4.6.0-5).
    fn is_on_its_way(&mut self, topic: &str) -> bool {
        let published = self.published.load(Ordering::Acquire);
        if self.on_their_way.is_empty() || self.handed_over == published {
            self.on_their_way = HashMap::new();
            return false;
        }
        let many = self.on_their_way.len() > MAX_TOPICS_ON_THEIR_WAY;
        let last = self.on_their_way.get(&hash(topic));
        many || last.is_some_and(|&number| number > published)
    }

    /// Notes a publish that goes to the desk.
    pub(super) fn hand_over(&mut self, topic: &str) {
        self.handed_over += 1;
        if self.on_their_way.len() <= MAX_TOPICS_ON_THEIR_WAY {
            self.on_their_way.insert(hash(topic), self.handed_over);
        }
    }

    /// Bytes that aliases take, and ids until they are released. MQTT 5 clients may have as many
    /// ids as Receive Maximum; 3.1.1 knows no such bound but that there are 65,535.
    pub(super) fn held_bytes(&self) -> usize {
        const OF_ONE: usize = 16;
        self.exactly.len() * OF_ONE + self.aliases.bytes()
    }

    /// Publishes whose ack waits for the desk.
    pub(super) fn at_desk(&self) -> usize {
        self.at_least_at_desk + self.exactly_at_desk
    }

    fn sent_to_desk(&mut self, packet_id: u16, qos: Qos) {
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.at_least_at_desk += 1,
            Qos::ExactlyOnce => {
                self.exactly.insert(packet_id, Exactly::AtDesk);
                self.exactly_at_desk += 1;
            }
        }
    }
}

/// Topics whose publishes at the desk a connection tells apart; with more, all that it publishes
/// goes that way for a while.
const MAX_TOPICS_ON_THEIR_WAY: usize = 256;

/// Two topics of one hash cost a detour by the desk, no more.
fn hash(topic: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    topic.hash(&mut hasher);
    hasher.finish()
}

/// Sorts a publish of client `client_id` by its topic.
pub(in crate::mqtt) fn sorted(
    root: &str,
    client_id: &str,
    topic: &str,
    properties: &Properties<'_>,
) -> Sorted {
    sort(root, client_id, topic, |from, command| {
        let correlation = properties
            .correlation
            .and_then(|data| std::str::from_utf8(data).ok());
        let response = properties.response_topic;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        CommandMirrors {
            correlation_id: owned(correlation),
            reply_rest: response.and_then(|reply| own_reply(root, command, from, reply)),
            ttl_ms: properties.expiry.map(|seconds| u64::from(seconds) * 1000),
            trace: Trace {
                traceparent: owned(properties.traceparent),
                tracestate: owned(properties.tracestate),
            },
            is_cbor: properties.content_type.is_some_and(cbor::is_content_type),
        }
    })
}

/// What a Response Topic appends to the caller's own reply topic in the room of its command.
fn own_reply(root: &str, command: &RoomTopic, from: &Agent, response: &str) -> Option<Key> {
    let parsed = RoomTopic::parse(root, response)?.ok()?;
    match parsed.topic {
        Topic::Reply { me, rest } if me == *from && parsed.room == command.room => rest,
        _ => None,
    }
}

/// When a message that lives `expiry` seconds from `now` is over; 0 for never.
fn expires_at(expiry: Option<u32>, now: Millis) -> Millis {
    expiry.map_or(0, |seconds| now + u64::from(seconds) * 1000)
}

impl<P: Plane> ClientSession<P> {
    pub(super) fn on_publish(&mut self, first: u8, body: &[u8]) -> Result<(), Reason> {
        let packet = decode::publish(self.client.v5, first, body)?;
        if let Err(rule) = self.check_depth(packet.topic) {
            return self.on_too_deep(&packet, rule);
        }
        let metrics = &self.io.metrics;
        metrics.publishes_received.of(packet.qos).add(1);
        metrics
            .publish_bytes_received
            .add(packet.payload.len() as u64);
        // A repeat may be the first of its connection to set an alias.
        let aliased = self.resolve_alias(&packet)?;
        if let Some(id) = packet.packet_id {
            if packet.qos == Qos::ExactlyOnce && self.repeats(id) {
                return Ok(());
            }
            let full =
                self.inbound.unacknowledged() >= usize::from(self.config.mqtt.receive_maximum);
            if self.client.v5 && full {
                return Err(Reason::ReceiveMaximum);
            }
        }
        if !packet.properties.fits(packet.payload) {
            self.acknowledge_here(&packet, Err(Reason::PayloadInvalid));
            return Ok(());
        }
        let topic = aliased.as_deref().unwrap_or(packet.topic);
        self.take(topic, &packet);
        Ok(())
    }

    /// A topic with too many levels costs the connection, as long as the same client does not come
    /// back with it.
    fn on_too_deep(&mut self, packet: &Publish<'_>, rule: TopicRule) -> Result<(), Reason> {
        match packet.packet_id {
            Some(id) if self.swallows(Cause::TooDeep) => {
                self.turn_away(id, packet.qos, Reason::TopicNameInvalid);
                self.tell_of_dropped(Cause::TooDeep, packet.topic, packet.payload.len());
                Ok(())
            }
            _ => Err(rule.into()),
        }
    }

    /// Whether a QoS 2 id is in use, so that this PUBLISH is a repeat; answers it if the first one
    /// was answered.
    fn repeats(&mut self, id: u16) -> bool {
        let known = self.inbound.exactly.get(&id).copied();
        if let Some(Exactly::Taken { .. }) = known {
            self.io.output.ack(PUBREC, id, None);
        }
        known.is_some()
    }

    /// Notes, or looks up, a topic alias (MQTT 5 section 3.3.2.3.4).
    fn resolve_alias(&mut self, packet: &Publish<'_>) -> Result<Option<Box<str>>, Reason> {
        let Some(alias) = packet.properties.alias else {
            return Ok(None);
        };
        if alias == 0 || alias > self.config.mqtt.topic_alias_max {
            return Err(Reason::TopicAliasInvalid);
        }
        if packet.topic.is_empty() {
            // MQTT-3.3.2-12 and section 4.13: naming nothing is a protocol error.
            return self
                .inbound
                .aliases
                .topic(alias)
                .map(|topic| Some(topic.into()))
                .ok_or(Reason::Protocol);
        }
        self.inbound.aliases.set(alias, packet.topic);
        Ok(None)
    }

    fn take(&mut self, topic: &str, packet: &Publish<'_>) {
        let root = &self.config.root;
        let sorted = sorted(root, &self.client.id, topic, &packet.properties);
        let sorted = match &mut self.access {
            Some(access) => access.judge(root, topic, sorted),
            None => sorted,
        };
        let message = Message::encode(&Parts {
            topic,
            publisher: &self.client.id,
            qos: packet.qos,
            retain: packet.retain,
            retained_seq: 0,
            expires_at: expires_at(packet.properties.expiry, self.now),
            properties: &packet.properties.forwarded,
            payload: packet.payload,
        });
        match sorted {
            Sorted::Dollar => {
                self.io.metrics.refused_dollar.add(1);
                self.acknowledge_here(packet, Err(Reason::NotAuthorized));
            }
            Sorted::Forbidden => self.acknowledge_here(packet, Err(Reason::NotAuthorized)),
            Sorted::Told(route) if packet.qos > Qos::AtMostOnce => {
                self.hand_to_desk(packet, message, route);
            }
            Sorted::Desk(route) => {
                self.hand_to_desk(packet, message, route);
            }
            Sorted::Refused(route) => {
                if self.hand_to_desk(packet, message, route) {
                    self.inbound.refused_topics.extend(packet.packet_id);
                }
            }
            Sorted::Plain | Sorted::Told(_) if self.is_kept(topic, packet) => {
                self.hand_to_desk(packet, message, Route::Subscribers);
            }
            Sorted::Plain | Sorted::Told(_) => {
                self.push_live(topic, &message);
                self.acknowledge_here(packet, Ok(()));
            }
        }
    }

    /// Whether ordinary traffic is the desk's all the same.
    fn is_kept(&mut self, topic: &str, packet: &Publish<'_>) -> bool {
        packet.retain
            || (packet.qos == Qos::ExactlyOnce && self.client.durable)
            || self.context.interest.wants(topic, packet.qos)
            || self.inbound.is_on_its_way(topic)
    }

    /// Whether it was taken: not if there is no memory left for what waits.
    fn hand_to_desk(&mut self, packet: &Publish<'_>, message: Message, route: Route) -> bool {
        if self.io.share.is_full() {
            self.io.share.memory().outcomes.refused.add_one();
            self.turn_down(packet);
            return false;
        }
        if let Some(id) = packet.packet_id {
            self.inbound.sent_to_desk(id, packet.qos);
            self.acks.handed_over(id);
        }
        self.inbound.hand_over(message.topic());
        let request = Request::Publish {
            connection: self.io.connection,
            packet_id: packet.packet_id,
            publication: Publication { message, route },
        };
        if self.is_publishing() {
            // What went past the desk before is not to be overtaken, either.
            self.io.waiting.push_back(request);
        } else {
            self.io.ask(request);
        }
        true
    }

    /// Says that a publish cannot be kept. 3.1.1 has no word for it, and an acknowledgement would
    /// be a promise.
    fn turn_down(&mut self, packet: &Publish<'_>) {
        if packet.packet_id.is_some() && !self.client.v5 {
            // MQTT-4.8.0-2.
            self.refuse(DisconnectReason::Memory);
            return;
        }
        self.acknowledge_here(packet, Err(Reason::QuotaExceeded));
    }

    /// The desk has no room for a publish.
    pub(super) fn on_no_room(&mut self, id: u16, full: Full, message: &Message) {
        if self.client.v5 {
            return self.on_published(id, Err(Code::TooMany), Some(full.words()));
        }
        match Cause::of(full).filter(|&cause| self.swallows(cause)) {
            Some(cause) => {
                self.on_published(id, Err(Code::TooMany), None);
                self.tell_of_dropped(cause, message.topic(), message.size());
            }
            // MQTT-4.8.0-2.
            None => self.refuse(DisconnectReason::NoRoom),
        }
    }

    /// Refuses a publish that went no further than here.
    pub(super) fn turn_away(&mut self, id: u16, qos: Qos, reason: Reason) {
        self.acknowledge(id, qos, Err(reason), None);
    }

    pub(super) fn push_live(&mut self, topic: &str, message: &Message) {
        let publisher = self
            .live
            .publisher
            .get_or_insert_with(|| self.context.plane.publisher());
        let frame = message.as_bytes().clone();
        if message.qos() == Qos::AtMostOnce {
            publisher.push(topic, frame);
        } else {
            publisher.push_reliable(topic, frame);
        }
    }

    fn acknowledge_here(&mut self, packet: &Publish<'_>, verdict: Result<(), Reason>) {
        let Some(id) = packet.packet_id else { return };
        self.acknowledge(id, packet.qos, verdict, None);
    }

    /// Sends PUBACK or PUBREC. A refusal is for MQTT 5 to read; 3.1.1 has no way to say it.
    /// `by_desk`: the desk has decided, with these words if it has any.
    fn acknowledge(
        &mut self,
        id: u16,
        qos: Qos,
        verdict: Result<(), Reason>,
        by_desk: Option<Option<&str>>,
    ) {
        let refused = verdict.err();
        let reason = refused.filter(|_| self.client.v5);
        let words = by_desk.flatten();
        match by_desk {
            Some(_) => self.acks.answered(id, qos, &self.io.metrics.ack_latency),
            None => self.acks.at_once(qos),
        }
        if qos == Qos::AtLeastOnce {
            self.io.output.ack_with(PUBACK, id, reason, words);
            return;
        }
        self.io.output.ack_with(PUBREC, id, reason, words);
        if reason.is_some() {
            // MQTT-4.3.3: the id is free again, no PUBREL follows.
            self.inbound.forget(id);
        } else {
            // The desk does not keep the ids of what it refused.
            let by_desk = by_desk.is_some() && refused.is_none();
            self.inbound.exactly.insert(id, Exactly::Taken { by_desk });
        }
    }

    /// The desk's word on a publish.
    pub(super) fn on_published(&mut self, id: u16, verdict: Result<(), Code>, words: Option<&str>) {
        let refused = self
            .inbound
            .refused_topics
            .iter()
            .position(|&refused| refused == id);
        let by_topic = refused
            .map(|at| self.inbound.refused_topics.swap_remove(at))
            .is_some();
        let verdict = verdict.map_err(|code| of_publish(code, by_topic));
        let qos = match self.inbound.exactly.get(&id) {
            Some(Exactly::AtDesk) => {
                self.inbound.exactly_at_desk -= 1;
                Qos::ExactlyOnce
            }
            _ => {
                self.inbound.at_least_at_desk = self.inbound.at_least_at_desk.saturating_sub(1);
                Qos::AtLeastOnce
            }
        };
        self.acknowledge(id, qos, verdict, Some(words));
    }

    pub(super) fn on_pubrel(&mut self, ack: Ack) -> Result<(), Reason> {
        let id = ack.packet_id;
        match self.inbound.exactly.get(&id).copied() {
            Some(Exactly::Taken { by_desk: true }) => {
                self.inbound.exactly.insert(id, Exactly::Releasing);
                self.io.ask(Request::Release {
                    connection: self.io.connection,
                    packet_id: id,
                });
            }
            Some(Exactly::Taken { by_desk: false }) => {
                self.inbound.forget(id);
                self.io.output.ack(PUBCOMP, id, None);
            }
            Some(Exactly::Releasing) => {}
            // PUBREL before PUBREC.
            Some(Exactly::AtDesk) => return Err(Reason::Protocol),
            None => {
                let reason = self.client.v5.then_some(Reason::PacketIdNotFound);
                self.io.output.ack(PUBCOMP, id, reason);
            }
        }
        Ok(())
    }

    /// The desk has forgotten the id.
    pub(super) fn on_released(&mut self, id: u16) {
        if self.inbound.exactly.get(&id) == Some(&Exactly::Releasing) {
            self.inbound.forget(id);
            self.io.output.ack(PUBCOMP, id, None);
        }
    }
}

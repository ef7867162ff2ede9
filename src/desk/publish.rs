//! PUBLISH: commands to the engine, the rest to whoever subscribes; and what the gateway itself publishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::core::Desk;
use super::outbox::Kind;
use super::port::{ConnectionId, Delivery, Publication, Response, Route};
use super::records;
use super::timers::Timer;
use crate::engine::{self, Input, Verdict};
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::json;
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::mirror::{self, MessageMirrors, Trace};
use crate::wire::name::Agent;
use crate::wire::observe::Event;
use crate::wire::reply::Code;
use crate::wire::topic::{RoomTopic, Topic, below_root};

/// Bytes of QoS 0 messages that may wait for a member of a shared subscription.
const MAX_BACKLOG_BYTES: usize = 1024 * 1024;

impl Desk {
    /// A publish that only the desk may take.
    pub(super) fn publish(
        &mut self,
        now: Millis,
        connection: ConnectionId,
        packet_id: Option<u16>,
        publication: &Publication,
    ) {
        let Some(id) = self.client_of(connection) else {
            return;
        };
        self.stats.publishes.add_one();
        let once = publication.message.qos() == Qos::ExactlyOnce;
        let verdict = match packet_id.filter(|_| once) {
            Some(packet_id) if self.was_taken(&id, packet_id) => Ok(Vec::new()),
            Some(packet_id) => self
                .route(now, publication)
                .inspect(|_| self.take_inbound(&id, packet_id)),
            None => self.route(now, publication),
        };
        if verdict.is_err() {
            self.stats.refusals.add_one();
        }
        if let Some(packet_id) = packet_id {
            self.acknowledge_publisher(now, &id, packet_id, verdict);
        }
    }

    /// Whether an inbound QoS 2 packet id is between PUBLISH and PUBREL: then this is a repeat (MQTT-4.3.3-10).
    fn was_taken(&self, id: &str, packet_id: u16) -> bool {
        let session = self
            .clients
            .get(id)
            .and_then(|client| client.session.as_ref());
        session.is_some_and(|session| session.unreleased.contains(&packet_id))
    }

    /// The id joins the batch of its message: both are on disk, or neither (CVE-2026-8741).
    fn take_inbound(&mut self, id: &str, packet_id: u16) {
        let Some(session) = self
            .clients
            .get_mut(id)
            .and_then(|client| client.session.as_mut())
        else {
            return;
        };
        session.unreleased.insert(packet_id);
        if session.durable {
            self.pending.records.put(
                Space::Inbound,
                records::inbound_key(id, packet_id),
                Bytes::new(),
            );
        }
    }

    /// PUBREL. Its effect is on disk before PUBCOMP says that the id is free, else a crash would take the id's next
    /// message for a repeat.
    pub(super) fn release_inbound(&mut self, connection: ConnectionId, packet_id: u16) {
        let Some(id) = self.client_of(connection) else {
            return;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if let Some(session) = &mut client.session
            && session.unreleased.remove(&packet_id)
            && session.durable
        {
            self.pending
                .records
                .delete(Space::Inbound, records::inbound_key(&id, packet_id));
        }
        if let Some(connected) = &client.connected {
            self.pending
                .respond(&connected.connection, Response::Released { packet_id });
        }
    }

    /// PUBACK or PUBREC leaves with the batch, or later where a subscriber is connected and slow.
    fn acknowledge_publisher(
        &mut self,
        now: Millis,
        id: &str,
        packet_id: u16,
        verdict: Result<Vec<Arc<str>>, Code>,
    ) {
        let Some(connected) = self
            .clients
            .get(id)
            .and_then(|client| client.connected.as_ref())
        else {
            return;
        };
        let connection = connected.connection.clone();
        let slow = verdict.as_ref().ok().and_then(|slow| slow.first()).cloned();
        let response = Response::Published {
            packet_id,
            verdict: verdict.map(|_| ()),
        };
        // A client never waits for itself: it could not read its way out.
        let waits_for = slow.filter(|slow| **slow != *id);
        let slow = waits_for
            .and_then(|slow| Some((self.clients.get_mut(&slow)?.connected.as_mut()?, slow)));
        let Some((connected, slow)) = slow else {
            self.pending.respond(&connection, response);
            return;
        };
        self.stats.held_acks.add_one();
        connected.held.push((connection, response));
        if connected.patience_ends.is_none() {
            let at = now + self.settings.patience_ms;
            connected.patience_ends = Some(at);
            self.set_timer(at, Timer::Patience(slow));
        }
    }

    /// Sends a publication where it belongs; returns the connected subscribers that are slow.
    pub(super) fn route(
        &mut self,
        now: Millis,
        publication: &Publication,
    ) -> Result<Vec<Arc<str>>, Code> {
        let message = &publication.message;
        match &publication.route {
            Route::Subscribers => self.publish_to_subscribers(now, message),
            Route::Engine {
                from,
                topic,
                mirrors,
            } => {
                let command = engine::Command {
                    from: from.clone(),
                    topic: topic.clone(),
                    payload: message.payload(),
                    mirrors: mirrors.clone(),
                };
                let verdict: Verdict = self.feed_with(now, Input::Command(command), Some(message));
                verdict.map(|()| Vec::new())
            }
            Route::Refused {
                from,
                room,
                rejection,
            } => {
                if let (Some(from), Some(room)) = (from, room) {
                    let command = below_root(&self.settings.root, message.topic())
                        .and_then(|rest| rest.split_once('/'))
                        .map_or("", |(_, command)| command)
                        .chars()
                        .take(128)
                        .collect();
                    let (from, room, rejection) = (from.clone(), room.clone(), rejection.clone());
                    self.feed(
                        now,
                        Input::Refused {
                            from,
                            room,
                            command,
                            rejection,
                        },
                    );
                }
                Err(rejection.code)
            }
        }
    }

    fn publish_to_subscribers(
        &mut self,
        now: Millis,
        message: &Message,
    ) -> Result<Vec<Arc<str>>, Code> {
        if !message.retain() {
            return Ok(self.distribute(now, message.clone()));
        }
        let full = !message.payload().is_empty() && !self.retained.has_room_for(message);
        if full {
            return Err(Code::TooMany);
        }
        let message = self.retain(message);
        Ok(self.distribute(now, message))
    }

    /// Keeps (or with an empty payload clears, MQTT-3.3.1-6) a retained message; returns it stamped.
    fn retain(&mut self, message: &Message) -> Message {
        let stamped = Message::encode(&Parts {
            stamp: self.stamp + 1,
            ..message.parts()
        });
        let topic = stamped.topic().as_bytes().to_vec();
        if stamped.payload().is_empty() {
            if self.retained.clear(stamped.topic()) {
                self.pending.records.delete(Space::Retained, topic);
            }
        } else {
            self.retained.set(stamped.clone());
            self.pending
                .records
                .put(Space::Retained, topic, stamped.as_bytes().clone());
        }
        self.stamp += 1;
        self.pending.awaited = true;
        stamped
    }

    /// To durable subscribers' queues, to one member of each shared group, and to the live plane for everybody else.
    pub(super) fn distribute(&mut self, now: Millis, message: Message) -> Vec<Arc<str>> {
        let mut slow = Vec::new();
        if message.qos() > Qos::AtMostOnce {
            for (client, kind) in self.durable_matches(&message) {
                if self.enqueue(now, &client, kind, message.clone()) {
                    slow.push(client);
                }
            }
        }
        self.distribute_to_shares(now, &message);
        self.broadcast(message);
        slow
    }

    /// Each durable session that matches, once, with the highest QoS of its matching subscriptions (MQTT-3.3.4-2, -3).
    fn durable_matches(&self, message: &Message) -> BTreeMap<Arc<str>, Kind> {
        let mut matches: BTreeMap<Arc<str>, Kind> = BTreeMap::new();
        self.subscribers
            .visit(message.topic(), &mut |client, terms| {
                if terms.no_local && **client == *message.publisher() {
                    return;
                }
                let granted = message.qos().min(terms.qos);
                let shows_retain = message.retain() && terms.retain_as_published;
                let kind = matches.entry(client.clone()).or_insert(Kind::Queued {
                    qos: granted,
                    retain: shows_retain,
                    subscription_ids: Vec::new(),
                });
                if let Kind::Queued {
                    qos,
                    retain,
                    subscription_ids,
                } = kind
                {
                    *qos = (*qos).max(granted);
                    *retain |= shows_retain;
                    subscription_ids.extend(terms.id);
                }
            });
        matches
    }

    fn distribute_to_shares(&mut self, now: Millis, message: &Message) {
        let clients = &self.clients;
        let connected = |id: &str| {
            clients
                .get(id)
                .is_some_and(|client| client.connected.is_some())
        };
        for (client, member) in self.shares.pick(message.topic(), connected) {
            let qos = message.qos().min(member.qos);
            let subscription_ids: Vec<u32> = member.id.into_iter().collect();
            if qos == Qos::AtMostOnce {
                self.send_unacknowledged(&client, message, subscription_ids);
            } else {
                self.enqueue(
                    now,
                    &client,
                    Kind::Queued {
                        qos,
                        retain: false,
                        subscription_ids,
                    },
                    message.clone(),
                );
            }
        }
    }

    /// QoS 0 to a member of a shared subscription: dropped if the member is away or does not keep up.
    fn send_unacknowledged(&mut self, client: &str, message: &Message, subscription_ids: Vec<u32>) {
        let connected = self
            .clients
            .get(client)
            .and_then(|client| client.connected.as_ref());
        let Some(connection) = connected.map(|connected| connected.connection.clone()) else {
            return;
        };
        let backlog = connection
            .backlog
            .load(std::sync::atomic::Ordering::Relaxed);
        if backlog > MAX_BACKLOG_BYTES {
            self.stats.dropped_backlog.add_one();
            return;
        }
        let delivery = Delivery {
            seq: 0,
            packet_id: None,
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            subscription_ids,
            message: message.clone(),
        };
        self.pending
            .respond(&connection, Response::Deliver(delivery));
    }

    /// A retained message of the gateway's: a key, a presence, a pending approval. The engine's limits bound them.
    pub(super) fn retain_from_gateway(
        &mut self,
        now: Millis,
        topic: &RoomTopic,
        payload: Option<&[u8]>,
    ) {
        let topic = topic.format(&self.settings.root);
        let mirrors = MessageMirrors::default();
        let message = gateway_message(&topic, payload.unwrap_or_default(), true, &mirrors);
        let stamped = self.retain(&message);
        self.distribute(now, stamped);
    }

    /// An event of the gateway's.
    pub(super) fn publish_event(&mut self, now: Millis, event: &Event) {
        let category = event.what.split('.').next().unwrap_or("gateway");
        let Ok(category) = crate::wire::name::Category::new(category) else {
            return;
        };
        let topic = Topic::ObserveEvents {
            source: Agent::gateway(),
            category,
        };
        let topic = RoomTopic::new(event.room.clone(), topic).format(&self.settings.root);
        let mirrors = MessageMirrors {
            from: Some(event.who.clone()),
            trace: Trace {
                traceparent: event.traceparent.clone(),
                tracestate: None,
            },
            ..MessageMirrors::default()
        };
        let message = gateway_message(&topic, &json::encode(event), false, &mirrors);
        self.distribute(now, message);
    }
}

/// A message of the gateway's own: JSON, at the highest QoS, so that each subscriber gets the one that it asked for.
pub(super) fn gateway_message(
    topic: &str,
    payload: &[u8],
    retain: bool,
    mirrors: &MessageMirrors,
) -> Message {
    let properties = json_properties(mirrors);
    Message::encode(&Parts {
        topic,
        publisher: "",
        qos: Qos::ExactlyOnce,
        retain,
        stamp: 0,
        expires_at: mirrors.expires_at.unwrap_or(0),
        properties: &properties,
        payload,
    })
}

/// MQTT 5 properties of a JSON message (MQTT 5 section 3.3.2.3).
fn json_properties(mirrors: &MessageMirrors) -> BytesMut {
    const CONTENT_TYPE: (u8, &str) = (0x03, "application/json");
    const CORRELATION_DATA: u8 = 0x09;
    const USER_PROPERTY: u8 = 0x26;
    let mut out = BytesMut::with_capacity(128);
    put_property(&mut out, CONTENT_TYPE.0, &[CONTENT_TYPE.1]);
    if let Some(correlation_id) = &mirrors.correlation_id {
        put_property(&mut out, CORRELATION_DATA, &[correlation_id]);
    }
    for (name, value) in [
        (mirror::FROM, mirrors.from.as_ref().map(Agent::as_str)),
        (mirror::TRACEPARENT, mirrors.trace.traceparent.as_deref()),
        (mirror::TRACESTATE, mirrors.trace.tracestate.as_deref()),
    ] {
        if let Some(value) = value {
            put_property(&mut out, USER_PROPERTY, &[name, value]);
        }
    }
    out
}

/// A property of one string, or of a pair. The engine's limits keep every string far below the 65,535 bytes that fit.
fn put_property(out: &mut BytesMut, id: u8, strings: &[&str]) {
    out.put_u8(id);
    for text in strings {
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        out.put_u16(len);
        out.put_slice(&text.as_bytes()[..usize::from(len)]);
    }
}

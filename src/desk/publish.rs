//! PUBLISH: commands to the engine, the rest to whoever subscribes; and what the gateway itself publishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::Release;
use super::clients::Clients;
use super::core::Desk;
use super::kind::Kind;
use super::port::{ConnectionId, Delivery, Full, Publication, Response, Route};
use super::records;
use super::shares::Turn;
use super::timers::Timer;
use crate::diary::{limited, shown};
use crate::engine::{self, Input, Verdict};
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::reply::Code;
use crate::wire::topic::below_room;

/// Whose queues a message goes into.
struct Targets {
    durable: BTreeMap<Arc<str>, Kind>,
    turns: Vec<Turn>,
    /// As published.
    qos: Qos,
}

impl Targets {
    /// Those that keep it until it is acknowledged.
    fn queued(&self) -> impl Iterator<Item = &Arc<str>> {
        let keeps = |turn: &&Turn| turn.member.qos.min(self.qos) > Qos::AtMostOnce;
        let members = self.turns.iter().filter(keeps).map(|turn| &turn.client);
        self.durable.keys().chain(members)
    }
}

/// What there is to say of a publish that was refused; nothing of one that was taken.
struct Refusal {
    words: Option<Box<str>>,
    of_own_backlog: bool,
}

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
            if self.settings.memory.room_to_store() < publication.message.size() {
                self.settings.memory.refused.add_one();
            }
        }
        let refusal = self.refusal.as_ref().filter(|_| verdict.is_err());
        let of_own_backlog = refusal.is_some_and(|refusal| refusal.of_own_backlog);
        let words = match verdict {
            Ok(_) => None,
            Err(_) => self.tell_of_refusal(&id, &publication.message),
        };
        if let Some(packet_id) = packet_id {
            let refusal = Refusal {
                words,
                of_own_backlog,
            };
            self.acknowledge_publisher(now, &id, packet_id, publication, (verdict, refusal));
        }
        let connected = self.clients.connected(&id);
        if let Some(connected) = connected {
            let published = Arc::clone(&connected.connection.published);
            self.pending.release(Release::Published(published));
        }
    }

    /// Whether an inbound QoS 2 packet id is between PUBLISH and PUBREL: then this is a repeat (MQTT-4.3.3-10).
    fn was_taken(&self, id: &str, packet_id: u16) -> bool {
        let session = self.clients.session(id);
        session.is_some_and(|session| session.unreleased.contains(&packet_id))
    }

    /// The id joins the batch of its message: both are on disk, or neither (CVE-2026-8741).
    fn take_inbound(&mut self, id: &str, packet_id: u16) {
        let Some(session) = self.clients.session_mut(id) else {
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
        if let Some(session) = client.state.session_mut()
            && session.unreleased.remove(&packet_id)
            && session.durable
        {
            self.pending
                .records
                .delete(Space::Inbound, records::inbound_key(&id, packet_id));
        }
        if let Some(connected) = client.state.connected() {
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
        publication: &Publication,
        (verdict, refusal): (Result<Vec<Arc<str>>, Code>, Refusal),
    ) {
        let Some(connected) = self.clients.connected(id) else {
            return;
        };
        let connection = connected.connection.clone();
        let slow = verdict.as_ref().ok().and_then(|slow| slow.first()).cloned();
        let response = match (&publication.route, verdict) {
            // A command that is refused has its reply; here nothing else would say it.
            (Route::Subscribers, Err(Code::TooMany)) => Response::NoRoom {
                packet_id,
                full: self.full,
                message: publication.message.clone(),
            },
            (_, verdict) => Response::Published {
                packet_id,
                verdict: verdict.map(|_| ()),
                words: refusal.words,
                of_own_backlog: refusal.of_own_backlog,
            },
        };
        // A client never waits for itself: it could not read its way out.
        let waits_for = slow.filter(|slow| **slow != *id);
        let slow = waits_for.and_then(|slow| Some((self.clients.connected_mut(&slow)?, slow)));
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
        self.refusal = None;
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
                self.refusal = self.engine.take_refusal();
                verdict.map(|()| Vec::new())
            }
            Route::Refused {
                from,
                room,
                rejection,
            } => {
                self.refusal = Some(rejection.clone());
                if let (Some(from), Some(room)) = (from, room) {
                    let command = below_room(&self.settings.root, message.topic())
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

    /// All who want it get it (MQTT-4.5.0-1). Where a queue is full, its session misses the message, or, if queues are to be full
    /// for nobody, nobody gets it and its publisher knows.
    fn publish_to_subscribers(
        &mut self,
        now: Millis,
        message: &Message,
    ) -> Result<Vec<Arc<str>>, Code> {
        let clears = message.payload().is_empty();
        if message.retain() && !clears && !self.retained.has_room_for(message) {
            self.stats.refused_retained_full.add_one();
            self.tell_of_full_retained(message);
            self.full = Full::Retained;
            return Err(Code::TooMany);
        }
        let targets = self.targets(message);
        if !self.all_have_room(&targets, message.size()) {
            return Err(Code::TooMany);
        }
        if message.retain() {
            let stamped = self.retain(message);
            return Ok(self.distribute_to(now, stamped, targets));
        }
        Ok(self.distribute_to(now, message.clone(), targets))
    }

    /// Whether a message may go to all whom it is for. If their queues are to be full for nobody, and one of them is, nobody gets
    /// it and its publisher is told.
    fn all_have_room(&mut self, targets: &Targets, bytes: usize) -> bool {
        let mut queues = targets.queued().peekable();
        if queues.peek().is_some() && self.settings.memory.room_to_store() < bytes {
            self.full = Full::Memory;
            return false;
        }
        if !self.clients.limits.refuse_when_full {
            return true;
        }
        let full = queues.find(|id| {
            let client = self.clients.get(id);
            client.is_some_and(|client| !client.can_queue(&self.clients.limits, bytes))
        });
        let Some(full) = full else {
            return true;
        };
        self.full = Full::Queue;
        self.stats.refused_queue_full.add_one();
        let full = full.clone();
        self.warn_of_full_queue(&full);
        false
    }

    fn tell_of_full_retained(&self, message: &Message) {
        let (client, kind) = (message.publisher(), "retained_full");
        let admitted = self.admits(kind, client);
        let (topic, bytes) = (shown(message.topic()), message.size());
        let limits = "retained.max_messages or retained.max_bytes";
        limited!(
            warn,
            admitted,
            client,
            kind,
            topic,
            bytes,
            "retained message refused: {limits} is reached"
        );
    }

    pub(super) fn warn_of_full_queue(&self, client: &str) {
        let outcome = if self.clients.limits.refuse_when_full {
            "publishers are refused"
        } else {
            "it misses messages"
        };
        let kind = "queue_full";
        let admitted = self.admits(kind, client);
        limited!(
            warn,
            admitted,
            client,
            kind,
            "the queue of this session is full: {outcome}"
        );
    }

    /// Keeps (or with an empty payload clears, MQTT-3.3.1-6) a retained message; returns it stamped.
    pub(super) fn retain(&mut self, message: &Message) -> Message {
        let stamped = self.stamp(message);
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
        self.pending.awaited = true;
        stamped
    }

    /// The message as the next change of what is retained.
    pub(super) fn stamp(&mut self, message: &Message) -> Message {
        self.stamp += 1;
        Message::encode(&Parts {
            stamp: self.stamp,
            retain: true,
            ..message.parts()
        })
    }

    /// To durable subscribers' queues, to one member of each shared group, and to the live plane for everybody else.
    pub(super) fn distribute(&mut self, now: Millis, message: Message) -> Vec<Arc<str>> {
        let targets = self.targets(&message);
        self.distribute_to(now, message, targets)
    }

    fn targets(&mut self, message: &Message) -> Targets {
        let takes = can_take(&self.clients, message);
        Targets {
            turns: self.shares.pick(message.topic(), takes),
            durable: self.durable_matches(message),
            qos: message.qos(),
        }
    }

    fn distribute_to(&mut self, now: Millis, message: Message, targets: Targets) -> Vec<Arc<str>> {
        let mut slow = Vec::new();
        for (client, kind) in targets.durable {
            if self.enqueue(now, &client, kind, message.clone()) {
                slow.push(client);
            }
        }
        for turn in targets.turns {
            self.deliver_to_member(now, turn, &message);
        }
        self.broadcast(message);
        slow
    }

    /// Each durable session that matches, once, with the highest QoS of its matching subscriptions (MQTT-3.3.4-2, -3).
    fn durable_matches(&self, message: &Message) -> BTreeMap<Arc<str>, Kind> {
        let mut matches: BTreeMap<Arc<str>, Kind> = BTreeMap::new();
        if message.qos() == Qos::AtMostOnce {
            return matches;
        }
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

    pub(super) fn deliver_to_member(&mut self, now: Millis, turn: Turn, message: &Message) {
        let qos = message.qos().min(turn.member.qos);
        let subscription_ids: Vec<u32> = turn.member.id.into_iter().collect();
        if qos == Qos::AtMostOnce {
            self.send_unacknowledged(&turn.client, message, subscription_ids);
            return;
        }
        let kind = Kind::Queued {
            qos,
            retain: false,
            subscription_ids,
            share: Some(turn.share),
        };
        self.enqueue(now, &turn.client, kind, message.clone());
    }

    /// A member's session has ended before it acknowledged this: another one gets it, if there is one.
    pub(super) fn inherit(&mut self, now: Millis, share: &Arc<str>, message: &Message) {
        let takes = can_take(&self.clients, message);
        if let Some(turn) = self.shares.pick_from(share, takes) {
            self.deliver_to_member(now, turn, message);
        }
    }

    /// QoS 0 to a member of a shared subscription: dropped if the member is away or does not keep up.
    fn send_unacknowledged(&mut self, client: &str, message: &Message, subscription_ids: Vec<u32>) {
        let connected = self.clients.connected(client);
        let Some(connection) = connected.map(|connected| connected.connection.clone()) else {
            return;
        };
        let backlog = connection
            .backlog
            .load(std::sync::atomic::Ordering::Relaxed);
        if backlog > self.clients.limits.max_backlog_bytes {
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
}

/// Who of a shared group can take a message now: is connected, may have it, and has room.
fn can_take(clients: &Clients, message: &Message) -> impl Fn(&str) -> bool {
    let bytes = message.size();
    move |id| {
        clients.get(id).is_some_and(|client| {
            client.may_receive_now(message.topic()) && client.can_queue(&clients.limits, bytes)
        })
    }
}

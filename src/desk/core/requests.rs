//! What sessions ask: PUBLISH, SUBSCRIBE and what acknowledges them, and what the runtime asks.

use std::sync::Arc;

use super::Desk;
use crate::desk::batch::{Answer, Release};
use crate::desk::command::{admit, command_of, no_memory, published, rejected};
use crate::desk::distribute;
use crate::desk::inbound;
use crate::desk::memory::Account;
use crate::desk::port::{
    CommandRequest, ConnectionId, Full, Publication, Request, Response, Route, Stage, Subscription,
};
use crate::desk::reassign::{refill, resume_deliveries};
use crate::desk::records;
use crate::desk::refusal::log_refusal;
use crate::desk::replay::{begin_replay, end_replay, retained_at_once, store_cursors};
use crate::desk::stall::{answer, refuses_subscriptions};
use crate::desk::status::{announce, holdings};
use crate::desk::timers::ClientTimer;
use crate::engine::{self, Input};
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::mirror::CommandMirrors;
use crate::wire::reply::{Code, Rejection, Reply};
use crate::wire::topic::Offer;

/// Why a publication had no effect.
pub(super) enum Refused {
    /// There is no room to keep it for those who subscribe.
    Full(Full),
    /// It is a command, or was to be one, and the reply has this.
    Command(Code, Option<Rejection>),
}

impl Refused {
    /// The code that says so.
    pub(super) fn code(&self) -> Code {
        match self {
            Refused::Full(_) => Code::TooMany,
            Refused::Command(code, _) => *code,
        }
    }

    fn rejection(&self) -> Option<&Rejection> {
        match self {
            Refused::Full(_) => None,
            Refused::Command(_, rejection) => rejection.as_ref(),
        }
    }
}

impl Desk {
    /// Takes one request, at a time by which nothing else is due: a session that has expired is not
    /// resumed, and its will comes first (MQTT-4.1.0-2, MQTT-3.1.2-8). What a single [`Desk::tick`]
    /// does not get done is its caller's to await: see [`Desk::is_behind`].
    pub fn handle(&mut self, now: Millis, request: Request) {
        self.stats.requests.add_one();
        if self.is_behind(now) {
            self.tick(now);
        }
        match request {
            Request::Open(open) => self.open(now, *open),
            Request::Subscribe {
                connection,
                packet_id,
                subscriptions,
            } => {
                self.subscribe(now, connection, packet_id, subscriptions);
            }
            Request::Unsubscribe {
                connection,
                packet_id,
                filters,
            } => {
                self.unsubscribe(now, connection, packet_id, &filters);
            }
            Request::Publish {
                connection,
                packet_id,
                publication,
            } => {
                let memory = &self.settings.memory;
                memory.release(Account::Requests, publication.message.size());
                self.publish(now, connection, packet_id, publication);
            }
            Request::Release {
                connection,
                packet_id,
            } => {
                if let Some(id) = self.clients.of_connection(connection) {
                    inbound::release(&mut self.clients, &mut self.commits, &id, packet_id);
                }
            }
            Request::Acknowledge {
                connection,
                seq,
                stage,
            } => self.acknowledge(now, connection, seq, stage),
            Request::Close {
                connection,
                publish_will,
                why,
                expiry,
            } => self.close(now, connection, publish_will, why, expiry),
            Request::Command(asked) => self.command(now, *asked),
            // Whoever asked may be gone.
            Request::Measure(answer) => {
                let _ = answer.send(holdings(&self.clients, &self.retained));
            }
            Request::Configure(new) => self.configure(now, *new),
            Request::Forwarded { queue, done, dead } => {
                self.forward
                    .finish(&queue, done, dead, now, &mut self.commits);
            }
            Request::Announce(figures) => announce(&mut self.delivery(now), figures),
        }
        self.report_deliveries(now);
    }

    /// A publish that only the desk may take.
    fn publish(
        &mut self,
        now: Millis,
        connection: ConnectionId,
        packet_id: Option<u16>,
        publication: Publication,
    ) {
        let Some(id) = self.clients.of_connection(connection) else {
            return;
        };
        self.stats.publishes.add_one();
        let once = publication.message.qos() == Qos::ExactlyOnce;
        let outcome = match packet_id.filter(|_| once) {
            Some(packet_id) if inbound::was_taken(&self.clients, &id, packet_id) => Ok(Vec::new()),
            Some(packet_id) => self.route(now, &publication).inspect(|_| {
                inbound::take(&mut self.clients, &mut self.commits, &id, packet_id);
            }),
            None => self.route(now, &publication),
        };
        let words = match &outcome {
            Ok(_) => None,
            Err(refused) => {
                self.count_refusal(publication.message.size());
                refused.rejection().map(|rejection| {
                    let topic = publication.message.topic();
                    log_refusal(&self.settings, &id, topic, rejection)
                })
            }
        };
        if let Some(packet_id) = packet_id {
            let slow = outcome.as_ref().ok().and_then(|slow| slow.first()).cloned();
            let response = match outcome {
                // A command that is refused has its reply; here nothing else would say it.
                Err(Refused::Full(full)) => Response::NoRoom {
                    packet_id,
                    full,
                    message: publication.message,
                },
                Err(Refused::Command(code, rejection)) => Response::Published {
                    packet_id,
                    verdict: Err(code),
                    words,
                    of_own_backlog: rejection.is_some_and(|rejection| rejection.of_own_backlog),
                },
                Ok(_) => Response::Published {
                    packet_id,
                    verdict: Ok(()),
                    words: None,
                    of_own_backlog: false,
                },
            };
            self.acknowledge_publisher(now, &id, response, slow);
        }
        if let Some(connected) = self.clients.connected(&id) {
            let published = Arc::clone(&connected.connection.published);
            self.commits.release(Release::Published(published));
        }
    }

    fn count_refusal(&self, bytes: usize) {
        self.stats.refusals.add_one();
        if self.settings.memory.room_to_store() < bytes {
            self.settings.memory.outcomes.refused.add_one();
        }
    }

    /// PUBACK or PUBREC leaves with the batch, or later where a subscriber is connected and slow.
    fn acknowledge_publisher(
        &mut self,
        now: Millis,
        id: &str,
        response: Response,
        slow: Option<Arc<str>>,
    ) {
        let Some(connected) = self.clients.connected(id) else {
            return;
        };
        let connection = connected.connection.clone();
        // A client never waits for itself: it could not read its way out.
        let waits_for = slow.filter(|slow| **slow != *id);
        let slow = waits_for.and_then(|slow| Some((self.clients.connected_mut(&slow)?, slow)));
        let Some((connected, slow)) = slow else {
            self.commits.respond(&connection, response);
            return;
        };
        self.stats.deferred_acks.add_one();
        connected.deferred_acks.push((connection, response));
        if connected.slow_consumer_deadline.is_none() {
            let at = now + self.settings.slow_consumer_timeout_ms;
            connected.slow_consumer_deadline = Some(at);
            self.delivery(now)
                .set_timer(at, ClientTimer::SlowConsumer(slow));
        }
    }

    /// Sends a publication where it belongs; returns the connected subscribers that are slow.
    pub(super) fn route(
        &mut self,
        now: Millis,
        publication: &Publication,
    ) -> Result<Vec<Arc<str>>, Refused> {
        let message = &publication.message;
        match &publication.route {
            Route::Subscribers => {
                distribute::publish(&mut self.delivery(now), message).map_err(Refused::Full)
            }
            Route::Engine {
                from,
                topic,
                mirrors,
            } => {
                let command = published(&self.clients, from, topic, message, mirrors.clone());
                let verdict = self.feed_with(now, Input::Command(command), Some(message));
                let rejection = self.engine.take_refusal();
                verdict
                    .map(|()| Vec::new())
                    .map_err(|code| Refused::Command(code, rejection))
            }
            Route::Event { from, topic, trace } => {
                let mirrors = CommandMirrors {
                    trace: trace.clone(),
                    ..CommandMirrors::default()
                };
                let event = published(&self.clients, from, topic, message, mirrors);
                let verdict = self.feed_with(now, Input::Command(event), Some(message));
                let rejection = self.engine.take_refusal();
                verdict.map_err(|code| Refused::Command(code, rejection))?;
                distribute::publish(&mut self.delivery(now), message).map_err(Refused::Full)
            }
            Route::Refused {
                from,
                room,
                rejection,
            } => {
                if let (Some(from), Some(room)) = (from, room) {
                    let command = command_of(&self.settings.root, message.topic());
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
                Err(Refused::Command(rejection.code, Some(rejection.clone())))
            }
        }
    }

    /// A command of a caller within the process. One who has gone by now has it not carried out.
    fn command(&mut self, now: Millis, asked: CommandRequest) {
        if asked.answer.is_closed() {
            return;
        }
        self.stats.direct_commands.add_one();
        let root = &self.settings.root;
        if self.settings.memory.is_full() {
            self.settings.memory.outcomes.refused.add_one();
            self.stats.refusals.add_one();
            // At once, so that nothing fills up with refusals; it shows nothing that is kept.
            drop(asked.answer.send(no_memory(root, &asked.topic)));
            return;
        }
        let (reply, rejection) = match admit(root, &self.clients, &asked) {
            Ok(command) => self.ask_engine(now, &asked, command),
            Err(rejection) => {
                let reply = rejected(root, &asked.topic, rejection.clone());
                (Some(reply), Some(rejection))
            }
        };
        if let Some(rejection) = rejection {
            self.stats.refusals.add_one();
            log_refusal(&self.settings, &asked.client_id, &asked.topic, &rejection);
        }
        if let Some(reply) = reply {
            let answer = Answer::new(&self.settings.memory, asked.answer, reply);
            self.commits.release(Release::Answer(answer));
        }
    }

    /// Carries a caller's command out: the reply, and why it was refused, if it was.
    fn ask_engine(
        &mut self,
        now: Millis,
        asked: &CommandRequest,
        command: engine::Command,
    ) -> (Option<Reply>, Option<Rejection>) {
        let message = Message::encode(&Parts {
            topic: &asked.topic,
            publisher: &asked.client_id,
            qos: Qos::AtLeastOnce,
            payload: &asked.payload,
            ..Parts::default()
        });
        let from = command.from.clone();
        // How it ended is in the reply.
        let _ = self.feed_with(now, Input::Ask(command), Some(&message));
        let (reply, rejection) = (self.engine.take_answer(), self.engine.take_refusal());
        self.disconnect_if_absent(now, from, "a caller spoke for it");
        let (id, owner) = (&asked.client_id, asked.owner.as_ref());
        self.clients.claim(id, owner, &mut self.commits);
        (reply, rejection)
    }

    /// PUBACK, PUBREC, PUBCOMP.
    fn acknowledge(&mut self, now: Millis, connection: ConnectionId, seq: u64, stage: Stage) {
        let Some(id) = self.clients.of_connection(connection) else {
            return;
        };
        let mut delivery = self.delivery(now);
        if delivery.acknowledge(&id, seq, stage) {
            refill(&mut delivery, &id);
            if let Some(client) = delivery.clients.get(&id) {
                delivery.work.note_room(client);
            }
            delivery.resume_publishers(&id);
        }
    }

    /// SUBSCRIBE.
    fn subscribe(
        &mut self,
        now: Millis,
        connection: ConnectionId,
        packet_id: u16,
        asked: Vec<Subscription>,
    ) {
        let Some(id) = self.clients.of_connection(connection) else {
            return;
        };
        if refuses_subscriptions(&self.delivery(now), &id, packet_id, &asked) {
            return;
        }
        let mut results = Vec::with_capacity(asked.len());
        let mut retained = Vec::new();
        // The most copies of retained messages that may wait for one client: each one four times,
        // for filters that overlap, and some. Without it, a packet full of filters that all match
        // everything would multiply the store.
        let retained_room = 4 * self.retained.count() + 1024;
        for (index, subscription) in asked.iter().enumerate() {
            let room = retained_room - retained.len();
            let added = self.add_subscription(now, &id, subscription);
            results.push(added.and_then(|existed| {
                if !subscription.wants_retained(existed) {
                    return Ok(subscription.qos);
                }
                let messages = retained_at_once(&self.delivery(now), &id, subscription, room);
                if messages.is_none() && !existed {
                    self.remove_subscription(now, &id, &subscription.filter);
                }
                let messages = messages.ok_or(Code::TooMany)?;
                retained.extend(messages.into_iter().map(|message| (index, message)));
                begin_replay(&mut self.delivery(now), &id, subscription);
                Ok(subscription.qos)
            }));
        }
        let response = Response::Subscribed {
            packet_id,
            results,
            retained,
            retained_room,
            retained_seq: self.retained.last_retained_seq(),
        };
        let mut delivery = self.delivery(now);
        if let Some(connected) = delivery.clients.connected_mut(&id) {
            connected.answered_in = delivery.commits.number();
        }
        answer(&mut delivery, &id, response);
        resume_deliveries(&mut delivery, &id);
        store_cursors(&mut delivery, &id, &asked);
    }

    /// Adds or replaces one; whether it existed (MQTT-3.8.4-3).
    fn add_subscription(
        &mut self,
        now: Millis,
        id: &Arc<str>,
        subscription: &Subscription,
    ) -> Result<bool, Code> {
        let limit = self.clients.limits().max_subscriptions;
        let session = self.clients.session(id).ok_or(Code::Unavailable)?;
        let old = session.subscriptions.get(&subscription.filter).cloned();
        if old.is_none() && session.subscriptions.len() >= limit {
            self.stats.refused_subscriptions.add_one();
            return Err(Code::TooMany);
        }
        if old.is_none() && self.settings.memory.is_full() {
            self.settings.memory.outcomes.refused.add_one();
            return Err(Code::TooMany);
        }
        let durable = session.durable;
        let offer = Offer::of_filter(&self.settings.root, &subscription.filter);
        self.offer(now, id, offer.as_ref())?;
        let session = self.clients.session_mut(id);
        let session = session.ok_or(Code::Unavailable)?;
        session
            .subscriptions
            .insert(subscription.filter.clone(), subscription.clone());
        match (&old, offer) {
            (Some(old), _) => self.index.remove(id, durable, old),
            (None, Some(offer)) => session.count_offer(offer),
            (None, None) => {}
        }
        self.index.add(id, durable, subscription);
        if durable {
            let key = records::subscription_key(id, &subscription.filter);
            let value = records::encode_subscription(subscription);
            self.commits.put(Space::Session, key, value);
        }
        Ok(old.is_some())
    }

    /// Tells the engine what a filter offers; also when it was offered before, because after a
    /// reconnect the engine brings the agent's assignments again.
    fn offer(&mut self, now: Millis, id: &str, offer: Option<&Offer>) -> Result<(), Code> {
        let agent = self.clients.get(id).and_then(|client| client.agent.clone());
        match (agent, offer.cloned()) {
            (Some(agent), Some(offer)) => {
                self.feed_with(now, Input::Offered { agent, offer }, None)
            }
            _ => Ok(()),
        }
    }

    /// UNSUBSCRIBE.
    fn unsubscribe(
        &mut self,
        now: Millis,
        connection: ConnectionId,
        packet_id: u16,
        filters: &[Arc<str>],
    ) {
        let Some(id) = self.clients.of_connection(connection) else {
            return;
        };
        let existed = filters
            .iter()
            .map(|filter| self.remove_subscription(now, &id, filter))
            .collect();
        let response = Response::Unsubscribed { packet_id, existed };
        answer(&mut self.delivery(now), &id, response);
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
        self.index.remove(id, durable, &old);
        if durable {
            self.commits
                .delete(Space::Session, records::subscription_key(id, filter));
            end_replay(&mut self.delivery(now), id, filter);
        }
        if let (Some(agent), Some(offer)) = (agent, withdrawn) {
            self.feed(now, Input::Withdrawn { agent, offer });
        }
        true
    }
}

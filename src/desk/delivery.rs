//! Messages for one client: into its outbox, out through its window, acknowledged.
//!
//! Here is what lies below the engine. What the desk does above it, with requests and with time,
//! borrows its parts to a [`DeliveryContext`], which looks at the engine and never feeds it.

mod max_packet;
mod replies;

use std::sync::Arc;

use super::batch::Release;
use super::clients::Clients;
use super::commits::Commits;
use super::forward::ForwardQueues;
use super::gateway_messages::gateway_message;
use super::index::SubscriptionIndex;
use super::outbox::{Acknowledged, packet_id};
use super::outbox_kind::OutboxKind;
use super::port::{self, Response, Stage};
use super::records;
use super::retained::RetainedStore;
use super::settings::DeskSettings;
use super::stats::DeskStats;
use super::timers::{ClientTimer, ClientTimers};
use super::work::WorkReports;
use crate::engine::{Directed, DirectedKind, Engine};
use crate::ledger::Space;
use crate::log_limiter::limited;
use crate::wire::Millis;
use crate::wire::message::Qos;
use crate::wire::message::{Message, Parts};
use crate::wire::name::Agent;

/// The parts of the desk that messages for clients go through, at one time.
pub(super) struct DeliveryContext<'a> {
    pub now: Millis,
    pub settings: &'a DeskSettings,
    pub stats: &'a DeskStats,
    pub engine: &'a Engine,
    pub clients: &'a mut Clients,
    pub index: &'a mut SubscriptionIndex,
    pub retained: &'a mut RetainedStore,
    pub timers: &'a mut ClientTimers,
    pub commits: &'a mut Commits,
    pub work: &'a mut WorkReports,
    pub forward: &'a mut ForwardQueues,
}

impl DeliveryContext<'_> {
    /// Appends to a session's queue, unless it is full; whether the client is connected and slow.
    pub(super) fn enqueue(&mut self, id: &Arc<str>, kind: OutboxKind, message: Message) -> bool {
        let limits = *self.clients.limits();
        let Some(client) = self.clients.get_mut(id) else {
            return false;
        };
        let Some(session) = client.state.session() else {
            return false;
        };
        let no_memory = self.settings.memory.room_to_store() < message.size();
        if no_memory || !client.can_queue(&limits, message.size()) {
            let is_connected = client.state.is_connected();
            if no_memory {
                self.settings.memory.outcomes.dropped.add_one();
            } else {
                self.stats.dropped.queue_full.add_one();
                self.warn_of_full_queue(id);
            }
            return is_connected;
        }
        let outbox = &mut client.outbox;
        let stored = session.durable || self.index.shares().must_keep(&kind);
        let slow = client.state.is_connected()
            && (outbox.queued_messages() >= limits.max_queued_messages / 2
                || outbox.queued_bytes() >= limits.max_queued_bytes / 2);
        let record = stored.then(|| records::encode_outbox(&kind, &message));
        let expires_at = message.expires_at();
        let (batch, ready) = (self.commits.number(), client.state.is_connected());
        let seq = outbox.push(kind, message, stored, batch, ready);
        if let Some(record) = record {
            self.commits
                .put(Space::Outbox, records::outbox_key(id, seq), record);
        }
        self.watch_expiry(id, seq, expires_at);
        self.send_ready(id);
        slow
    }

    pub(super) fn warn_of_full_queue(&self, client: &str) {
        let outcome = if self.clients.limits().refuse_when_full {
            "publishers are refused"
        } else {
            "it misses messages"
        };
        let kind = "queue_full";
        let admitted = self.settings.admits(kind, client);
        limited!(
            warn,
            admitted,
            client,
            kind,
            "the queue of this session is full: {outcome}"
        );
    }

    /// Puts a message of the gateway's into an agent's mailbox.
    pub(super) fn deliver_directed(&mut self, directed: Directed) {
        let topic = directed.topic.format(&self.settings.root);
        let message = gateway_message(&topic, &directed.payload, false, &directed.mirrors);
        let class = directed.class;
        let is_work = matches!(class, DirectedKind::Assignment(_));
        let kind = OutboxKind::Directed(class.clone());
        self.put_into_mailbox(&directed.to, kind, message);
        let reader = self.clients.get_mut(directed.to.as_str());
        if let Some(reader) = reader.filter(|_| is_work) {
            self.work.note_assigned(reader, &class);
        }
    }

    /// Puts another agent's message into an agent's mailbox, as it is but for its expiry.
    pub(super) fn deliver_inbox(&mut self, to: &Agent, message: &Message, expires_at: Millis) {
        let message = Message::encode(&Parts {
            expires_at,
            retain: false,
            ..message.parts()
        });
        self.put_into_mailbox(to, OutboxKind::Inbox, message);
    }

    fn put_into_mailbox(&mut self, to: &Agent, kind: OutboxKind, message: Message) {
        self.store_in_mailbox(to, kind, message);
        self.send_ready(&to.as_str().into());
    }

    /// The same, for who sees to what is ready itself.
    fn store_in_mailbox(&mut self, to: &Agent, kind: OutboxKind, message: Message) {
        let id: Arc<str> = to.as_str().into();
        if self.index.is_watched(message.topic()) {
            self.broadcast(message.clone());
        }
        if kind.is_reply() && !self.make_room_for_reply(&id, &kind) {
            return;
        }
        let Some(client) = self.clients.get_or_add(&id) else {
            self.stats.dropped.no_mailbox.add_one();
            return;
        };
        if client.outbox.holds(&kind) {
            return;
        }
        let exact_only = kind.is_for_exact_topic();
        let deliverable = client.state.is_connected()
            && client.state.grants(message.topic(), exact_only).is_some();
        let record = records::encode_outbox(&kind, &message);
        let expires_at = message.expires_at();
        let batch = self.commits.number();
        let seq = client.outbox.push(kind, message, true, batch, deliverable);
        self.commits
            .put(Space::Outbox, records::outbox_key(&id, seq), record);
        self.clients.store_owner(&id, self.commits);
        self.watch_expiry(&id, seq, expires_at);
    }

    /// To whoever listens on the live plane.
    pub(super) fn broadcast(&mut self, message: Message) {
        self.stats.broadcasts.add_one();
        self.commits.release(Release::Broadcast(message));
    }

    /// Takes an assignment or a run back. One that is in flight stays for the rest of its session,
    /// as MQTT wants it (MQTT-4.4.0-1): its attempt or turn fences it.
    pub(super) fn revoke(&mut self, agent: &Agent, class: &DirectedKind) {
        let Some(client) = self.clients.get_mut(agent.as_str()) else {
            return;
        };
        let Some(seq) = client.outbox.find(class) else {
            return;
        };
        if client.outbox.waiting(seq).is_some() {
            self.drop_entry(agent.as_str(), seq);
            return;
        }
        client.outbox.revoke(seq);
        if !client.state.is_durable() {
            // After a crash, too, only a later session could get it.
            self.commits
                .delete(Space::Outbox, records::outbox_key(agent.as_str(), seq));
        }
    }

    /// Takes messages out of a mailbox. What is in flight stays: it goes with its acknowledgement,
    /// as MQTT wants it.
    pub(super) fn discard(&mut self, agent: &Agent, seqs: &[u64]) {
        for seq in seqs {
            let client = self.clients.get(agent.as_str());
            if client.is_some_and(|client| client.outbox.is_idle(*seq)) {
                self.drop_entry(agent.as_str(), *seq);
                self.stats.dropped.purged.add_one();
            }
        }
        self.commits.note_lazily(self.now);
        self.clients.forget_if_idle(agent.as_str(), self.commits);
    }

    /// Takes a message out, in whatever state it is.
    pub(super) fn drop_entry(&mut self, id: &str, seq: u64) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if client.outbox.remove(seq).is_some_and(|entry| entry.stored) {
            self.commits
                .delete(Space::Outbox, records::outbox_key(id, seq));
        }
        self.resume_publishers(id);
    }

    /// Wakes the desk up for this.
    pub(super) fn set_timer(&mut self, at: Millis, timer: ClientTimer) {
        self.timers.set(at, timer, self.clients, self.commits);
    }

    fn watch_expiry(&mut self, id: &Arc<str>, seq: u64, expires_at: Millis) {
        if expires_at != 0 {
            self.set_timer(expires_at, ClientTimer::MessageExpiry(id.clone(), seq));
        }
    }

    /// A message that still waits has become too old (MQTT-3.3.2-5).
    pub(super) fn expire_message(&mut self, id: &Arc<str>, seq: u64) {
        let waiting = self
            .clients
            .get(id)
            .and_then(|client| client.outbox.waiting(seq));
        if waiting.is_some_and(|entry| entry.message.expired(self.now)) {
            self.stats.dropped.expired.add_one();
            self.drop_entry(id, seq);
            self.commits.note_lazily(self.now);
            self.clients.forget_if_idle(id, self.commits);
        }
    }

    /// After a connect or a subscribe: what had no taker may have one. Whether the client is there.
    pub(super) fn resume(&mut self, id: &Arc<str>) -> bool {
        let client = self.clients.get_mut(id);
        let Some(client) = client.filter(|client| client.state.is_connected()) else {
            return false;
        };
        let state = &client.state;
        client
            .outbox
            .unpark(|entry| state.grant_of(entry).is_some());
        self.send_ready(id);
        true
    }

    /// Sends what the window has room for.
    fn send_ready(&mut self, id: &Arc<str>) {
        loop {
            let Some(client) = self.clients.get_mut(id) else {
                return;
            };
            let Some(connected) = client.state.connected() else {
                return;
            };
            let (state, outbox) = (&client.state, &mut client.outbox);
            let next = if outbox.is_full(connected.window) {
                outbox.next_reply(|entry| {
                    let grant = state.grant_of(entry);
                    grant.is_some_and(|grant| grant.qos == Qos::AtMostOnce)
                })
            } else {
                outbox.next(connected.window)
            };
            let Some((seq, entry)) = next else {
                return;
            };
            let (entry, grant) = (entry.clone(), client.state.grant_of(entry));
            let is_first = client.outbox.is_sent_first(seq);
            // What was sent once is sent until it is acknowledged (MQTT-4.3.3-7).
            if entry.message.expired(self.now) && !entry.dup {
                self.stats.dropped.expired.add_one();
                self.drop_entry(id, seq);
                continue;
            }
            let Some(grant) = grant else {
                // Unsubscribed since: a directed message waits for the next subscription.
                client.outbox.park(seq);
                continue;
            };
            let connection = connected.connection.clone();
            let answered_in = connected.answered_in;
            let numbered = client.state.is_durable();
            // A repeat has the bytes of the first time. After a crash it is not known whether there
            // was one.
            if entry.kind.is_directed()
                && (is_first || !entry.dup)
                && let Some(most) = self.max_packet_exceeded(id, &entry.message, grant.qos)
            {
                self.fit_max_packet(id, seq, grant.qos, most);
                continue;
            }
            let delivery = port::Delivery {
                seq,
                packet_id: numbered.then(|| packet_id(seq)),
                dup: entry.dup,
                qos: grant.qos,
                retain: grant.retain,
                subscription_ids: grant.subscription_ids,
                message: entry.message,
            };
            self.stats.deliveries.add_one();
            self.work.note_sent(id, &entry.kind);
            // THE invariant: a delivery leaves after the record that justifies it, and after its
            // client's CONNACK and SUBACK.
            if self.commits.is_durable(entry.batch.max(answered_in)) {
                let _ = connection.responses.send(Response::Deliver(delivery));
            } else {
                self.hold_back(id, Response::Deliver(delivery));
            }
        }
    }

    /// Holds a delivery back with the pending batch, and with it every later one, so that none
    /// overtakes it.
    fn hold_back(&mut self, id: &str, delivery: Response) {
        if let Some(connected) = self.clients.connected_mut(id) {
            connected.answered_in = self.commits.number();
            self.commits.respond(&connected.connection, delivery);
        }
    }

    /// PUBACK, PUBREC, PUBCOMP: what it was for is done, and more is sent. Whether it was for
    /// anything.
    pub(super) fn acknowledge(&mut self, id: &Arc<str>, seq: u64, stage: Stage) -> bool {
        let Some(client) = self.clients.get_mut(id) else {
            return false;
        };
        let acknowledged = match stage {
            Stage::Done => client.outbox.done(seq),
            Stage::Received => client.outbox.received(seq),
            Stage::Completed => client.outbox.completed(seq),
        };
        let key = records::outbox_key(id, seq);
        match acknowledged {
            Acknowledged::Unknown => return false,
            Acknowledged::Removed { stored } => {
                if stored {
                    // Lost in a crash, it costs a repeat that QoS 1 allows; so nobody waits for it.
                    self.commits.delete(Space::Outbox, key);
                    self.commits.note_lazily(self.now);
                }
            }
            Acknowledged::Received { stored } => {
                if stored {
                    self.commits
                        .put(Space::Outbox, key, records::encode_received());
                }
                let numbered = client.state.is_durable();
                if let Some(connected) = client.state.connected() {
                    let response = Response::Release {
                        seq,
                        packet_id: numbered.then(|| packet_id(seq)),
                    };
                    self.commits.respond(&connected.connection, response);
                }
            }
        }
        self.send_ready(id);
        true
    }

    /// PUBREL goes again for every delivery that had its PUBREC (MQTT-4.4.0-1).
    pub(super) fn resend_releases(&mut self, id: &str) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let Some(connected) = client.state.connected() else {
            return;
        };
        for seq in client.outbox.unreleased() {
            let response = Response::Release {
                seq,
                packet_id: Some(packet_id(seq)),
            };
            self.commits.respond(&connected.connection, response);
        }
    }

    /// A client that has caught up no longer holds up its publishers: their acknowledgements go
    /// out.
    pub(super) fn resume_publishers(&mut self, id: &str) {
        let limits = *self.clients.limits();
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let outbox = &client.outbox;
        let has_caught_up = outbox.queued_messages() <= limits.max_queued_messages / 4
            && outbox.queued_bytes() <= limits.max_queued_bytes / 4;
        let connected = client.state.connected_mut();
        let Some(connected) =
            connected.filter(|own| has_caught_up && !own.deferred_acks.is_empty())
        else {
            return;
        };
        connected.slow_consumer_deadline = None;
        for (connection, response) in std::mem::take(&mut connected.deferred_acks) {
            self.commits.respond(&connection, response);
        }
    }
}

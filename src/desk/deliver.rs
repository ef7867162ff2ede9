//! Messages for one client: into its outbox, out through its window, acknowledged.

use std::sync::Arc;

use super::core::Desk;
use super::kind::Kind;
use super::outbox::{Acknowledged, packet_id};
use super::own::gateway_message;
use super::port::{ConnectionId, Delivery, Response, Stage};
use super::records;
use super::timers::Timer;
use crate::engine::{Class, Directed};
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::message::{Message, Parts};
use crate::wire::name::Agent;

impl Desk {
    /// Appends to a session's queue, unless it is full; whether the client is connected and slow.
    pub(super) fn enqueue(
        &mut self,
        now: Millis,
        id: &Arc<str>,
        kind: Kind,
        message: Message,
    ) -> bool {
        let limits = self.clients.limits;
        let number = self.pending.number;
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
                self.settings.memory.dropped.add_one();
            } else {
                self.stats.dropped_queue_full.add_one();
                self.warn_of_full_queue(id);
            }
            return is_connected;
        }
        let outbox = &mut client.outbox;
        let stored = session.durable || self.shares.must_keep(&kind);
        let slow = client.state.is_connected()
            && (outbox.queued_messages() >= limits.max_queued_messages / 2
                || outbox.queued_bytes() >= limits.max_queued_bytes / 2);
        let record = stored.then(|| records::encode_outbox(&kind, &message));
        let expires_at = message.expires_at();
        let seq = outbox.push(kind, message, stored, number, client.state.is_connected());
        if let Some(record) = record {
            self.pending
                .records
                .put(Space::Outbox, records::outbox_key(id, seq), record);
        }
        self.watch_expiry(id, seq, expires_at);
        self.send_ready(now, id);
        slow
    }

    /// Puts a message of the gateway's into an agent's mailbox.
    pub(super) fn deliver_directed(&mut self, now: Millis, directed: Directed) {
        let topic = directed.topic.format(&self.settings.root);
        let message = gateway_message(&topic, &directed.payload, false, &directed.mirrors);
        let class = directed.class;
        let is_work = matches!(class, Class::Assignment(_));
        let kind = Kind::Directed(class.clone());
        self.put_into_mailbox(now, &directed.to, kind, message);
        let reader = self.clients.get_mut(directed.to.as_str());
        if let Some(reader) = reader.filter(|_| is_work) {
            self.work.note_assigned(reader, &class);
        }
    }

    /// Puts another agent's message into an agent's mailbox, as it is but for its expiry.
    pub(super) fn deliver_inbox(
        &mut self,
        now: Millis,
        to: &Agent,
        message: &Message,
        expires_at: Millis,
    ) {
        let message = Message::encode(&Parts {
            expires_at,
            retain: false,
            ..message.parts()
        });
        self.put_into_mailbox(now, to, Kind::Inbox, message);
    }

    fn put_into_mailbox(&mut self, now: Millis, to: &Agent, kind: Kind, message: Message) {
        self.store_in_mailbox(to, kind, message);
        self.send_ready(now, &to.as_str().into());
    }

    /// The same, for who sees to what is ready itself.
    pub(super) fn store_in_mailbox(&mut self, to: &Agent, kind: Kind, message: Message) {
        let number = self.pending.number;
        let id: Arc<str> = to.as_str().into();
        if self.watchers.matches(message.topic()) {
            self.broadcast(message.clone());
        }
        if kind.is_reply() && !self.make_room_for_reply(&id, &kind) {
            return;
        }
        let Some(client) = self.clients.get_or_add(&id) else {
            self.stats.dropped_no_mailbox.add_one();
            return;
        };
        if client.outbox.holds(&kind) {
            return;
        }
        let exact_only = kind.is_for_exact_topic();
        let deliverable =
            client.state.is_connected() && client.grants(message.topic(), exact_only).is_some();
        let record = records::encode_outbox(&kind, &message);
        let expires_at = message.expires_at();
        let seq = client.outbox.push(kind, message, true, number, deliverable);
        self.pending
            .records
            .put(Space::Outbox, records::outbox_key(&id, seq), record);
        self.store_owner(&id);
        self.watch_expiry(&id, seq, expires_at);
    }

    /// Takes an assignment or a run back. One that is in flight stays for the rest of its session, as MQTT wants it
    /// (MQTT-4.4.0-1): its attempt or turn fences it.
    pub(super) fn revoke(&mut self, agent: &Agent, class: &Class) {
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
        if client
            .state
            .session()
            .is_none_or(|session| !session.durable)
        {
            // After a crash, too, only a later session could get it.
            self.pending
                .records
                .delete(Space::Outbox, records::outbox_key(agent.as_str(), seq));
        }
    }

    /// Takes messages out of a mailbox. What is in flight stays: it goes with its acknowledgement, as MQTT wants it.
    pub(super) fn discard(&mut self, now: Millis, agent: &Agent, seqs: &[u64]) {
        for seq in seqs {
            let client = self.clients.get(agent.as_str());
            if client.is_some_and(|client| client.outbox.is_idle(*seq)) {
                self.drop_entry(agent.as_str(), *seq);
                self.stats.purged.add_one();
            }
        }
        self.note_lazy_change(now);
        self.forget_if_idle(agent.as_str());
    }

    pub(super) fn drop_entry(&mut self, id: &str, seq: u64) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if client.outbox.remove(seq).is_some_and(|entry| entry.stored) {
            self.pending
                .records
                .delete(Space::Outbox, records::outbox_key(id, seq));
        }
        self.relieve(id);
    }

    pub(super) fn watch_expiry(&mut self, id: &Arc<str>, seq: u64, expires_at: Millis) {
        if expires_at != 0 {
            self.set_timer(expires_at, Timer::MessageExpiry(id.clone(), seq));
        }
    }

    /// A message that still waits has become too old (MQTT-3.3.2-5).
    pub(super) fn expire_message(&mut self, now: Millis, id: &Arc<str>, seq: u64) {
        let waiting = self
            .clients
            .get(id)
            .and_then(|client| client.outbox.waiting(seq));
        if waiting.is_some_and(|entry| entry.message.expired(now)) {
            self.stats.expired.add_one();
            self.drop_entry(id, seq);
            self.note_lazy_change(now);
            self.forget_if_idle(id);
        }
    }

    /// After a connect or a subscribe: what had no taker may have one.
    pub(super) fn resume_deliveries(&mut self, now: Millis, id: &Arc<str>) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if !client.state.is_connected() {
            return;
        }
        let mut outbox = std::mem::take(&mut client.outbox);
        outbox.unpark(|entry| client.terms(entry).is_some());
        client.outbox = outbox;
        self.send_ready(now, id);
        self.refill(now, id);
    }

    /// Where little waits there is room for what waits elsewhere.
    fn refill(&mut self, now: Millis, id: &Arc<str>) {
        self.go_on_replaying(now, id);
        self.collect_from_groups(now, id);
    }

    /// Sends what the window has room for.
    fn send_ready(&mut self, now: Millis, id: &Arc<str>) {
        loop {
            let durable = self.durable;
            let Some(client) = self.clients.get_mut(id) else {
                return;
            };
            let Some(connected) = client.state.connected() else {
                return;
            };
            let (window, answered_in) = (connected.window, connected.answered_in);
            let connection = connected.connection.clone();
            let numbered = client.state.is_durable();
            let mut outbox = std::mem::take(&mut client.outbox);
            let next = outbox.next(window).map(|(seq, entry)| {
                (
                    seq,
                    entry.batch,
                    client.terms(entry),
                    entry.dup,
                    entry.message.clone(),
                    entry.kind.clone(),
                )
            });
            client.outbox = outbox;
            let Some((seq, batch, terms, dup, message, kind)) = next else {
                return;
            };
            let is_first = client.outbox.is_sent_first(seq);
            // What was sent once is sent until it is acknowledged (MQTT-4.3.3-7).
            if message.expired(now) && !dup {
                self.stats.expired.add_one();
                self.drop_entry(id, seq);
                continue;
            }
            let Some((qos, retain, subscription_ids)) = terms else {
                // Unsubscribed since: a directed message waits for the next subscription.
                if let Some(client) = self.clients.get_mut(id) {
                    client.outbox.park(seq);
                }
                continue;
            };
            // A repeat has the bytes of the first time. After a crash it is not known whether there was one.
            if kind.is_directed()
                && (is_first || !dup)
                && let Some(most) = self.is_too_large(id, &message, qos)
            {
                self.make_fit(now, id, seq, qos, most);
                continue;
            }
            let packet_id = numbered.then(|| packet_id(seq));
            let delivery = Delivery {
                seq,
                packet_id,
                dup,
                qos,
                retain,
                subscription_ids,
                message,
            };
            self.stats.deliveries.add_one();
            self.work.note_sent(id, &kind);
            // THE invariant: a delivery leaves after the record that justifies it, and after its client's CONNACK
            // and SUBACK.
            if batch.max(answered_in) <= durable {
                let _ = connection.responses.send(Response::Deliver(delivery));
            } else {
                self.hold_back(id, Response::Deliver(delivery));
            }
        }
    }

    /// Holds a delivery back with the pending batch, and with it every later one, so that none overtakes it.
    fn hold_back(&mut self, id: &str, delivery: Response) {
        let number = self.pending.number;
        if let Some(connected) = self.clients.connected_mut(id) {
            connected.answered_in = number;
            self.pending.respond(&connected.connection, delivery);
        }
    }

    /// PUBACK, PUBREC, PUBCOMP.
    pub(super) fn acknowledge(
        &mut self,
        now: Millis,
        connection: ConnectionId,
        seq: u64,
        stage: Stage,
    ) {
        let Some(id) = self.client_of(connection) else {
            return;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let acknowledged = match stage {
            Stage::Done => client.outbox.done(seq),
            Stage::Received => client.outbox.received(seq),
            Stage::Completed => client.outbox.completed(seq),
        };
        let key = records::outbox_key(&id, seq);
        match acknowledged {
            Acknowledged::Unknown => return,
            Acknowledged::Removed { stored } => {
                if stored {
                    // Lost in a crash, it costs a repeat that QoS 1 allows; so nobody waits for it.
                    self.pending.records.delete(Space::Outbox, key);
                    self.note_lazy_change(now);
                }
            }
            Acknowledged::Received { stored } => {
                if stored {
                    self.pending
                        .records
                        .put(Space::Outbox, key, records::encode_received());
                }
                let numbered = client.state.is_durable();
                if let Some(connected) = client.state.connected() {
                    let response = Response::Release {
                        seq,
                        packet_id: numbered.then(|| packet_id(seq)),
                    };
                    self.pending.respond(&connected.connection, response);
                }
            }
        }
        self.send_ready(now, &id);
        self.refill(now, &id);
        if let Some(client) = self.clients.get(&id) {
            self.work.note_room(client);
        }
        self.relieve(&id);
    }

    /// A client that has caught up no longer holds up its publishers.
    fn relieve(&mut self, id: &str) {
        let limits = self.clients.limits;
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let holds = client
            .state
            .connected()
            .is_some_and(|connected| !connected.held.is_empty());
        if holds
            && client.outbox.queued_messages() <= limits.max_queued_messages / 4
            && client.outbox.queued_bytes() <= limits.max_queued_bytes / 4
        {
            self.release_held(id);
        }
    }
}

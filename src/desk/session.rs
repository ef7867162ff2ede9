//! Sessions begin, are resumed, taken over, and end.

use std::sync::Arc;

use super::batch::Release;
use super::client_state::{Connected, Session, Will};
use super::core::Desk;
use super::interest::Wanted;
use super::memory::Holder;
use super::outbox::packet_id;
use super::port::{CloseReason, ConnectionId, Open, Publication, Response, Subscription};
use super::records::will::WillRecord;
use super::records::{self, SessionRecord};
use super::subscribe::weight;
use super::timers::Timer;
use crate::diary::limited;
use crate::engine::Input;
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::message::Qos;

impl Desk {
    /// CONNECT.
    pub(super) fn open(&mut self, now: Millis, open: Open) {
        let id = open.client_id.clone();
        if !self.claims(&id, open.owner.as_ref()) {
            let refusal = Response::Close(CloseReason::NotOwner);
            self.pending.respond_unkept(&open.connection, refusal);
            return;
        }
        let memory = self.settings.memory.clone();
        let will_size = |will: &Publication| will.message.size();
        if memory.refuses(open.will.as_ref().map_or(0, will_size)) {
            memory.refused.add_one();
            let refusal = Response::Close(CloseReason::QuotaExceeded);
            self.pending.respond_unkept(&open.connection, refusal);
            return;
        }
        if self.refuse_for_disk(&open) {
            return;
        }
        let needs_disk = self.needs_disk(&open);
        self.take_over(now, &id);
        if open.clean_start {
            self.publish_delayed_will(now, &id);
            self.end_session(now, &id);
        }
        let number = self.pending.number;
        let Some(client) = self.clients.get_or_add(&id) else {
            self.stats.refused_sessions.add_one();
            let admitted = self.admits("max_sessions", &id);
            limited!(warn, admitted, client = %id, kind = "max_sessions", "connection refused: session.max_sessions is reached");
            let refusal = Response::Close(CloseReason::QuotaExceeded);
            self.pending.respond_unkept(&open.connection, refusal);
            return;
        };
        if client.owner.is_none() {
            client.owner.clone_from(&open.owner);
        }
        let session_present = client.state.session().is_some();
        if !session_present {
            client.outbox.forget_sent();
        }
        let session = client.state.session_or_new();
        // A session that was durable stays so until it ends, even if this connection gives it no time afterwards.
        session.durable |= open.is_durable();
        session.expiry = open.expiry;
        session.offline_since = None;
        let durable = session.durable;
        let window = usize::from(open.window.max(1));
        let opened = Response::Opened {
            session_present,
            durable,
            subscriptions: session.subscriptions.values().cloned().collect(),
            unreleased: session.unreleased.iter().copied().collect(),
        };
        let agent = client.agent.clone();
        // Back in time: the will is not published (MQTT-3.1.3-9).
        client.delayed_will = None;
        client.state.connect(Connected {
            connection: open.connection.clone(),
            window,
            told_window: window,
            answered_in: number,
            subscribed_in: 0,
            gate: open.gate.clone(),
            will: open.will.map(|publication| {
                let record = WillRecord {
                    publication,
                    delay: open.will_delay,
                    expiry: open.will_expiry,
                };
                Will::new(&memory, record, open.gate)
            }),
            held: Vec::new(),
            patience_ends: None,
        });
        self.store_will(&id);
        self.connections.insert(open.connection.id, id.clone());
        match needs_disk {
            true => self.pending.respond(&open.connection, opened),
            false => self.pending.respond_unkept(&open.connection, opened),
        }
        if durable {
            self.store_header(&id);
        }
        self.store_owner(&id);
        self.resend_releases(&id);
        self.shares.settle_all(&id);
        // First what waited, then what the return brings about: in the order in which it happened.
        self.resume_deliveries(now, &id);
        if let Some(agent) = agent {
            self.feed(
                now,
                Input::Connected {
                    agent,
                    resumed: session_present,
                    durable: open.expiry > 0,
                    window: u32::try_from(window).unwrap_or(u32::MAX),
                },
            );
        }
    }

    /// Whether what is kept under a client id, or is connected under it, is this user's or still nobody's. Without
    /// authentication nobody is asked.
    fn claims(&self, id: &str, user: Option<&Arc<str>>) -> bool {
        let owner = self
            .clients
            .get(id)
            .and_then(|client| client.owner.as_ref());
        match (owner, user) {
            (Some(owner), Some(user)) => owner == user,
            _ => true,
        }
    }

    /// PUBREL goes again for every delivery that had its PUBREC (MQTT-4.4.0-1).
    fn resend_releases(&mut self, id: &str) {
        let Some(client) = self.clients.get_mut(id) else {
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
            self.pending.respond(&connected.connection, response);
        }
    }

    /// A connection of the same client, if there is one, gives way (MQTT-3.1.4-3).
    fn take_over(&mut self, now: Millis, id: &Arc<str>) {
        self.disconnect(now, id, CloseReason::TakenOver);
    }

    /// Publishers have waited for this client as long as they are asked to, unless it has caught up since. It may come back;
    /// meanwhile publishers of what does not fit its queue are refused.
    pub(super) fn patience_ends(&mut self, now: Millis, id: &Arc<str>) {
        let connected = self.clients.connected(id);
        if connected.is_some_and(|own| own.patience_ends.is_some_and(|at| at <= now)) {
            self.stats.too_slow.add_one();
            self.disconnect(now, id, CloseReason::QuotaExceeded);
            self.forget_if_idle(id);
        }
    }

    /// Closes a client's connection, if it has one, and sees to its session and its will.
    pub(super) fn disconnect(&mut self, now: Millis, id: &Arc<str>, reason: CloseReason) {
        let Some(connected) = self
            .clients
            .get_mut(id)
            .and_then(|client| client.state.disconnect())
        else {
            return;
        };
        self.connections.remove(&connected.connection.id);
        // It shows nothing that is not on disk, so it may go at once; whoever left already does not hear it.
        let _ = connected.connection.responses.send(Response::Close(reason));
        let why = match reason {
            CloseReason::TakenOver => "taken over by a new connection",
            CloseReason::NoDisk => "the disk takes nothing",
            _ => "too slow",
        };
        self.disconnected(now, id, connected, true, why);
    }

    /// The connection is gone, or DISCONNECT came.
    pub(super) fn close(
        &mut self,
        now: Millis,
        connection: ConnectionId,
        publish_will: bool,
        why: &'static str,
        expiry: Option<u32>,
    ) {
        let Some(id) = self.connections.remove(&connection) else {
            return;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(connected) = client.state.disconnect() else {
            return;
        };
        if let (Some(session), Some(expiry)) = (client.state.session_mut(), expiry) {
            session.expiry = expiry;
        }
        self.disconnected(now, &id, connected, publish_will, why);
        self.forget_if_idle(&id);
    }

    fn disconnected(
        &mut self,
        now: Millis,
        id: &Arc<str>,
        connected: Connected,
        publish_will: bool,
        why: &'static str,
    ) {
        for (connection, response) in connected.held {
            self.pending.respond(&connection, response);
        }
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.outbox.rewind();
        let agent = client.agent.clone();
        let ended_by_wish = client
            .state
            .session()
            .is_some_and(|session| session.durable && session.expiry == 0);
        let continues = client
            .state
            .session()
            .is_some_and(|session| session.expiry > 0);
        if continues {
            self.keep_session(now, id);
            self.hand_over(now, id);
        } else {
            self.end_session(now, id);
        }
        if let Some(agent) = agent {
            self.feed(
                now,
                Input::Disconnected {
                    agent: agent.clone(),
                    why,
                    // DISCONNECT without a will, or with one that is not wanted, is a good-bye.
                    gives_back: !publish_will && !continues,
                },
            );
            if ended_by_wish {
                self.feed(now, Input::SessionEnded { agent });
            }
        }
        match connected.will {
            Some(will) if publish_will => self.will_falls_due(now, id, will, continues),
            Some(_) => self.forget_will(id),
            None => {}
        }
    }

    fn keep_session(&mut self, now: Millis, id: &Arc<str>) {
        let Some(session) = self.clients.session_mut(id) else {
            return;
        };
        session.offline_since = Some(now);
        if let Some(at) = session.ends_at() {
            self.set_timer(at, Timer::SessionExpiry(id.clone()));
        }
        self.store_header(id);
        self.note_lazy_change(now);
    }

    /// A session without a connection has lived its time.
    pub(super) fn expire_session(&mut self, now: Millis, id: &Arc<str>) {
        let ends_at = self
            .clients
            .get(id)
            .and_then(|client| client.state.session()?.ends_at());
        // The timer of an earlier absence finds a session that was resumed since.
        if ends_at.is_none_or(|at| at > now) {
            return;
        }
        let agent = self.clients.get(id).and_then(|client| client.agent.clone());
        self.stats.expired_sessions.add_one();
        self.publish_delayed_will(now, id);
        self.end_session(now, id);
        if let Some(agent) = agent {
            self.feed(now, Input::SessionEnded { agent });
        }
        self.forget_if_idle(id);
    }

    /// The session goes, with its subscriptions and its queue; the mailbox stays.
    pub(super) fn end_session(&mut self, now: Millis, id: &Arc<str>) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let inheritance = client.outbox.inheritance();
        let gone = client.outbox.end_session();
        // What was sent once has not expired while the session lasted; now it may.
        let expiring: Vec<(Millis, u64)> = client.outbox.expiring().collect();
        let session = client.state.end_session();
        for (at, seq) in expiring {
            self.set_timer(at, Timer::MessageExpiry(id.clone(), seq));
        }
        let Some(session) = session else {
            return;
        };
        for seq in gone {
            self.pending
                .records
                .delete(Space::Outbox, records::outbox_key(id, seq));
        }
        for subscription in session.subscriptions.values() {
            self.unindex(id, session.durable, subscription);
        }
        if session.durable {
            self.delete_session_records(id, &session);
        }
        for (share, message) in inheritance {
            self.inherit(now, &share, &message);
        }
    }

    fn delete_session_records(&mut self, id: &str, session: &Session) {
        let records = &mut self.pending.records;
        records.delete(Space::Session, records::header_key(id));
        for filter in session.subscriptions.keys() {
            records.delete(Space::Session, records::subscription_key(id, filter));
        }
        for filter in session.replays.keys() {
            records.delete(Space::Session, records::replay_key(id, filter));
        }
        for packet_id in &session.unreleased {
            records.delete(Space::Inbound, records::inbound_key(id, *packet_id));
        }
    }

    pub(super) fn store_header(&mut self, id: &str) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let Some(session) = client.state.session() else {
            return;
        };
        let record = SessionRecord {
            expiry: session.expiry,
            offline_since: session.offline_since.unwrap_or(0),
            sent: client.outbox.sent().max(session.sent),
        };
        self.pending
            .records
            .put(Space::Session, records::header_key(id), record.encode());
    }

    /// Takes a subscription out of every index.
    pub(super) fn unindex(&mut self, id: &Arc<str>, durable: bool, subscription: &Subscription) {
        use crate::wire::filter::Shared;
        let filter = &subscription.filter;
        let memory = &self.settings.memory;
        memory.give_back(Holder::Subscriptions, weight(filter));
        if let Some(shared) = Shared::parse(filter) {
            if self.shares.leave(filter, shared.filter, id) {
                self.interest.remove(Wanted::Shared, shared.filter, filter);
            }
            return;
        }
        if durable
            && let Some(terms) = self.subscribers.remove(filter, id)
            && terms.qos > Qos::AtMostOnce
        {
            self.interest.remove(Wanted::Durably, filter, id);
        }
        self.watchers.remove(filter, id);
    }

    /// Everything that waits for a client that cannot take it: held acknowledgements go out.
    pub(super) fn release_held(&mut self, id: &str) {
        let Some(connected) = self.clients.connected_mut(id) else {
            return;
        };
        connected.patience_ends = None;
        for (connection, response) in std::mem::take(&mut connected.held) {
            self.pending.release(Release::Respond(connection, response));
        }
    }
}

//! Sessions begin, are resumed, taken over, and end; and the wills that come of that.
//!
//! A will is stored with the connection that it is for, published when that breaks, after its delay
//! or with the end of its session, and gone once it is published or discarded; it is published
//! after a restart where a crash broke that connection (MQTT-3.1.2-7, MQTT-3.1.2-8).

use std::sync::Arc;

use super::Desk;
use crate::desk::client_state::{Connected, Session, Will};
use crate::desk::commits::Commits;
use crate::desk::distribute::redistribute_shared;
use crate::desk::port::{CloseReason, ConnectionId, OpenRequest, Publication, Response, Route};
use crate::desk::reassign::{reassign_unsent, resume_deliveries};
use crate::desk::records::{self, will::WillRecord};
use crate::desk::stall::{needs_disk, refuses_client};
use crate::desk::timers::ClientTimer;
use crate::engine::Input;
use crate::ledger::Space;
use crate::log_limiter::{limited, shown};
use crate::wire::Millis;
use crate::wire::message::{Message, Parts};
use crate::wire::name::Agent;

impl Desk {
    /// CONNECT.
    #[expect(
        clippy::too_many_lines,
        reason = "the order of its steps is what matters"
    )]
    pub(super) fn open(&mut self, now: Millis, open: OpenRequest) {
        let id = open.client_id.clone();
        if !self.clients.may_claim(&id, open.owner.as_ref()) {
            let refusal = Response::Close(CloseReason::NotOwner);
            self.commits.respond_non_durable(&open.connection, refusal);
            return;
        }
        let memory = self.settings.memory.clone();
        let will_size = |will: &Publication| will.message.size();
        if memory.refuses(open.will.as_ref().map_or(0, will_size)) {
            memory.outcomes.refused.add_one();
            let refusal = Response::Close(CloseReason::QuotaExceeded);
            self.commits.respond_non_durable(&open.connection, refusal);
            return;
        }
        if refuses_client(&self.delivery(now), &open) {
            return;
        }
        let needs_disk = needs_disk(&self.clients, &open);
        self.take_over(now, &id);
        if open.clean_start {
            self.publish_delayed_will(now, &id);
            self.end_session(now, &id);
        }
        let number = self.commits.number();
        let Some(client) = self.clients.get_or_add(&id) else {
            self.stats.refused_sessions.add_one();
            let admitted = self.settings.admits("max_sessions", &id);
            limited!(warn, admitted, client = %id, kind = "max_sessions", "connection refused: session.max_sessions is reached");
            let refusal = Response::Close(CloseReason::QuotaExceeded);
            self.commits.respond_non_durable(&open.connection, refusal);
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
        // A session that was durable stays so until it ends, even if this connection gives it no
        // time afterwards.
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
            reported_window: window,
            answered_in: number,
            subscribed_in: 0,
            authorizer: open.authorizer.clone(),
            will: open.will.map(|publication| {
                let record = WillRecord {
                    publication,
                    delay: open.will_delay,
                    expiry: open.will_expiry,
                };
                Will::new(&memory, record, open.authorizer)
            }),
            deferred_acks: Vec::new(),
            slow_consumer_deadline: None,
        });
        self.clients.store_will(&id, &mut self.commits);
        self.clients.add_connection(open.connection.id, &id);
        match needs_disk {
            true => self.commits.respond(&open.connection, opened),
            false => self.commits.respond_non_durable(&open.connection, opened),
        }
        if durable {
            self.clients.store_header(&id, &mut self.commits);
        }
        self.clients.store_owner(&id, &mut self.commits);
        let mut delivery = self.delivery(now);
        delivery.resend_releases(&id);
        delivery.index.shares_mut().clear_unsent_of(&id);
        // First what waited, then what the return brings about: in the order in which it happened.
        resume_deliveries(&mut delivery, &id);
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

    /// A connection of the same client, if there is one, gives way (MQTT-3.1.4-3).
    fn take_over(&mut self, now: Millis, id: &Arc<str>) {
        self.disconnect(now, id, CloseReason::TakenOver);
    }

    /// Publishers have waited for this client as long as they are asked to, unless it has caught up
    /// since. It may come back; meanwhile publishers of what does not fit its queue are refused.
    pub(super) fn slow_consumer_times_out(&mut self, now: Millis, id: &Arc<str>) {
        let connected = self.clients.connected(id);
        if connected.is_some_and(|own| own.slow_consumer_deadline.is_some_and(|at| at <= now)) {
            self.stats.too_slow.add_one();
            self.disconnect(now, id, CloseReason::QuotaExceeded);
            self.clients.forget_if_idle(id, &mut self.commits);
        }
    }

    /// It has subscribed when the disk filled up: whether that will be kept nobody knows, so that
    /// no SUBACK is true.
    pub(super) fn suback_times_out(&mut self, now: Millis, id: &Arc<str>) {
        if self.clients.waits_for_disk(id, &self.commits) {
            self.disconnect(now, id, CloseReason::NoDisk);
        }
    }

    /// Closes a client's connection, if it has one, and sees to its session and its will.
    fn disconnect(&mut self, now: Millis, id: &Arc<str>, reason: CloseReason) {
        let Some(connected) = self
            .clients
            .get_mut(id)
            .and_then(|client| client.state.disconnect())
        else {
            return;
        };
        self.clients.remove_connection(connected.connection.id);
        // It shows nothing that is not on disk, so it may go at once; whoever left already does not
        // hear it.
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
        let Some(id) = self.clients.remove_connection(connection) else {
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
        self.clients.forget_if_idle(&id, &mut self.commits);
    }

    fn disconnected(
        &mut self,
        now: Millis,
        id: &Arc<str>,
        connected: Connected,
        publish_will: bool,
        why: &'static str,
    ) {
        for (connection, response) in connected.deferred_acks {
            self.commits.respond(&connection, response);
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
            reassign_unsent(&mut self.delivery(now), id);
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
            Some(_) => self.clients.forget_will(id, &mut self.commits),
            None => {}
        }
    }

    fn keep_session(&mut self, now: Millis, id: &Arc<str>) {
        let Some(session) = self.clients.session_mut(id) else {
            return;
        };
        session.offline_since = Some(now);
        if let Some(at) = session.ends_at() {
            self.delivery(now)
                .set_timer(at, ClientTimer::SessionExpiry(id.clone()));
        }
        self.clients.store_header(id, &mut self.commits);
        self.commits.note_lazily(now);
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
        self.clients.forget_if_idle(id, &mut self.commits);
    }

    /// The session goes, with its subscriptions and its queue; the mailbox stays.
    fn end_session(&mut self, now: Millis, id: &Arc<str>) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let unfinished_shared = client.outbox.unfinished_shared();
        let gone = client.outbox.end_session();
        // What was sent once has not expired while the session lasted; now it may.
        let expiring: Vec<(Millis, u64)> = client.outbox.expiring().collect();
        let session = client.state.end_session();
        for (at, seq) in expiring {
            self.delivery(now)
                .set_timer(at, ClientTimer::MessageExpiry(id.clone(), seq));
        }
        let Some(session) = session else {
            return;
        };
        for seq in gone {
            self.commits
                .delete(Space::Outbox, records::outbox_key(id, seq));
        }
        for subscription in session.subscriptions.values() {
            self.index.remove(id, session.durable, subscription);
        }
        if session.durable {
            delete_records(&mut self.commits, id, &session);
        }
        redistribute_shared(&mut self.delivery(now), unfinished_shared);
    }

    /// After a restart every connection is broken: its will falls due now, or after what is left of
    /// its delay.
    pub(super) fn recover_wills(&mut self, now: Millis) {
        let mut due = Vec::new();
        for client in self.clients.iter_mut() {
            let Some((_, mut will)) = client.delayed_will.take() else {
                continue;
            };
            // A will from before authentication is nobody's, and nobody may do nothing.
            let owner = client.owner.as_deref().unwrap_or_default();
            let authorizers = self.settings.authorizers.as_ref();
            will.authorizer = authorizers.map(|authorizers| authorizers.of(owner, &client.id));
            let since = client
                .state
                .session()
                .filter(|session| session.expiry > 0)
                .map(|session| session.offline_since.unwrap_or(now));
            let at = since.map_or(now, |since| since + u64::from(will.record.delay) * 1000);
            due.push((client.id.clone(), at, will));
        }
        for (id, at, will) in due {
            if at > now {
                self.delivery(now)
                    .set_timer(at, ClientTimer::Will(id.clone()));
                if let Some(client) = self.clients.get_mut(&id) {
                    client.delayed_will = Some((at, will));
                }
            } else {
                self.publish_will(now, &id, &will);
                self.clients.forget_if_idle(&id, &mut self.commits);
            }
        }
    }

    /// At once, or after its delay, or when the session ends, whichever is first (MQTT-3.1.2-8).
    fn will_falls_due(&mut self, now: Millis, id: &Arc<str>, will: Will, session_continues: bool) {
        if will.record.delay == 0 || !session_continues {
            self.publish_will(now, id, &will);
            return;
        }
        let at = now + u64::from(will.record.delay) * 1000;
        if let Some(client) = self.clients.get_mut(id) {
            client.delayed_will = Some((at, will));
        }
        self.delivery(now)
            .set_timer(at, ClientTimer::Will(id.clone()));
    }

    /// A delay is over: of this will, or of an earlier one.
    pub(super) fn will_timer(&mut self, now: Millis, id: &Arc<str>) {
        let due = self
            .clients
            .get(id)
            .and_then(|client| client.delayed_will.as_ref());
        if due.is_some_and(|(at, _)| *at <= now) {
            self.publish_delayed_will(now, id);
        }
    }

    /// The delay is over, or the session is.
    fn publish_delayed_will(&mut self, now: Millis, id: &Arc<str>) {
        let will = self
            .clients
            .get_mut(id)
            .and_then(|client| client.delayed_will.take());
        if let Some((_, will)) = will {
            self.publish_will(now, id, &will);
        }
    }

    /// It leaves like any other publish, if its client still may.
    fn publish_will(&mut self, now: Millis, id: &Arc<str>, will: &Will) {
        self.clients.forget_will(id, &mut self.commits);
        let record = &will.record;
        let message = &record.publication.message;
        if will
            .authorizer
            .as_ref()
            .is_some_and(|authorizer| !authorizer.may_publish(message.topic()))
        {
            let admitted = self.settings.admits("will_refused", id);
            let topic = shown(message.topic());
            limited!(info, admitted, client = %id, kind = "will_refused", topic, "will refused: no longer allowed");
            self.stats.refusals.add_one();
            return;
        }
        let expires_at = record
            .expiry
            .map_or(0, |seconds| now + u64::from(seconds) * 1000);
        let publication = Publication {
            message: Message::encode(&Parts {
                expires_at,
                ..message.parts()
            }),
            route: record.publication.route.clone(),
        };
        if let Err(refused) = self.route(now, &publication) {
            let admitted = self.settings.admits("will_refused", id);
            let (topic, code) = (shown(message.topic()), u16::from(refused.code()));
            limited!(info, admitted, client = %id, kind = "will_refused", topic, code, "will refused");
        }
        if let Route::Engine { from, .. } = &record.publication.route {
            self.disconnect_if_absent(now, from.clone(), "its will spoke for it");
        }
    }

    /// Something spoke for an agent: it may have brought it into a room, where it would be online
    /// for ever if nobody said otherwise.
    pub(super) fn disconnect_if_absent(&mut self, now: Millis, agent: Agent, why: &'static str) {
        if !self.clients.is_connected(agent.as_str()) {
            let gives_back = false;
            self.feed(
                now,
                Input::Disconnected {
                    agent,
                    why,
                    gives_back,
                },
            );
        }
    }
}

fn delete_records(commits: &mut Commits, id: &str, session: &Session) {
    commits.delete(Space::Session, records::header_key(id));
    for filter in session.subscriptions.keys() {
        commits.delete(Space::Session, records::subscription_key(id, filter));
    }
    for filter in session.retained_cursors.keys() {
        commits.delete(Space::Session, records::replay_key(id, filter));
    }
    for packet_id in &session.unreleased {
        commits.delete(Space::Inbound, records::inbound_key(id, *packet_id));
    }
}

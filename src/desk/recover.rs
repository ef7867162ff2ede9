//! Start: everything is rebuilt from the ledger's records, nothing is decided anew.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::client_state::Will;
use super::core::Desk;
use super::error::RecoverError;
use super::lanes::Sent;
use super::records::{self, OutboxItem, RecordError, SessionItem};
use super::timers::Timer;
use crate::engine::Input;
use crate::ledger::{Space, Store, StoreError};
use crate::wire::Millis;

/// The engine's records, to build it from.
///
/// # Errors
/// If the store cannot be read.
pub fn engine_records(store: &dyn Store) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let mut records = Vec::new();
    store.scan(Space::Engine, &[], &mut |key, value| {
        records.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

impl Desk {
    /// Fills a new desk from the ledger; nobody is connected.
    ///
    /// # Errors
    /// If the store or one of its records cannot be read.
    pub fn recover(&mut self, now: Millis, store: &dyn Store) -> Result<(), RecoverError> {
        read_all(store, Space::Session, |key, value| {
            self.restore_session(key, value)
        })?;
        read_all(store, Space::Inbound, |key, _| self.restore_inbound(key))?;
        read_all(store, Space::Outbox, |key, value| {
            self.restore_outbox(key, value)
        })?;
        read_all(store, Space::Retained, |key, value| {
            let message = records::read_retained(key, value)?;
            if self.is_stored_key(&message) {
                self.pending.records.delete(Space::Retained, key);
            } else {
                // What changes from now on is newer than all that is there.
                self.stamp = self.stamp.max(message.stamp());
                self.retained.set(message);
            }
            Ok(())
        })?;
        self.disk.begin(self.stamp);
        self.respell_retained();
        self.show_recovered_keys();
        self.journal.recover(store)?;
        self.index_recovered(now);
        self.note_root(store)?;
        self.feed(now, Input::Recovered);
        self.recover_wills(now);
        self.warn_of_barred_rooms();
        Ok(())
    }

    fn restore_session(&mut self, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let (id, item) = records::read_session(key, value)?;
        let client = self.clients.restore(id);
        match item {
            SessionItem::Owner(owner) => {
                client.owner = Some(owner);
                client.owner_stored = true;
            }
            SessionItem::Will => {
                let value = Bytes::copy_from_slice(value);
                let will = records::will::decode(&self.settings.root, id, value)
                    .ok_or_else(|| RecordError::new("will", Space::Session, key))?;
                // When it is due is known once the session is.
                client.delayed_will = Some((0, Will::new(&self.settings.memory, will, None)));
                client.will_stored = true;
            }
            SessionItem::Header(record) => {
                // Its client may hold the packet ids of what was purged since: no number is given twice in a session.
                if let Some(last) = record.sent.last() {
                    client.outbox.number_after(last);
                }
                let session = client.durable_session();
                session.expiry = record.expiry;
                session.offline_since = Some(record.offline_since);
                // What was sent on a connection that the crash broke is not known.
                session.sent = match record.offline_since {
                    0 => Sent::UNKNOWN,
                    _ => record.sent,
                };
            }
            SessionItem::Replay(filter, replay) => {
                client.durable_session().replays.insert(filter, replay);
            }
            SessionItem::Subscription(subscription) => {
                let filter = subscription.filter.clone();
                let session = client.durable_session();
                session.subscriptions.insert(filter, subscription);
            }
        }
        Ok(())
    }

    fn restore_inbound(&mut self, key: &[u8]) -> Result<(), RecordError> {
        let (id, packet_id) = records::read_inbound(key)?;
        let session = self.clients.restore(id).state.session_or_new();
        session.unreleased.insert(packet_id);
        Ok(())
    }

    fn restore_outbox(&mut self, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let (id, seq, item) = records::read_outbox(key, value)?;
        let client = self.clients.restore(id);
        // To a session that is still to begin nothing was sent, and what was sent to one that has ended may expire.
        let session = client.state.session();
        let sent = session.map_or_else(Sent::default, |session| session.sent);
        let outbox = &mut client.outbox;
        match item {
            OutboxItem::Message(kind, message) => {
                let dup = sent.covers(&kind, seq);
                outbox.restore(seq, kind, message, dup);
            }
            OutboxItem::Received => outbox.restore_received(seq),
        }
        Ok(())
    }

    fn index_recovered(&mut self, now: Millis) {
        let (mut found, mut timers) = (Vec::new(), Vec::new());
        for client in self.clients.iter_mut() {
            for (at, seq) in client.outbox.expiring() {
                timers.push((at, Timer::MessageExpiry(client.id.clone(), seq)));
            }
            let Some(session) = client.state.session_mut() else {
                continue;
            };
            // What comes from now on has not been sent.
            let sent = session.sent.at_most(client.outbox.last_seq());
            // Connected when the gateway stopped: its absence begins now.
            let was_there = session.offline_since.is_none_or(|since| since == 0);
            // On disk as well, or the next start would take for sent what comes until then.
            let is_news = session.durable && (was_there || sent != session.sent);
            session.sent = sent;
            if was_there {
                session.offline_since = Some(now);
            }
            if let Some(at) = session.ends_at() {
                timers.push((at, Timer::SessionExpiry(client.id.clone())));
            }
            found.push((
                client.id.clone(),
                session.subscriptions.values().cloned().collect::<Vec<_>>(),
                is_news,
            ));
        }
        for (at, timer) in timers {
            self.set_timer(at, timer);
        }
        for (id, subscriptions, is_news) in found {
            if is_news {
                self.store_header(&id);
            }
            for subscription in subscriptions {
                self.index(&id, true, &subscription);
                self.count_offer(&id, &subscription.filter);
            }
        }
        self.recover_debts();
        self.end_lost_sessions(now);
    }

    /// A session that ended with its connection has no packet ids left to remember, and its shared messages go to others of their groups;
    /// a client of whom nothing else was left is forgotten.
    fn end_lost_sessions(&mut self, now: Millis) {
        let idle: Vec<Arc<str>> = self
            .clients
            .iter()
            .filter(|client| client.is_idle())
            .map(|client| client.id.clone())
            .collect();
        for id in idle {
            self.forget_if_idle(&id);
        }
        let orphans: Vec<Arc<str>> = self
            .clients
            .iter()
            .filter(|client| {
                client.state.session().is_none() && client.outbox.queued_messages() > 0
            })
            .map(|client| client.id.clone())
            .collect();
        for id in orphans {
            let Some(client) = self.clients.get_mut(&id) else {
                continue;
            };
            let inheritance = client.outbox.inheritance();
            for seq in client.outbox.end_session() {
                self.pending
                    .records
                    .delete(Space::Outbox, records::outbox_key(&id, seq));
            }
            for (share, message) in inheritance {
                self.inherit(now, &share, &message);
            }
            self.forget_if_idle(&id);
        }
    }
}

fn read_all(
    store: &dyn Store,
    space: Space,
    mut read: impl FnMut(&[u8], &[u8]) -> Result<(), RecordError>,
) -> Result<(), RecoverError> {
    let mut failed = None;
    store.scan(space, &[], &mut |key, value| match read(key, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

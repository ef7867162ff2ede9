//! Start: everything is rebuilt from the ledger's records, nothing is decided anew.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::client_state::Will;
use super::clients::Clients;
use super::delivery::DeliveryContext;
use super::distribute::redistribute_shared;
use super::error::RecoverError;
use super::gateway_messages::is_stored_key;
use super::reassign::recover_unsent;
use super::records::{self, DeskRecordError, OutboxItem, SessionItem};
use super::send_order::SentMarks;
use super::timers::ClientTimer;
use crate::ledger::{Space, Store, StoreError};
use crate::wire::topic::Offer;

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

/// Fills a new desk's parts from the ledger; nobody is connected.
///
/// # Errors
/// If the store or one of its records cannot be read.
pub(super) fn restore(
    delivery: &mut DeliveryContext<'_>,
    store: &dyn Store,
) -> Result<(), RecoverError> {
    read_all(store, Space::Session, |key, value| {
        restore_session(delivery, key, value)
    })?;
    read_all(store, Space::Inbound, |key, _| {
        restore_inbound(delivery.clients, key)
    })?;
    read_all(store, Space::Outbox, |key, value| {
        restore_outbox(delivery.clients, key, value)
    })?;
    read_all(store, Space::Retained, |key, value| {
        let message = records::read_retained(key, value)?;
        if is_stored_key(&delivery.settings.root, &message) {
            delivery.commits.delete(Space::Retained, key.to_vec());
        } else {
            delivery.retained.restore(message);
        }
        Ok(())
    })?;
    delivery
        .commits
        .recovered(delivery.retained.last_retained_seq());
    Ok(())
}

fn restore_session(
    delivery: &mut DeliveryContext<'_>,
    key: &[u8],
    value: &[u8],
) -> Result<(), DeskRecordError> {
    let (id, item) = records::read_session(key, value)?;
    let client = delivery.clients.restore(id);
    match item {
        SessionItem::Owner(owner) => {
            client.owner = Some(owner);
            client.owner_stored = true;
        }
        SessionItem::Will => {
            let value = Bytes::copy_from_slice(value);
            let will = records::will::decode(&delivery.settings.root, id, value)
                .ok_or_else(|| DeskRecordError::new("will", Space::Session, key))?;
            // When it is due is known once the session is.
            client.delayed_will = Some((0, Will::new(&delivery.settings.memory, will, None)));
            client.will_stored = true;
        }
        SessionItem::Header(record) => {
            // Its client may hold the packet ids of what was purged since: no number is given twice
            // in a session.
            if let Some(last) = record.sent.last() {
                client.outbox.number_after(last);
            }
            let session = client.durable_session();
            session.expiry = record.expiry;
            session.offline_since = Some(record.offline_since);
            // What was sent on a connection that the crash broke is not known.
            session.sent = match record.offline_since {
                0 => SentMarks::UNKNOWN,
                _ => record.sent,
            };
        }
        SessionItem::RetainedCursor(filter, replay) => {
            client
                .durable_session()
                .retained_cursors
                .insert(filter, replay);
        }
        SessionItem::Subscription(subscription) => {
            let filter = subscription.filter.clone();
            let session = client.durable_session();
            session.subscriptions.insert(filter, subscription);
        }
    }
    Ok(())
}

fn restore_inbound(clients: &mut Clients, key: &[u8]) -> Result<(), DeskRecordError> {
    let (id, packet_id) = records::read_inbound(key)?;
    let session = clients.restore(id).state.session_or_new();
    session.unreleased.insert(packet_id);
    Ok(())
}

fn restore_outbox(clients: &mut Clients, key: &[u8], value: &[u8]) -> Result<(), DeskRecordError> {
    let (id, seq, item) = records::read_outbox(key, value)?;
    let client = clients.restore(id);
    // To a session that is still to begin nothing was sent, and what was sent to one that has ended
    // may expire.
    let session = client.state.session();
    let sent = session.map_or_else(SentMarks::default, |session| session.sent);
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

/// Then timers, indexes and groups follow from what was found.
pub(super) fn index(delivery: &mut DeliveryContext<'_>) {
    let (mut found, mut timers) = (Vec::new(), Vec::new());
    for client in delivery.clients.iter_mut() {
        for (at, seq) in client.outbox.expiring() {
            timers.push((at, ClientTimer::MessageExpiry(client.id.clone(), seq)));
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
            session.offline_since = Some(delivery.now);
        }
        if let Some(at) = session.ends_at() {
            timers.push((at, ClientTimer::SessionExpiry(client.id.clone())));
        }
        found.push((
            client.id.clone(),
            session.subscriptions.values().cloned().collect::<Vec<_>>(),
            is_news,
        ));
    }
    for (at, timer) in timers {
        delivery.set_timer(at, timer);
    }
    for (id, subscriptions, is_news) in found {
        if is_news {
            delivery.clients.store_header(&id, delivery.commits);
        }
        for subscription in subscriptions {
            delivery.index.add(&id, true, &subscription);
            let offer = Offer::of_filter(&delivery.settings.root, &subscription.filter);
            let session = delivery.clients.session_mut(&id);
            if let (Some(session), Some(offer)) = (session, offer) {
                session.count_offer(offer);
            }
        }
    }
    recover_unsent(delivery);
    end_lost_sessions(delivery);
}

/// A session that ended with its connection has no packet ids left to remember, and its shared
/// messages go to others of their groups; a client of whom nothing else was left is forgotten.
fn end_lost_sessions(delivery: &mut DeliveryContext<'_>) {
    let idle: Vec<Arc<str>> = delivery
        .clients
        .iter()
        .filter(|client| client.is_idle())
        .map(|client| client.id.clone())
        .collect();
    for id in idle {
        delivery.clients.forget_if_idle(&id, delivery.commits);
    }
    let orphans: Vec<Arc<str>> = delivery
        .clients
        .iter()
        .filter(|client| client.state.session().is_none() && client.outbox.queued_messages() > 0)
        .map(|client| client.id.clone())
        .collect();
    for id in orphans {
        let Some(client) = delivery.clients.get_mut(&id) else {
            continue;
        };
        let unfinished_shared = client.outbox.unfinished_shared();
        for seq in client.outbox.end_session() {
            let key = records::outbox_key(&id, seq);
            delivery.commits.delete(Space::Outbox, key);
        }
        redistribute_shared(delivery, unfinished_shared);
        delivery.clients.forget_if_idle(&id, delivery.commits);
    }
}

fn read_all(
    store: &dyn Store,
    space: Space,
    mut read: impl FnMut(&[u8], &[u8]) -> Result<(), DeskRecordError>,
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

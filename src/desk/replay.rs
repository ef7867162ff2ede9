//! Retained messages for a lasting subscription: queued as fast as their reader takes them.
//!
//! A subscription may match far more retained messages than a session's queue holds. So they are
//! not put into it all at once: a mark says up to which topic they were, and it goes on whenever
//! little waits. The mark is on disk with what was queued, so that neither an absence nor a crash
//! leaves any out.

use std::sync::Arc;

use super::client_state::Session;
use super::commits::Commits;
use super::delivery::DeliveryContext;
use super::limits::ClientLimits;
use super::outbox::Outbox;
use super::outbox_kind::OutboxKind;
use super::records;
use super::subscription::{RetainedCursor, Subscription};
use crate::ledger::Space;
use crate::wire::message::{Message, Qos};

/// So many of a queue's messages are retained ones, at most, where the queue is large.
const AT_ONCE: usize = 256;

/// Some of a subscription's retained messages.
struct RetainedChunk {
    filter: Arc<str>,
    id: Option<u32>,
    messages: Vec<(Qos, Message)>,
    is_last: bool,
}

/// The retained messages of a new subscription that go out with SUBACK: all but what a durable
/// session gets into its queue. Nothing at all if there are more than fit.
pub(super) fn retained_at_once(
    delivery: &DeliveryContext<'_>,
    id: &str,
    subscription: &Subscription,
    room: usize,
) -> Option<Vec<Message>> {
    let session = delivery.clients.session(id);
    let is_durable = session.is_some_and(|session| session.durable);
    let at_once = |message: &&Message| {
        let queued = is_durable && message.qos().min(subscription.qos) > Qos::AtMostOnce;
        !queued && !subscription.is_unwanted(message, id)
    };
    let filter = &subscription.filter;
    let matching = delivery.retained.matching(filter, delivery.now);
    let messages: Vec<Message> = matching.filter(at_once).take(room + 1).cloned().collect();
    (messages.len() <= room).then_some(messages)
}

/// A lasting subscription at QoS 1 or 2 wants the retained messages; [`go_on_replaying`] brings
/// them.
pub(super) fn begin_replay(
    delivery: &mut DeliveryContext<'_>,
    id: &str,
    subscription: &Subscription,
) {
    let retained_seq = delivery.retained.last_retained_seq();
    let session = delivery.clients.session_mut(id);
    let Some(session) = session.filter(|session| session.durable) else {
        return;
    };
    if subscription.qos == Qos::AtMostOnce {
        return;
    }
    let filter = subscription.filter.clone();
    let earlier = session.retained_cursors.get(&filter);
    let replay = RetainedCursor::begun(retained_seq, earlier.is_some_and(|earlier| earlier.stored));
    session.retained_cursors.insert(filter, replay);
}

/// Records where the subscriptions of one packet are, if they have not had all at once.
pub(super) fn store_cursors(delivery: &mut DeliveryContext<'_>, id: &str, asked: &[Subscription]) {
    let Some(session) = delivery.clients.session_mut(id) else {
        return;
    };
    for subscription in asked {
        let filter = &subscription.filter;
        if let Some(replay) = session.retained_cursors.get_mut(filter) {
            store(replay, id, filter, delivery.commits);
        }
    }
}

/// The subscription is gone, or has had them all.
pub(super) fn end_replay(delivery: &mut DeliveryContext<'_>, id: &str, filter: &str) {
    let session = delivery.clients.session_mut(id);
    let ended = session.and_then(|session| session.retained_cursors.remove(filter));
    if ended.is_some_and(|replay| replay.stored) {
        let key = records::replay_key(id, filter);
        delivery.commits.delete(Space::Session, key);
    }
}

/// Queues further retained messages where little waits: after a connect, a subscribe, an
/// acknowledgement.
pub(super) fn go_on_replaying(delivery: &mut DeliveryContext<'_>, id: &Arc<str>) {
    while let Some(chunk) = next_chunk(delivery, id) {
        if chunk.is_last {
            end_replay(delivery, id, &chunk.filter);
        } else if let Some((_, last)) = chunk.messages.last() {
            move_cursor(delivery, id, &chunk.filter, last.topic());
        }
        for (qos, message) in chunk.messages {
            let kind = OutboxKind::Queued {
                qos,
                retain: true,
                subscription_ids: chunk.id.into_iter().collect(),
                share: None,
            };
            delivery.enqueue(id, kind, message);
        }
        // Somebody waits for them.
        delivery.commits.set_awaited(true);
    }
}

fn move_cursor(delivery: &mut DeliveryContext<'_>, id: &str, filter: &str, topic: &str) {
    let session = delivery.clients.session_mut(id);
    let replay = session.and_then(|session| session.retained_cursors.get_mut(filter));
    if let Some(replay) = replay {
        replay.after = topic.into();
        store(replay, id, filter, delivery.commits);
    }
}

/// What the queue has room for, of the first subscription that has not had all.
fn next_chunk(delivery: &DeliveryContext<'_>, id: &Arc<str>) -> Option<RetainedChunk> {
    let client = delivery.clients.get(id)?;
    client.state.connected()?;
    let (subscription, replay) = first(client.state.session()?)?;
    let (mut messages, mut bytes) = room(&client.outbox, delivery.clients.limits())?;
    let mut found = Vec::new();
    let mut is_last = true;
    let filter = &subscription.filter;
    let retained = &delivery.retained;
    for message in retained.matching_after(filter, &replay.after, delivery.now) {
        let qos = message.qos().min(subscription.qos);
        let came_since = message.retained_seq() > replay.retained_seq;
        if qos == Qos::AtMostOnce || came_since || subscription.is_unwanted(message, id) {
            continue;
        }
        if messages == 0 || bytes == 0 {
            is_last = false;
            break;
        }
        messages -= 1;
        bytes = bytes.saturating_sub(message.size());
        found.push((qos, message.clone()));
    }
    Some(RetainedChunk {
        filter: filter.clone(),
        id: subscription.id,
        messages: found,
        is_last,
    })
}

fn store(replay: &mut RetainedCursor, id: &str, filter: &str, commits: &mut Commits) {
    replay.stored = true;
    let key = records::replay_key(id, filter);
    commits.put(Space::Session, key, replay.encode());
}

fn first(session: &Session) -> Option<(&Subscription, &RetainedCursor)> {
    let (filter, replay) = session.retained_cursors.first_key_value()?;
    Some((session.subscriptions.get(filter)?, replay))
}

/// How many messages and bytes may be added; `None` while half of that still waits.
pub(super) fn room(outbox: &Outbox, limits: &ClientLimits) -> Option<(usize, usize)> {
    let messages = (limits.max_queued_messages / 4).clamp(1, AT_ONCE);
    let bytes = (limits.max_queued_bytes / 4).max(1);
    let (waiting, waiting_bytes) = (outbox.queued_messages(), outbox.queued_bytes());
    let few = waiting <= messages / 2 && waiting_bytes <= bytes / 2;
    few.then(|| (messages - waiting, bytes - waiting_bytes))
}

//! Retained messages for a lasting subscription: queued as fast as their reader takes them.
//!
//! A subscription may match far more retained messages than a session's queue holds. So they are not put into it all at once:
//! a mark says up to which topic they were, and it goes on whenever little waits. The mark is on disk with what was queued, so
//! that neither an absence nor a crash leaves any out.

use std::sync::Arc;

use super::client_state::Session;
use super::core::Desk;
use super::kind::Kind;
use super::limits::ClientLimits;
use super::outbox::Outbox;
use super::records;
use super::subscribe::is_unwanted;
use super::subscription::{Replay, Subscription};
use crate::ledger::{Batch, Space};
use crate::wire::Millis;
use crate::wire::message::{Message, Qos};

/// So many of a queue's messages are retained ones, at most, where the queue is large.
const AT_ONCE: usize = 256;

/// Some of a subscription's retained messages.
struct Chunk {
    filter: Arc<str>,
    id: Option<u32>,
    messages: Vec<(Qos, Message)>,
    is_last: bool,
}

impl Desk {
    /// A lasting subscription at QoS 1 or 2 wants the retained messages; [`Desk::go_on_replaying`] brings them.
    pub(super) fn begin_replay(&mut self, id: &str, subscription: &Subscription) {
        let stamp = self.stamp;
        let session = self.clients.session_mut(id);
        let Some(session) = session.filter(|session| session.durable) else {
            return;
        };
        if subscription.qos == Qos::AtMostOnce {
            return;
        }
        let filter = subscription.filter.clone();
        let earlier = session.replays.get(&filter);
        let replay = Replay::begun(stamp, earlier.is_some_and(|earlier| earlier.stored));
        session.replays.insert(filter, replay);
    }

    /// Records where the subscriptions of one packet are, if they have not had all at once.
    pub(super) fn store_marks(&mut self, id: &str, asked: &[Subscription]) {
        let Some(session) = self.clients.session_mut(id) else {
            return;
        };
        for subscription in asked {
            let filter = &subscription.filter;
            if let Some(replay) = session.replays.get_mut(filter) {
                store(replay, id, filter, &mut self.pending.records);
            }
        }
    }

    /// The subscription is gone, or has had them all.
    pub(super) fn end_replay(&mut self, id: &str, filter: &str) {
        let session = self.clients.session_mut(id);
        let ended = session.and_then(|session| session.replays.remove(filter));
        if ended.is_some_and(|replay| replay.stored) {
            let key = records::replay_key(id, filter);
            self.pending.records.delete(Space::Session, key);
        }
    }

    /// Queues further retained messages where little waits: after a connect, a subscribe, an acknowledgement.
    pub(super) fn go_on_replaying(&mut self, now: Millis, id: &Arc<str>) {
        while let Some(chunk) = self.next_chunk(now, id) {
            if chunk.is_last {
                self.end_replay(id, &chunk.filter);
            } else if let Some((_, last)) = chunk.messages.last() {
                self.move_mark(id, &chunk.filter, last.topic());
            }
            for (qos, message) in chunk.messages {
                let kind = Kind::Queued {
                    qos,
                    retain: true,
                    subscription_ids: chunk.id.into_iter().collect(),
                    share: None,
                };
                self.enqueue(now, id, kind, message);
            }
            // Somebody waits for them.
            self.pending.awaited = true;
        }
    }

    fn move_mark(&mut self, id: &str, filter: &str, topic: &str) {
        let session = self.clients.session_mut(id);
        let replay = session.and_then(|session| session.replays.get_mut(filter));
        if let Some(replay) = replay {
            replay.after = topic.into();
            store(replay, id, filter, &mut self.pending.records);
        }
    }

    /// What the queue has room for, of the first subscription that has not had all.
    fn next_chunk(&self, now: Millis, id: &Arc<str>) -> Option<Chunk> {
        let client = self.clients.get(id)?;
        client.state.connected()?;
        let (subscription, replay) = first(client.state.session()?)?;
        let (mut messages, mut bytes) = room(&client.outbox, &self.clients.limits)?;
        let mut found = Vec::new();
        let mut is_last = true;
        let filter = &subscription.filter;
        for message in self.retained.matching_after(filter, &replay.after, now) {
            let qos = message.qos().min(subscription.qos);
            let came_since = message.stamp() > replay.stamp;
            if qos == Qos::AtMostOnce || came_since || is_unwanted(message, id, subscription) {
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
        Some(Chunk {
            filter: filter.clone(),
            id: subscription.id,
            messages: found,
            is_last,
        })
    }
}

fn store(replay: &mut Replay, id: &str, filter: &str, records: &mut Batch) {
    replay.stored = true;
    let key = records::replay_key(id, filter);
    records.put(Space::Session, key, replay.encode());
}

fn first(session: &Session) -> Option<(&Subscription, &Replay)> {
    let (filter, replay) = session.replays.first_key_value()?;
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

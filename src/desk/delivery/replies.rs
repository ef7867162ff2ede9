//! Replies that wait: there are so many at most, and what gives way to newer ones.
//!
//! What was accepted can be asked for again; who does not know that something was refused waits for
//! ever. So what was accepted goes first, and refusals that have to go leave a count behind.

use std::sync::Arc;

use super::DeliveryContext;
use crate::desk::gateway_messages::gateway_message;
use crate::desk::outbox_kind::OutboxKind;
use crate::desk::records;
use crate::engine::DirectedKind;
use crate::ledger::Space;
use crate::wire::cbor;
use crate::wire::json::{self, Json};
use crate::wire::message::Message;
use crate::wire::mirror::MessageMirrors;
use crate::wire::name::Agent;
use crate::wire::reply::{Code, DroppedRefusals, Rejection, Reply};
use crate::wire::topic::{RoomTopic, Topic};

/// Rooms of one client in which refusals that gave way are counted.
const MAX_SUMMARIES: usize = 16;

impl DeliveryContext<'_> {
    /// Makes room for a reply where too many wait; `false` if it is the one to go. Where there are
    /// more than there may be by now, one goes for the one that comes.
    pub(super) fn make_room_for_reply(&mut self, id: &Arc<str>, kind: &OutboxKind) -> bool {
        let limit = self.clients.limits().max_replies;
        let before = self.clients.get(id);
        let before = before.map_or(0, |client| client.outbox.replies_len());
        let most = limit.max(before);
        loop {
            let Some(client) = self.clients.get(id) else {
                return true;
            };
            if client.outbox.replies_len() < most {
                return true;
            }
            if let Some(oldest) = client.outbox.oldest_waiting_reply() {
                self.stats.dropped.old_reply.add_one();
                self.drop_entry(id, oldest);
                continue;
            }
            if matches!(kind, OutboxKind::Directed(DirectedKind::Reply)) {
                self.stats.dropped.old_reply.add_one();
                return false;
            }
            match client.outbox.oldest_waiting_refusal() {
                Some(oldest) => self.evict_refusal(id, oldest),
                // All of them are on their way: so many are no more than a client's window.
                None => return true,
            }
        }
    }

    /// A refusal or a notice gives way; where it is a refusal that was never sent, the summary of
    /// its room counts it.
    fn evict_refusal(&mut self, id: &Arc<str>, oldest: u64) {
        self.stats.dropped.old_reply.add_one();
        let outbox = self.clients.get(id).map(|client| &client.outbox);
        if outbox.is_some_and(|outbox| outbox.is_unsent_refusal(oldest)) {
            self.summarize_refusal(id, oldest);
        } else {
            self.drop_entry(id, oldest);
        }
    }

    /// The summary of a refusal's room takes its place, or counts it.
    fn summarize_refusal(&mut self, id: &Arc<str>, refusal: u64) {
        let Ok(me) = Agent::new(id) else {
            return self.drop_entry(id, refusal);
        };
        let most = self.clients.limits().max_replies;
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let Some(refused) = client.outbox.get(refusal) else {
            return;
        };
        let message = &refused.message;
        let Some(Ok(topic)) = RoomTopic::parse(&self.settings.root, message.topic()) else {
            return self.drop_entry(id, refusal);
        };
        let to = Topic::Reply {
            me: me.clone(),
            rest: None,
        };
        let topic = RoomTopic::new(topic.room, to).format(&self.settings.root);
        let most_summaries = MAX_SUMMARIES.min(most / 2).max(1);
        let known = client.outbox.unsent_summary(&topic);
        if known.is_none() && client.outbox.summaries_len() >= most_summaries {
            return self.drop_entry(id, refusal);
        }
        let before = known.and_then(|seq| read(&client.outbox.get(seq)?.message));
        let told = sum(before, read(message), most);
        let payload = self.engine.encoding_of(&me).encode(json::encode(&told));
        let mirrors = MessageMirrors {
            expires_at: Some(message.expires_at()).filter(|at| *at != 0),
            ..MessageMirrors::default()
        };
        let summary = gateway_message(&topic, &payload, false, &mirrors);
        if known.is_some() {
            self.drop_entry(id, refusal);
        }
        self.put_summary(id, known.unwrap_or(refusal), summary);
    }

    fn put_summary(&mut self, id: &Arc<str>, seq: u64, summary: Message) {
        let expires_at = summary.expires_at();
        let record = records::encode_outbox(&OutboxKind::Summary, &summary);
        let key = records::outbox_key(id, seq);
        self.commits.put(Space::Outbox, key, record);
        if let Some(client) = self.clients.get_mut(id) {
            client.outbox.sum_up(seq, summary, self.commits.number());
        }
        self.watch_expiry(id, seq, expires_at);
    }
}

fn read(message: &Message) -> Option<Reply> {
    let payload = message.payload();
    if cbor::is_map(&payload) {
        return json::decode(&cbor::to_json(&payload).ok()?).ok();
    }
    json::decode(&payload).ok()
}

/// The summary so far, and one refusal more.
fn sum(before: Option<Reply>, refusal: Option<Reply>, most: usize) -> Reply {
    let before = before.and_then(|before| before.data);
    let before: Option<DroppedRefusals> =
        before.and_then(|data| json::decode(data.text().as_bytes()).ok());
    let code = refusal.as_ref().map(|refusal| refusal.code);
    let id = refusal.and_then(|refusal| {
        let id = refusal.id.map(|id| id.to_string());
        let task = refusal.task.map(|task| task.to_string());
        id.or(refusal.correlation_id).or(task)
    });
    let dropped = match before {
        None => DroppedRefusals {
            dropped: 1,
            first_id: id.clone(),
            last_id: id,
        },
        Some(before) => DroppedRefusals {
            dropped: before.dropped + 1,
            first_id: before.first_id.or_else(|| id.clone()),
            last_id: id.or(before.last_id),
        },
    };
    let named = |id: &Option<String>| id.clone().unwrap_or_else(|| "one without an id".to_owned());
    let reason = format!(
        "{} more, from {} to {}: they gave way, because you had {most} replies to read (mailbox.max_replies)",
        dropped.dropped,
        named(&dropped.first_id),
        named(&dropped.last_id)
    );
    let code = code.unwrap_or(Code::TooMany);
    Reply {
        data: Some(Json::of(&dropped)),
        ..Reply::rejected("reply", Rejection::new(code, reason))
    }
}

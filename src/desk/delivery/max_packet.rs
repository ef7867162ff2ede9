//! What an agent that has announced `maxBytes` is sent in place of what it cannot take.
//!
//! It looks at a directed message when it is about to leave for the first time, whenever it was
//! stored: what waits stays whole for a reader with more room. The engine keeps to `maxBytes` where
//! it may choose: to whom work and calls go, and what is taken for an inbox.

use std::sync::Arc;

use super::DeliveryContext;
use crate::desk::gateway_messages::gateway_message;
use crate::desk::outbox_kind::OutboxKind;
use crate::desk::records;
use crate::engine::DirectedKind;
use crate::ledger::Space;
use crate::wire::fit::{packet_bytes, shorten};
use crate::wire::json;
use crate::wire::message::{Message, Parts, Qos};
use crate::wire::mirror::MessageMirrors;
use crate::wire::name::Agent;
use crate::wire::reply::{Code, Rejection, Reply};
use crate::wire::topic::{RoomTopic, Topic, below_room};

impl DeliveryContext<'_> {
    /// What a client takes at most of the room that the message is from, if the message is more.
    pub(super) fn max_packet_exceeded(
        &self,
        id: &str,
        message: &Message,
        qos: Qos,
    ) -> Option<usize> {
        let (room, _) = below_room(&self.settings.root, message.topic())?;
        let most = self.engine.takes(id, room)?;
        let bytes = packet_bytes(message.topic().len(), message.payload().len(), qos);
        (bytes > most).then_some(most)
    }

    /// Shortens a message that is ready to leave, or takes it out and says so to whom it was for.
    /// The caller looks again at what is ready: to do so here would take some of the stack for
    /// every message that is too large.
    pub(super) fn fit_max_packet(&mut self, id: &Arc<str>, seq: u64, qos: Qos, most: usize) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let Some(entry) = client.outbox.get(seq) else {
            return;
        };
        let (kind, message) = (entry.kind.clone(), entry.message.clone());
        let (topic, payload) = (message.topic().len(), message.payload().len());
        let bytes = packet_bytes(topic, payload, qos);
        let room_for = (most + payload).saturating_sub(bytes);
        let short = match &kind {
            // Whoever gets these is to have all of them, or none.
            OutboxKind::Inbox
            | OutboxKind::Directed(DirectedKind::Assignment(_) | DirectedKind::Run(_)) => None,
            _ => shorten(&message.payload(), room_for, bytes),
        };
        let Some(short) = short else {
            self.stats.dropped.too_large.add_one();
            self.drop_entry(id, seq);
            self.commits.note_lazily(self.now);
            if !kind.is_reply() {
                self.reply_too_large(id, &message, bytes, most);
            }
            if let (Some(class), Ok(agent)) = (kind.unique(), Agent::new(id)) {
                self.work.note_undelivered(agent, class.clone());
            }
            return;
        };
        self.stats.shortened.add_one();
        let message = Message::encode(&Parts {
            payload: &short,
            ..message.parts()
        });
        let record = records::encode_outbox(&kind, &message);
        client.outbox.replace(seq, message, self.commits.number());
        let key = records::outbox_key(id, seq);
        self.commits.put(Space::Outbox, key, record);
        self.commits.set_awaited(true);
    }

    /// A rejected reply in place of what an agent cannot take at all.
    fn reply_too_large(&mut self, id: &str, message: &Message, bytes: usize, most: usize) {
        let topic = RoomTopic::parse(&self.settings.root, message.topic());
        let (Some(Ok(topic)), Ok(me)) = (topic, Agent::new(id)) else {
            return;
        };
        let reason = format!("it has {bytes} bytes, you take {most}");
        let rejection = Rejection::new(Code::TooLarge, reason);
        let command = below_room(&self.settings.root, message.topic());
        let reply = Reply {
            too_large: Some(bytes),
            ..Reply::rejected(command.map_or("", |(_, command)| command), rejection)
        };
        let payload = self.engine.encoding_of(&me).encode(json::encode(&reply));
        let to = me.clone();
        let topic = RoomTopic::new(topic.room, Topic::Reply { me, rest: None });
        let topic = topic.format(&self.settings.root);
        let mirrors = MessageMirrors::default();
        let notice = gateway_message(&topic, &payload, false, &mirrors);
        self.store_in_mailbox(&to, OutboxKind::Directed(DirectedKind::Refusal), notice);
    }
}

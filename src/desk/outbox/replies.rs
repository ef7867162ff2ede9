//! Replies in an outbox: which gives way when too many wait, and what is left of refusals that did.

use super::{Entry, Outbox, packet_id};
use crate::desk::kind::Kind;
use crate::engine::Class;
use crate::wire::message::Message;

impl Outbox {
    /// The oldest reply to what was accepted that is not in flight.
    pub fn oldest_waiting_reply(&self) -> Option<u64> {
        let mut replies = self.replies.iter().copied();
        replies.find(|seq| !self.is_in_flight(*seq))
    }

    /// The oldest refusal or notice that is not in flight.
    pub fn oldest_waiting_word(&self) -> Option<u64> {
        let mut words = self.refusals.iter().copied();
        words.find(|seq| !self.is_in_flight(*seq))
    }

    /// Whether it is a refusal, and no client ever had it.
    pub fn is_unsent_refusal(&self, seq: u64) -> bool {
        let entry = self.entries.get(&seq);
        entry.is_some_and(|entry| entry.kind == Kind::Directed(Class::Refusal) && entry.is_unsent())
    }

    /// How many summaries there are.
    pub fn summaries_len(&self) -> usize {
        self.summaries.len()
    }

    fn is_in_flight(&self, seq: u64) -> bool {
        self.unacknowledged.contains(&(packet_id(seq), seq))
    }

    /// A message.
    pub fn message(&self, seq: u64) -> Option<&Message> {
        self.entries.get(&seq).map(|entry| &entry.message)
    }

    /// The summary on a topic, if it has not been sent.
    pub fn unsent_summary(&self, topic: &str) -> Option<u64> {
        let seq = *self.summaries.get(topic)?;
        self.entries.get(&seq)?.is_unsent().then_some(seq)
    }

    /// Puts a summary in the place of a refusal, or of an earlier summary; it may leave once that batch is durable.
    pub fn sum_up(&mut self, seq: u64, message: Message, batch: u64) {
        if let Some(entry) = self.remove(seq) {
            let summary = Entry {
                kind: Kind::Summary,
                message,
                batch,
                ..entry
            };
            self.insert(seq, summary);
        }
    }

    pub(super) fn keep_summary(&mut self, topic: &str, seq: u64) {
        self.summaries.insert(topic.into(), seq);
    }

    pub(super) fn forget_summary(&mut self, topic: &str, seq: u64) {
        if self.summaries.get(topic) == Some(&seq) {
            self.summaries.remove(topic);
        }
    }
}

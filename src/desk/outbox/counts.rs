//! How much an outbox holds, by what its limits tell apart.

use super::{Entry, Outbox};
use crate::desk::memory::Holder;

impl Outbox {
    /// Directed messages, replies and what was promised aside, for the mailbox's limit.
    pub fn directed_messages(&self) -> usize {
        self.directed.messages - self.replies_len()
    }

    /// Bytes of directed messages, what was promised aside.
    pub fn directed_bytes(&self) -> usize {
        self.directed.bytes
    }

    /// Directed messages of every kind.
    pub fn mail_len(&self) -> usize {
        self.directed.messages + self.promised.messages
    }

    /// Their bytes.
    pub fn mail_bytes(&self) -> usize {
        self.directed.bytes + self.promised.bytes
    }

    /// Results and decisions, for which a place was kept.
    pub fn promised_messages(&self) -> usize {
        self.promised.messages
    }

    /// Bytes of them.
    pub fn promised_bytes(&self) -> usize {
        self.promised.bytes
    }

    /// Messages of the session's queue.
    pub fn queued_messages(&self) -> usize {
        self.queued.messages
    }

    /// Bytes of the session's queue.
    pub fn queued_bytes(&self) -> usize {
        self.queued.bytes
    }

    /// Replies that wait or are in flight.
    pub fn replies_len(&self) -> usize {
        self.replies.len() + self.refusals.len() + self.summaries.len()
    }

    pub(super) fn count(&mut self, entry: &Entry, sign: isize) {
        let (tally, holder) = if !entry.kind.is_directed() {
            (&mut self.queued, Holder::Sessions)
        } else if entry.kind.is_promised() {
            (&mut self.promised, Holder::Mailboxes)
        } else {
            (&mut self.directed, Holder::Mailboxes)
        };
        let size = entry.message.size();
        tally.messages = tally.messages.saturating_add_signed(sign);
        let signed = sign * isize::try_from(size).unwrap_or(isize::MAX);
        tally.bytes = tally.bytes.saturating_add_signed(signed);
        match &self.memory {
            Some(memory) if sign > 0 => memory.take(holder, size),
            Some(memory) => memory.give_back(holder, size),
            None => {}
        }
    }
}

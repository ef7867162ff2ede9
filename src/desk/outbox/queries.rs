//! What an outbox holds: how much, by what its limits tell apart; which messages; what of them may
//! go, or give way.
//!
//! Nothing here changes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{EntryState, Outbox, OutboxEntry, packet_id};
use crate::desk::outbox_kind::OutboxKind;
use crate::desk::send_order::SentMarks;
use crate::engine::DirectedKind;
use crate::wire::Millis;
use crate::wire::message::{Message, Qos};

/// Replies, and again refusals, that are looked at for one that needs no acknowledgement.
const REPLIES_LOOKED_AT: usize = 16;

impl Outbox {
    /// Whether what is not acknowledged fills the window.
    pub fn is_full(&self, window: usize) -> bool {
        self.unacknowledged.len() >= window
    }

    /// The next reply to send that needs no acknowledgement, as `passes` says: it may go while the
    /// window is full (MQTT-4.9.0-2). Whoever acknowledges when its work is done would wait for
    /// ever for the answer to what it asks meanwhile.
    pub(super) fn first_reply(&self, passes: impl Fn(&OutboxEntry) -> bool) -> Option<u64> {
        let of = |replies: &BTreeSet<u64>| -> Vec<u64> {
            replies.iter().take(REPLIES_LOOKED_AT).copied().collect()
        };
        let mut replies = of(&self.replies);
        replies.extend(of(&self.refusals));
        replies.sort_unstable();
        replies.into_iter().find(|seq| {
            let entry = self.entries.get(seq);
            let is_new = |entry: &&OutboxEntry| {
                entry.state == EntryState::Ready && entry.send_index == 0 && !entry.dup
            };
            entry.filter(is_new).is_some_and(&passes) && self.has_packet_id(*seq)
        })
    }

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

    /// A message that waits or is in flight.
    pub fn get(&self, seq: u64) -> Option<&OutboxEntry> {
        self.entries.get(&seq)
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether such a message is here already: an assignment or a run never is twice.
    pub fn holds(&self, kind: &OutboxKind) -> bool {
        kind.unique()
            .is_some_and(|class| self.unique.contains_key(class))
    }

    /// The sequence number of an assignment or a run that has not been sent, or has not been
    /// acknowledged.
    pub fn find(&self, class: &DirectedKind) -> Option<u64> {
        self.unique.get(class).copied()
    }

    /// The newest message's sequence number; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// How many directed messages more could go out now.
    pub fn room(&self, window: usize) -> usize {
        let taken = self.unacknowledged.len() + self.ready.directed_len();
        window.saturating_sub(taken)
    }

    /// Whether what `next` gave last is this message, and was given for the first time since the
    /// gateway started.
    pub fn is_sent_first(&self, seq: u64) -> bool {
        let entry = self.entries.get(&seq);
        entry.is_some_and(|entry| entry.send_index == self.sends)
    }

    /// Up to where each priority was ever sent.
    pub fn sent(&self) -> SentMarks {
        self.sent
    }

    /// The entry, if it still waits and was never sent: for expiry. What was sent once is sent
    /// until it is acknowledged (MQTT-4.3.3-7, MQTT-4.4.0-1).
    pub fn waiting(&self, seq: u64) -> Option<&OutboxEntry> {
        self.entries.get(&seq).filter(|entry| {
            !entry.dup && matches!(entry.state, EntryState::Ready | EntryState::Parked)
        })
    }

    /// When a message expires, if it is still here and does.
    pub fn expires(&self, seq: u64) -> Option<Millis> {
        let at = self.entries.get(&seq)?.message.expires_at();
        (at != 0).then_some(at)
    }

    /// Sequence numbers and expiry times of all that can expire.
    pub fn expiring(&self) -> impl Iterator<Item = (Millis, u64)> {
        self.entries
            .iter()
            .map(|(seq, entry)| (entry.message.expires_at(), *seq))
            .filter(|(at, _)| *at != 0)
    }

    /// Directed messages behind a sequence number, oldest first, and whether each is in flight.
    pub fn directed_after(&self, seq: u64) -> impl Iterator<Item = (u64, &OutboxEntry, bool)> {
        let entries = self.entries.range(seq.saturating_add(1)..);
        let directed = entries.filter(|(_, entry)| entry.kind.is_directed());
        directed.map(|(seq, entry)| (*seq, entry, !entry.state.waits()))
    }

    /// Whether it is here and not in flight.
    pub fn is_idle(&self, seq: u64) -> bool {
        self.entries
            .get(&seq)
            .is_some_and(|entry| entry.state.waits())
    }

    /// Messages of one group that were never sent, oldest first.
    pub fn unsent_of(&self, share: &str) -> impl Iterator<Item = (u64, &Message)> {
        let entries = self.entries.iter();
        entries.filter_map(move |(seq, entry)| {
            let is_of_it = entry.kind.share().is_some_and(|own| **own == *share);
            let unsent = is_of_it && self.waiting(*seq).is_some();
            unsent.then_some((*seq, &entry.message))
        })
    }

    /// Groups of which messages were never sent.
    pub fn unsent_groups(&self) -> impl Iterator<Item = &Arc<str>> {
        let entries = self.entries.iter();
        entries.filter_map(|(seq, entry)| {
            let share = entry.kind.share()?;
            self.waiting(*seq).map(|_| share)
        })
    }

    /// The oldest reply to what was accepted that is not in flight.
    pub fn oldest_waiting_reply(&self) -> Option<u64> {
        let mut replies = self.replies.iter().copied();
        replies.find(|seq| !self.is_in_flight(*seq))
    }

    /// The oldest refusal or notice that is not in flight.
    pub fn oldest_waiting_refusal(&self) -> Option<u64> {
        let mut words = self.refusals.iter().copied();
        words.find(|seq| !self.is_in_flight(*seq))
    }

    /// Whether it is a refusal, and no client ever had it.
    pub fn is_unsent_refusal(&self, seq: u64) -> bool {
        let entry = self.entries.get(&seq);
        entry.is_some_and(|entry| {
            entry.kind == OutboxKind::Directed(DirectedKind::Refusal) && entry.is_unsent()
        })
    }

    /// How many summaries there are.
    pub fn summaries_len(&self) -> usize {
        self.summaries.len()
    }

    fn is_in_flight(&self, seq: u64) -> bool {
        self.unacknowledged.contains(&(packet_id(seq), seq))
    }

    /// The summary on a topic, if it has not been sent.
    pub fn unsent_summary(&self, topic: &str) -> Option<u64> {
        let seq = *self.summaries.get(topic)?;
        self.entries.get(&seq)?.is_unsent().then_some(seq)
    }

    /// QoS 2 deliveries for which PUBREC came and PUBCOMP did not, oldest first.
    pub fn unreleased(&self) -> Vec<u64> {
        let is_received = |seq: &u64| {
            let entry = self.entries.get(seq);
            entry.is_some_and(|entry| entry.state == EntryState::Received)
        };
        let unacknowledged = self.unacknowledged.iter().map(|(_, seq)| *seq);
        let mut received: Vec<u64> = unacknowledged.filter(is_received).collect();
        received.sort_unstable();
        received
    }

    /// What goes to other members of its shared subscriptions if the session ends now, in order:
    /// what is not acknowledged, but for QoS 2 once it was sent (MQTT-4.8.2-5).
    pub fn unfinished_shared(&self) -> Vec<(Arc<str>, Message)> {
        let inherited = |entry: &OutboxEntry| match &entry.kind {
            OutboxKind::Queued {
                qos,
                share: Some(share),
                ..
            } if entry.state != EntryState::Received => {
                let begun = entry.dup || entry.state == EntryState::InFlight;
                let goes = *qos < Qos::ExactlyOnce || !begun;
                goes.then(|| (share.clone(), entry.message.clone()))
            }
            _ => None,
        };
        self.entries.values().filter_map(inherited).collect()
    }
}

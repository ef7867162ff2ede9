//! One client's outgoing messages: its mailbox (directed, waits whatever the session is) and its
//! session's queue, numbered together.
//!
//! It knows in which state each message is, and so what may be sent next; `send_order` has the
//! order. It does no I/O: the desk writes the records and releases the deliveries.
//!
//! The packet id of a durable session's delivery follows from its sequence number, so that it is
//! the same after a crash without being stored (MQTT-4.4.0-1).

mod queries;
mod session_end;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::memory::{Account, MemoryBudget};
use super::outbox_kind::OutboxKind;
use super::send_order::{SendOrder, SendPriority, SentMarks};
use crate::engine::DirectedKind;
use crate::wire::message::{Message, Qos};

/// How many sequence numbers a packet id can tell apart.
const PACKET_IDS: u64 = 65_535;

/// The packet id of a durable session's delivery.
pub fn packet_id(seq: u64) -> u16 {
    u16::try_from((seq - 1) % PACKET_IDS + 1).unwrap_or(u16::MAX)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryState {
    /// For room in the window.
    Ready,
    /// For a subscription that matches.
    Parked,
    /// Sent, not acknowledged.
    InFlight,
    /// QoS 2: PUBREC came; PUBCOMP is missing.
    Received,
}

impl EntryState {
    fn waits(self) -> bool {
        matches!(self, EntryState::Ready | EntryState::Parked)
    }
}

/// A message that waits or is in flight.
#[derive(Debug, Clone)]
pub struct OutboxEntry {
    /// What it is for.
    pub kind: OutboxKind,
    /// The message.
    pub message: Message,
    /// Whether it is (or is about to be) in the ledger.
    pub stored: bool,
    /// The batch that stores it; it may leave once that batch is durable.
    pub batch: u64,
    /// Sent before, perhaps.
    pub dup: bool,
    /// No longer true: goes with the session, within which MQTT has it sent until it is
    /// acknowledged.
    revoked: bool,
    /// Its place in the order of sending, from 1; 0 if this run has not sent it.
    send_index: u64,
    state: EntryState,
}

impl OutboxEntry {
    fn new(kind: OutboxKind, message: Message, stored: bool, state: EntryState) -> OutboxEntry {
        OutboxEntry {
            kind,
            message,
            stored,
            batch: 0,
            dup: false,
            revoked: false,
            send_index: 0,
            state,
        }
    }

    /// Whether no client ever had it: not under this run, nor perhaps under an earlier one.
    fn is_unsent(&self) -> bool {
        !self.dup && self.send_index == 0
    }

    /// Where it stands now.
    fn index(&self) -> EntryIndex {
        match (self.state, self.send_index) {
            (EntryState::Ready, 0) => EntryIndex::Ready {
                priority: SendPriority::of(&self.kind),
                perhaps_sent: self.dup,
            },
            (EntryState::Ready, send_index) => EntryIndex::Ready {
                priority: SendPriority::Resend(send_index),
                perhaps_sent: false,
            },
            (EntryState::Parked, _) => EntryIndex::Parked,
            (EntryState::InFlight | EntryState::Received, _) => EntryIndex::Unacknowledged,
        }
    }
}

/// Which index of the outbox has an entry.
#[derive(Debug, Clone, Copy)]
enum EntryIndex {
    Ready {
        priority: SendPriority,
        /// By an earlier run: its client may hold its packet id.
        perhaps_sent: bool,
    },
    Parked,
    Unacknowledged,
}

/// How an entry left, or that it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// It is gone; `stored` says whether the ledger has it.
    Removed {
        /// Whether a record is to be deleted.
        stored: bool,
    },
    /// PUBREC: the message is gone, its packet id is not.
    Received {
        /// Whether the ledger knows it.
        stored: bool,
    },
    /// Not in that state: an acknowledgement of what was never sent, or a repeat.
    Unknown,
}

/// How much there is of a kind.
#[derive(Debug, Default)]
struct Tally {
    messages: usize,
    bytes: usize,
}

/// The messages of one client, by sequence number.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: BTreeMap<u64, OutboxEntry>,
    ready: SendOrder,
    parked: BTreeSet<u64>,
    /// In flight or received, by packet id: they fill the window.
    unacknowledged: BTreeSet<(u16, u64)>,
    /// Ready, and perhaps sent before a crash, by packet id.
    perhaps_sent: BTreeSet<(u16, u64)>,
    /// Replies to what was accepted.
    replies: BTreeSet<u64>,
    /// Replies that refuse, and notices.
    refusals: BTreeSet<u64>,
    /// What is left of refusals, by topic.
    summaries: BTreeMap<Box<str>, u64>,
    /// Those of which there is never a second.
    unique: BTreeMap<DirectedKind, u64>,
    last_seq: u64,
    sent: SentMarks,
    /// Messages sent for the first time.
    sends: u64,
    directed: Tally,
    promised: Tally,
    queued: Tally,
    /// Where its bytes count, too.
    memory: Option<Arc<MemoryBudget>>,
}

impl Outbox {
    /// An empty one whose bytes count in `memory`.
    pub fn counted_in(memory: Arc<MemoryBudget>) -> Outbox {
        Outbox {
            memory: Some(memory),
            ..Outbox::default()
        }
    }

    /// Adds a message at the end; `deliverable` says whether a subscription matches it now. Returns
    /// its sequence number.
    pub fn push(
        &mut self,
        kind: OutboxKind,
        message: Message,
        stored: bool,
        batch: u64,
        deliverable: bool,
    ) -> u64 {
        let seq = self.last_seq + 1;
        let state = if deliverable {
            EntryState::Ready
        } else {
            EntryState::Parked
        };
        let entry = OutboxEntry::new(kind, message, stored, state);
        self.insert(seq, OutboxEntry { batch, ..entry });
        seq
    }

    /// Gives no number up to this one to what comes.
    pub fn number_after(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(seq);
    }

    /// Puts back a message from the ledger; `dup` unless it is known that it was never sent.
    pub fn restore(&mut self, seq: u64, kind: OutboxKind, message: Message, dup: bool) {
        let entry = OutboxEntry::new(kind, message, true, EntryState::Parked);
        self.insert(seq, OutboxEntry { dup, ..entry });
    }

    /// Puts back the mark that PUBREC came for a message.
    pub fn restore_received(&mut self, seq: u64) {
        let message = Message::encode(&crate::wire::message::Parts::default());
        let kind = OutboxKind::Queued {
            qos: Qos::ExactlyOnce,
            retain: false,
            subscription_ids: Vec::new(),
            share: None,
        };
        let entry = OutboxEntry::new(kind, message, true, EntryState::Received);
        self.insert(seq, OutboxEntry { dup: true, ..entry });
    }

    fn insert(&mut self, seq: u64, entry: OutboxEntry) {
        self.last_seq = self.last_seq.max(seq);
        self.count(&entry, 1);
        match &entry.kind {
            OutboxKind::Directed(DirectedKind::Refusal | DirectedKind::Notice) => {
                self.refusals.insert(seq);
            }
            OutboxKind::Summary => self.keep_summary(entry.message.topic(), seq),
            kind if kind.is_reply() => drop(self.replies.insert(seq)),
            kind => {
                if let Some(class) = kind.unique() {
                    self.unique.insert(class.clone(), seq);
                }
            }
        }
        self.enter(entry.index(), seq);
        self.entries.insert(seq, entry);
    }

    fn enter(&mut self, index: EntryIndex, seq: u64) {
        match index {
            EntryIndex::Ready {
                priority,
                perhaps_sent,
            } => {
                self.ready.insert(priority, seq);
                if perhaps_sent {
                    self.perhaps_sent.insert((packet_id(seq), seq));
                }
            }
            EntryIndex::Parked => {
                self.parked.insert(seq);
            }
            EntryIndex::Unacknowledged => {
                self.unacknowledged.insert((packet_id(seq), seq));
            }
        }
    }

    fn leave(&mut self, index: EntryIndex, seq: u64) {
        match index {
            EntryIndex::Ready {
                priority,
                perhaps_sent,
            } => {
                self.ready.remove(priority, seq);
                if perhaps_sent {
                    self.perhaps_sent.remove(&(packet_id(seq), seq));
                }
            }
            EntryIndex::Parked => {
                self.parked.remove(&seq);
            }
            EntryIndex::Unacknowledged => {
                self.unacknowledged.remove(&(packet_id(seq), seq));
            }
        }
    }

    fn set_state(&mut self, seq: u64, state: EntryState) {
        let Some(entry) = self.entries.get_mut(&seq) else {
            return;
        };
        let old = entry.index();
        entry.state = state;
        let new = entry.index();
        self.leave(old, seq);
        self.enter(new, seq);
    }

    /// Removes an entry in whatever state.
    pub fn remove(&mut self, seq: u64) -> Option<OutboxEntry> {
        let entry = self.entries.remove(&seq)?;
        self.count(&entry, -1);
        self.leave(entry.index(), seq);
        match &entry.kind {
            OutboxKind::Directed(DirectedKind::Refusal | DirectedKind::Notice) => {
                self.refusals.remove(&seq);
            }
            OutboxKind::Summary => self.forget_summary(entry.message.topic(), seq),
            kind if kind.is_reply() => drop(self.replies.remove(&seq)),
            kind => {
                if let Some(class) = kind.unique() {
                    self.unique.remove(class);
                }
            }
        }
        Some(entry)
    }

    /// Puts another message in an entry's place, which is to be sent once that batch is durable.
    pub fn replace(&mut self, seq: u64, message: Message, batch: u64) {
        if let Some(entry) = self.remove(seq) {
            let replaced = OutboxEntry {
                message,
                batch,
                state: EntryState::Ready,
                ..entry
            };
            self.insert(seq, replaced);
        }
    }

    /// Looks again at what had no matching subscription; `deliverable` decides.
    pub fn unpark(&mut self, mut deliverable: impl FnMut(&OutboxEntry) -> bool) {
        let parked: Vec<u64> = self.parked.iter().copied().collect();
        for seq in parked {
            if self.entries.get(&seq).is_some_and(&mut deliverable) {
                self.set_state(seq, EntryState::Ready);
            }
        }
    }

    /// Takes the next message to send, if the window has room. A durable session's packet ids must
    /// not collide. What was sent on this session before goes first and in the same order
    /// (MQTT-4.6.0-1); after a crash nobody knows any more what that was, and the order holds
    /// within each topic (MQTT-4.6.0-6).
    pub fn next(&mut self, window: usize) -> Option<(u64, &OutboxEntry)> {
        if self.is_full(window) {
            return None;
        }
        let seq = self.ready.next(|seq| self.has_packet_id(seq))?;
        Some(self.take(seq))
    }

    fn take(&mut self, seq: u64) -> (u64, &OutboxEntry) {
        self.set_state(seq, EntryState::InFlight);
        let entry = self.entries.get_mut(&seq).expect("it is ready");
        self.sent.note(&entry.kind, seq);
        if entry.send_index == 0 {
            self.sends += 1;
            entry.send_index = self.sends;
        }
        (seq, entry)
    }

    /// Takes the [first reply](Self::first_reply) that may go while the window is full.
    pub fn next_reply(
        &mut self,
        passes: impl Fn(&OutboxEntry) -> bool,
    ) -> Option<(u64, &OutboxEntry)> {
        let seq = self.first_reply(passes)?;
        Some(self.take(seq))
    }

    /// Whether no other message has its packet id now: none that is not acknowledged, and no older
    /// one that its client may have had before a crash, unless that has no subscription: it may
    /// wait for ever.
    fn has_packet_id(&self, seq: u64) -> bool {
        let id = packet_id(seq);
        let taken = self.unacknowledged.range((id, 0)..=(id, u64::MAX)).next();
        let sent_again = self
            .entries
            .get(&seq)
            .is_some_and(|entry| entry.send_index > 0);
        // What this run has sent, it has sent under this id already.
        let older = self.perhaps_sent.range((id, 0)..(id, seq)).next();
        taken.is_none() && (sent_again || older.is_none())
    }

    /// Takes back what `next` gave, for want of a subscription.
    pub fn park(&mut self, seq: u64) {
        self.set_state(seq, EntryState::Parked);
        if let Some(entry) = self.entries.get_mut(&seq)
            && !entry.dup
        {
            entry.send_index = 0;
        }
    }

    /// PUBACK, or written at QoS 0, or PUBREC with an error.
    pub fn done(&mut self, seq: u64) -> Acknowledged {
        self.finish(seq, EntryState::InFlight)
    }

    /// PUBREC.
    pub fn received(&mut self, seq: u64) -> Acknowledged {
        match self.entries.get(&seq) {
            Some(entry) if entry.state == EntryState::InFlight => {
                let stored = entry.stored;
                self.set_state(seq, EntryState::Received);
                self.forget_message(seq);
                Acknowledged::Received { stored }
            }
            // A repeat, after a reconnect: PUBREL goes again.
            Some(entry) if entry.state == EntryState::Received => Acknowledged::Received {
                stored: entry.stored,
            },
            _ => Acknowledged::Unknown,
        }
    }

    /// After PUBREC the receiver owns the message: it no longer counts, only its packet id is still
    /// taken.
    fn forget_message(&mut self, seq: u64) {
        if let Some(entry) = self.remove(seq) {
            let stored = entry.stored;
            self.restore_received(seq);
            if let Some(mark) = self.entries.get_mut(&seq) {
                mark.stored = stored;
            }
        }
    }

    /// PUBCOMP.
    pub fn completed(&mut self, seq: u64) -> Acknowledged {
        self.finish(seq, EntryState::Received)
    }

    fn finish(&mut self, seq: u64, expected: EntryState) -> Acknowledged {
        match self.entries.get(&seq) {
            Some(entry) if entry.state == expected => {
                let stored = entry.stored;
                self.remove(seq);
                Acknowledged::Removed { stored }
            }
            _ => Acknowledged::Unknown,
        }
    }

    /// Puts a summary in the place of a refusal, or of an earlier summary; it may leave once that
    /// batch is durable.
    pub fn sum_up(&mut self, seq: u64, message: Message, batch: u64) {
        if let Some(entry) = self.remove(seq) {
            let summary = OutboxEntry {
                kind: OutboxKind::Summary,
                message,
                batch,
                ..entry
            };
            self.insert(seq, summary);
        }
    }

    fn keep_summary(&mut self, topic: &str, seq: u64) {
        self.summaries.insert(topic.into(), seq);
    }

    fn forget_summary(&mut self, topic: &str, seq: u64) {
        if self.summaries.get(topic) == Some(&seq) {
            self.summaries.remove(topic);
        }
    }

    fn count(&mut self, entry: &OutboxEntry, sign: isize) {
        let (tally, account) = if !entry.kind.is_directed() {
            (&mut self.queued, Account::Sessions)
        } else if entry.kind.is_promised() {
            (&mut self.promised, Account::Mailboxes)
        } else {
            (&mut self.directed, Account::Mailboxes)
        };
        let size = entry.message.size();
        tally.messages = tally.messages.saturating_add_signed(sign);
        let signed = sign * isize::try_from(size).unwrap_or(isize::MAX);
        tally.bytes = tally.bytes.saturating_add_signed(signed);
        match &self.memory {
            Some(memory) if sign > 0 => memory.reserve(account, size),
            Some(memory) => memory.release(account, size),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Parts;

    fn message(payload: &[u8]) -> Message {
        Message::encode(&Parts {
            topic: "t",
            payload,
            ..Parts::default()
        })
    }

    fn queued() -> OutboxKind {
        OutboxKind::Queued {
            qos: Qos::ExactlyOnce,
            retain: false,
            subscription_ids: Vec::new(),
            share: None,
        }
    }

    fn reply() -> OutboxKind {
        OutboxKind::Directed(DirectedKind::Reply)
    }

    fn send(outbox: &mut Outbox, window: usize) -> Vec<u64> {
        std::iter::from_fn(|| outbox.next(window).map(|(seq, _)| seq)).collect()
    }

    #[test]
    fn packet_ids_follow_from_sequence_numbers_and_are_never_zero() {
        assert_eq!(packet_id(1), 1);
        assert_eq!(packet_id(65_535), 65_535);
        assert_eq!(packet_id(65_536), 1);
    }

    #[test]
    fn window_bounds_what_is_in_flight() {
        let mut outbox = Outbox::default();
        for _ in 0..5 {
            outbox.push(queued(), message(b"x"), true, 0, true);
        }
        assert_eq!(send(&mut outbox, 2), [1, 2]);
        assert_eq!(outbox.done(1), Acknowledged::Removed { stored: true });
        assert_eq!(send(&mut outbox, 2), [3]);
        assert_eq!(outbox.done(1), Acknowledged::Unknown);
    }

    #[test]
    fn packet_ids_in_flight_never_collide() {
        let mut outbox = Outbox::default();
        outbox.push(queued(), message(b"stuck"), true, 0, true);
        assert_eq!(send(&mut outbox, 1), [1]);
        outbox.last_seq = 65_534;
        outbox.push(queued(), message(b"fits"), true, 0, true);
        outbox.push(queued(), message(b"would collide"), true, 0, true);
        assert_eq!(send(&mut outbox, 10), [65_535]);
        outbox.done(1);
        assert_eq!(send(&mut outbox, 10), [65_536]);
    }

    #[test]
    fn after_a_crash_the_older_of_two_with_one_packet_id_goes_first() {
        let mut outbox = Outbox::default();
        outbox.restore(1, queued(), message(b"perhaps sent"), true);
        outbox.restore(65_536, reply(), message(b"has its packet id"), true);
        outbox.restore(65_537, reply(), message(b"behind it"), true);
        outbox.unpark(|_| true);
        assert_eq!(send(&mut outbox, 10), [1]);
        outbox.done(1);
        assert_eq!(send(&mut outbox, 10), [65_536, 65_537]);
    }

    #[test]
    fn what_was_sent_before_does_not_wait_for_one_that_found_no_subscription_then() {
        let mut outbox = Outbox::default();
        outbox.restore(1, queued(), message(b"perhaps sent"), true);
        outbox.last_seq = 65_535;
        outbox.push(queued(), message(b"has its packet id"), true, 0, true);
        assert_eq!(send(&mut outbox, 10), [65_536]);
        outbox.rewind();
        outbox.unpark(|_| true);
        assert_eq!(send(&mut outbox, 10), [65_536]);
        outbox.done(65_536);
        assert_eq!(send(&mut outbox, 10), [1]);
    }

    #[test]
    fn qos_2_keeps_the_packet_id_until_pubcomp() {
        let mut outbox = Outbox::default();
        outbox.push(queued(), message(b"x"), true, 0, true);
        send(&mut outbox, 1);
        assert_eq!(outbox.received(1), Acknowledged::Received { stored: true });
        assert_eq!(outbox.done(1), Acknowledged::Unknown);
        assert_eq!(outbox.unreleased(), [1]);
        outbox.rewind();
        assert_eq!(
            send(&mut outbox, 10),
            [] as [u64; 0],
            "a received message is never sent again"
        );
        assert_eq!(outbox.completed(1), Acknowledged::Removed { stored: true });
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_was_in_flight_goes_first_after_a_reconnect_and_is_marked() {
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            outbox.push(queued(), message(b"x"), true, 0, true);
        }
        send(&mut outbox, 2);
        outbox.rewind();
        outbox.unpark(|_| true);
        let sent: Vec<(u64, bool)> =
            std::iter::from_fn(|| outbox.next(9).map(|(seq, e)| (seq, e.dup))).collect();
        assert_eq!(sent, [(1, true), (2, true), (3, false)]);
    }

    #[test]
    fn session_end_takes_the_queue_and_leaves_the_mailbox() {
        let mut outbox = Outbox::default();
        outbox.push(queued(), message(b"broadcast"), true, 0, true);
        outbox.push(OutboxKind::Inbox, message(b"directed"), true, 0, true);
        outbox.push(queued(), message(b"live only"), false, 0, true);
        send(&mut outbox, 9);
        assert_eq!(outbox.end_session(), [1]);
        assert_eq!((outbox.queued_messages(), outbox.queued_bytes()), (0, 0));
        assert_eq!(outbox.directed_messages(), 1);
        outbox.unpark(|_| true);
        assert_eq!(send(&mut outbox, 9), [2]);
    }

    #[test]
    fn what_was_revoked_in_flight_goes_with_the_session() {
        let mut outbox = Outbox::default();
        outbox.push(OutboxKind::Inbox, message(b"revoked"), true, 0, true);
        outbox.push(OutboxKind::Inbox, message(b"stands"), true, 0, true);
        send(&mut outbox, 9);
        outbox.revoke(1);
        outbox.rewind();
        outbox.unpark(|_| true);
        assert_eq!(send(&mut outbox, 9), [1, 2], "the session goes on");
        assert_eq!(outbox.end_session(), [1]);
        outbox.unpark(|_| true);
        assert_eq!(send(&mut outbox, 9), [2]);
    }

    #[test]
    fn parked_messages_wait_for_a_subscription_in_order() {
        let mut outbox = Outbox::default();
        outbox.push(OutboxKind::Inbox, message(b"1"), true, 0, false);
        outbox.push(OutboxKind::Inbox, message(b"2"), true, 0, true);
        assert_eq!(send(&mut outbox, 9), [2]);
        outbox.unpark(|_| true);
        assert_eq!(send(&mut outbox, 9), [1]);
    }
    #[test]
    fn what_the_gateway_has_for_an_agent_goes_ahead_of_mail_that_was_not_sent_yet() {
        let mut outbox = Outbox::default();
        for _ in 0..10_000 {
            outbox.push(OutboxKind::Inbox, message(b"bulk"), true, 0, true);
        }
        assert_eq!(send(&mut outbox, 1), [1]);
        outbox.push(reply(), message(b"first answer"), true, 0, true);
        outbox.push(queued(), message(b"broadcast"), true, 0, true);
        outbox.push(reply(), message(b"second answer"), true, 0, true);
        let mut order = Vec::new();
        for _ in 0..4 {
            let last = order.last().copied().unwrap_or(1);
            outbox.done(last);
            order.extend(send(&mut outbox, 1));
        }
        assert_eq!(order, [10_001, 10_003, 2, 3]);
    }

    #[test]
    fn what_was_sent_before_goes_again_in_the_order_in_which_it_was_sent() {
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            outbox.push(OutboxKind::Inbox, message(b"bulk"), true, 0, true);
        }
        assert_eq!(send(&mut outbox, 1), [1]);
        outbox.push(reply(), message(b"answer"), true, 0, true);
        assert_eq!(send(&mut outbox, 3), [4, 2]);
        outbox.rewind();
        outbox.push(reply(), message(b"late"), true, 0, false);
        outbox.unpark(|_| true);
        let again: Vec<(u64, bool)> =
            std::iter::from_fn(|| outbox.next(9).map(|(seq, e)| (seq, e.dup))).collect();
        let expected = [(1, true), (4, true), (2, true), (5, false), (3, false)];
        assert_eq!(again, expected);
        let sent = outbox.sent();
        assert_eq!((sent.directed, sent.bulk), (5, 3));
    }

    #[test]
    fn a_crash_keeps_what_was_not_sent_apart_and_answers_ahead() {
        let sent = SentMarks {
            directed: 2,
            bulk: 1,
        };
        let mut outbox = Outbox::default();
        for (seq, kind) in [
            (1, OutboxKind::Inbox),
            (2, reply()),
            (3, OutboxKind::Inbox),
            (4, reply()),
        ] {
            let dup = sent.covers(&kind, seq);
            outbox.restore(seq, kind, message(b"x"), dup);
        }
        outbox.unpark(|_| true);
        let sent: Vec<(u64, bool)> =
            std::iter::from_fn(|| outbox.next(9).map(|(seq, e)| (seq, e.dup))).collect();
        assert_eq!(sent, [(2, true), (4, false), (1, true), (3, false)]);
    }

    #[test]
    fn a_packet_id_that_is_taken_blocks_its_own_priority_alone() {
        let mut outbox = Outbox::default();
        outbox.push(OutboxKind::Inbox, message(b"1"), true, 0, true);
        outbox.push(OutboxKind::Inbox, message(b"2"), true, 0, true);
        assert_eq!(send(&mut outbox, 1), [1]);
        outbox.last_seq = 65_535;
        outbox.push(reply(), message(b"has the packet id of 1"), true, 0, true);
        assert_eq!(send(&mut outbox, 9), [2]);
        outbox.done(1);
        assert_eq!(send(&mut outbox, 9), [65_536]);
    }
}

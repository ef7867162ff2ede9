//! One bound on everything that waits: mailboxes, queues, and what each connection holds. Retained messages and blackboards have
//! budgets of their own.
//!
//! Whoever holds something for later says how much, and asks before it holds more. The figures are estimates that no lock
//! protects: the bound may be passed by what many did in the same moment, never by what they do afterwards. What is in memory
//! once and waits for several is counted for each of them.
//!
//! What is stored (mailboxes, queues) may fill three quarters of it, so that messages on their way get through
//! while somebody's mail lies for days.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::metrics::{Count, MetricSet, Per, Scrape, labels};

/// What a connection may hold each way though all is full: clients that take what they ask for do not suffer from others.
const SPARED_BYTES: usize = 16 * 1024;
/// Up to this a connection's holding is not counted: most hold something for a moment, over and over.
const UNCOUNTED_BYTES: usize = 4 * 1024;

labels! {
    /// Who holds.
    pub enum Holder by "holder" {
        /// Directed messages.
        Mailboxes = "mailboxes",
        /// Queues of persistent sessions and shared subscriptions.
        Sessions = "sessions",
        /// Publishes on their way to the desk.
        Requests = "requests",
        /// Packets that have not come whole, and QoS 2 packet ids, of connections.
        Incoming = "incoming",
        /// What waits for connections' sockets and windows.
        Outgoing = "outgoing",
        /// Wills of clients that are connected, or may come back in time.
        Wills = "wills",
        /// Filters in the indexes; an estimate.
        Subscriptions = "subscriptions",
        /// Answers to callers within the process, until they are on disk.
        Answers = "answers",
    }
}

/// The bound, how much of it is in use, and what came of reaching it. Shared by the desk and all connections.
#[derive(Debug)]
pub struct Memory {
    max: AtomicUsize,
    held: Per<Holder, AtomicUsize>,
    /// Publishes and commands refused (0x97, 429), and QoS 0 publishes for the desk dropped.
    pub refused: Count,
    /// Messages dropped that nobody could be refused: QoS 0 deliveries, and the gateway's own to persistent sessions.
    pub dropped: Count,
    /// Connections closed (0x97).
    pub closed: Count,
}

impl MetricSet for Memory {
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let help =
            "Bytes that wait, by what holds them; what waits for several is counted for each.";
        let held = Per::<Holder, usize>::new(|holder| self.held(holder));
        scrape.gauge("queued_bytes", help, &held)?;
        let help = "What came of reaching memory.max_queued.";
        let outcomes = [
            ("refused", self.refused.value()),
            ("dropped", self.dropped.value()),
            ("closed", self.closed.value()),
        ];
        scrape.counter("memory_refusals", help, &("outcome", outcomes))
    }
}

impl Memory {
    /// At most so many bytes.
    pub fn new(max: usize) -> Arc<Memory> {
        Arc::new(Memory {
            max: AtomicUsize::new(max),
            held: Per::default(),
            refused: Count::default(),
            dropped: Count::default(),
            closed: Count::default(),
        })
    }

    /// Without a bound, for tests of other things.
    #[cfg(test)]
    pub fn boundless() -> Arc<Memory> {
        Memory::new(usize::MAX)
    }

    /// Another bound from now on; what is held stays.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
    }

    fn max(&self) -> usize {
        self.max.load(Relaxed)
    }

    /// How many bytes one kind of holder holds.
    pub fn held(&self, holder: Holder) -> usize {
        self.held.of(holder).load(Relaxed)
    }

    /// How many bytes all hold.
    pub fn total(&self) -> usize {
        self.held.values().map(|held| held.load(Relaxed)).sum()
    }

    /// Whether nobody may hold more.
    pub fn is_full(&self) -> bool {
        self.total() >= self.max()
    }

    /// Whether so much may not be held for one client, unless it is little.
    pub fn refuses(&self, bytes: usize) -> bool {
        bytes > SPARED_BYTES && self.is_full()
    }

    /// Bytes that may still be stored.
    pub fn room_to_store(&self) -> usize {
        self.most_stored().saturating_sub(self.total())
    }

    /// What is stored may fill so many bytes.
    pub fn most_stored(&self) -> usize {
        self.max() - self.max() / 4
    }

    /// So much more is held.
    pub fn take(&self, holder: Holder, bytes: usize) {
        self.held.of(holder).fetch_add(bytes, Relaxed);
    }

    /// So much is held no longer.
    pub fn give_back(&self, holder: Holder, bytes: usize) {
        // Never below nothing: a figure that wrapped around would close the gateway to everybody.
        let less = |held: usize| Some(held.saturating_sub(bytes));
        let _ = self.held.of(holder).fetch_update(Relaxed, Relaxed, less);
    }
}

/// A holding of one thing; gone when the thing is.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    holder: Holder,
    bytes: usize,
}

impl Held {
    /// So much is held from now on.
    pub fn new(memory: &Arc<Memory>, holder: Holder, bytes: usize) -> Held {
        memory.take(holder, bytes);
        Held {
            memory: memory.clone(),
            holder,
            bytes,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.give_back(self.holder, self.bytes);
    }
}

/// A connection's part: told how much it holds, it keeps the sum right, also when the connection ends.
#[derive(Debug)]
pub struct Share {
    memory: Arc<Memory>,
    incoming: usize,
    outgoing: usize,
    full: bool,
}

impl Share {
    /// Of a connection that holds nothing yet.
    pub fn new(memory: Arc<Memory>) -> Share {
        Share {
            memory,
            incoming: 0,
            outgoing: 0,
            full: false,
        }
    }

    /// The bound that it is a part of.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Looks how things stand; the answers below are as of then. Once a round is often enough.
    pub fn look(&mut self) {
        self.full = self.memory.is_full();
    }

    /// Whether nobody may hold more.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// So much is held of what the client sent.
    pub fn set_incoming(&mut self, bytes: usize) {
        settle(
            &self.memory,
            Holder::Incoming,
            &mut self.incoming,
            counted(bytes),
        );
    }

    /// So much is held for the client.
    pub fn set_outgoing(&mut self, bytes: usize) {
        settle(
            &self.memory,
            Holder::Outgoing,
            &mut self.outgoing,
            counted(bytes),
        );
    }

    /// Whether a connection that holds so much in one direction may not hold more.
    pub fn is_refused(&self, bytes: usize) -> bool {
        self.full && bytes > SPARED_BYTES
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set_incoming(0);
        self.set_outgoing(0);
    }
}

fn counted(bytes: usize) -> usize {
    if bytes > UNCOUNTED_BYTES { bytes } else { 0 }
}

fn settle(memory: &Memory, holder: Holder, held: &mut usize, now: usize) {
    match now.cmp(held) {
        std::cmp::Ordering::Equal => return,
        std::cmp::Ordering::Greater => memory.take(holder, now - *held),
        std::cmp::Ordering::Less => memory.give_back(holder, *held - now),
    }
    *held = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn stored_messages_leave_a_quarter_for_what_is_on_its_way() {
        let memory = Memory::new(100 * KIB);
        memory.take(Holder::Mailboxes, 40 * KIB);
        memory.take(Holder::Wills, 30 * KIB);
        assert_eq!(memory.room_to_store(), 5 * KIB);
        memory.take(Holder::Sessions, 10 * KIB);
        assert_eq!(memory.room_to_store(), 0);
        assert!(!memory.is_full());
        memory.take(Holder::Outgoing, 20 * KIB);
        assert!(memory.is_full());
        memory.give_back(Holder::Mailboxes, 40 * KIB);
        assert_eq!(memory.room_to_store(), 15 * KIB);
    }

    #[test]
    fn a_connection_that_ends_gives_all_back() {
        let memory = Memory::new(100 * KIB);
        let mut share = Share::new(Arc::clone(&memory));
        share.set_incoming(50 * KIB);
        share.set_outgoing(60 * KIB);
        share.set_outgoing(10 * KIB);
        assert_eq!(memory.held(Holder::Incoming), 50 * KIB);
        assert_eq!(memory.held(Holder::Outgoing), 10 * KIB);
        share.set_outgoing(KIB);
        assert_eq!(memory.held(Holder::Outgoing), 0, "too little to count");
        drop(share);
        assert_eq!(memory.total(), 0);
    }

    #[test]
    fn who_holds_little_does_not_suffer_from_who_holds_much() {
        let memory = Memory::new(100 * KIB);
        memory.take(Holder::Outgoing, 100 * KIB);
        let mut share = Share::new(memory);
        share.look();
        assert!(share.is_full());
        assert!(!share.is_refused(SPARED_BYTES));
        assert!(share.is_refused(SPARED_BYTES + 1));
    }

    #[test]
    fn giving_back_too_much_leaves_nothing_rather_than_everything() {
        let memory = Memory::new(KIB);
        memory.take(Holder::Requests, 10);
        memory.give_back(Holder::Requests, 20);
        assert_eq!(memory.total(), 0);
    }
}

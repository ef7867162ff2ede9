//! One bound on everything that waits: mailboxes, queues, and what each connection holds. Retained
//! messages and blackboards have budgets of their own.
//!
//! Whoever holds something for later says how much, and asks before it holds more. The figures are
//! estimates that no lock protects: the bound may be passed by what many did in the same moment,
//! never by what they do afterwards. What is in memory once and waits for several is counted for
//! each of them.
//!
//! What is stored (mailboxes, queues) may fill three quarters of it, so that messages on their way
//! get through while somebody's mail lies for days.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::metrics::{MetricSet, Per, Scrape, labelled, labels};

/// What a connection may hold each way though all is full: clients that take what they ask for do
/// not suffer from others.
const SPARED_BYTES: usize = 16 * 1024;
/// Up to this a connection's holding is not counted: most hold something for a moment, over and
/// over.
const UNCOUNTED_BYTES: usize = 4 * 1024;

labels! {
    /// What bytes are held for.
    pub enum Account by "holder" {
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

labelled! {
    /// What came of reaching the bound.
    pub struct MemoryOutcomes by "outcome" {
        /// Publishes and commands refused (0x97, 429), and QoS 0 publishes for the desk dropped.
        refused,
        /// Messages dropped that nobody could be refused: QoS 0 deliveries, and the gateway's own
        /// to persistent sessions.
        dropped,
        /// Connections closed (0x97).
        closed,
    }
}

/// The bound, how much of it is in use, and what came of reaching it. Shared by the desk and all
/// connections.
#[derive(Debug)]
pub struct MemoryBudget {
    max: AtomicUsize,
    reserved: Per<Account, AtomicUsize>,
    /// What came of reaching the bound.
    pub outcomes: MemoryOutcomes,
}

impl MetricSet for MemoryBudget {
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let help =
            "Bytes that wait, by what holds them; what waits for several is counted for each.";
        let reserved = Per::<Account, usize>::new(|account| self.reserved(account));
        scrape.gauge("queued_bytes", help, &reserved)?;
        let help = "What came of reaching memory.max_queued.";
        scrape.counter("memory_refusals", help, &self.outcomes)
    }
}

impl MemoryBudget {
    /// At most so many bytes.
    pub fn new(max: usize) -> Arc<MemoryBudget> {
        Arc::new(MemoryBudget {
            max: AtomicUsize::new(max),
            reserved: Per::default(),
            outcomes: MemoryOutcomes::default(),
        })
    }

    /// Without a bound, for tests of other things.
    #[cfg(test)]
    pub fn boundless() -> Arc<MemoryBudget> {
        MemoryBudget::new(usize::MAX)
    }

    /// Another bound from now on; what is held stays.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
    }

    fn max(&self) -> usize {
        self.max.load(Relaxed)
    }

    /// How many bytes one account has.
    pub fn reserved(&self, account: Account) -> usize {
        self.reserved.of(account).load(Relaxed)
    }

    /// How many bytes all hold.
    pub fn total(&self) -> usize {
        self.reserved
            .values()
            .map(|reserved| reserved.load(Relaxed))
            .sum()
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
    pub fn reserve(&self, account: Account, bytes: usize) {
        self.reserved.of(account).fetch_add(bytes, Relaxed);
    }

    /// So much is held no longer.
    pub fn release(&self, account: Account, bytes: usize) {
        // Never below nothing: a figure that wrapped around would close the gateway to everybody.
        let less = |reserved: usize| Some(reserved.saturating_sub(bytes));
        let _ = self
            .reserved
            .of(account)
            .fetch_update(Relaxed, Relaxed, less);
    }
}

/// The bytes of one thing, counted as long as it lives.
#[derive(Debug)]
pub struct Reservation {
    memory: Arc<MemoryBudget>,
    account: Account,
    bytes: usize,
}

impl Reservation {
    /// So much is counted from now on.
    pub fn new(memory: &Arc<MemoryBudget>, account: Account, bytes: usize) -> Reservation {
        memory.reserve(account, bytes);
        Reservation {
            memory: memory.clone(),
            account,
            bytes,
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.release(self.account, self.bytes);
    }
}

/// A connection's part: told how much it holds, it keeps the sum right, also when the connection
/// ends.
#[derive(Debug)]
pub struct ConnectionShare {
    memory: Arc<MemoryBudget>,
    incoming: usize,
    outgoing: usize,
    full: bool,
}

impl ConnectionShare {
    /// Of a connection that holds nothing yet.
    pub fn new(memory: Arc<MemoryBudget>) -> ConnectionShare {
        ConnectionShare {
            memory,
            incoming: 0,
            outgoing: 0,
            full: false,
        }
    }

    /// The bound that it is a part of.
    pub fn memory(&self) -> &Arc<MemoryBudget> {
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
            Account::Incoming,
            &mut self.incoming,
            counted(bytes),
        );
    }

    /// So much is held for the client.
    pub fn set_outgoing(&mut self, bytes: usize) {
        settle(
            &self.memory,
            Account::Outgoing,
            &mut self.outgoing,
            counted(bytes),
        );
    }

    /// Whether a connection that holds so much in one direction may not hold more.
    pub fn is_refused(&self, bytes: usize) -> bool {
        self.full && bytes > SPARED_BYTES
    }
}

impl Drop for ConnectionShare {
    fn drop(&mut self) {
        self.set_incoming(0);
        self.set_outgoing(0);
    }
}

fn counted(bytes: usize) -> usize {
    if bytes > UNCOUNTED_BYTES { bytes } else { 0 }
}

fn settle(memory: &MemoryBudget, account: Account, reserved: &mut usize, now: usize) {
    match now.cmp(reserved) {
        std::cmp::Ordering::Equal => return,
        std::cmp::Ordering::Greater => memory.reserve(account, now - *reserved),
        std::cmp::Ordering::Less => memory.release(account, *reserved - now),
    }
    *reserved = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn stored_messages_leave_a_quarter_for_what_is_on_its_way() {
        let memory = MemoryBudget::new(100 * KIB);
        memory.reserve(Account::Mailboxes, 40 * KIB);
        memory.reserve(Account::Wills, 30 * KIB);
        assert_eq!(memory.room_to_store(), 5 * KIB);
        memory.reserve(Account::Sessions, 10 * KIB);
        assert_eq!(memory.room_to_store(), 0);
        assert!(!memory.is_full());
        memory.reserve(Account::Outgoing, 20 * KIB);
        assert!(memory.is_full());
        memory.release(Account::Mailboxes, 40 * KIB);
        assert_eq!(memory.room_to_store(), 15 * KIB);
    }

    #[test]
    fn a_connection_that_ends_gives_all_back() {
        let memory = MemoryBudget::new(100 * KIB);
        let mut share = ConnectionShare::new(Arc::clone(&memory));
        share.set_incoming(50 * KIB);
        share.set_outgoing(60 * KIB);
        share.set_outgoing(10 * KIB);
        assert_eq!(memory.reserved(Account::Incoming), 50 * KIB);
        assert_eq!(memory.reserved(Account::Outgoing), 10 * KIB);
        share.set_outgoing(KIB);
        assert_eq!(memory.reserved(Account::Outgoing), 0, "too little to count");
        drop(share);
        assert_eq!(memory.total(), 0);
    }

    #[test]
    fn who_holds_little_does_not_suffer_from_who_holds_much() {
        let memory = MemoryBudget::new(100 * KIB);
        memory.reserve(Account::Outgoing, 100 * KIB);
        let mut share = ConnectionShare::new(memory);
        share.look();
        assert!(share.is_full());
        assert!(!share.is_refused(SPARED_BYTES));
        assert!(share.is_refused(SPARED_BYTES + 1));
    }

    #[test]
    fn giving_back_too_much_leaves_nothing_rather_than_everything() {
        let memory = MemoryBudget::new(KIB);
        memory.reserve(Account::Requests, 10);
        memory.release(Account::Requests, 20);
        assert_eq!(memory.total(), 0);
    }
}

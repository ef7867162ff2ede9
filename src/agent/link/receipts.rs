//! Deliveries in hand, and the acknowledgements that they wait for.
//!
//! Handlers finish in any order; PUBACKs leave in the order in which the messages came
//! (MQTT-4.6.0-2). What was handled already, or is being handled, when the gateway sends it again
//! after a reconnect is not handed out a second time.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What came at QoS 1 and has no PUBACK yet. There cannot be more than the window, or than there
/// are packet identifiers.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    book: Mutex<ReceiptBook>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct ReceiptBook {
    held: HashMap<u16, HeldReceipt>,
    /// As they came on this connection.
    order: VecDeque<u16>,
    serial: u64,
    is_given_back: bool,
}

#[derive(Debug)]
struct HeldReceipt {
    /// Tells it from another message that has the same packet identifier later.
    serial: u64,
    is_done: bool,
}

impl Receipts {
    fn book(&self) -> MutexGuard<'_, ReceiptBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A delivery. `None` if it is in hand already.
    pub(super) fn receive(self: &Arc<Receipts>, packet_id: u16, dup: bool) -> Option<Ticket> {
        let mut book = self.book();
        let is_again = dup && book.held.contains_key(&packet_id);
        if !(dup && book.order.contains(&packet_id)) {
            book.order.push_back(packet_id);
        }
        if is_again {
            self.changed.notify_one();
            return None;
        }
        book.serial += 1;
        let serial = book.serial;
        let is_done = false;
        book.held.insert(packet_id, HeldReceipt { serial, is_done });
        Some(Ticket {
            receipts: self.clone(),
            packet_id,
            serial,
            shares: Arc::new(AtomicUsize::new(1)),
            is_acked: false,
        })
    }

    /// Takes out what is to be acknowledged now, in this order.
    pub(super) fn due(&self) -> Vec<u16> {
        let mut book = self.book();
        let mut due = Vec::new();
        while let Some(first) = book.order.front().copied() {
            match book.held.get(&first) {
                Some(held) if !held.is_done => break,
                _ => {
                    book.held.remove(&first);
                    book.order.pop_front();
                    due.push(first);
                }
            }
        }
        due
    }

    /// A new connection. With a new session all that was in hand comes again, as new.
    pub(super) fn reconnected(&self, resumed: bool) {
        let mut book = self.book();
        book.order.clear();
        book.is_given_back = false;
        if !resumed {
            book.held.clear();
        }
    }

    /// Waits for the next change.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether somebody let go of a delivery without handling it. MQTT has no way to give one back
    /// but to begin a new session: then it is in the mailbox again.
    pub(super) fn is_given_back(&self) -> bool {
        self.book().is_given_back
    }

    pub(super) fn len(&self) -> usize {
        self.book().held.len()
    }

    fn finish(&self, packet_id: u16, serial: u64) {
        let mut book = self.book();
        let held = book.held.get_mut(&packet_id);
        if let Some(held) = held.filter(|held| held.serial == serial) {
            held.is_done = true;
            if book.order.front() == Some(&packet_id) {
                self.changed.notify_one();
            }
        }
    }

    fn give_back(&self, packet_id: u16, serial: u64) {
        let mut book = self.book();
        if book
            .held
            .get(&packet_id)
            .is_some_and(|held| held.serial == serial)
        {
            book.is_given_back = true;
            self.changed.notify_one();
        }
    }
}

/// The duty to acknowledge one delivery. Dropped without [`Ticket::ack`], the delivery goes back to
/// the mailbox.
#[derive(Debug)]
pub(in crate::agent) struct Ticket {
    receipts: Arc<Receipts>,
    packet_id: u16,
    serial: u64,
    /// How many have to acknowledge it still.
    shares: Arc<AtomicUsize>,
    is_acked: bool,
}

impl Ticket {
    /// It was handled.
    pub(in crate::agent) fn ack(mut self) {
        self.is_acked = true;
        if self.shares.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.receipts.finish(self.packet_id, self.serial);
        }
    }

    /// Another one of the same delivery: it is acknowledged when all are.
    pub(super) fn share(&self) -> Ticket {
        self.shares.fetch_add(1, Ordering::AcqRel);
        Ticket {
            receipts: self.receipts.clone(),
            packet_id: self.packet_id,
            serial: self.serial,
            shares: self.shares.clone(),
            is_acked: false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_acked {
            self.receipts.give_back(self.packet_id, self.serial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts() -> Arc<Receipts> {
        Arc::default()
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_receipt() {
        let receipts = receipts();
        let tickets: Vec<Ticket> = (1..=3)
            .filter_map(|id| receipts.receive(id, false))
            .collect();
        let [first, second, third]: [Ticket; 3] = tickets.try_into().expect("three");
        third.ack();
        second.ack();
        assert!(receipts.due().is_empty(), "the first is in hand");
        first.ack();
        assert_eq!(receipts.due(), [1, 2, 3]);
        assert_eq!(receipts.len(), 0);
    }

    #[test]
    fn what_is_in_hand_when_it_comes_again_is_handed_out_once() {
        let receipts = receipts();
        let ticket = receipts.receive(7, false).expect("new");
        receipts.reconnected(true);
        assert!(receipts.receive(7, true).is_none());
        assert!(receipts.due().is_empty());
        ticket.ack();
        assert_eq!(receipts.due(), [7]);
    }

    #[test]
    fn what_was_handled_while_there_was_no_connection_is_acknowledged_when_it_comes_again() {
        let receipts = receipts();
        let ticket = receipts.receive(7, false).expect("new");
        receipts.reconnected(true);
        ticket.ack();
        assert!(receipts.due().is_empty(), "not before it came on this one");
        assert!(receipts.receive(7, true).is_none());
        assert_eq!(receipts.due(), [7]);
    }

    #[test]
    fn a_ticket_of_an_earlier_session_acknowledges_nothing() {
        let receipts = receipts();
        let old = receipts.receive(7, false).expect("new");
        receipts.reconnected(false);
        let new = receipts.receive(7, false).expect("another message");
        old.ack();
        assert!(receipts.due().is_empty());
        assert!(!receipts.is_given_back());
        drop(new);
        assert!(receipts.is_given_back());
    }

    #[test]
    fn a_shared_delivery_is_acknowledged_when_all_have_it() {
        let receipts = receipts();
        let one = receipts.receive(1, false).expect("new");
        let other = one.share();
        one.ack();
        assert!(receipts.due().is_empty());
        other.ack();
        assert_eq!(receipts.due(), [1]);
    }
}

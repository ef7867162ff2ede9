//! Deliveries in hand, and the acknowledgements that they wait for.
//!
//! Handlers finish in any order; PUBACKs leave in the order in which the messages came
//! (MQTT-4.6.0-2). What was handled already, or is being handled, when the gateway sends it again
//! after a reconnect is not handed out a second time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
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
    /// By packet identifier.
    held: BTreeMap<u16, HeldReceipt>,
    /// Of earlier sessions, or set aside: it comes again under another identifier.
    known: Vec<HeldReceipt>,
    /// As they came on this connection.
    order: VecDeque<u16>,
    serial: u64,
}

/// One delivery.
#[derive(Debug)]
struct HeldReceipt {
    /// Which ticket is its.
    serial: u64,
    stage: HeldStage,
    topic: Arc<str>,
    payload: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldStage {
    InHand,
    Done,
    /// Let go of without being handled.
    GivenBack,
}

impl ReceiptBook {
    fn find(&mut self, serial: u64) -> Option<&mut HeldReceipt> {
        let mut all = self.held.values_mut().chain(&mut self.known);
        all.find(|held| held.serial == serial)
    }

    /// What comes again of what we know. What was sent after something that we know and has come
    /// before it says that this will not come.
    fn recall(&mut self, topic: &str, payload: &Bytes) -> Option<HeldReceipt> {
        let is_it = |held: &HeldReceipt| *held.topic == *topic && held.payload == *payload;
        match self.known.iter().position(is_it) {
            Some(at) => Some(self.known.remove(at)),
            None => {
                let is_done = |held: &HeldReceipt| held.stage == HeldStage::Done;
                self.known
                    .retain(|held| *held.topic != *topic || !is_done(held));
                None
            }
        }
    }
}

impl Receipts {
    fn book(&self) -> MutexGuard<'_, ReceiptBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A delivery. `None` if it is in hand already, or was.
    pub(super) fn receive(
        self: &Arc<Receipts>,
        packet_id: u16,
        dup: bool,
        topic: &Arc<str>,
        payload: &Bytes,
    ) -> Option<Ticket> {
        let mut book = self.book();
        if !(dup && book.order.contains(&packet_id)) {
            book.order.push_back(packet_id);
        }
        let is_again = dup && book.held.contains_key(&packet_id);
        let known = if is_again {
            None
        } else {
            book.recall(topic, payload)
        };
        if is_again || known.is_some() {
            book.held.extend(known.map(|known| (packet_id, known)));
            self.changed.notify_one();
            return None;
        }
        book.serial += 1;
        let serial = book.serial;
        let held = HeldReceipt {
            serial,
            stage: HeldStage::InHand,
            topic: topic.clone(),
            payload: payload.clone(),
        };
        book.held.insert(packet_id, held);
        Some(Ticket {
            receipts: self.clone(),
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
            let held = book.held.get(&first);
            if held.is_some_and(|held| held.stage != HeldStage::Done) {
                break;
            }
            book.held.remove(&first);
            book.order.pop_front();
            due.push(first);
        }
        due
    }

    /// A new connection. With a new session all that is in hand comes again, as new; with the old
    /// one what is on these topics does, because it was unsubscribed from.
    pub(super) fn reconnected(&self, resumed: bool, is_aside: impl Fn(&str) -> bool) {
        let mut book = self.book();
        book.order.clear();
        let held = std::mem::take(&mut book.held);
        for (packet_id, held) in held {
            if held.stage == HeldStage::GivenBack {
                continue;
            }
            if resumed && !is_aside(&held.topic) {
                book.held.insert(packet_id, held);
            } else {
                book.known.push(held);
            }
        }
    }

    /// Waits for the next change.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether somebody let go of a delivery without handling it. MQTT has no way to give one back
    /// but to begin a new session: then it is in the mailbox again.
    pub(super) fn is_given_back(&self) -> bool {
        let book = self.book();
        let mut held = book.held.values();
        held.any(|held| held.stage == HeldStage::GivenBack)
    }

    /// Deliveries that take a place in the window.
    pub(super) fn len(&self) -> usize {
        self.book().held.len()
    }

    /// The topics of what takes a place in the window.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        let book = self.book();
        book.held.values().map(|held| held.topic.clone()).collect()
    }

    /// Whether nothing that was set aside is being handled any more.
    pub(super) fn is_aside_done(&self) -> bool {
        let book = self.book();
        let mut known = book.known.iter();
        known.all(|known| known.stage == HeldStage::Done)
    }

    fn become_stage(&self, serial: u64, stage: HeldStage) {
        let mut book = self.book();
        if let Some(held) = book.find(serial) {
            held.stage = stage;
        }
        // What was set aside and is let go of comes again as new.
        book.known
            .retain(|known| known.stage != HeldStage::GivenBack);
        self.changed.notify_one();
    }
}

/// The duty to acknowledge one delivery. Dropped without [`Ticket::ack`], the delivery goes back to
/// the mailbox.
#[derive(Debug)]
pub(in crate::agent) struct Ticket {
    receipts: Arc<Receipts>,
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
            self.receipts.become_stage(self.serial, HeldStage::Done);
        }
    }

    /// Another one of the same delivery: it is acknowledged when all are.
    pub(super) fn share(&self) -> Ticket {
        self.shares.fetch_add(1, Ordering::AcqRel);
        Ticket {
            receipts: self.receipts.clone(),
            serial: self.serial,
            shares: self.shares.clone(),
            is_acked: false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_acked {
            self.receipts
                .become_stage(self.serial, HeldStage::GivenBack);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts() -> Arc<Receipts> {
        Arc::default()
    }

    /// Each message has its identifier for its contents.
    fn receive(receipts: &Arc<Receipts>, id: u16, dup: bool) -> Option<Ticket> {
        receive_as(receipts, id, dup, &id.to_string())
    }

    fn receive_as(receipts: &Arc<Receipts>, id: u16, dup: bool, text: &str) -> Option<Ticket> {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        receipts.receive(id, dup, &"inbox".into(), &payload)
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_receipt() {
        let receipts = receipts();
        let tickets: Vec<Ticket> = (1..=3)
            .filter_map(|id| receive(&receipts, id, false))
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
        let ticket = receive(&receipts, 7, false).expect("new");
        receipts.reconnected(true, |_| false);
        assert!(receive(&receipts, 7, true).is_none());
        assert!(receipts.due().is_empty());
        ticket.ack();
        assert_eq!(receipts.due(), [7]);
    }

    #[test]
    fn what_was_handled_while_there_was_no_connection_is_acknowledged_when_it_comes_again() {
        let receipts = receipts();
        let ticket = receive(&receipts, 7, false).expect("new");
        receipts.reconnected(true, |_| false);
        ticket.ack();
        assert!(receipts.due().is_empty(), "not before it came on this one");
        assert!(receive(&receipts, 7, true).is_none());
        assert_eq!(receipts.due(), [7]);
    }

    #[test]
    fn in_a_new_session_what_is_known_comes_under_another_identifier_and_is_handed_out_once() {
        let receipts = receipts();
        let (first, second) = (receive(&receipts, 7, false), receive(&receipts, 8, false));
        first.expect("new").ack();
        receipts.reconnected(false, |_| false);
        assert!(receive_as(&receipts, 1, false, "7").is_none());
        assert!(receive_as(&receipts, 2, false, "8").is_none());
        assert_eq!(receipts.due(), [1]);
        second.expect("new").ack();
        assert_eq!(receipts.due(), [2]);
        assert!(
            receive_as(&receipts, 3, false, "8").is_some(),
            "another one like it"
        );
    }

    #[test]
    fn what_is_let_go_of_is_not_acknowledged_and_comes_again_as_new() {
        let receipts = receipts();
        drop(receive(&receipts, 7, false));
        assert!(receipts.is_given_back());
        assert!(receipts.due().is_empty());
        receipts.reconnected(false, |_| false);
        assert!(!receipts.is_given_back());
        assert!(receive(&receipts, 7, false).is_some());
    }

    #[test]
    fn what_was_handled_and_does_not_come_again_is_forgotten_with_the_next_message() {
        let receipts = receipts();
        receive(&receipts, 7, false).expect("new").ack();
        receipts.reconnected(false, |_| false);
        assert!(receive_as(&receipts, 1, false, "other").is_some());
        assert!(
            receive_as(&receipts, 2, false, "7").is_some(),
            "another one like it"
        );
    }

    #[test]
    fn what_is_set_aside_takes_no_place_in_the_window() {
        let receipts = receipts();
        let ticket = receive(&receipts, 7, false).expect("new");
        receipts.reconnected(true, |topic| topic == "inbox");
        assert_eq!(receipts.len(), 0);
        assert!(!receipts.is_aside_done());
        ticket.ack();
        assert!(receipts.is_aside_done());
        assert!(receive_as(&receipts, 1, false, "7").is_none());
        assert_eq!(receipts.due(), [1]);
    }

    #[test]
    fn a_shared_delivery_is_acknowledged_when_all_have_it() {
        let receipts = receipts();
        let one = receive(&receipts, 1, false).expect("new");
        let other = one.share();
        one.ack();
        assert!(receipts.due().is_empty());
        other.ack();
        assert_eq!(receipts.due(), [1]);
    }
}

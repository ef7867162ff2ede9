//! What one link is subscribed to: which subscription a message came by, whether it is the first
//! copy of its frame, and how many messages were jumped over. Bookkeeping only; owned by a
//! [`LiveSubscriber`](super::Subscriber).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{self, FrameId};
use super::topics::{self, PREFIX_LEN};
use super::traffic::WantedFilter;
use crate::slack::Slack;

/// Frames remembered because another copy of them is due. A subscription ahead of an overlapping
/// one by more than this many common frames makes the oldest forgotten, and its late copy is handed
/// out again.
pub(super) const OVERLAPS_REMEMBERED: usize = 8192;

/// The subscriptions of one link, by slot. A slot number is never used again on the same link, so
/// what is still on its way when a filter is dropped is recognised.
#[derive(Default)]
pub(super) struct LinkSubscriptions {
    /// In ascending order of slot.
    entries: Vec<LinkSubscription>,
    next_slot: u32,
    seen: DueCopies,
    missed: u64,
}

struct LinkSubscription {
    slot: u32,
    wanted: Arc<WantedFilter>,
    /// Where the next message of this filter's log should be; unknown until the first.
    expected: Option<u64>,
    /// How many other filters of this link have a topic in common with this one.
    overlaps: usize,
    confirmation: Confirmation,
}

/// How far the router has answered a subscription request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confirmation {
    Unasked,
    Due { packet_id: u16 },
    Received,
}

impl LinkSubscriptions {
    /// The slot of a new subscription, or `None` if the filter is there already.
    pub(super) fn add(&mut self, wanted: &Arc<WantedFilter>) -> Option<u32> {
        if self.contains(&wanted.filter) {
            return None;
        }
        let slot = self.next_slot;
        self.next_slot += 1;
        let (expected, confirmation) = (None, Confirmation::Unasked);
        let overlaps = self
            .overlapping(&wanted.filter)
            .map(|entry| entry.overlaps += 1)
            .count();
        self.entries.push(LinkSubscription {
            slot,
            wanted: Arc::clone(wanted),
            expected,
            overlaps,
            confirmation,
        });
        Some(slot)
    }

    pub(super) fn remove(&mut self, filter: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.wanted.filter != filter);
        let removed = self.entries.len() < before;
        if removed {
            self.overlapping(filter)
                .for_each(|entry| entry.overlaps -= 1);
        }
        removed
    }

    /// Notes the packet id under which the router will confirm the slot.
    pub(super) fn asked(&mut self, slot: u32, packet_id: u16) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.slot == slot) {
            entry.confirmation = Confirmation::Due { packet_id };
        }
    }

    pub(super) fn confirm(&mut self, packet_id: u16) {
        let due = Confirmation::Due { packet_id };
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.confirmation == due)
        {
            entry.confirmation = Confirmation::Received;
        }
    }

    pub(super) fn confirmed(&self, filter: &str) -> bool {
        self.entries.iter().any(|entry| {
            entry.wanted.filter == filter && entry.confirmation == Confirmation::Received
        })
    }

    pub(super) fn all_confirmed(&self) -> bool {
        self.entries
            .iter()
            .all(|entry| entry.confirmation == Confirmation::Received)
    }

    fn contains(&self, filter: &str) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.wanted.filter == filter)
    }

    pub(super) fn filters(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .map(|entry| entry.wanted.filter.as_str())
    }

    /// Takes in a message; gives back its frame unless a copy of it was given before or nobody
    /// asked for it any more.
    pub(super) fn accept(
        &mut self,
        slot: u32,
        offset: u64,
        topic: &[u8],
        payload: &Bytes,
    ) -> Option<Bytes> {
        let at = self
            .entries
            .binary_search_by_key(&slot, |entry| entry.slot)
            .ok()?;
        let entry = &mut self.entries[at];
        if let Some(expected) = entry.expected {
            self.missed += offset.saturating_sub(expected);
        }
        entry.expected = Some(offset + 1);
        entry.wanted.take((topic.len() + payload.len()) as u64);
        let overlapped = entry.overlaps > 0;
        let (id, frame) = frame::open(payload)?;
        if !overlapped && self.seen.is_empty() {
            return Some(frame);
        }
        let copies = if overlapped { self.copies(topic) } else { 1 };
        self.seen.first_copy(id, copies).then_some(frame)
    }

    /// Messages jumped over since the last call.
    pub(super) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// The lag of the filter that lags most, in bytes.
    pub(super) fn lag(&self) -> u64 {
        self.entries
            .iter()
            .filter(|entry| entry.wanted.reliable())
            .map(|entry| entry.wanted.lag())
            .max()
            .unwrap_or(0)
    }

    /// Notes that everything sent so far has been taken.
    pub(super) fn catch_up(&self) {
        self.entries
            .iter()
            .for_each(|entry| entry.wanted.catch_up());
    }

    /// Times the memory of copies overflowed, since the last call.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.seen.forgotten)
    }

    fn copies(&self, topic: &[u8]) -> usize {
        let topic = topic
            .get(PREFIX_LEN..)
            .and_then(|topic| std::str::from_utf8(topic).ok())
            .unwrap_or_default();
        self.entries
            .iter()
            .filter(|entry| topics::matches(&entry.wanted.filter, topic))
            .count()
    }

    /// The entries that have a topic in common with a filter. Each is looked at once: a client may
    /// have very many.
    fn overlapping<'a>(
        &'a mut self,
        filter: &'a str,
    ) -> impl Iterator<Item = &'a mut LinkSubscription> {
        self.entries
            .iter_mut()
            .filter(move |entry| topics::overlap(filter, &entry.wanted.filter))
    }
}

/// Frames whose other copies are still due.
#[derive(Debug, Default)]
struct DueCopies {
    due: HashMap<FrameId, usize>,
    /// Ids in the order in which they came; some are no longer due.
    order: VecDeque<FrameId>,
    forgotten: u64,
}

impl DueCopies {
    fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Whether this is the first copy of the frame, of which `copies` are to come in all.
    fn first_copy(&mut self, id: FrameId, copies: usize) -> bool {
        if let Some(due) = self.due.get_mut(&id) {
            *due -= 1;
            if *due == 0 {
                self.due.remove(&id);
                self.give_back();
            }
            return false;
        }
        if copies > 1 {
            if self.order.len() == OVERLAPS_REMEMBERED
                && self
                    .order
                    .pop_front()
                    .is_some_and(|oldest| self.due.remove(&oldest).is_some())
            {
                self.forgotten += 1;
            }
            self.order.push_back(id);
            self.due.insert(id, copies - 1);
        }
        true
    }

    fn give_back(&mut self) {
        if self.due.is_empty() {
            self.order.clear();
        }
        self.order.give_back();
        self.due.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Draft;
    use super::*;

    fn add(table: &mut LinkSubscriptions, filter: &str) -> Option<u32> {
        table.add(&Arc::new(WantedFilter::new(filter, Arc::default())))
    }

    fn deliver(
        table: &mut LinkSubscriptions,
        slot: u32,
        offset: u64,
        topic: &str,
        position: u64,
    ) -> bool {
        let sealed = Draft::new(topic, b"x", false).seal(1, position);
        table
            .accept(slot, offset, &sealed.topic, &sealed.payload)
            .is_some()
    }

    #[test]
    fn only_the_first_copy_of_an_overlap_counts() {
        let mut table = LinkSubscriptions::default();
        let (a, b, c) = (
            add(&mut table, "a/#").unwrap(),
            add(&mut table, "+/b").unwrap(),
            add(&mut table, "c").unwrap(),
        );
        assert_eq!(add(&mut table, "c"), None);
        assert!(deliver(&mut table, a, 0, "a/b", 1));
        assert!(deliver(&mut table, a, 1, "a/x", 2));
        assert!(!deliver(&mut table, b, 0, "a/b", 1));
        assert!(deliver(&mut table, c, 0, "c", 3));
        assert!(table.seen.is_empty());
    }

    #[test]
    fn a_late_copy_is_recognised_after_the_other_filter_is_gone() {
        let mut table = LinkSubscriptions::default();
        let (a, b) = (
            add(&mut table, "a/#").unwrap(),
            add(&mut table, "a/b").unwrap(),
        );
        assert!(deliver(&mut table, a, 0, "a/b", 1));
        table.remove("a/#");
        assert!(
            !deliver(&mut table, a, 1, "a/x", 2),
            "nobody asks for it any more"
        );
        assert!(!deliver(&mut table, b, 0, "a/b", 1));
        assert!(deliver(&mut table, b, 1, "a/b", 3));
    }

    #[test]
    fn a_gap_in_the_log_is_counted_once() {
        let mut table = LinkSubscriptions::default();
        let slot = add(&mut table, "a").unwrap();
        deliver(&mut table, slot, 40, "a", 1);
        deliver(&mut table, slot, 41, "a", 2);
        deliver(&mut table, slot, 50, "a", 3);
        assert_eq!(table.take_missed(), 8);
        assert_eq!(table.take_missed(), 0);
    }

    #[test]
    fn memory_of_copies_is_bounded_and_its_loss_counted() {
        let mut table = LinkSubscriptions::default();
        let (a, b) = (
            add(&mut table, "a/#").unwrap(),
            add(&mut table, "a/b").unwrap(),
        );
        let limit = OVERLAPS_REMEMBERED as u64;
        for n in 0..=limit {
            assert!(deliver(&mut table, a, n, "a/b", n));
        }
        assert_eq!(table.take_forgotten(), 1);
        assert!(
            deliver(&mut table, b, 0, "a/b", 0),
            "forgotten, so it comes twice"
        );
        assert!(!deliver(&mut table, b, limit, "a/b", limit));
    }
}

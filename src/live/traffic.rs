//! How much was sent to a filter against how much each of its reliable readers has taken.
//!
//! The router says nothing of a reader's backlog, and a log that outgrows its limit drops the
//! oldest; so publishers count what they send to each filter, readers what they take, and the
//! difference tells publishers to wait in time. The counts drift by what is on its way when a
//! reader begins; a reader that is found to have caught up resets them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::subscriber_slot::SubscriberSlot;

/// A filter is looked at each time that this fraction of the tolerated lag has been sent to it.
const CHECKS_PER_LAG: u64 = 8;

/// Reliable readers of a filter by the id of their slot.
type Readers = HashMap<u64, (Arc<SubscriberSlot>, Arc<WantedFilter>)>;

/// What was sent to one filter, whoever subscribes it.
#[derive(Default)]
pub(super) struct Traffic {
    sent: AtomicU64,
    check_at: AtomicU64,
    readers: Mutex<Readers>,
}

/// One subscriber's wish for one filter.
pub(super) struct WantedFilter {
    pub(super) filter: String,
    traffic: Arc<Traffic>,
    taken: AtomicU64,
    reliable: AtomicBool,
}

impl Traffic {
    /// Counts `bytes` more. Returns the reliable readers that are behind by more than `tolerated`
    /// bytes, if it was time to look.
    pub(super) fn send(&self, bytes: u64, tolerated: u64) -> Vec<Arc<SubscriberSlot>> {
        let sent = self.sent.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if sent < self.check_at.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.check_at
            .store(sent + tolerated / CHECKS_PER_LAG, Ordering::Relaxed);
        let readers = self.readers();
        let behind = readers
            .values()
            .filter(|(_, wanted)| wanted.lag() > tolerated);
        behind.map(|(slot, _)| Arc::clone(slot)).collect()
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WantedFilter {
    pub(super) fn new(filter: &str, traffic: Arc<Traffic>) -> Self {
        let taken = AtomicU64::new(traffic.sent.load(Ordering::Relaxed));
        Self {
            filter: filter.to_owned(),
            traffic,
            taken,
            reliable: AtomicBool::new(false),
        }
    }

    /// Has publishers watch this reader's lag from now on.
    pub(super) fn rely(self: &Arc<Self>, slot: &Arc<SubscriberSlot>) {
        self.reliable.store(true, Ordering::SeqCst);
        self.catch_up();
        self.traffic
            .readers()
            .insert(slot.id(), (Arc::clone(slot), Arc::clone(self)));
    }

    /// Ends the watch. Not to be forgotten: the traffic and this hold on to each other.
    pub(super) fn leave(&self, slot: &SubscriberSlot) {
        self.traffic.readers().remove(&slot.id());
    }

    pub(super) fn reliable(&self) -> bool {
        self.reliable.load(Ordering::SeqCst)
    }

    /// Counts bytes taken.
    pub(super) fn take(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes sent and not taken, about.
    pub(super) fn lag(&self) -> u64 {
        self.traffic
            .sent
            .load(Ordering::Relaxed)
            .saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Notes that the reader has taken everything.
    pub(super) fn catch_up(&self) {
        self.taken
            .store(self.traffic.sent.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

//! A subscriber's place on the plane, shared between the subscriber and whoever acts on its behalf: the supervisor,
//! which leaves a new link here when a router is replaced, and publishers, which tell it that it is too slow.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::attachment::Attachment;
use super::topics;

/// A link to a newer router, already subscribed, with what came while that was done.
pub(super) struct Replacement {
    pub(super) attachment: Attachment,
    pub(super) early: VecDeque<Bytes>,
}

pub(super) struct Seat {
    id: u64,
    filters: Mutex<Vec<String>>,
    replacement: Mutex<Option<Replacement>>,
    too_slow: AtomicBool,
    /// Wakes the one subscriber that owns this seat.
    changed: Notify,
}

impl Seat {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            filters: Mutex::default(),
            replacement: Mutex::default(),
            too_slow: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The filters that the subscriber wants, whatever its link has of them.
    pub(super) fn filters(&self) -> MutexGuard<'_, Vec<String>> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wants_any(&self, topics: &[&str]) -> bool {
        let filters = self.filters();
        topics
            .iter()
            .any(|topic| filters.iter().any(|filter| topics::matches(filter, topic)))
    }

    pub(super) fn offer(&self, replacement: Replacement) {
        *self.replacement() = Some(replacement);
        self.changed.notify_one();
    }

    pub(super) fn take_replacement(&self) -> Option<Replacement> {
        self.replacement().take()
    }

    pub(super) fn tell_too_slow(&self) {
        self.too_slow.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(super) fn take_too_slow(&self) -> bool {
        self.too_slow.load(Ordering::Relaxed) && self.too_slow.swap(false, Ordering::SeqCst)
    }

    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits for an offer, a word about slowness or a wake-up. Cancel-safe: none of them is lost.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn replacement(&self) -> MutexGuard<'_, Option<Replacement>> {
        self.replacement
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

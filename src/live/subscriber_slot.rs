//! A subscriber's place on the plane, shared between the subscriber and whoever acts on its behalf:
//! the supervisor, which leaves a new link here when a router is replaced, and publishers, which
//! tell it that it is too slow.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::attachment::Attachment;
use super::topics;
use super::traffic::WantedFilter;

/// A link to a newer router, already subscribed, with what came while that was done.
pub(super) struct Replacement {
    pub(super) attachment: Attachment,
    pub(super) early: VecDeque<Bytes>,
}

pub(super) struct SubscriberSlot {
    id: u64,
    filters: Mutex<Vec<Arc<WantedFilter>>>,
    replacement: Mutex<Option<Replacement>>,
    too_slow: AtomicBool,
    /// Publishers found this subscriber far behind.
    behind: AtomicBool,
    /// The subscriber is gone for good.
    closed: AtomicBool,
    /// Wakes the one subscriber that owns this slot.
    changed: Notify,
}

impl SubscriberSlot {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            filters: Mutex::default(),
            replacement: Mutex::default(),
            too_slow: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The filters that the subscriber wants, whatever its link has of them.
    pub(super) fn filters(&self) -> MutexGuard<'_, Vec<Arc<WantedFilter>>> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of the filters, or of those that it relies on, selects one of the topics.
    pub(super) fn wants_any(&self, topics: &[&str], relied_on_only: bool) -> bool {
        let filters = self.filters();
        let mut filters = filters
            .iter()
            .filter(|wanted| !relied_on_only || wanted.reliable());
        filters.any(|wanted| {
            topics
                .iter()
                .any(|topic| topics::matches(&wanted.filter, topic))
        })
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::SeqCst)
    }

    pub(super) fn set_behind(&self, behind: bool) {
        if self.behind.swap(behind, Ordering::SeqCst) != behind && behind {
            self.changed.notify_one();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
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

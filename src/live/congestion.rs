//! Subscribers that cannot keep up hold back the publishers of what they listen to.
//!
//! A subscriber is congested while its session says so, or while publishers find it far behind in
//! the log of a filter that it relies on. A publisher asks here before each batch of reliable
//! frames, and waits while one of their topics belongs to a congested subscriber. Whoever makes a
//! publisher wait beyond patience is told that it is too slow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::stats::LiveStats;
use super::subscriber_slot::SubscriberSlot;

pub(super) struct Congestion {
    slow_consumer_timeout: Duration,
    counters: Arc<LiveStats>,
    /// Length of `slots`, so that a publisher who finds nobody congested takes no lock.
    congested: AtomicUsize,
    slots: Mutex<HashMap<u64, Congested>>,
    changed: Notify,
}

struct Congested {
    slot: Arc<SubscriberSlot>,
    /// Its session says so: all its filters count.
    by_session: bool,
    /// Publishers say so: the filters that it relies on count.
    behind: bool,
    /// When the first publisher began to wait for it.
    blocking_since: Option<Instant>,
}

impl Congested {
    fn listens_to_any(&self, topics: &[&str]) -> bool {
        self.slot.wants_any(topics, !self.by_session)
    }
}

impl Congestion {
    pub(super) fn new(slow_consumer_timeout: Duration, counters: Arc<LiveStats>) -> Self {
        let (congested, slots, changed) = (AtomicUsize::new(0), Mutex::default(), Notify::new());
        Self {
            slow_consumer_timeout,
            counters,
            congested,
            slots,
            changed,
        }
    }

    /// The session's word.
    pub(super) fn set_by_session(&self, slot: &Arc<SubscriberSlot>, congested: bool) {
        if !congested && self.congested.load(Ordering::SeqCst) == 0 {
            return; // the usual case takes no lock
        }
        self.update(slot, |entry| entry.by_session = congested);
    }

    /// The publishers' word, and the subscriber's once it has caught up.
    pub(super) fn set_behind(&self, slot: &Arc<SubscriberSlot>, behind: bool) {
        self.update(slot, |entry| {
            entry.behind = behind;
            entry.slot.set_behind(behind);
        });
    }

    /// Forgets a subscriber.
    pub(super) fn leave(&self, slot: &Arc<SubscriberSlot>) {
        self.update(slot, |entry| {
            (entry.by_session, entry.behind) = (false, false);
            entry.slot.set_behind(false);
        });
    }

    fn update(&self, slot: &Arc<SubscriberSlot>, change: impl FnOnce(&mut Congested)) {
        let mut slots = self.slots();
        let entry = slots.entry(slot.id()).or_insert_with(|| Congested {
            slot: Arc::clone(slot),
            by_session: false,
            behind: false,
            blocking_since: None,
        });
        change(entry);
        // A publisher may still find a subscriber behind that has just gone.
        if (entry.by_session || entry.behind) && !slot.is_closed() {
            self.congested.store(slots.len(), Ordering::SeqCst);
            return;
        }
        slots.remove(&slot.id());
        self.congested.store(slots.len(), Ordering::SeqCst);
        drop(slots);
        self.changed.notify_waiters();
    }

    /// Whether a congested subscriber listens to one of the topics.
    pub(super) fn blocks<'t>(&self, topics: impl Iterator<Item = &'t str>) -> bool {
        self.congested.load(Ordering::SeqCst) > 0 && {
            let topics: Vec<&str> = topics.collect();
            self.slots()
                .values()
                .any(|congested| congested.listens_to_any(&topics))
        }
    }

    /// Waits until no congested subscriber listens to any of the topics.
    pub(super) async fn pass<'t>(&self, topics: impl Iterator<Item = &'t str> + Clone) {
        while self.blocks(topics.clone()) {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let topics: Vec<&str> = topics.clone().collect();
            let Some(deadline) = self.wait_for(&topics) else {
                return;
            };
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                self.give_up(&topics);
            }
        }
    }

    /// Notes that a publisher waits, and until when it will: `None` if nobody is in its way after
    /// all.
    fn wait_for(&self, topics: &[&str]) -> Option<Instant> {
        let now = Instant::now();
        let mut slots = self.slots();
        let in_the_way = slots
            .values_mut()
            .filter(|congested| congested.listens_to_any(topics));
        in_the_way
            .map(|congested| {
                *congested.blocking_since.get_or_insert(now) + self.slow_consumer_timeout
            })
            .min()
    }

    fn give_up(&self, topics: &[&str]) {
        let now = Instant::now();
        let mut slots = self.slots();
        slots.retain(|_, congested| {
            let waited = congested
                .blocking_since
                .is_some_and(|since| since + self.slow_consumer_timeout <= now);
            let too_slow = waited && congested.listens_to_any(topics);
            if too_slow {
                self.counters.too_slow.add(1);
                congested.slot.set_behind(false);
                congested.slot.tell_too_slow();
            }
            !too_slow
        });
        self.congested.store(slots.len(), Ordering::SeqCst);
        drop(slots);
        self.changed.notify_waiters();
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<u64, Congested>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Subscribers that cannot keep up hold back the publishers of what they listen to.
//!
//! A subscriber is congested while its session says so, or while publishers find it far behind in the log of a filter
//! that it relies on. A publisher asks here before each batch of reliable frames, and waits while one of their topics
//! belongs to a congested subscriber. Whoever makes a publisher wait beyond patience is told that it is too slow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::seat::Seat;
use super::stats::Stats;

pub(super) struct Congestion {
    patience: Duration,
    counters: Arc<Stats>,
    /// Length of `seats`, so that a publisher who finds nobody congested takes no lock.
    congested: AtomicUsize,
    seats: Mutex<HashMap<u64, Congested>>,
    changed: Notify,
}

struct Congested {
    seat: Arc<Seat>,
    /// Its session says so: all its filters count.
    by_session: bool,
    /// Publishers say so: the filters that it relies on count.
    behind: bool,
    /// When the first publisher began to wait for it.
    blocking_since: Option<Instant>,
}

impl Congested {
    fn listens_to_any(&self, topics: &[&str]) -> bool {
        self.seat.wants_any(topics, !self.by_session)
    }
}

impl Congestion {
    pub(super) fn new(patience: Duration, counters: Arc<Stats>) -> Self {
        let (congested, seats, changed) = (AtomicUsize::new(0), Mutex::default(), Notify::new());
        Self {
            patience,
            counters,
            congested,
            seats,
            changed,
        }
    }

    /// The session's word.
    pub(super) fn set_by_session(&self, seat: &Arc<Seat>, congested: bool) {
        if !congested && self.congested.load(Ordering::SeqCst) == 0 {
            return; // the usual case takes no lock
        }
        self.update(seat, |entry| entry.by_session = congested);
    }

    /// The publishers' word, and the subscriber's once it has caught up.
    pub(super) fn set_behind(&self, seat: &Arc<Seat>, behind: bool) {
        self.update(seat, |entry| {
            entry.behind = behind;
            entry.seat.set_behind(behind);
        });
    }

    /// Forgets a subscriber.
    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        self.update(seat, |entry| {
            (entry.by_session, entry.behind) = (false, false);
            entry.seat.set_behind(false);
        });
    }

    fn update(&self, seat: &Arc<Seat>, change: impl FnOnce(&mut Congested)) {
        let mut seats = self.seats();
        let entry = seats.entry(seat.id()).or_insert_with(|| Congested {
            seat: Arc::clone(seat),
            by_session: false,
            behind: false,
            blocking_since: None,
        });
        change(entry);
        // A publisher may still find a subscriber behind that has just gone.
        if (entry.by_session || entry.behind) && !seat.is_closed() {
            self.congested.store(seats.len(), Ordering::SeqCst);
            return;
        }
        seats.remove(&seat.id());
        self.congested.store(seats.len(), Ordering::SeqCst);
        drop(seats);
        self.changed.notify_waiters();
    }

    /// Whether a congested subscriber listens to one of the topics.
    pub(super) fn blocks<'t>(&self, topics: impl Iterator<Item = &'t str>) -> bool {
        self.congested.load(Ordering::SeqCst) > 0 && {
            let topics: Vec<&str> = topics.collect();
            self.seats()
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

    /// Notes that a publisher waits, and until when it will: `None` if nobody is in its way after all.
    fn wait_for(&self, topics: &[&str]) -> Option<Instant> {
        let now = Instant::now();
        let mut seats = self.seats();
        let in_the_way = seats
            .values_mut()
            .filter(|congested| congested.listens_to_any(topics));
        in_the_way
            .map(|congested| *congested.blocking_since.get_or_insert(now) + self.patience)
            .min()
    }

    fn give_up(&self, topics: &[&str]) {
        let now = Instant::now();
        let mut seats = self.seats();
        seats.retain(|_, congested| {
            let waited = congested
                .blocking_since
                .is_some_and(|since| since + self.patience <= now);
            let too_slow = waited && congested.listens_to_any(topics);
            if too_slow {
                self.counters.too_slow.add(1);
                congested.seat.set_behind(false);
                congested.seat.tell_too_slow();
            }
            !too_slow
        });
        self.congested.store(seats.len(), Ordering::SeqCst);
        drop(seats);
        self.changed.notify_waiters();
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<u64, Congested>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

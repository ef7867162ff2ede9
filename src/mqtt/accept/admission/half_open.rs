//! Connections that have not said CONNECT yet: handshakes under way, strangers who trickle bytes or
//! none.
//!
//! Their number is bounded. When it is full, the one that has waited longest gives way, if it has
//! had a fair time: so somebody who holds connections open and says nothing cannot keep out those
//! who are quick, and a storm of quick ones cannot keep one another from ever finishing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A handshake may take so long before it has to give way to others: some round trips on a slow
/// network.
const FAIR_TIME: Duration = Duration::from_secs(2);

/// Those who wait, oldest first.
#[derive(Debug)]
pub(super) struct HalfOpen {
    places: AtomicUsize,
    waiting: Mutex<VecDeque<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    told: Arc<Notify>,
}

impl HalfOpen {
    pub(super) fn new(places: usize) -> HalfOpen {
        HalfOpen {
            places: AtomicUsize::new(places),
            waiting: Mutex::default(),
        }
    }

    /// Another number of places from now on; whoever has one keeps it.
    pub(super) fn set_places(&self, places: usize) {
        self.places.store(places, Ordering::Relaxed);
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if need be that of the one who has waited longest; none if everybody in it
    /// has come just now.
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Option<HalfOpenPlace> {
        let mut waiting = self.waiting();
        if waiting.len() >= self.places.load(Ordering::Relaxed) {
            let oldest = waiting.front()?;
            if oldest.since + FAIR_TIME > now {
                return None;
            }
            oldest.told.notify_one();
            waiting.pop_front();
        }
        let told = Arc::new(Notify::new());
        waiting.push_back(Waiting {
            since: now,
            told: Arc::clone(&told),
        });
        Some(HalfOpenPlace {
            half_open: Arc::clone(self),
            told,
        })
    }
}

/// A place in the half-open set; dropping it leaves.
#[derive(Debug)]
pub(in crate::mqtt) struct HalfOpenPlace {
    half_open: Arc<HalfOpen>,
    told: Arc<Notify>,
}

impl HalfOpenPlace {
    /// Resolves when somebody else needs the place.
    pub(in crate::mqtt) async fn given_away(&self) {
        self.told.notified().await;
    }
}

impl Drop for HalfOpenPlace {
    fn drop(&mut self) {
        let mut waiting = self.half_open.waiting();
        let own = |place: &Waiting| Arc::ptr_eq(&place.told, &self.told);
        if let Some(at) = waiting.iter().position(own) {
            waiting.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_told(waiting: &HalfOpenPlace) -> bool {
        let told = std::pin::pin!(waiting.given_away());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        told.poll(&mut context).is_ready()
    }

    #[test]
    fn the_one_who_waited_longest_gives_way() {
        let half_open = Arc::new(HalfOpen::new(2));
        let begin = Instant::now();
        let later = begin + FAIR_TIME;
        let first = half_open.enter(begin).expect("a seat");
        let second = half_open.enter(later).expect("a seat");
        let third = half_open.enter(later).expect("the first one's seat");
        assert!(is_told(&first));
        assert!(!is_told(&second) && !is_told(&third));
        // A told one leaves no second place behind.
        drop(first);
        assert!(
            half_open.enter(later).is_none(),
            "nobody has had a fair time"
        );
    }

    #[test]
    fn those_who_leave_make_room() {
        let half_open = Arc::new(HalfOpen::new(1));
        let now = Instant::now();
        let first = half_open.enter(now).expect("a seat");
        assert!(half_open.enter(now).is_none());
        drop(first);
        assert!(half_open.enter(now).is_some());
        assert!(half_open.waiting().is_empty());
    }
}

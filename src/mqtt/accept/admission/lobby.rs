//! Connections that have not said CONNECT yet: handshakes under way, strangers who trickle bytes or none.
//!
//! Their number is bounded. When it is full, the one that has waited longest gives way, if it has had a fair time: so somebody who
//! holds connections open and says nothing cannot keep out those who are quick, and a storm of quick ones cannot keep one another
//! from ever finishing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A handshake may take so long before it has to give way to others: some round trips on a slow network.
const FAIR_TIME: Duration = Duration::from_secs(2);

/// Those who wait, oldest first.
#[derive(Debug)]
pub(super) struct Lobby {
    seats: AtomicUsize,
    waiting: Mutex<VecDeque<Seat>>,
}

#[derive(Debug)]
struct Seat {
    since: Instant,
    told: Arc<Notify>,
}

impl Lobby {
    pub(super) fn new(seats: usize) -> Lobby {
        Lobby {
            seats: AtomicUsize::new(seats),
            waiting: Mutex::default(),
        }
    }

    /// Another number of seats from now on; whoever has one keeps it.
    pub(super) fn set_seats(&self, seats: usize) {
        self.seats.store(seats, Ordering::Relaxed);
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Seat>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat, if need be that of the one who has waited longest; none if everybody in it has come just now.
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Option<Waiting> {
        let mut waiting = self.waiting();
        if waiting.len() >= self.seats.load(Ordering::Relaxed) {
            let oldest = waiting.front()?;
            if oldest.since + FAIR_TIME > now {
                return None;
            }
            oldest.told.notify_one();
            waiting.pop_front();
        }
        let told = Arc::new(Notify::new());
        waiting.push_back(Seat {
            since: now,
            told: Arc::clone(&told),
        });
        Some(Waiting {
            lobby: Arc::clone(self),
            told,
        })
    }
}

/// A seat in the lobby; dropping it leaves.
#[derive(Debug)]
pub(in crate::mqtt) struct Waiting {
    lobby: Arc<Lobby>,
    told: Arc<Notify>,
}

impl Waiting {
    /// Resolves when somebody else needs the seat.
    pub(in crate::mqtt) async fn given_away(&self) {
        self.told.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.lobby.waiting();
        let own = |seat: &Seat| Arc::ptr_eq(&seat.told, &self.told);
        if let Some(at) = waiting.iter().position(own) {
            waiting.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_told(waiting: &Waiting) -> bool {
        let told = std::pin::pin!(waiting.given_away());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        told.poll(&mut context).is_ready()
    }

    #[test]
    fn the_one_who_waited_longest_gives_way() {
        let lobby = Arc::new(Lobby::new(2));
        let begin = Instant::now();
        let later = begin + FAIR_TIME;
        let first = lobby.enter(begin).expect("a seat");
        let second = lobby.enter(later).expect("a seat");
        let third = lobby.enter(later).expect("the first one's seat");
        assert!(is_told(&first));
        assert!(!is_told(&second) && !is_told(&third));
        // A told one leaves no second seat behind.
        drop(first);
        assert!(lobby.enter(later).is_none(), "nobody has had a fair time");
    }

    #[test]
    fn those_who_leave_make_room() {
        let lobby = Arc::new(Lobby::new(1));
        let now = Instant::now();
        let first = lobby.enter(now).expect("a seat");
        assert!(lobby.enter(now).is_none());
        drop(first);
        assert!(lobby.enter(now).is_some());
        assert!(lobby.waiting().is_empty());
    }
}

//! Who is connected under which client id, so that a take-over finds what the older connection was
//! sent before it.
//!
//! A client that says DISCONNECT and at once connects anew does so over two sockets, which
//! different threads read. Before the desk is asked for the session, the connection that has it
//! reads what has come, and so takes its DISCONNECT, or its last publishes, before the newer
//! CONNECT counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// How long a newer connection waits for the older one to have read. One that cannot is taken over
/// all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Every connected client. As many as there are connections.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct ConnectedClients(Mutex<HashMap<Arc<str>, Arc<ConnectedClient>>>);

#[derive(Debug, Default)]
struct ConnectedClient {
    /// Somebody wants its place.
    hurry: Notify,
    /// It has read what had come.
    settled: Notify,
    gone: AtomicBool,
}

/// A connection's place among the connected clients, until it is dropped.
#[derive(Debug)]
pub(in crate::mqtt) struct Slot {
    all: Arc<ConnectedClients>,
    id: Arc<str>,
    own: Arc<ConnectedClient>,
}

impl ConnectedClients {
    /// Takes the place of a client id; whoever had it keeps its own slot and is not found any more.
    pub(in crate::mqtt) fn register(self: &Arc<Self>, id: &Arc<str>) -> Slot {
        let own = Arc::<ConnectedClient>::default();
        self.lock().insert(Arc::clone(id), Arc::clone(&own));
        Slot {
            all: Arc::clone(self),
            id: Arc::clone(id),
            own,
        }
    }

    /// Lets whoever is connected under this id read what has come to it.
    pub(in crate::mqtt) async fn settle(&self, id: &str) {
        let Some(incumbent) = self.lock().get(id).cloned() else {
            return;
        };
        let settled = incumbent.settled.notified();
        tokio::pin!(settled);
        settled.as_mut().enable();
        if !incumbent.gone.load(Ordering::Acquire) {
            incumbent.hurry.notify_one();
            // One that does not answer is closed by the desk.
            let _ = timeout(PATIENCE, settled).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<ConnectedClient>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Resolves when somebody wants the place.
    pub(in crate::mqtt) async fn wanted(&self) {
        self.own.hurry.notified().await;
    }

    /// What had come has been read.
    pub(in crate::mqtt) fn settled(&self) {
        self.own.settled.notify_waiters();
    }

    /// Gives the place up, before it is dropped.
    pub(in crate::mqtt) fn leave(&self) {
        let mut all = self.all.lock();
        if all
            .get(&self.id)
            .is_some_and(|one| Arc::ptr_eq(one, &self.own))
        {
            all.remove(&self.id);
        }
        drop(all);
        self.own.gone.store(true, Ordering::Release);
        self.settled();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Take-overs in one minute from which on two devices are suspected to share a client id.
const SUSPICIOUS: u32 = 3;
/// How long take-overs count together.
const WINDOW: Duration = Duration::from_secs(60);
/// Client ids whose take-overs are counted at once; beyond it those of further ones are not.
const MAX_RIVALS: usize = 1024;

/// Client ids that were taken over lately.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct RecentTakeovers(Mutex<HashMap<Arc<str>, (Instant, u32)>>);

impl RecentTakeovers {
    /// Counts a take-over; whether this is the one that makes it look like two devices with one id.
    pub(in crate::mqtt) fn taken_over(&self, id: &Arc<str>, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_RIVALS && !all.contains_key(id) {
            all.retain(|_, (began, _)| now < *began + WINDOW);
            if all.len() >= MAX_RIVALS {
                return false;
            }
        }
        let (began, count) = all.entry(Arc::clone(id)).or_insert((now, 0));
        if now >= *began + WINDOW {
            (*began, *count) = (now, 0);
        }
        *count += 1;
        *count == SUSPICIOUS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_comes_waits_until_the_incumbent_has_read_or_is_gone() {
        let all = Arc::<ConnectedClients>::default();
        let id = Arc::from("ann");
        all.settle(&id).await;
        let slot = all.register(&id);
        let newer = all.settle(&id);
        tokio::pin!(newer);
        tokio::select! {
            biased;
            () = &mut newer => unreachable!("the incumbent has not read"),
            () = slot.wanted() => slot.settled(),
        }
        newer.await;
        let newer = all.settle(&id);
        tokio::pin!(newer);
        tokio::select! {
            biased;
            () = &mut newer => unreachable!("the incumbent has not read"),
            () = slot.wanted() => drop(slot),
        }
        newer.await;
        assert!(all.lock().is_empty());
    }

    #[test]
    fn an_older_seat_that_goes_leaves_the_newer_one() {
        let all = Arc::<ConnectedClients>::default();
        let id = Arc::from("ann");
        let older = all.register(&id);
        let newer = all.register(&id);
        drop(older);
        assert_eq!(all.lock().len(), 1);
        drop(newer);
        assert!(all.lock().is_empty());
    }

    #[test]
    fn the_third_take_over_in_a_minute_is_one_too_many() {
        let (recent_takeovers, start) = (RecentTakeovers::default(), Instant::now());
        let (ann, bob) = (Arc::from("ann"), Arc::from("bob"));
        let at = |seconds| start + Duration::from_secs(seconds);
        let told = [0, 10, 20, 30].map(|second| recent_takeovers.taken_over(&ann, at(second)));
        assert_eq!(told, [false, false, true, false]);
        assert!(!recent_takeovers.taken_over(&bob, at(30)));
        let told = [60, 61, 62].map(|second| recent_takeovers.taken_over(&ann, at(second)));
        assert_eq!(told, [false, false, true], "a new minute");
        for n in 0..2 * MAX_RIVALS {
            recent_takeovers.taken_over(&Arc::from(n.to_string()), at(62));
        }
        assert!(recent_takeovers.0.lock().unwrap().len() <= MAX_RIVALS);
    }
}

//! What all handles of one plane share: the current router, the slots of subscribers, the
//! publishers' publisher links, limits.
//!
//! Holds state and answers questions about it; acts on its own never. The supervisor alone changes
//! the router.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};

use super::LiveConfig;
use super::congestion::Congestion;
use super::filter_index::FilterIndex;
use super::pending_subscriptions::PendingSubscriptions;
use super::publisher_link::{PUBLISHER_LINKS, PublisherLink};
use super::router::{Gone, Link, Router, RouterLimits};
use super::stats::LiveStats;
use super::subscriber_slot::SubscriberSlot;

/// Links beyond the subscribers': one for each publisher link, the supervisor's, the one that ends
/// the router, and those that overlap while a subscriber changes over.
const LINKS_OF_OUR_OWN: usize = PUBLISHER_LINKS + 60;

/// Which router is in use, and whether publishers may.
#[derive(Clone)]
pub(super) struct CurrentRouter {
    /// Counts routers from 1.
    pub(super) generation: u64,
    /// The newest generation whose router died, rather than being replaced in good order. 0: none.
    pub(super) died: u64,
    pub(super) phase: Phase,
    /// None while there is none, and once the plane has stopped.
    pub(super) router: Option<Arc<Router>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Subscribers are being linked to the current router; publishers wait.
    Relinking,
    Open,
    Stopped,
}

pub(super) struct PlaneState {
    pub(super) config: LiveConfig,
    pub(super) counters: Arc<LiveStats>,
    pub(super) current: watch::Sender<CurrentRouter>,
    pub(super) congestion: Congestion,
    pub(super) pending: Arc<PendingSubscriptions>,
    pub(super) publisher_links: Vec<tokio::sync::Mutex<PublisherLink>>,
    /// One permit for each subscriber with a link.
    pub(super) link_permits: Arc<Semaphore>,
    /// How many there are to be; a router that is started takes so many.
    wanted_links: AtomicUsize,
    /// How many there are.
    granted_links: AtomicUsize,
    pub(super) runtime: Handle,
    pub(super) orders: Arc<Orders>,
    slots: Mutex<HashMap<u64, Arc<SubscriberSlot>>>,
    interest: RwLock<FilterIndex>,
    ids: AtomicU64,
}

/// What handles ask of the supervisor. Outlives them, so that it can be told that they are gone.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) rotate: Notify,
    pub(super) sweep: Notify,
    pub(super) stop: Notify,
}

impl PlaneState {
    pub(super) fn new(
        config: LiveConfig,
        max_links: usize,
        counters: Arc<LiveStats>,
        orders: Arc<Orders>,
        router: Arc<Router>,
        runtime: Handle,
    ) -> Self {
        let current = CurrentRouter {
            generation: 1,
            died: 0,
            phase: Phase::Open,
            router: Some(router),
        };
        Self {
            congestion: Congestion::new(config.patience.0, Arc::clone(&counters)),
            pending: Arc::default(),
            counters,
            current: watch::Sender::new(current),
            publisher_links: (0..PUBLISHER_LINKS)
                .map(|n| tokio::sync::Mutex::new(PublisherLink::new(n)))
                .collect(),
            link_permits: Arc::new(Semaphore::new(max_links)),
            wanted_links: AtomicUsize::new(max_links),
            granted_links: AtomicUsize::new(max_links),
            runtime,
            orders,
            slots: Mutex::default(),
            interest: RwLock::default(),
            ids: AtomicU64::new(0),
            config,
        }
    }

    /// Has so many links at the same time, as soon as a router takes as many. Never fewer than
    /// there were: others see to that.
    pub(super) fn want_links(&self, links: usize) {
        self.wanted_links.fetch_max(links, Ordering::Relaxed);
        if self.is_to_grow() {
            self.orders.rotate.notify_one();
        }
    }

    /// Whether there are to be more links than the present router takes.
    pub(super) fn is_to_grow(&self) -> bool {
        self.wanted_links() > self.granted_links.load(Ordering::Relaxed)
    }

    pub(super) fn wanted_links(&self) -> usize {
        self.wanted_links.load(Ordering::Relaxed)
    }

    /// A router runs that takes so many links.
    pub(super) fn grant_links(&self, links: usize) {
        let before = self.granted_links.fetch_max(links, Ordering::Relaxed);
        self.link_permits.add_permits(links.saturating_sub(before));
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn stopped(&self) -> bool {
        self.current.borrow().phase == Phase::Stopped
    }

    /// Opens a link to the router of `generation`, unless it dies meanwhile.
    pub(super) async fn open_link(
        &self,
        generation: u64,
        router: &Arc<Router>,
    ) -> Result<Link, Gone> {
        let mut changes = self.current.subscribe();
        tokio::select! {
            link = Link::open(router) => link,
            _ = changes.wait_for(|now| now.died >= generation || now.phase == Phase::Stopped) => Err(Gone),
        }
    }

    /// Puts a subscriber under the supervisor's care. From here on a router that dies is replaced
    /// for it too.
    pub(super) fn register(&self, slot: &Arc<SubscriberSlot>) {
        self.slots_locked().insert(slot.id(), Arc::clone(slot));
    }

    pub(super) fn unregister(&self, slot: &SubscriberSlot) {
        self.slots_locked().remove(&slot.id());
    }

    pub(super) fn slots(&self) -> Vec<Arc<SubscriberSlot>> {
        self.slots_locked().values().cloned().collect()
    }

    pub(super) fn interest(&self) -> RwLockReadGuard<'_, FilterIndex> {
        self.interest.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn interest_mut(&self) -> RwLockWriteGuard<'_, FilterIndex> {
        self.interest
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn slots_locked(&self) -> MutexGuard<'_, HashMap<u64, Arc<SubscriberSlot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PlaneState {
    fn drop(&mut self) {
        self.orders.stop.notify_one();
    }
}

pub(super) fn router_limits(config: &LiveConfig, links: usize) -> RouterLimits {
    RouterLimits {
        links: links.saturating_mul(2).saturating_add(LINKS_OF_OUR_OWN),
        segment_bytes: config.segment.0,
        segments: config.segments,
    }
}

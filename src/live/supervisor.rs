//! Keeps a router running: notices at once that it died, starts the next, and links every
//! subscriber to it before publishers may go on. A task of its own, so that it depends on no
//! session being awake.
//!
//! **A router that dies** drops its end of the supervisor's watch link. The next router becomes
//! current with the phase `Relinking`, in which no publisher sends. Every registered slot gets a
//! new link, subscribed to all its filters and confirmed; then publishers go on. Nothing that is
//! published after the death can miss a subscriber, and publisher links take back what the dead
//! router had not taken. Lost is what it held: frames not yet forwarded.
//!
//! **A router that is replaced in good order**, because it keeps something for every topic, filter
//! and link that it ever saw, goes through the same steps while it lives on; a ping makes sure that
//! all publishes sent to it are in its logs before subscribers read it to the end. It ends when its
//! last link is dropped. Nothing is lost.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinSet;

use super::attachment::Attachment;
use super::plane_state::{Orders, Phase, PlaneState, router_limits};
use super::router::{Gone, Link, Notice, Router};
use super::stats::LiveStats;
use super::subscriber_slot::{Replacement, SubscriberSlot};
use super::{LiveConfig, LiveError};

/// How long a new router may take to have all subscribers linked before it is taken for dead.
const RELINK_PATIENCE: Duration = Duration::from_secs(30);

/// Tasks that share the work of relinking.
const RELINKERS: usize = 4;

/// How long the router may take to answer before it is woken once more; see [`settle`].
const ANSWER_PATIENCE: Duration = Duration::from_millis(5);

/// Pause before a router that could not be started is tried again.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Why the supervisor wakes.
enum Trouble {
    /// The router thread is gone.
    Died,
    /// The router has seen more topics than it should keep.
    Rotate,
    /// Links or filters were given up.
    Sweep,
    Stop,
}

/// Starts a router for so many subscribers, and a link on which its death will show. Blocks for
/// some ten microseconds.
pub(super) fn start_router(
    config: &LiveConfig,
    links: usize,
    counters: &Arc<LiveStats>,
    orders: &Arc<Orders>,
) -> Result<(Arc<Router>, Link), Gone> {
    Router::spawn(router_limits(config, links), counters, orders)
}

/// Runs until the last handle of the plane is dropped or the plane is told to stop.
pub(super) async fn run(shared: Weak<PlaneState>, orders: Arc<Orders>, mut watch: Link) {
    let mut retired: Weak<Router> = Weak::new();
    loop {
        let mut trouble = next_trouble(&orders, &mut watch).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if let Trouble::Sweep = trouble {
            trouble = match settle(&mut watch).await {
                Ok(()) if has_seen_too_much(&shared) || shared.is_to_grow() => Trouble::Rotate,
                Ok(()) => continue,
                Err(Gone) => Trouble::Died,
            };
        }
        match trouble {
            Trouble::Stop => return stop(&shared).await,
            // One at a time: a subscriber that never reads keeps its old router.
            Trouble::Rotate if retired.strong_count() > 0 => continue,
            Trouble::Rotate => {
                retired = current_router(&shared);
                shared
                    .current
                    .send_modify(|current| current.phase = Phase::Relinking);
                if settle(&mut watch).await.is_err() {
                    mourn(&shared);
                }
            }
            Trouble::Died | Trouble::Sweep => mourn(&shared),
        }
        watch = replace(&shared).await;
    }
}

async fn next_trouble(orders: &Orders, watch: &mut Link) -> Trouble {
    tokio::select! {
        Gone = death(watch) => Trouble::Died,
        () = orders.rotate.notified() => Trouble::Rotate,
        () = orders.sweep.notified() => Trouble::Sweep,
        () = orders.stop.notified() => Trouble::Stop,
    }
}

/// Waits until the router has processed everything that was sent to it before.
///
/// It asks again until it is answered, because a router that finds a closed link at the head of its
/// queue goes to sleep although others behind it have work; any event wakes it. That is also why
/// the supervisor is told of closed links.
async fn settle(watch: &mut Link) -> Result<(), Gone> {
    let mut due = 0;
    loop {
        watch.ping()?;
        due += 1;
        while let Ok(notice) = tokio::time::timeout(ANSWER_PATIENCE, watch.next()).await {
            if let Notice::Pong = notice? {
                due -= 1;
            }
            if due == 0 {
                return Ok(());
            }
        }
    }
}

/// Notes that the current router is dead. From here on no publisher sends.
fn mourn(shared: &PlaneState) {
    shared.current.send_modify(|current| {
        current.phase = Phase::Relinking;
        current.died = current.generation;
        current.router = None;
    });
    shared.counters.routers_died.add(1);
    let generation = shared.current.borrow().generation;
    tracing::error!(
        generation,
        "the live router died; frames that it held are lost; starting the next"
    );
}

/// Starts routers until one has every subscriber linked to it, then lets publishers go on.
async fn replace(shared: &Arc<PlaneState>) -> Link {
    loop {
        if let Ok(watch) = try_replace(shared).await {
            return watch;
        }
        mourn(shared);
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

async fn try_replace(shared: &Arc<PlaneState>) -> Result<Link, Gone> {
    let starter = Arc::clone(shared);
    let links = shared.wanted_links();
    let start = move || start_router(&starter.config, links, &starter.counters, &starter.orders);
    let (router, mut watch) = shared
        .runtime
        .spawn_blocking(start)
        .await
        .unwrap_or(Err(Gone))?;
    shared.current.send_modify(|current| {
        current.phase = Phase::Relinking;
        current.generation += 1;
        current.router = Some(Arc::clone(&router));
    });
    tokio::select! {
        relinked = tokio::time::timeout(RELINK_PATIENCE, relink(shared, &router)) => relinked.unwrap_or(Err(Gone))?,
        Gone = death(&mut watch) => return Err(Gone),
    }
    shared
        .current
        .send_modify(|current| current.phase = Phase::Open);
    shared.grant_links(links);
    // Not awaited: a publisher link's lock may be held by a publisher that waits for the next
    // router but one.
    tokio::spawn(recover_lanes(Arc::clone(shared)));
    Ok(watch)
}

/// Gives every subscriber a link to the router.
async fn relink(shared: &Arc<PlaneState>, router: &Arc<Router>) -> Result<(), Gone> {
    let generation = shared.current.borrow().generation;
    let slots = shared.slots();
    let mut shares = JoinSet::new();
    for slots in slots.chunks(slots.len().div_ceil(RELINKERS).max(1)) {
        shares.spawn(relink_seats(slots.to_vec(), Arc::clone(router), generation));
    }
    while let Some(share) = shares.join_next().await {
        share.unwrap_or(Err(Gone))?;
    }
    Ok(())
}

async fn relink_seats(
    slots: Vec<Arc<SubscriberSlot>>,
    router: Arc<Router>,
    generation: u64,
) -> Result<(), Gone> {
    for slot in slots {
        let filters = slot.filters().clone();
        if !filters.is_empty() {
            let mut attachment = Attachment::new(generation, Link::open(&router).await?);
            let early = attachment.subscribe_all(&filters).await?;
            slot.offer(Replacement { attachment, early });
        }
    }
    Ok(())
}

/// Waits for the router to die.
async fn death(watch: &mut Link) -> Gone {
    loop {
        if let Err(gone) = watch.next().await {
            return gone;
        }
    }
}

async fn recover_lanes(shared: Arc<PlaneState>) {
    for link in &shared.publisher_links {
        link.lock().await.recover(&shared).await;
    }
}

async fn stop(shared: &PlaneState) {
    shared.current.send_modify(|current| {
        current.phase = Phase::Stopped;
        current.router = None;
    });
    for slot in shared.slots() {
        slot.wake();
    }
    for link in &shared.publisher_links {
        link.lock().await.close();
    }
}

fn current_router(shared: &PlaneState) -> Weak<Router> {
    shared
        .current
        .borrow()
        .router
        .as_ref()
        .map_or_else(Weak::new, Arc::downgrade)
}

/// Whether the router keeps so much of what is gone that it should be replaced.
fn has_seen_too_much(shared: &PlaneState) -> bool {
    let Some(router) = current_router(shared).upgrade() else {
        return false;
    };
    let live = shared.interest().filters();
    let stale_filters = router.filters_seen().saturating_sub(live);
    router.links_seen() > shared.config.links_per_router as u64
        || stale_filters > shared.config.filters_per_router.max(live)
}

impl From<Gone> for LiveError {
    fn from(_: Gone) -> Self {
        Self::RouterDidNotStart
    }
}

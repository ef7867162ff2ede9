//! A publisher link carries the frames of many publishers to the router over one link, in the order
//! in which they entered.
//!
//! A link costs tens of KiB, so publishers share a few publisher links. Every batch ends with a
//! ping; the pong says that the router has routed it, and what is not yet routed is bounded. When
//! the router dies the publisher link takes back what the router never took and sends it to the
//! next one; what it took without answering is in doubt and counted as lost.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::frame::{Draft, SealedFrame};
use super::plane_state::{Phase, PlaneState};
use super::router::{Gone, Link, Notice};
use super::traffic::Traffic;

// No keys for these: they pace publishers against the router and lose nothing, and the least size
// of a log follows from them (`LEAST_LOG_BYTES`).

/// Publisher links of a plane.
pub(super) const PUBLISHER_LINKS: usize = 4;
/// Messages that a publisher link may have sent without the router having routed them.
pub(super) const UNROUTED_MESSAGES: usize = 2048;
/// Bytes that a publisher link may have sent without the router having routed them, one message
/// excepted.
pub(super) const UNROUTED_BYTES: usize = 128 * 1024;
/// Messages that go to the router as one event.
pub(super) const MESSAGES_PER_EVENT: usize = 512;
/// Bytes that go to the router as one event, one message excepted.
pub(super) const BYTES_PER_EVENT: usize = 64 * 1024;

pub(super) struct PublisherLink {
    origin: u32,
    /// Frames that ever entered.
    entered: u64,
    /// Entered, not yet given to the link.
    backlog: VecDeque<SealedFrame>,
    connected: Option<OpenLink>,
    /// Hashes of the topics that the current router has seen from here; it keeps something for
    /// each, for ever.
    topics: HashSet<u64>,
}

struct OpenLink {
    generation: u64,
    link: Link,
    /// Batches sent, oldest first, whose pong is due.
    unrouted: VecDeque<Unrouted>,
    total: Unrouted,
}

#[derive(Debug, Clone, Copy, Default)]
struct Unrouted {
    messages: usize,
    bytes: usize,
}

impl PublisherLink {
    pub(super) fn new(number: usize) -> Self {
        let origin = u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            origin,
            entered: 0,
            backlog: VecDeque::new(),
            connected: None,
            topics: HashSet::new(),
        }
    }

    /// Takes in frames, leaving out those that nobody on the plane wants.
    pub(super) fn enter(&mut self, shared: &PlaneState, drafts: impl Iterator<Item = Draft>) {
        let tolerated = shared.config.tolerated_lag();
        let (mut unwanted, mut behind) = (0, Vec::new());
        let interest = shared.interest();
        for draft in drafts {
            let size = draft.size() as u64;
            let count = &mut |traffic: &Traffic| behind.extend(traffic.send(size, tolerated));
            if !interest.matching(draft.topic(), count) {
                unwanted += 1;
                continue;
            }
            let mut hasher = DefaultHasher::new();
            draft.topic().hash(&mut hasher);
            self.topics.insert(hasher.finish());
            self.entered += 1;
            self.backlog
                .push_back(draft.seal(self.origin, self.entered));
        }
        drop(interest);
        for slot in behind {
            shared.congestion.set_behind(&slot, true);
        }
        shared.counters.unwanted.add(unwanted);
        if self.topics.len() > shared.config.topics_per_router {
            self.topics = HashSet::new();
            shared.orders.rotate.notify_one();
        }
    }

    /// Sends all that has entered; returns when the last of it is on its way to the router. If the
    /// future is dropped the rest goes with the next call.
    pub(super) async fn pump(&mut self, shared: &PlaneState) {
        while !self.backlog.is_empty() {
            let Some(connected) = self.connect(shared).await else {
                self.backlog.clear(); // the plane has stopped
                return;
            };
            if connected.make_room().await.is_err() || self.send_some(shared).is_err() {
                self.salvage(shared);
            }
        }
    }

    /// Takes over from a router that died what it left of this publisher link, though no publisher
    /// may come by again.
    pub(super) async fn recover(&mut self, shared: &PlaneState) {
        let died = shared.current.borrow().died;
        if self
            .connected
            .as_ref()
            .is_some_and(|connected| connected.generation <= died)
        {
            self.salvage(shared);
        }
        self.pump(shared).await;
    }

    /// Gives up link and backlog. For a plane that stops.
    pub(super) fn close(&mut self) {
        self.backlog.clear();
        self.connected = None;
    }

    /// A link to the current router, once publishers may use it. `None` if the plane has stopped.
    async fn connect(&mut self, shared: &PlaneState) -> Option<&mut OpenLink> {
        let mut failed = 0;
        loop {
            let usable = {
                let current = shared.current.borrow();
                let generation = self
                    .connected
                    .as_ref()
                    .map(|connected| connected.generation);
                current.phase == Phase::Open && generation == Some(current.generation)
            };
            if usable {
                return self.connected.as_mut();
            }
            self.let_go(shared);
            let mut changes = shared.current.subscribe();
            let settled = |phase, generation| {
                phase == Phase::Stopped || phase == Phase::Open && generation > failed
            };
            let current = changes
                .wait_for(|now| settled(now.phase, now.generation))
                .await
                .ok()?
                .clone();
            match shared.open_link(current.generation, &current.router?).await {
                Ok(link) => {
                    let (unrouted, total) = (VecDeque::new(), Unrouted::default());
                    self.topics = HashSet::new();
                    self.connected = Some(OpenLink {
                        generation: current.generation,
                        link,
                        unrouted,
                        total,
                    });
                }
                Err(Gone) => failed = current.generation,
            }
        }
    }

    /// Gives up the link. A router that was replaced in good order still routes all that it was
    /// sent.
    fn let_go(&mut self, shared: &PlaneState) {
        let died = shared.current.borrow().died;
        let Some(connected) = &mut self.connected else {
            return;
        };
        if connected.generation <= died || connected.take_pongs().is_err() {
            self.salvage(shared);
        } else {
            self.connected = None;
        }
    }

    fn send_some(&mut self, shared: &PlaneState) -> Result<(), Gone> {
        let Some(connected) = &mut self.connected else {
            return Ok(());
        };
        // Held while sending: a router that is being replaced in good order gets nothing after the
        // change.
        let current = shared.current.borrow();
        if current.generation != connected.generation || current.phase != Phase::Open {
            return Ok(());
        }
        let mut load = Unrouted::default();
        for sealed in self.backlog.iter().take(MESSAGES_PER_EVENT) {
            if load.messages > 0 && load.bytes + sealed.size() > BYTES_PER_EVENT {
                break;
            }
            load.messages += 1;
            load.bytes += sealed.size();
        }
        connected.unrouted.push_back(load);
        connected.total.messages += load.messages;
        connected.total.bytes += load.bytes;
        shared.counters.published.add(load.messages as u64);
        connected.link.publish(self.backlog.drain(..load.messages))
    }

    /// Gives up the link to a dead router, keeping what the router had not taken.
    fn salvage(&mut self, shared: &PlaneState) {
        let Some(mut connected) = self.connected.take() else {
            return;
        };
        connected.take_pongs().ok();
        let untaken = connected.link.take_back();
        let in_doubt = connected.total.messages.saturating_sub(untaken.len());
        if in_doubt > 0 {
            shared.counters.lost.add(in_doubt as u64);
            tracing::error!(
                frames = in_doubt,
                "frames were with the live router when it died; some may be lost"
            );
        }
        for sealed in untaken.into_iter().rev() {
            self.backlog.push_front(sealed);
        }
    }
}

impl OpenLink {
    /// Waits until less is unrouted than may be.
    async fn make_room(&mut self) -> Result<(), Gone> {
        self.take_pongs()?;
        while self.total.messages >= UNROUTED_MESSAGES || self.total.bytes >= UNROUTED_BYTES {
            let notice = self.link.next().await?;
            self.read(&notice);
        }
        Ok(())
    }

    fn take_pongs(&mut self) -> Result<(), Gone> {
        while let Some(notice) = self.link.take_now() {
            self.read(&notice?);
        }
        Ok(())
    }

    fn read(&mut self, notice: &Notice) {
        if let Notice::Pong = notice
            && let Some(routed) = self.unrouted.pop_front()
        {
            self.total.messages -= routed.messages;
            self.total.bytes -= routed.bytes;
        }
    }
}

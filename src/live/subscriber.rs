//! The receiving end: one link to the router, opened at the first subscription and replaced without
//! a word.
//!
//! **Replacement.** The supervisor leaves a new, subscribed link in the subscriber's slot. If the
//! old router died, its link is read to the end and the new one takes over. If the router is being
//! replaced in good order, the old link is read until it has nothing left (publishers have moved
//! on, so that comes to an end), and only then the new one, which keeps each publisher's order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::attachment::{Attachment, Heard};
use super::pending_subscriptions::SubscribeTicket;
use super::plane::{Received, Subscriber};
use super::plane_state::PlaneState;
use super::router::{Gone, Notice};
use super::subscriber_slot::{Replacement, SubscriberSlot};
use super::traffic::WantedFilter;

/// Frames taken from the link ahead of the session, so that the router can refill while the session
/// works.
const READ_AHEAD: usize = 512;

/// Receives what is published under its filters, each frame once however many of them match.
///
/// Costs next to nothing before the first subscription and after the last was dropped.
pub struct LiveSubscriber {
    shared: Arc<PlaneState>,
    slot: Arc<SubscriberSlot>,
    current: Option<Attachment>,
    /// Where to go once the current router has nothing left for us.
    next: Option<Replacement>,
    /// Taken from the link, not yet handed out.
    ready: VecDeque<Bytes>,
    /// The newest router that this subscriber tried to link to by itself; 0 while it has no
    /// subscription.
    tried: u64,
    /// Jumped over on links that are gone.
    unreported: u64,
    permit: Option<OwnedSemaphorePermit>,
    /// A subscription that has not gone to the router yet. Kept here, as a subscribe that is
    /// dropped is called again.
    opening: Option<SubscribeTicket>,
    probe: Probe,
}

/// Finding out that the router has nothing left for us. It answers a ping in the turn in which it
/// reads from all logs of the link: with nothing between two answers there was nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Idle,
    /// A ping is on its way; something may have come since the last answer.
    Asked,
    /// A ping is on its way, and nothing has come since the last answer.
    Quiet,
}

impl Subscriber for LiveSubscriber {
    async fn subscribe(&mut self, filter: &str, reliable: bool) {
        if self.permit.is_none() {
            // Subscribers beyond the configured number wait here for others to leave.
            self.permit = Arc::clone(&self.shared.link_permits)
                .acquire_owned()
                .await
                .ok();
        }
        let pending = &self.shared.pending;
        self.opening.get_or_insert_with(|| pending.begin(filter));
        let wanted = self.want(filter);
        while !self.shared.stopped() {
            self.attach().await;
            if self.subscribe_on_newest(&wanted).await == Ok(true) {
                break;
            }
        }
        if reliable {
            wanted.rely(&self.slot);
        }
    }

    async fn unsubscribe(&mut self, filter: &str) {
        self.opening = None;
        let empty = {
            let mut filters = self.slot.filters();
            let Some(at) = filters.iter().position(|wanted| wanted.filter == filter) else {
                return;
            };
            filters.swap_remove(at).leave(&self.slot);
            filters.is_empty()
        };
        // A failure means that the router is gone; the link that replaces this one will not have
        // the filter.
        let next = self.next.as_mut().map(|next| &mut next.attachment);
        for attachment in self.current.iter_mut().chain(next) {
            attachment.drop_filter(filter).ok();
        }
        self.shared.interest_mut().remove(filter);
        if empty {
            self.detach();
        }
    }

    async fn recv(&mut self, out: &mut Vec<Bytes>, max: usize) -> Received {
        tokio::task::coop::consume_budget().await;
        loop {
            self.take_in();
            let too_slow = self.slot.take_too_slow();
            if too_slow || !self.ready.is_empty() {
                return self.hand_out(out, max, too_slow);
            }
            let Some(current) = &mut self.current else {
                self.slot.changed().await;
                self.adopt();
                continue;
            };
            tokio::select! {
                notice = current.link.next() => self.read(notice),
                () = self.slot.changed() => self.adopt(),
            }
        }
    }

    fn set_congested(&mut self, congested: bool) {
        self.shared.congestion.set_by_session(&self.slot, congested);
    }
}

impl LiveSubscriber {
    pub(super) fn new(shared: Arc<PlaneState>) -> Self {
        let slot = Arc::new(SubscriberSlot::new(shared.next_id()));
        Self {
            shared,
            slot,
            current: None,
            next: None,
            ready: VecDeque::new(),
            tried: 0,
            unreported: 0,
            permit: None,
            opening: None,
            probe: Probe::Idle,
        }
    }

    /// Whether publishers found it far behind in a filter that it relies on.
    #[cfg(test)]
    pub(super) fn is_behind(&self) -> bool {
        self.slot.is_behind()
    }

    fn hand_out(&mut self, out: &mut Vec<Bytes>, max: usize, too_slow: bool) -> Received {
        let count = self.ready.len().min(max);
        out.extend(self.ready.drain(..count));
        let counters = &self.shared.counters;
        counters.delivered.add(count as u64);
        let mut missed = std::mem::take(&mut self.unreported);
        if let Some(current) = &mut self.current {
            missed += current.subscriptions.take_missed();
            counters
                .overlaps_forgotten
                .add(current.subscriptions.take_forgotten());
        }
        counters.missed.add(missed);
        Received { missed, too_slow }
    }

    /// Takes from the link what is there, up to the read-ahead.
    fn take_in(&mut self) {
        let mut empty = false;
        while self.ready.len() < READ_AHEAD && !empty {
            match self
                .current
                .as_mut()
                .and_then(|current| current.link.take_now())
            {
                Some(notice) => self.read(notice),
                None => empty = true,
            }
        }
        if self.slot.is_behind() {
            self.report_progress(empty);
        }
    }

    /// Publishers wait for this subscriber: tells them once it has caught up, or nearly so.
    fn report_progress(&mut self, empty: bool) {
        let lag = self
            .current
            .as_ref()
            .map_or(0, |current| current.subscriptions.lag());
        if lag < self.shared.config.tolerated_lag() / 2 {
            self.shared.congestion.set_behind(&self.slot, false);
        } else if empty && self.probe == Probe::Idle {
            self.ask();
        }
    }

    fn read(&mut self, notice: Result<Notice, Gone>) {
        let Some(current) = &mut self.current else {
            return;
        };
        match notice.and_then(|notice| current.read(notice, &mut self.ready)) {
            Ok(Heard::Message | Heard::Backlog) => {
                if self.probe == Probe::Quiet {
                    self.probe = Probe::Asked;
                }
            }
            Ok(Heard::Pong) => self.answered(),
            Ok(Heard::Other) => {}
            Err(Gone) => {
                self.drain_dead_link();
                self.adopt();
            }
        }
    }

    fn ask(&mut self) {
        self.probe = Probe::Asked;
        if self
            .current
            .as_mut()
            .is_some_and(|current| current.link.ping().is_err())
        {
            self.read(Err(Gone));
        }
    }

    fn answered(&mut self) {
        match self.probe {
            Probe::Idle => {}
            Probe::Asked => {
                self.ask();
                if self.probe == Probe::Asked {
                    self.probe = Probe::Quiet;
                }
            }
            Probe::Quiet => self.caught_up(),
        }
    }

    fn caught_up(&mut self) {
        self.probe = Probe::Idle;
        if let Some(current) = &self.current {
            current.subscriptions.catch_up();
        }
        if self.slot.is_behind() {
            self.shared.congestion.set_behind(&self.slot, false);
        }
        if self.next.is_some() {
            self.change_over();
        }
    }
}

/// Getting a link, and changing over to a newer one.
impl LiveSubscriber {
    /// Enters the filter for this subscriber, whatever link it has or will have.
    fn want(&self, filter: &str) -> Arc<WantedFilter> {
        if let Some(wanted) = self
            .slot
            .filters()
            .iter()
            .find(|wanted| wanted.filter == filter)
        {
            return Arc::clone(wanted);
        }
        let traffic = self.shared.interest_mut().add(filter);
        let wanted = Arc::new(WantedFilter::new(filter, traffic));
        self.slot.filters().push(Arc::clone(&wanted));
        self.shared.register(&self.slot);
        wanted
    }

    /// Makes sure of a link to the current router. The first one this subscriber opens itself. Its
    /// slot was registered before it looks up the current router, so if that one dies the
    /// supervisor cannot overlook the slot: every later link is waited for.
    async fn attach(&mut self) {
        while !self.shared.stopped() {
            let now = self.shared.current.borrow().clone();
            if self
                .newest()
                .is_some_and(|attachment| attachment.generation == now.generation)
            {
                return;
            }
            if let (0, Some(router)) = (self.tried, now.router) {
                let opened = self.shared.open_link(now.generation, &router).await;
                // Not before: who is dropped while the link opens has not tried, and nobody else
                // would.
                self.tried = now.generation;
                if let Ok(link) = opened {
                    self.current = Some(Attachment::new(now.generation, link));
                    continue;
                }
            }
            self.slot.changed().await;
            self.adopt();
        }
    }

    /// Subscribes on the newest link and waits for the router's word. True if that is the current
    /// router still: then it is the one that later publishes go to, or else its successor, which is
    /// given the filter before they do.
    async fn subscribe_on_newest(&mut self, wanted: &Arc<WantedFilter>) -> Result<bool, Gone> {
        let asked = self.newest().ok_or(Gone)?.ask_for(wanted);
        if asked.is_err() {
            self.newest_is_gone();
            return Err(Gone);
        }
        // What is published from now on is behind it in the router's queue.
        self.opening = None;
        loop {
            let newest = self.newest().ok_or(Gone)?;
            if newest.subscriptions.confirmed(&wanted.filter) {
                let generation = newest.generation;
                return Ok(generation == self.shared.current.borrow().generation);
            }
            let notice = newest.link.next().await;
            match &mut self.next {
                None => self.read(notice),
                Some(Replacement { attachment, early }) => {
                    if notice
                        .and_then(|notice| attachment.read(notice, early))
                        .is_err()
                    {
                        self.next = None;
                    }
                }
            }
        }
    }

    fn newest(&mut self) -> Option<&mut Attachment> {
        match &mut self.next {
            Some(next) => Some(&mut next.attachment),
            None => self.current.as_mut(),
        }
    }

    fn newest_is_gone(&mut self) {
        if self.next.take().is_none() {
            self.read(Err(Gone));
        }
    }

    /// Takes the link that the supervisor may have left.
    fn adopt(&mut self) {
        let Some(mut replacement) = self.slot.take_replacement() else {
            return;
        };
        let generation = replacement.attachment.generation;
        let wanted = self.slot.filters().clone();
        if wanted.is_empty()
            || self
                .newest()
                .is_some_and(|newest| newest.generation >= generation)
        {
            return; // it came too late, or we were faster
        }
        // A failure shows again at the first read of this link.
        replacement.attachment.reconcile(&wanted).ok();
        self.next = Some(replacement);
        self.probe = Probe::Asked;
        if self
            .current
            .as_mut()
            .is_none_or(|current| current.link.ping().is_err())
        {
            self.drain_dead_link();
        }
    }

    /// Reads what a dead router had already given us, then changes over.
    fn drain_dead_link(&mut self) {
        while let Some(current) = &mut self.current {
            match current.link.take_now() {
                Some(Ok(notice)) => {
                    current.read(notice, &mut self.ready).ok();
                }
                _ => break,
            }
        }
        self.change_over();
    }

    /// Gives up the current link for the next, if there is one.
    fn change_over(&mut self) {
        self.probe = Probe::Idle;
        if let Some(mut old) = self.current.take() {
            // Gaps seen on the old link are reported as if the new one had seen them.
            let missed = old.subscriptions.take_missed();
            let forgotten = old.subscriptions.take_forgotten();
            self.shared.counters.overlaps_forgotten.add(forgotten);
            self.unreported += missed;
        }
        if let Some(next) = self.next.take() {
            self.ready.extend(next.early);
            self.current = Some(next.attachment);
        }
    }

    /// Gives everything back; what was taken in already can still be received.
    fn detach(&mut self) {
        self.change_over();
        (self.current, self.next, self.permit, self.tried) = (None, None, None, 0);
        self.shared.unregister(&self.slot);
        drop(self.slot.take_replacement());
        self.shared.congestion.leave(&self.slot);
    }
}

impl Drop for LiveSubscriber {
    fn drop(&mut self) {
        self.shared.unregister(&self.slot);
        let mut interest = self.shared.interest_mut();
        for wanted in self.slot.filters().drain(..) {
            wanted.leave(&self.slot);
            interest.remove(&wanted.filter);
        }
        drop(interest);
        self.slot.close();
        self.shared.congestion.leave(&self.slot);
    }
}

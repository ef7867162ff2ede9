//! Subscriptions on their way to the router, for which publishers wait.
//!
//! A client that sends SUBSCRIBE and tells another to publish, without waiting for its SUBACK,
//! expects the message all the same: a broker with one thread would have taken the two in that
//! order. Here the subscriber may first need a link, while the publisher has one. So a publisher
//! lets those subscriptions that were under way when it came, and that select what it has, go
//! first. A courtesy with bounds, as nobody was promised anything before the SUBACK.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::topics;

/// Subscriptions that publishers wait for at the same time; while there are more they wait for
/// none.
const MAX_AWAITED: usize = 16;

/// The longest that a publisher waits; the router takes a subscription within a millisecond unless
/// it is being replaced.
const PATIENCE: Duration = Duration::from_millis(100);

/// Those under way.
#[derive(Default)]
pub(super) struct PendingSubscriptions {
    /// Length of `tickets`' filters, so that a publisher who finds none takes no lock.
    count: AtomicUsize,
    tickets: Mutex<Tickets>,
    changed: Notify,
}

#[derive(Default)]
struct Tickets {
    next: u64,
    filters: BTreeMap<u64, Box<str>>,
}

/// How long a publisher waits with a batch, and for which subscriptions: those that were under way
/// when it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublisherWait {
    newer: u64,
    until: Instant,
}

/// One of them; over when it is dropped.
pub(super) struct SubscribeTicket {
    all: Arc<PendingSubscriptions>,
    ticket: u64,
}

impl PendingSubscriptions {
    pub(super) fn begin(self: &Arc<Self>, filter: &str) -> SubscribeTicket {
        let mut tickets = self.tickets();
        let ticket = tickets.next;
        tickets.next += 1;
        tickets.filters.insert(ticket, filter.into());
        self.count.store(tickets.filters.len(), Ordering::SeqCst);
        SubscribeTicket {
            all: Arc::clone(self),
            ticket,
        }
    }

    /// Waits until none is under way that selects one of the topics and was when this was first
    /// called with this `patience`. If the future is dropped, the next one waits no longer than it
    /// would have.
    pub(super) async fn pass<'t>(
        &self,
        topics: impl Iterator<Item = &'t str> + Clone,
        patience: &mut Option<PublisherWait>,
    ) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let PublisherWait { newer, until } = *patience.get_or_insert_with(|| PublisherWait {
            newer: self.tickets().next,
            until: Instant::now() + PATIENCE,
        });
        let passed = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if !self.tickets().any_before(newer, topics.clone()) {
                    return;
                }
                changed.await;
            }
        };
        // Out of patience it goes on: what is published is the older obligation.
        tokio::time::timeout_at(until, passed).await.ok();
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tickets {
    fn any_before<'t>(&self, ticket: u64, topics: impl Iterator<Item = &'t str> + Clone) -> bool {
        self.filters.len() <= MAX_AWAITED
            && self
                .filters
                .range(..ticket)
                .any(|(_, filter)| topics.clone().any(|topic| topics::matches(filter, topic)))
    }
}

impl Drop for SubscribeTicket {
    fn drop(&mut self) {
        let mut tickets = self.all.tickets();
        tickets.filters.remove(&self.ticket);
        let left = tickets.filters.len();
        self.all.count.store(left, Ordering::SeqCst);
        drop(tickets);
        self.all.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn waits(pass: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        pin!(pass).poll(&mut cx) == Poll::Pending
    }

    #[tokio::test(start_paused = true)]
    async fn a_publisher_waits_for_older_subscriptions_to_what_it_has() {
        let pending = Arc::<PendingSubscriptions>::default();
        let other = pending.begin("b/#");
        let first = pending.begin("a/+");
        let (topics, mut patience) = (["x", "a/1"].into_iter(), None);
        assert!(waits(&mut Box::pin(
            pending.pass(topics.clone(), &mut patience)
        )));
        let second = pending.begin("a/1");
        let mut again = Box::pin(pending.pass(topics.clone(), &mut patience));
        assert!(waits(&mut again));
        drop(first);
        assert!(!waits(&mut again), "the second came after it");
        drop((second, other));
        pending.pass(topics, &mut None).await;
        assert!(pending.tickets().filters.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_or_for_a_crowd() {
        let pending = Arc::<PendingSubscriptions>::default();
        let mut crowd = vec![pending.begin("#")];
        pending.pass(["a"].into_iter(), &mut None).await;
        crowd.extend((0..MAX_AWAITED).map(|_| pending.begin("#")));
        let mut patience = None;
        let mut pass = Box::pin(pending.pass(["a"].into_iter(), &mut patience));
        assert!(!waits(&mut pass));
    }
}

//! The sending end: buffers frames, then hands them to a publisher link, as fast as router and
//! listeners allow.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::Draft;
use super::pending_subscriptions::PublisherWait;
use super::plane::Publisher;
use super::plane_state::PlaneState;
use super::publisher_link::{BYTES_PER_EVENT, MESSAGES_PER_EVENT, PUBLISHER_LINKS};

/// Sends frames to whoever is subscribed. Cheap: it owns a batch and nothing else; links are shared
/// with others.
///
/// Frames of one publisher arrive in the order in which they were pushed, as far as one
/// subscription goes.
pub struct LivePublisher {
    shared: Arc<PlaneState>,
    link: usize,
    batch: VecDeque<Draft>,
    /// The publisher link may still hold frames of ours: a flush was dropped while it sent them.
    entered: bool,
    /// This batch has let others go first.
    gave_way: bool,
    /// As far as this batch has waited for subscriptions.
    patience: Option<PublisherWait>,
}

impl Publisher for LivePublisher {
    fn push(&mut self, topic: &str, frame: Bytes) {
        self.batch.push_back(Draft::new(topic, &frame, false));
    }

    fn push_reliable(&mut self, topic: &str, frame: Bytes) {
        self.batch.push_back(Draft::new(topic, &frame, true));
    }

    fn is_empty(&self) -> bool {
        self.batch.is_empty() && !self.entered
    }

    async fn flush(&mut self) {
        // Of two clients whose packets came together the runtime runs the later one first: the
        // other one has its turn here. Once a batch, however often this future is dropped, so that
        // it comes to an end.
        if !self.gave_way {
            self.gave_way = true;
            tokio::task::yield_now().await;
        }
        if self.entered {
            let mut link = self.shared.publisher_links[self.link].lock().await;
            link.pump(&self.shared).await;
            self.entered = false;
        }
        while !self.batch.is_empty() {
            self.flush_chunk().await;
        }
        (self.gave_way, self.patience) = (false, None);
    }
}

impl LivePublisher {
    pub(super) fn new(shared: Arc<PlaneState>) -> Self {
        let link = usize::try_from(shared.next_id()).unwrap_or_default() % PUBLISHER_LINKS;
        Self {
            shared,
            link,
            batch: VecDeque::new(),
            entered: false,
            gave_way: false,
            patience: None,
        }
    }

    /// Frames pushed since the last flush.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.batch.len()
    }

    /// [`flush`](Publisher::flush) for a thread that runs no tasks.
    ///
    /// # Panics
    /// When called from within an asynchronous task.
    pub fn flush_blocking(&mut self) {
        let runtime = self.shared.runtime.clone();
        runtime.block_on(self.flush());
    }

    async fn flush_chunk(&mut self) {
        let shared = &*self.shared;
        let chunk = self.chunk();
        let topics = self.batch.iter().take(chunk).map(Draft::topic);
        let patience = &mut self.patience;
        shared.pending.pass(topics, patience).await;
        loop {
            let reliable = self
                .batch
                .iter()
                .take(chunk)
                .filter(|draft| draft.reliable())
                .map(Draft::topic);
            shared.congestion.pass(reliable.clone()).await;
            let mut link = shared.publisher_links[self.link].lock().await;
            // Others may have filled the subscriber up while this one waited for its turn.
            if shared.congestion.blocks(reliable) {
                continue;
            }
            link.enter(shared, self.batch.drain(..chunk));
            self.entered = true;
            link.pump(shared).await;
            self.entered = false;
            return;
        }
    }

    /// Frames that go at once, so that congestion is looked at again before the rest.
    fn chunk(&self) -> usize {
        let mut bytes = 0;
        let fits = |draft: &&Draft| {
            bytes += draft.size();
            bytes <= BYTES_PER_EVENT
        };
        self.batch
            .iter()
            .take(MESSAGES_PER_EVENT)
            .take_while(fits)
            .count()
            .max(1)
    }
}

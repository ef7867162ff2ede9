//! What waits for window or socket, and how much of it there is.
//!
//! Every publish goes in and comes out through the same few functions, so that no figure is ever
//! left behind. It decides nothing: what has room, what is too much and what is dropped is
//! `Outbound`'s business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::outgoing_publish::{Origin, OutgoingPublish};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueuedAmount {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct SendQueue {
    /// Not to be lost.
    kept: VecDeque<OutgoingPublish>,
    /// Of `kept`: from the live plane.
    live: QueuedAmount,
    /// Of `kept`: from retained snapshots.
    snapshots: usize,
    /// May be lost.
    lossy: VecDeque<OutgoingPublish>,
    /// Of all.
    bytes: usize,
    /// Of `lossy`; the desk reads it too.
    backlog: Arc<AtomicUsize>,
}

impl SendQueue {
    pub(super) fn new(backlog: Arc<AtomicUsize>) -> SendQueue {
        SendQueue {
            kept: VecDeque::new(),
            live: QueuedAmount::default(),
            snapshots: 0,
            lossy: VecDeque::new(),
            bytes: 0,
            backlog,
        }
    }

    pub(super) fn keep(&mut self, publish: OutgoingPublish) {
        let weight = publish.weight();
        match publish.origin {
            Origin::Live => {
                self.live.messages += 1;
                self.live.bytes += weight;
            }
            Origin::Snapshot => self.snapshots += 1,
            Origin::Desk => {}
        }
        self.bytes += weight;
        self.kept.push_back(publish);
    }

    pub(super) fn keep_lossy(&mut self, publish: OutgoingPublish) {
        let weight = publish.weight();
        self.backlog.fetch_add(weight, Ordering::Relaxed);
        self.bytes += weight;
        self.lossy.push_back(publish);
    }

    /// What must not be lost and is next.
    pub(super) fn next_kept(&self) -> Option<&OutgoingPublish> {
        self.kept.front()
    }

    pub(super) fn take_kept(&mut self) -> Option<OutgoingPublish> {
        let publish = self.kept.pop_front()?;
        self.kept_leaves(&publish);
        Some(publish)
    }

    pub(super) fn take_lossy(&mut self) -> Option<OutgoingPublish> {
        let publish = self.lossy.pop_front()?;
        self.lossy_leaves(&publish);
        Some(publish)
    }

    /// Keeps what is allowed, and hands out the rest in its order.
    pub(super) fn retain(
        &mut self,
        mut allowed: impl FnMut(&str) -> bool,
        mut dropped: impl FnMut(OutgoingPublish),
    ) {
        for publish in std::mem::take(&mut self.kept) {
            if allowed(publish.message.topic()) {
                self.kept.push_back(publish);
            } else {
                self.kept_leaves(&publish);
                dropped(publish);
            }
        }
        for publish in std::mem::take(&mut self.lossy) {
            if allowed(publish.message.topic()) {
                self.lossy.push_back(publish);
            } else {
                self.lossy_leaves(&publish);
                dropped(publish);
            }
        }
    }

    fn kept_leaves(&mut self, publish: &OutgoingPublish) {
        let weight = publish.weight();
        match publish.origin {
            Origin::Live => {
                self.live.messages -= 1;
                self.live.bytes -= weight;
            }
            Origin::Snapshot => self.snapshots -= 1,
            Origin::Desk => {}
        }
        self.bytes -= weight;
    }

    fn lossy_leaves(&mut self, publish: &OutgoingPublish) {
        let weight = publish.weight();
        self.backlog.fetch_sub(weight, Ordering::Relaxed);
        self.bytes -= weight;
    }

    /// An idle session holds no queue memory.
    pub(super) fn give_back(&mut self) {
        for queue in [&mut self.kept, &mut self.lossy] {
            if queue.is_empty() && queue.capacity() > 0 {
                *queue = VecDeque::new();
            }
        }
    }

    /// Whether a message that may be lost would overtake nothing.
    pub(super) fn lets_lossy_pass(&self) -> bool {
        self.lossy.is_empty() && self.snapshots == 0
    }

    /// Messages of the live plane that must not be lost.
    pub(super) fn live(&self) -> QueuedAmount {
        self.live
    }

    /// Retained messages.
    pub(super) fn snapshots(&self) -> usize {
        self.snapshots
    }

    /// All of it, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What may be lost, in bytes.
    pub(super) fn lossy_bytes(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::{Message, Parts, Qos};

    fn publish(origin: Origin, topic: &str) -> OutgoingPublish {
        OutgoingPublish {
            origin,
            message: Message::encode(&Parts {
                topic,
                payload: b"some bytes",
                ..Parts::default()
            }),
            qos: Qos::AtLeastOnce,
            retain: false,
            dup: false,
            seq: 1,
            packet_id: None,
            subscription_ids: vec![7],
        }
    }

    fn filled(backlog: &Arc<AtomicUsize>) -> SendQueue {
        let mut waiting = SendQueue::new(Arc::clone(backlog));
        for topic in ["a", "secret"] {
            for origin in [Origin::Live, Origin::Snapshot, Origin::Desk] {
                waiting.keep(publish(origin, topic));
            }
            waiting.keep_lossy(publish(Origin::Live, topic));
        }
        waiting
    }

    #[test]
    fn what_leaves_is_counted_out_whichever_way_it_leaves() {
        let backlog = Arc::default();
        let mut waiting = filled(&backlog);
        let one = publish(Origin::Live, "a").weight();
        let other = publish(Origin::Live, "secret").weight();
        assert_eq!(waiting.bytes(), 4 * (one + other));

        let mut dropped = Vec::new();
        let not_secret = |topic: &str| topic != "secret";
        waiting.retain(not_secret, |publish| dropped.push(publish.origin));
        let (live, snapshot, desk) = (Origin::Live, Origin::Snapshot, Origin::Desk);
        assert_eq!(dropped, [live, snapshot, desk, live]);
        assert_eq!(waiting.bytes(), 4 * one, "rights were taken away");
        assert_eq!(waiting.lossy_bytes(), one);
        assert_eq!((waiting.live().messages, waiting.snapshots()), (1, 1));

        while waiting.take_kept().is_some() {}
        assert_eq!(waiting.bytes(), one);
        assert!(waiting.take_lossy().is_some());
        assert_eq!((waiting.bytes(), waiting.lossy_bytes()), (0, 0));
        assert_eq!(
            (waiting.live(), waiting.snapshots()),
            (QueuedAmount::default(), 0)
        );
        waiting.give_back();
        assert_eq!(waiting.kept.capacity() + waiting.lossy.capacity(), 0);
    }
}

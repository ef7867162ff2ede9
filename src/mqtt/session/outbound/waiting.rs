//! What waits for window or socket, and how much of it there is.
//!
//! Every parcel goes in and comes out through the same few functions, so that no figure is ever left behind. It decides nothing:
//! what has room, what is too much and what is dropped is `Outbound`'s business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::parcel::{Origin, Parcel};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Waiting {
    /// Not to be lost.
    kept: VecDeque<Parcel>,
    /// Of `kept`: from the live plane.
    live: Load,
    /// Of `kept`: from retained snapshots.
    snapshots: usize,
    /// May be lost.
    lossy: VecDeque<Parcel>,
    /// Of all.
    bytes: usize,
    /// Of `lossy`; the desk reads it too.
    backlog: Arc<AtomicUsize>,
}

impl Waiting {
    pub(super) fn new(backlog: Arc<AtomicUsize>) -> Waiting {
        Waiting {
            kept: VecDeque::new(),
            live: Load::default(),
            snapshots: 0,
            lossy: VecDeque::new(),
            bytes: 0,
            backlog,
        }
    }

    pub(super) fn keep(&mut self, parcel: Parcel) {
        let weight = parcel.weight();
        match parcel.origin {
            Origin::Live => {
                self.live.messages += 1;
                self.live.bytes += weight;
            }
            Origin::Snapshot => self.snapshots += 1,
            Origin::Desk => {}
        }
        self.bytes += weight;
        self.kept.push_back(parcel);
    }

    pub(super) fn keep_lossy(&mut self, parcel: Parcel) {
        let weight = parcel.weight();
        self.backlog.fetch_add(weight, Ordering::Relaxed);
        self.bytes += weight;
        self.lossy.push_back(parcel);
    }

    /// What must not be lost and is next.
    pub(super) fn next_kept(&self) -> Option<&Parcel> {
        self.kept.front()
    }

    pub(super) fn take_kept(&mut self) -> Option<Parcel> {
        let parcel = self.kept.pop_front()?;
        self.kept_leaves(&parcel);
        Some(parcel)
    }

    pub(super) fn take_lossy(&mut self) -> Option<Parcel> {
        let parcel = self.lossy.pop_front()?;
        self.lossy_leaves(&parcel);
        Some(parcel)
    }

    /// Keeps what is allowed, and hands out the rest in its order.
    pub(super) fn retain(
        &mut self,
        mut allowed: impl FnMut(&str) -> bool,
        mut dropped: impl FnMut(Parcel),
    ) {
        for parcel in std::mem::take(&mut self.kept) {
            if allowed(parcel.message.topic()) {
                self.kept.push_back(parcel);
            } else {
                self.kept_leaves(&parcel);
                dropped(parcel);
            }
        }
        for parcel in std::mem::take(&mut self.lossy) {
            if allowed(parcel.message.topic()) {
                self.lossy.push_back(parcel);
            } else {
                self.lossy_leaves(&parcel);
                dropped(parcel);
            }
        }
    }

    fn kept_leaves(&mut self, parcel: &Parcel) {
        let weight = parcel.weight();
        match parcel.origin {
            Origin::Live => {
                self.live.messages -= 1;
                self.live.bytes -= weight;
            }
            Origin::Snapshot => self.snapshots -= 1,
            Origin::Desk => {}
        }
        self.bytes -= weight;
    }

    fn lossy_leaves(&mut self, parcel: &Parcel) {
        let weight = parcel.weight();
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
    pub(super) fn live(&self) -> Load {
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

    fn parcel(origin: Origin, topic: &str) -> Parcel {
        Parcel {
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

    fn filled(backlog: &Arc<AtomicUsize>) -> Waiting {
        let mut waiting = Waiting::new(Arc::clone(backlog));
        for topic in ["a", "secret"] {
            for origin in [Origin::Live, Origin::Snapshot, Origin::Desk] {
                waiting.keep(parcel(origin, topic));
            }
            waiting.keep_lossy(parcel(Origin::Live, topic));
        }
        waiting
    }

    #[test]
    fn what_leaves_is_counted_out_whichever_way_it_leaves() {
        let backlog = Arc::default();
        let mut waiting = filled(&backlog);
        let one = parcel(Origin::Live, "a").weight();
        let other = parcel(Origin::Live, "secret").weight();
        assert_eq!(waiting.bytes(), 4 * (one + other));

        let mut dropped = Vec::new();
        let not_secret = |topic: &str| topic != "secret";
        waiting.retain(not_secret, |parcel| dropped.push(parcel.origin));
        let (live, snapshot, desk) = (Origin::Live, Origin::Snapshot, Origin::Desk);
        assert_eq!(dropped, [live, snapshot, desk, live]);
        assert_eq!(waiting.bytes(), 4 * one, "rights were taken away");
        assert_eq!(waiting.lossy_bytes(), one);
        assert_eq!((waiting.live().messages, waiting.snapshots()), (1, 1));

        while waiting.take_kept().is_some() {}
        assert_eq!(waiting.bytes(), one);
        assert!(waiting.take_lossy().is_some());
        assert_eq!((waiting.bytes(), waiting.lossy_bytes()), (0, 0));
        assert_eq!((waiting.live(), waiting.snapshots()), (Load::default(), 0));
        waiting.give_back();
        assert_eq!(waiting.kept.capacity() + waiting.lossy.capacity(), 0);
    }
}

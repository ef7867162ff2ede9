//! A live plane in memory, which tells the test what it was told.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::live::{Plane, Publisher, Received, Subscriber};
use crate::wire::filter::matches;
use crate::wire::message::Message;

/// What the live plane was told.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    Subscribed(String),
    Unsubscribed(String),
    /// Topic, reliable.
    Published(String, bool),
    Congested(bool),
}

enum Arriving {
    Frame(Bytes),
    Report(Received),
}

struct Listener {
    filters: Vec<String>,
    frames: mpsc::UnboundedSender<Arriving>,
}

/// A live plane in memory.
#[derive(Clone)]
pub(super) struct FakePlane {
    listeners: Arc<Mutex<Vec<Listener>>>,
    saw: mpsc::UnboundedSender<Seen>,
    held: Arc<watch::Sender<bool>>,
    /// Filters that were subscribed reliably.
    pub(super) relied_on: Arc<Mutex<Vec<String>>>,
}

impl FakePlane {
    pub(super) fn new() -> (FakePlane, mpsc::UnboundedReceiver<Seen>) {
        let (saw, seen) = mpsc::unbounded_channel();
        let plane = FakePlane {
            listeners: Arc::default(),
            saw,
            held: Arc::new(watch::Sender::new(false)),
            relied_on: Arc::default(),
        };
        (plane, seen)
    }

    /// Sends a message to whoever listens.
    pub(super) fn send(&self, message: &Message) {
        for listener in self.listeners.lock().unwrap().iter() {
            if listener
                .filters
                .iter()
                .any(|filter| matches(filter, message.topic()))
            {
                let _ = listener
                    .frames
                    .send(Arriving::Frame(message.as_bytes().clone()));
            }
        }
    }

    /// Tells every listener about its slowness.
    pub(super) fn report(&self, missed: u64, too_slow: bool) {
        for listener in self.listeners.lock().unwrap().iter() {
            let _ = listener
                .frames
                .send(Arriving::Report(Received { missed, too_slow }));
        }
    }

    /// Makes flushes wait, or lets them go on.
    pub(super) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }
}

impl Plane for FakePlane {
    type Publisher = FakePublisher;
    type Subscriber = FakeSubscriber;

    fn publisher(&self) -> FakePublisher {
        FakePublisher {
            plane: self.clone(),
            batch: Vec::new(),
        }
    }

    fn subscriber(&self) -> FakeSubscriber {
        let (frames, arriving) = mpsc::unbounded_channel();
        let mut listeners = self.listeners.lock().unwrap();
        listeners.push(Listener {
            filters: Vec::new(),
            frames,
        });
        FakeSubscriber {
            plane: self.clone(),
            index: listeners.len() - 1,
            arriving,
        }
    }
}

pub(super) struct FakePublisher {
    plane: FakePlane,
    batch: Vec<(String, Bytes, bool)>,
}

impl Publisher for FakePublisher {
    fn push(&mut self, topic: &str, frame: Bytes) {
        self.batch.push((topic.to_owned(), frame, false));
    }

    fn push_reliable(&mut self, topic: &str, frame: Bytes) {
        self.batch.push((topic.to_owned(), frame, true));
    }

    fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    async fn flush(&mut self) {
        let mut held = self.plane.held.subscribe();
        held.wait_for(|&held| !held).await.unwrap();
        for (topic, frame, reliable) in self.batch.drain(..) {
            self.plane.send(&Message::decode(frame).unwrap());
            let _ = self.plane.saw.send(Seen::Published(topic, reliable));
        }
    }
}

pub(super) struct FakeSubscriber {
    plane: FakePlane,
    index: usize,
    arriving: mpsc::UnboundedReceiver<Arriving>,
}

impl Subscriber for FakeSubscriber {
    async fn subscribe(&mut self, filter: &str, reliable: bool) {
        if reliable {
            self.plane.relied_on.lock().unwrap().push(filter.to_owned());
        }
        self.plane.listeners.lock().unwrap()[self.index]
            .filters
            .push(filter.to_owned());
        let _ = self.plane.saw.send(Seen::Subscribed(filter.to_owned()));
    }

    async fn unsubscribe(&mut self, filter: &str) {
        let mut listeners = self.plane.listeners.lock().unwrap();
        listeners[self.index]
            .filters
            .retain(|standing| standing != filter);
        let _ = self.plane.saw.send(Seen::Unsubscribed(filter.to_owned()));
    }

    async fn recv(&mut self, out: &mut Vec<Bytes>, max: usize) -> Received {
        let mut next = self.arriving.recv().await;
        while let Some(arrived) = next {
            match arrived {
                Arriving::Frame(frame) => out.push(frame),
                Arriving::Report(received) => return received,
            }
            next = if out.len() < max {
                self.arriving.try_recv().ok()
            } else {
                None
            };
        }
        Received::default()
    }

    fn set_congested(&mut self, congested: bool) {
        let _ = self.plane.saw.send(Seen::Congested(congested));
    }
}

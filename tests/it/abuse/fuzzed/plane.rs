//! A live plane in memory that hands every frame to whoever listens at once. Each subscriber gets a
//! frame once.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hallward::live::{Plane, Publisher, Received, Subscriber};
use hallward::wire::filter::matches;
use tokio::sync::mpsc;

#[derive(Debug)]
struct Listener {
    number: usize,
    filters: Vec<String>,
    frames: mpsc::UnboundedSender<Bytes>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct MemoryPlane(Arc<Mutex<(usize, Vec<Listener>)>>);

impl MemoryPlane {
    fn with<T>(&self, act: impl FnOnce(&mut usize, &mut Vec<Listener>) -> T) -> T {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, listeners) = &mut *inner;
        act(last, listeners)
    }

    pub(super) fn send(&self, topic: &str, frame: &Bytes) {
        self.with(|_, listeners| {
            for listener in listeners {
                if listener.filters.iter().any(|filter| matches(filter, topic)) {
                    // Whoever is about to leave need not hear it.
                    let _ = listener.frames.send(frame.clone());
                }
            }
        });
    }

    /// How many listen.
    pub(super) fn listeners(&self) -> usize {
        self.with(|_, listeners| listeners.len())
    }
}

impl Plane for MemoryPlane {
    type Publisher = Sender;
    type Subscriber = Receiver;

    fn publisher(&self) -> Sender {
        Sender(self.clone(), Vec::new())
    }

    fn subscriber(&self) -> Receiver {
        let (frames, arriving) = mpsc::unbounded_channel();
        let number = self.with(|last, listeners| {
            *last += 1;
            listeners.push(Listener {
                number: *last,
                filters: Vec::new(),
                frames,
            });
            *last
        });
        Receiver {
            plane: self.clone(),
            number,
            arriving,
        }
    }
}

pub(super) struct Sender(MemoryPlane, Vec<(String, Bytes)>);

impl Publisher for Sender {
    fn push(&mut self, topic: &str, frame: Bytes) {
        self.1.push((topic.to_owned(), frame));
    }

    fn push_reliable(&mut self, topic: &str, frame: Bytes) {
        self.push(topic, frame);
    }

    fn is_empty(&self) -> bool {
        self.1.is_empty()
    }

    async fn flush(&mut self) {
        for (topic, frame) in self.1.drain(..) {
            self.0.send(&topic, &frame);
        }
    }
}

pub(super) struct Receiver {
    plane: MemoryPlane,
    number: usize,
    arriving: mpsc::UnboundedReceiver<Bytes>,
}

impl Receiver {
    fn filters(&self, act: impl FnOnce(&mut Vec<String>)) {
        self.plane.with(|_, listeners| {
            let own = listeners.iter_mut().find(|own| own.number == self.number);
            act(&mut own.expect("it listens until it is dropped").filters);
        });
    }
}

impl Subscriber for Receiver {
    async fn subscribe(&mut self, filter: &str, _: bool) {
        self.filters(|filters| filters.push(filter.to_owned()));
    }

    async fn unsubscribe(&mut self, filter: &str) {
        self.filters(|filters| filters.retain(|own| own != filter));
    }

    async fn recv(&mut self, out: &mut Vec<Bytes>, max: usize) -> Received {
        self.arriving.recv_many(out, max).await;
        Received::default()
    }

    fn set_congested(&mut self, _: bool) {}
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.plane
            .with(|_, listeners| listeners.retain(|own| own.number != self.number));
    }
}

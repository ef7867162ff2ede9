//! Fits the live plane into the seam that the front door has for it.

use bytes::Bytes;

use crate::live;
use crate::mqtt::plane::{Plane, Publisher, Received, Subscriber};

/// The gateway's live plane, as sessions see it.
#[derive(Clone)]
pub struct LivePlane(pub(super) live::Plane);

impl Plane for LivePlane {
    type Publisher = live::Publisher;
    type Subscriber = live::Subscriber;

    fn publisher(&self) -> live::Publisher {
        self.0.publisher()
    }

    fn subscriber(&self) -> live::Subscriber {
        self.0.subscriber()
    }
}

impl Publisher for live::Publisher {
    fn push(&mut self, topic: &str, frame: Bytes) {
        live::Publisher::push(self, topic, frame);
    }

    fn push_reliable(&mut self, topic: &str, frame: Bytes) {
        live::Publisher::push_reliable(self, topic, frame);
    }

    fn is_empty(&self) -> bool {
        live::Publisher::is_empty(self)
    }

    async fn flush(&mut self) {
        live::Publisher::flush(self).await;
    }
}

impl Subscriber for live::Subscriber {
    async fn subscribe(&mut self, filter: &str, reliable: bool) {
        if reliable {
            self.subscribe_reliable(filter).await;
        } else {
            live::Subscriber::subscribe(self, filter).await;
        }
    }

    async fn unsubscribe(&mut self, filter: &str) {
        live::Subscriber::unsubscribe(self, filter).await;
    }

    async fn recv(&mut self, out: &mut Vec<Bytes>, max: usize) -> Received {
        let received = live::Subscriber::recv(self, out, max).await;
        Received {
            missed: received.missed,
            too_slow: received.too_slow,
        }
    }

    fn set_congested(&mut self, congested: bool) {
        live::Subscriber::set_congested(self, congested);
    }
}

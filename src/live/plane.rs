//! What a session needs of a live plane, and no more: the real one has it, and so have those of
//! tests.

use std::future::Future;

use bytes::Bytes;

/// Where sessions publish to, and receive from, whoever is connected now.
pub trait Plane: Clone + Send + Sync + 'static {
    /// The sending end.
    type Publisher: Publisher;
    /// The receiving end.
    type Subscriber: Subscriber;

    /// A sending end of its own; cheap.
    fn publisher(&self) -> Self::Publisher;
    /// A receiving end of its own; cheap until it subscribes.
    fn subscriber(&self) -> Self::Subscriber;
}

/// Sends frames in batches, in order.
pub trait Publisher: Send + 'static {
    /// Adds a frame that may be lost to a subscriber that lags.
    fn push(&mut self, topic: &str, frame: Bytes);
    /// Adds a frame that must not be: the flush waits for its subscribers.
    fn push_reliable(&mut self, topic: &str, frame: Bytes);
    /// Whether there is nothing to flush.
    fn is_empty(&self) -> bool;
    /// Sends the batch; this is where a publisher is slowed. Cancel-safe: the rest goes with the
    /// next flush.
    fn flush(&mut self) -> impl Future<Output = ()> + Send;
}

/// Receives each frame once, however many of its filters match.
pub trait Subscriber: Send + 'static {
    /// When it returns, everything flushed later will be received. Cancelled, it may be called
    /// again. With `reliable`, publishers of reliable frames also wait when this subscriber falls
    /// far behind in what the filter selects, and a filter that is subscribed without becomes so.
    fn subscribe(&mut self, filter: &str, reliable: bool) -> impl Future<Output = ()> + Send;
    /// Drops a filter.
    fn unsubscribe(&mut self, filter: &str) -> impl Future<Output = ()> + Send;
    /// Appends at most `max` frames to `out`, at least one unless there is something to say.
    /// Cancel-safe. Pends for ever while nothing is subscribed.
    fn recv(&mut self, out: &mut Vec<Bytes>, max: usize) -> impl Future<Output = Received> + Send;
    /// Says whether the session can take more; while it cannot, publishers of reliable frames wait.
    fn set_congested(&mut self, congested: bool);
}

/// What a receive has to say beside the frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// Frames jumped over because this subscriber lagged.
    pub missed: u64,
    /// It held publishers up for longer than they are asked to wait.
    pub too_slow: bool,
}

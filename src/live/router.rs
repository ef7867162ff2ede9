//! One rumqttd router and links to it. Every rumqttd type of the crate is confined to this file.
//!
//! A [`Router`] is a thread that owns all logs and subscriptions; it has no way to be told to stop,
//! so the last handle that drops makes it unwind. A [`Link`] is one connection to it, owned by one
//! task; dropping it frees the router's slot. The rules that keep the router thread alive (our own
//! link names, prefixed topics, `Ready` only in answer to `Unschedule` and never after closing) are
//! kept here. Called by the supervisor, publishers and subscribers.

use std::collections::HashSet;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rumqttd::local::{LinkBuilder, LinkRx, LinkTx};
use rumqttd::protocol::{
    Disconnect, DisconnectReasonCode, Filter, Packet, PingReq, Publish, QoS, RetainForwardRule,
    Subscribe, SubscribeProperties, Unsubscribe,
};
use rumqttd::{Forward, Notification, RouterConfig};
use tokio::sync::{mpsc, oneshot};

use super::frame::SealedFrame;
use super::plane_state::Orders;
use super::stats::LiveStats;
use super::topics;

/// Messages that the router reads from one filter's log in a turn.
const MESSAGES_PER_TURN: u64 = 100;

/// The router, or at least this link to it, is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the live router is gone")]
pub(super) struct Gone;

/// Limits of one router.
#[derive(Debug, Clone, Copy)]
pub(super) struct RouterLimits {
    pub(super) links: usize,
    pub(super) segment_bytes: usize,
    pub(super) segments: usize,
}

/// Links that may wait to be opened; more of them wait to be allowed to wait.
const OPENINGS_QUEUED: usize = 64;

/// A running router thread.
pub(super) struct Router {
    openings: mpsc::Sender<LinkRequest>,
    counters: Arc<LiveStats>,
    orders: Arc<Orders>,
    links_named: AtomicU64,
    /// Hashes of the filters ever subscribed: the router keeps a log for each, for ever.
    filters: Mutex<HashSet<u64>>,
    thread_name: String,
    /// Only ever used to end the thread.
    stop_link: Mutex<(LinkTx, LinkRx)>,
}

/// A link wanted.
struct LinkRequest {
    router: Arc<Router>,
    reply: oneshot::Sender<Result<Link, Gone>>,
}

impl Router {
    /// Starts a router thread, and a thread that opens links to it. Returns a first link. Blocks
    /// until the router answers: some ten microseconds.
    pub(super) fn spawn(
        limits: RouterLimits,
        counters: &Arc<LiveStats>,
        orders: &Arc<Orders>,
    ) -> Result<(Arc<Self>, Link), Gone> {
        static ROUTERS_OF_THIS_PROCESS: AtomicUsize = AtomicUsize::new(0);
        let number = ROUTERS_OF_THIS_PROCESS.fetch_add(1, Ordering::Relaxed);
        let config = RouterConfig {
            max_connections: limits.links,
            max_outgoing_packet_count: MESSAGES_PER_TURN,
            max_segment_size: limits.segment_bytes,
            max_segment_count: limits.segments,
            ..RouterConfig::default()
        };
        let events = rumqttd::Router::new(number, config).spawn();
        // The type of an event cannot be named, so its channel lives in a closure.
        let connect = move |name: &str| {
            LinkBuilder::new(name, events.clone())
                .build()
                .map(|(tx, rx, _)| (tx, rx))
                .map_err(|_| Gone)
        };
        let stop_link = connect("fuse")?;
        counters.routers_started.add(1);
        let (openings, queue) = mpsc::channel(OPENINGS_QUEUED);
        let router = Arc::new(Self {
            openings,
            counters: Arc::clone(counters),
            orders: Arc::clone(orders),
            links_named: AtomicU64::new(0),
            filters: Mutex::default(),
            thread_name: format!("router-{number}"),
            stop_link: Mutex::new(stop_link),
        });
        let first = Link::connect(&router, &connect)?;
        let opener = std::thread::Builder::new().name(format!("links-{number}"));
        opener
            .spawn(move || open_links(queue, &connect))
            .map_err(|_| Gone)?;
        Ok((router, first))
    }

    /// Links ever opened.
    pub(super) fn links_seen(&self) -> u64 {
        self.links_named.load(Ordering::Relaxed)
    }

    /// Distinct filters ever subscribed.
    pub(super) fn filters_seen(&self) -> usize {
        self.filters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Makes the router thread unwind, as a panic does.
    pub(super) fn crash(&self) {
        let payload = Bytes::from_owner(StopPayload {
            thread_name: self.thread_name.clone(),
        });
        // No subscription can match a topic without prefix: the router thread itself drops the only
        // reference.
        let publish = Publish::new(Bytes::from_static(b"stop"), payload, false);
        let mut stop_link = self
            .stop_link
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        poll_once(stop_link.0.send(Packet::Publish(publish, None)));
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Opens links one after the other until the router is dropped.
///
/// On a thread of its own, because opening one blocks until the router answers, and that may be
/// never: a request that is in the router's channel when it dies is neither answered nor dropped.
/// Such a thread stays behind, asleep; there is one at most for each router that dies.
fn open_links(
    mut queue: mpsc::Receiver<LinkRequest>,
    connect: &impl Fn(&str) -> Result<(LinkTx, LinkRx), Gone>,
) {
    while let Some(LinkRequest { router, reply }) = queue.blocking_recv() {
        reply.send(Link::connect(&router, connect)).ok();
    }
}

/// A payload that ends the router thread that drops it. The router has no stop event and never lets
/// go of its own channel, so unwinding is its only way out; `resume_unwind` spares the operator a
/// panic message for it.
struct StopPayload {
    thread_name: String,
}

impl AsRef<[u8]> for StopPayload {
    fn as_ref(&self) -> &[u8] {
        b"stop"
    }
}

impl Drop for StopPayload {
    fn drop(&mut self) {
        if std::thread::current().name() == Some(&self.thread_name) {
            std::panic::resume_unwind(Box::new("the live router was told to end"));
        }
    }
}

/// What a link hears from the router.
#[derive(Debug)]
pub(super) enum Notice {
    /// A message of the subscription `slot`, at `offset` of that filter's log.
    Message {
        slot: u32,
        offset: u64,
        topic: Bytes,
        payload: Bytes,
    },
    /// The router stopped sending until [`Link::resume`].
    Paused,
    /// The subscription request with this packet id is in force.
    Subscribed(u16),
    /// One more [`Link::ping`] has come back: all that was sent before it has been processed.
    Pong,
    /// Nothing of interest.
    Nothing,
}

/// One connection to a router, owned by one task.
pub(super) struct Link {
    tx: LinkTx,
    rx: LinkRx,
    router: Arc<Router>,
    /// Closed by us or by the router: nothing may be sent any more.
    closed: bool,
    last_packet_id: u16,
}

impl Link {
    /// Opens a link. Never returns if the router dies at the wrong moment: the caller must watch
    /// for that.
    pub(super) async fn open(router: &Arc<Router>) -> Result<Self, Gone> {
        let (reply, answer) = oneshot::channel();
        router
            .openings
            .send(LinkRequest {
                router: Arc::clone(router),
                reply,
            })
            .await
            .map_err(|_| Gone)?;
        answer.await.unwrap_or(Err(Gone))
    }

    fn connect(
        router: &Arc<Router>,
        connect: &impl Fn(&str) -> Result<(LinkTx, LinkRx), Gone>,
    ) -> Result<Self, Gone> {
        // Names are never used twice: the router keeps something for every name that it has ever
        // seen.
        let name = format!(
            "link-{}",
            router.links_named.fetch_add(1, Ordering::Relaxed)
        );
        let (tx, rx) = connect(&name)?;
        router.counters.links_open.add_one();
        Ok(Self {
            tx,
            rx,
            router: Arc::clone(router),
            closed: false,
            last_packet_id: 0,
        })
    }

    /// Asks for `filter`, its messages to be marked with `slot`; slot 0 costs nothing on the way,
    /// others an allocation for each message. Returns the packet id that [`Notice::Subscribed`]
    /// will carry.
    pub(super) fn subscribe(&mut self, filter: &str, slot: u32) -> Result<u16, Gone> {
        self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        let mut hasher = DefaultHasher::new();
        filter.hash(&mut hasher);
        self.router
            .filters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hasher.finish());
        let filter = Filter {
            path: topics::routed(filter),
            qos: QoS::AtMostOnce,
            nolocal: false,
            preserve_retain: false,
            retain_forward_rule: RetainForwardRule::Never,
        };
        let properties = (slot > 0).then(|| SubscribeProperties {
            id: Some(slot as usize),
            user_properties: Vec::new(),
        });
        let subscribe = Subscribe {
            pkid: self.last_packet_id,
            filters: vec![filter],
        };
        self.send(Packet::Subscribe(subscribe, properties))?;
        Ok(self.last_packet_id)
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) -> Result<(), Gone> {
        let unsubscribe = Unsubscribe {
            pkid: 1,
            filters: vec![topics::routed(filter)],
        };
        self.send(Packet::Unsubscribe(unsubscribe, None))?;
        self.router.orders.sweep.notify_one();
        Ok(())
    }

    /// Asks for a [`Notice::Pong`].
    pub(super) fn ping(&mut self) -> Result<(), Gone> {
        self.send(Packet::PingReq(PingReq))
    }

    /// Hands over a batch followed by a ping, as one event for the router.
    pub(super) fn publish(&mut self, batch: impl Iterator<Item = SealedFrame>) -> Result<(), Gone> {
        {
            let mut buffer = self.tx.buffer();
            buffer.extend(batch.map(|sealed| {
                let publish = Publish::new(sealed.topic, sealed.payload, false);
                Packet::Publish(publish, None)
            }));
        }
        self.ping()
    }

    /// Takes back the messages that the router has not taken. For a link whose router is gone.
    pub(super) fn take_back(&mut self) -> Vec<SealedFrame> {
        let mut buffer = self.tx.buffer();
        let packets = buffer.drain(..);
        packets
            .filter_map(|packet| match packet {
                Packet::Publish(publish, _) => Some(SealedFrame {
                    topic: publish.topic,
                    payload: publish.payload,
                }),
                _ => None,
            })
            .collect()
    }

    /// Lets the router send again. Exactly one for each [`Notice::Paused`]: a debug build of the
    /// router asserts it.
    pub(super) fn resume(&mut self) -> Result<(), Gone> {
        if self.closed {
            return Err(Gone);
        }
        self.rx.ready().map_err(|_| Gone)
    }

    /// Waits for the next notice. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Notice, Gone> {
        loop {
            match self.rx.next().await {
                Ok(Some(notification)) => return self.read(notification),
                // A wake-up whose messages were already taken along with an earlier one's.
                Ok(None) => {}
                Err(_) => return Err(Gone),
            }
        }
    }

    /// The next notice if there is one already.
    pub(super) fn take_now(&mut self) -> Option<Result<Notice, Gone>> {
        poll_once(self.next())
    }

    fn send(&mut self, packet: Packet) -> Result<(), Gone> {
        if self.closed {
            return Err(Gone);
        }
        // Never pending: it waits, if ever, on the router's bounded channel, and the router waits
        // for nobody.
        match poll_once(self.tx.send(packet)) {
            Some(Ok(_)) => Ok(()),
            _ => Err(Gone),
        }
    }

    fn disconnect(&mut self) {
        let reason_code = DisconnectReasonCode::NormalDisconnection;
        self.send(Packet::Disconnect(Disconnect { reason_code }, None))
            .ok();
        self.closed = true;
    }

    fn read(&mut self, notification: Notification) -> Result<Notice, Gone> {
        match notification {
            Notification::Forward(forward) => Ok(read_message(forward)),
            Notification::Unschedule => Ok(Notice::Paused),
            Notification::DeviceAck(ack) => Ok(match Packet::from(ack) {
                Packet::SubAck(ack, _) => Notice::Subscribed(ack.pkid),
                Packet::PingResp(_) => Notice::Pong,
                _ => Notice::Nothing,
            }),
            Notification::Disconnect(..) => {
                self.closed = true;
                Err(Gone)
            }
            _ => Ok(Notice::Nothing),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.disconnect();
        self.router.counters.links_open.lower();
        self.router.orders.sweep.notify_one();
    }
}

fn read_message(forward: Forward) -> Notice {
    let Some((_, offset)) = forward.cursor else {
        return Notice::Nothing; // only retained messages have no cursor, and this router is given none
    };
    let slot = forward
        .properties
        .and_then(|properties| properties.subscription_identifiers.first().copied())
        .and_then(|id| u32::try_from(id).ok())
        .unwrap_or(0);
    Notice::Message {
        slot,
        offset,
        topic: forward.publish.topic,
        payload: forward.publish.payload,
    }
}

/// The future's output if it is ready at the first poll.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

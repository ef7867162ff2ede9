//! The connection: MQTT as far as an agent needs it.
//!
//! Packets are rumqttc's; what is done with them is ours, because a room's mail asks for more than
//! its event loop does: acknowledgements in the order of receipt (MQTT-4.6.0-2) and never for a
//! message of an earlier connection, publishes that survive a session that is gone, DUP on what is
//! sent again (MQTT-3.3.1-1), and acknowledgements that do not queue behind publishes.
//!
//! [`LinkHandle`] is what the rest of the SDK holds. `driver` owns the socket and one task;
//! `flow` is what is on its way to the gateway and `receipts` what came from it, both without I/O;
//! `routes` finds who wants a message; `packets` hides which MQTT version is spoken.

mod driver;
mod flow;
mod handshake;
mod options;
mod packets;
mod pulse;
mod receipts;
mod routes;
mod status;
mod subscriptions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::error::Error;
use driver::{Close, Driver, LinkOrder};
use flow::Outgoing;
use receipts::Receipts;
use routes::Routes;

pub use options::Protocol;
pub(super) use options::{Endpoint, LinkOptions};
pub(super) use routes::{Letter, RouteId};
pub use status::ConnectionStatus;
pub(super) use status::{LinkWatch, StatusBoard};

/// Orders that wait for the driver at most; who gives more waits as well.
const ORDERS: usize = 256;

/// One agent's connection, for as long as anybody holds this.
#[derive(Debug, Clone)]
pub(super) struct LinkHandle {
    orders: mpsc::Sender<LinkOrder>,
    closes: mpsc::Sender<Close>,
    routes: Arc<Routes>,
    receipts: Arc<Receipts>,
    status: Arc<StatusBoard>,
}

impl LinkHandle {
    /// Connects, and returns once the gateway has said yes.
    ///
    /// # Errors
    /// [`Error::Unconnected`] if it says no, or cannot be reached in time.
    pub(super) async fn open(options: LinkOptions) -> Result<LinkHandle, Error> {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (closes, closings) = mpsc::channel(1);
        let (opened, open) = oneshot::channel();
        let link = LinkHandle {
            orders,
            closes,
            routes: Arc::default(),
            receipts: Arc::default(),
            status: Arc::new(StatusBoard::new()),
        };
        let within = options.deadline;
        let driver = Driver::new(
            options,
            inbox,
            closings,
            link.routes.clone(),
            link.receipts.clone(),
            link.status.clone(),
        );
        let running = tokio::spawn(driver.run(opened));
        match tokio::time::timeout(within, open).await {
            Ok(Ok(outcome)) => outcome.map(|()| link),
            Ok(Err(_)) => Err(Error::Disconnected),
            Err(_) => {
                running.abort();
                let why = link.status.last_trouble();
                Err(Error::Unconnected(format!("{why} ({within:?})")))
            }
        }
    }

    /// Publishes at QoS 1, and waits for the PUBACK; returns the number of the connection that
    /// brought it. What is dropped before it was sent never is.
    ///
    /// # Errors
    /// What the PUBACK refuses (MQTT 5), as the reply with that code would be; [`Error::Overflow`]
    /// where too much waits for a connection.
    pub(super) async fn publish(&self, publication: Posting) -> Result<u64, Error> {
        let (done, acked) = oneshot::channel();
        let outgoing = Outgoing::new(publication, done);
        self.give(LinkOrder::Publish(outgoing)).await?;
        acked.await.unwrap_or_else(|_| Err(self.status.gone()))
    }

    /// Has what matches the filter handed to the sink, also after a reconnect; returns once the
    /// gateway has granted it. The sink runs where packets are read: it must not wait for anything.
    pub(super) async fn subscribe(
        &self,
        filter: String,
        level: Level,
        sink: impl Fn(Letter) + Send + Sync + 'static,
    ) -> Result<RouteId, Error> {
        let route = self.routes.add(&filter, Arc::new(sink));
        let guard = RouteGuard {
            link: self,
            route: Some(route),
        };
        let (done, granted) = oneshot::channel();
        self.give(LinkOrder::Subscribe {
            filter,
            level,
            done,
        })
        .await?;
        granted
            .await
            .unwrap_or_else(|_| Err(self.status.gone()))
            .map(|()| guard.keep())
    }

    /// The sink gets nothing more; with the last one of its filter the gateway is told.
    pub(super) fn unsubscribe(&self, route: &RouteId) {
        if self.routes.remove(route) {
            let order = LinkOrder::Unsubscribe(route.filter.clone());
            // Full or gone: what still comes finds no route, and that is all.
            let _ = self.orders.try_send(order);
        }
    }

    /// Deliveries that are not acknowledged yet.
    pub(super) fn unacked(&self) -> usize {
        self.receipts.len()
    }

    /// Waits until everything that was handled is acknowledged, ends the session, and disconnects.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.closes.send(done).await.is_ok() {
            // An error means that the driver ended in another way.
            let _ = closed.await;
        }
    }

    /// What became of the connection.
    pub(super) fn status(&self) -> &StatusBoard {
        &self.status
    }

    /// Waits for what becomes of the connection.
    pub(super) fn connections(&self) -> LinkWatch {
        self.status.linked()
    }

    async fn give(&self, order: LinkOrder) -> Result<(), Error> {
        let sent = self.orders.send(order).await;
        sent.map_err(|_| self.status.gone())
    }
}

/// Takes a route away again if its subscription comes to nothing.
struct RouteGuard<'a> {
    link: &'a LinkHandle,
    route: Option<RouteId>,
}

impl RouteGuard<'_> {
    fn keep(mut self) -> RouteId {
        self.route.take().expect("kept once, by value")
    }
}

impl Drop for RouteGuard<'_> {
    fn drop(&mut self) {
        if let Some(route) = &self.route {
            self.link.unsubscribe(route);
        }
    }
}

/// At which QoS a subscription is: what takes a place in the window, and what does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// QoS 0: it may be lost with the connection, and can be asked for again.
    Fleeting,
    /// QoS 1: it comes again until it is acknowledged.
    Certain,
}

/// A message to publish.
#[derive(Debug, Clone, Default)]
pub(super) struct Posting {
    /// The whole topic.
    pub(super) topic: String,
    /// The bytes.
    pub(super) payload: Bytes,
    /// Seconds after which the gateway may drop it (MQTT 5).
    pub(super) expiry: Option<u32>,
    /// The gateway keeps it for who subscribes later.
    pub(super) retain: bool,
    /// Set once it may have reached the gateway.
    pub(super) sent: Sent,
}

/// Whether something may have reached the gateway, for who gave up waiting for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<AtomicBool>);

impl Sent {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

//! Accepts connections, one task each, and lets them go.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::desk::Memory;
use crate::desk::port::{ConnectionId, Interest, Request};

use super::config::MqttConfig;
use super::metrics::Metrics;
use super::opening;
use super::plane::Plane;

/// A pause after the system refused to accept (too many open files, say): trying again at once would only burn time.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What every connection of the gateway shares.
pub struct Door<P> {
    pub(super) config: MqttConfig,
    pub(super) desk: mpsc::Sender<Request>,
    pub(super) interest: Arc<dyn Interest>,
    pub(super) plane: P,
    pub(super) metrics: Arc<Metrics>,
    pub(super) memory: Arc<Memory>,
    last_connection: AtomicU64,
}

impl<P: Plane> Door<P> {
    /// A door to one desk and one live plane.
    pub fn new(
        config: MqttConfig,
        desk: mpsc::Sender<Request>,
        interest: Arc<dyn Interest>,
        plane: P,
        metrics: Arc<Metrics>,
        memory: Arc<Memory>,
    ) -> Arc<Door<P>> {
        Arc::new(Door {
            config,
            desk,
            interest,
            plane,
            metrics,
            memory,
            last_connection: AtomicU64::new(0),
        })
    }

    /// Serves one byte stream, whatever carries it, until it closes or `stop` turns true.
    pub async fn serve_stream<S>(self: Arc<Self>, stream: S, stop: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.metrics.connections_open.add(1);
        self.metrics.connections_total.add(1);
        let open = OpenConnection(Arc::clone(&self.metrics));
        opening::serve(self, stream, stop).await;
        drop(open);
    }

    pub(super) fn next_connection(&self) -> ConnectionId {
        self.last_connection.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Counts a connection as open while it lives, however it ends.
struct OpenConnection(Arc<Metrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_open.lower();
    }
}

/// Accepts until `stop` turns true or its sender is gone; then every connection is asked to close (0x8B), and those that have
/// not after `drain_timeout` are cut.
pub async fn serve<P: Plane>(
    door: Arc<Door<P>>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let for_connections = stop.clone();
    let mut stopped = std::pin::pin!(stopped(&mut stop));
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if connections.len() >= door.config.max_connections {
                        door.metrics.connections_refused.add(1);
                        debug!(%peer, "refused: too many connections");
                    } else if prepare(&stream).is_ok() {
                        let door = Arc::clone(&door);
                        connections.spawn(door.serve_stream(stream, for_connections.clone()));
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    let all_closed = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(door.config.drain_timeout, all_closed)
        .await
        .is_err()
    {
        connections.shutdown().await;
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // A client may be gone before it was accepted; that is its own affair.
    stream.set_nodelay(true)
}

/// Waits until told to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is as good as a stop.
    let _ = stop.wait_for(|&stop| stop).await;
}

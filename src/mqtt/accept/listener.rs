//! Accepts connections, one task each, and lets them go.
//!
//! The accept loop only accepts: what waits for the client (TLS, WebSocket, CONNECT) waits in the
//! connection's own task, and all of it together until one deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::live::Plane;
use crate::log_limiter::limited;
use crate::mqtt::context::ServerContext;
use crate::mqtt::metrics::Metrics;
use crate::mqtt::peer::Peer;
use crate::mqtt::transport::{Stream, Transport, TransportError};

use super::admission::{ConnectionPermit, HalfOpenPlace};
use super::opening;

/// A pause after the system refused to accept (too many open files, say): trying again at once
/// would only burn time.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Unanswered probes after which a silent connection is closed.
const PROBES: u32 = 6;

impl<P: Plane> ServerContext<P> {
    /// Serves one byte stream, whatever carries it, until it closes or `stop` turns true.
    pub async fn serve_stream<S>(
        self: Arc<Self>,
        stream: S,
        peer: Peer,
        stop: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let open = OpenConnection::count(&self.metrics);
        let deadline = Instant::now() + self.config.get().mqtt.connect_timeout.0;
        let arrival = Arrival {
            peer,
            deadline,
            waiting: None,
        };
        opening::serve(self, stream, arrival, stop).await;
        drop(open);
    }

    /// Serves a socket that was just accepted.
    pub(in crate::mqtt) fn serve_socket(
        self: Arc<Self>,
        accepted: AcceptedSocket,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send {
        let open = OpenConnection::count(&self.metrics);
        let AcceptedSocket {
            socket,
            address,
            transport,
            guest,
            waiting,
        } = accepted;
        let arrival = Arrival {
            peer: Peer {
                address: Some(address),
                ..Peer::default()
            },
            deadline: Instant::now() + self.config.get().mqtt.connect_timeout.0,
            waiting: Some(waiting),
        };
        let context = Arc::clone(&self);
        // On the heap, and gone before the session begins: an idle connection does not carry its
        // handshake along.
        let handshake = Box::pin(context.handshake(socket, transport, arrival, stop.clone()));
        async move {
            if let Some((stream, arrival)) = handshake.await {
                opening::serve(self, stream, arrival, stop).await;
            }
            drop(open);
            drop(guest);
        }
    }

    /// Opens the transport; none if that fails, takes too long, or must not go on.
    async fn handshake(
        self: Arc<Self>,
        socket: TcpStream,
        transport: Transport,
        mut arrival: Arrival,
        mut stop: watch::Receiver<bool>,
    ) -> Option<(Stream, Arrival)> {
        let opening = timeout_at(arrival.deadline, transport.open(socket));
        let failed = &self.metrics.openings_failed;
        let (kind, failure, count) = tokio::select! {
            opened = opening => match opened {
                Ok(Ok((stream, identity))) => {
                    arrival.peer.certificate_identity = identity;
                    return Some((stream, arrival));
                }
                Ok(Err(failure @ TransportError::Tls(_))) => ("tls", failure.to_string(), &failed.tls),
                Ok(Err(failure @ TransportError::WebSocket(_))) => ("websocket", failure.to_string(), &failed.websocket),
                Err(_) => ("connect_timeout", "it took too long".to_owned(), &failed.timeout),
            },
            () = must_give_way(arrival.waiting.as_ref()) => {
                ("gave_way", "others needed its place".to_owned(), &failed.gave_way)
            }
            () = stopped(&mut stop) => return None,
        };
        count.add(1);
        let admitted = self.admits_stranger(kind, &arrival.peer);
        let peer = arrival.peer.shown();
        limited!(info, admitted, %peer, kind, failure, "closed during its handshake");
        None
    }
}

/// A socket that was let in, and how to speak on it.
pub(in crate::mqtt) struct AcceptedSocket {
    socket: TcpStream,
    address: SocketAddr,
    transport: Transport,
    guest: ConnectionPermit,
    waiting: HalfOpenPlace,
}

/// A byte stream that has come in and has not said CONNECT.
pub(in crate::mqtt) struct Arrival {
    pub(in crate::mqtt) peer: Peer,
    /// For the whole CONNECT to be here.
    pub(in crate::mqtt) deadline: Instant,
    /// Its place among those who have not said CONNECT, if those are counted.
    pub(in crate::mqtt) waiting: Option<HalfOpenPlace>,
}

/// Resolves when a place is needed by somebody else; without a place, never.
pub(in crate::mqtt) async fn must_give_way(waiting: Option<&HalfOpenPlace>) {
    match waiting {
        Some(waiting) => waiting.given_away().await,
        None => std::future::pending().await,
    }
}

/// Counts a connection as open while it lives, however it ends.
struct OpenConnection(Arc<Metrics>);

impl OpenConnection {
    fn count(metrics: &Arc<Metrics>) -> OpenConnection {
        metrics.connections_open.add(1);
        metrics.connections_total.add(1);
        OpenConnection(Arc::clone(metrics))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_open.lower();
    }
}

/// A socket that listens, and how its clients are spoken to.
pub struct Listener {
    /// Bound already.
    pub socket: TcpListener,
    /// What its clients speak below MQTT.
    pub transport: Transport,
}

/// Accepts on all listeners until `stop` turns true or its sender is gone; then every connection is
/// asked to close (0x8B), and those that have not after `drain_timeout` are cut.
pub async fn serve<P: Plane>(
    context: Arc<ServerContext<P>>,
    listeners: Vec<Listener>,
    stop: watch::Receiver<bool>,
) {
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept_on(Arc::clone(&context), listener, stop.clone()));
    }
    loops.join_all().await;
}

async fn accept_on<P: Plane>(
    context: Arc<ServerContext<P>>,
    listener: Listener,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let for_connections = stop.clone();
    let mut stopped = std::pin::pin!(stopped(&mut stop));
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.socket.accept() => match accepted {
                Ok((socket, address)) => {
                    // What is refused is closed by being dropped.
                    if let Ok((guest, waiting)) = context.admission.enter(address.ip(), Instant::now())
                        && prepare(&socket, context.config.get().mqtt.probes_after()).is_ok()
                    {
                        let transport = listener.transport.clone();
                        let accepted = AcceptedSocket { socket, address, transport, guest, waiting };
                        let context = Arc::clone(&context);
                        connections.spawn(context.serve_socket(accepted, for_connections.clone()));
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
    if tokio::time::timeout(context.config.get().mqtt.drain_timeout.0, all_closed)
        .await
        .is_err()
    {
        connections.shutdown().await;
    }
}

/// Sets up an accepted socket. It fails if the client is gone already, which is the client's own
/// affair.
///
/// There is no `TCP_USER_TIMEOUT`: it would also cut off clients that answer and do not read for a
/// while, and those are bounded by what may wait for them. A vanished client that is owed bytes is
/// found by retransmission.
fn prepare(stream: &TcpStream, keepalive: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(idle) = keepalive else {
        return Ok(());
    };
    let interval = (idle / PROBES).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new()
        .with_time(idle.max(Duration::from_secs(1)))
        .with_interval(interval)
        .with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Waits until told to stop.
pub(in crate::mqtt) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is as good as a stop.
    let _ = stop.wait_for(|&stop| stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn accepted(keepalive: Option<Duration>) -> TcpStream {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (far, _) = listener.accept().await.unwrap();
        prepare(&far, keepalive).unwrap();
        drop(near);
        far
    }

    #[tokio::test]
    async fn silent_connections_are_probed_and_given_as_long_again_to_answer() {
        let stream = accepted(Some(Duration::from_secs(60))).await;
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
        let idle = socket.tcp_keepalive_time().unwrap();
        let interval = socket.tcp_keepalive_interval().unwrap();
        let probes = socket.tcp_keepalive_retries().unwrap();
        assert_eq!(idle, Duration::from_secs(60));
        assert_eq!(interval * probes, idle);

        let short = accepted(Some(Duration::from_millis(1))).await;
        let idle = SockRef::from(&short).tcp_keepalive_time().unwrap();
        assert_eq!(idle, Duration::from_secs(1), "no less can be said");
        let never = accepted(None).await;
        assert!(!SockRef::from(&never).keepalive().unwrap());
    }
}

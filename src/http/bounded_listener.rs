//! The listener of the HTTP server, which holds every client to its limits.
//!
//! A client that trickles its request, asks without end or does not take its answer is cut off by
//! its own connection; nobody else waits for it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::HttpConfig;

/// The most that a client may send before it is answered, in bytes: its request line and headers.
pub(super) const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// Wait after a failed accept: it is the process that has run out of something, not the client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct BoundedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    timeout: Duration,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener, limits: &HttpConfig) -> BoundedListener {
        BoundedListener {
            listener,
            places: Arc::new(Semaphore::new(limits.max_connections)),
            timeout: limits.timeout.0,
        }
    }
}

impl axum::serve::Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BoundedStream, SocketAddr) {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    return (BoundedStream::new(stream, place, self.timeout), address);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with its place and its patience.
pub(super) struct BoundedStream {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    timeout: Duration,
    /// Runs from the accept, and anew from every byte that the client takes.
    deadline: Pin<Box<Sleep>>,
    unanswered: usize,
}

impl BoundedStream {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, timeout: Duration) -> BoundedStream {
        BoundedStream {
            stream,
            _place: place,
            timeout,
            deadline: Box::pin(tokio::time::sleep(timeout)),
            unanswered: 0,
        }
    }

    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_deadline(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.unanswered += buffer.filled().len() - before;
        if self.unanswered > MAX_REQUEST_BYTES {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        read
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_deadline(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(1..)) = written {
            let deadline = Instant::now() + self.timeout;
            self.deadline.as_mut().reset(deadline);
            self.unanswered = 0;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

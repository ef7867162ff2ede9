//! The far end of one connection: bytes go in as far as the gateway takes them, and what comes out
//! must be packets that a server may send.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::task::JoinHandle;

use super::packets::{Packet, Version, decode};

/// One connection.
pub(super) struct Peer {
    pub(super) version: Version,
    /// Whether it reads.
    pub(super) hears: bool,
    /// Whether what comes can be held against `version`: a client that never said CONNECT properly
    /// may get either.
    pub(super) strict: bool,
    /// What came and was not looked at.
    pub(super) packets: Vec<Packet>,
    pub(super) closed: bool,
    stream: DuplexStream,
    unsent: Vec<u8>,
    incoming: Vec<u8>,
    serving: JoinHandle<()>,
}

impl Peer {
    pub(super) fn new(stream: DuplexStream, serving: JoinHandle<()>, version: Version) -> Peer {
        Peer {
            version,
            hears: true,
            strict: true,
            packets: Vec::new(),
            closed: false,
            stream,
            unsent: Vec::new(),
            incoming: Vec::new(),
            serving,
        }
    }

    /// Sends as soon as the gateway takes it.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend(bytes);
    }

    /// Moves bytes both ways as far as that needs no waiting; whether any moved.
    pub(super) async fn move_bytes(&mut self) -> bool {
        let moved = poll_fn(|cx| {
            let mut moved = false;
            while !self.unsent.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, &self.unsent) {
                    Poll::Ready(Ok(count @ 1..)) => {
                        self.unsent.drain(..count);
                        moved = true;
                    }
                    // The gateway has closed.
                    Poll::Ready(_) => self.unsent.clear(),
                    Poll::Pending => break,
                }
            }
            while self.hears && !self.closed {
                let mut chunk = [0; 4096];
                let mut buffer = ReadBuf::new(&mut chunk);
                match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                        self.incoming.extend(buffer.filled());
                        moved = true;
                    }
                    Poll::Ready(_) => self.closed = true,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(moved)
        })
        .await;
        self.read_packets();
        moved
    }

    fn read_packets(&mut self) {
        if !self.strict {
            self.incoming.clear();
            return;
        }
        loop {
            match decode(&mut self.incoming, self.version) {
                Ok(Some(packet)) => self.packets.push(packet),
                Ok(None) => break,
                Err(why) => panic!("the gateway sent a malformed packet: {}", why.0),
            }
        }
        assert!(
            !self.closed || self.incoming.is_empty(),
            "the gateway closed in the middle of a packet: {:?}",
            self.incoming
        );
    }

    /// Breaks the connection and sees its task to its end; the gateway's own panics come out here.
    pub(super) fn vanish(self) -> JoinHandle<()> {
        self.serving
    }
}

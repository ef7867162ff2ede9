//! A byte stream in WebSocket frames: what is written goes out as binary frames, what comes in them
//! is read.
//!
//! It holds no buffer while nothing is under way. Pings are answered and closing frames sent on the
//! way; nothing here waits for a client that does not read, beyond one frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::decoder::{Decoder, StreamEnd};

/// The most payload in one frame, in bytes, and so the most that waits here for the socket.
const MAX_FRAME: usize = 16 * 1024;

/// MQTT over WebSocket, after the upgrade.
pub(in crate::mqtt) struct WebSocketStream<S> {
    inner: S,
    decoder: Decoder,
    /// Came together with the request to upgrade.
    early: BytesMut,
    /// Framed, and not written yet.
    out: BytesMut,
    /// A closing frame has been put into `out`; nothing may follow it.
    said_goodbye: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    pub(super) fn new(inner: S, early: BytesMut) -> Self {
        Self {
            inner,
            decoder: Decoder::default(),
            // Even an empty one may hold on to the request.
            early: if early.is_empty() {
                BytesMut::new()
            } else {
                early
            },
            out: BytesMut::new(),
            said_goodbye: false,
        }
    }

    /// What it keeps in memory beyond its own size.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.out.capacity() + self.early.capacity()
    }

    /// Writes what is framed.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.out.advance(count),
            }
        }
        // Idle connections are many; a buffer is quickly had.
        self.out = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, opcode: OpCode, payload: &[u8]) {
        let header = FrameHeader {
            opcode,
            ..FrameHeader::default()
        };
        let length = payload.len() as u64;
        self.out.reserve(header.len(length) + payload.len());
        // Writing to memory does not fail.
        let _ = header.format(length, &mut (&mut self.out).writer());
        self.out.extend_from_slice(payload);
    }

    fn say_goodbye(&mut self, code: Option<CloseCode>) {
        if !self.said_goodbye {
            self.said_goodbye = true;
            let code = code.map(|code| u16::from(code).to_be_bytes());
            let payload = code.as_ref().map_or(&[][..], |code| code);
            self.put(OpCode::Control(Control::Close), payload);
        }
    }

    /// Answers what the frames that were just read ask for. What does not go out at once goes out
    /// with the next write; a client that takes nothing gets no pong.
    fn answer(&mut self, cx: &mut Context<'_>) {
        if let Some(ping) = self.decoder.take_ping()
            && self.out.len() < MAX_FRAME
            && !self.said_goodbye
        {
            self.put(OpCode::Control(Control::Pong), &ping);
        }
        match self.decoder.end() {
            Some(StreamEnd::Closed(code)) => self.say_goodbye(code),
            Some(StreamEnd::Violation(code)) => self.say_goodbye(Some(code)),
            None => {}
        }
        if !self.out.is_empty() && self.poll_out(cx).is_ready() {
            // An error will be seen again by whoever reads or writes next.
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.decoder.end() {
                None => {}
                Some(StreamEnd::Closed(_)) => return Poll::Ready(Ok(())),
                Some(StreamEnd::Violation(code)) => {
                    let words = format!("the client broke the WebSocket protocol: {code}");
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, words)));
                }
            }
            if !this.out.is_empty() {
                // A pong that did not go out at once; an error will be seen by the read.
                let _ = this.poll_out(cx);
            }
            let before = buffer.filled().len();
            if this.early.is_empty() {
                ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
                if buffer.filled().len() == before {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let count = this.early.len().min(buffer.remaining());
                buffer.put_slice(&this.early.split_to(count));
                if this.early.is_empty() {
                    this.early = BytesMut::new();
                }
            }
            let payload = this.decoder.decode(&mut buffer.filled_mut()[before..]);
            buffer.set_filled(before + payload);
            this.answer(cx);
            if payload > 0 || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        if this.said_goodbye {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let payload = &bytes[..bytes.len().min(MAX_FRAME)];
        this.put(OpCode::Data(Data::Binary), payload);
        // The frame is taken, whether or not the socket takes all of it now.
        match this.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(payload.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.say_goodbye(Some(CloseCode::Normal));
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

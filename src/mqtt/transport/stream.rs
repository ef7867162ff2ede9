//! One type for every kind of byte stream, so that the session's code exists once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::websocket::WebSocketStream;

/// What is under the WebSocket frames, if there are any.
pub(in crate::mqtt) enum Wire {
    Tcp(TcpStream),
    /// On the heap: it is large, and most connections are not encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a session reads and writes.
pub(in crate::mqtt) enum Stream {
    Plain(Wire),
    /// On the heap: few connections are.
    WebSocket(Box<WebSocketStream<Wire>>),
}

/// Passes the four calls on to whichever stream is inside.
macro_rules! pass_on {
    ($type:ty, $($variant:path),+) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($variant(inner) => Pin::new(inner).poll_read(cx, buffer),)+
                }
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $($variant(inner) => Pin::new(inner).poll_write(cx, bytes),)+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($variant(inner) => Pin::new(inner).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $($variant(inner) => Pin::new(inner).poll_shutdown(cx),)+
                }
            }
        }
    };
}

pass_on!(Wire, Wire::Tcp, Wire::Tls);
pass_on!(Stream, Stream::Plain, Stream::WebSocket);

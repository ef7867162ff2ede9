//! What both phases of a connection do with its byte stream.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// The most that one read takes, in bytes. On the stack while reading, so an idle connection holds
/// no input buffer.
const READ_BYTES: usize = 32 * 1024;
/// How long a closing connection waits for the client to take the last bytes, and again to close
/// its side.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// Writes the last bytes and closes. The client's own last bytes are read away first: closing on
/// unread input resets the connection, and the client might never see what was written.
pub(super) async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, last: &[u8]) {
    let farewell = async {
        stream.write_all(last).await?;
        stream.shutdown().await
    };
    if let Ok(Ok(())) = timeout(GOODBYE, farewell).await {
        let mut ignored = [0; 512];
        let read_away = async { while stream.read(&mut ignored).await.is_ok_and(|n| n > 0) {} };
        let _ = timeout(GOODBYE, read_away).await;
    }
}

/// Reads once, by way of the stack, so that only what came is kept.
pub(super) fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    input.extend_from_slice(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
}

//! What carries MQTT: a TCP connection, encrypted or not, with or without WebSocket frames.
//!
//! It turns an accepted socket into the one [`Stream`] type that sessions run over, and says whose certificate came with it. It
//! knows nothing of MQTT packets and sets no deadline: whoever opens a transport bounds the time and the number of those that
//! open at once. `listener` calls it, in each connection's own task.

mod stream;
pub mod tls;

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

pub(super) use stream::Stream;
use stream::Wire;
use tls::Tls;

/// How the clients of one listener are spoken to. Without anything it is plain MQTT over TCP.
#[derive(Clone, Default)]
pub struct Transport {
    /// Encrypts, if there.
    pub tls: Option<Arc<Tls>>,
}

/// Why a connection got no further than its transport's handshake.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no TLS: {0}")]
    Tls(io::Error),
}

impl Transport {
    /// Shakes hands on every layer. It takes as long as the client likes.
    pub(super) async fn open(
        &self,
        socket: TcpStream,
    ) -> Result<(Stream, Option<Arc<str>>), Failure> {
        let (wire, identity) = match &self.tls {
            None => (Wire::Tcp(socket), None),
            Some(tls) => {
                let (stream, identity) = tls.accept(socket).await.map_err(Failure::Tls)?;
                (Wire::Tls(Box::new(stream)), identity)
            }
        };
        Ok((Stream::Plain(wire), identity))
    }
}

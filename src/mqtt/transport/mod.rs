//! What carries MQTT: a TCP connection, encrypted or not, with or without WebSocket frames.
//!
//! It turns an accepted socket into the one [`Stream`] type that sessions run over, and says whose
//! certificate came with it. It knows nothing of MQTT packets and sets no deadline: whoever opens a
//! transport bounds the time and the number of those that open at once. `listener` calls it, in
//! each connection's own task.

mod config;
mod stream;
pub mod tls;
pub mod websocket;

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::current::Current;
pub use config::{
    CertificatePair, ClientCertificate, Identity, MinVersion, TlsConfig, WebSocketConfig,
};
pub(super) use stream::Stream;
use stream::Wire;
use tls::TlsServer;
use websocket::{UpgradeError, UpgradeRules};

/// How the clients of one listener are spoken to. Without anything it is plain MQTT over TCP.
#[derive(Clone, Default)]
pub struct Transport {
    /// Encrypts, if there.
    pub tls: Option<Arc<TlsServer>>,
    /// Takes MQTT out of WebSocket frames, if there.
    pub websocket: Option<Arc<Current<UpgradeRules>>>,
}

/// Why a connection got no further than its transport's handshake.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("no TLS: {0}")]
    Tls(io::Error),
    #[error("no WebSocket: {0}")]
    WebSocket(UpgradeError),
}

impl Transport {
    /// Shakes hands on every layer. It takes as long as the client likes.
    pub(super) async fn open(
        &self,
        socket: TcpStream,
    ) -> Result<(Stream, Option<Arc<str>>), TransportError> {
        let (wire, identity) = match &self.tls {
            None => (Wire::Tcp(socket), None),
            Some(tls) => {
                let (stream, identity) = tls.accept(socket).await.map_err(TransportError::Tls)?;
                (Wire::Tls(Box::new(stream)), identity)
            }
        };
        let stream = match &self.websocket {
            None => Stream::Plain(wire),
            Some(rules) => {
                let upgraded = websocket::accept(wire, &rules.get()).await;
                Stream::WebSocket(Box::new(upgraded.map_err(TransportError::WebSocket)?))
            }
        };
        Ok((stream, identity))
    }
}

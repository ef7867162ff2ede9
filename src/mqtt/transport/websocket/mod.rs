//! MQTT in WebSocket frames (MQTT 5 section 6): the upgrade from HTTP, then a byte stream like any
//! other.
//!
//! Frames have no meaning for MQTT: a packet may span several, and a frame may hold several
//! (MQTT-6.0.0-2). So nothing is gathered to a message, and the limits on packets are the
//! session's.

mod decoder;
mod origin;
mod stream;
mod upgrade;

use tokio::io::{AsyncRead, AsyncWrite};

pub(in crate::mqtt) use stream::WebSocketStream;
pub(in crate::mqtt) use upgrade::UpgradeError;

/// Which requests become a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRules {
    /// The path that must be asked for; a query after it does not matter.
    pub path: String,
    /// Web origins whose pages may connect, `*` for all. Pages of this machine always may.
    pub origins: Vec<String>,
    /// Whether pages from the host that the gateway itself is called by may connect. Only where
    /// clients must prove who they are.
    pub same_host: bool,
}

/// Upgrades a stream that has just been opened.
pub(super) async fn accept<S>(
    mut stream: S,
    rules: &UpgradeRules,
) -> Result<WebSocketStream<S>, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let early = upgrade::upgrade(&mut stream, rules).await?;
    Ok(WebSocketStream::new(stream, early))
}

#[cfg(test)]
mod tests;

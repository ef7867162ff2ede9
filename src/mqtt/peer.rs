//! Who is at the other end of a byte stream, as far as the transport can tell. The listener fills
//! it in, before a byte of MQTT is read; opening and authentication read it. It decides nothing.

use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Where it connected from; none for a stream that is no socket.
    pub address: Option<SocketAddr>,
    /// The name in the client certificate that TLS has verified; none without TLS or without a
    /// certificate.
    pub certificate_identity: Option<Arc<str>>,
}

impl Peer {
    /// For the log.
    pub(super) fn shown(&self) -> String {
        self.address
            .map_or_else(|| "nowhere".to_owned(), |address| address.to_string())
    }
}

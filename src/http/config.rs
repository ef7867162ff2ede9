//! Health checks and metrics.

use crate::setting::{Address, Span, loopback, minutes, ms, seconds, settings};

settings! {
    /// Health checks and metrics.
    pub struct HttpConfig;

    /// IP address and port. Loopback only while authentication is off.
    #[restart("sockets are opened at the start")]
    listen: Address = Address(loopback(8080));
    /// Connections at once; more wait to be accepted.
    #[restart("the HTTP server is set up once")]
    max_connections: usize = 128, 1..=65_536 => "a new connection waits to be accepted";
    /// For a whole request to arrive, and for a client to take some of its answer.
    #[restart("the HTTP server is set up once")]
    timeout: Span = seconds(10), ms(100)..=minutes(5);
}

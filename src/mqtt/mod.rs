//! The front door: MQTT 3.1.1 and 5.0 on one port.
//!
//! It owns sockets, packets, packet ids, in-flight windows and what a client is subscribed to. It
//! never decides anything about rooms and keeps nothing durable: what must last goes to the desk as
//! [`Request`](crate::desk::port::Request)s, and an ack for it leaves only when the desk says so.
//! Everything else goes to the live plane, behind the seam in [`plane`].
//!
//! One task per connection: `accept` takes it from its socket to CONNACK (where a authenticator is
//! posted it asks [`auth`](crate::auth) who the client is), [`transport`] makes a byte stream of
//! it, `connection` moves bytes, `codec` makes packets of them and of packets bytes, and `session`
//! turns packets, responses and frames into one another without any I/O of its own.

pub mod config;
#[doc(hidden)]
pub mod fuzzing;
pub mod metrics;
pub mod transport;

mod accept;
mod codec;
mod connection;
mod context;
mod current;
mod disconnect_reason;
mod peer;
mod rate;
mod session;
mod stream;

#[cfg(test)]
mod tests;

pub use accept::listener::{Listener, serve};
pub use config::{DoorConfig, MqttConfig, PoisonRule, RateLimit};
pub use context::{ServerContext, ServerParts};
pub use current::{Current, Versioned};
pub use disconnect_reason::DisconnectReason;
pub use metrics::Metrics;
pub use peer::Peer;
pub use session::access::AbsentClients;
pub use session::poison::Cause;
pub use transport::Transport;

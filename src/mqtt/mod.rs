//! The front door: MQTT 3.1.1 and 5.0 on one port.
//!
//! It owns sockets, packets, packet ids, in-flight windows and what a client is subscribed to. It never decides anything
//! about rooms and keeps nothing durable: what must last goes to the desk as [`Request`](crate::desk::port::Request)s, and an
//! ack for it leaves only when the desk says so. Everything else goes to the live plane, behind the seam in [`plane`].
//!
//! One task per connection: [`listener`] accepts, [`transport`] makes a byte stream of it, `opening` gets it to CONNACK
//! (`handshake` judges what CONNECT asks, and where a guard is posted `access` asks [`auth`](crate::auth) who it is),
//! `connection` moves bytes, and `session` (with `inbound`, `outbound` and `subscribing`) turns packets, responses and frames
//! into one another without any I/O of its own.

pub mod config;
mod current;
#[doc(hidden)]
pub mod fuzzing;
pub mod incumbents;
mod listener;
pub mod metrics;
pub mod plane;
pub mod transport;

mod access;
mod ack_times;
mod admission;
mod aliases;
mod assigned_id;
mod awaited;
mod connection;
mod decode;
mod encode;
mod ending;
mod exits;
mod fields;
mod frame;
mod handshake;
mod hello;
mod inbound;
mod listening;
mod opening;
mod outbound;
mod oversize;
mod peer;
mod poison;
mod properties;
mod rate;
mod reader;
mod reason;
mod session;
mod stream;
mod subscribing;
mod subscriptions;
mod throttle;
mod unheard;

#[cfg(test)]
mod tests;

pub use access::AbsentClients;
pub use config::{MqttConfig, Rate};
pub use current::{Current, Versioned};
pub use ending::Ending;
pub use listener::{Common, Door, Listener, serve};
pub use metrics::Metrics;
pub use peer::Peer;
pub use poison::Cause;
pub use transport::Transport;

//! What every end-to-end test needs: a gateway process of its own, and MQTT clients that hide
//! nothing.
//!
//! [`Gateway`] runs the real binary on loopback and a temporary directory. [`Client`] speaks MQTT
//! 3.1.1 or 5.0 packet by packet and accepts nothing malformed. [`Agent`] stands on a client and
//! knows a room's topics. Nothing here sleeps: waiting is for an event, with a deadline that fails
//! the test.

mod agent;
mod client;
mod codec;
mod gateway;
mod packet;
mod properties;
mod small;

use std::time::Duration;

pub(crate) use agent::{Agent, is_cbor, read};
pub(crate) use client::{Client, Lost};
pub(crate) use codec::{decode, encode};
pub(crate) use gateway::{Gateway, Setup, free_address};
pub(crate) use packet::{Ack, Connect, Packet, Publish, Version, Will};
pub(crate) use properties::{Properties, Value, id as property};
pub(crate) use small::Small;

/// How long anything may take before a test fails: far more than it ever does on a machine that is
/// busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

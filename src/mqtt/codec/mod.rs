//! Packets from bytes and bytes from packets, for MQTT 3.1.1 and 5.0. It keeps nothing of a client
//! and decides nothing about one.

pub(super) mod connect_packet;
pub(super) mod decode;
pub(super) mod encode;
mod fields;
pub(super) mod fixed_header;
pub(super) mod properties;
pub(super) mod reader;
pub(super) mod reason;

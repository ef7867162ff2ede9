//! A connection from its socket to CONNACK: `listener` accepts, `admission` counts, `opening` reads
//! CONNECT, `handshake` judges it, and `connected` lets an older connection under the same id
//! finish reading.

pub(super) mod admission;
mod assigned_id;
pub(super) mod handshake;
pub(super) mod listener;
mod opening;
pub(super) mod takeover;

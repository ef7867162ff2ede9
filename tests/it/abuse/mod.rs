//! Hostile clients: whatever they do, the gateway stays up, its memory bounded, and other clients notice nothing.
//!
//! `docs/security-tests.md` says which test stands for which class of flaws that brokers have had.

mod fuzzed;
mod smoke;

/// What [`fuzzed`] needs of the harness; the fuzz targets bring the same from elsewhere.
mod packets {
    pub(crate) use crate::harness::{
        Ack, Connect, Packet, Properties, Publish, Value, Version, Will, decode, encode,
    };
}

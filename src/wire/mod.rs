//! The wire: topics, messages, codes. Everything that crosses the boundary between agents and the
//! gateway.
//!
//! It knows text and bytes and nothing else of ours; every other module imports it.

#![deny(
    clippy::disallowed_types,
    reason = "what happens here depends on its input alone"
)]

pub mod approve;
pub mod blackboard;
pub mod cbor;
pub mod filter;
pub mod fit;
pub mod handoff;
pub mod json;
pub mod mailbox;
pub mod merge;
pub mod message;
pub mod mirror;
pub mod name;
pub mod observe;
pub mod presence;
pub mod question;
pub mod reply;
pub mod room;
pub mod tools;
pub mod topic;

/// A point in time: Unix milliseconds.
pub type Millis = u64;

//! Hallward: coordination for teams of agents over plain MQTT.
//!
//! Modules in reading order; `ARCHITECTURE.md` draws how they fit.

#[cfg(feature = "gateway")]
pub mod metrics;

#[cfg(feature = "gateway")]
pub mod log_limiter;

#[cfg(feature = "gateway")]
pub mod slack;

#[cfg(feature = "gateway")]
pub mod setting;

#[cfg(feature = "gateway")]
pub mod schema;

pub mod wire;

#[cfg(feature = "agent")]
pub mod agent;

#[cfg(feature = "gateway")]
pub mod clock;

#[cfg(feature = "gateway")]
pub mod engine;

#[cfg(feature = "gateway")]
pub mod ledger;

#[cfg(feature = "gateway")]
pub mod live;

#[cfg(feature = "gateway")]
pub mod desk;

#[cfg(feature = "gateway")]
pub mod bridge;

#[cfg(feature = "gateway")]
pub mod auth;

#[cfg(feature = "gateway")]
pub mod mqtt;

#[cfg(feature = "gateway")]
pub mod http;

#[cfg(feature = "gateway")]
pub mod config;

#[cfg(feature = "gateway")]
pub mod runtime;

#[cfg(feature = "gateway")]
pub mod cli;

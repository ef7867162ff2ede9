//! Hallward: coordination for teams of agents over plain MQTT.
//!
//! Modules in reading order; `ARCHITECTURE.md` draws how they fit.

pub mod metrics;

pub mod log_limiter;

pub mod slack;

pub mod setting;

pub mod schema;

pub mod wire;

pub mod clock;

pub mod engine;

pub mod ledger;

pub mod live;

pub mod desk;

pub mod auth;

pub mod mqtt;

pub mod http;

pub mod config;

pub mod runtime;

pub mod cli;

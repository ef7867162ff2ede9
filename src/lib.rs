//! Hallward: coordination for teams of agents over plain MQTT.
//!
//! Modules in reading order; `ARCHITECTURE.md` draws how they fit.

pub mod wire;

pub mod engine;

pub mod ledger;

pub mod desk;

pub mod live;

pub mod mqtt;

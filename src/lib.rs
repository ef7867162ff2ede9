//! Hallward: coordination for teams of agents over plain MQTT.
//!
//! Modules in reading order; `ARCHITECTURE.md` draws how they fit.

pub mod ledger;
pub mod live;

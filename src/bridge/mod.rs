//! Bridges: what this gateway's clients publish, stored and forwarded to other brokers.
//!
//! The desk keeps a durable queue for each bridge (`desk::forward`); here is what says what goes
//! into it (`rules`, `remap`), what the other broker takes (`preset`), and what empties it
//! (`sender`, a pure state machine; `run`, which drives it; `link`, one MQTT connection). It
//! decides nothing about rooms, and local traffic never waits for it. `runtime` starts and ends it.

mod check;
mod config;
mod credentials;
mod link;
mod metrics;
mod preset;
mod probe;
mod properties;
mod remap;
mod rules;
mod run;
mod sender;

use std::sync::Arc;

pub use check::check;
pub use config::{BridgeConfig, BridgeDirection, BridgeProtocol, BridgeRule, RetainRule};
pub use metrics::{BridgeMetrics, BridgeStats};
pub use preset::{BridgePreset, PRESETS};
pub use probe::{Probed, probe};
pub use remap::{Remap, RemapError};
pub use run::{BridgeParts, Bridges};
pub use sender::{
    BackoffSettings, BridgeSender, ConnectGrant, CutCause, DeadReason, PacketLimits,
    SenderSettings, SenderStep,
};

use crate::desk::{ForwardLimits, ForwardSettings};
use rules::OutboundRules;

/// The queues that bridges need of the desk, in their order.
///
/// # Errors
/// What [`check`] would have said.
pub fn forwards(bridges: &[BridgeConfig]) -> Result<Vec<ForwardSettings>, String> {
    let queue = |bridge: &BridgeConfig| {
        let preset = BridgePreset::named(&bridge.preset).ok_or("unknown preset")?;
        let rules = OutboundRules::new(bridge, preset).map_err(|error| error.to_string())?;
        let filters = bridge.rule.iter();
        Ok(ForwardSettings {
            name: bridge.name.as_str().into(),
            filters: filters.map(|rule| rule.filter.as_str().into()).collect(),
            target: Arc::new(rules),
            limits: ForwardLimits {
                max_messages: bridge.max_messages,
                max_bytes: bridge.max_bytes.0 as u64,
                when_full: bridge.when_full,
                max_dead: bridge.max_dead,
            },
        })
    };
    bridges.iter().map(queue).collect()
}

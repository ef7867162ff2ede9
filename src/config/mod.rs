//! The configuration: typed, layered, checked before anything starts.
//!
//! Layers, each beating the one before: the defaults compiled in here, a TOML file, `HALLWARD__SECTION__KEY` environment
//! variables, command-line flags. [`Config::load`] reads them and returns either a configuration in which every value is
//! known to be allowed, or all the problems at once. It opens no socket and touches no directory; `cli` calls it.

mod check;
mod effective;
mod given;
mod limits;
mod lines;
mod listeners;
mod load;
mod problem;
mod reload;
mod sections;
mod tables;
mod units;
mod variables;

use serde::{Deserialize, Serialize};

pub use load::{Flag, Layers, Loaded};
pub use problem::{Place, Problem, Problems};
pub use reload::{Changed, Takes};
pub use sections::{
    Approve, Auth, Blackboard, Bytes, CertificatePair, ClientCertificate, Clock, Commands, Create,
    Data, Desk, Handoff, Http, Identity, Keep, Live, Log, LogFormat, LogLevel, Mailbox, Memory,
    MinVersion, Mqtt, Observe, Poison, Retained, Room, Rooms, Session, Span, Tls, Tools, WebSocket,
    WhenFull,
};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The front door.
    pub mqtt: Mqtt,
    /// Encryption.
    pub tls: Tls,
    /// MQTT in WebSocket frames.
    pub websocket: WebSocket,
    /// Health and metrics.
    pub http: Http,
    /// What must survive.
    pub data: Data,
    /// Rooms and the agents in them.
    pub rooms: Rooms,
    /// Tasks.
    pub handoff: Handoff,
    /// Shared state.
    pub blackboard: Blackboard,
    /// The past of rooms.
    pub observe: Observe,
    /// Gates.
    pub approve: Approve,
    /// Remote tools.
    pub tools: Tools,
    /// What all commands share.
    pub commands: Commands,
    /// Directed messages.
    pub mailbox: Mailbox,
    /// Persistent sessions.
    pub session: Session,
    /// Retained messages.
    pub retained: Retained,
    /// All that waits.
    pub memory: Memory,
    /// What counts as time.
    pub clock: Clock,
    /// The thread that takes what changes durable state.
    pub desk: Desk,
    /// The fan-out to whoever listens now.
    pub live: Live,
    /// Log lines.
    pub log: Log,
    /// Who may connect.
    pub auth: Auth,
}

#[cfg(test)]
/// Every value of a configuration in its serialized form, with its key: `mqtt.listen`.
fn leaves(tree: &serde_json::Value) -> impl Iterator<Item = (String, &serde_json::Value)> {
    let sections = tree.as_object().into_iter().flatten();
    sections.flat_map(|(section, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.map(move |(key, value)| (format!("{section}.{key}"), value))
    })
}

//! The configuration: typed, layered, checked before anything starts.
//!
//! Layers, each beating the one before: the defaults compiled in here, a TOML file,
//! `HALLWARD__SECTION__KEY` environment variables, command-line flags. [`Config::load`] reads them
//! and returns either a configuration in which every value is known to be allowed, or all the
//! problems at once. It opens no socket and touches no directory; `cli` calls it.

mod check;
mod effective;
mod given;
mod limits;
mod lines;
mod listeners;
mod load;
mod log;
mod problem;
mod reload;
mod tables;
mod variables;

use serde::{Deserialize, Serialize};

use crate::auth::AuthConfig;
use crate::bridge::{BridgeConfig, BridgeRule};
use crate::clock::ClockConfig;
use crate::desk::{DeskConfig, MemoryConfig, RetainedConfig, SessionConfig};
use crate::engine::{
    ApproveConfig, BlackboardConfig, CommandsConfig, HandoffConfig, MailboxConfig, ObserveConfig,
    RoomsConfig, Settings, ToolsConfig,
};
use crate::http::HttpConfig;
use crate::ledger::DataConfig;
use crate::live::LiveConfig;
use crate::mqtt::MqttConfig;
use crate::mqtt::transport::{TlsConfig, WebSocketConfig};
use crate::setting::{Row, Section};

pub use load::{Flag, Layers, Loaded};
pub use log::{Log, LogFormat, LogLevel};
pub use problem::{Place, Problem, Problems};
pub use reload::{Changed, Takes};

/// Everything that can be configured, from its sections.
macro_rules! sections {
    ($($name:ident: $section:ident $(=> engine.$engine:ident)?,)+) => {
        /// Everything that can be configured.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            $(
                #[doc = concat!("`[", stringify!($name), "]`")]
                pub $name: $section,
            )+
            /// `[[bridge]]`
            pub bridge: Vec<BridgeConfig>,
        }

        impl Config {
            /// For the engine. The schemas of keys are in files; whoever starts the engine reads
            /// them.
            pub fn engine(&self) -> Settings {
                Settings {
                    $($($engine: self.$engine.clone(),)?)+
                    ..Settings::default()
                }
            }
        }

        /// What is known of every section, in the order of `config/hallward.toml`.
        pub const SECTIONS: &[Section] = &[$(Section {
            name: stringify!($name),
            doc: $section::DOC,
            rows: $section::ROWS,
        }),+];
    };
}
sections! {
    mqtt: MqttConfig,
    tls: TlsConfig,
    websocket: WebSocketConfig,
    http: HttpConfig,
    data: DataConfig,
    rooms: RoomsConfig => engine.rooms,
    handoff: HandoffConfig => engine.handoff,
    blackboard: BlackboardConfig => engine.blackboard,
    observe: ObserveConfig => engine.observe,
    approve: ApproveConfig => engine.approve,
    tools: ToolsConfig => engine.tools,
    commands: CommandsConfig => engine.commands,
    mailbox: MailboxConfig => engine.mailbox,
    session: SessionConfig,
    retained: RetainedConfig,
    memory: MemoryConfig,
    clock: ClockConfig,
    desk: DeskConfig,
    live: LiveConfig,
    log: Log,
    auth: AuthConfig,
}

/// What is known of lists of tables that are sections of their own, `[[bridge]]`, and of those in
/// their entries, `[[bridge.rule]]`.
pub const LISTS: &[Section] = &[
    Section {
        name: "bridge",
        doc: BridgeConfig::DOC,
        rows: BridgeConfig::ROWS,
    },
    Section {
        name: "bridge.rule",
        doc: BridgeRule::DOC,
        rows: BridgeRule::ROWS,
    },
];

/// What is known of a setting.
fn row(section: &str, key: &str) -> Option<&'static Row> {
    let section = SECTIONS.iter().find(|known| known.name == section)?;
    section.rows.iter().find(|row| row.key == key)
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

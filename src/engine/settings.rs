//! The engine's settings: those of the patterns, of rooms, and what is read from files.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::wire::name::Room;

use super::approve::config::ApproveConfig;
use super::blackboard::config::BlackboardConfig;
use super::config::{CommandsConfig, MailboxConfig, ObserveConfig, RoomConfig, RoomsConfig};
use super::handoff::config::HandoffConfig;
use super::schemas::KeySchemas;
use super::tools::config::ToolsConfig;

/// Limits and defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Rooms and the agents in them.
    pub rooms: RoomsConfig,
    /// Tasks.
    pub handoff: HandoffConfig,
    /// Shared state.
    pub blackboard: BlackboardConfig,
    /// The past of rooms.
    pub observe: ObserveConfig,
    /// Gates.
    pub approve: ApproveConfig,
    /// Remote tools.
    pub tools: ToolsConfig,
    /// What all commands share.
    pub commands: CommandsConfig,
    /// Directed messages.
    pub mailbox: MailboxConfig,
    /// What values must look like: `blackboard.schemas`, read and compiled.
    pub key_schemas: KeySchemas,
    /// Dead tasks that one `handoff/redrive` looks at; the next goes on.
    pub max_redrive_looks: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            rooms: RoomsConfig::default(),
            handoff: HandoffConfig::default(),
            blackboard: BlackboardConfig::default(),
            observe: ObserveConfig::default(),
            approve: ApproveConfig::default(),
            tools: ToolsConfig::default(),
            commands: CommandsConfig::default(),
            mailbox: MailboxConfig::default(),
            key_schemas: KeySchemas::default(),
            max_redrive_looks: 10_000,
        }
    }
}

impl Settings {
    /// The defaults, but for what is changed.
    pub fn tuned(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    }

    /// What holds in each room that has settings of its own.
    pub(super) fn of_rooms(&self) -> BTreeMap<Room, Arc<Settings>> {
        let mut common = self.clone();
        let rooms = std::mem::take(&mut common.rooms.room);
        let of_room = |(room, own)| (room, Arc::new(common.with(&own)));
        rooms.into_iter().map(of_room).collect()
    }

    /// What one room says, and for the rest what holds everywhere.
    fn with(&self, own: &RoomConfig) -> Settings {
        let mut settings = self.clone();
        macro_rules! take {
            ($($key:ident => $section:ident.$place:ident,)+) => {
                $(if let Some(value) = own.$key {
                    settings.$section.$place = value;
                })+
            };
        }
        take! {
            encoding => rooms.encoding,
            max_agents => rooms.max_agents_per_room,
            max_tasks => handoff.max_tasks_per_room,
            max_task_bytes => handoff.max_task_bytes_per_room,
            lease => handoff.lease,
            max_attempts => handoff.max_attempts,
            result_retention => handoff.result_retention,
            max_keys => blackboard.max_keys_per_room,
            max_key_bytes => blackboard.max_bytes_per_room,
            approval_timeout => approve.timeout,
            approve_on_timeout => approve.approve_on_timeout,
            inbox_ttl => mailbox.inbox_ttl,
            event_retention => observe.retention,
            max_event_bytes => observe.max_bytes_per_room,
        }
        settings
    }
}

//! From the configuration, in people's terms, to each part's own settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth;
use crate::config::Config;
use crate::desk::port::Authorizers;
use crate::desk::{
    ClientLimits, Configuration, DeskSettings, JournalLimits, MemoryBudget, RoomJournal, WhenFull,
};
use crate::engine::KeptEvents;
use crate::log_limiter::LogLimiter;
use crate::mqtt::DoorConfig;
use crate::mqtt::transport::websocket::UpgradeRules;
use crate::wire::name::Room;

/// For the desk.
pub(super) fn desk(
    config: &Config,
    memory: Arc<MemoryBudget>,
    authorizers: Option<Arc<dyn Authorizers>>,
    log_limiter: Arc<LogLimiter>,
) -> DeskSettings {
    let Configuration {
        clients,
        retained,
        journal,
        linger_ms,
        ..
    } = desk_configuration(config);
    DeskSettings {
        root: config.rooms.root.clone(),
        clients,
        retained,
        journal,
        memory,
        authorizers,
        log_limiter,
        linger_ms,
        slow_consumer_timeout_ms: config.live.patience.ms(),
    }
}

/// What the desk can be told anew, without the schemas of keys.
pub(super) fn desk_configuration(config: &Config) -> Configuration {
    Configuration {
        engine: Box::new(config.engine()),
        reencodes: false,
        clients: ClientLimits {
            max_clients: config.session.max_sessions,
            max_subscriptions: config.mqtt.max_subscriptions,
            max_mailbox_messages: config.mailbox.max_messages,
            max_mailbox_bytes: config.mailbox.max_bytes.0,
            max_results: config.mailbox.max_results,
            max_result_bytes: config.mailbox.max_result_bytes.0,
            max_replies: config.mailbox.max_replies,
            max_queued_messages: config.session.max_queued_messages,
            max_queued_bytes: config.session.max_queued_bytes.0,
            max_backlog_bytes: config.mqtt.write_buffer.0,
            refuse_when_full: config.session.when_full == WhenFull::Refuse,
        },
        retained: config.retained.clone(),
        journal: JournalLimits {
            keep: config.observe.keep == KeptEvents::Gateway,
            retention_ms: config.observe.retention.ms(),
            max_bytes_per_room: config.observe.max_bytes_per_room.0 as u64,
            max_bytes: config.observe.max_bytes.0 as u64,
            max_rooms: config.observe.max_rooms,
            max_read_bytes: config.observe.max_read.0,
            rooms: room_journals(config),
        },
        max_memory: config.memory.max_queued.0,
        linger_ms: config.desk.linger.ms(),
    }
}

/// How much of their past rooms keep that say so themselves.
fn room_journals(config: &Config) -> BTreeMap<Room, RoomJournal> {
    let observe = &config.observe;
    let own = config.rooms.room.iter().filter_map(|(name, own)| {
        if own.event_retention.is_none() && own.max_event_bytes.is_none() {
            return None;
        }
        let retention = own.event_retention.unwrap_or(observe.retention);
        let bytes = own.max_event_bytes.unwrap_or(observe.max_bytes_per_room);
        let journal = RoomJournal {
            retention_ms: retention.ms(),
            max_bytes: bytes.0 as u64,
        };
        Some((name.clone(), journal))
    });
    own.collect()
}

/// For the front door.
pub(super) fn mqtt(config: &Config) -> DoorConfig {
    DoorConfig {
        mqtt: config.mqtt.clone(),
        root: config.rooms.root.clone(),
        log_connections: config.log.connections,
        reveal_denials: config.auth.reveal_denials,
    }
}

/// For the authenticator; `None` while everybody is let in.
pub(super) fn auth(config: &Config) -> Option<auth::AuthSettings> {
    let keys = &config.auth;
    let path = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    keys.enabled.then(|| auth::AuthSettings {
        root: config.rooms.root.clone(),
        password_file: path(&keys.password_file),
        users_file: path(&keys.users_file),
        acl_file: path(&keys.acl_file),
        anonymous: text(&keys.anonymous),
        certificate: keys.certificate,
        client_ids: keys.client_ids.clone(),
        max_password_checks: keys.max_password_checks,
        tokens: auth::TokenSettings {
            key_file: path(&keys.jwt_key_file),
            jwks_file: path(&keys.jwt_jwks_file),
            issuer: text(&keys.jwt_issuer),
            audience: text(&keys.jwt_audience),
            leeway: keys.jwt_leeway.0,
            user_claim: keys.jwt_user_claim.clone(),
            roles_claim: keys.jwt_roles_claim.clone(),
            rooms_claim: keys.jwt_rooms_claim.clone(),
        },
    })
}

/// For the listeners in WebSocket frames.
pub(super) fn upgrade(config: &Config) -> UpgradeRules {
    UpgradeRules {
        path: config.websocket.path.clone(),
        origins: config.websocket.origins.clone().0,
        same_host: config.auth.enabled,
    }
}

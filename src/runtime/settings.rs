//! From the configuration, in people's terms, to each part's own settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth;
use crate::config::{
    self, CertificatePair, ClientCertificate as Ask, Config, Create, Handoff, Identity, Keep,
    MinVersion, Poison, WhenFull,
};
use crate::desk::port::Gates;
use crate::desk::{
    ClientLimits, Configuration, DeskSettings, JournalLimits, Memory, Pace, RetainedLimits,
    RoomJournal,
};
use crate::diary::Diary;
use crate::engine::{CapabilityLimits, KeySchemas, RoomSettings, Settings, TypeDefaults};
use crate::ledger::LogLimits;
use crate::live::LiveConfig;
use crate::mqtt::transport::tls::{ClientCertificate, IdentityField, Pair, TlsSettings};
use crate::mqtt::transport::websocket::UpgradeRules;
use crate::mqtt::{MqttConfig, Rate};
use crate::setting::{Bytes, Span};
use crate::wire::name::{Capability, Room, TaskType};

fn millis(span: Span) -> u64 {
    span.ms()
}

/// For the engine.
pub(super) fn engine(config: &Config) -> Settings {
    let common = common(config);
    let rooms = config.rooms.room.iter().filter_map(|(name, own)| {
        let settings = of_room(&common, own);
        let members = own.members.clone();
        // The configuration has been checked: every name is one.
        let name = Room::new(name).ok()?;
        Some((name, RoomSettings { members, settings }))
    });
    Settings {
        rooms: rooms.collect(),
        ..common.clone()
    }
}

/// What one room says, and for the rest what holds everywhere.
fn of_room(common: &Settings, own: &config::Room) -> Settings {
    let span = |own: Option<Span>, common| own.map_or(common, Span::ms);
    let bytes = |own: Option<Bytes>, common| own.map_or(common, |bytes| bytes.0);
    let lease_ms = span(own.lease, common.lease_ms);
    Settings {
        encoding: own.encoding.unwrap_or(common.encoding),
        max_agents_per_room: own.max_agents.unwrap_or(common.max_agents_per_room),
        max_tasks_per_room: own.max_tasks.unwrap_or(common.max_tasks_per_room),
        max_task_bytes_per_room: bytes(own.max_task_bytes, common.max_task_bytes_per_room),
        lease_ms,
        max_attempts: own.max_attempts.unwrap_or(common.max_attempts),
        result_retention_ms: span(own.result_retention, common.result_retention_ms),
        max_keys_per_room: own.max_keys.unwrap_or(common.max_keys_per_room),
        max_key_bytes_per_room: bytes(own.max_key_bytes, common.max_key_bytes_per_room),
        approval_timeout_ms: span(own.approval_timeout, common.approval_timeout_ms),
        allow_approve_on_timeout: own
            .approve_on_timeout
            .unwrap_or(common.allow_approve_on_timeout),
        inbox_ttl_ms: span(own.inbox_ttl, common.inbox_ttl_ms),
        ..common.clone()
    }
}

#[expect(clippy::too_many_lines, reason = "a list of settings")]
fn common(config: &Config) -> Settings {
    let Config {
        rooms,
        handoff,
        blackboard,
        approve,
        tools,
        commands,
        mailbox,
        observe,
        ..
    } = config;
    Settings {
        rooms: BTreeMap::new(),
        rooms_on_use: rooms.create == Create::OnUse,
        root_bytes: rooms.root.len(),
        encoding: rooms.encoding,
        max_encodings: rooms.max_encodings,
        reconnect_grace_ms: millis(rooms.reconnect_grace),
        max_rooms: rooms.max_rooms,
        max_vacated_rooms: rooms.max_vacated_rooms,
        max_agents_per_room: rooms.max_agents_per_room,
        departed_retention_ms: millis(rooms.departed_retention),
        max_departed_per_room: rooms.max_departed_per_room,
        max_metadata_bytes: rooms.max_metadata.0,
        max_capabilities_per_agent: rooms.max_capabilities_per_agent,
        max_capacity: rooms.max_capacity,
        lease_ms: millis(handoff.lease),
        min_lease_ms: millis(handoff.min_lease),
        max_lease_ms: millis(handoff.max_lease),
        max_attempts: handoff.max_attempts,
        max_attempts_limit: handoff.max_attempts_limit,
        max_releases: handoff.max_releases,
        max_deliveries: handoff.max_deliveries,
        backoff_initial_ms: millis(handoff.backoff_initial),
        backoff_factor: handoff.backoff_factor,
        backoff_max_ms: millis(handoff.backoff_max),
        backoff_limit_ms: millis(handoff.backoff_limit),
        max_tasks_per_room: handoff.max_tasks_per_room,
        max_task_bytes_per_room: handoff.max_task_bytes_per_room.0,
        max_ended_tasks_per_room: handoff.max_ended_tasks_per_room,
        max_routes_per_room: handoff.max_routes_per_room,
        types: types(handoff),
        capabilities: capabilities(handoff),
        capability_limits: capability_limits(handoff),
        max_dependencies_per_task: handoff.max_dependencies_per_task,
        max_dependants_per_task: handoff.max_dependants_per_task,
        max_descendants_per_task: handoff.max_descendants_per_task,
        max_depth: handoff.max_depth,
        max_group_size: handoff.max_group_size,
        max_groups_per_room: handoff.max_groups_per_room,
        max_group_result_bytes: handoff.max_group_result.0,
        max_result_bytes_per_room: handoff.max_result_bytes_per_room.0,
        max_wait_by_priority_ms: millis(handoff.max_wait_by_priority),
        max_history_per_task: handoff.max_history_per_task,
        max_page: handoff.max_page,
        max_redrive: handoff.max_redrive,
        max_redrive_looks: Settings::REDRIVE_LOOKS,
        max_affinities_per_room: handoff.max_affinities_per_room,
        max_capabilities_per_task: handoff.max_capabilities_per_task,
        result_retention_ms: millis(handoff.result_retention),
        max_payload_bytes: handoff.max_payload.0,
        kept_payload_bytes: handoff.kept_payload.0,
        max_keys_per_room: blackboard.max_keys_per_room,
        max_key_bytes_per_room: blackboard.max_bytes_per_room.0,
        max_key_bytes: blackboard.max_bytes.0,
        max_tombstones_per_room: blackboard.max_tombstones_per_room,
        max_value_bytes: blackboard.max_value.0,
        max_snapshot_bytes: blackboard.max_snapshot.0,
        max_versions_per_key: blackboard.history,
        max_history_bytes_per_room: blackboard.max_history_bytes_per_room.0,
        // They are in files; whoever starts the engine reads them.
        key_schemas: KeySchemas::default(),
        max_txn_ops: blackboard.max_txn_ops,
        lock_ttl_ms: millis(blackboard.lock_ttl),
        max_lock_ttl_ms: millis(blackboard.max_lock_ttl),
        lock_wait_ms: millis(blackboard.lock_wait),
        max_lock_wait_ms: millis(blackboard.max_lock_wait),
        max_locks_per_room: blackboard.max_locks_per_room,
        max_lock_waiters: blackboard.max_lock_waiters,
        approval_timeout_ms: millis(approve.timeout),
        max_approval_timeout_ms: millis(approve.max_timeout),
        allow_approve_on_timeout: approve.approve_on_timeout,
        approval_retention_ms: millis(approve.retention),
        max_trail_bytes: approve.max_trail.0,
        max_pending_approvals_per_room: approve.max_pending_per_room,
        max_decided_bytes_per_room: approve.max_decided_bytes_per_room.0,
        max_decided_approvals_per_room: approve.max_decided_per_room,
        max_quorum: approve.max_quorum,
        max_approvers: approve.max_approvers,
        provider_grace_ms: millis(tools.provider_grace),
        tool_timeout_ms: millis(tools.timeout),
        max_tool_timeout_ms: millis(tools.max_timeout),
        max_tools_per_room: tools.max_per_room,
        max_tools_per_agent: tools.max_per_agent,
        max_providers_per_tool: tools.max_providers,
        max_tool_schema_bytes: tools.max_schema.0,
        max_argument_bytes: tools.max_arguments.0,
        max_calls_per_room: tools.max_calls_per_room,
        max_calls_per_caller: tools.max_calls_per_caller,
        max_calls_per_provider: tools.max_calls_per_provider,
        max_call_bytes_per_room: tools.max_call_bytes_per_room.0,
        call_retention_ms: millis(tools.result_retention),
        max_ended_calls_per_room: tools.max_ended_calls_per_room,
        max_call_result_bytes_per_room: tools.max_result_bytes_per_room.0,
        max_replay_events: observe.max_page,
        max_page_bytes: observe.max_page_bytes.0,
        idempotency_ms: millis(commands.idempotency),
        max_outcomes_per_room: commands.max_outcomes_per_room,
        max_ttl_ms: millis(commands.max_ttl),
        max_correlation_bytes: commands.max_correlation.0,
        max_label_bytes: commands.max_label.0,
        max_reason_bytes: commands.max_reason.0,
        directed_ttl_ms: millis(mailbox.result_ttl),
        reply_ttl_ms: millis(mailbox.reply_ttl),
        inbox_ttl_ms: millis(mailbox.inbox_ttl),
    }
}

fn types(handoff: &Handoff) -> BTreeMap<TaskType, TypeDefaults> {
    let types = handoff.types.iter().map(|(name, of_type)| {
        let defaults = TypeDefaults {
            lease_ms: of_type.lease.map(millis),
            max_attempts: of_type.max_attempts,
            backoff_initial_ms: of_type.backoff_initial.map(millis),
            backoff_factor: of_type.backoff_factor,
            backoff_max_ms: of_type.backoff_max.map(millis),
            priority: of_type.priority,
            ttl_ms: of_type.ttl.map(millis),
            require_online: of_type.require_online,
            result_retention_ms: of_type.result_retention.map(millis),
        };
        (name.clone(), defaults)
    });
    types.collect()
}

fn capability_limits(handoff: &Handoff) -> CapabilityLimits {
    CapabilityLimits {
        max_queued: handoff.max_queued_per_capability,
        dispatch_rate: handoff.dispatch_rate,
        dispatch_burst: handoff.dispatch_burst,
    }
}

fn capabilities(handoff: &Handoff) -> BTreeMap<Capability, CapabilityLimits> {
    let usual = capability_limits(handoff);
    let capabilities = handoff.capabilities.iter().map(|(name, own)| {
        let limits = CapabilityLimits {
            max_queued: own.max_queued.unwrap_or(usual.max_queued),
            dispatch_rate: own.dispatch_rate.unwrap_or(usual.dispatch_rate),
            dispatch_burst: own.dispatch_burst.unwrap_or(usual.dispatch_burst),
        };
        (name.clone(), limits)
    });
    capabilities.collect()
}

/// For the desk.
pub(super) fn desk(
    config: &Config,
    memory: Arc<Memory>,
    gates: Option<Arc<dyn Gates>>,
    diary: Arc<Diary>,
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
        gates,
        diary,
        linger_ms,
        patience_ms: millis(config.live.patience),
    }
}

/// What the desk can be told anew, without the schemas of keys.
pub(super) fn desk_configuration(config: &Config) -> Configuration {
    Configuration {
        engine: Box::new(engine(config)),
        respells: false,
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
        retained: RetainedLimits {
            max_messages: config.retained.max_messages,
            max_bytes: config.retained.max_bytes.0,
        },
        journal: JournalLimits {
            keep: config.observe.keep == Keep::Gateway,
            retention_ms: millis(config.observe.retention),
            max_bytes_per_room: config.observe.max_bytes_per_room.0 as u64,
            max_bytes: config.observe.max_bytes.0 as u64,
            max_rooms: config.observe.max_rooms,
            max_read_bytes: config.observe.max_read.0,
            rooms: room_journals(config),
        },
        max_memory: config.memory.max_queued.0,
        linger_ms: millis(config.desk.linger),
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
            retention_ms: millis(retention),
            max_bytes: bytes.0 as u64,
        };
        Some((Room::new(name).ok()?, journal))
    });
    own.collect()
}

/// For the desk's thread.
pub(super) fn pace(config: &Config) -> Pace {
    Pace {
        max_pending_bytes: config.desk.max_pending.0,
        max_waiting_requests: config.desk.max_requests,
        max_requests_a_turn: config.desk.max_batch,
    }
}

/// For the front door.
pub(super) fn mqtt(config: &Config) -> MqttConfig {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    MqttConfig {
        root: config.rooms.root.clone(),
        max_connections: config.mqtt.max_connections,
        max_connections_per_address: Some(config.mqtt.max_connections_per_address)
            .filter(|&max| max > 0),
        connect_rate: Rate {
            per_second: config.mqtt.connect_rate.into(),
            burst: config.mqtt.connect_burst.into(),
        },
        connect_rate_per_address: Rate {
            per_second: config.mqtt.connect_rate_per_address.into(),
            burst: config.mqtt.connect_burst_per_address.into(),
        },
        max_opening: config.mqtt.max_opening,
        connect_timeout: config.mqtt.connect_timeout.0,
        drain_timeout: config.mqtt.drain_timeout.0,
        max_connect_packet_bytes: config.mqtt.max_connect_packet.0,
        max_packet_bytes: config.mqtt.max_packet.0,
        max_discarded_bytes: config.mqtt.max_discarded.0,
        patience: config.mqtt.patience.0,
        poison_ack: config.mqtt.poison == Poison::Ack,
        max_poison: config.mqtt.max_poison,
        write_high_water_bytes: config.mqtt.write_high_water.0,
        max_topic_levels: config.mqtt.max_topic_levels,
        max_subscriptions: config.mqtt.max_subscriptions,
        max_inflight: config.mqtt.max_inflight,
        receive_maximum: config.mqtt.receive_maximum,
        publish_rate: Rate {
            per_second: config.mqtt.max_publish_rate,
            burst: config.mqtt.publish_burst,
        },
        byte_rate: Rate {
            per_second: config.mqtt.max_byte_rate.0 as u64,
            burst: config.mqtt.byte_burst.0 as u64,
        },
        max_keep_alive: u16::try_from(config.mqtt.max_keep_alive.0.as_secs())
            .ok()
            .filter(|&seconds| seconds > 0),
        tcp_keepalive: Some(config.mqtt.tcp_keepalive.0).filter(|idle| !idle.is_zero()),
        max_topic_alias: config.mqtt.topic_alias_max,
        reason_strings: config.mqtt.reason_strings,
        strict_filters: config.mqtt.strict_filters,
        log_connections: config.log.connections,
        reveal_denials: config.auth.reveal_denials,
        session_expiry_max: seconds(config.mqtt.max_session_expiry.0),
        max_lossy_bytes: config.mqtt.write_buffer.0,
        max_pending_messages: config.mqtt.max_pending_messages,
        max_pending_bytes: config.mqtt.max_pending_bytes.0,
    }
}

/// For the guard; `None` while everybody is let in.
pub(super) fn auth(config: &Config) -> Option<auth::Settings> {
    let keys = &config.auth;
    let path = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    keys.enabled.then(|| auth::Settings {
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

/// For the listeners that encrypt.
pub(super) fn tls(config: &Config) -> TlsSettings {
    let tls = &config.tls;
    let given = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let pair = |other: &CertificatePair| Pair {
        certificate: other.certificate.clone(),
        key: other.key.clone(),
    };
    TlsSettings {
        own: Pair {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
        },
        others: tls.others.iter().map(pair).collect(),
        client_ca: given(&tls.client_ca),
        client_certificate: match tls.client_certificate {
            Ask::None => ClientCertificate::None,
            Ask::Optional => ClientCertificate::Optional,
            Ask::Required => ClientCertificate::Required,
        },
        identity: match tls.identity {
            Identity::Cn => IdentityField::CommonName,
            Identity::San => IdentityField::AlternativeName,
        },
        crl: given(&tls.crl),
        allow_tls12: tls.min_version == MinVersion::Tls12,
        max_handshakes: tls.max_handshakes,
    }
}

/// For the listeners in WebSocket frames.
pub(super) fn upgrade(config: &Config) -> UpgradeRules {
    UpgradeRules {
        path: config.websocket.path.clone(),
        origins: config.websocket.origins.clone().0,
        same_host: config.auth.enabled,
    }
}

/// For the live plane.
pub(super) fn live(config: &Config) -> LiveConfig {
    LiveConfig {
        max_links: config.mqtt.max_connections,
        segment_bytes: config.live.segment.0,
        segments: config.live.segments,
        patience: config.live.patience.0,
        topics_per_router: config.live.topics_per_router,
        filters_per_router: config.live.filters_per_router,
        links_per_router: config.live.links_per_router,
    }
}

/// What the commit log may hold.
pub(super) fn log(config: &Config) -> LogLimits {
    LogLimits {
        segment_bytes: config.data.log_segment.0 as u64,
        segments: config.data.log_segments,
        ..LogLimits::default()
    }
}

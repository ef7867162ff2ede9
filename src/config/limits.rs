//! How far each value may go, and the rules that tie values together.
//!
//! A limit that is out of range is refused with the range, never clamped: what runs is what was written.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::sections::KeySchema;
use super::units::{duration, size};
use super::{Auth, ClientCertificate, Config, Problem, listeners, tables};
use crate::wire::name::Key;

/// The smallest and the largest allowed.
#[derive(Debug, Clone, Copy)]
enum Range {
    Count(u64, u64),
    Factor(f64, f64),
    Span(Duration, Duration),
    Bytes(u64, u64),
}

const MS: fn(u64) -> Duration = Duration::from_millis;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Schemas of keys, each up to 64 KiB.
const MAX_SCHEMAS: usize = 1000;

/// The range of every number, duration and size in the configuration, by its key.
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a list of ranges")]
fn range(key: &str) -> Option<Range> {
    use Range::{Bytes, Count, Factor, Span};
    const SECOND: u64 = 1000;
    const HOUR: u64 = 3600 * SECOND;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    const MANY: u64 = 100_000_000;
    Some(match key {
        "mqtt.max_connections" => Count(1, 1_000_000),
        "mqtt.max_connections_per_address" => Count(0, 1_000_000),
        "mqtt.connect_rate" | "mqtt.connect_rate_per_address" => Count(0, 1_000_000),
        "mqtt.connect_burst" | "mqtt.connect_burst_per_address" => Count(1, 1_000_000),
        "mqtt.max_opening" => Count(1, 1_000_000),
        "mqtt.connect_timeout" => Span(MS(100), MS(300 * SECOND)),
        "mqtt.max_connect_packet" => Bytes(KIB, 16 * MIB),
        "mqtt.drain_timeout" => Span(MS(0), MS(300 * SECOND)),
        // MQTT's Remaining Length ends at 256 MiB; the header of a packet needs some bytes, too.
        "mqtt.max_packet" => Bytes(KIB, 255 * MIB),
        "mqtt.max_discarded" => Bytes(0, 256 * MIB),
        "mqtt.patience" => Span(MS(SECOND), MS(HOUR)),
        "mqtt.max_poison" => Count(1, 1_000_000),
        // The topics of rooms have up to 15; each level is a step of a recursion.
        "mqtt.max_topic_levels" => Count(16, 1000),
        "mqtt.max_inflight" | "mqtt.receive_maximum" => Count(1, u16::MAX as u64),
        "mqtt.max_publish_rate" | "mqtt.publish_burst" => Count(0, MANY),
        "mqtt.max_byte_rate" | "mqtt.byte_burst" => Bytes(0, 64 * GIB),
        "mqtt.max_keep_alive" => Span(MS(0), MS(u16::MAX as u64 * SECOND)),
        // What Linux takes.
        "mqtt.tcp_keepalive" => Span(MS(0), MS(32_767 * SECOND)),
        "mqtt.topic_alias_max" => Count(0, u16::MAX as u64),
        "mqtt.write_high_water" | "mqtt.write_buffer" => Bytes(4 * KIB, GIB),
        "mqtt.max_pending_messages" => Count(1, MANY),
        "mqtt.max_pending_bytes" => Bytes(64 * KIB, 64 * GIB),
        "mqtt.max_subscriptions" => Count(1, 1_000_000),
        "mqtt.max_session_expiry" => Span(MS(0), MS((u32::MAX - 1) as u64 * SECOND)),
        "mqtt.sys_interval" => Span(MS(0), MS(DAY)),
        "data.log_segment" => Bytes(64 * KIB, GIB),
        "data.log_segments" => Count(1, 1000),
        "log.max_lines" => Count(1, 100_000),
        "log.max_waiting" => Bytes(4 * KIB, GIB),
        "tls.max_handshakes" => Count(1, 100_000),
        "http.max_connections" => Count(1, 65_536),
        "http.timeout" => Span(MS(100), MS(300 * SECOND)),
        "rooms.max_rooms" | "rooms.max_vacated_rooms" | "rooms.max_agents_per_room" => {
            Count(1, MANY)
        }
        "rooms.max_encodings" => Count(1, 1_000_000),
        "rooms.max_departed_per_room" => Count(0, 1_000_000),
        "rooms.departed_retention" => Span(MS(0), MS(YEAR)),
        "rooms.reconnect_grace" => Span(MS(0), MS(DAY)),
        "rooms.max_metadata" => Bytes(0, MIB),
        "rooms.max_capabilities_per_agent" => Count(1, 10_000),
        "rooms.max_capacity" => Count(1, 1_000_000),
        "handoff.lease" | "handoff.max_lease" => Span(MS(10), MS(30 * DAY)),
        "handoff.min_lease" => Span(MS(10), MS(DAY)),
        "handoff.max_attempts"
        | "handoff.max_attempts_limit"
        | "handoff.max_releases"
        | "handoff.max_deliveries" => Count(1, 1_000_000),
        "handoff.backoff_initial" | "handoff.backoff_max" => Span(MS(0), MS(30 * DAY)),
        "handoff.backoff_limit" => Span(MS(0), MS(30 * DAY)),
        "handoff.backoff_factor" => Factor(1.0, 100.0),
        "handoff.max_tasks_per_room" | "handoff.max_ended_tasks_per_room" => Count(1, MANY),
        "handoff.max_task_bytes_per_room" => Bytes(64 * KIB, 64 * GIB),
        "handoff.max_routes_per_room" | "handoff.max_affinities_per_room" => Count(1, 1_000_000),
        "handoff.max_queued_per_capability" => Count(1, MANY),
        "handoff.dispatch_rate" => Count(0, 1_000_000),
        "handoff.dispatch_burst" => Count(1, 1_000_000),
        "handoff.max_dependencies_per_task" | "handoff.max_dependants_per_task" => Count(1, 10_000),
        "handoff.max_descendants_per_task" => Count(1, 1_000_000),
        "handoff.max_depth" => Count(1, 1000),
        "handoff.max_group_size" => Count(1, 10_000),
        "handoff.max_groups_per_room" => Count(1, MANY),
        "handoff.max_group_result" => Bytes(0, 16 * MIB),
        "handoff.max_history_per_task" => Count(1, 1000),
        "handoff.max_page" => Count(1, 10_000),
        "handoff.max_redrive" => Count(1, 100_000),
        "handoff.max_capabilities_per_task" => Count(1, 1000),
        "handoff.result_retention" => Span(MS(0), MS(YEAR)),
        "handoff.max_result_bytes_per_room" => Bytes(0, 64 * GIB),
        "approve.max_decided_bytes_per_room" => Bytes(0, 64 * GIB),
        "handoff.max_wait_by_priority" => Span(MS(0), MS(YEAR)),
        "handoff.max_payload" | "blackboard.max_value" => Bytes(KIB, 255 * MIB),
        "handoff.kept_payload" => Bytes(0, MIB),
        "blackboard.max_keys_per_room" | "blackboard.max_tombstones_per_room" => Count(1, MANY),
        "blackboard.max_bytes_per_room" | "blackboard.max_bytes" => Bytes(64 * KIB, 64 * GIB),
        "blackboard.max_snapshot" => Bytes(KIB, 255 * MIB),
        "blackboard.history" => Count(1, 10_000),
        "blackboard.max_history_bytes_per_room" => Bytes(0, 64 * GIB),
        "blackboard.max_txn_ops" => Count(1, 10_000),
        "blackboard.lock_ttl" | "blackboard.max_lock_ttl" => Span(MS(10), MS(30 * DAY)),
        "blackboard.lock_wait" | "blackboard.max_lock_wait" => Span(MS(10), MS(30 * DAY)),
        "blackboard.max_locks_per_room" => Count(1, 1_000_000),
        // All who wait for a lock are in one record.
        "blackboard.max_lock_waiters" => Count(0, 1000),
        "observe.retention" => Span(MS(SECOND), MS(10 * YEAR)),
        // A chunk and some more must fit, else a busy room would keep nothing.
        "observe.max_bytes_per_room" | "observe.max_bytes" => Bytes(256 * KIB, 1024 * GIB),
        "observe.max_rooms" => Count(1, MANY),
        "observe.max_page" => Count(1, 10_000),
        "observe.max_page_bytes" => Bytes(KIB, 16 * MIB),
        "observe.max_read" => Bytes(64 * KIB, GIB),
        "approve.timeout" | "approve.max_timeout" => Span(MS(SECOND), MS(YEAR)),
        "approve.retention" => Span(MS(0), MS(10 * YEAR)),
        "approve.max_trail" => Bytes(4 * KIB, MIB),
        "approve.max_pending_per_room" | "approve.max_decided_per_room" => Count(1, MANY),
        "approve.max_quorum" | "approve.max_approvers" => Count(1, 10_000),
        "tools.timeout" | "tools.max_timeout" => Span(MS(100), MS(DAY)),
        "tools.provider_grace" => Span(MS(0), MS(DAY)),
        "tools.max_per_room" | "tools.max_calls_per_room" => Count(1, 1_000_000),
        "tools.max_per_agent" | "tools.max_providers" => Count(1, 10_000),
        "tools.max_calls_per_caller" | "tools.max_calls_per_provider" => Count(1, 1_000_000),
        // No longer ones can be checked in a time that is known.
        "tools.max_schema" => Bytes(KIB, 64 * KIB),
        "tools.max_arguments" => Bytes(KIB, 255 * MIB),
        "tools.max_call_bytes_per_room" => Bytes(64 * KIB, 64 * GIB),
        "tools.result_retention" => Span(MS(0), MS(YEAR)),
        "tools.max_ended_calls_per_room" => Count(1, MANY),
        "tools.max_result_bytes_per_room" => Bytes(0, 64 * GIB),
        // Agents rely on a repeat being recognised for a day.
        "commands.idempotency" => Span(MS(DAY), MS(YEAR)),
        "commands.max_outcomes_per_room" => Count(1, MANY),
        "commands.max_ttl" => Span(MS(SECOND), MS(10 * YEAR)),
        "commands.max_correlation" | "commands.max_label" => Bytes(16, 64 * KIB),
        "commands.max_reason" => Bytes(16, 64 * KIB),
        "mailbox.max_messages" | "mailbox.max_replies" | "mailbox.max_results" => Count(1, MANY),
        "mailbox.max_bytes" | "mailbox.max_result_bytes" | "session.max_queued_bytes" => Bytes(64 * KIB, 64 * GIB),
        "mailbox.reply_ttl" | "mailbox.result_ttl" => Span(MS(SECOND), MS(YEAR)),
        "mailbox.inbox_ttl" => Span(MS(SECOND), MS(YEAR)),
        "session.max_sessions" | "session.max_queued_messages" => Count(1, MANY),
        "retained.max_messages" => Count(0, MANY),
        "retained.max_bytes" => Bytes(0, 64 * GIB),
        "memory.max_queued" => Bytes(16 * MIB, 1024 * GIB),
        "clock.max_step" => Span(MS(60 * SECOND), MS(10 * YEAR)),
        "desk.max_pending" => Bytes(MIB, 64 * GIB),
        "desk.max_batch" | "desk.max_requests" => Count(1, 1_000_000),
        "desk.linger" => Span(MS(0), MS(SECOND)),
        "live.segment" => Bytes(64 * KIB, GIB),
        "live.segments" => Count(2, 1000),
        "live.patience" => Span(MS(0), MS(HOUR)),
        "live.topics_per_router" | "live.filters_per_router" => Count(1000, MANY),
        "live.links_per_router" => Count(1000, MANY),
        "auth.max_password_checks" => Count(1, 1024),
        "auth.jwt_leeway" => Span(MS(0), MS(HOUR)),
        _ => return None,
    })
}

/// Checks one value against its range; the error says the range and what came.
pub(super) fn check(key: &str, value: &Value) -> Result<(), String> {
    let Some(range) = range(key) else {
        return Ok(());
    };
    let (inside, low, high) = match range {
        Range::Count(low, high) => (
            value.as_u64().is_some_and(|n| (low..=high).contains(&n)),
            low.to_string(),
            high.to_string(),
        ),
        Range::Factor(low, high) => (
            value.as_f64().is_some_and(|n| (low..=high).contains(&n)),
            low.to_string(),
            high.to_string(),
        ),
        Range::Span(low, high) => (
            text(value, duration::parse).is_some_and(|span| (low..=high).contains(&span)),
            quoted(duration::format(low)),
            quoted(duration::format(high)),
        ),
        Range::Bytes(low, high) => (
            text(value, size::parse).is_some_and(|bytes| (low..=high).contains(&(bytes as u64))),
            quoted(size::format(low)),
            quoted(size::format(high)),
        ),
    };
    if inside {
        Ok(())
    } else {
        Err(format!("must be {low} to {high}, but is {value}"))
    }
}

fn text<T>(value: &Value, parse: fn(&str) -> Option<T>) -> Option<T> {
    value.as_str().and_then(parse)
}

fn quoted(text: String) -> String {
    format!("{text:?}")
}

/// What no single value shows: authentication against reach, one limit against another.
pub(super) fn check_together(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |key: &str, message: String| problems.push(Problem::of_key(key, message));
    if config.auth.enabled {
        for (key, reason) in check_auth(&config.auth) {
            refuse(key, reason);
        }
        if config.auth.certificate && config.tls.client_certificate == ClientCertificate::None {
            let message = "no client is asked for a certificate: set tls.client_certificate";
            refuse("auth.certificate", message.to_owned());
        }
    } else {
        let everywhere = config
            .listeners()
            .chain([("http.listen", config.http.listen)]);
        for (key, address) in everywhere.filter(|(_, address)| !is_loopback(address)) {
            refuse(
                key,
                format!(
                    "{address} is reachable from other machines, which is refused while \
                     authentication is off: listen on 127.0.0.1 or [::1]"
                ),
            );
        }
    }
    for (key, message) in listeners::check(config) {
        refuse(key, message);
    }
    for (key, message) in check_schemas(&config.blackboard.schemas) {
        refuse(&format!("blackboard.schemas{key}"), message);
    }
    if let Err(reason) = check_root(&config.rooms.root) {
        refuse("rooms.root", reason);
    }
    if config.data.dir.as_os_str().is_empty() {
        refuse("data.dir", "must name a directory, but is empty".to_owned());
    }
    for (key, small, large_key, large) in pairs(config) {
        if small > large {
            refuse(key, format!("must not be more than {large_key}"));
        }
    }
    problems.extend(tables::check_together(config));
    problems
}

/// What would let nobody in, or mean nothing.
fn check_auth(auth: &Auth) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let given = |path: &std::path::PathBuf| !path.as_os_str().is_empty();
    let ways_in = [
        given(&auth.password_file),
        given(&auth.jwt_key_file),
        given(&auth.jwt_jwks_file),
        auth.certificate,
        !auth.anonymous.is_empty(),
    ];
    if !ways_in.contains(&true) {
        let message = "nobody could log in: set auth.password_file, auth.jwt_key_file, auth.jwt_jwks_file, \
                       auth.certificate or auth.anonymous";
        problems.push(("auth.enabled", message.to_owned()));
    }
    let claims = [
        ("auth.jwt_user_claim", &auth.jwt_user_claim),
        ("auth.jwt_roles_claim", &auth.jwt_roles_claim),
        ("auth.jwt_rooms_claim", &auth.jwt_rooms_claim),
    ];
    let unnamed = claims.into_iter().filter(|(_, claim)| claim.is_empty());
    problems.extend(unnamed.map(|(key, _)| (key, "must name a claim, but is empty".to_owned())));
    if auth.client_ids.is_empty() {
        let message = "must have at least one pattern: [\"*\"] lets users have any client id";
        problems.push(("auth.client_ids", message.to_owned()));
    }
    for pattern in &auth.client_ids {
        let fixed = pattern.strip_suffix('*').unwrap_or(pattern);
        if pattern.is_empty() || fixed.contains('*') {
            let message = format!(
                "a pattern must not be empty and may have a * only at its end, but is {pattern:?}"
            );
            problems.push(("auth.client_ids", message));
        }
    }
    problems
}

/// Values of which the first must not be more than the second.
fn pairs(config: &Config) -> [(&'static str, u128, &'static str, u128); 7] {
    let (handoff, approve) = (&config.handoff, &config.approve);
    let of = |span: Duration| span.as_millis();
    let lease = of(handoff.lease);
    [
        (
            "handoff.min_lease",
            of(handoff.min_lease),
            "handoff.lease",
            lease,
        ),
        (
            "handoff.lease",
            lease,
            "handoff.max_lease",
            of(handoff.max_lease),
        ),
        (
            "handoff.max_attempts",
            handoff.max_attempts.into(),
            "handoff.max_attempts_limit",
            handoff.max_attempts_limit.into(),
        ),
        (
            "handoff.backoff_initial",
            of(handoff.backoff_initial),
            "handoff.backoff_max",
            of(handoff.backoff_max),
        ),
        (
            "handoff.backoff_max",
            of(handoff.backoff_max),
            "handoff.backoff_limit",
            of(handoff.backoff_limit),
        ),
        (
            "approve.timeout",
            of(approve.timeout),
            "approve.max_timeout",
            of(approve.max_timeout),
        ),
        (
            "tools.timeout",
            of(config.tools.timeout),
            "tools.max_timeout",
            of(config.tools.max_timeout),
        ),
    ]
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Prefixes are keys, each with one schema, and one for each room besides. What is wrong, with the rest of its key.
fn check_schemas(schemas: &[KeySchema]) -> Vec<(String, String)> {
    let mut messages = Vec::new();
    if schemas.len() > MAX_SCHEMAS {
        let found = schemas.len();
        let message = format!("may have at most {MAX_SCHEMAS} entries, but has {found}");
        messages.push((String::new(), message));
    }
    let mut prefixes = BTreeSet::new();
    for (index, entry) in schemas.iter().enumerate() {
        let mut refuse = |key: &str, message| messages.push((format!("[{index}].{key}"), message));
        let KeySchema {
            prefix,
            schema,
            room,
        } = entry;
        let room = room.as_ref();
        if let Some(room) = room.filter(|room| !crate::wire::name::is_name(room)) {
            refuse("room", format!("{room:?} is no name of a room"));
        }
        if let Err(error) = Key::new(prefix) {
            refuse("prefix", error.to_string());
        } else if !prefixes.insert((room, prefix)) {
            refuse("prefix", format!("the prefix {prefix} has two schemas"));
        }
        if schema.as_os_str().is_empty() {
            let message = format!("the prefix {prefix} must have a file in schema");
            refuse("schema", message);
        }
    }
    messages
}

/// One topic segment: a longer root would leave too few of the slashes that cloud brokers allow.
fn check_root(root: &str) -> Result<(), String> {
    if crate::wire::name::is_name(root) {
        Ok(())
    } else {
        Err(format!(
            "must be 1 to {} of A-Z a-z 0-9 _ . -, but is {root:?}",
            crate::wire::name::MAX_NAME_BYTES
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::leaves;

    #[test]
    fn every_number_duration_and_size_has_a_range_and_starts_inside_it() {
        let free = [
            "data.dir",
            "rooms.root",
            "mqtt.listen",
            "http.listen",
            "session.when_full",
            "mqtt.poison",
            "observe.keep",
            "rooms.create",
            "rooms.encoding",
            "rooms.room",
        ];
        let transport = ["tls.", "websocket."];
        let defaults = serde_json::to_value(Config::default()).expect("serializes");
        for (key, value) in leaves(&defaults) {
            let checked_together = transport.iter().any(|section| key.starts_with(section));
            let named = key.starts_with("auth.") && !key.ends_with("leeway") && value.is_string();
            let free_form = value.is_boolean() || value.is_array() || value.is_object() || named;
            let chosen = free_form || key.starts_with("log.") || checked_together;
            assert!(
                range(&key).is_some() || chosen || free.contains(&key.as_str()),
                "{key} has no range"
            );
            assert_eq!(check(&key, value), Ok(()), "{key}");
        }
    }

    #[test]
    fn defaults_agree_with_each_other() {
        assert!(check_together(&Config::default()).is_empty());
    }

    #[test]
    fn loopback_comes_in_three_spellings() {
        for address in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(is_loopback(&address.parse().expect("valid")), "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            assert!(!is_loopback(&address.parse().expect("valid")), "{address}");
        }
    }
}

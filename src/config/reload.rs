//! Which settings take effect while the gateway runs, and what two configurations have in common.
//!
//! Every key is in the table below; `config/hallward.toml` marks those that take a restart, `docs/configuration.md` lists them, and tests
//! hold all three equal.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::effective::toml;
use super::limits;
use super::tables::TABLES;
use super::{Config, Problem, Problems};

/// When a changed setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// When the configuration is read again (SIGHUP).
    Reload,
    /// When the gateway is started again.
    Restart,
}

/// Keys of one section that take effect alike.
type Row = (&'static str, Takes, &'static [&'static str]);

/// Every key.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("mqtt", Takes::Reload, &["max_connections", "max_connections_per_address", "connect_rate", "connect_burst", "connect_rate_per_address", "connect_burst_per_address", "max_opening", "connect_timeout", "max_connect_packet", "drain_timeout", "max_packet", "max_discarded", "poison", "max_poison", "max_topic_levels", "max_inflight", "receive_maximum", "max_publish_rate", "publish_burst", "max_byte_rate", "byte_burst", "max_keep_alive", "tcp_keepalive", "topic_alias_max", "patience", "reason_strings", "strict_filters", "write_high_water", "write_buffer", "max_pending_messages", "max_pending_bytes", "max_subscriptions", "max_session_expiry"]),
    ("mqtt", Takes::Restart, &["listen", "sys_interval"]),
    ("tls", Takes::Reload, &["certificate", "key", "others", "client_ca", "client_certificate", "identity", "crl", "min_version"]),
    ("tls", Takes::Restart, &["listen", "max_handshakes"]),
    ("websocket", Takes::Reload, &["path", "origins"]),
    ("websocket", Takes::Restart, &["listen", "tls_listen"]),
    ("http", Takes::Restart, &["listen", "max_connections", "timeout"]),
    ("data", Takes::Restart, &["dir", "log_segment", "log_segments"]),
    ("rooms", Takes::Reload, &["create", "encoding", "max_encodings", "max_rooms", "max_vacated_rooms", "max_agents_per_room", "max_departed_per_room", "departed_retention", "reconnect_grace", "max_metadata", "max_capabilities_per_agent", "max_capacity", "room"]),
    ("rooms", Takes::Restart, &["root"]),
    ("handoff", Takes::Reload, &["lease", "min_lease", "max_lease", "max_attempts", "max_attempts_limit", "max_releases", "max_deliveries", "backoff_initial", "backoff_factor", "backoff_max", "backoff_limit", "max_tasks_per_room", "max_task_bytes_per_room", "max_ended_tasks_per_room", "max_routes_per_room", "max_queued_per_capability", "dispatch_rate", "dispatch_burst", "types", "capabilities", "max_dependencies_per_task", "max_dependants_per_task", "max_descendants_per_task", "max_depth", "max_group_size", "max_groups_per_room", "max_group_result", "max_history_per_task", "max_page", "max_redrive", "max_affinities_per_room", "max_capabilities_per_task", "result_retention", "max_result_bytes_per_room", "max_wait_by_priority", "max_payload", "kept_payload"]),
    ("blackboard", Takes::Reload, &["max_keys_per_room", "max_bytes_per_room", "max_bytes", "max_tombstones_per_room", "max_value", "max_snapshot", "history", "max_history_bytes_per_room", "schemas", "max_txn_ops", "lock_ttl", "max_lock_ttl", "lock_wait", "max_lock_wait", "max_locks_per_room", "max_lock_waiters"]),
    ("observe", Takes::Reload, &["keep", "retention", "max_bytes_per_room", "max_bytes", "max_rooms", "max_page", "max_page_bytes", "max_read"]),
    ("approve", Takes::Reload, &["timeout", "max_timeout", "approve_on_timeout", "retention", "max_trail", "max_pending_per_room", "max_decided_per_room", "max_decided_bytes_per_room", "max_quorum", "max_approvers"]),
    ("tools", Takes::Reload, &["timeout", "max_timeout", "provider_grace", "max_per_room", "max_per_agent", "max_providers", "max_schema", "max_arguments", "max_calls_per_room", "max_calls_per_caller", "max_calls_per_provider", "max_call_bytes_per_room", "result_retention", "max_ended_calls_per_room", "max_result_bytes_per_room"]),
    ("commands", Takes::Reload, &["idempotency", "max_outcomes_per_room", "max_ttl", "max_correlation", "max_label", "max_reason"]),
    ("mailbox", Takes::Reload, &["max_messages", "max_bytes", "max_results", "max_result_bytes", "max_replies", "reply_ttl", "result_ttl", "inbox_ttl"]),
    ("session", Takes::Reload, &["max_sessions", "max_queued_messages", "max_queued_bytes", "when_full"]),
    ("retained", Takes::Reload, &["max_messages", "max_bytes"]),
    ("memory", Takes::Reload, &["max_queued"]),
    ("clock", Takes::Restart, &["max_step"]),
    ("desk", Takes::Reload, &["linger"]),
    ("desk", Takes::Restart, &["max_pending", "max_batch", "max_requests"]),
    ("live", Takes::Restart, &["segment", "segments", "patience", "topics_per_router", "filters_per_router", "links_per_router"]),
    ("log", Takes::Reload, &["level", "connections", "max_lines"]),
    ("log", Takes::Restart, &["format", "max_waiting"]),
    ("auth", Takes::Reload, &["password_file", "users_file", "acl_file", "anonymous", "certificate", "client_ids", "reveal_denials", "jwt_key_file", "jwt_jwks_file", "jwt_issuer", "jwt_audience", "jwt_leeway", "jwt_user_claim", "jwt_roles_claim", "jwt_rooms_claim"]),
    ("auth", Takes::Restart, &["enabled", "max_password_checks"]),
];

/// When a change of this key takes effect; keys of entries go with their tables.
pub(super) fn takes(section: &str, key: &str) -> Takes {
    let row = TABLE
        .iter()
        .find(|(own, _, keys)| *own == section && keys.contains(&key));
    // What is not known to be read again is not read again.
    row.map_or(Takes::Restart, |(_, takes, _)| *takes)
}

/// A key whose value is another one in another configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The key: `mqtt.listen`, `rooms.room.lab.lease`.
    pub key: String,
    /// The value before, as a file would have it; empty where there was none.
    pub from: String,
    /// The value after.
    pub to: String,
    /// When it takes effect.
    pub takes: Takes,
}

impl Config {
    /// What is different in another configuration, in the order of the keys.
    pub fn changes_to(&self, other: &Config) -> Vec<Changed> {
        let (from, to) = (tree(self), tree(other));
        let mut changed = Vec::new();
        for (section, keys) in from.as_object().into_iter().flatten() {
            for (key, before) in keys.as_object().into_iter().flatten() {
                let after = &to[section][key];
                let takes = takes(section, key);
                let full_key = format!("{section}.{key}");
                let is_table = TABLES.iter().any(|table| table.path == [section, key]);
                let depth = if is_table { 2 } else { 0 };
                compare(&full_key, before, after, takes, depth, &mut changed);
            }
        }
        changed
    }

    /// This configuration with those values of `wanted` that can take effect while the gateway runs.
    ///
    /// # Errors
    /// If these do not go together with the others.
    pub fn with_reloadable(&self, wanted: &Config) -> Result<Config, Problems> {
        let mut next = tree(self);
        for (section, keys) in tree(wanted).as_object().into_iter().flatten() {
            for (key, value) in keys.as_object().into_iter().flatten() {
                if takes(section, key) == Takes::Reload {
                    next[section][key] = value.clone();
                }
            }
        }
        let next: Config = serde_json::from_value(next).map_err(|error| {
            let place = super::Place::Default;
            Problems(vec![Problem::of_source(place, error.to_string())])
        })?;
        match limits::check_together(&next) {
            problems if problems.is_empty() => Ok(next),
            problems => Err(Problems(problems)),
        }
    }
}

fn tree(config: &Config) -> Value {
    serde_json::to_value(config).expect("a configuration serializes")
}

/// Compares values; tables of entries entry by entry and key by key, `depth` levels down.
fn compare(
    key: &str,
    before: &Value,
    after: &Value,
    takes: Takes,
    depth: u8,
    changed: &mut Vec<Changed>,
) {
    if before == after {
        return;
    }
    let names = |value: &Value| {
        value
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
            .cloned()
            .collect()
    };
    let (old, new): (BTreeSet<String>, BTreeSet<String>) = (names(before), names(after));
    if depth > 0 && !(old.is_empty() && new.is_empty()) {
        for name in old.union(&new) {
            let of = |table: &Value| table.get(name).cloned().unwrap_or_default();
            let key = format!("{key}.{name}");
            compare(&key, &of(before), &of(after), takes, depth - 1, changed);
        }
        return;
    }
    let shown = |value: &Value| match value {
        Value::Null => String::new(),
        value => toml(value),
    };
    changed.push(Changed {
        key: key.to_owned(),
        from: shown(before),
        to: shown(after),
        takes,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::leaves;

    const SHIPPED: &str = include_str!("../../config/hallward.toml");
    const PAGE: &str = include_str!("../../docs/configuration.md");

    fn keys(wanted: Takes) -> BTreeSet<String> {
        let rows = TABLE.iter().filter(|(_, takes, _)| *takes == wanted);
        rows.flat_map(|(section, _, keys)| keys.iter().map(move |key| format!("{section}.{key}")))
            .collect()
    }

    #[test]
    fn every_key_is_in_the_table_once() {
        let mut rows: Vec<String> = TABLE
            .iter()
            .flat_map(|(section, _, keys)| keys.iter().map(move |key| format!("{section}.{key}")))
            .collect();
        rows.sort();
        let tree = tree(&Config::default());
        let all: BTreeSet<String> = leaves(&tree).map(|(key, _)| key).collect();
        assert_eq!(rows, all.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_shipped_file_marks_what_takes_a_restart() {
        let lines = crate::config::lines::Lines::of(SHIPPED).expect("TOML");
        let text: Vec<&str> = SHIPPED.lines().collect();
        let tree = tree(&Config::default());
        let marked = leaves(&tree).map(|(key, _)| key).filter(|key| {
            let line = lines.find(key).expect("it is there");
            text[line - 1].ends_with("  # restart")
        });
        assert_eq!(marked.collect::<BTreeSet<_>>(), keys(Takes::Restart));
    }

    #[test]
    fn the_page_lists_what_takes_a_restart() {
        let (_, section) = PAGE
            .split_once("## What takes a restart")
            .expect("the section");
        let section = section.split("\n## ").next().expect("it ends");
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let listed: BTreeSet<String> = rows
            .flat_map(|row| {
                let cell = row.split('|').nth(1).expect("a cell");
                cell.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(listed, keys(Takes::Restart));
    }

    #[test]
    fn what_changed_is_told_key_by_key() {
        let before = Config::default();
        let mut after = before.clone();
        after.handoff.lease = std::time::Duration::from_secs(300);
        after.mqtt.listen = None;
        let room = |lease: u64| crate::config::Room {
            lease: Some(crate::config::Span(std::time::Duration::from_secs(lease))),
            ..Default::default()
        };
        after.rooms.room.insert("lab".to_owned(), room(1));
        after
            .rooms
            .room
            .insert("shed".to_owned(), Default::default());
        let told = |from: &Config, to: &Config| -> Vec<(String, String, String, Takes)> {
            let changed = from.changes_to(to).into_iter();
            changed
                .map(|one| (one.key, one.from, one.to, one.takes))
                .collect()
        };
        let row = |key: &str, from: &str, to: &str, takes| {
            (key.to_owned(), from.to_owned(), to.to_owned(), takes)
        };
        assert_eq!(
            told(&before, &after),
            [
                row("handoff.lease", "\"1m\"", "\"5m\"", Takes::Reload),
                row("mqtt.listen", "\"127.0.0.1:1883\"", "\"\"", Takes::Restart),
                row("rooms.room.lab.lease", "", "\"1s\"", Takes::Reload),
                row("rooms.room.shed", "", "{}", Takes::Reload),
            ]
        );
        let mut again = after.clone();
        again.rooms.room.remove("shed");
        again.rooms.room.insert("lab".to_owned(), room(2));
        assert_eq!(
            told(&after, &again),
            [
                row("rooms.room.lab.lease", "\"1s\"", "\"2s\"", Takes::Reload),
                row("rooms.room.shed", "{}", "", Takes::Reload),
            ]
        );
        assert_eq!(told(&before, &before), []);
    }

    #[test]
    fn what_takes_a_restart_stays_and_must_go_with_the_rest() {
        let running = Config::default();
        let mut wanted = running.clone();
        wanted.mqtt.listen = None;
        wanted.websocket.listen = Some("127.0.0.1:8083".parse().expect("an address"));
        wanted.mqtt.max_inflight = 7;
        let next = running.with_reloadable(&wanted).expect("it goes together");
        assert_eq!(next.mqtt.listen, running.mqtt.listen);
        assert_eq!(next.websocket.listen, None);
        assert_eq!(next.mqtt.max_inflight, 7);

        let mut encrypts = running.clone();
        encrypts.tls.listen = wanted.websocket.listen;
        encrypts.tls.certificate = "a".into();
        encrypts.tls.key = "b".into();
        let Problems(problems) = encrypts.with_reloadable(&running).expect_err("refused");
        assert_eq!(problems[0].key, "tls.certificate");
    }
}

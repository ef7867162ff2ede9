//! How far each value may go, and the rules that tie values together.
//!
//! A limit that is out of range is refused with the range, never clamped: what runs is what was written.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::units::{duration, size};
use super::{Config, Problem};

/// The smallest and the largest allowed.
#[derive(Debug, Clone, Copy)]
enum Range {
    Count(u64, u64),
    Factor(f64, f64),
    Span(Duration, Duration),
    Bytes(usize, usize),
}

const MS: fn(u64) -> Duration = Duration::from_millis;
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// The range of every number, duration and size in the configuration, by its key.
#[rustfmt::skip]
fn range(key: &str) -> Option<Range> {
    use Range::{Bytes, Count, Factor, Span};
    const SECOND: u64 = 1000;
    const HOUR: u64 = 3600 * SECOND;
    const DAY: u64 = 24 * HOUR;
    Some(match key {
        "mqtt.max_connections" => Count(1, 1_000_000),
        "mqtt.connect_timeout" => Span(MS(100), MS(300 * SECOND)),
        // MQTT's Remaining Length ends at 256 MiB; the header of a packet needs some bytes, too.
        "mqtt.max_packet" => Bytes(KIB, 255 * MIB),
        "mqtt.max_inflight" | "mqtt.receive_maximum" => Count(1, u16::MAX.into()),
        "mqtt.max_keep_alive" => Span(MS(SECOND), MS(u16::MAX as u64 * SECOND)),
        "mqtt.topic_alias_max" => Count(0, u16::MAX.into()),
        "mqtt.write_buffer" => Bytes(4 * KIB, GIB),
        "mqtt.max_pending_messages" => Count(1, 100_000_000),
        "mqtt.max_pending_bytes" => Bytes(64 * KIB, 64 * GIB),
        "mqtt.max_subscriptions" => Count(1, 1_000_000),
        "mqtt.max_session_expiry" => Span(MS(0), MS((u32::MAX - 1) as u64 * SECOND)),
        "http.max_connections" => Count(1, 65_536),
        "http.timeout" => Span(MS(100), MS(300 * SECOND)),
        "rooms.max_rooms" | "rooms.max_agents_per_room" => Count(1, 10_000_000),
        "rooms.reconnect_grace" => Span(MS(0), MS(DAY)),
        "handoff.lease" => Span(MS(100), MS(30 * DAY)),
        "handoff.max_attempts" => Count(1, 1_000_000),
        "handoff.backoff_initial" | "handoff.backoff_max" => Span(MS(0), MS(30 * DAY)),
        "handoff.backoff_factor" => Factor(1.0, 100.0),
        "handoff.max_tasks_per_room" => Count(1, 100_000_000),
        "handoff.result_retention" => Span(MS(0), MS(365 * DAY)),
        "handoff.max_payload" | "blackboard.max_value" => Bytes(KIB, 255 * MIB),
        "blackboard.max_keys_per_room" => Count(1, 100_000_000),
        "approve.timeout" => Span(MS(SECOND), MS(365 * DAY)),
        "approve.max_pending_per_room" => Count(1, 10_000_000),
        // Agents rely on a repeat being recognised for a day.
        "commands.idempotency" => Span(MS(DAY), MS(365 * DAY)),
        "mailbox.max_messages" | "mailbox.max_replies" => Count(1, 100_000_000),
        "mailbox.max_bytes" | "session.max_queued_bytes" => Bytes(64 * KIB, 64 * GIB),
        "mailbox.reply_ttl" => Span(MS(SECOND), MS(365 * DAY)),
        "mailbox.inbox_ttl" => Span(MS(SECOND), MS(365 * DAY)),
        "session.max_queued_messages" => Count(1, 100_000_000),
        "retained.max_messages" => Count(0, 100_000_000),
        "retained.max_bytes" => Bytes(0, 64 * GIB),
        "desk.max_pending" => Bytes(MIB, 64 * GIB),
        "desk.max_batch" => Count(1, 1_000_000),
        "live.segment" => Bytes(64 * KIB, GIB),
        "live.segments" => Count(2, 1000),
        "live.patience" => Span(MS(0), MS(HOUR)),
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
            text(value, size::parse).is_some_and(|bytes| (low..=high).contains(&bytes)),
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
        refuse(
            "auth.enabled",
            "this version cannot authenticate clients yet: leave it false and stay on loopback"
                .to_owned(),
        );
    } else {
        let listeners = [
            ("mqtt.listen", config.mqtt.listen),
            ("http.listen", config.http.listen),
        ];
        for (key, address) in listeners.into_iter().filter(|(_, a)| !is_loopback(a)) {
            refuse(
                key,
                format!(
                    "{address} is reachable from other machines, which is refused while \
                     authentication is off: listen on 127.0.0.1 or [::1]"
                ),
            );
        }
    }
    if let Err(reason) = check_root(&config.rooms.root) {
        refuse("rooms.root", reason);
    }
    if config.data.dir.as_os_str().is_empty() {
        refuse("data.dir", "must name a directory, but is empty".to_owned());
    }
    if config.handoff.backoff_initial > config.handoff.backoff_max {
        refuse(
            "handoff.backoff_initial",
            "must not be longer than handoff.backoff_max".to_owned(),
        );
    }
    let payloads = [
        ("handoff.max_payload", config.handoff.max_payload),
        ("blackboard.max_value", config.blackboard.max_value),
    ];
    for (key, bytes) in payloads {
        if bytes > config.mqtt.max_packet {
            refuse(
                key,
                format!(
                    "must not be larger than mqtt.max_packet ({})",
                    size::format(config.mqtt.max_packet)
                ),
            );
        }
    }
    problems
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
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
        let free = ["data.dir", "rooms.root", "mqtt.listen", "http.listen"];
        let defaults = serde_json::to_value(Config::default()).expect("serializes");
        for (key, value) in leaves(&defaults) {
            let chosen = value.is_boolean() || key.starts_with("log.");
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

//! Which settings take effect while the gateway runs, and what two configurations have in common.
//!
//! Its row says whether a setting takes a restart; `config/hallward.toml` marks those that do,
//! `docs/configuration.md` lists them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::effective::toml;
use super::limits;
use super::tables::TABLES;
use super::{Config, LISTS, Problem, Problems, row};
use crate::setting::Row;

/// When a changed setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// When the configuration is read again (SIGHUP).
    Reload,
    /// When the gateway is started again.
    Restart,
}

/// When a change of this key takes effect; keys of entries go with their tables.
fn takes(section: &str, key: &str) -> Takes {
    match row(section, key) {
        Some(Row { restart: None, .. }) => Takes::Reload,
        _ => Takes::Restart,
    }
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
        for list in LISTS {
            let takes = Takes::Restart;
            let (before, after) = (&from[list.name], &to[list.name]);
            compare(list.name, before, after, takes, 0, &mut changed);
        }
        changed
    }

    /// This configuration with those values of `wanted` that can take effect while the gateway
    /// runs.
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
    use crate::setting::{Listen, seconds};

    #[test]
    fn what_changed_is_told_key_by_key() {
        let before = Config::default();
        let mut after = before.clone();
        after.handoff.lease = seconds(300);
        after.mqtt.listen = Listen(None);
        let name = |name: &str| crate::wire::name::Room::new(name).expect("a name");
        let room = |lease: u64| crate::engine::RoomConfig {
            lease: Some(seconds(lease)),
            ..Default::default()
        };
        after.rooms.room.insert(name("lab"), room(1));
        after.rooms.room.insert(name("shed"), Default::default());
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
        again.rooms.room.insert(name("lab"), room(2));
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
        wanted.mqtt.listen = Listen(None);
        wanted.websocket.listen = "127.0.0.1:8083".parse().expect("an address");
        wanted.mqtt.max_inflight = 7;
        let next = running.with_reloadable(&wanted).expect("it goes together");
        assert_eq!(next.mqtt.listen, running.mqtt.listen);
        assert_eq!(next.websocket.listen, Listen(None));
        assert_eq!(next.mqtt.max_inflight, 7);

        let mut encrypts = running.clone();
        encrypts.tls.listen = wanted.websocket.listen;
        encrypts.tls.certificate = "a".into();
        encrypts.tls.key = "b".into();
        let Problems(problems) = encrypts.with_reloadable(&running).expect_err("refused");
        assert_eq!(problems[0].key, "tls.certificate");
    }
}

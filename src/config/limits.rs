//! The rules that tie values together. How far each may go by itself is in its row.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{Config, Problem, listeners, tables};
use crate::auth::AuthConfig;
use crate::bridge;
use crate::engine::KeySchema;
use crate::mqtt::transport::ClientCertificate;
use crate::wire::name::Key;

/// Schemas of keys, each up to 64 KiB.
const MAX_SCHEMAS: usize = 1000;

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
            .chain([("http.listen", config.http.listen.0)]);
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
    let bridges = bridge::check(&config.bridge).into_iter();
    problems.extend(bridges.map(|(key, message)| Problem::of_key(&key, message)));
    problems
}

/// What would let nobody in, or mean nothing.
fn check_auth(auth: &AuthConfig) -> Vec<(&'static str, String)> {
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
fn pairs(config: &Config) -> [(&'static str, u64, &'static str, u64); 7] {
    macro_rules! pair {
        ($section:ident.$small:ident, $large:ident $(, $ms:ident)?) => {{
            let section = &config.$section;
            (
                concat!(stringify!($section), ".", stringify!($small)),
                section.$small$(.$ms())?.into(),
                concat!(stringify!($section), ".", stringify!($large)),
                section.$large$(.$ms())?.into(),
            )
        }};
    }
    [
        pair!(handoff.min_lease, lease, ms),
        pair!(handoff.lease, max_lease, ms),
        pair!(handoff.max_attempts, max_attempts_limit),
        pair!(handoff.backoff_initial, backoff_max, ms),
        pair!(handoff.backoff_max, backoff_limit, ms),
        pair!(approve.timeout, max_timeout, ms),
        pair!(tools.timeout, max_timeout, ms),
    ]
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Prefixes are keys, each with one schema, and one for each room besides. What is wrong, with the
/// rest of its key.
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
    use crate::config::{leaves, row};
    use crate::setting::{Size, Span};

    #[test]
    fn every_number_duration_and_size_has_a_range_and_starts_inside_it() {
        let defaults = serde_json::to_value(Config::default()).expect("serializes");
        for (key, value) in leaves(&defaults) {
            let (section, last) = key.split_once('.').expect("in a section");
            let row = row(section, last).expect("every setting has a row");
            let text = value.as_str().unwrap_or_default();
            let has_unit = text.starts_with(|first: char| first.is_ascii_digit())
                && (text.parse::<Span>().is_ok() || text.parse::<Size>().is_ok());
            assert!(
                row.check.is_some() || !(value.is_number() || has_unit),
                "{key} has no range"
            );
            assert_eq!(
                row.check.map_or(Ok(()), |check| check(value)),
                Ok(()),
                "{key}"
            );
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

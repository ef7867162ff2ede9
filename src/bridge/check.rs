//! What no single value of a bridge shows: what is missing, and what does not go together.

use std::collections::BTreeSet;

use super::config::{BridgeConfig, BridgeDirection, BridgeRule};
use super::preset::{BridgePreset, PRESETS};
use super::remap::Remap;
use crate::wire::filter;
use crate::wire::name::is_name;

/// Bridges of one gateway.
const MAX_BRIDGES: usize = 100;
/// Rules of one bridge.
const MAX_RULES: usize = 1000;

/// Everything that is wrong with all bridges, each with its key: `bridge[0].rule[1].filter`.
pub fn check(bridges: &[BridgeConfig]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    if bridges.len() > MAX_BRIDGES {
        let words = format!("may have at most {MAX_BRIDGES} entries");
        problems.push(("bridge".to_owned(), words));
    }
    let mut names = BTreeSet::new();
    for (index, bridge) in bridges.iter().enumerate() {
        let mut refuse = |key: &str, words: String| {
            problems.push((format!("bridge[{index}].{key}"), words));
        };
        if !is_name(&bridge.name) {
            let words = "must be a name of A-Z a-z 0-9 _ . -";
            refuse("name", format!("{words}, but is {:?}", bridge.name));
        } else if !names.insert(&bridge.name) {
            refuse("name", format!("two bridges are named {}", bridge.name));
        }
        check_bridge(bridge, &mut refuse);
    }
    problems
}

type Refuse<'a> = &'a mut dyn FnMut(&str, String);

fn check_bridge(bridge: &BridgeConfig, refuse: Refuse<'_>) {
    if bridge.addresses.is_empty() {
        refuse(
            "addresses",
            "must have at least one \"host:port\"".to_owned(),
        );
    }
    for address in &bridge.addresses {
        if host_and_port(address).is_none() {
            refuse(
                "addresses",
                format!("expected \"host:port\", but found {address:?}"),
            );
        }
    }
    check_files(bridge, refuse);
    if bridge.backoff_initial > bridge.backoff_max {
        let words = "must not be more than backoff_max";
        refuse("backoff_initial", words.to_owned());
    }
    let Some(preset) = BridgePreset::named(&bridge.preset) else {
        let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        let known = known.join(", ");
        refuse(
            "preset",
            format!("must be one of {known}, but is {:?}", bridge.preset),
        );
        return;
    };
    if bridge.client_id().len() > preset.max_client_id {
        let most = preset.max_client_id;
        refuse(
            "client_id",
            format!("has more than the {most} bytes that {} takes", preset.name),
        );
    }
    if bridge.keep_alive.0.as_secs() > u64::from(preset.max_keep_alive) {
        let most = preset.max_keep_alive;
        refuse(
            "keep_alive",
            format!("is more than the {most} s that {} takes", preset.name),
        );
    }
    if bridge.rule.is_empty() {
        refuse("rule", "must have at least one [[bridge.rule]]".to_owned());
    }
    if bridge.rule.len() > MAX_RULES {
        refuse("rule", format!("may have at most {MAX_RULES} entries"));
    }
    for (index, rule) in bridge.rule.iter().enumerate() {
        check_rule(rule, preset, &mut |key, words| {
            refuse(&format!("rule[{index}].{key}"), words);
        });
    }
}

fn check_files(bridge: &BridgeConfig, refuse: Refuse<'_>) {
    let unset = |path: &std::path::Path| path.as_os_str().is_empty();
    if bridge.tls && unset(&bridge.ca_file) {
        refuse(
            "ca_file",
            "must name a PEM file, because tls is on".to_owned(),
        );
    }
    for (key, path) in [
        ("ca_file", &bridge.ca_file),
        ("certificate", &bridge.certificate),
        ("key", &bridge.key),
    ] {
        if !bridge.tls && !unset(path) {
            refuse(key, "has no effect while tls is off".to_owned());
        }
    }
    if unset(&bridge.certificate) != unset(&bridge.key) {
        refuse("key", "certificate and key go together".to_owned());
    }
    if !bridge.tls && !bridge.alpn.is_empty() {
        refuse("alpn", "has no effect while tls is off".to_owned());
    }
    if bridge.username.is_empty() && !unset(&bridge.password_file) {
        let words = "has no effect without a username";
        refuse("password_file", words.to_owned());
    }
}

fn check_rule(rule: &BridgeRule, preset: &BridgePreset, refuse: Refuse<'_>) {
    if rule.direction != BridgeDirection::Out {
        refuse(
            "direction",
            "only \"out\" is there yet: nothing is taken from other brokers".to_owned(),
        );
    }
    if rule.max_qos != 1 {
        refuse("max_qos", format!("must be 1, but is {}", rule.max_qos));
    }
    for except in &rule.except {
        if let Err(error) = filter::check_plain_filter(except) {
            refuse("except", format!("{except:?} is no topic filter: {error}"));
        }
    }
    if let Err(error) = filter::check_plain_filter(&rule.filter) {
        refuse("filter", format!("is no topic filter: {error}"));
        return;
    }
    if rule.filter.starts_with("$share/") {
        refuse("filter", "must not be a shared subscription".to_owned());
    }
    match Remap::new(&rule.filter, &rule.template) {
        Err(error) => refuse("template", error.to_string()),
        Ok(map) if map.least_slashes() > preset.max_slashes => refuse(
            "template",
            format!(
                "{} takes topics with up to {} slashes, and this has {} at least",
                preset.name,
                preset.max_slashes,
                map.least_slashes()
            ),
        ),
        Ok(map) if map.least_bytes() > preset.max_topic => refuse(
            "template",
            format!(
                "{} takes topics of up to {} bytes, and this has {} at least",
                preset.name,
                preset.max_topic,
                map.least_bytes()
            ),
        ),
        Ok(_) => {}
    }
}

/// The parts of `"host:port"`, an IPv6 address in brackets.
pub(super) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let is_v6 = bare.is_some_and(|bare| bare.parse::<std::net::Ipv6Addr>().is_ok());
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (is_host || is_v6).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> BridgeConfig {
        BridgeConfig {
            name: "cloud".into(),
            addresses: vec!["broker.example.org:8883".into()],
            rule: vec![BridgeRule {
                filter: "sensors/#".into(),
                ..BridgeRule::default()
            }],
            ..BridgeConfig::default()
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut BridgeConfig), key: &str, words: &str) {
        let mut bridge = good();
        change(&mut bridge);
        let problems = check(&[bridge]);
        let found = problems
            .iter()
            .find(|(found, _)| found.strip_prefix("bridge[0].") == Some(key));
        let (_, told) = found.unwrap_or_else(|| panic!("no {key} in {problems:?}"));
        assert!(told.contains(words), "{told}");
    }

    #[test]
    fn what_is_missing_or_does_not_go_together_is_told_with_its_key() {
        assert_eq!(check(&[good()]), []);
        refused(|b| b.name = "a/b".into(), "name", "must be a name");
        refused(|b| b.addresses.clear(), "addresses", "at least one");
        refused(|b| b.addresses[0] = "host".into(), "addresses", "host:port");
        refused(|b| b.tls = true, "ca_file", "PEM");
        refused(|b| b.key = "k".into(), "key", "");
        refused(|b| b.alpn = "mqtt".into(), "alpn", "tls is off");
        refused(|b| b.preset = "acme".into(), "preset", "aws");
        refused(|b| b.rule.clear(), "rule", "at least one");
        refused(|b| b.rule[0].filter = "a/#/b".into(), "rule[0].filter", "#");
        refused(
            |b| b.rule[0].template = "x/{1}".into(),
            "rule[0].template",
            "{1}",
        );
        refused(|b| b.rule[0].max_qos = 2, "rule[0].max_qos", "1");
        refused(
            |b| b.rule[0].direction = BridgeDirection::In,
            "rule[0].direction",
            "not",
        );
        refused(
            |b| {
                b.preset = "aws".into();
                b.rule[0].template = "a/b/c/d/e/f/g/h/i/{#}".into();
            },
            "rule[0].template",
            "7 slashes",
        );
        let twice = check(&[good(), good()]);
        assert_eq!(twice[0].0, "bridge[1].name");
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for (address, parts) in [
            ("host:1883", Some(("host", 1883))),
            ("127.0.0.1:1", Some(("127.0.0.1", 1))),
            ("[::1]:8883", Some(("[::1]", 8883))),
            ("::1:8883", None),
            ("host:0", None),
            ("host", None),
            (":1883", None),
            ("mqtt://host:1883", None),
        ] {
            assert_eq!(host_and_port(address), parts, "{address}");
        }
    }
}

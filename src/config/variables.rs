//! Environment variables that look like keys and are none: whoever has set one believes that it
//! does something.

use std::collections::HashMap;

use serde_json::Value;

use super::Problem;
use super::problem::{PREFIX, SEPARATOR, nearest, variable};

/// What tests, of this project and of those that use its SDKs, are told by; the programs that they
/// start inherit it.
const OF_TESTS: [&str; 7] = [
    "HALLWARD_BIN",
    "HALLWARD_BLESS",
    "HALLWARD_CRASH_",
    "HALLWARD_DOC_",
    "HALLWARD_SIM_",
    "HALLWARD_TEST_",
    "HALLWARD_TOOLS",
];

/// Every variable that begins with `HALLWARD_` and cannot be a key.
pub(super) fn strays(environment: &HashMap<String, String>, defaults: &Value) -> Vec<Problem> {
    let mut names: Vec<&String> = environment
        .keys()
        .filter(|name| {
            let name = name.to_uppercase();
            name.strip_prefix(PREFIX)
                .is_some_and(|rest| rest.starts_with('_') && !rest.starts_with(SEPARATOR))
                && !OF_TESTS.iter().any(|own| name.starts_with(own))
                && !is_service_link(&name)
        })
        .collect();
    names.sort();
    let problem = |name: &String| Problem {
        suggestion: meant(name, defaults),
        ..Problem::of_variable(name, "is no key: a key is written HALLWARD__SECTION__KEY")
    };
    names.into_iter().map(problem).collect()
}

/// What Kubernetes puts into the environment of every container beside a service named `hallward`,
/// or `hallward-…`.
fn is_service_link(name: &str) -> bool {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let after_port = name.rsplit_once("_PORT_").map(|(_, rest)| rest);
    let mut of_port = after_port.unwrap_or_default().split('_');
    let links_port = of_port.next().is_some_and(is_port)
        && of_port
            .next()
            .is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
        && matches!(of_port.next(), None | Some("PROTO" | "PORT" | "ADDR"));
    links_port
        || name.ends_with("_PORT")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
}

/// What was probably meant: underscores do not count, nor does a section that was left out.
fn meant(name: &str, defaults: &Value) -> Option<String> {
    let word = name[PREFIX.len()..].replace('_', "").to_lowercase();
    if word == "config" {
        return Some("the flag --config".to_owned());
    }
    let keys: Vec<(String, String)> = defaults
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(section, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(|(key, _)| (section.clone(), key.clone()))
        })
        .collect();
    let condensed = |text: &str| text.replace(['_', '.'], "");
    let whole: Vec<String> = keys
        .iter()
        .map(|(section, key)| condensed(&format!("{section}{key}")))
        .collect();
    let position = |near: &str, candidates: &[String]| candidates.iter().position(|c| c == near);
    let alone: Vec<String> = keys.iter().map(|(_, key)| condensed(key)).collect();
    let exact = position(&word, &whole).or_else(|| position(&word, &alone));
    let found = exact.or_else(|| {
        let near = nearest(&word, whole.iter().map(String::as_str))?;
        position(near, &whole)
    })?;
    let (section, key) = &keys[found];
    Some(variable(&[section.clone(), key.clone()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn told(names: &[&str]) -> Vec<String> {
        let environment = names
            .iter()
            .map(|name| ((*name).to_owned(), "secret".to_owned()))
            .collect();
        let defaults = serde_json::to_value(Config::default()).expect("serializes");
        let problems = strays(&environment, &defaults);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_variable_that_is_no_key_is_told_with_the_one_that_was_meant() {
        for (name, meant) in [
            ("HALLWARD_MQTT_LISTEN", "HALLWARD__MQTT__LISTEN"),
            ("HALLWARD_MQTT_LISTN", "HALLWARD__MQTT__LISTEN"),
            ("hallward_mqtt_listen", "HALLWARD__MQTT__LISTEN"),
            ("HALLWARD_MQTT__LISTEN", "HALLWARD__MQTT__LISTEN"),
            ("HALLWARD_LOGLEVEL", "HALLWARD__LOG__LEVEL"),
            ("HALLWARD_IDEMPOTENCY", "HALLWARD__COMMANDS__IDEMPOTENCY"),
            ("HALLWARD_CONFIG", "the flag --config"),
        ] {
            assert_eq!(
                told(&[name]),
                [format!(
                    "{name}: is no key: a key is written HALLWARD__SECTION__KEY; did you mean {meant}?"
                )]
            );
        }
        let [line] = &told(&["HALLWARD_COLOUR"])[..] else {
            panic!("one line");
        };
        assert!(
            !line.contains("did you mean") && !line.contains("secret"),
            "{line}"
        );
    }

    #[test]
    fn what_others_put_there_is_none_of_our_business() {
        let names = [
            "HALLWARD__MQTT__LISTEN",
            "HALLWARDEN",
            "PATH",
            "HALLWARD_BIN",
            "HALLWARD_BLESS",
            "HALLWARD_SIM_SEED",
            "HALLWARD_PORT",
            "HALLWARD_PORT_1883_TCP",
            "HALLWARD_PORT_1883_TCP_PROTO",
            "HALLWARD_MQTT_PORT_1883_TCP_ADDR",
            "HALLWARD_SERVICE_HOST",
            "HALLWARD_MQTT_SERVICE_PORT",
            "HALLWARD_SERVICE_PORT_METRICS",
        ];
        assert_eq!(told(&names), [""; 0]);
        assert_eq!(
            told(&["HALLWARD_PORT_X_TCP", "HALLWARD_MQTT_PORTS"]).len(),
            2
        );
    }
}

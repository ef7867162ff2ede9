//! Tables whose entries have names of the operator's own: `[handoff.types.NAME]` and `[handoff.capabilities.NAME]`.
//!
//! Each is one value to the layers: the file gives it as a whole. What is in an entry is checked against the range of the key that
//! it stands in for, and against the limits of the section.

use config::ValueKind;
use serde_json::Value;

use super::limits;
use super::units::duration;
use super::{Config, Problem};

/// Whether this key is such a table.
pub(super) fn is_table(full_key: &str) -> bool {
    matches!(full_key, "handoff.types" | "handoff.capabilities")
}

/// The entries of such a table as plain values. The environment has nothing but text: what looks like a number or a flag there is one.
pub(super) fn plain_entries(value: config::Value, plain: fn(config::Value) -> Value) -> Value {
    let from_environment = value.origin().is_some();
    match value.kind {
        ValueKind::Table(table) => {
            let entries = table.into_iter();
            entries
                .map(|(key, value)| (key, plain_entries(value, plain)))
                .collect()
        }
        _ => match plain(value) {
            Value::String(text) if from_environment => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            other => other,
        },
    }
}

/// The key whose range an entry's key shares.
fn stands_in_for(key: &str) -> String {
    match key {
        "ttl" => "commands.max_ttl".to_owned(),
        "max_queued" => "handoff.max_queued_per_capability".to_owned(),
        _ => format!("handoff.{key}"),
    }
}

/// Checks every value of a table on its own.
pub(super) fn check(table: &Value) -> Result<(), String> {
    for (name, entry) in table.as_object().into_iter().flatten() {
        for (key, value) in entry.as_object().into_iter().flatten() {
            limits::check(&stands_in_for(key), value)
                .map_err(|reason| format!("{name}.{key} {reason}"))?;
        }
    }
    Ok(())
}

/// What no single value shows: an entry against the limits on what tasks may ask for.
pub(super) fn check_together(config: &Config) -> Vec<Problem> {
    let handoff = &config.handoff;
    let mut problems = Vec::new();
    for (name, of_type) in &handoff.types {
        let mut refuse = |key: &str, words: String| {
            let full_key = format!("handoff.types.{name}.{key}");
            problems.push(Problem::of_key(
                "handoff.types",
                format!("{full_key} {words}"),
            ));
        };
        let format = duration::format;
        if let Some(lease) = of_type.lease
            && !(handoff.min_lease..=handoff.max_lease).contains(&lease)
        {
            let (least, most) = (format(handoff.min_lease), format(handoff.max_lease));
            refuse("lease", format!("must be {least:?} to {most:?}"));
        }
        let initial = of_type.backoff_initial.unwrap_or(handoff.backoff_initial);
        let max = of_type.backoff_max.unwrap_or(handoff.backoff_max);
        if initial > max {
            refuse(
                "backoff_initial",
                "must not be more than backoff_max".to_owned(),
            );
        }
        if max > handoff.backoff_limit {
            refuse(
                "backoff_max",
                "must not be more than handoff.backoff_limit".to_owned(),
            );
        }
        if of_type.max_attempts > Some(handoff.max_attempts_limit) {
            let words = "must not be more than handoff.max_attempts_limit";
            refuse("max_attempts", words.to_owned());
        }
        if of_type.ttl > Some(config.commands.max_ttl) {
            refuse("ttl", "must not be more than commands.max_ttl".to_owned());
        }
    }
    problems
}

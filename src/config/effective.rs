//! What a gateway would run with: every value, as a file would have it, and where it came from.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::tables::TABLES;
use super::{LISTS, Loaded, Place};

/// Origins stand below each other up to this column, and right behind longer lines.
const MAX_WIDTH: usize = 44;

impl Loaded {
    /// Every value with where it came from, as TOML that reads back the same. No key holds a
    /// secret: those are in files.
    pub fn effective(&self) -> String {
        let tree = serde_json::to_value(&self.config).expect("a configuration serializes");
        let mut text = String::new();
        for (section, keys) in tree.as_object().into_iter().flatten() {
            let Some(keys) = keys.as_object() else {
                continue;
            };
            let is_table = |key: &str| TABLES.iter().any(|table| table.path == [section, key]);
            let (tables, values): (Vec<_>, Vec<_>) =
                keys.iter().partition(|(key, _)| is_table(key));
            self.write_table(&mut text, &[section], values);
            for (table, entries) in tables {
                for (name, entry) in entries.as_object().into_iter().flatten() {
                    let keys = entry.as_object().into_iter().flatten();
                    self.write_table(&mut text, &[section, table, name], keys.collect());
                }
            }
        }
        for list in LISTS {
            for item in tree[list.name].as_array().into_iter().flatten() {
                let place = self.place(list.name);
                // Writing to a String cannot fail.
                let _ = writeln!(text, "\n[[{}]]  # {place}", list.name);
                let keys = item.as_object().into_iter().flatten();
                for (key, value) in keys.filter(|(_, value)| !value.is_null()) {
                    let _ = writeln!(text, "{} = {}", name(key), toml(value));
                }
            }
        }
        text
    }

    /// How many values somebody gave.
    pub fn given(&self) -> usize {
        self.places.len()
    }

    fn write_table(&self, text: &mut String, path: &[&str], keys: Vec<(&String, &Value)>) {
        let heading: Vec<String> = path.iter().map(|part| name(part)).collect();
        let lines: Vec<(String, &Place)> = keys
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| {
                let place = self.place(&format!("{}.{key}", path.join(".")));
                (format!("{} = {}", name(key), toml(value)), place)
            })
            .collect();
        let width = lines.iter().map(|(line, _)| line.chars().count());
        let width = width.filter(|width| *width <= MAX_WIDTH).max().unwrap_or(0);
        let gap = if text.is_empty() { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{gap}[{}]", heading.join("."));
        for (line, place) in lines {
            let _ = writeln!(text, "{line:<width$}  # {place}");
        }
    }
}

/// A name, in quotes where it needs them.
fn name(text: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !text.is_empty() && text.bytes().all(is_bare) {
        text.to_owned()
    } else {
        toml(&text.into())
    }
}

/// A value in TOML. Its texts and JSON's differ in one character alone.
pub(super) fn toml(value: &Value) -> String {
    let table = |keys: &Map<String, Value>| {
        let keys = keys.iter().filter(|(_, value)| !value.is_null());
        let keys = keys.map(|(key, value)| format!("{} = {}", name(key), toml(value)));
        keys.collect::<Vec<_>>().join(", ")
    };
    match value {
        Value::Object(keys) if keys.is_empty() => "{}".to_owned(),
        Value::Object(keys) => format!("{{ {} }}", table(keys)),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(_) => value.to_string().replace('\u{7f}', "\\u007f"),
        other => other.to_string(),
    }
}

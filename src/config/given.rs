//! Values as somebody gave them: one for each key of the merged layers, with its way through the
//! tables.

use config::ValueKind;
use serde_json::{Value, json};

use super::tables::table_of;

/// A value that somebody gave.
#[derive(Debug)]
pub(super) struct Given {
    /// `section`, `key`; just a name, or more parts, where somebody erred. In a table of entries:
    /// `section`, `key`, the entry, its key.
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) from_environment: bool,
}

impl Given {
    /// As people write it: `mqtt.listen`.
    pub(super) fn key(&self) -> String {
        self.path.join(".")
    }
}

/// Puts a value in its place.
pub(super) fn set(tree: &mut Value, path: &[String], value: Value) {
    let mut place = tree;
    for part in path {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}

/// All values of the merged layers, in the order of their keys.
pub(super) fn given(root: config::Value) -> Vec<Given> {
    let mut given = Vec::new();
    if let ValueKind::Table(sections) = root.kind {
        let sections = sections.into_iter();
        sections.for_each(|(section, value)| flatten(vec![section], value, &mut given));
    }
    // The merged layers are hash maps; problems come in the same order every time.
    given.sort_by(|a, b| a.path.cmp(&b.path));
    given
}

fn flatten(path: Vec<String>, value: config::Value, given: &mut Vec<Given>) {
    // Text of a file and flags have no origin.
    let from_environment = value.origin().is_some();
    match value.kind {
        ValueKind::Table(table) if !table.is_empty() => {
            let below = table.into_iter().map(|(key, value)| {
                let path = path.iter().cloned().chain([key]);
                (path.collect(), value)
            });
            below.for_each(|(path, value)| flatten(path, value, given));
        }
        _ => {
            let value = plain(value);
            match whole_entry(&path, &value).filter(|_| from_environment) {
                Some(Value::Object(keys)) if !keys.is_empty() => {
                    given.extend(keys.into_iter().map(|(key, value)| Given {
                        path: path.iter().cloned().chain([key]).collect(),
                        value,
                        from_environment,
                    }));
                }
                entry => given.push(Given {
                    value: entry.unwrap_or(value),
                    path,
                    from_environment,
                }),
            }
        }
    }
}

/// An entry of a table that the environment gives as a whole, as JSON.
fn whole_entry(path: &[String], value: &Value) -> Option<Value> {
    table_of(path).filter(|_| path.len() == 3)?;
    serde_json::from_str(value.as_str()?)
        .ok()
        .filter(Value::is_object)
}

fn plain(value: config::Value) -> Value {
    match value.kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(value) => value.into(),
        ValueKind::I64(value) => value.into(),
        ValueKind::U64(value) => value.into(),
        ValueKind::I128(value) => value.to_string().into(),
        ValueKind::U128(value) => value.to_string().into(),
        ValueKind::Float(value) => value.into(),
        ValueKind::String(value) => value.into(),
        ValueKind::Array(values) => values.into_iter().map(plain).collect(),
        ValueKind::Table(table) => table
            .into_iter()
            .map(|(key, value)| (key, plain(value)))
            .collect(),
    }
}

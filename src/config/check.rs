//! Checks one value on its own: whether its key is known, its type is right, and it is within its
//! range.

use serde_json::{Value, json};

use super::given::{Given, set};
use super::problem::{nearest, variable};
use super::tables::{Table, table_of};
use super::{Config, LISTS, Problem, row};
use crate::setting::{Row, Section};

/// The value in the type that its key has, or what is wrong with it.
pub(super) fn check(given: &Given, defaults: &Value) -> Result<Value, Vec<Problem>> {
    if let [section] = &given.path[..]
        && let Some(list) = LISTS.iter().find(|list| list.name == section)
    {
        return check_list(given, list, defaults);
    }
    let entry = table_of(&given.path).filter(|_| given.path.len() > 2);
    let usual = match given.path.as_slice() {
        [section, key] => defaults.get(section).and_then(|keys| keys.get(key)),
        _ => None,
    };
    let row = match (entry, usual) {
        (Some(table), _) => check_entry(given, table).map_err(|problem| vec![problem])?,
        (None, Some(_)) => row(&given.path[0], &given.path[1]),
        (None, None) => return Err(vec![unknown(given, defaults)]),
    };
    let value = typed(given, usual);
    let refused = refusals(given, &value, defaults);
    if !refused.is_empty() {
        return Err(refused);
    }
    if let Some(check) = row.and_then(|row| row.check) {
        check(&value).map_err(|reason| vec![Problem::of_key(&given.key(), reason)])?;
    }
    Ok(value)
}

/// A list of tables that is a section of its own.
fn check_list(given: &Given, list: &Section, defaults: &Value) -> Result<Value, Vec<Problem>> {
    let value = typed(given, None);
    if !value
        .as_array()
        .is_some_and(|items| items.iter().all(Value::is_object))
    {
        let words = format!("is a list: write [[{}]] and its keys below it", list.name);
        return Err(vec![Problem::of_key(&given.key(), words)]);
    }
    let mut refused = refusals(given, &value, defaults);
    if refused.is_empty() {
        check_items(list.name, &given.key(), &value, &mut refused);
    }
    match refused.is_empty() {
        true => Ok(value),
        false => Err(refused),
    }
}

/// The ranges of the values in a list's entries, and in the lists in those.
fn check_items(name: &str, key: &str, items: &Value, refused: &mut Vec<Problem>) {
    let rows = LISTS.iter().find(|list| list.name == name);
    let rows = rows.map_or(&[][..], |list| list.rows);
    for (index, item) in items.as_array().into_iter().flatten().enumerate() {
        for (own, value) in item.as_object().into_iter().flatten() {
            let key = format!("{key}[{index}].{own}");
            let check = rows
                .iter()
                .find(|row| row.key == own)
                .and_then(|row| row.check);
            if let Some(Err(reason)) = check.map(|check| check(value)) {
                refused.push(Problem::of_key(&key, reason));
            }
            check_items(&format!("{name}.{own}"), &key, value, refused);
        }
    }
}

/// The environment has nothing but text: what is to be a number, a flag or a list there is written
/// as in JSON. An entry's keys have no defaults that say what they are, and none of them is text
/// that looks like JSON.
fn typed(given: &Given, usual: Option<&Value>) -> Value {
    match (&given.value, usual) {
        (Value::String(text), None | Some(Value::Number(_) | Value::Bool(_) | Value::Array(_)))
            if given.from_environment =>
        {
            serde_json::from_str(text).unwrap_or_else(|_| given.value.clone())
        }
        _ => given.value.clone(),
    }
}

/// The setting in whose place a value in an entry stands.
fn check_entry(given: &Given, table: &Table) -> Result<Option<&'static Row>, Problem> {
    let name = &given.path[2];
    (table.check_name)(name).map_err(|reason| Problem::of_key(&given.key(), reason))?;
    match &given.path[3..] {
        [] => Ok(None),
        [key] => Ok((table.stands_for)(key).and_then(|(section, key)| row(section, key))),
        [part, _] if table.parts.contains(&part.as_str()) => Ok(None),
        _ => Err(Problem::of_key(&given.key(), "unknown key")),
    }
}

/// What the types say against it; of a list of tables, what they say against each.
fn refusals(given: &Given, value: &Value, defaults: &Value) -> Vec<Problem> {
    let refusal = |value: Value| {
        let mut trial = defaults.clone();
        set(&mut trial, &given.path, value);
        serde_path_to_error::deserialize::<_, Config>(trial).err()
    };
    let key = given.key();
    match value {
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let first = format!("{key}[0]");
            let of_item = |(index, item): (usize, &Value)| {
                let error = refusal(json!([item]))?;
                let path = error.path().to_string();
                let rest = path.strip_prefix(&first).unwrap_or_default();
                let own = format!("{key}[{index}]{rest}");
                Some(in_words(given, own, error.into_inner()))
            };
            items.iter().enumerate().filter_map(of_item).collect()
        }
        value => refusal(value.clone())
            .map(|error| in_words(given, key, error.into_inner()))
            .into_iter()
            .collect(),
    }
}

/// A key that no type knows is told of like any other unknown key.
fn in_words(given: &Given, key: String, error: serde_json::Error) -> Problem {
    let message = error.to_string();
    let Some((_, known)) = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
    else {
        return Problem::of_key(&key, message);
    };
    let last = key.rsplit('.').next().unwrap_or_default();
    // What is between backticks, which are every other piece.
    let known = known.split('`').skip(1).step_by(2);
    let suggestion = nearest(last, known).map(|near| match given.from_environment {
        true => meant(&[&given.path[..given.path.len() - 1], &[near.to_owned()]].concat()),
        false => near.to_owned(),
    });
    Problem {
        suggestion,
        ..Problem::of_key(&key, "unknown key")
    }
}

/// A key for whoever sets variables.
fn meant(path: &[String]) -> String {
    format!("{} ({})", variable(path), path.join("."))
}

fn unknown(given: &Given, defaults: &Value) -> Problem {
    let (section, key) = (&*given.path[0], given.path[1..].join("."));
    let spell = |section: &str, key: &str| match given.from_environment {
        true => meant(&[section.to_owned(), key.to_owned()]),
        false => format!("{section}.{key}"),
    };
    let sections = || defaults.as_object().into_iter().flatten();
    let section_with = |key: &str| {
        sections()
            .find(|(_, keys)| keys.get(key).is_some())
            .map(|(section, _)| spell(section, key))
    };
    let known = defaults.get(section).and_then(Value::as_object);
    let (message, suggestion) = match known {
        Some(_) if key.is_empty() => (
            format!("is a section: write [{section}] and its keys below it"),
            None,
        ),
        Some(keys) => {
            let here = nearest(&key, keys.keys().map(String::as_str));
            let here = here.map(|near| match given.from_environment {
                true => spell(section, near),
                false => near.to_owned(),
            });
            ("unknown key".to_owned(), section_with(&key).or(here))
        }
        None if key.is_empty() && section_with(section).is_some() => {
            ("no section".to_owned(), section_with(section))
        }
        None => {
            let near = nearest(section, sections().map(|(name, _)| name.as_str()));
            let suggestion = near.map(|near| match given.from_environment {
                true => spell(near, &key),
                false => format!("[{near}]"),
            });
            ("unknown section".to_owned(), suggestion)
        }
    };
    Problem {
        suggestion,
        ..Problem::of_key(&given.key(), message)
    }
}

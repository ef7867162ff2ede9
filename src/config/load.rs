//! Reads the layers, checks every value on its own, then all together, and collects what is wrong.
//!
//! The `config` crate merges the layers and remembers which one each value came from; the values are then decoded by the
//! strict types of `sections`, one at a time on top of the defaults, so that one bad value does not hide the next.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{ConfigError, Environment, File, FileFormat, ValueKind};
use serde_json::{Value, json};

use super::problem::{line_of, nearest};
use super::{Config, Place, Problem, Problems, limits, tables};

const PREFIX: &str = "HALLWARD";
const SEPARATOR: &str = "__";

/// A value given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as it is typed: `--mqtt`.
    pub flag: &'static str,
    /// The key that it sets: `mqtt.listen`.
    pub key: &'static str,
    /// The text given.
    pub value: String,
}

/// Where values come from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not begin with `HALLWARD__` do not matter.
    pub environment: HashMap<String, String>,
    /// Command-line flags.
    pub flags: Vec<Flag>,
}

impl Config {
    /// Reads and checks all layers.
    ///
    /// # Errors
    /// Everything that is wrong: a file that cannot be read or is no TOML, unknown keys (with the nearest known one), values of
    /// the wrong type or out of range, values that do not go together.
    pub fn load(layers: &Layers) -> Result<Config, Problems> {
        let sources = Sources::read(layers).map_err(|problem| Problems(vec![problem]))?;
        let (config, mut problems) = sources.decode();
        // Values that are bad alone would only be reported twice.
        if problems.is_empty() {
            let together = limits::check_together(&config).into_iter();
            problems.extend(together.map(|problem| {
                let place = sources.place(&problem.key);
                problem.at(place)
            }));
        }
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Problems(problems))
        }
    }
}

/// A value that somebody gave.
#[derive(Debug)]
struct Given {
    /// `section.key`; just a name, or more parts, where somebody erred.
    full_key: String,
    value: Value,
    from_environment: bool,
}

impl Given {
    /// The section and the key in it, which is empty where only a section is named.
    fn parts(&self) -> (&str, &str) {
        self.full_key
            .split_once('.')
            .unwrap_or((&self.full_key, ""))
    }
}

impl Given {
    /// The room and the key in it, for `rooms.room.NAME.KEY`; the key is empty where only the room is named.
    fn of_room(&self) -> Option<(&str, &str)> {
        let rest = self.full_key.strip_prefix("rooms.room.")?;
        let named_alone = self.value == json!({});
        let parts = rest.rsplit_once('.').filter(|_| !named_alone);
        Some(parts.unwrap_or((rest, "")))
    }
}

/// Puts a value in its place.
fn set(tree: &mut Value, given: &Given, value: Value) {
    match given.of_room() {
        Some((name, "")) => {
            tree["rooms"]["room"][name] = value;
        }
        Some((name, key)) => {
            tree["rooms"]["room"][name][key] = value;
        }
        None => {
            let (section, key) = given.parts();
            tree[section][key] = value;
        }
    }
}

struct Sources<'a> {
    file: Option<(&'a Path, String)>,
    flags: &'a [Flag],
    given: Vec<Given>,
}

impl<'a> Sources<'a> {
    fn read(layers: &'a Layers) -> Result<Sources<'a>, Problem> {
        let file = layers.file.as_deref().map(read_file).transpose()?;
        let mut builder = config::Config::builder();
        if let Some((_, text)) = &file {
            builder = builder.add_source(File::from_str(text, FileFormat::Toml));
        }
        builder = builder.add_source(
            Environment::with_prefix(PREFIX)
                .prefix_separator(SEPARATOR)
                .separator(SEPARATOR)
                .source(Some(layers.environment.clone())),
        );
        for flag in &layers.flags {
            builder = builder
                .set_override(flag.key, flag.value.as_str())
                .map_err(|error| Problem::of_source(Place::Flag(flag.flag), error.to_string()))?;
        }
        let merged = builder
            .build()
            .map_err(|error| unreadable(error, layers.file.as_deref()))?;
        Ok(Sources {
            file,
            flags: &layers.flags,
            given: given(merged.cache),
        })
    }

    /// The configuration as far as its values are good, and what is wrong with the others.
    fn decode(&self) -> (Config, Vec<Problem>) {
        let defaults = serde_json::to_value(Config::default()).expect("defaults serialize");
        let mut good = defaults.clone();
        let mut problems = Vec::new();
        let empty_section =
            |given: &&Given| given.value == json!({}) && defaults.get(&given.full_key).is_some();
        for given in self.given.iter().filter(|given| !empty_section(given)) {
            match check(given, &defaults) {
                Ok(value) => set(&mut good, given, value),
                Err(problem) => problems.push(problem.at(self.place(&given.full_key))),
            }
        }
        match serde_json::from_value(good) {
            Ok(config) => (config, problems),
            Err(error) => {
                problems.push(Problem::of_source(Place::Default, error.to_string()));
                (Config::default(), problems)
            }
        }
    }

    /// Which layer a key's value came from.
    fn place(&self, full_key: &str) -> Place {
        if let Some(flag) = self.flags.iter().find(|flag| flag.key == full_key) {
            return Place::Flag(flag.flag);
        }
        let Some(given) = self.given.iter().find(|given| given.full_key == full_key) else {
            return Place::Default;
        };
        if given.from_environment {
            let name = full_key.to_uppercase().replace('.', SEPARATOR);
            return Place::Environment(format!("{PREFIX}{SEPARATOR}{name}"));
        }
        match &self.file {
            Some((path, text)) => Place::File(path.to_path_buf(), line_of(text, full_key)),
            None => Place::Default,
        }
    }
}

fn read_file(path: &Path) -> Result<(&Path, String), Problem> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(Problem::of_source(
            Place::File(path.to_path_buf(), None),
            format!("cannot read the configuration file: {error}"),
        )),
    }
}

fn unreadable(error: ConfigError, file: Option<&Path>) -> Problem {
    let place = |line| match file {
        Some(path) => Place::File(path.to_path_buf(), line),
        None => Place::Default,
    };
    match error {
        ConfigError::FileParse { cause, .. } => {
            let text = cause.to_string();
            let line = text
                .split_once("line ")
                .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next())
                .and_then(|digits| digits.parse().ok());
            // TOML's errors draw the line and point at the spot; the last line has the words.
            let words = text.lines().rfind(|line| !line.trim().is_empty());
            Problem::of_source(
                place(line),
                format!("not TOML: {}", words.unwrap_or("cannot be parsed").trim()),
            )
        }
        other => Problem::of_source(place(None), other.to_string()),
    }
}

fn given(root: config::Value) -> Vec<Given> {
    let mut given = Vec::new();
    if let ValueKind::Table(sections) = root.kind {
        for (section, value) in sections {
            flatten(section, value, &mut given);
        }
    }
    // The merged layers are hash maps; problems come in the same order every time.
    given.sort_by(|a, b| a.full_key.cmp(&b.full_key));
    given
}

fn flatten(full_key: String, value: config::Value, given: &mut Vec<Given>) {
    match value.kind {
        ValueKind::Table(table) if !table.is_empty() && !tables::is_table(&full_key) => {
            for (key, value) in table {
                flatten(format!("{full_key}.{key}"), value, given);
            }
        }
        _ => given.push(Given {
            // Text of a file and flags have no origin.
            from_environment: value.origin().is_some(),
            value: match tables::is_table(&full_key) {
                true => tables::plain_entries(value, plain),
                false => plain(value),
            },
            full_key,
        }),
    }
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

/// The value in the type that its key has, or what is wrong with it.
fn check(given: &Given, defaults: &Value) -> Result<Value, Problem> {
    let (section, key) = given.parts();
    let refuse = |reason: String| Problem::of_key(&given.full_key, reason);
    if let Some((name, _)) = given.of_room()
        && !crate::wire::name::is_name(name)
    {
        return Err(refuse(format!("{name:?} is no name of a room")));
    }
    let none = json!(null);
    let default = defaults.get(section).and_then(|keys| keys.get(key));
    let default = default.or(given.of_room().map(|_| &none));
    let Some(default) = default else {
        return Err(unknown(given, defaults));
    };
    let value = match (&given.value, default) {
        // The environment has nothing but text; lists are written as in JSON.
        (Value::String(text), Value::Number(_) | Value::Bool(_) | Value::Array(_))
            if given.from_environment =>
        {
            serde_json::from_str(text).unwrap_or_else(|_| given.value.clone())
        }
        // A room's keys have no defaults of their own, and none of them is text that looks like JSON.
        (Value::String(text), _) if given.from_environment && given.of_room().is_some() => {
            serde_json::from_str(text).unwrap_or_else(|_| given.value.clone())
        }
        _ => given.value.clone(),
    };
    let mut trial = defaults.clone();
    set(&mut trial, given, value.clone());
    serde_json::from_value::<Config>(trial).map_err(|error| refuse(error.to_string()))?;
    if tables::is_table(&given.full_key) {
        tables::check(&value).map_err(refuse)?;
    }
    limits::check(&given.full_key, &value).map_err(refuse)?;
    Ok(value)
}

fn unknown(given: &Given, defaults: &Value) -> Problem {
    let (section, key) = given.parts();
    let sections = || defaults.as_object().into_iter().flatten();
    let section_with = |key: &str| {
        sections()
            .find(|(_, keys)| keys.get(key).is_some())
            .map(|(section, _)| format!("{section}.{key}"))
    };
    let known = defaults.get(section).and_then(Value::as_object);
    let (message, suggestion) = match known {
        Some(_) if key.is_empty() => (
            format!("is a section: write [{section}] and its keys below it"),
            None,
        ),
        Some(keys) => {
            let here = nearest(key, keys.keys().map(String::as_str)).map(str::to_owned);
            ("unknown key".to_owned(), section_with(key).or(here))
        }
        None if key.is_empty() && section_with(section).is_some() => {
            ("no section".to_owned(), section_with(section))
        }
        None => {
            let near = nearest(section, sections().map(|(name, _)| name.as_str()));
            let suggestion = near.map(|name| format!("[{name}]"));
            ("unknown section".to_owned(), suggestion)
        }
    };
    Problem {
        suggestion,
        ..Problem::of_key(&given.full_key, message)
    }
}

#[cfg(test)]
mod tests;

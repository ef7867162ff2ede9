//! Reads the layers, checks every value on its own, then all together, and collects what is wrong.
//!
//! The `config` crate merges the layers and remembers which one each value came from; the values
//! are then decoded by the strict types of the sections, one at a time on top of the defaults, so
//! that one bad value does not hide the next.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde_json::{Value, json};

use super::check::check;
use super::given::{Given, given, set};
use super::lines::Lines;
use super::problem::{PREFIX, SEPARATOR, variable};
use super::tables::table_of;
use super::{Config, Log, Place, Problem, Problems, limits, variables};

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
    /// Environment variables. Those that begin with `HALLWARD__` are keys; others must not look
    /// like some.
    pub environment: HashMap<String, String>,
    /// Command-line flags.
    pub flags: Vec<Flag>,
}

/// A configuration in which every value is known to be allowed, and where each came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The keys that somebody gave.
    pub(super) places: BTreeMap<String, Place>,
}

impl Loaded {
    /// Reads and checks all layers.
    ///
    /// # Errors
    /// Everything that is wrong: a file that cannot be read or is no TOML, unknown keys and
    /// variables (with the nearest known one), values of the wrong type or out of range, values
    /// that do not go together.
    pub fn read(layers: &Layers) -> Result<Loaded, Problems> {
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
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let keys = sources.given.iter().map(Given::key);
        Ok(Loaded {
            places: keys.map(|key| (key.clone(), sources.place(&key))).collect(),
            config,
        })
    }

    /// The section `log` of layers in which other things may be wrong: its values that are good,
    /// and defaults for the others. A file that cannot be read says nothing.
    pub fn log_of(mut layers: Layers) -> Log {
        let read = |layers: &Layers| {
            let sources = Sources::read(layers);
            sources.map(|sources| sources.decode().0.log)
        };
        read(&layers).unwrap_or_else(|_| {
            layers.file = None;
            read(&layers).unwrap_or_default()
        })
    }

    /// Where the value of a key came from; of a table, where the first of its keys did.
    pub fn place(&self, key: &str) -> &Place {
        let within = || {
            let prefix = format!("{key}.");
            let mut after = self.places.range(prefix.clone()..);
            let (first, place) = after.next()?;
            first.starts_with(&prefix).then_some(place)
        };
        let place = self.places.get(key).or_else(within);
        place.unwrap_or(&Place::Default)
    }

    /// Something that is wrong with the value of a key, for whoever finds that out by trying.
    pub fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem::of_key(key, message).at(self.place(key).clone())
    }
}

impl Config {
    /// The same without where values came from.
    ///
    /// # Errors
    /// Those of [`Loaded::read`].
    pub fn load(layers: &Layers) -> Result<Config, Problems> {
        Loaded::read(layers).map(|loaded| loaded.config)
    }
}

struct Sources<'a> {
    layers: &'a Layers,
    lines: Lines,
    given: Vec<Given>,
}

impl<'a> Sources<'a> {
    fn read(layers: &'a Layers) -> Result<Sources<'a>, Problem> {
        let mut builder = config::Config::builder();
        let mut lines = Lines::default();
        if let Some(path) = layers.file.as_deref() {
            let text = read_file(path)?;
            lines = Lines::of(&text).map_err(|error| {
                let place = Place::File(path.to_path_buf(), error.line);
                Problem::of_source(place, format!("not TOML: {}", error.message))
            })?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
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
        let merged = builder.build().map_err(|error| {
            let file = layers.file.clone();
            let place = file.map_or(Place::Default, |path| Place::File(path, None));
            Problem::of_source(place, error.to_string())
        })?;
        Ok(Sources {
            layers,
            lines,
            given: given(merged.cache),
        })
    }

    /// The configuration as far as its values are good, and what is wrong with the others.
    fn decode(&self) -> (Config, Vec<Problem>) {
        let defaults = serde_json::to_value(Config::default()).expect("defaults serialize");
        let mut good = defaults.clone();
        let mut problems = Vec::new();
        let empty_section =
            |given: &&Given| given.value == json!({}) && is_section(&given.path, &defaults);
        for given in self.given.iter().filter(|given| !empty_section(given)) {
            match check(given, &defaults) {
                Ok(value) => set(&mut good, &given.path, value),
                Err(refused) => problems.extend(refused.into_iter().map(|problem| {
                    let place = self.place(&problem.key);
                    problem.at(place)
                })),
            }
        }
        problems.extend(variables::strays(&self.layers.environment, &defaults));
        match serde_json::from_value(good) {
            Ok(config) => (config, problems),
            Err(error) => {
                problems.push(Problem::of_source(Place::Default, error.to_string()));
                (Config::default(), problems)
            }
        }
    }

    /// Which layer a key's value came from; of a key that nobody gave in an entry or a list that
    /// somebody did, which that came from.
    fn place(&self, key: &str) -> Place {
        if let Some(flag) = self.layers.flags.iter().find(|flag| flag.key == key) {
            return Place::Flag(flag.flag);
        }
        let given = self.given.iter().find(|given| {
            let own = given.key();
            let rest = key.strip_prefix(&own);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
        let given = given.or_else(|| {
            let beside = |given: &&Given| {
                table_of(&given.path).is_some()
                    && given.path.len() > 3
                    && key.starts_with(&format!("{}.", given.path[..3].join(".")))
            };
            self.given.iter().find(beside)
        });
        match (given, &self.layers.file) {
            (Some(given), _) if given.from_environment => {
                Place::Environment(self.variable(&given.path))
            }
            (Some(_), Some(path)) => Place::File(path.clone(), self.lines.find(key)),
            _ => Place::Default,
        }
    }

    /// The variable that gave a value, in its own spelling.
    fn variable(&self, path: &[String]) -> String {
        let usual = variable(path);
        let names = self.layers.environment.keys();
        let mut alike: Vec<&String> = names.filter(|name| name.to_uppercase() == usual).collect();
        alike.sort();
        alike.first().map_or(usual, |name| (*name).clone())
    }
}

/// Whether an empty table says nothing.
fn is_section(path: &[String], defaults: &Value) -> bool {
    match path {
        [section] => defaults.get(section).is_some(),
        [_, _] => table_of(path).is_some(),
        _ => false,
    }
}

fn read_file(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| {
        Problem::of_source(
            Place::File(path.to_path_buf(), None),
            format!("cannot read the configuration file: {error}"),
        )
    })
}

#[cfg(test)]
mod tests;

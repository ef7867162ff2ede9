//! The arguments that become layers of the configuration.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::config::{Flag, Layers, Loaded, Log, Problem, Problems};

/// The file, for every command that reads the configuration.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FileArg {
    /// Configuration file (TOML); config/hallward.toml shows every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The keys that have a flag of their own.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct KeyArgs {
    /// Data directory, or `:memory:` for one that is gone at the end [default: ./hallward-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address for MQTT clients [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR")]
    mqtt: Option<String>,
    /// Address for health checks and metrics [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
}

impl KeyArgs {
    fn flags(&self) -> Vec<Flag> {
        let given = [
            ("--data", "data.dir", &self.data),
            ("--mqtt", "mqtt.listen", &self.mqtt),
            ("--http", "http.listen", &self.http),
        ];
        given
            .into_iter()
            .filter_map(|(flag, key, value)| {
                let value = value.clone()?;
                Some(Flag { flag, key, value })
            })
            .collect()
    }
}

/// Reads the file, this process's environment and the flags.
pub(super) fn load(file: &FileArg, keys: &KeyArgs) -> Result<Loaded, Problems> {
    let (layers, unreadable) = layers(file, keys);
    if !unreadable.is_empty() {
        return Err(Problems(unreadable));
    }
    Loaded::read(&layers)
}

/// How the log is to be, as far as that can be told where the rest is not as it should be.
pub(super) fn log_of(file: &FileArg, keys: &KeyArgs) -> Log {
    Loaded::log_of(layers(file, keys).0)
}

/// And which of our variables are no text.
fn layers(file: &FileArg, keys: &KeyArgs) -> (Layers, Vec<Problem>) {
    let mut environment = HashMap::new();
    let mut unreadable = Vec::new();
    for (name, value) in std::env::vars_os() {
        // A name that is no Unicode cannot be ours.
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => drop(environment.insert(name, value)),
            Err(_) if name.starts_with("HALLWARD__") => {
                unreadable.push(Problem::of_variable(
                    name,
                    "expected text, but found no Unicode",
                ));
            }
            Err(_) => {}
        }
    }
    let layers = Layers {
        file: file.config.clone(),
        environment,
        flags: keys.flags(),
    };
    (layers, unreadable)
}

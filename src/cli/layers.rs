//! The arguments that become layers of the configuration.

use std::path::PathBuf;

use crate::config::{Config, Flag, Layers, Problems};

/// The file, for every command that reads the configuration.
#[derive(Debug, clap::Args)]
pub(super) struct FileArg {
    /// Configuration file (TOML); config/hallward.toml shows every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The keys that have a flag of their own.
#[derive(Debug, Default, clap::Args)]
pub(super) struct KeyArgs {
    /// Data directory
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
pub(super) fn load(file: &FileArg, keys: &KeyArgs) -> Result<Config, Problems> {
    // Names and values that are no Unicode cannot be ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Config::load(&Layers {
        file: file.config.clone(),
        environment,
        flags: keys.flags(),
    })
}

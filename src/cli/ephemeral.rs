//! `--data :memory:`: a gateway whose data end with it, for tests and trials.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::Failure;
use crate::config::Config;

/// What stands for no directory of one's own.
const MEMORY: &str = ":memory:";

/// The directory of a gateway that keeps nothing, if it is to be one: removed when this is dropped.
#[derive(Debug)]
pub(super) struct Ephemeral(Option<TempDir>);

impl Ephemeral {
    /// Makes it, where the configuration asks for it.
    pub(super) fn prepare(config: &mut Config) -> Result<Ephemeral, Failure> {
        if config.data.dir.as_os_str() != MEMORY {
            return Ok(Ephemeral(None));
        }
        // What is in it is nobody else's to read.
        let made = tempfile::Builder::new()
            .prefix("hallward-memory-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir();
        let dir = made.map_err(|error| {
            Failure::try_again(format!("cannot make a temporary directory: {error}"))
        })?;
        config.data.dir = dir.path().to_owned();
        Ok(Ephemeral(Some(dir)))
    }

    /// Lets a configuration that was read again mean the same directory.
    pub(super) fn apply(&self, config: &mut Config) {
        if let Some(dir) = &self.0
            && config.data.dir.as_os_str() == MEMORY
        {
            config.data.dir = dir.path().to_owned();
        }
    }

    /// Whether what a gateway is told to keep would be gone with it.
    pub(super) fn is_asked_for(config: &Config) -> bool {
        config.data.dir.as_os_str() == MEMORY
    }
}

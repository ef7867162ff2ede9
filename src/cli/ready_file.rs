//! `--ready-file`: where a gateway can be found, for programs that start one.
//!
//! The file is there once every address answers, whole from the first moment on (it gets its name
//! when it is written), and gone once the gateway has ended in good order. What a killed one left
//! is removed by the next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Failure;
use super::serve::mqtt_addresses;
use crate::runtime::Places;

/// The file of a gateway that is about to start; dropped when it has ended.
#[derive(Debug)]
pub(super) struct ReadyFile {
    path: PathBuf,
    draft: PathBuf,
}

impl ReadyFile {
    /// Takes away what is there, and sees whether something can be written there.
    ///
    /// # Errors
    /// If not: before anything has started.
    pub(super) fn prepare(path: &Path) -> Result<ReadyFile, Failure> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".tmp");
        let file = ReadyFile {
            path: path.into(),
            draft: draft.into(),
        };
        let cleared = match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::write(&file.draft, []),
        };
        cleared.map_err(|error| file.failure(&error))?;
        Ok(file)
    }

    /// Says where the gateway is.
    ///
    /// # Errors
    /// Whatever the file system answers.
    pub(super) fn write(&self, places: &Places) -> Result<(), Failure> {
        let mut text = Value::from(found(places)).to_string();
        text.push('\n');
        fs::write(&self.draft, text)
            .and_then(|()| fs::rename(&self.draft, &self.path))
            .map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::runtime(format!(
            "cannot write {} (--ready-file): {error}",
            self.path.display()
        ))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Best effort: who reads it finds nobody at the addresses.
        let _ = fs::remove_file(&self.draft);
        let _ = fs::remove_file(&self.path);
    }
}

/// What listens, under the names of the banner.
fn found(places: &Places) -> Map<String, Value> {
    let mut found: Map<String, Value> = mqtt_addresses(&places.mqtt)
        .map(|(name, address, _)| (name.to_owned(), address.into()))
        .collect();
    found.insert("http".into(), format!("http://{}", places.http).into());
    found.insert("data".into(), json!(places.data));
    found.insert("pid".into(), json!(std::process::id()));
    found.insert("version".into(), json!(env!("CARGO_PKG_VERSION")));
    found
}

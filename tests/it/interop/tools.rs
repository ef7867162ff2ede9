//! Where the foreign clients are. What is missing is fetched once by `.ci/install`.
//!
//! `HALLWARD_TOOLS` names the directory that `.ci/install` fills (default `target/tools`); `HALLWARD_PYTHON` and
//! `HALLWARD_NODE_MODULES` name a Python that has paho-mqtt and a directory that has mqtt.js, wherever they came from.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The repository's root.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Python with paho-mqtt.
pub(super) fn python() -> PathBuf {
    let python = from_environment("HALLWARD_PYTHON").unwrap_or_else(|| tools().join("python/bin/python"));
    demand("paho-mqtt", || succeeds(Command::new(&python).args(["-c", "import paho.mqtt.client"])));
    python
}

/// A `node_modules` with mqtt.js.
pub(super) fn node_modules() -> PathBuf {
    let modules = from_environment("HALLWARD_NODE_MODULES").unwrap_or_else(|| tools().join("node/node_modules"));
    demand("mqtt.js", || {
        modules.join("mqtt/package.json").is_file() && succeeds(Command::new("node").arg("--version"))
    });
    modules
}

/// Makes sure that `mosquitto_pub` and `mosquitto_sub` can be run.
pub(super) fn mosquitto() {
    // `--help` of some versions exits with 1: that it starts at all is the question.
    let starts = |program| {
        let mut command = Command::new(program);
        command.arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    demand("mosquitto_pub and mosquitto_sub", || starts("mosquitto_pub") && starts("mosquitto_sub"));
}

fn tools() -> PathBuf {
    from_environment("HALLWARD_TOOLS").unwrap_or_else(|| root().join("target/tools"))
}

fn from_environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn demand(what: &str, is_there: impl Fn() -> bool) {
    if is_there() {
        return;
    }
    if let Err(why) = install() {
        panic!("{what} is missing, and .ci/install cannot fetch it; run .ci/install and see: {why}");
    }
    assert!(is_there(), "{what} is missing although .ci/install has run");
}

/// Runs `.ci/install`, once for all tests.
fn install() -> &'static Result<(), String> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let output = Command::new(root().join(".ci/install"))
            .arg(tools())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("it does not start: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

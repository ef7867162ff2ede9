//! The foreign clients that tests speak to the gateway with; `.ci/install` fetches them.
//!
//! A test that needs one asks here and never skips: what is missing is fetched, and where that
//! fails the test fails with the words that say what to install.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the clients are.
pub(crate) struct Tools {
    directory: PathBuf,
}

impl Tools {
    /// Fetches what is missing, once per process.
    pub(crate) fn get() -> &'static Tools {
        static TOOLS: OnceLock<Result<Tools, String>> = OnceLock::new();
        match TOOLS.get_or_init(install) {
            Ok(tools) => tools,
            Err(reason) => panic!("test clients are missing; {reason}"),
        }
    }

    /// `mosquitto_pub`.
    pub(crate) fn mosquitto_pub(&self) -> Command {
        Command::new("mosquitto_pub")
    }

    /// `mosquitto_sub`.
    pub(crate) fn mosquitto_sub(&self) -> Command {
        Command::new("mosquitto_sub")
    }

    /// A Python that can `import paho.mqtt.client, prometheus_client`.
    pub(crate) fn python(&self) -> Command {
        Command::new(self.directory.join("python/bin/python"))
    }

    /// The library that has a program see another wall clock.
    #[cfg(target_os = "linux")]
    pub(crate) fn libfaketime(&self) -> PathBuf {
        let places = std::fs::read_dir("/usr/lib")
            .expect("a Linux system")
            .flatten();
        let mut libraries = places.map(|place| place.path().join("faketime/libfaketimeMT.so.1"));
        let found = libraries.find(|library| library.exists());
        found.expect("libfaketime: .ci/install has fetched it")
    }

    /// A Node.js that can `require("mqtt")`.
    pub(crate) fn node(&self) -> Command {
        let mut node = Command::new("node");
        node.env("NODE_PATH", self.directory.join("node/node_modules"));
        node
    }
}

fn install() -> Result<Tools, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory =
        std::env::var_os("HALLWARD_TOOLS").map_or_else(|| root.join("target/tools"), PathBuf::from);
    let output = Command::new(root.join(".ci/install"))
        .arg(&directory)
        .output()
        .map_err(|error| format!("cannot run .ci/install: {error}"))?;
    if output.status.success() {
        Ok(Tools { directory })
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_client_can_be_started() {
    let tools = Tools::get();
    for client in [tools.mosquitto_pub(), tools.mosquitto_sub()] {
        // Help exits with 1 in some versions; that it starts is enough.
        let mut client = client;
        client.arg("--help").output().expect("starts");
    }
    run(tools
        .python()
        .args(["-c", "import paho.mqtt.client, prometheus_client"]));
    run(tools.node().args(["-e", "require('mqtt').connect.call"]));
}

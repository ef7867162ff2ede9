//! paho-mqtt and mqtt.js, each by scripts of its own: a line per check, and words for the first
//! that fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::Gateway;
use crate::tools::Tools;

fn folder(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/interop")
        .join(client)
}

fn passes(command: &mut Command, version: &str) {
    let gateway = Gateway::start();
    let output = command
        .args([
            "--port",
            &gateway.mqtt.port().to_string(),
            "--version",
            version,
        ])
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{said}{complained}",
        output.status
    );
    assert!(
        said.lines().any(|line| line.starts_with("ok ")),
        "no check ran: {said}{complained}"
    );
}

fn paho(script: &str, version: &str) {
    let mut python = Tools::get().python();
    // -B: leaves nothing behind in the sources.
    passes(python.arg("-B").arg(folder("paho").join(script)), version);
}

fn mqttjs(script: &str, version: &str) {
    let mut node = Tools::get().node();
    passes(node.arg(folder("mqttjs").join(script)), version);
}

#[test]
fn paho_finds_ordinary_mqtt_3_1_1() {
    paho("plain.py", "3.1.1");
}

#[test]
fn paho_finds_ordinary_mqtt_5() {
    paho("plain.py", "5");
}

#[test]
fn paho_works_in_rooms_over_3_1_1() {
    paho("rooms.py", "3.1.1");
}

#[test]
fn paho_works_in_rooms_over_5() {
    paho("rooms.py", "5");
}

#[test]
fn mqttjs_finds_ordinary_mqtt_3_1_1() {
    mqttjs("plain.mjs", "3.1.1");
}

#[test]
fn mqttjs_finds_ordinary_mqtt_5() {
    mqttjs("plain.mjs", "5");
}

#[test]
fn mqttjs_works_in_rooms_over_3_1_1() {
    mqttjs("rooms.mjs", "3.1.1");
}

#[test]
fn mqttjs_works_in_rooms_over_5() {
    mqttjs("rooms.mjs", "5");
}

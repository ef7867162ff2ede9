//! What the SDK brings along: of the gateway nothing.

use std::process::Command;

#[test]
fn the_sdk_alone_needs_none_of_the_gateways_packages() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(["--no-default-features", "--features", "agent"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(output.stdout).expect("text");
    let names: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.contains(&"rumqttc"), "{tree}");
    for foreign in [
        "argon2",
        "axum",
        "clap",
        "config",
        "jsonschema",
        "ring",
        "rumqttd",
        "rusqlite",
        "rustls",
        "tempfile",
    ] {
        assert!(!names.contains(&foreign), "{foreign} in\n{tree}");
    }
}

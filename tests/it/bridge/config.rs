//! `hallward check` knows bridges, and says where something is wrong.

use std::process::Command;

use serde_json::json;

use super::broker::Broker;
use super::mosquitto::Mosquitto;

/// The exit code of `hallward check` with this file, and what it says.
fn checked(text: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("hallward.toml");
    std::fs::write(&file, text).expect("writable");
    let output = Command::new(env!("CARGO_BIN_EXE_hallward"))
        .args(["check", "--config"])
        .arg(&file)
        .output()
        .expect("the binary starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

const GOOD: &str = "\
[[bridge]]
name = \"cloud\"
addresses = [\"broker.example.org:1883\"]

[[bridge.rule]]
filter = \"sensors/#\"
template = \"site7/{#}\"
";

#[test]
fn a_bridge_that_can_be_used_is_let_through() {
    let (code, said) = checked(GOOD);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_is_wrong_with_a_bridge_is_told_with_its_key_and_line() {
    for (from, to, line, words) in [
        (
            "name",
            "nmae",
            2,
            "bridge[0].nmae: unknown key; did you mean name",
        ),
        (
            "name = \"cloud\"",
            "name = \"a/b\"",
            2,
            "bridge[0].name: must be a name",
        ),
        (
            ":1883",
            "",
            3,
            "bridge[0].addresses: expected \"host:port\"",
        ),
        ("{#}", "{1}", 7, "bridge[0].rule[0].template: "),
        (
            "sensors/#",
            "#/a",
            6,
            "bridge[0].rule[0].filter: is no topic filter",
        ),
        (
            "name = \"cloud\"",
            "name = \"cloud\"\nwindow = 0",
            3,
            "bridge[0].window: must be 1 to 10000",
        ),
        ("[[bridge]]", "[bridge]", 1, "bridge"),
    ] {
        let (code, said) = checked(&GOOD.replacen(from, to, 1));
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(words), "{said}");
        if from != "[[bridge]]" {
            assert!(said.contains(&format!(":{line}")), "{said}");
        }
    }
}

/// The exit code of `hallward bridge check NAME`, and what it says.
fn tried(name: &str, bridge: &serde_json::Value) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hallward"))
        .args(["bridge", "check", name])
        .env("HALLWARD__BRIDGE", json!([bridge]).to_string())
        .output()
        .expect("the binary starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_bridge_is_tried_and_what_is_granted_is_shown() {
    let mosquitto = Mosquitto::start();
    for (protocol, granted) in [("5", "20"), ("3.1.1", "65535")] {
        let bridge = json!({
            "name": "cloud",
            "addresses": [mosquitto.address.to_string()],
            "protocol": protocol,
            "rule": [{ "filter": "out/#" }],
        });
        let (code, said) = tried("cloud", &bridge);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("connected as hallward-cloud-check"), "{said}");
        assert!(
            said.contains(&format!("unacknowledged messages  {granted}\n")),
            "{said}"
        );
    }
}

#[test]
fn a_bridge_that_is_not_let_in_or_not_known_says_why() {
    let broker = Broker::new();
    let bridge = json!({
        "name": "cloud",
        "addresses": [broker.address.to_string()],
        "rule": [{ "filter": "out/#" }],
    });
    let (code, said) = tried("clout", &bridge);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("there is: cloud"), "{said}");
    let refuses = std::thread::spawn(move || broker.guest(0x87, &[]).gone());
    let (code, said) = tried("cloud", &bridge);
    refuses.join().expect("it was asked");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("refused: ") && said.contains("NotAuthorized"),
        "{said}"
    );
}

//! Schemas of keys: from files, checked at start, read anew on SIGHUP.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Agent, DEADLINE, Gateway, Setup};

const PLAN: &str =
    r#"{"type":"object","required":["title"],"properties":{"words":{"type":"integer"}}}"#;

fn put(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, text).expect("writable");
    path.to_str().expect("text").to_owned()
}

fn start(schema: &str) -> Gateway {
    let schemas = json!([{ "prefix": "plan", "schema": schema }]);
    Setup::new()
        .with("blackboard.schemas", &schemas.to_string())
        .start()
}

/// Sends SIGHUP and waits until the gateway has said how it went.
fn reload(gateway: &Gateway) -> String {
    let before = gateway.stderr().len();
    gateway.signal("HUP");
    let begun = Instant::now();
    loop {
        let log = gateway.stderr();
        let mut said = log[before..].lines();
        if let Some(line) = said.find(|line| line.contains("part=\"blackboard.schemas\"")) {
            return line.to_owned();
        }
        assert!(begun.elapsed() < DEADLINE, "no word of a reload: {log}");
        std::thread::yield_now();
    }
}

#[test]
fn values_must_satisfy_the_schema_of_their_prefix_also_after_it_was_read_anew() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = put(&directory, "plan.schema.json", PLAN);
    let gateway = start(&path);
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    let wrong = json!({"value": {"title": "Tides", "words": "many"}});
    let refused = ann.rejected(422, "blackboard/set/ann/plan/monday", wrong.clone());
    assert_eq!(refused.path.as_deref(), Some("value/words"));
    ann.set("plan/monday", json!({"title": "Tides", "words": 3}));
    ann.set("other", json!(1));
    put(&directory, "plan.schema.json", "{");
    assert!(reload(&gateway).contains("not reloaded"));
    ann.rejected(422, "blackboard/set/ann/plan/monday", wrong.clone());
    put(&directory, "plan.schema.json", r#"{"required":["title"]}"#);
    assert!(reload(&gateway).contains("1 schemas of keys"));
    ann.accepted("blackboard/set/ann/plan/monday", wrong);
    ann.rejected(422, "blackboard/set/ann/plan/monday", json!({"value": {}}));
}

#[test]
fn a_schema_that_cannot_be_used_keeps_the_gateway_from_starting() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bad = put(
        &directory,
        "bad.json",
        r#"{"$ref":"https://example.com/x"}"#,
    );
    let missing = directory.path().join("missing.json");
    for (path, words) in [
        (Path::new(&bad), "may refer only to parts of itself"),
        (missing.as_path(), "cannot read the schema"),
    ] {
        let schemas = json!([{ "prefix": "plan", "schema": path }]).to_string();
        let checked = Gateway::check(&[("HALLWARD__BLACKBOARD__SCHEMAS", &schemas)]);
        assert_eq!(checked.code, Some(64), "{}", checked.stderr);
        let said = checked.stdout;
        assert!(said.contains(words) && said.contains("json"), "{said}");
    }
}

#[test]
fn one_room_may_have_a_schema_of_its_own() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let everywhere = put(&directory, "plan.schema.json", PLAN);
    let own = put(&directory, "text.schema.json", r#"{"type":"string"}"#);
    let schemas = json!([
        { "prefix": "plan", "schema": everywhere },
        { "prefix": "plan", "schema": own, "room": "attic" },
    ]);
    let gateway = Setup::new()
        .with("blackboard.schemas", &schemas.to_string())
        .start();
    let mut ann = Agent::join_v311(&gateway, "lab", "ann");
    let mut ben = Agent::join_v311(&gateway, "attic", "ben");
    let (plan, text) = (
        json!({"value": {"title": "Tides"}}),
        json!({"value": "Tides"}),
    );
    ann.accepted("blackboard/set/ann/plan/monday", plan.clone());
    ann.rejected(422, "blackboard/set/ann/plan/monday", text.clone());
    ben.accepted("blackboard/set/ben/plan/monday", text);
    ben.rejected(422, "blackboard/set/ben/plan/monday", plan);
}

//! The published schemas: generated from the wire types, never stale, and true to them.
//!
//! `HALLWARD_BLESS=1 cargo test schemas` writes them anew after a wire type has changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hallward::wire::{
    approve, blackboard, cbor, fit, handoff, json, mailbox, observe, presence, question, reply,
    room, tools,
};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A message of the wire, with what a test does to its type.
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) schema: Schema,
    /// Decodes and encodes again.
    pub(crate) round_trip: fn(&[u8]) -> Result<Value, String>,
}

/// Who writes the message: what its type lets out differs from what it takes in.
#[derive(PartialEq)]
enum Writer {
    Client,
    Gateway,
}

fn message<T: JsonSchema + Serialize + DeserializeOwned>(
    name: &'static str,
    writer: Writer,
) -> Message {
    let settings = match writer {
        Writer::Client => SchemaSettings::draft2020_12().for_deserialize(),
        Writer::Gateway => SchemaSettings::draft2020_12().for_serialize(),
    };
    Message {
        name,
        schema: settings.into_generator().into_root_schema_for::<T>(),
        round_trip: |bytes| {
            let value: T = json::decode(bytes).map_err(|rejection| rejection.to_string())?;
            serde_json::from_slice(&json::encode(&value)).map_err(|error| error.to_string())
        },
    }
}

pub(crate) fn messages() -> Vec<Message> {
    use Writer::{Client, Gateway};
    vec![
        message::<presence::Announcement>("announcement", Client),
        message::<presence::Presence>("presence", Gateway),
        message::<presence::PresenceList>("presence-list", Client),
        message::<presence::Roll>("roll", Gateway),
        message::<handoff::Task>("task", Client),
        message::<handoff::Assignment>("assignment", Gateway),
        message::<handoff::Update>("update", Client),
        message::<question::OpenQuestion>("open-question", Gateway),
        message::<question::AnswerTask>("answer-task", Client),
        message::<handoff::Cancel>("cancel", Client),
        message::<handoff::GetTask>("get-task", Client),
        message::<handoff::ListTasks>("list-tasks", Client),
        message::<handoff::Redrive>("redrive", Client),
        message::<handoff::GroupResult>("group-result", Gateway),
        message::<handoff::TaskPage>("task-page", Gateway),
        message::<handoff::Redriven>("redriven", Gateway),
        message::<handoff::TaskResult>("task-result", Gateway),
        message::<handoff::TaskView>("task-view", Gateway),
        message::<blackboard::Set>("set", Client),
        message::<blackboard::Delete>("delete", Client),
        message::<blackboard::Txn>("txn", Client),
        message::<blackboard::Lock>("lock", Client),
        message::<blackboard::Unlock>("unlock", Client),
        message::<blackboard::Get>("get", Client),
        message::<blackboard::Snapshot>("snapshot", Gateway),
        message::<blackboard::ListKeys>("list-keys", Client),
        message::<blackboard::KeyPage>("key-page", Gateway),
        message::<blackboard::GetHistory>("get-history", Client),
        message::<blackboard::History>("history", Gateway),
        message::<blackboard::Entry>("entry", Gateway),
        message::<approve::ApprovalRequest>("approval-request", Client),
        message::<approve::PendingApproval>("pending-approval", Gateway),
        message::<approve::Decide>("decide", Client),
        message::<approve::Decision>("decision", Gateway),
        message::<approve::CancelApproval>("cancel-approval", Client),
        message::<approve::AuditQuery>("audit-query", Client),
        message::<approve::AuditPage>("audit-page", Gateway),
        message::<tools::Registration>("registration", Client),
        message::<tools::ToolCard>("tool-card", Gateway),
        message::<tools::ToolCall>("tool-call", Client),
        message::<tools::ToolRun>("tool-run", Gateway),
        message::<tools::ToolReturn>("tool-return", Client),
        message::<tools::ToolResult>("tool-result", Gateway),
        message::<question::AnswerCall>("answer-call", Client),
        message::<tools::CancelCall>("cancel-call", Client),
        message::<tools::CallOver>("call-over", Gateway),
        message::<tools::GetCall>("get-call", Client),
        message::<tools::CallView>("call-view", Gateway),
        message::<reply::Reply>("reply", Gateway),
        message::<reply::DroppedRefusals>("dropped-refusals", Gateway),
        message::<mailbox::MailboxList>("mailbox-list", Client),
        message::<mailbox::MailboxPage>("mailbox-page", Gateway),
        message::<mailbox::MailboxPurge>("mailbox-purge", Client),
        message::<mailbox::Purged>("purged", Gateway),
        message::<room::CloseRoom>("close-room", Client),
        message::<observe::Event>("event", Gateway),
        message::<observe::Replay>("replay", Client),
        message::<observe::ReplayPage>("replay-page", Gateway),
    ]
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// The examples of a message: `NAME.json` and `NAME.VARIANT.json`.
pub(crate) fn examples() -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut examples: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in fs::read_dir(directory().join("examples")).expect("schemas/examples exists") {
        let path = entry.expect("readable").path();
        let file = path.file_name().expect("a file").to_string_lossy();
        if !file.ends_with(".json") {
            continue;
        }
        let name = file.split('.').next().expect("split yields one").to_owned();
        let text = fs::read(&path).expect("readable");
        examples
            .entry(name)
            .or_default()
            .push((file.into_owned(), text));
    }
    examples
}

#[test]
fn schemas_are_those_of_the_wire_types() {
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for message in messages() {
        let text = serde_json::to_string_pretty(&message.schema).expect("serializes");
        expected.insert(format!("{}.schema.json", message.name), text + "\n");
    }
    let bless = std::env::var_os("HALLWARD_BLESS").is_some();
    let mut stale = Vec::new();
    for (file, text) in &expected {
        let path = directory().join(file);
        if fs::read_to_string(&path).ok().as_ref() == Some(text) {
            continue;
        }
        if bless {
            fs::write(&path, text).expect("writable");
        } else {
            stale.push(file.clone());
        }
    }
    for entry in fs::read_dir(directory()).expect("schemas exists") {
        let file = entry.expect("readable").file_name();
        let file = file.to_string_lossy().into_owned();
        if file.ends_with(".schema.json") && !expected.contains_key(&file) {
            stale.push(format!("{file} (no such message any more: delete it)"));
        }
    }
    assert!(
        stale.is_empty(),
        "stale: {stale:?}; if the change is meant: HALLWARD_BLESS=1 cargo test schemas"
    );
}

#[test]
fn examples_satisfy_their_schema_and_lose_nothing_in_the_type() {
    let mut examples = examples();
    for message in messages() {
        let validator = jsonschema::validator_for(message.schema.as_value()).expect("a schema");
        let own = examples.remove(message.name).unwrap_or_default();
        assert!(!own.is_empty(), "no example of {}", message.name);
        for (file, text) in own {
            let value: Value = serde_json::from_slice(&text).expect("JSON");
            if let Err(error) = validator.validate(&value) {
                panic!("{file}: {error} at {}", error.instance_path());
            }
            assert_eq!((message.round_trip)(&text), Ok(value), "{file}");
        }
    }
    let strays: Vec<_> = examples.keys().collect();
    assert!(strays.is_empty(), "examples of no message: {strays:?}");
}

/// `NAME.cbor` beside every `NAME.json`: what the gateway writes, read by another reader, and what
/// the gateway reads.
#[test]
fn examples_say_the_same_in_cbor() {
    let bless = std::env::var_os("HALLWARD_BLESS").is_some();
    let mut examples = examples();
    for message in messages() {
        let validator = jsonschema::validator_for(message.schema.as_value()).expect("a schema");
        for (file, text) in examples.remove(message.name).unwrap_or_default() {
            let path = directory().join("examples").join(&file);
            let path = path.with_extension("cbor");
            if bless {
                fs::write(&path, cbor::from_json(&text)).expect("writable");
            }
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{file} in CBOR: {error}"));
            assert!(cbor::is_map(&bytes), "{file}");
            assert!(
                bytes == cbor::from_json(&text),
                "{} is stale; if the change is meant: HALLWARD_BLESS=1 cargo test schemas",
                path.display()
            );
            let value: Value = serde_cbor::from_slice(&bytes).expect("CBOR");
            assert_eq!(
                value,
                serde_json::from_slice::<Value>(&text).expect("JSON"),
                "{file}"
            );
            assert!(validator.is_valid(&value), "{file}");
            let read = cbor::to_json(&bytes).expect("CBOR with a JSON");
            assert_eq!((message.round_trip)(&read), Ok(value), "{file}");
        }
    }
    let strays = fs::read_dir(directory().join("examples")).expect("schemas/examples exists");
    for entry in strays {
        let path = entry.expect("readable").path();
        let is_alone = !path.with_extension("json").exists();
        assert!(!is_alone, "{} has no JSON beside it", path.display());
    }
}

/// What a reader with little room gets in place of each example that may be shortened, at every
/// size.
#[test]
fn shortened_examples_satisfy_their_schema_and_fit() {
    let shortened = [
        "reply",
        "task-result",
        "group-result",
        "decision",
        "tool-result",
        "call-over",
    ];
    let examples = examples();
    for message in messages() {
        if !shortened.contains(&message.name) {
            continue;
        }
        let validator = jsonschema::validator_for(message.schema.as_value()).expect("a schema");
        for (file, text) in &examples[message.name] {
            let whole: Value = serde_json::from_slice(text).expect("JSON");
            let json = whole.to_string().into_bytes();
            let cbor = cbor::from_json(&json).to_vec();
            for whole in [json, cbor] {
                let fits = |most| fit::shorten(&whole, most, whole.len());
                // What has nothing to leave out becomes longer.
                let says_so = br#","tooLarge":999"#.len();
                let least = (0..=whole.len() + says_so).find(|most| fits(*most).is_some());
                let least = least.unwrap_or_else(|| panic!("{file} cannot be shortened"));
                assert!(least < 256, "{file} takes {least} bytes at least");
                for most in least..whole.len() {
                    let short = fits(most).unwrap_or_else(|| panic!("{file} in {most}"));
                    assert!(short.len() <= most, "{file} in {most}");
                    let short = match cbor::is_map(&short) {
                        true => cbor::to_json(&short).expect("CBOR with a JSON"),
                        false => short.to_vec(),
                    };
                    let value: Value = serde_json::from_slice(&short).expect("JSON");
                    assert!(value["tooLarge"].is_u64(), "{file} in {most}: {value}");
                    if let Err(error) = validator.validate(&value) {
                        panic!("{file} in {most}: {error} at {}", error.instance_path());
                    }
                    assert_eq!((message.round_trip)(&short), Ok(value), "{file} in {most}");
                }
            }
        }
    }
}

#[test]
fn schema_and_type_agree_on_which_fields_may_be_missing() {
    let examples = examples();
    for message in messages() {
        let validator = jsonschema::validator_for(message.schema.as_value()).expect("a schema");
        for (file, text) in &examples[message.name] {
            let value: Value = serde_json::from_slice(text).expect("JSON");
            let fields = value.as_object().expect("an object").keys();
            for field in fields {
                let mut without = value.clone();
                without.as_object_mut().expect("an object").remove(field);
                let decoded = (message.round_trip)(without.to_string().as_bytes());
                assert_eq!(
                    validator.is_valid(&without),
                    decoded.is_ok(),
                    "{file} without {field}: the type says {decoded:?}"
                );
            }
        }
    }
}

#[test]
fn unknown_fields_are_allowed_by_schema_and_type() {
    let examples = examples();
    for message in messages() {
        let validator = jsonschema::validator_for(message.schema.as_value()).expect("a schema");
        for (file, text) in &examples[message.name] {
            let mut value: Value = serde_json::from_slice(text).expect("JSON");
            value["fromANewerVersion"] = Value::Bool(true);
            assert!(validator.is_valid(&value), "{file}");
            let decoded = (message.round_trip)(value.to_string().as_bytes());
            assert!(decoded.is_ok(), "{file}: {decoded:?}");
        }
    }
}

#[test]
fn digest_in_the_examples_is_that_of_action_and_content() {
    let text = fs::read(directory().join("examples/pending-approval.json")).expect("readable");
    let pending: Value = serde_json::from_slice(&text).expect("JSON");
    let approved = serde_json::json!({
        "action": pending["action"],
        "content": pending["content"],
    });
    let canonical = serde_json_canonicalizer::to_vec(&approved).expect("canonical");
    let digest: String = Sha256::digest(&canonical)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(pending["digest"], digest);
}

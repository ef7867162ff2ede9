//! What `docs/patterns.md` says of doing things, beside the states: for each thing a group of rows,
//! in MQTT and in the SDKs' languages. Here is that it is all there, and that the topics and
//! messages are the gateway's; each language's tests run its own rows (`tests/it/agent/beside.rs`,
//! `sdk/python/tests/test_pages.py`, `sdk/js/test/docs.test.ts`).

use std::fs;
use std::path::Path;

use hallward::wire::name::GATEWAY;
use hallward::wire::topic::{RoomTopic, Topic, TopicKind};
use serde_json::{Map, Value};

use crate::schemas::{Message, examples, messages};

/// What begins a table of things that people do.
const HEAD: &str = "| You want to | In | You write |\n|---|---|---|\n";

/// In what each of them is said, in this order.
const WAYS: [&str; 4] = ["MQTT", "Python", "JavaScript", "Rust"];

const PATTERNS: [&str; 7] = [
    "Handoff",
    "Blackboard",
    "Approve",
    "Tools",
    "Inbox",
    "Presence",
    "Observe",
];

/// Stands for what is left out, as a field.
const REST: &str = "…";

/// One row: how a thing is done in one way.
pub(crate) struct Way {
    /// The section.
    pub(crate) pattern: String,
    /// What one wants to do.
    pub(crate) aim: String,
    /// One of [`WAYS`].
    pub(crate) way: String,
    /// Words and code, in turns; words begin.
    parts: Vec<String>,
}

impl Way {
    /// What is in code, a line each.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().skip(1).step_by(2).map(String::as_str)
    }

    fn read(pattern: &str, aim: &mut String, row: &str) -> Way {
        let row = row.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
        let cells: Vec<&str> = row.expect("a row").split(" | ").map(str::trim).collect();
        let [wanted, way, how] = cells[..] else {
            panic!("{pattern}: three cells, not {cells:?}");
        };
        if !wanted.is_empty() {
            *aim = wanted.trim_matches('*').to_owned();
        }
        let parts = how.split('`').map(|part| part.replace("\\|", "|"));
        Way {
            pattern: pattern.to_owned(),
            aim: aim.clone(),
            way: way.to_owned(),
            parts: parts.collect(),
        }
    }
}

/// Every row of the page.
pub(crate) fn ways() -> Vec<Way> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/patterns.md");
    let page = fs::read_to_string(path).expect("docs/patterns.md");
    let mut ways = Vec::new();
    for section in page.split("\n## ").skip(1) {
        let pattern = section.lines().next().expect("a heading");
        let Some((_, table)) = section.split_once(HEAD) else {
            continue;
        };
        let mut aim = String::new();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        ways.extend(rows.map(|row| Way::read(pattern, &mut aim, row)));
    }
    ways
}

#[test]
fn whatever_people_do_stands_there_in_every_way() {
    let ways = ways();
    for pattern in PATTERNS {
        let own: Vec<&Way> = ways.iter().filter(|way| way.pattern == pattern).collect();
        assert!(own.len() >= 2 * WAYS.len(), "{pattern} has no table");
        for together in own.chunks(WAYS.len()) {
            let aim = &together[0].aim;
            let (aims, told): (Vec<_>, Vec<_>) =
                together.iter().map(|way| (&way.aim, &way.way)).unzip();
            assert_eq!(told, WAYS, "{pattern}, {aim}");
            assert!(aims.iter().all(|other| *other == aim), "{pattern}, {aim}");
            let says = |way: &&Way| way.lines().next().is_some() && way.parts.len() % 2 == 1;
            assert!(together.iter().all(says), "{pattern}, {aim}: no code");
        }
    }
}

/// A topic of the page: a name of its row stands for any, and a wildcard for what it matches.
fn topic_of(shown: &str) -> Topic {
    let plain: Vec<&str> = shown
        .split('/')
        .map(|level| match level {
            "+" | "#" => "any",
            named => named.trim_matches(['{', '}']),
        })
        .collect();
    let whole = format!("rooms/lab/{}", plain.join("/"));
    let parsed = RoomTopic::parse("rooms", &whole).expect("below the root");
    let topic = parsed
        .unwrap_or_else(|error| panic!("{shown}: {error}"))
        .topic;
    let row = topic.row();
    let levels = shown.split('/').skip(row.words.split('/').count());
    for (level, (name, _)) in levels.zip(row.levels) {
        let is_open = level.starts_with('{');
        assert!(
            !is_open || level == format!("{{{name}}}"),
            "{shown}: {name} stands there"
        );
    }
    topic
}

/// The message that a topic carries, by its schema; `None` where that is whatever anybody likes.
fn carried(topic: &Topic) -> Option<&'static str> {
    let name = match topic.row().words {
        "presence/announce" => "announcement",
        "presence/agent" => "presence",
        "presence/list" => "presence-list",
        "handoff/dispatch" => "task",
        "handoff/work" => "assignment",
        "handoff/update" => "update",
        "handoff/answer" => "answer-task",
        "handoff/cancel" => "cancel",
        "handoff/result" => "task-result",
        "blackboard/set" => "set",
        "blackboard/get" => "get",
        "blackboard/lock" => "lock",
        "blackboard/unlock" => "unlock",
        "blackboard/state" => "entry",
        "observe/replay" => "replay",
        "approve/request" => "approval-request",
        "approve/pending" => "pending-approval",
        "approve/decide" => "decide",
        "approve/decision" => "decision",
        "approve/cancel" => "cancel-approval",
        "tools/register" => "registration",
        "tools/card" => "tool-card",
        "tools/call" => "tool-call",
        "tools/run" => "tool-run",
        "tools/return" => "tool-return",
        "tools/result" => "tool-result",
        "reply" => "reply",
        "inbox" => return None,
        "observe/events" => match topic.writer() {
            Some(source) if source.as_str() == GATEWAY => "event",
            _ => return None,
        },
        other => panic!("{other}: which message is that?"),
    };
    Some(name)
}

/// The `data` of a reply, by the command that it answers.
fn answered(command: &str) -> &'static str {
    match command {
        "blackboard/get" => "snapshot",
        "presence/list" => "roll",
        "observe/replay" => "replay-page",
        other => panic!("{other}: what does it answer?"),
    }
}

/// What a message shows, as JSON with what is left out as a field.
fn shown(text: &str) -> Value {
    let whole = text.replace(",…}", &format!(",\"{REST}\":true}}"));
    serde_json::from_str(&whole).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Whether it is such a message: the whole of it, or, where it says so, with whatever else is in
/// one of the examples.
fn check(name: &str, mut fields: Map<String, Value>) {
    let is_partial = fields.remove(REST).is_some();
    if name == "reply" {
        let data = fields.remove("data").expect("data");
        let Value::Object(data) = data else {
            panic!("data of a reply: {data}");
        };
        check(answered(fields["command"].as_str().expect("a name")), data);
    }
    let message = messages().into_iter().find(|message| message.name == name);
    let message: Message = message.unwrap_or_else(|| panic!("no message {name}"));
    let whole = match is_partial {
        false => vec![fields],
        true => {
            let examples = examples().remove(name).expect("examples");
            let beside = |(_, text): &(String, Vec<u8>)| {
                let mut whole: Map<String, Value> = serde_json::from_slice(text).expect("JSON");
                whole.extend(fields.clone());
                whole
            };
            examples.iter().map(beside).collect()
        }
    };
    let validator = jsonschema::validator_for(message.schema.as_value()).expect("a schema");
    let mut faults = Vec::new();
    for fields in whole {
        let value = Value::Object(fields.clone());
        let read = (message.round_trip)(value.to_string().as_bytes());
        // What has a value of its own, where it is not said, may be there besides.
        let is_read = |read: &Value| fields.iter().all(|(name, value)| read[name] == *value);
        if validator.is_valid(&value) && read.as_ref().is_ok_and(is_read) {
            return;
        }
        faults.push(format!("{value}\n  reads as {read:?}"));
    }
    panic!("no {name}: {}", faults.join("\n"));
}

#[test]
fn topics_and_messages_are_those_of_the_gateway() {
    let mut checked = 0;
    for way in ways().iter().filter(|way| way.way == "MQTT") {
        let (mut does, mut topic) = ("", None);
        for (index, part) in way.parts.iter().enumerate() {
            if index % 2 == 0 {
                let verb = |word: &&str| matches!(*word, "send" | "receive");
                does = part.split_whitespace().rfind(verb).unwrap_or(does);
            } else if part.starts_with('{') {
                let topic = topic.as_ref().expect("a message follows its topic");
                if let (Some(name), Value::Object(fields)) = (carried(topic), shown(part)) {
                    check(name, fields);
                    checked += 1;
                }
            } else {
                let named = topic_of(part);
                let may = match named.kind() {
                    TopicKind::Command => does == "send",
                    TopicKind::Gateway => does == "receive",
                    TopicKind::Relayed => !does.is_empty(),
                };
                assert!(may, "{}: who would {does} {part}?", way.aim);
                let pattern = named.row().pattern();
                let own = way.pattern.to_lowercase();
                assert!(pattern == own || pattern == "reply", "{}: {part}", way.aim);
                topic = Some(named);
            }
        }
        assert!(topic.is_some(), "{}: no topic", way.aim);
    }
    assert!(checked > 30, "{checked}");
}

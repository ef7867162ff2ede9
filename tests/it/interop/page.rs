//! A page of the documentation as a newcomer uses it: blocks of lines to paste, programs to start,
//! and what the page says they print.
//!
//! It only reads; [`super::docs`] runs what is found here.

use std::path::Path;

/// One step of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A block of lines for a shell, pasted as it stands.
    Paste { lines: Vec<&'a str>, number: usize },
    /// A program for one of the clients that are installed.
    Program {
        library: Library,
        lines: Vec<&'a str>,
        number: usize,
    },
    /// What the steps before it print, all together.
    Expect { lines: Vec<&'a str>, number: usize },
}

/// A client library that is installed for tests, and so can run what a page shows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    Paho,
    MqttJs,
}

impl Library {
    /// By the first line of a program; other libraries were tried by hand, as the page says.
    fn of(line: &str) -> Option<Library> {
        match line {
            "import paho.mqtt.client as mqtt" => Some(Library::Paho),
            r#"const mqtt = require("mqtt");"# => Some(Library::MqttJs),
            _ => None,
        }
    }
}

/// The text of a page, by its path in the repository.
pub(super) fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).expect("the document is there")
}

/// Whether a line of a block speaks MQTT.
pub(super) fn speaks(line: &&str) -> bool {
    line.starts_with("mosquitto_") || line.starts_with("printf ")
}

/// A fenced block: its language, its lines, and where it begins. `follows` if only empty lines are
/// between it and the block before.
struct Block<'a> {
    language: &'a str,
    lines: Vec<&'a str>,
    number: usize,
    follows: bool,
}

/// The steps of a page, with the line numbers that they stand at.
///
/// Blocks marked `sh` count if a line of theirs speaks MQTT; programs if they follow such a block;
/// and blocks marked `text` if they follow one of either.
pub(super) fn steps(document: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut counts = false;
    for block in blocks(document) {
        let Block {
            language,
            lines,
            number,
            follows,
        } = block;
        let step = match language {
            "sh" if lines.iter().any(speaks) => Some(Step::Paste { lines, number }),
            "python" | "js" if counts && follows => {
                let library = lines.first().and_then(|line| Library::of(line));
                library.map(|library| Step::Program {
                    library,
                    lines,
                    number,
                })
            }
            "text" if counts && follows => Some(Step::Expect { lines, number }),
            _ => None,
        };
        counts = step.is_some();
        steps.extend(step);
    }
    steps
}

fn blocks(document: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open = false;
    let mut follows = false;
    for (index, line) in document.lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (false, Some(language)) => {
                blocks.push(Block {
                    language,
                    lines: Vec::new(),
                    number: index + 2,
                    follows,
                });
                open = true;
            }
            (false, None) => follows &= line.trim().is_empty(),
            (true, Some(_)) => (open, follows) = (false, true),
            (true, None) => {
                let block = blocks.last_mut().expect("one is open");
                block.lines.push(line);
            }
        }
    }
    blocks
}

/// Whether a printed line is the expected one; `…` in that stands for anything.
pub(super) fn fits(expected: &str, printed: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(rest) = parts.next().and_then(|first| printed.strip_prefix(first)) else {
        return false;
    };
    let mut rest = Some(rest);
    let mut last = None;
    for part in parts {
        last = Some(part);
        rest = rest.and_then(|rest| rest.find(part).map(|at| &rest[at + part.len()..]));
    }
    match last {
        None => rest == Some(""),
        Some(last) => rest.is_some() && printed.ends_with(last),
    }
}

#[test]
fn programs_of_other_libraries_are_no_steps() {
    let document = "```sh\nls\n```\n\n```python\nimport other\n```\n\n```text\nout\n```\n";
    assert_eq!(steps(document), []);
}

#[test]
fn expected_output_is_matched_with_its_gaps() {
    for (expected, printed) in [
        ("plain", "plain"),
        ("at …", "at 17"),
        (r#"{"a":…,"b":1}"#, r#"{"a":12,"b":1}"#),
        ("…", ""),
    ] {
        assert!(fits(expected, printed), "{expected} {printed}");
    }
    for (expected, printed) in [
        ("plain", "plain x"),
        ("at …", "on 17"),
        (r#"{"a":…,"b":1}"#, r#"{"a":12}"#),
        ("a…a", "ab"),
    ] {
        assert!(!fits(expected, printed), "{expected} {printed}");
    }
}

#[test]
fn shell_blocks_that_speak_mqtt_and_what_follows_them_are_steps() {
    let document = "```sh\nroom=x\nmosquitto_pub -x\n```\n\n```text\nout\n```\n\nwords\n\n```text\nmosquitto_pub -y\n```\n\n```sh\nls\n```\n";
    let paste = Step::Paste {
        lines: vec!["room=x", "mosquitto_pub -x"],
        number: 2,
    };
    let expect = Step::Expect {
        lines: vec!["out"],
        number: 7,
    };
    assert_eq!(steps(document), [paste, expect]);
}

//! Holds `docs/patterns.md` equal to the engine's tables of transitions, and the lists of topics
//! and events in `docs/protocol.md`.
//!
//! `HALLWARD_BLESS=1 cargo test --test it patterns::page` draws them anew. The words around them
//! are written by hand.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use hallward::engine::{MACHINES, Machine, OTHER_EVENTS, Transition};
use hallward::wire::topic::{Topic, TopicKind, TopicMark, TopicRow};

const END: &str = "<!-- end of table -->";

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name)
}

/// The event without its pattern.
fn short(row: &Transition) -> &str {
    row.event.split_once('.').expect("pattern.transition").1
}

fn state(name: Option<&str>) -> String {
    name.map_or_else(|| "–".to_owned(), |name| format!("`{name}`"))
}

/// What comes one after the other, each once.
fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen: Vec<T> = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

/// One arrow for all that leads from a state to another.
fn diagram(machine: &Machine) -> String {
    let rows = machine.transitions;
    let mut text = "```mermaid\nstateDiagram-v2\n".to_owned();
    for (from, to) in distinct(rows.iter().map(|row| (row.from, row.to))) {
        let along = rows.iter().filter(|row| (row.from, row.to) == (from, to));
        let events = distinct(along.map(short)).join(", ");
        let (from, to) = (from.unwrap_or("[*]"), to.unwrap_or("[*]"));
        writeln!(text, "    {from} --> {to}: {events}").expect("memory");
    }
    let left: BTreeSet<_> = rows.iter().map(|row| row.from).collect();
    for last in distinct(rows.iter().map(|row| row.to)) {
        if let Some(last) = last.filter(|last| !left.contains(&Some(*last))) {
            writeln!(text, "    {last} --> [*]").expect("memory");
        }
    }
    text + "```\n"
}

/// One line for all states in which the same happens with the same end.
fn table(machine: &Machine) -> String {
    let rows = machine.transitions;
    let stays = |row: &Transition| row.from == row.to;
    let what = |row: &Transition| (row.happens, row.event, row.to.filter(|_| !stays(row)));
    let mut text = "| From | What happens | To | Event |\n|---|---|---|---|\n".to_owned();
    for found in distinct(rows.iter().map(what)) {
        let alike = || rows.iter().filter(|row| what(row) == found);
        let from = distinct(alike().map(|row| state(row.from))).join(", ");
        let to = distinct(alike().map(|row| state(row.to))).join(", ");
        let (happens, event, _) = found;
        writeln!(text, "| {from} | {happens} | {to} | `{event}` |").expect("memory");
    }
    text
}

fn drawn(machine: &Machine) -> String {
    format!("\n{}\n{}\n", diagram(machine), table(machine))
}

#[test]
fn state_machines_are_drawn_as_the_engine_has_them() {
    let path = page("patterns.md");
    let text = fs::read_to_string(&path).expect("docs/patterns.md");
    let mut written = text.clone();
    for machine in MACHINES {
        let begin = format!("<!-- table of transitions: {} -->\n", machine.name);
        let at = written
            .find(&begin)
            .unwrap_or_else(|| panic!("docs/patterns.md lacks {begin}"));
        let from = at + begin.len();
        let len = written[from..].find(END).expect("an end of the table");
        written.replace_range(from..from + len, &drawn(machine));
    }
    if std::env::var_os("HALLWARD_BLESS").is_some() {
        fs::write(&path, written).expect("writable");
        return;
    }
    assert_eq!(
        text, written,
        "if the change is meant: HALLWARD_BLESS=1 cargo test --test it patterns::page"
    );
}

/// A row of the grammar as the protocol's table has it.
fn topic_line(row: &TopicRow, before: Option<&str>) -> String {
    let levels = |wanted: &dyn Fn(bool) -> bool| {
        let named = row
            .levels
            .iter()
            .filter(|(_, is_optional)| wanted(*is_optional));
        named
            .map(|(name, _)| format!("/{{{name}}}"))
            .collect::<String>()
    };
    let (short, long) = (levels(&|is_optional| !is_optional), levels(&|_| true));
    let words = row.words;
    let mut topics = format!("`{words}{short}`");
    if long != short {
        write!(topics, ", `{words}{long}`").expect("memory");
    }
    let kind = match row.kind {
        TopicKind::Command => "send",
        TopicKind::Relayed => "pass on",
        TopicKind::Gateway => "receive",
    };
    let mark = match row.kind {
        TopicKind::Gateway if row.has(TopicMark::Retained) => ", retained",
        TopicKind::Relayed if row.has(TopicMark::Directed) => ", stored",
        _ => "",
    };
    let pattern = Some(row.pattern()).filter(|pattern| Some(*pattern) != before);
    let pattern = pattern.unwrap_or_default();
    format!(
        "| {pattern} | {topics} | {kind}{mark} | {} |\n",
        row.carries.trim()
    )
    .replace("|  |", "| |")
}

#[test]
fn topics_are_listed_as_the_grammar_has_them() {
    const HEAD: &str = "| Pattern | Topic after `rooms/{room}/` | | Carries |\n|---|---|---|---|\n";
    let path = page("protocol.md");
    let text = fs::read_to_string(&path).expect("docs/protocol.md");
    let from = text
        .find(HEAD)
        .expect("docs/protocol.md has a table of topics")
        + HEAD.len();
    let len = text[from..].find("\n\n").expect("an end of the table") + 1;
    let (mut lines, mut before) = (String::new(), None);
    for row in Topic::ROWS {
        lines += &topic_line(row, before);
        before = Some(row.pattern());
    }
    let mut written = text.clone();
    written.replace_range(from..from + len, &lines);
    if std::env::var_os("HALLWARD_BLESS").is_some() {
        fs::write(&path, written).expect("writable");
        return;
    }
    assert_eq!(
        text, written,
        "if the change is meant: HALLWARD_BLESS=1 cargo test --test it patterns::page"
    );
}

#[test]
fn every_event_is_listed_where_the_protocol_lists_events() {
    let text = fs::read_to_string(page("protocol.md")).expect("docs/protocol.md");
    let rows = MACHINES.iter().flat_map(|machine| machine.transitions);
    let events: BTreeSet<&str> = rows.map(|row| row.event).chain(OTHER_EVENTS).collect();
    for event in events {
        let (category, name) = event.split_once('.').expect("pattern.transition");
        let heading = format!("| `{category}` | `{category}.");
        let line = text.lines().find(|line| line.starts_with(&heading));
        let line = line.unwrap_or_else(|| panic!("no line of events of {category}"));
        let listed = [format!("`{event}`"), format!("`.{name}`")];
        assert!(listed.iter().any(|one| line.contains(one)), "{event}");
    }
}

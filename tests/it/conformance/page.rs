//! Holds `docs/conformance.md` equal to the tests: every numbered statement of both specifications
//! is in its table once, and has either the tests that name it or a reason why there is none.
//!
//! `HALLWARD_BLESS=1 cargo test --test it conformance::page` writes the tests' names into the
//! tables. Reasons are written by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many statements each version numbers, in its Appendix B.
const STATEMENTS: [(&str, usize); 2] = [("3.1.1", 141), ("5.0", 251)];

type Clause = (&'static str, String);

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md")
}

/// A test and the clauses that the line above it names.
#[derive(Debug)]
struct Shown {
    /// `module::function`, from `tests/it`.
    test: String,
    clauses: BTreeSet<Clause>,
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut waiting = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            waiting.extend(entries.map(|entry| entry.expect("readable").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module = path
                .strip_prefix(&root)
                .expect("below the root")
                .with_extension("");
            let module = module.to_string_lossy().replace(['/', '\\'], "::");
            let text = fs::read_to_string(&path).expect("text");
            found.push((module.trim_end_matches("::mod").to_owned(), text));
        }
    }
    found.sort();
    found
}

/// The clauses that a comment names: ids behind the version that they are of.
fn clauses(comment: &str) -> BTreeSet<Clause> {
    let mut version = None;
    let mut clauses = BTreeSet::new();
    for word in comment.split_whitespace() {
        match word {
            "3.1.1:" => version = Some("3.1.1"),
            "5.0:" => version = Some("5.0"),
            _ => {
                let id = word.trim_end_matches([',', '.']);
                if let (Some(version), true) = (version, id.starts_with("MQTT-")) {
                    clauses.insert((version, id.to_owned()));
                }
            }
        }
    }
    clauses
}

fn tests() -> Vec<Shown> {
    let mut shown = Vec::new();
    for (module, text) in sources() {
        let mut comment = String::new();
        let mut is_test = false;
        for line in text.lines() {
            if let Some(words) = line.strip_prefix("/// ") {
                comment.push_str(words);
                comment.push(' ');
            } else if line == "#[test]" {
                is_test = true;
            } else if let Some(rest) = line.strip_prefix("fn ") {
                let name = rest.split('(').next().unwrap_or_default();
                let clauses = clauses(&comment);
                if is_test && !clauses.is_empty() {
                    shown.push(Shown {
                        test: format!("{module}::{name}"),
                        clauses,
                    });
                }
                (comment, is_test) = (String::new(), false);
            } else if !line.starts_with("#[") {
                (comment, is_test) = (String::new(), false);
            }
        }
    }
    shown
}

/// A row of the tables.
#[derive(Debug)]
struct Row {
    clause: Clause,
    asks: String,
    shown: String,
}

impl Row {
    fn line(&self) -> String {
        format!("| {} | {} | {} |", self.clause.1, self.asks, self.shown)
    }
}

fn row(version: &'static str, line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix("| MQTT-")?.split(" | ").collect();
    let [id, asks, shown] = cells[..] else {
        panic!("three cells expected: {line}");
    };
    Some(Row {
        clause: (version, format!("MQTT-{id}")),
        asks: asks.to_owned(),
        shown: shown
            .trim_end_matches(" |")
            .trim_end_matches('|')
            .trim()
            .to_owned(),
    })
}

/// The version that a heading begins the table of.
fn table(line: &str) -> Option<&'static str> {
    let heading = line.strip_prefix("## MQTT ")?;
    STATEMENTS
        .iter()
        .map(|(version, _)| *version)
        .find(|version| heading == *version)
}

/// What the last cell of a clause that tests show must say.
fn cell(tests: &[&str]) -> String {
    let names: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
    names.join(", ")
}

#[test]
fn every_clause_has_its_tests_or_a_reason() {
    let mut shown: BTreeMap<Clause, Vec<String>> = BTreeMap::new();
    for test in tests() {
        for clause in test.clauses {
            shown.entry(clause).or_default().push(test.test.clone());
        }
    }
    let bless = std::env::var_os("HALLWARD_BLESS").is_some();
    let text = fs::read_to_string(page()).expect("docs/conformance.md");
    let (mut written, mut faults) = (String::new(), Vec::new());
    let mut rows: BTreeSet<Clause> = BTreeSet::new();
    let mut version = None;
    for line in text.lines() {
        version = table(line).or(version);
        let mut line = line.to_owned();
        if let Some(mut row) = version.and_then(|version| row(version, &line)) {
            if !rows.insert(row.clause.clone()) {
                faults.push(format!("{:?} stands there twice", row.clause));
            }
            let mut tests: Vec<&str> = shown
                .get(&row.clause)
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect();
            tests.sort_unstable();
            let names_tests = row.shown.starts_with('`');
            let expected = cell(&tests);
            if tests.is_empty() && (row.shown.is_empty() || names_tests) {
                faults.push(format!("{:?}: neither a test nor a reason", row.clause));
            } else if !tests.is_empty() && row.shown != expected {
                if !bless {
                    faults.push(format!("{:?}: shown by {expected}", row.clause));
                }
                row.shown = expected;
                line = row.line();
            }
        }
        written.push_str(&line);
        written.push('\n');
    }
    faults.extend(
        shown
            .keys()
            .filter(|clause| !rows.contains(clause))
            .map(|clause| format!("{clause:?} is in no table")),
    );
    for (version, expected) in STATEMENTS {
        let count = rows.iter().filter(|(of, _)| *of == version).count();
        if count != expected {
            faults.push(format!("{version}: {count} rows, {expected} expected"));
        }
    }
    if bless {
        fs::write(page(), written).expect("writable");
    }
    assert!(
        faults.is_empty(),
        "\n{}\nHALLWARD_BLESS=1 writes the tests' names.\n",
        faults.join("\n")
    );
}

#[test]
fn tests_are_named_by_a_clause_that_they_show() {
    let mut faults = Vec::new();
    for Shown { test, clauses } in tests() {
        let Some(name) = test
            .strip_prefix("conformance::")
            .and_then(|rest| rest.split("::").nth(1))
        else {
            continue;
        };
        let named = |(_, id): &Clause| {
            let prefix = format!("mqtt_{}_", id["MQTT-".len()..].replace(['.', '-'], "_"));
            name.starts_with(&prefix)
        };
        if !clauses.iter().any(named) {
            faults.push(format!("{test} is about {clauses:?}"));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

//! Habits of the code and the pages that a machine can check. `ARCHITECTURE.md` says why the import
//! rules are as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAX_LINES: usize = 500;
/// Of a file of tests: a scenario is read by itself.
const MAX_TEST_LINES: usize = 600;

/// How wide comments and prose are, in characters. Tables, examples and what cannot be broken may
/// be wider.
const WIDTH: usize = 100;

/// Longer files, each with its own bound and a reason.
const LONGER: &[(&str, usize)] = &[
    // One life of a task, as the model has it.
    ("tests/it/sim/model/tasks.rs", 640),
    ("src/config/load/tests.rs", 700),
];

/// Who may import whom, within `crate::`. What is not named here may import nothing of ours.
const IMPORTS: &[(&str, &[&str])] = &[
    ("metrics", &[]),
    ("log_limiter", &["metrics"]),
    ("slack", &[]),
    ("setting", &[]),
    ("schema", &[]),
    ("wire", &[]),
    ("agent", &["wire"]),
    ("clock", &["setting", "wire"]),
    ("engine", &["metrics", "schema", "setting", "slack", "wire"]),
    ("ledger", &["metrics", "setting"]),
    ("live", &["metrics", "setting", "slack", "wire"]),
    (
        "desk",
        &[
            "clock",
            "metrics",
            "log_limiter",
            "setting",
            "slack",
            "wire",
            "engine",
            "ledger",
            "live",
        ],
    ),
    ("auth", &["metrics", "log_limiter", "setting", "wire"]),
    (
        "mqtt",
        &[
            "clock",
            "metrics",
            "log_limiter",
            "setting",
            "wire",
            "auth",
            "desk",
            "live",
        ],
    ),
    (
        "bridge",
        &["clock", "metrics", "log_limiter", "setting", "wire", "desk"],
    ),
    ("http", &["metrics", "setting"]),
    (
        "config",
        &[
            "auth", "bridge", "clock", "desk", "engine", "http", "ledger", "live", "mqtt",
            "setting", "wire",
        ],
    ),
    (
        "runtime",
        &[
            "clock",
            "metrics",
            "log_limiter",
            "schema",
            "wire",
            "engine",
            "ledger",
            "live",
            "desk",
            "auth",
            "mqtt",
            "bridge",
            "http",
            "config",
        ],
    ),
    ("cli", &["wire", "agent", "auth", "config", "runtime"]),
];

/// Names that several types have, by why they still do. A new type's name is no other's, and the
/// last list only shrinks.
const SHARED_NAMES: &[(&str, &[&str])] = &[
    (
        "each command of the line has its arguments and subcommands, named as clap's pages do",
        &["Args", "Command"],
    ),
    (
        "what a message says, and what the engine or the desk makes of it",
        &["Op", "Status", "Task", "Verdict"],
    ),
];

/// What may stand at the root: where a newcomer looks first.
const ROOT: &[&str] = &[
    ".cargo",
    ".ci",
    ".git",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "benches",
    "clippy.toml",
    "config",
    "deny.toml",
    "docs",
    "examples",
    "findings",
    "fuzz",
    "justfile",
    "packaging",
    "proptest-regressions",
    "rustfmt.toml",
    "schemas",
    "sdk",
    "src",
    "tests",
];

struct File {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

impl File {
    /// The text without the tests at its end.
    fn code(&self) -> &str {
        let end = self.text.find("#[cfg(test)]\nmod tests {");
        &self.text[..end.unwrap_or(self.text.len())]
    }

    fn is_test(&self) -> bool {
        !self.path.starts_with("src/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folders: &[&str], extension: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            waiting.extend(entries.map(|entry| entry.expect("readable").path()));
        } else if path.extension().is_some_and(|own| own == extension) {
            let relative = path.strip_prefix(root()).expect("below the root");
            found.push(File {
                path: relative.to_string_lossy().replace('\\', "/"),
                text: fs::read_to_string(&path).expect("text"),
            });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn rust() -> Vec<File> {
    let folders = [
        "src",
        "tests",
        "benches",
        "examples",
        "fuzz/src",
        "fuzz/fuzz_targets",
    ];
    files(&folders, "rs")
}

fn pages() -> Vec<File> {
    let mut pages = files(&["docs", "config", "examples"], "md");
    let here = fs::read_dir(root()).expect("readable");
    for path in here.map(|entry| entry.expect("readable").path()) {
        if path.extension().is_some_and(|own| own == "md") {
            let name = path.file_name().expect("a file").to_string_lossy();
            pages.push(File {
                path: name.into_owned(),
                text: fs::read_to_string(&path).expect("text"),
            });
        }
    }
    pages
}

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn files_stay_short_enough_to_read() {
    let bound = |file: &File| {
        let longer = LONGER.iter().find(|(long, _)| *long == file.path);
        let usual = if file.is_test() {
            MAX_TEST_LINES
        } else {
            MAX_LINES
        };
        longer.map_or(usual, |(_, bound)| *bound)
    };
    let too_long = |file: &File| {
        let lines = file.code().lines().count();
        let bound = bound(file);
        (lines > bound).then(|| format!("{}: {lines} lines, {bound} at most", file.path))
    };
    none(rust().iter().filter_map(too_long).collect());
}

/// Whether a line of prose could be broken and is wider than the rest.
fn is_wide(line: &str) -> bool {
    let text = line.trim_start();
    let (_, rest) = text.split_once(' ').unwrap_or_default();
    let is_mark = |word: &str| ["-", "*", ">", "//", "///", "//!"].contains(&word);
    let first = text.split(' ').next().unwrap_or_default();
    let breaks = match is_mark(first) {
        true => rest.trim_start().contains(' '),
        false => text.contains(' '),
    };
    line.chars().count() > WIDTH && breaks && !rest.starts_with('|')
}

#[test]
fn comments_and_prose_have_one_width() {
    let mut faults = Vec::new();
    for file in rust() {
        let mut is_example = false;
        for (index, line) in file.text.lines().enumerate() {
            let text = line.trim_start();
            is_example ^= text.starts_with("//") && text.contains("```");
            if text.starts_with("//") && !is_example && is_wide(line) {
                faults.push(format!("{}:{}: {WIDTH} at most", file.path, index + 1));
            }
        }
    }
    for page in pages() {
        let mut is_example = false;
        for (index, line) in page.text.lines().enumerate() {
            let text = line.trim_start();
            is_example ^= text.starts_with("```");
            let is_prose = !is_example && !text.starts_with(['|', '#', '[', '<']);
            if is_prose && !line.starts_with("    ") && is_wide(line) {
                faults.push(format!("{}:{}: {WIDTH} at most", page.path, index + 1));
            }
        }
    }
    none(faults);
}

#[test]
fn nothing_stands_at_the_root_that_nobody_would_look_for_there() {
    // Git names what is kept; where there is no git, in a published package, there is nothing to
    // see.
    let kept = Command::new("git")
        .args(["ls-tree", "--name-only", "HEAD"])
        .current_dir(root())
        .output();
    let Ok(kept) = kept else { return };
    let kept = String::from_utf8(kept.stdout).expect("text");
    let stray = kept.lines().filter(|name| !ROOT.contains(name));
    none(stray.map(|name| format!("{name}: not in ROOT")).collect());
}

#[test]
fn every_module_says_what_it_is() {
    let silent = |file: &File| {
        let silent = !file.text.starts_with("//!");
        silent.then(|| format!("{}: does not open with //!", file.path))
    };
    none(rust().iter().filter_map(silent).collect());
}

/// The modules of ours that a text names, with the line: `crate::name`, and `use crate::{a, b}`.
fn named_modules(code: &str) -> BTreeSet<(usize, String)> {
    let mut named = BTreeSet::new();
    for (index, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split([',', '}']).map(str::trim).collect(),
                None => vec![rest],
            };
            for name in names {
                let name: String = name
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                if name.starts_with(|c: char| c.is_ascii_lowercase()) {
                    named.insert((index + 1, name));
                }
            }
        }
    }
    named
}

#[test]
fn nothing_imports_upward() {
    let mut faults = Vec::new();
    for file in rust().into_iter().filter(|file| !file.is_test()) {
        let below = file.path.strip_prefix("src/").expect("in src");
        let module = below.split(['/', '.']).next().expect("split yields one");
        if matches!(module, "lib" | "main") {
            continue;
        }
        let allowed = IMPORTS.iter().find(|(name, _)| *name == module);
        let allowed = allowed.map_or(&[][..], |(_, allowed)| allowed);
        for (line, name) in named_modules(file.code()) {
            if name != module && !allowed.contains(&name.as_str()) {
                faults.push(format!(
                    "{}:{line}: {module} must not import {name}",
                    file.path
                ));
            }
        }
    }
    none(faults);
}

#[test]
fn what_may_be_imported_is_imported() {
    let files: Vec<File> = rust().into_iter().filter(|file| !file.is_test()).collect();
    let mut unused = Vec::new();
    for (module, imports) in IMPORTS {
        let own = files.iter().filter(|file| {
            let below = file.path.strip_prefix("src/");
            below.and_then(|path| path.split(['/', '.']).next()) == Some(module)
        });
        let named: BTreeSet<String> = own
            .flat_map(|file| named_modules(file.code()))
            .map(|(_, name)| name)
            .collect();
        let idle = imports.iter().filter(|import| !named.contains(**import));
        unused.extend(idle.map(|import| format!("{module} does not import {import}")));
    }
    none(unused);
}

/// The type that a line defines, in a module or in a macro that makes one.
fn defined_type(line: &str) -> Option<&str> {
    let in_macro = line.strip_prefix("    ");
    let in_macro = in_macro.filter(|line| line.starts_with("pub"));
    let line = in_macro.unwrap_or(line);
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let (kind, rest) = line.split_once(' ')?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &rest[..end.unwrap_or(rest.len())];
    matches!(kind, "struct" | "enum" | "trait" | "type" | "union").then_some(name)
}

#[test]
fn a_types_name_means_one_thing() {
    let mut defined = BTreeMap::<String, Vec<String>>::new();
    for file in rust().into_iter().filter(|file| !file.is_test()) {
        for name in file.code().lines().filter_map(defined_type) {
            let files = defined.entry(name.to_owned()).or_default();
            files.push(file.path.clone());
        }
    }
    defined.retain(|_, files| files.len() > 1);
    let excused = SHARED_NAMES.iter().flat_map(|(_, names)| *names);
    let excused: BTreeSet<&str> = excused.copied().collect();
    let shared = defined
        .iter()
        .filter(|(name, _)| !excused.contains(name.as_str()))
        .map(|(name, files)| format!("{name}: {}", files.join(", ")));
    let past = excused
        .iter()
        .filter(|name| !defined.contains_key(**name))
        .map(|name| format!("{name}: one type's alone by now, take it from SHARED_NAMES"));
    none(shared.chain(past).collect());
}

#[test]
fn import_rules_have_no_circle() {
    for (index, (module, imports)) in IMPORTS.iter().enumerate() {
        let earlier: Vec<_> = IMPORTS[..index].iter().map(|(name, _)| *name).collect();
        for import in *imports {
            assert!(earlier.contains(import), "{module} before {import}");
        }
    }
}

#[test]
fn nothing_is_left_to_do_and_no_unwrap_is_excused() {
    // Put together here, so that this file does not find itself. Clippy finds the unwraps: it knows
    // what is a test.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("(clippy::", "unwrap_used"),
    ];
    let mut faults = Vec::new();
    for file in rust() {
        for (index, line) in file.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                faults.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    none(faults);
}

/// What pages link to: the text between `](` and `)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](")
        .filter_map(|(at, _)| text[at + 2..].split_once(')'))
        .map(|(target, _)| target)
}

/// A heading as the fragment of a link names it.
fn fragment(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn has_heading(page: &str, wanted: &str) -> bool {
    page.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| fragment(line) == wanted)
}

#[test]
fn links_between_pages_resolve() {
    let mut faults = Vec::new();
    for page in pages() {
        let own = root().join(&page.path);
        let folder = own.parent().expect("in a folder");
        for link in links(&page.text).filter(|link| !link.contains("://")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => own.clone(),
                path => folder.join(path),
            };
            let found = match heading {
                "" => target.exists(),
                heading => {
                    fs::read_to_string(&target).is_ok_and(|text| has_heading(&text, heading))
                }
            };
            if !found {
                faults.push(format!("{}: no {link}", page.path));
            }
        }
    }
    none(faults);
}

#[test]
fn readme_has_two_set_up_commands_and_ci_runs_the_second() {
    let readme = fs::read_to_string(root().join("README.md")).expect("exists");
    let set_up = readme.split("```sh\n").nth(1).expect("a block of commands");
    let (set_up, _) = set_up.split_once("```").expect("the block ends");
    let commands: Vec<_> = set_up.lines().map(|line| line.split('#').next()).collect();
    let commands: Vec<_> = commands.into_iter().flatten().map(str::trim).collect();
    assert_eq!(commands, ["cargo run --release -- demo", "cargo test"]);
    let ci = fs::read_to_string(root().join(".ci/run")).expect("exists");
    assert!(ci.lines().any(|line| line == "cargo test"), "{ci}");
}

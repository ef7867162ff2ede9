//! The table of `docs/security-tests.md` names tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every test function of the repository, as `module::…::name` would end.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = vec![root.join("src"), root.join("tests/it")];
    let mut found = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            waiting.extend(entries.map(|entry| entry.expect("readable").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" || line == "#[tokio::test]" {
                    is_test = true;
                } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                    let name = rest.split('(').next().expect("split yields one");
                    found.insert(name.to_owned());
                    is_test = false;
                }
            }
        }
    }
    found
}

#[test]
fn security_table_names_existing_tests() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security-tests.md");
    let page = fs::read_to_string(page).expect("it is there");
    let tests = tests();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for row in rows.skip(1) {
        let last = row.trim_end_matches('|').rsplit('|').next().expect("cells");
        for name in last.split('`').skip(1).step_by(2) {
            assert!(
                tests.contains(name),
                "{name}, which the table names, is no test"
            );
            named += 1;
        }
    }
    assert!(named > 20, "only {named} tests are named");
}

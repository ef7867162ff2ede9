//! What files need of one another, computed from their text. Among the files of the engine and of
//! the desk are no circles, but that a pattern's files may need one another; and no type has its
//! methods all over the place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by their path, `engine::handoff::task`, with what they import.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Every file of a folder that is no test, as a module, with its code before its tests.
fn modules(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut waiting: Vec<PathBuf> = vec![root.join(folder)];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            waiting.extend(entries.map(|entry| entry.expect("readable").path()));
            continue;
        }
        let relative = path.strip_prefix(&root).expect("below src");
        let name = relative
            .with_extension("")
            .to_string_lossy()
            .replace(['/', '\\'], "::");
        let name = name.strip_suffix("::mod").unwrap_or(&name).to_owned();
        if !name.split("::").any(|part| part == "tests") {
            let text = fs::read_to_string(&path).expect("text");
            let code = text.split("#[cfg(test)]\nmod tests {").next();
            found.insert(name, code.unwrap_or_default().to_owned());
        }
    }
    found
}

/// The paths in the braces of a `use`, each whole.
fn paths(prefix: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inner)) = tree.split_once('{') else {
        return vec![format!("{prefix}{tree}")];
    };
    let inner = inner.strip_suffix('}').expect("braces are closed");
    let prefix = format!("{prefix}{before}");
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[start..at].trim();
                if !part.is_empty() {
                    found.extend(paths(&prefix, part));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// Where a path in a module leads, from the top.
fn absolute(module: &str, path: &str) -> Vec<String> {
    let mut base: Vec<&str> = Vec::new();
    let mut rest: Vec<&str> = path.split("::").map(str::trim).collect();
    if rest[0] == "crate" {
        rest.remove(0);
    } else {
        // `super` goes up from here; anything else may be a module below.
        base = module.split("::").collect();
        while rest.first() == Some(&"super") {
            base.pop();
            rest.remove(0);
        }
    }
    base.into_iter().chain(rest).map(str::to_owned).collect()
}

/// Paths in the middle of the code, `super::port::Interest`; those of a `use` with braces are not
/// among them.
fn inline_paths(code: &str) -> impl Iterator<Item = String> {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | ':');
    code.split(move |letter| !is_part(letter))
        .filter(|path| path.starts_with("super::") || path.starts_with("crate::"))
        .filter(|path| !path.ends_with(':'))
        .map(str::to_owned)
}

fn imports(folder: &str) -> Imports {
    let modules = modules(folder);
    let of = |module: &String, code: &String| {
        let code: String = code
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default())
            .collect::<Vec<_>>()
            .join("\n");
        let uses = code.match_indices("use ").filter_map(|(at, _)| {
            let begins = at == 0 || code[..at].ends_with(['\n', ' ']);
            let (tree, _) = code[at + 4..].split_once(';')?;
            begins.then(|| tree.to_owned())
        });
        let mut found = BTreeSet::new();
        let paths = uses.flat_map(|tree| paths("", &tree));
        let visible_in = |path: &str| code.contains(&format!("pub(in {path})"));
        let inline = inline_paths(&code).filter(|path| !visible_in(path));
        for path in paths.chain(inline) {
            let whole = absolute(module, &path);
            let prefixes = (1..=whole.len()).rev().map(|len| whole[..len].join("::"));
            let target = prefixes.into_iter().find(|name| modules.contains_key(name));
            found.extend(target.filter(|target| target != module));
        }
        found
    };
    modules
        .iter()
        .map(|(module, code)| (module.clone(), of(module, code)))
        .collect()
}

/// Everything that a module needs, and what that needs.
fn needs(imports: &Imports, module: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![module.to_owned()];
    while let Some(next) = waiting.pop() {
        for import in &imports[&next] {
            if found.insert(import.clone()) {
                waiting.push(import.clone());
            }
        }
    }
    found
}

/// What each module of a folder needs.
fn all_needs(folder: &str) -> Imports {
    let imports = imports(folder);
    let modules = imports.keys();
    modules
        .map(|module| (module.clone(), needs(&imports, module)))
        .collect()
}

/// What a module is part of: a folder of the engine, or itself.
fn part(module: &str) -> String {
    module.split("::").take(2).collect::<Vec<_>>().join("::")
}

#[test]
fn only_files_of_one_pattern_need_one_another() {
    let needs = all_needs("engine");
    assert!(
        needs["engine::handoff"].contains("engine::record"),
        "imports are found"
    );
    for (module, needed) in &needs {
        for other in needed {
            let both = needs[other].contains(module);
            assert!(
                !both || part(module) == part(other),
                "{module} and {other} need each other"
            );
        }
    }
}

#[test]
fn no_two_files_of_the_desk_need_one_another() {
    let needs = all_needs("desk");
    assert!(
        needs["desk::core::session"].contains("desk::core"),
        "imports are found"
    );
    let circle: Vec<_> = needs
        .iter()
        .filter(|(module, needed)| needed.contains(*module))
        .map(|(module, _)| module)
        .collect();
    assert!(circle.is_empty(), "in a circle: {circle:?}");
}

#[test]
fn no_pattern_knows_another_or_the_room() {
    let imports = imports("engine");
    let patterns: BTreeSet<String> = imports
        .keys()
        .filter_map(|module| module.strip_suffix("::pattern")?.strip_prefix("engine::"))
        .map(str::to_owned)
        .collect();
    assert!(patterns.contains("handoff"), "{patterns:?}");
    for (module, imported) in &imports {
        let own = part(module);
        let Some(own) = own
            .strip_prefix("engine::")
            .filter(|own| patterns.contains(*own))
        else {
            continue;
        };
        let others = patterns
            .iter()
            .map(String::as_str)
            .chain(["room"])
            .filter(|other| *other != own);
        for other in others.map(|other| format!("engine::{other}")) {
            assert!(
                imported.iter().all(|import| part(import) != other),
                "{module} imports {other}"
            );
        }
    }
}

/// In so many files a type may have its methods. Where they are in more, nobody sees all that may
/// be done with what it holds.
const MOST_FILES: usize = 3;

const A_CLIENT: &str =
    "one client's half of the protocol: one struct in a folder of its own, a file for each concern";
const A_PATTERN: &str =
    "a pattern: one struct in a folder of its own, in which each command has its file";

/// Types that have them in more, and why.
const WIDER: [(&str, &str); 5] = [
    ("engine::approve::Approvals", A_PATTERN),
    ("engine::blackboard::Blackboard", A_PATTERN),
    ("engine::handoff::Handoff", A_PATTERN),
    ("engine::tools::Tools", A_PATTERN),
    ("mqtt::session::ClientSession", A_CLIENT),
];

/// The types to which a module adds methods of their own, those of traits left out.
fn extended(code: &str) -> impl Iterator<Item = &str> {
    let blocks = code.lines().filter_map(|line| line.strip_prefix("impl"));
    blocks
        .filter(|block| !block.contains(" for "))
        .map(|block| {
            // Past the parameters of the block itself.
            let own = block
                .strip_prefix('<')
                .and_then(|rest| rest.split_once("> "));
            let path = own.map_or(block, |(_, path)| path).trim_start();
            let end = path.find(|letter: char| !letter.is_alphanumeric());
            &path[..end.unwrap_or(path.len())]
        })
}

/// A type by its path: of those that have the name, the one that is defined next to where it is
/// used.
fn type_at(modules: &BTreeMap<String, String>, module: &str, name: &str) -> String {
    let defines = |code: &str| {
        ["struct", "enum"].iter().any(|kind| {
            let definition = format!("{kind} {name}");
            code.match_indices(&definition).any(|(at, found)| {
                let rest = &code[at + found.len()..];
                !rest.starts_with(|letter: char| letter.is_alphanumeric())
            })
        })
    };
    let distance = |other: &str| {
        let both = module.split("::").zip(other.split("::"));
        let shared = both.take_while(|(own, other)| own == other).count();
        other.split("::").count() + module.split("::").count() - 2 * shared
    };
    let homes = modules.iter().filter(|(_, code)| defines(code));
    let home = homes
        .map(|(home, _)| home)
        .min_by_key(|home| distance(home));
    format!("{}::{name}", home.map_or("?", String::as_str))
}

#[test]
fn no_type_has_its_methods_all_over_the_place() {
    let modules = modules("");
    let mut files: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (module, code) in &modules {
        for name in extended(code) {
            let found = files.entry(type_at(&modules, module, name)).or_default();
            found.insert(module);
        }
    }
    assert!(files["desk::core::Desk"].len() > 1, "methods are found");
    let wide: BTreeSet<&str> = files
        .iter()
        .filter(|(_, files)| files.len() > MOST_FILES)
        .map(|(name, _)| name.as_str())
        .collect();
    let excused: BTreeSet<&str> = WIDER.iter().map(|(name, _)| *name).collect();
    let listed: Vec<_> = wide.symmetric_difference(&excused).collect();
    assert!(
        listed.is_empty(),
        "in more files than WIDER says, or in fewer: {listed:?}"
    );
}

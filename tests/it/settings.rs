//! Holds `config/hallward.toml`, the tables of `docs/limits.md`, and what takes a restart in
//! `docs/configuration.md` equal to the rows of the settings.
//!
//! `HALLWARD_BLESS=1 cargo test --test it settings::` writes them anew. The words around them are
//! written by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hallward::bridge::{BridgeConfig, BridgeRule};
use hallward::config::{Config, LISTS, SECTIONS};
use hallward::setting::{Row, Section, Size, Span};
use serde_json::Value;

/// Every setting: its section, its row and its default.
fn settings() -> Vec<(&'static str, &'static Row, Value)> {
    let defaults = serde_json::to_value(Config::default()).expect("a configuration");
    let of_section = |section: &'static Section| {
        let rows = section.rows.iter();
        rows.map(|row| (section.name, row, defaults[section.name][row.key].clone()))
    };
    SECTIONS.iter().flat_map(of_section).collect()
}

/// Every setting of an entry of a list of tables.
fn of_lists() -> Vec<(&'static str, &'static Row, Value)> {
    let value = |entry: Result<Value, serde_json::Error>| entry.expect("an entry");
    let of_list = |list: &'static Section| {
        let defaults = match list.name {
            "bridge" => value(serde_json::to_value(BridgeConfig::default())),
            "bridge.rule" => value(serde_json::to_value(BridgeRule::default())),
            other => panic!("what are the defaults of {other}?"),
        };
        let rows = list.rows.iter();
        rows.map(move |row| (list.name, row, defaults[row.key].clone()))
    };
    LISTS.iter().flat_map(of_list).collect()
}

/// Settings and those of lists.
fn everything() -> Vec<(&'static str, &'static Row, Value)> {
    settings().into_iter().chain(of_lists()).collect()
}

/// A value as people write it.
fn written(value: &Value) -> String {
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ];
    let of_span = |span: Span| {
        let ms = span.ms();
        let unit = units
            .into_iter()
            .find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit));
        let (name, unit) = unit.unwrap_or(if ms == 0 { ("s", 1) } else { ("ms", 1) });
        format!("\"{}{name}\"", ms / unit)
    };
    match value {
        Value::String(text) => text.parse().map_or_else(|()| value.to_string(), of_span),
        Value::Number(number) if number.as_u64() >= Some(10_000) => grouped(&number.to_string()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// Digits in groups of three.
fn grouped(digits: &str) -> String {
    let (head, tail) = digits.split_at(digits.len() % 3);
    let groups = tail.as_bytes().chunks(3).map(String::from_utf8_lossy);
    let head = (!head.is_empty()).then(|| head.into());
    head.into_iter().chain(groups).collect::<Vec<_>>().join("_")
}

/// Writes the file, or says that it is not as it would be.
#[track_caller]
fn hold(path: &str, wanted: impl FnOnce(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&path).expect("readable");
    let wanted = wanted(&text);
    if std::env::var_os("HALLWARD_BLESS").is_some() {
        fs::write(&path, wanted).expect("writable");
        return;
    }
    assert_eq!(
        text, wanted,
        "if the change is meant: HALLWARD_BLESS=1 cargo test --test it settings::"
    );
}

/// The text with other rows below the head of a table.
fn with_rows(text: &str, head: &str, rows: &str) -> String {
    let from = text.find(head).unwrap_or_else(|| panic!("no {head}")) + head.len();
    let end = text[from..]
        .find("\n\n")
        .map_or(text.len(), |at| from + at + 1);
    format!("{}{rows}{}", &text[..from], &text[end..])
}

fn comment(doc: &[&str]) -> String {
    let lines = doc
        .iter()
        .filter(|line| !line.trim_start().starts_with("```"));
    lines.map(|line| format!("#{line}\n")).collect()
}

#[test]
fn the_shipped_file_has_every_setting() {
    hold("config/hallward.toml", |text| {
        let (head, _) = text.split_once("\n\n").expect("a head");
        let mut file = format!("{head}\n");
        let mut section = "";
        for (name, row, default) in settings() {
            if name != section {
                let about = SECTIONS.iter().find(|section| section.name == name);
                let about = comment(about.expect("it has one").doc);
                let _ = write!(file, "\n{about}[{name}]\n");
                section = name;
            }
            let (about, key) = (comment(row.doc), row.key);
            let mark = row.restart.map_or("", |_| "  # restart");
            // A table is for names of the operator's own.
            let _ = match default.is_object() {
                true => writeln!(file, "\n{about}[{name}.{key}]"),
                false => writeln!(file, "{about}{key} = {}{mark}", written(&default)),
            };
        }
        // Lists of tables, turned off: an entry of each, which is a comment.
        section = "";
        for (name, row, default) in of_lists() {
            if name != section {
                let about = LISTS.iter().find(|list| list.name == name);
                let about = comment(about.expect("it has one").doc);
                let _ = write!(file, "\n{about}# [[{name}]]\n");
                section = name;
            }
            // Its entries come below.
            if !LISTS
                .iter()
                .any(|list| list.name == format!("{name}.{}", row.key))
            {
                let (about, key, value) = (comment(row.doc), row.key, written(&default));
                let _ = writeln!(file, "{about}# {key} = {value}");
            }
        }
        file
    });
}

#[test]
fn the_page_of_limits_has_every_limit() {
    const HEAD: &str = "| Key | Default | When it is reached | Metric |\n|---|---|---|---|\n";
    hold("docs/limits.md", |text| {
        // `<!-- limits: mqtt, session.max_sessions -->`: a key that is named stands there, others
        // where their section does.
        let marks = text
            .lines()
            .filter_map(|line| line.strip_prefix("<!-- limits: "));
        let marks: Vec<&str> = marks.map(|mark| mark.trim_end_matches(" -->")).collect();
        let named: Vec<&str> = marks.iter().flat_map(|mark| mark.split(", ")).collect();
        for (section, row, _) in everything() {
            let homeless = row.reached.is_some() && !named.contains(&section);
            assert!(!homeless, "no table of [{section}] for {}", row.key);
        }
        marks.iter().fold(text.to_owned(), |text, mark| {
            let mut rows = String::new();
            for name in mark.split(", ") {
                let of_table = everything().into_iter().filter(|(section, row, _)| {
                    let key = format!("{section}.{}", row.key);
                    key == name || *section == name && !named.contains(&key.as_str())
                });
                for (section, row, default) in of_table {
                    let Some((reached, metrics)) = row.reached else {
                        continue;
                    };
                    let metrics = metrics.split(", ").filter(|metric| !metric.is_empty());
                    let metrics = metrics.map(|name| format!("`hallward_{name}`"));
                    let metrics = metrics.collect::<Vec<_>>().join(", ");
                    let default = written(&default);
                    let line = format!(
                        "| `{section}.{}` | `{default}` | {reached} | {metrics} |\n",
                        row.key
                    );
                    rows += &line.replace("|  |", "| |");
                }
            }
            with_rows(&text, &format!("<!-- limits: {mark} -->\n\n{HEAD}"), &rows)
        })
    });
}

#[test]
fn every_count_and_size_says_what_happens_when_it_is_reached() {
    for (section, row, default) in everything() {
        // MQTT has three.
        if row.key == "max_qos" {
            continue;
        }
        let text = default.as_str().unwrap_or_default();
        let is_size = text.ends_with('B') && text.parse::<Size>().is_ok();
        let is_limit = default.is_u64() || is_size;
        assert_eq!(row.reached.is_some(), is_limit, "{section}.{}", row.key);
    }
}

#[test]
fn the_page_lists_what_takes_a_restart() {
    hold("docs/configuration.md", |text| {
        let mut table: Vec<(&str, Vec<String>)> = Vec::new();
        for (section, row, _) in settings() {
            let Some(why) = row.restart else { continue };
            let key = format!("`{section}.{}`", row.key);
            match table.iter_mut().find(|(known, _)| *known == why) {
                Some((_, keys)) => keys.push(key),
                None => table.push((why, vec![key])),
            }
        }
        let rows = table.iter();
        let rows: String = rows
            .map(|(why, keys)| format!("| {} | {why} |\n", keys.join(", ")))
            .collect();
        with_rows(text, "| Settings | Why |\n|---|---|\n", &rows)
    });
}

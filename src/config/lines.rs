//! Where in a TOML text each key stands, so that whoever is told of a problem finds its place.
//!
//! It reads the text with its spans, so it knows keys however they are written: below headings,
//! dotted, in tables on one line, in lists of tables.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line, from 1, of every key of a text.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<String, usize>);

/// A text that is no TOML.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotToml {
    /// The line, from 1, where that shows.
    pub(super) line: Option<usize>,
    /// What was expected there.
    pub(super) message: String,
}

impl Lines {
    /// The lines of a text.
    ///
    /// # Errors
    /// If it is no TOML.
    pub(super) fn of(text: &str) -> Result<Lines, NotToml> {
        let table = DeTable::parse(text).map_err(|error| NotToml {
            line: error.span().map(|span| line_at(text, span.start)),
            message: error.message().replace('\n', ", "),
        })?;
        let mut lines = Lines::default();
        lines.take_table(text, "", table.get_ref());
        Ok(lines)
    }

    fn take_table(&mut self, text: &str, above: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = match above {
                "" => name.get_ref().to_string(),
                above => format!("{above}.{}", name.get_ref()),
            };
            self.0.insert(key.clone(), line_at(text, name.span().start));
            self.take_value(text, &key, value);
        }
    }

    fn take_value(&mut self, text: &str, key: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.take_table(text, key, table),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let key = format!("{key}[{index}]");
                    self.0.insert(key.clone(), line_at(text, item.span().start));
                    self.take_value(text, &key, item);
                }
            }
            _ => {}
        }
    }

    /// The line of a key such as `mqtt.listen` or `tls.others[1].key`; of one that is not there,
    /// that of what it would be in.
    pub(super) fn find(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            if let Some(line) = self.0.get(key) {
                return Some(*line);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_however_they_are_written() {
        let lines = Lines::of(
            "http.listen = 1\n# [mqtt]\n[ \"mqtt\" ]\n  listen = 2\n'max_packet'=3\n\
             [handoff]\ntypes = { draft = { lease = 1 } }\n\
             [[tls.others]]\nkey = 1\n[[tls.others]]\ncertificate = 1\nkey = 2\n\
             [rooms.room.\"a.b\"]\nlease = 1\n",
        )
        .expect("TOML");
        for (key, line) in [
            ("http.listen", Some(1)),
            ("mqtt", Some(3)),
            ("mqtt.listen", Some(4)),
            ("mqtt.max_packet", Some(5)),
            ("handoff.types.draft.lease", Some(7)),
            ("tls.others[0].key", Some(9)),
            ("tls.others[1]", Some(10)),
            ("tls.others[1].key", Some(12)),
            ("rooms.room.a.b.lease", Some(14)),
            ("rooms.room.a.b.members", Some(13)),
            ("tls.others[1].colour", Some(10)),
            ("data.dir", None),
        ] {
            assert_eq!(lines.find(key), line, "{key}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let problem = Lines::of("[mqtt]\nlisten = \n").expect_err("refused");
        assert_eq!(problem.line, Some(2));
        assert!(!problem.message.contains('\n'), "{}", problem.message);
    }
}

//! What is wrong with a configuration, said so that it can be mended: where, what, and what was
//! probably meant.

use std::fmt;
use std::path::PathBuf;

/// What environment variables that are ours begin with.
pub(super) const PREFIX: &str = "HALLWARD";
/// What stands in them where keys have a dot.
pub(super) const SEPARATOR: &str = "__";

/// The environment variable of a key.
pub(super) fn variable(path: &[String]) -> String {
    let key = path.join(SEPARATOR).to_uppercase();
    format!("{PREFIX}{SEPARATOR}{key}")
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line (from 1) of the configuration file, where it is known.
    File(PathBuf, Option<usize>),
    /// An environment variable.
    Environment(String),
    /// A command-line flag.
    Flag(&'static str),
    /// The value is a default: another one does not agree with it.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Place::File(path, None) => write!(f, "{}", path.display()),
            Place::Environment(name) => f.write_str(name),
            Place::Flag(flag) => f.write_str(flag),
            Place::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key, `section.key`; empty where the whole source is at fault.
    pub key: String,
    /// What was expected and what came.
    pub message: String,
    /// The key that was probably meant.
    pub suggestion: Option<String>,
}

impl Problem {
    /// A problem with a source as a whole.
    pub(super) fn of_source(place: Place, message: impl Into<String>) -> Problem {
        Problem {
            place,
            key: String::new(),
            message: message.into(),
            suggestion: None,
        }
    }

    /// A problem with an environment variable, whatever it was to say.
    pub fn of_variable(name: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem::of_source(Place::Environment(name.into()), message)
    }

    /// A problem with a value, wherever it came from.
    pub(super) fn of_key(key: &str, message: impl Into<String>) -> Problem {
        Problem {
            key: key.to_owned(),
            ..Problem::of_source(Place::Default, message)
        }
    }

    /// The same, with where the value came from.
    pub(super) fn at(self, place: Place) -> Problem {
        Problem { place, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean {suggestion}?")?;
        }
        Ok(())
    }
}

/// Everything that is wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    /// One line, whatever the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else {
            return f.write_str("configuration refused");
        };
        write!(f, "{first}")?;
        match rest.len() {
            0 => Ok(()),
            more => write!(f, " (and {more} more: `hallward check` lists them)"),
        }
    }
}

/// The candidate that `word` probably stands for.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // At 0.8 a slip of a letter or two, a missing underscore or a wrong case passes, and unrelated
    // words do not.
    const ALIKE: f64 = 0.8;
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    candidates
        .map(|candidate| {
            (
                strsim::jaro_winkler(&plain(word), &plain(candidate)),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_key_that_was_meant() {
        let keys = ["max_inflight", "max_packet", "listen", "receive_maximum"];
        let meant = |word| nearest(word, keys.into_iter());
        assert_eq!(meant("max_inflght"), Some("max_inflight"));
        assert_eq!(meant("maxInflight"), Some("max_inflight"));
        assert_eq!(meant("max-packet"), Some("max_packet"));
        assert_eq!(meant("listn"), Some("listen"));
        assert_eq!(meant("colour"), None);
    }
}

//! JSON Schema: whether a value is what a schema asks for, at a cost that is known beforehand.
//!
//! It compiles schemas that operators and agents wrote and checks values against them. It fetches
//! nothing: a schema refers only to parts of itself. Regular expressions match in linear time where
//! they can, and else within a bound (see `pattern`). A schema says at once how many steps a level
//! of a value can take (see `cost`), so that no schema and no value holds its caller up. Formats
//! are notes to readers, as JSON Schema 2020-12 has it, and are not checked. The engine calls it
//! for blackboard values.

#![deny(
    clippy::disallowed_types,
    reason = "what happens here depends on its input alone"
)]

mod cost;
mod pattern;
#[cfg(test)]
mod tests;

use std::fmt;

use jsonschema::ValidationError;
use serde_json::Value;

use cost::Cost;
use pattern::EcmaPattern;

pub use pattern::{MAX_PATTERN_STEPS, is_unicode_pattern};

/// The longest text of a schema, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;

/// The most subschemas of a schema.
pub const MAX_SUBSCHEMAS: usize = 1_000;

/// The most regular expressions of a schema.
pub const MAX_PATTERNS: usize = 64;

/// The most steps that one check may take, by the estimate of `cost`.
pub const MAX_STEPS: u64 = 1_000_000;

/// The deepest value, in levels, that is checked.
pub const MAX_DEPTH: usize = 64;

/// What one regular expression may take when it is compiled, and again while it matches, in bytes.
const MAX_PATTERN_BYTES: usize = 512 * 1024;

/// The longest reason of a violation, in characters.
const MAX_REASON_CHARS: usize = 400;

/// Why a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is no JSON.
    #[error("a schema must be JSON: {0}")]
    Json(String),
    /// It is too long.
    #[error("a schema may have at most {MAX_SCHEMA_BYTES} bytes, but has {0}")]
    TooLong(usize),
    /// It has too many parts.
    #[error("a schema may have at most {MAX_SUBSCHEMAS} subschemas")]
    TooManySubschemas,
    /// It has too many regular expressions.
    #[error("a schema may have at most {MAX_PATTERNS} regular expressions")]
    TooManyPatterns,
    /// It refers to something outside of itself, or to nothing.
    #[error("{place}: a schema may refer only to parts of itself (#…), but refers to {found:?}")]
    Reference {
        /// Where, as a JSON pointer into the schema.
        place: String,
        /// What it refers to.
        found: String,
    },
    /// A part of it has an identity of its own.
    #[error("{0}: only the whole schema may have an $id")]
    NestedId(String),
    /// Some of its parts require one another for the same value without an end.
    #[error("the schema refers to itself for the same value")]
    Endless,
    /// A single value would take too many steps, or too many at once.
    #[error("a check would take too many steps: the schema repeats its parts too often")]
    TooCostly,
    /// A keyword has a value that it may not have.
    #[error("{place}: {reason}")]
    Invalid {
        /// Where, as a JSON pointer into the schema; empty for the whole.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

/// Why a value is not what the schema asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Violation {
    /// Where in the value, as a JSON pointer (RFC 6901); empty for the whole.
    pub path: String,
    /// What was expected.
    pub reason: String,
}

/// A compiled schema.
pub struct Schema {
    validator: jsonschema::Validator,
    cost: Cost,
}

impl Schema {
    /// Compiles a schema. The draft is the one that its `$schema` names, and 2020-12 where it names
    /// none.
    ///
    /// # Errors
    /// If it is no schema, refers to something outside, or might take too long to check.
    pub fn compile(text: &str) -> Result<Schema, SchemaError> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooLong(text.len()));
        }
        let mut schema: Value =
            serde_json::from_str(text).map_err(|error| SchemaError::Json(words(&error, 127)))?;
        // What compiling costs is bounded by the same numbers, so they come first.
        let cost = Cost::of(&schema)?;
        take_patterns(&mut schema, &cost.patterned);
        let patterns = jsonschema::PatternOptions::regex()
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_PATTERN_BYTES);
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(false)
            .with_keyword(pattern::KEYWORD, |_, value, _| {
                let pattern = EcmaPattern::compile(value.as_str().unwrap_or_default());
                let pattern = pattern.map_err(ValidationError::custom)?;
                Ok(Box::new(pattern))
            })
            .with_pattern_options(patterns)
            .build(&schema)
            .map_err(|error| SchemaError::Invalid {
                place: error.instance_path().to_string(),
                reason: shortened(&error.masked().to_string()),
            })?;
        Ok(Schema { validator, cost })
    }

    /// Checks a JSON text. Numbers beyond 64 bits are compared as the nearest double.
    ///
    /// # Errors
    /// The first place that is not as it should be. A value that is nested too deeply, or would
    /// take too many steps, is refused as a whole.
    pub fn check(&self, text: &str) -> Result<(), Violation> {
        let whole = |reason: String| Violation {
            path: String::new(),
            reason,
        };
        let value: Value = serde_json::from_str(text)
            .map_err(|error| whole(shortened(&words(&error, MAX_DEPTH))))?;
        self.cost.allows(&value).map_err(whole)?;
        pattern::begin();
        if self.validator.is_valid(&value) && !pattern::is_used_up() {
            return Ok(());
        }
        pattern::begin();
        let violation = |error: ValidationError<'_>| Violation {
            path: error.instance_path().to_string(),
            reason: shortened(&error.masked().to_string()),
        };
        let checked = self.validator.validate(&value).map_err(violation);
        match pattern::is_used_up() {
            true => Err(whole(format!(
                "would take more than {MAX_PATTERN_STEPS} steps to check against the schema's regular expressions"
            ))),
            false => checked,
        }
    }
}

/// Puts the patterns that the linear engine cannot match under a keyword of their own.
fn take_patterns(schema: &mut Value, patterned: &[String]) {
    for place in patterned {
        let part = schema.pointer_mut(place).and_then(Value::as_object_mut);
        let Some(part) = part else {
            continue;
        };
        let ours = part
            .get("pattern")
            .and_then(Value::as_str)
            .is_some_and(pattern::is_ours);
        if let Some(pattern) = ours.then(|| part.remove("pattern")).flatten() {
            part.insert(pattern::KEYWORD.to_owned(), pattern);
        }
    }
}

impl Schema {
    /// The regular expressions in it.
    pub fn patterns(&self) -> &[String] {
        &self.cost.patterns
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

/// What keeps a text from being read that may be so deep.
fn words(error: &serde_json::Error, depth: usize) -> String {
    let text = error.to_string();
    match text.strip_prefix("recursion limit exceeded") {
        Some(place) => format!("is nested more than {depth} levels deep{place}"),
        None => text,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_REASON_CHARS).collect()
}

//! Regular expressions of ECMA-262, as JSON Schema's `pattern` has them, that the linear engine
//! cannot match: look-around, back references, empty classes.
//!
//! They are matched by trying, each step counted against a budget that one check of a value has for
//! all of them. When it is used up the value is refused with those words: how long a check takes
//! depends on nothing but the schema and the value. `Schema` decides which patterns come here.

mod node;
mod parse;
mod program;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use jsonschema::{Keyword, ValidationError};
use serde_json::Value;

use parse::Parsed;
use program::Program;

/// What stands in the compiled schema for `pattern` where the pattern is matched here.
pub(super) const KEYWORD: &str = "hallward:pattern";

/// The steps that all patterns of this kind may take in one check of a value.
pub const MAX_PATTERN_STEPS: u64 = 1_000_000;

thread_local! {
    /// What is left of them in the check that runs on this thread.
    static LEFT: Cell<u64> = const { Cell::new(MAX_PATTERN_STEPS) };
}

/// A new check begins.
pub(super) fn begin() {
    LEFT.set(MAX_PATTERN_STEPS);
}

/// Whether the check has used up its steps, so that its outcome means nothing.
pub(super) fn is_used_up() -> bool {
    LEFT.get() == 0
}

/// Whether a pattern is matched here: the linear engine cannot, or would take it for another.
pub(super) fn is_ours(pattern: &str) -> bool {
    let Ok(parsed) = Parsed::of(pattern) else {
        return false;
    };
    let is_linear = || {
        let translated = jsonschema_regex::to_rust_regex(pattern);
        translated.is_ok_and(|translated| regex_syntax::parse(&translated).is_ok())
    };
    parsed.needs_trying || !is_linear()
}

/// Whether ECMA-262 takes a pattern with its flag `u`, as JSON Schema asks for and many validators
/// insist on.
pub fn is_unicode_pattern(pattern: &str) -> bool {
    Parsed::of(pattern).is_ok_and(|parsed| parsed.is_unicode)
}

/// A compiled pattern.
pub(super) struct EcmaPattern {
    program: Program,
}

impl EcmaPattern {
    /// Compiles it, or says what is wrong with it.
    pub(super) fn compile(pattern: &str) -> Result<EcmaPattern, String> {
        let parsed = Parsed::of(pattern)?;
        let program = Program::of(&parsed)?;
        Ok(EcmaPattern { program })
    }

    /// Whether it matches somewhere in a text; no, where the steps are used up.
    fn is_match(&self, text: &str) -> bool {
        let mut left = LEFT.get();
        let found = self.program.is_match(text, &mut left);
        LEFT.set(left);
        found.unwrap_or(false)
    }
}

impl<'i> Keyword<'i> for EcmaPattern {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        match self.is_valid(instance) {
            true => Ok(()),
            false => Err(ValidationError::custom("does not match the pattern")),
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        instance.as_str().is_none_or(|text| self.is_match(text))
    }
}

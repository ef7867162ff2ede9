//! What a pattern consists of, and sets of characters.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// A part of a pattern.
#[derive(Debug)]
pub(super) enum Node {
    Empty,
    /// One character of a set.
    Set(ClassUnicode),
    Start,
    End,
    /// At the edge of a word, or not.
    Edge {
        negative: bool,
    },
    Cat(Vec<Node>),
    Alt(Vec<Node>),
    /// What a group of this number has matched is remembered.
    Group(usize, Box<Node>),
    Repeat {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
        greedy: bool,
        /// The groups inside: they are forgotten with each turn.
        groups: std::ops::Range<usize>,
    },
    Look {
        node: Box<Node>,
        behind: bool,
        negative: bool,
    },
    /// What a group has matched, once more.
    Back(usize),
}

/// A set of ranges.
pub(super) fn set(ranges: &[(char, char)]) -> ClassUnicode {
    let ranges = ranges.iter();
    ClassUnicode::new(ranges.map(|(from, to)| ClassUnicodeRange::new(*from, *to)))
}

pub(super) fn negated(mut set: ClassUnicode) -> ClassUnicode {
    set.negate();
    set
}

/// `\d`, `\s` or `\w`.
pub(super) fn class_of(letter: char) -> ClassUnicode {
    match letter {
        'd' => set(&[('0', '9')]),
        'w' => set(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        _ => set(&[
            ('\t', '\r'),
            (' ', ' '),
            ('\u{a0}', '\u{a0}'),
            ('\u{1680}', '\u{1680}'),
            ('\u{2000}', '\u{200a}'),
            ('\u{2028}', '\u{2029}'),
            ('\u{202f}', '\u{202f}'),
            ('\u{205f}', '\u{205f}'),
            ('\u{3000}', '\u{3000}'),
            ('\u{feff}', '\u{feff}'),
        ]),
    }
}

/// What `.` does not match.
pub(super) fn line_ends() -> ClassUnicode {
    set(&[('\n', '\n'), ('\r', '\r'), ('\u{2028}', '\u{2029}')])
}

/// `\p{NAME}`.
pub(super) fn property(name: &str) -> Result<ClassUnicode, String> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '=');
    let known = name.chars().all(is_plain) && !name.is_empty();
    let parsed = regex_syntax::parse(&format!(r"\p{{{name}}}"));
    match parsed.map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) if known => Ok(class),
        _ => Err(format!(
            r"\p{{{name}}} is no property of Unicode that is known"
        )),
    }
}

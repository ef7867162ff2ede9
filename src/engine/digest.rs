//! The digest that ties an approval to what was shown and a tool to its contract: equal JSON values
//! have equal ones, however they are spelt and ordered. `fingerprint` ties an id to its command
//! likewise, in fewer bytes.

mod fingerprint;

use std::collections::BTreeSet;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::wire::cbor::{JsonTokens, Token};

use crate::wire::json::{self, Json};
use crate::wire::reply::{Code, Rejection};

pub(super) use fingerprint::fingerprint;

/// SHA-256 in hexadecimal over the canonical JSON (RFC 8785) of a value.
///
/// # Errors
/// A number that RFC 8785 cannot express: not finite, or too large for a double.
pub(super) fn digest<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let hash = Sha256::digest(serde_json_canonicalizer::to_vec(value)?);
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Why a JSON text says more than its canonical form, in words: the digest would be that of other
/// texts, too. RFC 8785 has numbers as doubles (section 3.2.2.3), and each name once in an object
/// (section 3.1).
pub(super) fn unfaithful(text: &str) -> Option<String> {
    let mut open: Vec<Inside> = Vec::new();
    for token in JsonTokens(text.as_bytes()) {
        if token == Token::Close {
            open.pop();
            continue;
        }
        let names = open.last_mut().and_then(Inside::names_if_next);
        match (token, names) {
            (Token::Text(name), Some(names)) => {
                let quoted = [b"\"", name, b"\""].concat();
                let name: String = serde_json::from_slice(&quoted).unwrap_or_default();
                if names.contains(&name) {
                    return Some(format!("the name {name:?} stands twice in an object"));
                }
                names.insert(name);
            }
            (Token::Scalar(scalar), _) => {
                let number = std::str::from_utf8(scalar).unwrap_or_default();
                if !is_faithful(number) {
                    return Some(format!(
                        "the number {number} is none that a double holds: write it as text"
                    ));
                }
            }
            (Token::Map, _) => open.push(Inside::Map {
                names: BTreeSet::new(),
                name_is_next: true,
            }),
            (Token::Array, _) => open.push(Inside::Array),
            _ => {}
        }
    }
    None
}

/// What surrounds a token.
enum Inside {
    Array,
    Map {
        names: BTreeSet<String>,
        name_is_next: bool,
    },
}

impl Inside {
    /// The names that there are, if what comes next in it is another; the one after that is its
    /// value.
    fn names_if_next(&mut self) -> Option<&mut BTreeSet<String>> {
        match self {
            Inside::Array => None,
            Inside::Map {
                names,
                name_is_next,
            } => {
                *name_is_next = !*name_is_next;
                (!*name_is_next).then_some(names)
            }
        }
    }
}

/// Whether a number is the shortest decimal of a double, however it is spelt. Words are no numbers.
///
/// Where two decimals are as short and as near, it is the even one, as in ECMAScript and so in RFC
/// 8785: `serde_json` writes that one, the standard library's `{:e}` the other.
fn is_faithful(scalar: &str) -> bool {
    let shortest = |value: f64| serde_json::to_string(&value).unwrap_or_default();
    match scalar.parse::<f64>() {
        Ok(value) if value.is_finite() => decimal(scalar) == decimal(&shortest(value)),
        _ => true,
    }
}

/// Sign, digits without zeros at their ends, and the power of ten of the first digit.
fn decimal(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.parse().unwrap_or_default();
    let is_negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return (false, String::new(), 0);
    }
    let zeros = i64::try_from(all.len() - digits.len()).unwrap_or(i64::MAX);
    let places = i64::try_from(whole.len()).unwrap_or(i64::MAX) - zeros;
    let power = exponent.saturating_add(places);
    (is_negative, digits.trim_end_matches('0').to_owned(), power)
}

/// The digest that ties a decision to what was seen: of `{action, content}`, where `content` is
/// left out if absent. `path` is where the content stands in its command.
pub(super) fn approval_digest(
    action: &str,
    content: Option<&Json>,
    path: &str,
) -> Result<String, Rejection> {
    let invalid = |error: serde_json::Error| {
        let reason = format!("{path} has no canonical form: {}", json::words(&error));
        Rejection::new(Code::Invalid, reason).at(path)
    };
    let mut shown = serde_json::Map::new();
    shown.insert("action".to_owned(), action.into());
    if let Some(content) = content {
        if let Some(why) = unfaithful(content.text()) {
            let reason = format!("{path} has no digest of its own: {why}");
            return Err(Rejection::new(Code::Invalid, reason).at(path));
        }
        let value = serde_json::from_str(content.text()).map_err(invalid)?;
        shown.insert("content".to_owned(), value);
    }
    digest(&shown).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_double_holds_has_a_digest_however_it_is_spelt() {
        for text in [
            r#"{"a":[1,-0,0.0,1.50,1e3,1.0E+2,0.1,-2.5e-7,9007199254740992,1e300,123456789012345680000],"b":{"a":true,"b":null}}"#,
            "[1795918707546507.2,5e-324,-1.7976931348623157e308,1125899906842624.2]",
            r#"{"a":"9007199254740993","b":"a","c":["a","a",{"a":1}]}"#,
            "[]",
            "7",
        ] {
            assert_eq!(unfaithful(text), None, "{text}");
        }
    }

    #[test]
    fn what_would_share_the_digest_of_something_else_has_none() {
        for (text, why) in [
            (
                r#"{"cents":9007199254740993}"#,
                "the number 9007199254740993 is",
            ),
            ("1795918707546507.3", "the number 1795918707546507.3 is"),
            (
                "[12345678901234567890123]",
                "the number 12345678901234567890123 is",
            ),
            (
                "0.1000000000000000055",
                "the number 0.1000000000000000055 is",
            ),
            (r#"{"b":1,"b":2}"#, r#"the name "b" stands twice"#),
            (
                r#"{"x":[{"b":{"b":1},"\u0062":2}]}"#,
                r#"the name "b" stands twice"#,
            ),
        ] {
            let words = unfaithful(text).expect(text);
            assert!(words.starts_with(why), "{words}");
        }
    }
}

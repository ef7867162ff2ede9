//! Fingerprints: what an id was used for, in eight bytes.
//!
//! A client that sends a command again may spell it in another way: the order of names, white
//! space, escapes, how a number is written, JSON or CBOR. It is the same command. What only
//! accompanies a command (trace context, the correlation id) may differ as well. Unlike the
//! canonical JSON of RFC 8785 it never rounds a number: two that differ are two commands. It stands
//! in records, so it must not change between versions.

use std::borrow::Cow;
use std::num::NonZeroU64;

use sha2::{Digest as _, Sha256};

use crate::wire::cbor::{JsonTokens, Token};

use super::decimal;

/// Fields of a command that are not part of what it asks for.
const ASIDE: [&[u8]; 4] = [b"id", b"correlationId", b"traceparent", b"tracestate"];

/// An object or a list is written out up to this length, and beyond it stands for itself by its
/// hash: so each byte is hashed once, however deep it lies.
const WRITTEN_OUT: usize = 64;

/// A whole number of so many characters stands as it is usually written.
const WHOLE: usize = 19;

/// What was asked for: the topic, and the JSON of the payload without what accompanies it.
pub(in crate::engine) fn fingerprint(topic: &str, payload: &[u8]) -> NonZeroU64 {
    let mut hash = Sha256::new();
    hash.update(part(b't', topic.as_bytes()));
    hash.update(written(payload));
    let sum: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = sum;
    NonZeroU64::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])).unwrap_or(NonZeroU64::MIN)
}

/// What is open around a token.
enum Open {
    List(Vec<u8>),
    Object {
        members: Vec<(Vec<u8>, Vec<u8>)>,
        /// Of the value that comes next.
        name: Option<Vec<u8>>,
    },
}

impl Open {
    fn push(&mut self, value: Vec<u8>) {
        match self {
            Open::List(all) => all.extend(value),
            Open::Object { members, name } => match name.take() {
                Some(name) => members.push((name, value)),
                None => *name = Some(value),
            },
        }
    }

    fn written(self, is_outermost: bool) -> Vec<u8> {
        match self {
            Open::List(all) => shortened(b'a', &all),
            Open::Object { mut members, .. } => {
                if is_outermost {
                    let aside = ASIDE.map(|name| part(b's', name));
                    members.retain(|(name, _)| !aside.contains(name));
                }
                // Of a name that stands twice the last value counts, as for who reads it: the order
                // among them stays.
                members.sort_by(|(one, _), (other, _)| one.cmp(other));
                let all = members.into_iter().flat_map(|(name, value)| [name, value]);
                shortened(b'o', &all.collect::<Vec<_>>().concat())
            }
        }
    }
}

fn written(payload: &[u8]) -> Vec<u8> {
    let mut open: Vec<Open> = vec![Open::List(Vec::new())];
    for token in JsonTokens(payload) {
        let value = match token {
            Token::Array => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Token::Map => {
                let (members, name) = (Vec::new(), None);
                open.push(Open::Object { members, name });
                continue;
            }
            Token::Close => {
                let is_outermost = open.len() == 2;
                open.pop().map(|closed| closed.written(is_outermost))
            }
            Token::Text(text) => Some(part(b's', &unescaped(text))),
            Token::Scalar(scalar) => Some(part(b'n', &plain(scalar))),
        };
        if let (Some(value), Some(around)) = (value, open.last_mut()) {
            around.push(value);
        }
    }
    match open.into_iter().next() {
        Some(Open::List(all)) => all,
        _ => Vec::new(),
    }
}

/// A value with its kind and length before it, so that no two sequences of values are written
/// alike.
fn part(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_be_bytes();
    [&[kind], &length[..], bytes].concat()
}

fn shortened(kind: u8, bytes: &[u8]) -> Vec<u8> {
    if bytes.len() <= WRITTEN_OUT {
        return part(kind, bytes);
    }
    part(kind.to_ascii_uppercase(), &Sha256::digest(bytes))
}

fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let quoted = [b"\"", text, b"\""].concat();
    match serde_json::from_slice::<String>(&quoted) {
        Ok(text) => Cow::Owned(text.into_bytes()),
        // Half of a surrogate pair is no text.
        Err(_) => Cow::Borrowed(text),
    }
}

/// A number as one of all its spellings; a word as it is.
fn plain(scalar: &[u8]) -> Cow<'_, [u8]> {
    let is_whole = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    let is_word = scalar.first().is_some_and(u8::is_ascii_lowercase);
    let is_short = scalar.len() <= WHOLE && scalar != b"-0";
    if is_word || (is_short && scalar.iter().all(is_whole)) {
        return Cow::Borrowed(scalar);
    }
    let (is_negative, digits, power) = decimal(&String::from_utf8_lossy(scalar));
    let sign = if is_negative { "-" } else { "" };
    let text = match usize::try_from(power) {
        _ if digits.is_empty() => "0".to_owned(),
        Ok(power) if digits.len() <= power && sign.len() + power <= WHOLE => {
            format!("{sign}{digits:0<power$}")
        }
        _ => format!("{sign}{digits}e{power}"),
    };
    Cow::Owned(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(payload: &str) -> NonZeroU64 {
        fingerprint("/lab/blackboard/set/ann/k", payload.as_bytes())
    }

    #[test]
    fn a_command_is_the_same_however_it_is_spelt() {
        let first = of(r#"{"id":"i","value":{"a":[1,2.50,-0],"b":"é"},"ifVersion":3}"#);
        for again in [
            r#"{ "ifVersion": 3, "value": {"b":"é", "a":[1, 2.5, 0]}, "id": "i" }"#,
            r#"{"value":{"a":[1.0,25e-1,-0.0],"b":"\u00e9"},"ifVersion":3e0}"#,
            r#"{"value":{"a":[10E-1,2.5,0],"b":"\u00E9"},"ifVersion":3,"correlationId":"c","traceparent":"00-1","tracestate":"x"}"#,
        ] {
            assert_eq!(of(again), first, "{again}");
        }
        let large = |text: &str| of(&format!(r#"{{"value":{text}}}"#));
        assert_eq!(
            large("18446744073709551616"),
            large("184467440737095516160e-1")
        );
        assert_eq!(large("1e21"), large("1000000000000000000000"));
        assert_eq!(large("1e18"), large("1000000000000000000"));
    }

    #[test]
    fn another_command_is_another_one() {
        let payloads = [
            r#"{"value":1}"#,
            r#"{"value":-1}"#,
            r#"{"value":"1"}"#,
            r#"{"value":[1]}"#,
            r#"{"value":[[1]]}"#,
            r#"{"value":[1,[]]}"#,
            r#"{"value":{"id":1}}"#,
            r#"{"value":{"id":2}}"#,
            r#"{"value":{}}"#,
            r#"{"value":[]}"#,
            r#"{"value":["ab","c"]}"#,
            r#"{"value":["a","bc"]}"#,
            r#"{"value":null}"#,
            r#"{"value":"null"}"#,
            r#"{"value":9007199254740992}"#,
            r#"{"value":9007199254740993}"#,
            r#"{"value":1e400}"#,
            r#"{"value":1e401}"#,
            r#"{"value":0.1}"#,
            r#"{"value":0.01}"#,
            r#"{}"#,
            "",
        ];
        let mut all: Vec<NonZeroU64> = payloads.map(of).to_vec();
        all.push(fingerprint("/lab/blackboard/set/ann/j", br#"{"value":1}"#));
        let long = |end: &str| of(&format!(r#"{{"value":["{}",{end}]}}"#, "x".repeat(100)));
        all.extend([long("1"), long("2")]);
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn it_is_that_of_the_version_that_wrote_it() {
        assert_eq!(
            of(r#"{"value":[1,"a",{"b":null}],"ifVersion":0}"#).get(),
            8_985_019_104_280_020_377
        );
    }
}

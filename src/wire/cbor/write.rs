//! JSON text to CBOR: definite lengths, shortest forms, the order of the text.
//!
//! The text is one that has been read as JSON before, so there is nothing to refuse; however deep
//! it is nested, it takes no stack. What is no JSON makes some CBOR or other, and no panic.

use std::io;

use bytes::Bytes;
use serde::Serializer as _;
use serde_cbor::ser::{IoWrite, Serializer};

/// The CBOR of a JSON text, for any reader: without floats of 16 bits.
pub fn from_json(text: &[u8]) -> Bytes {
    spelt(text, false)
}

/// How many bytes [`from_json`] would make of it.
pub fn length_of(text: &[u8]) -> usize {
    length_spelt(text, false)
}

/// The CBOR of a JSON text, for a reader that knows floats of 16 bits or not.
pub(super) fn spelt(text: &[u8], half_floats: bool) -> Bytes {
    let mut out = Vec::with_capacity(text.len());
    write(text, half_floats, &mut out);
    out.into()
}

/// How many bytes [`spelt`] would make of it.
pub(super) fn length_spelt(text: &[u8], half_floats: bool) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    write(text, half_floats, &mut count);
    count.0
}

/// Whether the CBOR of a JSON text may be longer than the text: a float takes up to nine bytes, and
/// a long text's length five. All else is no longer.
pub fn may_be_longer(text: &str) -> bool {
    const LONG_TEXT: usize = 65_536;
    let begins_fraction =
        |pair: &[u8]| pair[0].is_ascii_digit() && matches!(pair[1], b'.' | b'e' | b'E');
    text.len() >= LONG_TEXT || text.as_bytes().windows(2).any(begins_fraction)
}

/// What a JSON text consists of; commas and colons say nothing more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    /// An array begins.
    Array,
    /// An object begins.
    Map,
    /// The innermost of them ends.
    Close,
    /// Between its quotes.
    Text(&'a [u8]),
    /// Numbers and words.
    Scalar(&'a [u8]),
}

/// Splits a JSON text.
#[derive(Debug)]
pub struct JsonTokens<'a>(pub &'a [u8]);

impl<'a> Iterator for JsonTokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let separates = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
        let start = self.0.iter().position(|byte| !separates(byte))?;
        self.0 = &self.0[start..];
        let (token, length) = match self.0[0] {
            b'[' => (Token::Array, 1),
            b'{' => (Token::Map, 1),
            b']' | b'}' => (Token::Close, 1),
            b'"' => {
                let text = text(&self.0[1..]);
                (Token::Text(text), text.len() + 2)
            }
            _ => {
                let ends = |byte: &u8| separates(byte) || matches!(byte, b']' | b'}');
                let length = self.0.iter().position(ends).unwrap_or(self.0.len());
                (Token::Scalar(&self.0[..length]), length)
            }
        };
        self.0 = self.0.get(length..).unwrap_or_default();
        Some(token)
    }
}

/// What stands before the closing quote.
fn text(rest: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'"' => return &rest[..at],
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    rest
}

/// How many items each array and map has, a map's keys included, in the order in which they open.
fn lengths(text: &[u8]) -> Vec<usize> {
    let (mut lengths, mut open) = (Vec::new(), Vec::new());
    for token in JsonTokens(text) {
        if token == Token::Close {
            open.pop();
            continue;
        }
        if let Some(inside) = open.last() {
            lengths[*inside] += 1;
        }
        if matches!(token, Token::Array | Token::Map) {
            open.push(lengths.len());
            lengths.push(0);
        }
    }
    lengths
}

fn write(text: &[u8], half_floats: bool, mut to: impl io::Write) {
    let mut lengths = lengths(text).into_iter();
    for token in JsonTokens(text) {
        let mut out = Serializer::new(IoWrite::new(&mut to));
        // Nothing here can fail: memory takes everything, and all numbers are of a kind that CBOR
        // has.
        let _ = match token {
            // The crate writes the length at once, and nothing at the end.
            Token::Array => out.serialize_seq(lengths.next()).map(drop),
            Token::Map => out
                .serialize_map(lengths.next().map(|items| items / 2))
                .map(drop),
            Token::Close => Ok(()),
            Token::Text(text) => out.serialize_str(&unescape(text)),
            Token::Scalar(b"null") => out.serialize_unit(),
            Token::Scalar(b"true") => out.serialize_bool(true),
            Token::Scalar(b"false") => out.serialize_bool(false),
            Token::Scalar(number) => {
                write_number(&String::from_utf8_lossy(number), half_floats, &mut to)
            }
        };
    }
}

fn write_number(
    number: &str,
    half_floats: bool,
    to: &mut impl io::Write,
) -> serde_cbor::Result<()> {
    const LEAST: i128 = -(1 << 64);
    const MOST: i128 = (1 << 64) - 1;
    let mut out = Serializer::new(IoWrite::new(&mut *to));
    if let Ok(integer) = number.parse::<i128>()
        && (LEAST..=MOST).contains(&integer)
    {
        return out.serialize_i128(integer);
    }
    if let Some(big) = BigInteger::parse(number) {
        return Ok(big.write(to)?);
    }
    // What no float holds is an infinity: so other readers of JSON take it.
    let float: f64 = number.parse().unwrap_or(f64::NAN);
    if half_floats {
        return out.serialize_f64(float);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is seen whether it is the same"
    )]
    let narrow = float as f32;
    if f64::from(narrow).to_bits() == float.to_bits() {
        to.write_all(&[0xfa])?;
        to.write_all(&narrow.to_bits().to_be_bytes())?;
    } else {
        to.write_all(&[0xfb])?;
        to.write_all(&float.to_bits().to_be_bytes())?;
    }
    Ok(())
}

/// An integer of more than 64 bits, as RFC 8949 section 3.4.3 has it: tag 2 before the bytes of
/// `n`, tag 3 before those of `-1 - n`.
struct BigInteger {
    negative: bool,
    bytes: Vec<u8>,
}

impl BigInteger {
    /// Digits alone, no more of them than the largest float has.
    fn parse(number: &str) -> Option<BigInteger> {
        const MOST_DIGITS: usize = 309;
        let (negative, digits) = match number.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, number),
        };
        let is_one = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_one || digits.len() > MOST_DIGITS || !number.parse::<f64>().ok()?.is_finite() {
            return None;
        }
        // Little end first.
        let mut bytes: Vec<u8> = Vec::new();
        for digit in digits.bytes() {
            let mut carry = u32::from(digit - b'0');
            for byte in &mut bytes {
                let value = u32::from(*byte) * 10 + carry;
                *byte = (value & 0xff) as u8;
                carry = value >> 8;
            }
            if carry > 0 {
                bytes.push(carry as u8);
            }
        }
        if negative {
            let borrows = bytes.iter().take_while(|byte| **byte == 0).count();
            bytes[..borrows].fill(0xff);
            if let Some(byte) = bytes.get_mut(borrows) {
                *byte -= 1;
            }
            if bytes.last() == Some(&0) {
                bytes.pop();
            }
        }
        bytes.reverse();
        Some(BigInteger { negative, bytes })
    }

    fn write(&self, to: &mut impl io::Write) -> io::Result<()> {
        to.write_all(&[if self.negative { 0xc3 } else { 0xc2 }])?;
        match u8::try_from(self.bytes.len()) {
            Ok(short @ 0..24) => to.write_all(&[0x40 | short])?,
            Ok(length) => to.write_all(&[0x58, length])?,
            // 309 digits are 129 bytes.
            Err(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
        to.write_all(&self.bytes)
    }
}

/// The text of a JSON string. A half of a surrogate pair alone, which no UTF-8 holds, becomes
/// U+FFFD.
fn unescape(text: &[u8]) -> std::borrow::Cow<'_, str> {
    let text = String::from_utf8_lossy(text);
    if !text.contains('\\') {
        return text;
    }
    let quoted = format!("\"{text}\"");
    match serde_json::from_str(&quoted) {
        Ok(text) => std::borrow::Cow::Owned(text),
        Err(_) => std::borrow::Cow::Owned(unescape_halves(&text)),
    }
}

fn unescape_halves(text: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let char = match char {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).unwrap_or(0xFFFD));
                    continue;
                }
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
                None => break,
            },
            char => char,
        };
        units.extend_from_slice(char.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

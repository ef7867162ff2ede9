//! Tags of CBOR that say what an item means (RFC 8949 section 3.4): what JSON can say of it, or a
//! refusal.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_cbor::tags::current_cbor_tag;

use super::read::Item;

/// What begins a command that is CBOR all the same: that it is CBOR (tag 55799), and that a map is
/// a map (tag 259).
const BEFORE_A_MAP: [[u8; 3]; 2] = [[0xd9, 0xd9, 0xf7], [0xd9, 0x01, 0x03]];

/// The longest big number in bytes: no float holds a longer one.
const MAX_BYTES: usize = 128;

/// How many zeros a decimal fraction may gain, before it is written with an exponent.
const MAX_ZEROS: usize = 17;

/// A payload without the tags that change nothing about the map behind them.
pub fn untagged(mut payload: &[u8]) -> &[u8] {
    // Two of each are enough for whoever means it.
    for _ in 0..2 * BEFORE_A_MAP.len() {
        let rest = BEFORE_A_MAP
            .iter()
            .find_map(|tag| payload.strip_prefix(tag));
        payload = rest.unwrap_or(payload);
    }
    payload
}

/// Writes what is tagged with the tag that was read last.
pub(super) fn write<'de, D: Deserializer<'de>>(item: Item<'_>, inner: D) -> Result<(), D::Error> {
    let Item(out) = item;
    let tag = current_cbor_tag();
    let start = out.len();
    let (expected, is_so): (&str, fn(u8) -> bool) = match tag {
        None | Some(55_799) => return Item(out).deserialize(inner),
        Some(0) => ("a text", |first| first == b'"'),
        Some(1) => ("a number", |first| first == b'-' || first.is_ascii_digit()),
        Some(259) => ("a map", |first| first == b'{'),
        Some(number @ (2 | 3)) => {
            let text = inner.deserialize_any(Big {
                negative: number == 3,
            })?;
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        Some(number @ (4 | 5)) => {
            let (exponent, mantissa) = inner.deserialize_any(Pair)?;
            let text = match number {
                4 => Some(decimal(&mantissa, exponent)),
                _ => binary(&mantissa, exponent),
            };
            let text = text.filter(|text| text.parse::<f64>().is_ok_and(f64::is_finite));
            let text = text.ok_or_else(|| {
                let base = if number == 4 { 10 } else { 2 };
                D::Error::custom(format_args!(
                    "no float holds {mantissa} × {base}^{exponent}"
                ))
            })?;
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        Some(other) => {
            let reason = "has no meaning in JSON: send what is tagged in another way";
            return Err(D::Error::custom(format_args!("tag {other} {reason}")));
        }
    };
    Item(out).deserialize(inner)?;
    match out.get(start).copied().is_some_and(is_so) {
        true => Ok(()),
        false => {
            let tag = tag.unwrap_or_default();
            Err(D::Error::custom(format_args!(
                "tag {tag} must be on {expected}"
            )))
        }
    }
}

/// `mantissa` × 10^`exponent`, exactly.
fn decimal(mantissa: &str, exponent: i64) -> String {
    let digits = mantissa.trim_start_matches('-');
    let sign = &mantissa[..mantissa.len() - digits.len()];
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX);
    if exponent == 0 || digits == "0" {
        mantissa.to_owned()
    } else if exponent > 0 && places <= MAX_ZEROS {
        format!("{mantissa}{}", "0".repeat(places))
    } else if exponent < 0 && places <= MAX_ZEROS.max(digits.len() - 1) {
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        format!("{sign}{whole}.{fraction}")
    } else {
        format!("{mantissa}e{exponent}")
    }
}

/// `mantissa` × 2^`exponent`: an integer, or the float that holds it exactly, if there is one.
fn binary(mantissa: &str, exponent: i64) -> Option<String> {
    let mantissa: i128 = mantissa.parse().ok()?;
    if mantissa == 0 {
        return Some("0".to_owned());
    }
    let zeros = mantissa.trailing_zeros();
    let odd = mantissa >> zeros;
    let exponent = i32::try_from(exponent.checked_add(i64::from(zeros))?).ok()?;
    let bits = i128::BITS - odd.unsigned_abs().leading_zeros();
    let width = i64::from(bits) + i64::from(exponent);
    if exponent >= 0 && width < 127 {
        return Some((odd << exponent).to_string());
    }
    if bits > f64::MANTISSA_DIGITS || exponent < -1074 || width > 1024 {
        return None;
    }
    // Exact in two steps: the first stays within what a float holds in full.
    let half = exponent / 2;
    #[expect(clippy::cast_precision_loss, reason = "it has at most 53 bits")]
    let value = odd as f64 * 2_f64.powi(half) * 2_f64.powi(exponent - half);
    serde_json::to_string(&value).ok()
}

/// Reads a big number's bytes.
struct Big {
    negative: bool,
}

impl Visitor<'_> for Big {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string, the digits of a big number")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = &bytes[zeros..];
        if bytes.len() > MAX_BYTES {
            let length = bytes.len();
            let reason = format_args!("no float holds a number of {length} bytes");
            return Err(E::custom(reason));
        }
        // Little end first, in base 10^9. Tag 3 is of -1 - n.
        let mut limbs: Vec<u64> = vec![0];
        let mut add = |factor: u64, more: u64| {
            let mut carry = more;
            for limb in &mut limbs {
                let value = *limb * factor + carry;
                *limb = value % 1_000_000_000;
                carry = value / 1_000_000_000;
            }
            if carry > 0 {
                limbs.push(carry);
            }
        };
        bytes.iter().for_each(|byte| add(256, u64::from(*byte)));
        if self.negative {
            add(1, 1);
        }
        let (last, rest) = limbs.split_last().expect("it begins with one");
        let sign = if self.negative { "-" } else { "" };
        let mut text = format!("{sign}{last}");
        rest.iter()
            .rev()
            .for_each(|limb| text.push_str(&format!("{limb:09}")));
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(text),
            _ => Err(E::custom("no float holds so large a number")),
        }
    }
}

/// Reads an integer, as its digits; it may be a big one.
struct Integer;

impl<'de> DeserializeSeed<'de> for Integer {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Integer {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<String, D::Error> {
        match current_cbor_tag() {
            Some(number @ (2 | 3)) => inner.deserialize_any(Big {
                negative: number == 3,
            }),
            _ => Err(D::Error::custom("expected an integer, or a big one")),
        }
    }
}

/// Reads exponent and mantissa.
struct Pair;

impl<'de> Visitor<'de> for Pair {
    type Value = (i64, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of exponent and mantissa")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(i64, String), A::Error> {
        let expected = || A::Error::custom("expected an array of exponent and mantissa");
        let exponent: i64 = items.next_element()?.ok_or_else(expected)?;
        let mantissa = items.next_element_seed(Integer)?.ok_or_else(expected)?;
        Ok((exponent, mantissa))
    }
}

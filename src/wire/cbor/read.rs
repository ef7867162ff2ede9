//! CBOR to JSON text. Reads no length before there are so many bytes, and no deeper than
//! [`MAX_DEPTH`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::wire::reply::{Code, Rejection};

use super::tags;

/// How deep arrays, maps and tags may be nested, in a command of CBOR.
pub const MAX_DEPTH: usize = 127;

/// The JSON text of a CBOR item. It has at most eight times as many bytes.
///
/// # Errors
/// 400 with the path, what is wrong, and where in the bytes that can be said.
pub fn to_json(payload: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut text = Vec::with_capacity(payload.len() + payload.len() / 4);
    let mut reader = serde_cbor::Deserializer::from_slice(payload);
    // To keep track of the path costs as much as to read; only what fails is read again for it.
    let read = Item(&mut text).deserialize(&mut reader);
    match read.and_then(|()| reader.end()) {
        Ok(()) => Ok(text),
        Err(error) => Err(explain(payload, &error)),
    }
}

fn explain(payload: &[u8], error: &serde_cbor::Error) -> Rejection {
    let mut words = error.to_string();
    if let Some(place) = words.strip_prefix("recursion limit exceeded") {
        words = format!("nested more than {MAX_DEPTH} levels deep{place}");
    }
    let rejection = Rejection::new(Code::Malformed, format!("no CBOR that has a JSON: {words}"));
    let mut reader = serde_cbor::Deserializer::from_slice(payload);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let again = Item(&mut Vec::new()).deserialize(tracked);
    let path = track.path().to_string();
    if again.is_ok() || path == "." {
        return rejection;
    }
    rejection.at(path)
}

/// Whether a float of 16 bits is among the items: who writes them can read them.
pub fn has_half_float(mut bytes: &[u8]) -> bool {
    const HALF: u8 = 0xf9;
    while let Some((first, rest)) = bytes.split_first() {
        if *first == HALF {
            return true;
        }
        let (kind, short) = (first >> 5, first & 0x1f);
        let width = match short {
            24..=27 => 1 << (short - 24),
            _ => 0,
        };
        let Some((argument, rest)) = rest.split_at_checked(width) else {
            return false;
        };
        let wide = argument
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let length = match (kind, short) {
            (2 | 3, 0..=23) => u64::from(short),
            (2 | 3, 24..=27) => wide,
            // What is of no length, and what is in arrays and maps, follows as it is.
            _ => 0,
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        bytes = rest.get(length..).unwrap_or_default();
    }
    false
}

/// Writes the next item as JSON.
pub(super) struct Item<'a>(pub(super) &'a mut Vec<u8>);

impl Item<'_> {
    fn write<E>(self, text: &str) -> Result<(), E> {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what JSON can say")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.write(if value { "true" } else { "false" })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.write(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.write(&value.to_string())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<(), E> {
        self.write(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return Err(E::custom(format_args!("{value} is no number of JSON")));
        }
        serde_json::to_writer(self.0, &value).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        serde_json::to_writer(self.0, value).map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<(), E> {
        let bytes = value.len();
        Err(E::custom(format_args!(
            "a byte string (of {bytes} bytes) has no JSON: send text, base64 for instance"
        )))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.write("null")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, tagged: D) -> Result<(), D::Error> {
        tags::write(self, tagged)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.push(b'[');
        let start = self.0.len();
        loop {
            let before = self.0.len();
            if before > start {
                self.0.push(b',');
            }
            if items.next_element_seed(Item(self.0))?.is_none() {
                self.0.truncate(before);
                break;
            }
        }
        self.0.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.0.push(b'{');
        let start = self.0.len();
        loop {
            let before = self.0.len();
            if before > start {
                self.0.push(b',');
            }
            if entries.next_key_seed(Key(self.0))?.is_none() {
                self.0.truncate(before);
                break;
            }
            self.0.push(b':');
            entries.next_value_seed(Item(self.0))?;
        }
        self.0.push(b'}');
        Ok(())
    }
}

/// Writes the next key.
struct Key<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of text")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        serde_json::to_writer(self.0, value).map_err(E::custom)
    }
}

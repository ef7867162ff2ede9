//! JSON that belongs to the user: carried byte for byte, never re-rounded, never re-ordered.

mod strict;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::reply::{Code, Rejection};
use strict::Strict;

/// How deep JSON may be nested where more is made of it than to carry it.
const MAX_DEPTH: usize = 127;

/// A JSON value kept as its text. In JSON it stands as it came; in binary encodings as that text.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// The value's own text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The JSON of any value of ours.
    ///
    /// # Panics
    /// Never for the wire types: their maps have text keys and their serializers do not fail.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Json {
        let raw = serde_json::value::to_raw_value(value).expect("wire types serialize");
        Json(raw.into())
    }

    /// Parses a text; fails if it is no JSON.
    pub fn parse(text: &str) -> Result<Json, serde_json::Error> {
        RawValue::from_string(text.to_owned()).map(|raw| Json(raw.into()))
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.text() == other.text()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            serializer.serialize_str(self.text())
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        if deserializer.is_human_readable() {
            Box::<RawValue>::deserialize(deserializer).map(|raw| Json(raw.into()))
        } else {
            let text = String::deserialize(deserializer)?;
            RawValue::from_string(text)
                .map(|raw| Json(raw.into()))
                .map_err(D::Error::custom)
        }
    }
}

impl schemars::JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

/// For optional fields in which `null` is a value of its own: `#[serde(default, deserialize_with =
/// "present")]`.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// Reads a command's payload, as its JSON Schema means it.
///
/// # Errors
/// 400 with the path, what was expected, and the line and column.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Rejection> {
    if payload.trim_ascii_start().first() == Some(&b'[') {
        let reason = "expected an object, {…}, but got a list";
        return Err(Rejection::new(Code::Malformed, reason));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    // To keep track of the path costs as much as to read; only what fails is read again for it.
    if let Ok(value) = T::deserialize(Strict(&mut deserializer))
        && deserializer.end().is_ok()
    {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let value = T::deserialize(Strict(tracked)).map_err(|error| {
        let path = track.path().to_string();
        let reason = words(&error);
        let missing = missing_field(&reason).map(str::to_owned);
        let rejection = Rejection::new(Code::Malformed, reason);
        let path = match (path.as_str(), missing) {
            (".", None) => return rejection,
            (".", Some(field)) => field,
            (_, Some(field)) => format!("{path}.{field}"),
            (_, None) => path,
        };
        rejection.at(path)
    })?;
    deserializer
        .end()
        .map_err(|error| Rejection::new(Code::Malformed, words(&error)))?;
    Ok(value)
}

/// What is wrong with a JSON text, and where.
pub fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("recursion limit exceeded") {
        Some(place) => format!("nested more than {MAX_DEPTH} levels deep{place}"),
        None => text,
    }
}

/// The field that an error says is not there.
fn missing_field(reason: &str) -> Option<&str> {
    let rest = reason.strip_prefix("missing field `")?;
    rest.split_once('`').map(|(field, _)| field)
}

/// Writes a message of ours.
///
/// # Panics
/// Never for the wire types: their maps have text keys and their serializers do not fail.
pub fn encode<T: Serialize + ?Sized>(message: &T) -> Bytes {
    serde_json::to_vec(message)
        .expect("wire types serialize")
        .into()
}

/// How many bytes [`encode`] would make of a message.
///
/// # Panics
/// Never, as `encode` does not.
pub fn length<T: Serialize + ?Sized>(message: &T) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, message).expect("wire types serialize");
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Holder {
        #[serde(
            default,
            deserialize_with = "present",
            skip_serializing_if = "Option::is_none"
        )]
        value: Option<Json>,
        count: Option<u32>,
    }

    #[test]
    fn user_json_is_carried_byte_for_byte() {
        let text = r#"{"value":{"b": 1.10,"a":12345678901234567890123, "n":null},"count":null}"#;
        let holder: Holder = decode(text.as_bytes()).expect("valid");
        assert_eq!(
            holder.value.as_ref().map(Json::text),
            Some(r#"{"b": 1.10,"a":12345678901234567890123, "n":null}"#)
        );
        assert_eq!(encode(&holder), text.as_bytes());
    }

    #[test]
    fn null_is_a_value_and_absence_is_not() {
        let with: Holder = decode(br#"{"value":null}"#).expect("valid");
        assert!(with.value.is_some_and(|value| value.is_null()));
        let without: Holder = decode(b"{}").expect("valid");
        assert!(without.value.is_none());
    }

    #[test]
    fn binary_encodings_keep_the_text() {
        let holder = Holder {
            value: Some(Json::parse("[1.0, 2]").expect("valid")),
            count: Some(1),
        };
        let cbor = serde_cbor::to_vec(&holder).expect("encodes");
        assert_eq!(
            serde_cbor::from_slice::<Holder>(&cbor).expect("decodes"),
            holder
        );
    }

    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
    }

    #[derive(Deserialize, PartialEq, Debug)]
    struct Inner(u64);

    #[derive(Deserialize, Debug)]
    struct Numbers {
        #[serde(default)]
        unsigned: Option<u64>,
        #[serde(default)]
        signed: i32,
        #[serde(default)]
        many: Vec<u8>,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        nested: Option<Box<Numbers>>,
        #[serde(default)]
        colour: Option<Colour>,
        #[serde(default)]
        float: f64,
        #[serde(default)]
        raw: Option<Json>,
    }

    #[test]
    fn integers_may_be_written_as_whole_floats_wherever_they_stand() {
        let read: Numbers = decode(
            br#"{"unsigned":1.7e12,"signed":-3.0,"many":[1,2.0,2.5e1],"inner":60000.0,
                 "nested":{"unsigned":9007199254740991.0,"signed":-0.0,"colour":"red"},"float":1,"raw":60000.0}"#,
        )
        .expect("whole");
        assert_eq!((read.unsigned, read.signed), (Some(1_700_000_000_000), -3));
        assert_eq!(
            (read.many, read.inner),
            (vec![1, 2, 25], Some(Inner(60_000)))
        );
        let nested = read.nested.expect("there");
        assert_eq!((nested.unsigned, nested.signed), (Some((1 << 53) - 1), 0));
        assert_eq!(nested.colour, Some(Colour::Red));
        assert_eq!(read.float.to_bits(), 1.0_f64.to_bits());
        let raw = read.raw.expect("there");
        assert_eq!(raw.text(), "60000.0", "what is the user's stays as it is");
        let exact: Numbers = decode(br#"{"unsigned":18446744073709551615}"#).expect("fits");
        assert_eq!(exact.unsigned, Some(u64::MAX));
    }

    #[test]
    fn what_is_no_integer_no_object_and_no_word_is_refused_with_its_place() {
        for (text, path, words) in [
            (
                r#"{"unsigned":1.5}"#,
                "unsigned",
                "floating point `1.5`, expected u64",
            ),
            (
                r#"{"unsigned":-1.0}"#,
                "unsigned",
                "integer `-1`, expected u64",
            ),
            (
                r#"{"many":[1,256.0]}"#,
                "many[1]",
                "integer `256`, expected u8",
            ),
            (
                r#"{"unsigned":9007199254740993.0}"#,
                "unsigned",
                "may have been rounded",
            ),
            (
                r#"{"unsigned":18446744073709551616}"#,
                "unsigned",
                "may have been rounded",
            ),
            (
                r#"{"nested":[1.0,2]}"#,
                "nested",
                "expected an object, {…}, but got a list",
            ),
            (r#"{"nested":"x"}"#, "nested", "expected an object, {…}"),
            (r#"{"colour":{"red":null}}"#, "colour", "expected a text"),
            (
                r#"{"colour":"blue"}"#,
                "colour",
                "unknown variant `blue`, expected `red`",
            ),
        ] {
            let rejection = decode::<Numbers>(text.as_bytes()).expect_err(text);
            assert_eq!(rejection.path.as_deref(), Some(path), "{rejection}");
            assert!(rejection.reason.contains(words), "{rejection}");
            assert!(rejection.reason.contains("line 1 column"), "{rejection}");
        }
        let list = decode::<Numbers>(b" [1]").expect_err("a list");
        assert_eq!(list.reason, "expected an object, {…}, but got a list");
    }

    #[test]
    fn a_bad_field_is_named_with_its_place() {
        let rejection =
            decode::<Holder>(br#"{"count":"many"}"#).expect_err("a string is no number");
        assert_eq!(rejection.path.as_deref(), Some("count"));
        assert!(
            rejection.reason.contains("expected u32"),
            "{}",
            rejection.reason
        );
        assert!(
            rejection.reason.contains("line 1 column"),
            "{}",
            rejection.reason
        );
    }
}

//! JSON that belongs to the user: carried byte for byte, never re-rounded, never re-ordered.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::reply::{Code, Rejection};

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

/// For optional fields in which `null` is a value of its own: `#[serde(default, deserialize_with = "present")]`.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// Reads a command's payload.
///
/// # Errors
/// 400 with the path, what was expected, and the line and column.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Rejection> {
    // A struct would be read from a list as well, by the order of its fields.
    if payload.trim_ascii_start().first() == Some(&b'[') {
        let reason = "expected an object, {…}, but got a list";
        return Err(Rejection::new(Code::Malformed, reason));
    }
    // To keep track of the path costs as much as to read; only what fails is read again for it.
    if let Ok(value) = serde_json::from_slice(payload) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner().to_string();
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
        .map_err(|error| Rejection::new(Code::Malformed, error.to_string()))?;
    Ok(value)
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

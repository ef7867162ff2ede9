//! A key's value: held once, though the engine and the retained message that shows it both need it.
//!
//! A value that stands is a slice of that message as soon as the desk has made it; in a room whose
//! messages are CBOR it stays text of its own. A value of the past has let go of the message that
//! showed it.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::json::Json;
use crate::wire::name::Key;

#[derive(Debug, Clone)]
pub(super) enum StoredValue {
    Own(Json),
    /// JSON text within the message that shows it.
    Shown(Bytes),
}

impl StoredValue {
    /// How long its text is, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            StoredValue::Own(json) => json.text().len(),
            StoredValue::Shown(text) => text.len(),
        }
    }

    /// As a value of its own.
    pub(super) fn json(&self) -> Json {
        match self {
            StoredValue::Own(json) => json.clone(),
            StoredValue::Shown(text) => {
                let text = std::str::from_utf8(text).ok();
                let json = text.and_then(|text| Json::parse(text).ok());
                json.expect("it was JSON when it was written, and bytes never change")
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            StoredValue::Own(json) => json.text().as_bytes(),
            StoredValue::Shown(text) => text,
        }
    }

    /// Lets go of the memory of a message, which may be much more than the value.
    pub(super) fn detach(&mut self) {
        if let StoredValue::Shown(_) = self {
            *self = StoredValue::Own(self.json());
        }
    }

    /// Takes the text that a message shows in place of its own, if it is the same; else keeps no
    /// other message for it.
    pub(super) fn attach(&mut self, key: &Key, message: &Bytes) {
        // How an entry begins: a key has no letter that JSON would escape.
        let start = r#"{"key":"","value":"#.len() + key.as_str().len();
        let end = start + self.len();
        if message.get(start..end) == Some(self.bytes()) {
            *self = StoredValue::Shown(message.slice(start..end));
        } else {
            self.detach();
        }
    }
}

impl From<Json> for StoredValue {
    fn from(json: Json) -> StoredValue {
        StoredValue::Own(json)
    }
}

impl PartialEq for StoredValue {
    fn eq(&self, other: &StoredValue) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Serialize for StoredValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As `Json` does: in records its text.
        match (self, serializer.is_human_readable()) {
            (StoredValue::Shown(text), false) => {
                serializer.serialize_str(std::str::from_utf8(text).unwrap_or_default())
            }
            _ => self.json().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StoredValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StoredValue, D::Error> {
        Json::deserialize(deserializer).map(StoredValue::Own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::blackboard::Entry;
    use crate::wire::json;
    use crate::wire::name::Agent;

    #[test]
    fn a_value_is_found_in_the_message_that_shows_it_and_nowhere_else() {
        let json = Json::parse(r#"{"a": 1.10, "b":"ü"}"#).unwrap();
        let key = Key::new("plan/x-1").unwrap();
        let entry = Entry {
            key: key.clone(),
            value: json.clone(),
            version: 1,
            revision: 1,
            updated_at: 1,
            updated_by: Agent::new("a").unwrap(),
            expires_at: None,
        };
        let message = json::encode(&entry);
        let mut value = StoredValue::from(json.clone());
        value.attach(&Key::new("plan/x-22").unwrap(), &message);
        value.attach(&key, &message.slice(..10));
        assert!(matches!(value, StoredValue::Own(_)));
        value.attach(&key, &message);
        assert!(matches!(value, StoredValue::Shown(_)));
        assert_eq!(
            (value.json(), value.len()),
            (json.clone(), json.text().len())
        );
        assert_eq!(value, StoredValue::from(json.clone()));
        let record = serde_cbor::to_vec(&value).unwrap();
        assert_eq!(record, serde_cbor::to_vec(&json).unwrap());
        value.attach(&key, &Bytes::from_static(b"CBOR"));
        assert!(matches!(value, StoredValue::Own(own) if own == json));
    }
}

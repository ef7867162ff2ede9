//! Fitting: how large a message is as a packet, and what one of the gateway's leaves out where its
//! reader cannot take it whole.
//!
//! Small devices read into a buffer of fixed size and lose what is larger. The engine and the desk
//! ask here; what they do about it is theirs.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::cbor;
use super::json::{self, Json};
use super::message::Qos;
use super::presence::Encoding;

/// Bytes of a PUBLISH (MQTT 3.1.1 section 3.3): fixed header, topic with its length, packet
/// identifier where it has one, payload. What properties MQTT 5 adds is not counted; such a client
/// can say its Maximum Packet Size.
pub fn packet_bytes(topic: usize, payload: usize, qos: Qos) -> usize {
    let packet_id = if qos == Qos::AtMostOnce { 0 } else { 2 };
    let remaining = 2 + topic + packet_id + payload;
    let length = match remaining {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    };
    1 + length + remaining
}

/// What may be left out of a message of the gateway's, in this order, until it fits.
const BULK: [&str; 14] = [
    "data",
    "result",
    "schema",
    "question",
    "content",
    "current",
    "versions",
    "tasks",
    "tracestate",
    "traceparent",
    "path",
    "by",
    "lock",
    "digest",
];
/// Lists that must be there, but may be empty.
const LISTS: [&str; 2] = ["tasks", "by"];
/// The field that says that something has been left out, and how many bytes there would have been.
const SAYS_SO: &str = "tooLarge";

/// A message of the gateway's in at most `most` bytes, in the encoding that it has: bulk is left
/// out, then words are cut; `tooLarge` says how many bytes there were. `None` if it cannot be made
/// to fit.
pub fn shorten(payload: &[u8], most: usize, bytes: usize) -> Option<Bytes> {
    let encoding = Encoding::of(payload);
    let mut fields: Fields = match encoding {
        Encoding::Json => json::decode(payload).ok()?,
        Encoding::Cbor => json::decode(&cbor::to_json(payload).ok()?).ok()?,
    };
    let size = |fields: &Fields| encoding.length_of(fields);
    // It may have been shortened for a reader with more room, who never acknowledged it.
    if !fields.0.iter().any(|(field, _)| field == SAYS_SO) {
        fields.0.push((SAYS_SO.to_owned(), Json::of(&bytes)));
    }
    for name in BULK {
        fields.drop_bulk(name);
        if size(&fields) <= most {
            break;
        }
    }
    let over = size(&fields).saturating_sub(most);
    if over > 0 {
        fields.cut_words(over);
    }
    if size(&fields) > most {
        return None;
    }
    Some(encoding.encode(json::encode(&fields)))
}

/// The fields of an object, in order.
struct Fields(Vec<(String, Json)>);

impl Fields {
    fn drop_bulk(&mut self, name: &str) {
        if LISTS.contains(&name) {
            self.replace(name, |_| Some(Json::of::<[u8]>(&[])));
        } else {
            self.0.retain(|(field, _)| field != name);
        }
        self.replace("error", |error| {
            let mut error: Fields = json::decode(error.text().as_bytes()).ok()?;
            error.0.retain(|(field, _)| field != "data");
            Some(Json::of(&error))
        });
    }

    fn replace(&mut self, name: &str, with: impl FnOnce(&Json) -> Option<Json>) {
        let field = self.0.iter_mut().find(|(field, _)| field == name);
        if let Some((_, value)) = field
            && let Some(new) = with(value)
        {
            *value = new;
        }
    }

    /// Makes its words shorter by so many bytes, as far as they go.
    fn cut_words(&mut self, over: usize) {
        self.replace("action", |action| cut(action, over));
        self.replace("reason", |reason| cut(reason, over));
        self.replace("error", |error| {
            let mut error: Fields = json::decode(error.text().as_bytes()).ok()?;
            error.replace("message", |message| cut(message, over));
            Some(Json::of(&error))
        });
    }
}

/// A JSON string without its last bytes: no fewer than `over`, unless it has no more. As many of
/// CBOR, where escapes are shorter.
fn cut(text: &Json, over: usize) -> Option<Json> {
    let text: String = serde_json::from_str(text.text()).ok()?;
    let mut end = text.len().saturating_sub(over);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(Json::of(&text[..end]))
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(message: &str, most: usize) -> Option<String> {
        let short = shorten(message.as_bytes(), most, message.len())?;
        assert!(short.len() <= most);
        let cbor = shorten(&cbor::from_json(message.as_bytes()), most, message.len())?;
        assert!(cbor.len() <= most && cbor::is_map(&cbor));
        Some(String::from_utf8(short.to_vec()).unwrap())
    }

    #[test]
    fn a_packet_is_counted_with_its_header() {
        assert_eq!(packet_bytes(3, 2, Qos::AtMostOnce), 2 + 5 + 2);
        assert_eq!(packet_bytes(3, 2, Qos::AtLeastOnce), 2 + 5 + 2 + 2);
        for (payload, header) in [(120, 2), (121, 3), (16_376, 3), (16_377, 4), (2_097_145, 5)] {
            let bytes = packet_bytes(3, payload, Qos::ExactlyOnce);
            assert_eq!(bytes, header + 5 + 2 + payload, "{payload}");
        }
    }

    #[test]
    fn bulk_goes_first_and_says_so() {
        let result = format!(
            r#"{{"task":"t","status":"succeeded","final":true,"result":"{}","attempts":1,"at":5}}"#,
            "x".repeat(200)
        );
        assert_eq!(
            short(&result, 120).unwrap(),
            r#"{"task":"t","status":"succeeded","final":true,"attempts":1,"at":5,"tooLarge":278}"#
        );
        let group = r#"{"group":"g","status":"group","size":9,"tasks":[{"task":"a"},{"task":"bbbbbbbbbbbbbbbbbb"}],"at":5}"#;
        assert_eq!(
            short(group, 80).unwrap(),
            r#"{"group":"g","status":"group","size":9,"tasks":[],"at":5,"tooLarge":99}"#
        );
    }

    #[test]
    fn what_is_short_already_can_become_shorter() {
        let reply =
            r#"{"command":"c","code":409,"reason":"aaaaaaaaaaaaaaa","current":1,"tooLarge":900}"#;
        let once = r#"{"command":"c","code":409,"reason":"aaaaaaaaaaaaaaa","tooLarge":900}"#;
        assert_eq!(short(reply, 70).as_deref(), Some(once));
        let twice = r#"{"command":"c","code":409,"reason":"aaaaa","tooLarge":900}"#;
        assert_eq!(short(once, 58).as_deref(), Some(twice));
    }

    #[test]
    fn words_are_cut_to_what_fits() {
        let reply = r#"{"command":"c","status":"rejected","code":409,"reason":"ééééééééééééééééééé","current":{"value":1}}"#;
        let fits = short(reply, 90).unwrap();
        assert!(
            fits.contains(r#""reason":"ééééé"#) && !fits.contains("current"),
            "{fits}"
        );
        let dead = r#"{"task":"t","final":true,"error":{"code":"e","message":"aaaaaaaaaaaaaaaaaaaaaaaaaaa","data":[1]}}"#;
        let fits = short(dead, 80).unwrap();
        assert!(
            fits.contains(r#""message":"aa"#) && !fits.contains("data"),
            "{fits}"
        );
    }

    #[test]
    fn what_cannot_fit_is_not_made_to() {
        assert_eq!(
            short(r#"{"command":"handoff/dispatch","code":200}"#, 40),
            None
        );
        assert_eq!(short("bytes", 40), None);
    }
}

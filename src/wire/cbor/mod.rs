//! CBOR (RFC 8949) on the wire, as another spelling of the same JSON: the gateway translates at its edge and thinks in JSON.
//!
//! What comes in is read by [`to_json`], which refuses what JSON cannot say; what goes out is written by [`from_json`], which
//! refuses nothing. It knows no message of ours: users' values inside are translated like the rest. The engine calls both.
//!
//! | CBOR | JSON |
//! |---|---|
//! | integers from -2⁶⁴ to 2⁶⁴-1 | the same integer; larger ones in JSON become floats, as they do in most readers of JSON |
//! | floats of 16, 32 and 64 bits | a number with a point or an exponent: it comes back as a float, in the shortest form that holds it |
//! | text, arrays, maps with text keys, `true`, `false`, `null` | the same, in the same order |
//! | `undefined` | `null` |
//! | a tag | what is tagged, without the tag |
//! | items of indefinite length | the same as with a length |
//! | byte strings, keys that are no text, infinities and NaN, other simple values, deeper than [`MAX_DEPTH`] | nothing: refused |

mod read;
mod write;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::Serialize;

use super::json;
use super::presence::Encoding;

pub use read::{MAX_DEPTH, to_json};
pub use write::{Token, Tokens, from_json, length_of};

use write::may_be_longer;

/// The MQTT 5 Content Type of CBOR.
pub const CONTENT_TYPE: &str = "application/cbor";

/// The tag that says nothing but that CBOR follows (RFC 8949 section 3.4.6).
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// Whether a payload begins as a CBOR map does: no JSON text begins so.
pub fn is_map(payload: &[u8]) -> bool {
    let payload = payload.strip_prefix(&SELF_DESCRIBED).unwrap_or(payload);
    matches!(payload.first(), Some(0xa0..=0xbb | 0xbf))
}

/// Whether a Content Type says CBOR, whatever its parameters.
pub fn is_content_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(CONTENT_TYPE)
}

impl Encoding {
    /// What a payload is in that is an object in either of the two.
    pub fn of(payload: &[u8]) -> Encoding {
        if is_map(payload) {
            Encoding::Cbor
        } else {
            Encoding::Json
        }
    }

    /// A JSON text in this encoding.
    pub fn spell(self, text: Bytes) -> Bytes {
        match self {
            Encoding::Json => text,
            Encoding::Cbor => from_json(&text),
        }
    }

    /// How many bytes a value has in this encoding.
    pub fn length_of<T: Serialize + ?Sized>(self, value: &T) -> usize {
        match self {
            Encoding::Json => json::length(value),
            Encoding::Cbor => length_of(&json::encode(value)),
        }
    }

    /// How many bytes a value has in whichever encoding it is larger. Only `text`, which it holds, may be longer in CBOR.
    pub fn greatest_length_of<T: Serialize + ?Sized>(value: &T, text: &str) -> usize {
        let length = Encoding::Json.length_of(value);
        if may_be_longer(text) {
            length.max(Encoding::Cbor.length_of(value))
        } else {
            length
        }
    }
}

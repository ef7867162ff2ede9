//! CBOR (RFC 8949) on the wire, as another spelling of the same JSON: the gateway translates at its
//! edge and thinks in JSON.
//!
//! What comes in is read by [`to_json`], which refuses what JSON cannot say; what goes out is
//! written by [`from_json`], which refuses nothing. It knows no message of ours: users' values
//! inside are translated like the rest. The engine calls both.
//!
//! | CBOR | JSON |
//! |---|---|
//! | integers from -2⁶⁴ to 2⁶⁴-1 | the same integer; a larger one in JSON becomes a big integer, or a float where none is as large |
//! | floats of 16, 32 and 64 bits | a number with a point or an exponent: it comes back as a float, in the shortest form that holds it; of 16 bits only to who has sent one |
//! | text, arrays, maps with text keys, `true`, `false`, `null` | the same, in the same order |
//! | `undefined` | `null` |
//! | tags 2 to 5: big integers, decimal fractions and bigfloats | the number |
//! | tags 0 and 1: times | the text or the number that is tagged |
//! | tags 55799 and 259: that it is CBOR, that a map is a map | what is tagged |
//! | items of indefinite length | the same as with a length |
//! | other tags, byte strings, keys that are no text, infinities and NaN, other simple values, deeper than [`MAX_DEPTH`] | nothing: refused |

mod read;
mod tags;
mod write;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::Serialize;

use super::json;
use super::presence::Encoding;

pub use read::{MAX_DEPTH, has_half_float, to_json};
pub use tags::untagged;
pub use write::{JsonTokens, Token, from_json, length_of};

use write::may_be_longer;

/// The MQTT 5 Content Type of CBOR.
pub const CONTENT_TYPE: &str = "application/cbor";

/// Whether a payload begins as a CBOR map does, tagged or not: no JSON text begins so.
pub fn is_map(payload: &[u8]) -> bool {
    matches!(untagged(payload).first(), Some(0xa0..=0xbb | 0xbf))
}

/// Whether a payload begins as a map, an array or a tag of CBOR does, which no JSON text does: what
/// is meant to be CBOR is judged as such.
pub fn begins(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(0x80..=0xdb))
}

/// How somebody is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReaderEncoding {
    /// The encoding.
    pub encoding: Encoding,
    /// In CBOR: whether floats may have 16 bits, which not every reader knows.
    pub half_floats: bool,
}

impl ReaderEncoding {
    /// A JSON text, spelt so.
    pub fn encode(self, text: Bytes) -> Bytes {
        match self.encoding {
            Encoding::Json => text,
            Encoding::Cbor => write::spelt(&text, self.half_floats),
        }
    }

    /// How many bytes a value has.
    pub fn length_of<T: Serialize + ?Sized>(self, value: &T) -> usize {
        match self.encoding {
            Encoding::Json => json::length(value),
            Encoding::Cbor => write::length_spelt(&json::encode(value), self.half_floats),
        }
    }
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

    /// As everybody can read it.
    fn plain(self) -> ReaderEncoding {
        ReaderEncoding {
            encoding: self,
            half_floats: false,
        }
    }

    /// A JSON text in this encoding, without half floats.
    pub fn encode(self, text: Bytes) -> Bytes {
        self.plain().encode(text)
    }

    /// How many bytes a value has in this encoding at most.
    pub fn length_of<T: Serialize + ?Sized>(self, value: &T) -> usize {
        self.plain().length_of(value)
    }

    /// How many bytes a value has in whichever encoding it is larger. Only `text`, which it holds,
    /// may be longer in CBOR.
    pub fn greatest_length_of<T: Serialize + ?Sized>(value: &T, text: &str) -> usize {
        let length = Encoding::Json.length_of(value);
        if may_be_longer(text) {
            length.max(Encoding::Cbor.length_of(value))
        } else {
            length
        }
    }
}

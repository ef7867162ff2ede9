//! What the fuzz targets share with the tests: the same files, so that an input that was found here
//! runs there.

#[path = "../../tests/it/harness/codec.rs"]
mod codec;
#[path = "../../tests/it/abuse/fuzzed/mod.rs"]
mod fuzzed;
#[path = "../../tests/it/harness/packet.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod packet;
#[path = "../../tests/it/harness/properties.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod properties;

mod packets {
    pub(crate) use crate::codec::{decode, encode};
    pub(crate) use crate::packet::{Ack, Connect, Packet, Publish, Version, Will};
    pub(crate) use crate::properties::{Properties, Value};
}

/// A whole session, made of these bytes.
pub fn session(data: &[u8]) {
    fuzzed::run(data);
}

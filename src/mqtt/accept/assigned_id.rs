//! Ids for clients that bring none.

use std::hash::{BuildHasher, RandomState};

use ulid::Ulid;

use crate::clock::wall;

/// A client id that nobody else has (MQTT-3.1.3-6). Its random part is keyed by the operating
/// system.
pub(super) fn assigned_client_id() -> String {
    let random = || u128::from(RandomState::new().hash_one(wall()));
    Ulid::from_parts(wall(), random() << 64 | random()).to_string()
}

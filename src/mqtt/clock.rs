//! The wall clock, and ids for clients that bring none.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use ulid::Ulid;

use crate::wire::Millis;

/// Unix milliseconds.
pub(super) fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// A client id that nobody else has (MQTT-3.1.3-6). Its random part is keyed by the operating system.
pub(super) fn assigned_client_id() -> String {
    let random = || u128::from(RandomState::new().hash_one(now()));
    Ulid::from_parts(now(), random() << 64 | random()).to_string()
}

//! The digest that ties an approval to what was shown and a tool to its contract: equal JSON values have equal ones, however
//! they are spelt and ordered.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// SHA-256 in hexadecimal over the canonical JSON (RFC 8785) of a value.
///
/// # Errors
/// A number that RFC 8785 cannot express: not finite, or too large for a double.
pub(super) fn digest<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let hash = Sha256::digest(serde_json_canonicalizer::to_vec(value)?);
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

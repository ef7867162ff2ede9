//! One password hash: our own Argon2id, and the three forms that mosquitto's files have. Slow on
//! purpose, so callers keep it off the threads that serve clients.
//!
//! | form | made by |
//! |---|---|
//! | `$argon2id$v=19$m=…,t=…,p=…$salt$hash` | `hallward passwd`, mosquitto 2.1 |
//! | `$7$iterations$salt$hash`: PBKDF2 with HMAC-SHA-512 | mosquitto 2.0 |
//! | `$6$salt$hash`: one round of SHA-512 over password and salt | mosquitto 1 |

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;

/// The most memory that one Argon2 entry may ask for, in KiB.
const MAX_MEMORY_KIB: u32 = 1 << 20;
/// The most passes, and the most lanes, of one Argon2 entry.
const MAX_PASSES: u32 = 64;
/// The most iterations of one PBKDF2 entry.
const MAX_ITERATIONS: u32 = 10_000_000;
/// What our own entries cost: OWASP's recommendation for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// The shortest hash that counts as one, in bytes.
const MIN_HASH_BYTES: usize = 16;
const MAX_HASH_BYTES: usize = 64;

/// Standard alphabet; mosquitto pads for two of its forms and not for the third.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A text that is no password hash, or one that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// None of the known forms.
    #[error(
        "expected a password hash ($argon2id$…, $7$… or $6$…), but found no known form; \
         mosquitto_passwd -U turns a file of plain passwords into hashes"
    )]
    UnknownForm,
    /// A known form with something wrong in it.
    #[error("{form} hash: expected {expected}")]
    Part {
        /// Which form.
        form: &'static str,
        /// What should have stood there.
        expected: &'static str,
    },
    /// The system gives no random salt, or not the memory.
    #[error("cannot make a hash: {0}")]
    Make(String),
}

/// What a password is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    method: HashMethod,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HashMethod {
    Argon2id(Version, Params),
    Pbkdf2(NonZeroU32),
    Sha512,
}

impl PasswordHash {
    /// Reads one of the forms above.
    ///
    /// # Errors
    /// If it is none of them, or would cost more than a login may.
    pub fn parse(text: &str) -> Result<PasswordHash, HashError> {
        let mut parts = text
            .strip_prefix('$')
            .ok_or(HashError::UnknownForm)?
            .split('$');
        let (form, method) = match parts.next() {
            Some("argon2id") => ("$argon2id$", argon2id(parts.next(), parts.next())?),
            Some("7") => ("$7$", HashMethod::Pbkdf2(iterations(parts.next())?)),
            Some("6") => ("$6$", HashMethod::Sha512),
            _ => return Err(HashError::UnknownForm),
        };
        let broken = |expected| HashError::Part { form, expected };
        let mut base64 = |expected| {
            let text = parts.next().ok_or(broken(expected))?;
            BASE64.decode(text).map_err(|_| broken(expected))
        };
        let salt = base64("a salt in base64")?;
        let hash = base64("a hash in base64 after the salt")?;
        if parts.next().is_some() {
            return Err(broken("nothing after the hash"));
        }
        if salt.is_empty() || salt.len() > MAX_HASH_BYTES {
            return Err(broken("a salt of 1 to 64 bytes"));
        }
        if !(MIN_HASH_BYTES..=MAX_HASH_BYTES).contains(&hash.len()) {
            return Err(broken("a hash of 16 to 64 bytes"));
        }
        Ok(PasswordHash { method, salt, hash })
    }

    /// Hashes a new password: Argon2id with a random salt.
    ///
    /// # Errors
    /// If the system gives no random bytes or not the memory.
    pub fn create(password: &[u8]) -> Result<PasswordHash, HashError> {
        let mut salt = vec![0; SALT_BYTES];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_| HashError::Make("no random bytes".to_owned()))?;
        let params = Params::new(MEMORY_KIB, PASSES, 1, None)
            .map_err(|error| HashError::Make(error.to_string()))?;
        let mut made = PasswordHash {
            method: HashMethod::Argon2id(Version::V0x13, params),
            salt,
            hash: vec![0; HASH_BYTES],
        };
        made.hash = made
            .derive(password)
            .ok_or_else(|| HashError::Make("Argon2 refused".to_owned()))?;
        Ok(made)
    }

    /// Whether this is the password. Takes the same time whether it is or not.
    pub fn verify(&self, password: &[u8]) -> bool {
        self.derive(password)
            .is_some_and(|derived| derived.ct_eq(&self.hash).into())
    }

    fn derive(&self, password: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; self.hash.len()];
        match &self.method {
            HashMethod::Argon2id(version, params) => {
                Argon2::new(Algorithm::Argon2id, *version, params.clone())
                    .hash_password_into(password, &self.salt, &mut out)
                    .ok()?;
            }
            HashMethod::Pbkdf2(iterations) => {
                let sha512 = ring::pbkdf2::PBKDF2_HMAC_SHA512;
                ring::pbkdf2::derive(sha512, *iterations, &self.salt, password, &mut out);
            }
            HashMethod::Sha512 => {
                let mut context = ring::digest::Context::new(&ring::digest::SHA512);
                context.update(password);
                context.update(&self.salt);
                out = context.finish().as_ref().to_vec();
            }
        }
        Some(out)
    }
}

impl std::fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (salt, hash) = (BASE64.encode(&self.salt), BASE64.encode(&self.hash));
        match &self.method {
            HashMethod::Argon2id(version, params) => write!(
                f,
                "$argon2id$v={}$m={},t={},p={}${salt}${hash}",
                u32::from(*version),
                params.m_cost(),
                params.t_cost(),
                params.p_cost()
            ),
            HashMethod::Pbkdf2(iterations) => write!(f, "$7${iterations}${salt}${hash}"),
            HashMethod::Sha512 => write!(f, "$6${salt}${hash}"),
        }
    }
}

fn argon2id(version: Option<&str>, costs: Option<&str>) -> Result<HashMethod, HashError> {
    let broken = |expected| HashError::Part {
        form: "$argon2id$",
        expected,
    };
    let version = match version {
        Some("v=19") => Version::V0x13,
        Some("v=16") => Version::V0x10,
        _ => return Err(broken("v=19 after the name")),
    };
    let (mut memory, mut passes, mut lanes) = (None, None, None);
    for cost in costs.unwrap_or_default().split(',') {
        let (name, value) = cost.split_once('=').unwrap_or((cost, ""));
        let place = match name {
            "m" => &mut memory,
            "t" => &mut passes,
            "p" => &mut lanes,
            _ => return Err(broken("m=…,t=…,p=… after the version")),
        };
        *place = value.parse::<u32>().ok();
    }
    let (Some(memory), Some(passes), Some(lanes)) = (memory, passes, lanes) else {
        return Err(broken("m=…,t=…,p=… after the version"));
    };
    if memory > MAX_MEMORY_KIB || passes > MAX_PASSES || lanes > MAX_PASSES {
        return Err(broken("at most m=1048576,t=64,p=64"));
    }
    let params = Params::new(memory, passes, lanes, None)
        .map_err(|_| broken("costs that Argon2 allows (m at least 8 times p)"))?;
    Ok(HashMethod::Argon2id(version, params))
}

fn iterations(text: Option<&str>) -> Result<NonZeroU32, HashError> {
    text.and_then(|text| text.parse().ok())
        .filter(|iterations: &NonZeroU32| iterations.get() <= MAX_ITERATIONS)
        .ok_or(HashError::Part {
            form: "$7$",
            expected: "1 to 10000000 iterations",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by `mosquitto_passwd` 2.0.11, with and without `-H sha512`, for "correct horse".
    const SEVEN: &str = "$7$101$cK04mgLtgIJLmVsk$aqyrwQ/UZOB7v7bAm3DVH6x6s7ZaQigOKvps9lSrWcGhE0ntgglz7nKlLkMe8kIKkpje+leN5UADEWHocBqOCg==";
    const SIX: &str = "$6$J/PG8rvGaFleaxpa$b/oCbPUKxYY5PQdjpXkcmmAGCxo77DVO6/sGifQYupUR7X0XGvzd0Bn5emlv2mKUkZolud7+GQEoJHVk915s9g==";
    /// From the tests of Argon2's reference implementation.
    const REFERENCE: &str =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[test]
    fn mosquitto_hashes_verify() {
        for text in [SEVEN, SIX] {
            let hash = PasswordHash::parse(text).unwrap();
            assert!(hash.verify(b"correct horse"), "{text}");
            assert!(!hash.verify(b"correct horsf"), "{text}");
            assert!(!hash.verify(b""), "{text}");
        }
    }

    #[test]
    fn reference_argon2id_verifies() {
        let hash = PasswordHash::parse(REFERENCE).unwrap();
        assert!(hash.verify(b"password"));
        assert!(!hash.verify(b"Password"));
        assert_eq!(hash.to_string(), REFERENCE);
    }

    #[test]
    fn own_hashes_read_back_and_differ_each_time() {
        let one = PasswordHash::create(b"secret").unwrap();
        let other = PasswordHash::create(b"secret").unwrap();
        assert_ne!(one, other);
        let read = PasswordHash::parse(&one.to_string()).unwrap();
        assert_eq!(read, one);
        assert!(read.verify(b"secret") && !read.verify(b"secreT"));
    }

    #[test]
    fn broken_and_monstrous_hashes_are_refused_with_words() {
        for (text, part) in [
            ("plain", "no known form"),
            ("$5$a$b", "no known form"),
            ("$7$0$AAAA$AAAA", "iterations"),
            ("$7$99999999$AAAA$AAAA", "iterations"),
            ("$7$101$AAAA", "after the salt"),
            ("$7$101$AAAA$AAAA", "16 to 64 bytes"),
            ("$6$!!$AAAA", "a salt in base64"),
            ("$argon2id$v=18$m=8,t=1,p=1$AAAA$AAAA", "v=19"),
            ("$argon2id$v=19$m=8,t=1$AAAA$AAAA", "m=…,t=…,p=…"),
            ("$argon2id$v=19$m=99999999,t=1,p=1$AAAA$AAAA", "at most"),
        ] {
            let error = PasswordHash::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

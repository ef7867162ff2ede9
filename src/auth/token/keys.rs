//! The keys that tokens may be signed with, from a key file or a JSON Web Key Set, each bound to
//! its algorithms.

use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use ring::digest::{SHA256, digest};

use crate::auth::problem::{FileProblem, read_text};

/// The shortest HMAC secret, in bytes: what HS256 needs (RFC 7518 section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// The most keys of one set.
const MAX_KEYS: usize = 1000;

const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];

/// Tells keys apart without holding them.
pub(in crate::auth) type KeyPrint = [u8; 32];

/// A key, and what it may be used for.
#[derive(Debug)]
pub(super) struct VerificationKey {
    /// `kid`.
    pub(super) id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
    pub(super) print: KeyPrint,
}

impl VerificationKey {
    fn new(
        id: Option<String>,
        algorithms: &[Algorithm],
        key: DecodingKey,
        text: &[u8],
    ) -> VerificationKey {
        let mut print = KeyPrint::default();
        print.copy_from_slice(digest(&SHA256, text).as_ref());
        VerificationKey {
            id,
            algorithms: algorithms.to_vec(),
            key,
            print,
        }
    }
}

/// A public key in PEM, or else an HMAC secret: the text of the file without white space at its
/// ends.
pub(super) fn from_key_file(path: &Path) -> Result<Vec<VerificationKey>, FileProblem> {
    let text = read_text(path)?;
    let text = text.trim();
    let bad = |message: &str| Err(FileProblem::whole(path, message));
    if text.contains("PRIVATE KEY") {
        return bad(
            "expected a public key or a secret, but this is a private key: keep it where tokens are signed",
        );
    }
    let bytes = text.as_bytes();
    if text.starts_with("-----BEGIN") {
        if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
            return Ok(vec![VerificationKey::new(None, RSA, key, bytes)]);
        }
        let Ok(key) = DecodingKey::from_ec_pem(bytes) else {
            return bad("expected a public key in PEM of RSA, P-256 or P-384");
        };
        let point = key.try_get_as_bytes().map_or(0, <[u8]>::len);
        let Some(algorithms) = of_point(point) else {
            return bad("expected an EC public key of the curve P-256 or P-384");
        };
        return Ok(vec![VerificationKey::new(None, algorithms, key, bytes)]);
    }
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(FileProblem::whole(
            path,
            format!(
                "expected an HMAC secret of at least {MIN_SECRET_BYTES} bytes, but found {}",
                bytes.len()
            ),
        ));
    }
    let key = DecodingKey::from_secret(bytes);
    Ok(vec![VerificationKey::new(None, HMAC, key, bytes)])
}

/// The algorithm of an uncompressed point by its length: 1 byte and two coordinates.
fn of_point(bytes: usize) -> Option<&'static [Algorithm]> {
    match bytes {
        65 => Some(P256),
        97 => Some(P384),
        _ => None,
    }
}

/// A set as RFC 7517 has it; keys for other purposes than signatures are passed over.
pub(super) fn from_jwks_file(path: &Path) -> Result<Vec<VerificationKey>, FileProblem> {
    let text = read_text(path)?;
    let set: JwkSet = serde_json::from_str(&text).map_err(|error| {
        FileProblem::at(
            path,
            error.line(),
            format!("expected a JSON Web Key Set: {error}"),
        )
    })?;
    if set.keys.len() > MAX_KEYS {
        return Err(FileProblem::whole(
            path,
            format!("expected at most {MAX_KEYS} keys"),
        ));
    }
    let mut keys = Vec::new();
    for (index, jwk) in set.keys.iter().enumerate() {
        let bad = |message: String| FileProblem::whole(path, format!("key {index}: {message}"));
        if let Some(key) = from_jwk(jwk).map_err(bad)? {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        let message = "expected at least one key for signatures (RSA, EC P-256 or P-384, or oct)";
        return Err(FileProblem::whole(path, message));
    }
    Ok(keys)
}

fn from_jwk(jwk: &Jwk) -> Result<Option<VerificationKey>, String> {
    use jsonwebtoken::jwk::PublicKeyUse;
    if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return Ok(None);
    }
    let allowed = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA,
        AlgorithmParameters::OctetKey(_) => HMAC,
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => P256,
            EllipticCurve::P384 => P384,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    if allowed == HMAC && key.try_get_as_bytes().map_or(0, <[u8]>::len) < MIN_SECRET_BYTES {
        return Err(format!(
            "expected a secret of at least {MIN_SECRET_BYTES} bytes"
        ));
    }
    let named = jwk
        .common
        .key_algorithm
        .map(|algorithm| algorithm.to_string());
    let algorithms: Vec<Algorithm> = match named {
        None => allowed.to_vec(),
        Some(name) => {
            let named = allowed.iter().find(|one| format!("{one:?}") == name);
            let Some(named) = named else {
                return Err(format!("alg {name} does not fit the kind of key"));
            };
            vec![*named]
        }
    };
    let text = serde_json::to_vec(jwk).map_err(|error| error.to_string())?;
    let id = jwk.common.key_id.clone();
    Ok(Some(VerificationKey::new(id, &algorithms, key, &text)))
}

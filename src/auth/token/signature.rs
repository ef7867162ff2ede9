//! Fits ring's signature checks into the `jsonwebtoken` crate, which leaves the cryptography to
//! whoever uses it. Checks only: the gateway signs nothing.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    self as algorithms, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use ring::{hmac, signature::VerificationAlgorithm};
use signature::{Error as Invalid, Verifier};

static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Ring {
            algorithm: *algorithm,
            method: method(*algorithm)?,
            key: key.clone(),
        }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring the process's choice, once.
pub(super) fn install() {
    // A second call finds it in place.
    let _ = RING.install_default();
}

#[derive(Clone, Copy)]
enum SignatureMethod {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters),
    Ec(&'static dyn VerificationAlgorithm),
}

struct Ring {
    algorithm: Algorithm,
    method: SignatureMethod,
    key: DecodingKey,
}

fn method(algorithm: Algorithm) -> Result<SignatureMethod, Error> {
    Ok(match algorithm {
        Algorithm::HS256 => SignatureMethod::Hmac(hmac::HMAC_SHA256),
        Algorithm::HS384 => SignatureMethod::Hmac(hmac::HMAC_SHA384),
        Algorithm::HS512 => SignatureMethod::Hmac(hmac::HMAC_SHA512),
        Algorithm::RS256 => SignatureMethod::Rsa(&algorithms::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => SignatureMethod::Rsa(&algorithms::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => SignatureMethod::Rsa(&algorithms::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => SignatureMethod::Rsa(&algorithms::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => SignatureMethod::Rsa(&algorithms::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => SignatureMethod::Rsa(&algorithms::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => SignatureMethod::Ec(&algorithms::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => SignatureMethod::Ec(&algorithms::ECDSA_P384_SHA384_FIXED),
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    })
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Invalid> {
        let invalid = |_| Invalid::new();
        match (self.method, self.key.kind()) {
            (SignatureMethod::Hmac(algorithm), DecodingKeyKind::SecretOrDer(secret)) => {
                let key = hmac::Key::new(algorithm, secret);
                hmac::verify(&key, message, signature).map_err(invalid)
            }
            (SignatureMethod::Rsa(parameters), DecodingKeyKind::SecretOrDer(der)) => {
                let key = UnparsedPublicKey::new(parameters, der);
                key.verify(message, signature).map_err(invalid)
            }
            (SignatureMethod::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).map_err(invalid)
            }
            (SignatureMethod::Ec(algorithm), DecodingKeyKind::SecretOrDer(point)) => {
                let key = UnparsedPublicKey::new(algorithm, point);
                key.verify(message, signature).map_err(invalid)
            }
            _ => Err(Invalid::new()),
        }
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

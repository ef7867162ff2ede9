//! JSON Web Tokens in place of passwords: which keys may have signed one, and what its claims say.
//!
//! A key is bound to its algorithms when it is read, so a token cannot choose to have an RSA key
//! used as a secret.

mod keys;
mod signature;

use std::path::Path;
use std::sync::Arc;

use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::problem::FileProblem;
use super::role::{Role, RoleSet};
use super::settings::TokenSettings;
use super::users::RoomPattern;
use crate::wire::Millis;
pub(super) use keys::KeyPrint;
use keys::VerificationKey;

/// The most rooms that one token may name.
const MAX_ROOMS: usize = 1000;

/// Everything that tokens are checked against.
#[derive(Debug)]
pub(super) struct TokenVerifier {
    keys: Vec<VerificationKey>,
    settings: TokenSettings,
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) user: Arc<str>,
    /// Where the token has the claim.
    pub(super) roles: Option<RoleSet>,
    pub(super) rooms: Option<Vec<RoomPattern>>,
    /// When it is over, leeway included.
    pub(super) expires_at: Millis,
    /// The key that signed it.
    pub(super) key: KeyPrint,
}

/// Why a token is no login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("not a token")]
    Malformed,
    #[error("no key fits the token's algorithm and key id")]
    NoKey,
    #[error("{0}")]
    Invalid(String),
    #[error("the claim {0:?} has no user's name")]
    NoUser(String),
}

impl TokenVerifier {
    /// Reads the keys; `None` if no file is configured.
    pub(super) fn load(
        settings: &TokenSettings,
    ) -> Result<Option<TokenVerifier>, Vec<FileProblem>> {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        let sources: [(&Option<_>, fn(&Path) -> _); 2] = [
            (&settings.key_file, keys::from_key_file),
            (&settings.jwks_file, keys::from_jwks_file),
        ];
        let configured = settings.key_file.is_some() || settings.jwks_file.is_some();
        for (path, read) in sources {
            match path.as_deref().map(read) {
                None => {}
                Some(Ok(more)) => found.extend(more),
                Some(Err(problem)) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        signature::install();
        Ok(configured.then(|| TokenVerifier {
            keys: found,
            settings: settings.clone(),
        }))
    }

    /// Whether a password looks like a token, rather than like a password.
    pub(super) fn looks_like_one(password: &[u8]) -> bool {
        // `{"` in base64 is `eyJ` or `ey` with another letter; three parts parted by dots.
        password.starts_with(b"ey") && password.iter().filter(|&&byte| byte == b'.').count() == 2
    }

    /// Whether a session that this key opened may go on.
    pub(super) fn has_key(&self, print: &KeyPrint) -> bool {
        self.keys.iter().any(|key| key.print == *print)
    }

    /// Checks signature, `exp`, `nbf`, `iss` and `aud`, and reads the claims.
    pub(super) fn verify(&self, token: &[u8]) -> Result<Verified, TokenError> {
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        let mut refused = TokenError::NoKey;
        for key in &self.keys {
            let other_id =
                matches!((&key.id, &header.kid), (Some(one), Some(other)) if one != other);
            if other_id || !key.algorithms.contains(&header.alg) {
                continue;
            }
            let mut validation = Validation::new(header.alg);
            self.require(&mut validation);
            match decode::<Map<String, Value>>(token, &key.key, &validation) {
                Ok(token) => return self.claims(&token.claims, key),
                Err(error) => refused = TokenError::Invalid(error.to_string()),
            }
        }
        Err(refused)
    }

    fn require(&self, validation: &mut Validation) {
        validation.leeway = self.settings.leeway.as_secs();
        validation.validate_nbf = true;
        // Without an audience of ours, whom a token is for is not our question.
        validation.validate_aud = self.settings.audience.is_some();
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.settings.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &self.settings.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
    }

    fn claims(
        &self,
        claims: &Map<String, Value>,
        key: &VerificationKey,
    ) -> Result<Verified, TokenError> {
        let settings = &self.settings;
        let user = claims.get(&settings.user_claim).and_then(Value::as_str);
        let user = user.filter(|user| !user.is_empty() && !user.contains('\0'));
        let user = user.ok_or_else(|| TokenError::NoUser(settings.user_claim.clone()))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and a time before 1970 is over anyway"
        )]
        let seconds = claims.get("exp").and_then(Value::as_f64).unwrap_or(0.0) as u64;
        let leeway = settings.leeway.as_secs();
        // Words that mean nothing here may mean something to others who read the token.
        let roles = texts(claims.get(&settings.roles_claim)).map(|words| {
            words
                .iter()
                .filter_map(|word| Role::of_name(word))
                .collect()
        });
        let rooms = texts(claims.get(&settings.rooms_claim)).map(|words| {
            let patterns = words.into_iter().take(MAX_ROOMS);
            patterns
                .filter_map(|word| RoomPattern::try_from(word).ok())
                .collect()
        });
        Ok(Verified {
            user: user.into(),
            roles,
            rooms,
            expires_at: seconds.saturating_add(leeway).saturating_mul(1000),
            key: key.print,
        })
    }
}

/// The words of a claim: a list of texts, or one text with spaces.
fn texts(claim: Option<&Value>) -> Option<Vec<String>> {
    match claim? {
        Value::String(text) => Some(text.split_whitespace().map(str::to_owned).collect()),
        Value::Array(values) => Some(
            values
                .iter()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect(),
        ),
        _ => None,
    }
}

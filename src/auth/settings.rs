//! What the configuration says about authentication. Plain values: who reads them from files is
//! `config`'s business.

use std::path::PathBuf;
use std::time::Duration;

/// Where users, passwords, rights and keys stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthSettings {
    /// The first level of every room topic.
    pub root: String,
    /// `USER:HASH` lines.
    pub password_file: Option<PathBuf>,
    /// Roles and rooms per user (TOML).
    pub users_file: Option<PathBuf>,
    /// Mosquitto's ACL grammar.
    pub acl_file: Option<PathBuf>,
    /// The user as whom clients act that bring no name and no password; `None` refuses them.
    pub anonymous: Option<String>,
    /// Whether a verified client certificate is a login.
    pub certificate: bool,
    /// Which client ids a user may have: texts with `%u` for the user and at most one `*`, at the
    /// end.
    pub client_ids: Vec<String>,
    /// Passwords checked at once; more wait.
    pub max_password_checks: usize,
    /// Tokens in place of passwords.
    pub tokens: TokenSettings,
}

/// How tokens are checked, and which claims say what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenSettings {
    /// An HMAC secret, or a public key in PEM.
    pub key_file: Option<PathBuf>,
    /// A JSON Web Key Set.
    pub jwks_file: Option<PathBuf>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must contain.
    pub audience: Option<String>,
    /// How far `exp` and `nbf` may be off.
    pub leeway: Duration,
    /// The claim with the user's name.
    pub user_claim: String,
    /// The claim with roles.
    pub roles_claim: String,
    /// The claim with rooms.
    pub rooms_claim: String,
}

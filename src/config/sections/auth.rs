//! The section about who may connect, and where it stands what each may do.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::units::duration;

/// `[auth]`: who may connect, and what each may do. An empty text turns off what it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Whether clients must prove who they are, and may do only what somebody has allowed them.
    pub enabled: bool,
    /// Passwords: `USER:HASH` lines, as `hallward passwd` and `mosquitto_passwd` write them.
    pub password_file: PathBuf,
    /// Roles and rooms of users (TOML).
    pub users_file: PathBuf,
    /// Topics that users may read and write, in the grammar of mosquitto's `acl_file`.
    pub acl_file: PathBuf,
    /// The user as whom clients act that bring neither a user name nor a password.
    pub anonymous: String,
    /// Whether the name in a client certificate that TLS has verified is a login.
    pub certificate: bool,
    /// Client ids that a user may have: `%u` is the user's name, a `*` at the end anything.
    pub client_ids: Vec<String>,
    /// Whether acknowledgements of MQTT 5 say that rights are missing, where they are.
    pub reveal_denials: bool,
    /// Passwords checked at once; more wait.
    pub max_password_checks: usize,
    /// Tokens: an HMAC secret, or a public key in PEM.
    pub jwt_key_file: PathBuf,
    /// Tokens: a JSON Web Key Set.
    pub jwt_jwks_file: PathBuf,
    /// What a token's `iss` must be.
    pub jwt_issuer: String,
    /// What a token's `aud` must contain.
    pub jwt_audience: String,
    /// How far a token's `exp` and `nbf` may be off.
    #[serde(with = "duration")]
    pub jwt_leeway: Duration,
    /// The claim with the user's name.
    pub jwt_user_claim: String,
    /// The claim with roles.
    pub jwt_roles_claim: String,
    /// The claim with rooms.
    pub jwt_rooms_claim: String,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            enabled: false,
            password_file: PathBuf::new(),
            users_file: PathBuf::new(),
            acl_file: PathBuf::new(),
            anonymous: String::new(),
            certificate: false,
            client_ids: ["%u", "%u-*", "%u.*", "%u:*"].map(str::to_owned).to_vec(),
            reveal_denials: true,
            max_password_checks: 2,
            jwt_key_file: PathBuf::new(),
            jwt_jwks_file: PathBuf::new(),
            jwt_issuer: String::new(),
            jwt_audience: String::new(),
            jwt_leeway: Duration::ZERO,
            jwt_user_claim: "sub".to_owned(),
            jwt_roles_claim: "roles".to_owned(),
            jwt_rooms_claim: "rooms".to_owned(),
        }
    }
}

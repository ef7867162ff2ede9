//! Who may connect, and what each may do.

use std::path::PathBuf;

use crate::setting::{Span, hours, ms, settings};

settings! {
    /// Who may connect, and what each may do: docs/security.md shows how to set it up. An empty
    /// text turns off what it names.
    pub struct AuthConfig;

    /// Whether clients must prove who they are; then they may do only what somebody has allowed
    /// them, and listening beyond loopback is possible.
    #[restart("connections that stand have proved nothing, and it decides where one may listen")]
    enabled: bool = false;
    /// Passwords: USER:HASH lines, as `hallward passwd` and mosquitto_passwd write them.
    password_file: PathBuf = PathBuf::new();
    /// Roles and rooms of users (TOML).
    users_file: PathBuf = PathBuf::new();
    /// Topics that users may read and write, in the grammar of mosquitto's acl_file.
    acl_file: PathBuf = PathBuf::new();
    /// The user as whom clients act that bring neither a user name nor a password, with that user's
    /// rooms, roles and lines; empty refuses them.
    anonymous: String = String::new();
    /// Whether the name in a client certificate that TLS has verified is a login.
    certificate: bool = false;
    /// Client ids that a user may have: %u is the user's name, a * at the end anything. `["*"]`
    /// binds nobody.
    client_ids: Vec<String> = ["%u", "%u-*", "%u.*", "%u:*"].map(str::to_owned).to_vec();
    /// Whether PUBACK, PUBREC and SUBACK of MQTT 5 tell a client that it lacks the right (0x87), or
    /// only that it is refused (0x80).
    reveal_denials: bool = true;
    /// Passwords checked at once; more wait.
    #[restart("they go by the machine")]
    max_password_checks: usize = 2, 1..=1024
        => "further passwords wait for their turn, within `mqtt.connect_timeout`";
    /// Tokens in place of passwords (JWT): an HMAC secret, or a public key in PEM.
    jwt_key_file: PathBuf = PathBuf::new();
    /// Tokens: a JSON Web Key Set.
    jwt_jwks_file: PathBuf = PathBuf::new();
    /// What a token's "iss" must be; empty for anything.
    jwt_issuer: String = String::new();
    /// What a token's "aud" must contain; empty for anything.
    jwt_audience: String = String::new();
    /// How far a token's "exp" and "nbf" may be off.
    jwt_leeway: Span = ms(0), ms(0)..=hours(1);
    /// The claim with the user's name.
    jwt_user_claim: String = "sub".to_owned();
    /// The claim with roles, a list or words; it goes before the users file.
    jwt_roles_claim: String = "roles".to_owned();
    /// The claim with rooms, a list or words; it goes before the users file.
    jwt_rooms_claim: String = "rooms".to_owned();
}

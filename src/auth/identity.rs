//! Who a client is, once it has proved it.

use std::sync::Arc;

use super::RoleSet;
use super::token::KeyPrint;
use super::users::RoomPattern;
use crate::wire::Millis;

/// A user, and what it was proved by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The name; for a client that brought none, that of the user as whom it acts.
    pub user: Arc<str>,
    pub(super) proof: Proof,
}

/// What must still hold when the files are read anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// None was asked for.
    Anonymous,
    /// This entry of the password file.
    Password(Arc<str>),
    /// A token.
    Token {
        key: KeyPrint,
        expires_at: Millis,
        roles: Option<RoleSet>,
        rooms: Option<Vec<RoomPattern>>,
    },
    /// A certificate that TLS has verified.
    Certificate,
    /// Nothing: somebody asks what this user might do.
    Supposed,
}

impl ClientIdentity {
    /// Whether it is a client without a name that acts as this user.
    pub fn is_anonymous(&self) -> bool {
        self.proof == Proof::Anonymous
    }

    /// When its proof is over.
    pub fn expires_at(&self) -> Option<Millis> {
        match self.proof {
            Proof::Token { expires_at, .. } => Some(expires_at),
            _ => None,
        }
    }
}

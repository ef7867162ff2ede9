//! Who a client is, and what it may do.
//!
//! It owns the files of passwords, users, rights and keys: how they are read, what they answer, and
//! when they are read anew. It knows topics by the grammar in `wire` and nothing of packets or
//! sessions: `mqtt` asks it at CONNECT, PUBLISH, SUBSCRIBE and before each delivery; `runtime`
//! builds the [`Authenticator`] and tells it to read again; `cli` edits and questions the same
//! files.
//!
//! Reading order: `settings`, `identity` (who), `password`, `token` (proved how), `client_id`
//! (under which ids), `users`, `role`, `acl` (what each may do), `rights` (taken together), `rules`
//! (all files at one moment), `authenticator` (the running thing).

mod acl;
mod authenticator;
mod client_id;
mod config;
mod identity;
mod password;
mod prefix;
mod problem;
mod rights;
mod role;
mod rules;
mod settings;
mod stats;
mod token;
mod users;

pub use acl::Decided;
pub use authenticator::{Authenticator, Credentials};
pub use client_id::{BadPattern, ClientIds};
pub use config::AuthConfig;
pub use identity::ClientIdentity;
pub use password::{EditError, HashError, PasswordHash, remove_user, set_password};
pub use problem::{FileProblem, list_problems};
pub use rights::{AccessVerdict, Rights};
pub use role::{Operation, ROWS, Role, RoleRow, RoleSet, may_match};
pub use rules::Rules;
pub use settings::{AuthSettings, TokenSettings};
pub use stats::{AuthRefusal, AuthStats};
pub use users::{Grants, RoomPattern};

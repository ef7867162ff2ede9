//! Passwords: their hashes, and the file that they stand in.

mod edit;
mod file;
mod hash;

pub use edit::{EditError, remove_user, set_password};
pub(super) use file::PasswordFile;
pub use hash::{HashError, PasswordHash};

//! Why a start fails.

use super::records::DeskRecordError;
use crate::ledger::{REMEDIES, Space, StoreError};

/// Why a desk cannot start from its ledger.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One of the desk's records cannot be read.
    #[error("{0}; {REMEDIES}")]
    Record(#[from] DeskRecordError),
    /// One of the engine's records cannot be read.
    #[error("{0}; {REMEDIES}")]
    Engine(#[from] crate::engine::RecordError),
    /// What is kept was made under another root.
    #[error(
        "rooms.root is {configured:?}, but the rooms in the data directory were made under {found:?}, with which the topics of all that \
         is kept begin: set rooms.root to {found:?} again, or choose another data.dir"
    )]
    OtherRoot {
        /// The root that it was made under.
        found: String,
        /// The one that is configured.
        configured: String,
    },
}

impl RecoverError {
    /// The row that cannot be read, or not without another one.
    pub fn row(&self) -> Option<(Space, &[u8])> {
        match self {
            RecoverError::Record(error) => Some(error.row()),
            RecoverError::Engine(error) => Some((Space::Engine, &error.row)),
            RecoverError::Store(_) | RecoverError::OtherRoot { .. } => None,
        }
    }
}

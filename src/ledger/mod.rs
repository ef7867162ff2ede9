//! The durable plane: ordered key spaces on disk, and the thread that makes changes durable before
//! anything leaves.
//!
//! It owns the files below the data directory and the one invariant of the gateway: *nothing leaves
//! before the record that justifies it is on disk*. It never looks inside a key or a value, and
//! decides nothing. The desk hands it sealed batches; recovery scans it once at the start.

pub mod commit;
mod config;
pub mod copy;
mod directory;
pub mod fault;
mod health;
pub mod log;
pub mod memory;
mod open;
pub mod repair;
mod size;
pub mod sqlite;
pub mod store;

#[cfg(test)]
mod agreement;

pub use commit::{CommitOptions, Committer, SealedBatch};
pub use config::DataConfig;
pub use directory::check as check_directory;
pub use fault::FaultStore;
pub use health::{CommitHealth, CommitState};
pub use log::{LogLimits, LogStats, LoggedStore, Snapshots};
pub use memory::MemoryStore;
pub use open::open;
pub use size::DiskUse;
pub use sqlite::SqliteStore;
pub use store::{Batch, REMEDIES, Space, Store, StoreError, StoreReader, Tidied, Visit, VisitKey};

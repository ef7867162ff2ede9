//! The desk: one thread that takes every input that changes durable state, in order, and lets nothing out early.
//!
//! THE INVARIANT: **nothing leaves before the record that justifies it is on disk.** A batch of requests goes through the
//! engine; its records, mailbox entries, retained changes and session changes are one atomic commit; only when that is
//! durable are its acks, deliveries and broadcasts released.
//!
//! Reading order: `port`, `responses` and `subscription` (what sessions and the desk say to each other), `core` (the state
//! machine), `session`, `wills`, `configure`, `subscribe`, `replay`, `publish`, `deliver`, `stall`, `wall`, `replies`, `status`,
//! `own` (what it does with each request), `outbox`, `lanes`, `kind`, `clients`, `client_state`, `mail`, `retained`, `shares`,
//! `collect`, `trie`, `interest`, `memory`, `limits`, `budget`, `journal`, `timers`, `work`, `disk` (what it keeps), `time`, `batch` and `records`
//! (what it writes), `root`, `recover`, `error`, `run` (the thread). No two of them need each other.

mod batch;
mod budget;
mod client_state;
mod clients;
mod collect;
mod configure;
mod core;
mod deliver;
mod disk;
mod error;
mod fit;
mod interest;
mod journal;
mod kind;
mod lanes;
mod limits;
mod mail;
mod memory;
mod outbox;
mod own;
pub mod port;
mod publish;
mod records;
mod recover;
mod refusal;
mod replay;
mod replies;
mod responses;
mod retained;
mod root;
mod run;
mod session;
mod shares;
mod stall;
mod stats;
mod status;
mod subscribe;
mod subscription;
mod time;
mod timers;
mod trie;
mod wall;
mod wills;
mod work;

pub use batch::{Pending, Release};
pub use budget::{Budget, Budgets};
pub use core::{Desk, DeskSettings, Sealing};
pub use error::RecoverError;
pub use interest::Interest;
pub use journal::{Journal, JournalStats};
pub use limits::{ClientLimits, Configuration, JournalLimits, RetainedLimits, RoomJournal};
pub use memory::{Holder, Memory, Share};
pub use records::RecordError;
pub use recover::engine_records;
pub use root::{check_root, root_of};
pub use run::{Pace, RunningDesk, start};
pub use stats::DeskStats;
pub use time::last_mark;

#[cfg(test)]
mod tests;

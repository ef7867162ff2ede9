//! The desk: one thread that takes every input that changes durable state, in order, and lets nothing out early.
//!
//! THE INVARIANT: **nothing leaves before the record that justifies it is on disk.** A batch of requests goes through the
//! engine; its records, mailbox entries, retained changes and session changes are one atomic commit; only when that is
//! durable are its acks, deliveries and broadcasts released.
//!
//! Reading order: `port` (what sessions and the desk say to each other), `core` (the state machine), `session`,
//! `configure`, `subscribe`, `replay`, `publish`, `deliver`, `work`, `mail`, `replies`, `status`, `own` (what it does with each request), `outbox`, `lanes`, `kind`, `clients`, `retained`, `shares`, `collect`,
//! `trie`, `interest`, `memory`, `budget`, `journal` (what it keeps), `wills`, `timers`, `time`, `batch` and `records` (what it writes), `root`, `recover`, `run` (the
//! thread).

mod batch;
mod budget;
mod clients;
mod collect;
mod configure;
mod core;
mod deliver;
mod fit;
mod interest;
mod journal;
mod kind;
mod lanes;
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
mod time;
mod timers;
mod trie;
mod wills;
mod work;

pub use batch::{Pending, Release};
pub use budget::{Budget, Budgets};
pub use clients::ClientLimits;
pub use configure::Configuration;
pub use core::{Desk, DeskSettings, Sealing};
pub use interest::Interest;
pub use journal::{Journal, JournalLimits, JournalStats, RoomJournal};
pub use memory::{Holder, Memory, Share};
pub use records::RecordError;
pub use recover::{RecoverError, engine_records};
pub use retained::RetainedLimits;
pub use root::{check_root, root_of};
pub use run::{Pace, RunningDesk, start};
pub use stats::DeskStats;
pub use time::last_mark;

#[cfg(test)]
mod tests;

//! The desk: one thread that takes every input that changes durable state, in order, and lets
//! nothing out early.
//!
//! THE INVARIANT: **nothing leaves before the record that justifies it is on disk.** A batch of
//! requests goes through the engine; its records, mailbox entries, retained changes and session
//! changes are one atomic commit; only when that is durable are its acks, deliveries and broadcasts
//! released.
//!
//! Reading order: `port`, `responses`, `route` and `subscription` (what sessions and the desk say
//! to each other); `core` (the state machine, with `requests` and `session`), which puts the parts
//! together and alone feeds the engine; `delivery` (messages for one client), `distribute`,
//! `reassign`, `replay`, `inbound`, `command`, `status`, `stall`, `recover` (what is done with
//! those parts below the engine). The parts: `clients` with `client_state` and `outbox`
//! (`send_order`, `outbox_kind`), `index` (`shared_subscriptions`, `trie`, `interest`), `retained`,
//! `commits` (`batch`), `timers`, `work`, `journal`, `forward`, `time`, `stats` (`budget`),
//! `settings` (`limits`, `memory`). What they look like in the ledger: `records`, `root`. What the
//! gateway writes itself: `gateway_messages`. `run` is the thread. No two of them need each other.

mod batch;
mod budget;
mod client_state;
mod clients;
mod command;
mod commits;
mod config;
mod core;
mod delivery;
mod distribute;
mod error;
mod forward;
mod gateway_messages;
mod inbound;
mod index;
mod interest;
mod journal;
mod limits;
mod mail;
mod memory;
mod outbox;
mod outbox_kind;
pub mod port;
mod reassign;
mod records;
mod recover;
mod refusal;
mod replay;
mod responses;
mod retained;
mod root;
mod route;
mod run;
mod send_order;
mod settings;
mod shared_subscriptions;
mod stall;
mod stats;
mod status;
mod subscription;
mod time;
mod timers;
mod trie;
mod work;

pub use batch::{Answer, Pending, Release};
pub use budget::{Budget, Budgets};
pub use config::{DeskConfig, MemoryConfig, RetainedConfig, SessionConfig, WhenFull};
pub use core::{Desk, Sealing};
pub use error::RecoverError;
pub use forward::{
    DeadLetter, ForwardBounds, ForwardEntry, ForwardLimits, ForwardPort, ForwardSettings,
    ForwardStats, ForwardTarget, QueueFullRule,
};
pub use interest::InterestIndex;
pub use journal::{Journal, JournalStats};
pub use limits::{ClientLimits, Configuration, JournalLimits, RoomJournal};
pub use memory::{Account, ConnectionShare, MemoryBudget};
pub use records::DeskRecordError;
pub use recover::engine_records;
pub use root::{check_root, root_of};
pub use run::{RunningDesk, start};
pub use settings::DeskSettings;
pub use stats::DeskStats;
pub use time::last_mark;

#[cfg(test)]
mod tests;

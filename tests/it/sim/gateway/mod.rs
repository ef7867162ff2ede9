//! The simulation of the gateway as its clients see it: the real desk with its sessions, mailboxes
//! and engine over the real store that fails and crashes when told to, and a network that loses,
//! delays and cuts.
//!
//! Nothing looks inside. Clients speak MQTT packets, write down what they did and what they were
//! told, and `check` and `linear` judge that history. A commit takes time, and while it does the
//! next batch fills; the gateway dies before it, after it, or when half of what it justifies has
//! left; a connection breaks on both sides at once, or on one that the other does not know of yet.
//!
//! Of the front door it has a stand-in: a few lines that turn packets into the desk's requests. The
//! real one, byte by byte, is in the fuzzed sessions (`abuse`) and in the crash tests.

mod check;
mod client;
mod history;
mod linear;
mod machine;
mod network;
mod seat;
mod user;
mod world;

pub(super) use history::{ALL, Counts};
pub(super) use world::{Report, run, run_undisturbed};

//! The patterns end to end: a file each, a scenario per test, real sockets.

mod approve;
mod bad_input;
pub(crate) mod beside;
mod blackboard;
mod cbor;
mod handoff;
mod handoff_endings;
mod handoff_list;
mod handoff_ties;
mod inbox;
mod key_schemas;
mod locks;
mod mailbox;
mod observe;
mod page;
mod presence;
mod replay;
mod replies;
mod rooms;
mod small_devices;
mod tools;
mod traces;

//! What one commit holds back: records, and everything that may leave only once they are on disk.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::oneshot;

use super::memory::{Account, MemoryBudget, Reservation};
use super::port::{Connection, Response};
use crate::ledger::Batch;
use crate::wire::Millis;
use crate::wire::message::Message;
use crate::wire::reply::Reply;

/// Something that may leave once its batch is durable.
#[derive(Debug)]
pub enum Release {
    /// To one session.
    Respond(Connection, Response),
    /// To one session, about what ends with its connection. It keeps its place in the order, and
    /// needs no disk.
    NonDurable(Connection, Response),
    /// To whoever listens on the live plane.
    Broadcast(Message),
    /// To a caller within the process.
    Answer(Answer),
    /// One more publish of a connection has left, all that came of it included.
    Published(Arc<AtomicU64>),
}

/// What a command has come to, and who is told.
#[derive(Debug)]
pub struct Answer {
    to: oneshot::Sender<Reply>,
    reply: Box<Reply>,
    /// Its place in memory, until it is sent.
    _reservation: Reservation,
}

impl Answer {
    /// Counts it in `memory` until it is sent.
    pub(super) fn new(
        memory: &Arc<MemoryBudget>,
        to: oneshot::Sender<Reply>,
        reply: Reply,
    ) -> Answer {
        let data = reply.data.as_ref().map_or(0, |data| data.text().len());
        let bytes = size_of::<Reply>() + data;
        Answer {
            to,
            reply: Box::new(reply),
            _reservation: Reservation::new(memory, Account::Answers, bytes),
        }
    }

    /// Sends it. Whoever asked may be gone.
    pub fn send(self) {
        drop(self.to.send(*self.reply));
    }
}

/// The batch that fills.
#[derive(Debug)]
pub struct Pending {
    /// Counts batches, from 1.
    pub number: u64,
    /// What is to be on disk.
    pub records: Batch,
    /// What waits for that, in order.
    pub releases: Vec<Release>,
    /// So many of them, from the front, hold nothing that needs no disk: it has been let go.
    pub(super) kept: usize,
    /// Since when somebody waits for it. Without anybody (only deletions of what was acknowledged),
    /// it may linger.
    pub awaited: bool,
    /// When its first change came.
    pub since: Option<Millis>,
}

impl Pending {
    /// The first batch, or the one after.
    pub fn new(number: u64) -> Pending {
        Pending {
            number,
            records: Batch::default(),
            releases: Vec::new(),
            kept: 0,
            awaited: false,
            since: None,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.releases.is_empty()
    }

    /// Holds something back; somebody waits for it.
    pub fn release(&mut self, release: Release) {
        self.releases.push(release);
        self.awaited = true;
    }
}

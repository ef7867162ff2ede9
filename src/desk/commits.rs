//! Commits: the batch that fills, how far the disk is with those before it, and what may leave
//! because of that.

use std::collections::VecDeque;

use super::batch::{Pending, Release};
use super::port::{Connection, Response};
use crate::ledger::{Batch, Space};
use crate::wire::Millis;

use bytes::Bytes;

/// What a release takes beside the message in it, which is counted where it is kept.
const RELEASE_BYTES: usize = size_of::<Release>();

/// The batch that fills, and what is known of the disk.
#[derive(Debug)]
pub(super) struct Commits {
    pending: Pending,
    /// The newest batch that is on disk.
    durable: u64,
    /// The disk takes nothing at present.
    is_stalled: bool,
    /// Each batch that is sealed and not on disk, and the newest retained change up to it.
    sealed_retained_seqs: VecDeque<(u64, u64)>,
    /// The newest retained change on disk.
    durable_retained_seq: u64,
}

impl Default for Commits {
    fn default() -> Commits {
        Commits {
            pending: Pending::new(1),
            durable: 0,
            is_stalled: false,
            sealed_retained_seqs: VecDeque::new(),
            durable_retained_seq: 0,
        }
    }
}

impl Commits {
    /// The batch that fills: what is held back now leaves with it.
    pub(super) fn number(&self) -> u64 {
        self.pending.number
    }

    /// What is to be on disk with it.
    pub(super) fn records(&mut self) -> &mut Batch {
        &mut self.pending.records
    }

    pub(super) fn put(&mut self, space: Space, key: Vec<u8>, value: impl Into<Bytes>) {
        self.pending.records.put(space, key, value);
    }

    pub(super) fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.pending.records.delete(space, key);
    }

    /// Holds something back; somebody waits for it.
    pub(super) fn release(&mut self, release: Release) {
        self.pending.release(release);
    }

    /// Holds a response back.
    pub(super) fn respond(&mut self, connection: &Connection, response: Response) {
        self.release(Release::Respond(connection.clone(), response));
    }

    /// Holds a response back that needs no disk.
    pub(super) fn respond_non_durable(&mut self, connection: &Connection, response: Response) {
        self.release(Release::NonDurable(connection.clone(), response));
    }

    /// How many releases wait.
    pub(super) fn held_back(&self) -> usize {
        self.pending.releases.len()
    }

    /// Whether somebody waits for this batch.
    pub(super) fn is_awaited(&self) -> bool {
        self.pending.awaited
    }

    /// From now on somebody does, or nobody does.
    pub(super) fn set_awaited(&mut self, awaited: bool) {
        self.pending.awaited = awaited;
    }

    /// Notes a change that nobody waits for.
    pub(super) fn note_lazily(&mut self, now: Millis) {
        self.pending.since.get_or_insert(now);
    }

    /// When the first change came that nobody waits for, if there is one.
    pub(super) fn since(&self) -> Option<Millis> {
        self.pending.since
    }

    /// How much the batch holds, in bytes: of records, and roughly of what waits for them.
    pub(super) fn bytes(&self) -> usize {
        self.pending.records.bytes() + self.pending.releases.len() * RELEASE_BYTES
    }

    /// Ends the batch, with retained changes up to this one; the next one begins.
    pub(super) fn seal(&mut self, retained_seq: u64) -> Pending {
        let number = self.pending.number;
        self.sealed_retained_seqs.push_back((number, retained_seq));
        std::mem::replace(&mut self.pending, Pending::new(number + 1))
    }

    /// A batch is on disk.
    pub(super) fn committed(&mut self, number: u64) {
        self.durable = self.durable.max(number);
        let sealed = &mut self.sealed_retained_seqs;
        while let Some((_, retained_seq)) = sealed.pop_front_if(|(sealed, _)| *sealed <= number) {
            self.durable_retained_seq = retained_seq;
        }
    }

    /// At a start all retained messages are on disk, up to this change.
    pub(super) fn recovered(&mut self, retained_seq: u64) {
        self.durable_retained_seq = retained_seq;
    }

    /// Whether a batch, and all before it, is on disk.
    pub(super) fn is_durable(&self, batch: u64) -> bool {
        batch <= self.durable
    }

    /// Whether the disk takes nothing.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// Whether it takes nothing from now on; whether that is new.
    pub(super) fn set_stalled(&mut self, stands: bool) -> bool {
        !std::mem::replace(&mut self.is_stalled, stands) && stands
    }

    /// Sends what needs no disk from a batch that is not on disk. Batches go in their order.
    pub(super) fn release_non_durable(&self, releases: &mut Vec<Release>) {
        for release in std::mem::take(releases) {
            match release {
                Release::NonDurable(connection, mut response) => {
                    self.hide_unsaved(&mut response);
                    // A session that is gone needs no answer.
                    drop(connection.responses.send(response));
                }
                other => releases.push(other),
            }
        }
    }

    /// The same with the batch that fills.
    pub(super) fn release_non_durable_pending(&mut self) {
        let mut new = self.pending.releases.split_off(self.pending.kept);
        self.release_non_durable(&mut new);
        self.pending.releases.append(&mut new);
        self.pending.kept = self.pending.releases.len();
    }

    /// Retained messages that are not on disk yet come once they are, as any that is published
    /// then.
    fn hide_unsaved(&self, response: &mut Response) {
        if let Response::Subscribed {
            retained,
            retained_seq,
            ..
        } = response
        {
            let durable = self.durable_retained_seq;
            retained.retain(|(_, message)| message.retained_seq() <= durable);
            *retained_seq = durable.min(*retained_seq);
        }
    }
}

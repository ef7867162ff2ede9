//! What a lost connection and the end of a session do to the outbox.
//!
//! Called by the desk's `session`; it writes nothing.

use super::{EntryState, Outbox, OutboxEntry, SentMarks};

impl Outbox {
    /// The connection is gone, the session stays: what was in flight will be sent again, first and
    /// marked as a repeat.
    pub fn rewind(&mut self) {
        let is_out =
            |entry: &OutboxEntry| matches!(entry.state, EntryState::Ready | EntryState::InFlight);
        let out = self.entries.iter().filter(|(_, entry)| is_out(entry));
        let out: Vec<u64> = out.map(|(seq, _)| *seq).collect();
        for seq in out {
            if let Some(entry) = self.entries.get_mut(&seq)
                && entry.state == EntryState::InFlight
            {
                entry.dup = true;
            }
            self.set_state(seq, EntryState::Parked);
        }
    }

    /// Marks an entry that is in flight as no longer true: a later session does not get it.
    pub fn revoke(&mut self, seq: u64) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.revoked = true;
        }
    }

    /// The session is gone: its queue goes, the mailbox stays. Returns the sequence numbers whose
    /// records go.
    pub fn end_session(&mut self) -> Vec<u64> {
        self.rewind();
        let goes = |entry: &OutboxEntry| !entry.kind.is_directed() || entry.revoked;
        let gone: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| goes(entry))
            .map(|(seq, _)| *seq)
            .collect();
        self.forget_sent();
        gone.into_iter()
            .filter(|seq| self.remove(*seq).is_some_and(|entry| entry.stored))
            .collect()
    }

    /// To a new session nothing was sent before.
    pub fn forget_sent(&mut self) {
        self.sent = SentMarks::default();
        for entry in self.entries.values_mut() {
            entry.dup = false;
            entry.send_index = 0;
        }
    }
}

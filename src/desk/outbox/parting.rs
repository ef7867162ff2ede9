//! Parting: what a lost connection and the end of a session do to what waits.
//!
//! Called by the desk's `session`; it writes nothing.

use std::sync::Arc;

use super::{Entry, Kind, Outbox, Sent, State};
use crate::wire::message::{Message, Qos};

impl Outbox {
    /// The connection is gone, the session stays: what was in flight will be sent again, first and marked as a repeat.
    pub fn rewind(&mut self) {
        let is_out = |entry: &Entry| matches!(entry.state, State::Ready | State::InFlight);
        let out = self.entries.iter().filter(|(_, entry)| is_out(entry));
        let out: Vec<u64> = out.map(|(seq, _)| *seq).collect();
        for seq in out {
            if let Some(entry) = self.entries.get_mut(&seq)
                && entry.state == State::InFlight
            {
                entry.dup = true;
            }
            self.set_state(seq, State::Parked);
        }
    }

    /// Marks an entry that is in flight as no longer true: a later session does not get it.
    pub fn revoke(&mut self, seq: u64) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.revoked = true;
        }
    }

    /// The session is gone: its queue goes, the mailbox stays. Returns the sequence numbers whose records go.
    pub fn end_session(&mut self) -> Vec<u64> {
        self.rewind();
        let goes = |entry: &Entry| !entry.kind.is_directed() || entry.revoked;
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
        self.sent = Sent::default();
        for entry in self.entries.values_mut() {
            entry.dup = false;
            entry.sent_as = 0;
        }
    }

    /// QoS 2 deliveries for which PUBREC came and PUBCOMP did not, oldest first.
    pub fn unreleased(&self) -> Vec<u64> {
        let is_received = |seq: &u64| {
            let entry = self.entries.get(seq);
            entry.is_some_and(|entry| entry.state == State::Received)
        };
        let unacknowledged = self.unacknowledged.iter().map(|(_, seq)| *seq);
        let mut received: Vec<u64> = unacknowledged.filter(is_received).collect();
        received.sort_unstable();
        received
    }

    /// What the members of a shared subscription inherit if the session ends now, in order: what is not acknowledged, but for
    /// QoS 2 once it was sent (MQTT-4.8.2-5).
    pub fn inheritance(&self) -> Vec<(Arc<str>, Message)> {
        let inherited = |entry: &Entry| match &entry.kind {
            Kind::Queued {
                qos,
                share: Some(share),
                ..
            } if entry.state != State::Received => {
                let begun = entry.dup || entry.state == State::InFlight;
                let goes = *qos < Qos::ExactlyOnce || !begun;
                goes.then(|| (share.clone(), entry.message.clone()))
            }
            _ => None,
        };
        self.entries.values().filter_map(inherited).collect()
    }
}

//! What is held of the queue: read, sent, acknowledged; in the order of the numbers.

use std::collections::VecDeque;

use super::HELD_BYTES;
use crate::desk::ForwardEntry;
use crate::wire::Millis;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldState {
    Waiting,
    /// On this connection, at this time.
    Sent(Millis),
    Done,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) entry: ForwardEntry,
    pub(super) state: HeldState,
    pub(super) refusals: u32,
}

#[derive(Debug, Default)]
pub(super) struct SendWindow {
    held: VecDeque<Held>,
    /// No message before this place waits.
    cursor: usize,
    held_bytes: usize,
    in_flight: usize,
    in_flight_bytes: usize,
}

impl SendWindow {
    pub(super) fn push(&mut self, entry: ForwardEntry) {
        self.held_bytes += entry.message.size() + HELD_BYTES;
        self.held.push_back(Held {
            entry,
            state: HeldState::Waiting,
            refusals: 0,
        });
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// The number of the oldest that is held.
    pub(super) fn first(&self) -> Option<u64> {
        self.held.front().map(|held| held.entry.seq)
    }

    /// The oldest that is not done.
    pub(super) fn first_open(&self) -> Option<u64> {
        let open = self.held.iter().find(|held| held.state != HeldState::Done);
        open.map(|held| held.entry.seq)
    }

    /// The oldest that is on its way.
    pub(super) fn first_sent(&self) -> Option<u64> {
        self.sent_ones().next().map(|(seq, _)| seq)
    }

    /// When the one was sent that has been on its way for longest.
    pub(super) fn oldest_sent(&self) -> Option<Millis> {
        self.sent_ones().next().map(|(_, at)| at)
    }

    fn sent_ones(&self) -> impl Iterator<Item = (u64, Millis)> {
        let upto = if self.in_flight == 0 {
            0
        } else {
            self.held.len()
        };
        self.held
            .iter()
            .take(upto)
            .filter_map(|held| match held.state {
                HeldState::Sent(at) => Some((held.entry.seq, at)),
                HeldState::Waiting | HeldState::Done => None,
            })
    }

    /// When the oldest came.
    pub(super) fn oldest(&self) -> Option<Millis> {
        self.held.front().map(|held| held.entry.at)
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.cursor < self.held.len()
    }

    /// The next one to send.
    pub(super) fn next_waiting(&mut self) -> Option<&Held> {
        while let Some(held) = self.held.get(self.cursor) {
            if held.state == HeldState::Waiting {
                break;
            }
            self.cursor += 1;
        }
        self.held.get(self.cursor)
    }

    fn place(&self, seq: u64) -> Option<usize> {
        self.held
            .binary_search_by_key(&seq, |held| held.entry.seq)
            .ok()
    }

    /// Whether one is among the first so many, counted from the oldest that is not done.
    pub(super) fn is_within(&self, seq: u64, span: usize) -> bool {
        let open = self.held.iter().position(|h| h.state != HeldState::Done);
        let place = self.place(seq);
        matches!((open, place), (Some(open), Some(place)) if place < open + span)
    }

    /// It is on its way; what to send.
    pub(super) fn sent(&mut self, seq: u64, now: Millis) -> Option<ForwardEntry> {
        let place = self.place(seq)?;
        let held = &mut self.held[place];
        held.state = HeldState::Sent(now);
        self.in_flight += 1;
        self.in_flight_bytes += held.entry.message.size();
        Some(held.entry.clone())
    }

    /// It is done with; when it was sent, if it was on its way.
    pub(super) fn done(&mut self, seq: u64) -> Option<Millis> {
        let sent = self.land(seq);
        if let Some(place) = self.place(seq) {
            self.held[place].state = HeldState::Done;
        }
        self.settle();
        sent
    }

    /// It was refused and waits again.
    pub(super) fn returned(&mut self, seq: u64) -> Option<(&mut Held, Millis)> {
        let sent = self.land(seq)?;
        let place = self.place(seq)?;
        self.cursor = self.cursor.min(place);
        Some((&mut self.held[place], sent))
    }

    /// It is done with, as a dead letter.
    pub(super) fn park(&mut self, seq: u64) -> Option<ForwardEntry> {
        let entry = self.held[self.place(seq)?].entry.clone();
        self.done(seq);
        Some(entry)
    }

    /// It is on its way no longer, and waits.
    fn land(&mut self, seq: u64) -> Option<Millis> {
        let place = self.place(seq)?;
        let held = &mut self.held[place];
        let HeldState::Sent(at) = held.state else {
            return None;
        };
        held.state = HeldState::Waiting;
        self.in_flight -= 1;
        self.in_flight_bytes -= held.entry.message.size();
        Some(at)
    }

    /// Nothing is on its way any more.
    pub(super) fn cut(&mut self) {
        for held in &mut self.held {
            if held.state != HeldState::Done {
                held.state = HeldState::Waiting;
            }
        }
        (self.in_flight, self.in_flight_bytes, self.cursor) = (0, 0, 0);
    }

    /// Lets go of what is done and has nothing before it.
    pub(super) fn settle(&mut self) {
        while self
            .held
            .front()
            .is_some_and(|h| h.state == HeldState::Done)
        {
            self.pop_front();
        }
    }

    /// Lets go of what the queue has dropped, as far as it is not on its way.
    pub(super) fn forget_below(&mut self, first: u64) {
        let is_gone =
            |held: &Held| held.entry.seq < first && !matches!(held.state, HeldState::Sent(_));
        while self.held.front().is_some_and(is_gone) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(held) = self.held.pop_front() {
            self.held_bytes -= held.entry.message.size() + HELD_BYTES;
            self.cursor = self.cursor.saturating_sub(1);
        }
    }
}

//! One queue for another broker: its numbers, sizes and limits; the messages are on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::port::{
    DeadLetter, ForwardBounds, ForwardPort, ForwardSettings, ForwardStats, QueueFullRule,
};
use super::records::{self, ForwardKey};
use crate::desk::commits::Commits;
use crate::ledger::{Space, StoreReader};
use crate::wire::Millis;
use crate::wire::message::Message;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appended {
    /// It is in the queue, and so is all that was.
    Whole,
    /// It is in the queue, and older ones have gone for it.
    InPlaceOfOlder,
    /// It is not in the queue.
    Dropped,
}

impl Appended {
    /// What went, for the log.
    pub(super) fn dropped(self) -> &'static str {
        match self {
            Appended::Whole => "none",
            Appended::InPlaceOfOlder => "the oldest",
            Appended::Dropped => "the newest",
        }
    }
}

#[derive(Debug)]
pub(super) struct ForwardQueue {
    settings: ForwardSettings,
    /// The number of the oldest message.
    first: u64,
    /// The sizes of all messages from there on; of one that is not there, nothing.
    sizes: VecDeque<u32>,
    bytes: u64,
    /// Numbers of those that the other side will not have.
    dead: VecDeque<u64>,
    /// Sealed batches that are not on disk yet, and the next number after each.
    in_flight: VecDeque<(u64, u64)>,
    bounds: watch::Sender<ForwardBounds>,
    stats: Arc<ForwardStats>,
}

impl ForwardQueue {
    pub(super) fn open(
        settings: ForwardSettings,
        reader: Box<dyn StoreReader>,
    ) -> (ForwardQueue, ForwardPort) {
        let start = ForwardBounds { first: 1, next: 1 };
        let (bounds, seen) = watch::channel(start);
        let stats = Arc::<ForwardStats>::default();
        let port = ForwardPort {
            name: settings.name.clone(),
            reader,
            bounds: seen,
            stats: stats.clone(),
        };
        let queue = ForwardQueue {
            settings,
            first: 1,
            sizes: VecDeque::new(),
            bytes: 0,
            dead: VecDeque::new(),
            in_flight: VecDeque::new(),
            bounds,
            stats,
        };
        (queue, port)
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    pub(super) fn stats(&self) -> &ForwardStats {
        &self.stats
    }

    pub(super) fn export(&self, message: &Message, now: Millis) -> Option<Message> {
        self.settings.target.export(message, now)
    }

    fn next(&self) -> u64 {
        self.first + self.sizes.len() as u64
    }

    /// Puts back what a key of an earlier run says; keys come in their order.
    pub(super) fn restore(&mut self, key: ForwardKey) {
        match key {
            ForwardKey::Entry { seq, size } => {
                if self.sizes.is_empty() {
                    self.first = seq;
                }
                // A repair may have left some out.
                while self.next() < seq {
                    self.sizes.push_back(0);
                }
                self.sizes.push_back(size);
                self.bytes += u64::from(size);
            }
            ForwardKey::Dead { seq } => self.dead.push_back(seq),
            ForwardKey::Counter => {}
        }
    }

    /// All is put back, and this number was the next one when the queue was last empty.
    pub(super) fn recovered(&mut self, counter: Option<u64>) {
        if self.sizes.is_empty() {
            self.first = counter.unwrap_or(1).max(self.first);
        }
        let bounds = ForwardBounds {
            first: self.first,
            next: self.next(),
        };
        self.bounds.send_replace(bounds);
        self.show();
    }

    fn has_room(&self, size: u64) -> bool {
        let limits = &self.settings.limits;
        (self.sizes.len() as u64) < limits.max_messages && self.bytes + size <= limits.max_bytes
    }

    /// Whether it has no room for a message and its publisher is to know.
    pub(super) fn refuses(&self, message: &Message) -> bool {
        let refuses = self.settings.limits.when_full == QueueFullRule::Refuse;
        refuses && !self.has_room(message.size() as u64)
    }

    /// Takes a message, or says what became of it. One that nobody could refuse is dropped where
    /// publishers are refused.
    pub(super) fn append(
        &mut self,
        message: &Message,
        now: Millis,
        commits: &mut Commits,
    ) -> Appended {
        let size = message.size() as u64;
        let mut outcome = Appended::Whole;
        if self.settings.limits.when_full == QueueFullRule::DropOldest
            && size <= self.settings.limits.max_bytes
        {
            while !self.has_room(size) && !self.sizes.is_empty() {
                self.delete_first(commits);
                self.stats.dropped_oldest.add_one();
                outcome = Appended::InPlaceOfOlder;
            }
        }
        let Some(short) = u32::try_from(size).ok().filter(|_| self.has_room(size)) else {
            self.stats.dropped_newest.add_one();
            return Appended::Dropped;
        };
        let key = records::entry_key(self.name(), self.next(), short);
        commits.put(Space::Bridge, key, records::encode_entry(now, message));
        self.sizes.push_back(short);
        self.bytes += size;
        self.show();
        outcome
    }

    fn delete_first(&mut self, commits: &mut Commits) {
        if let Some(size) = self.sizes.pop_front() {
            let key = records::entry_key(self.name(), self.first, size);
            commits.delete(Space::Bridge, key);
            self.bytes -= u64::from(size);
            self.first += 1;
        }
        if self.sizes.is_empty() {
            // Numbers count on after a restart that finds nothing else to count from.
            let next = self.first.to_be_bytes().to_vec();
            commits.put(Space::Bridge, records::counter_key(self.name()), next);
        }
    }

    pub(super) fn finish(&mut self, done: u64, dead: Vec<DeadLetter>, commits: &mut Commits) {
        for letter in dead {
            self.bury(&letter, commits);
        }
        while self.first < done && !self.sizes.is_empty() {
            self.delete_first(commits);
        }
        self.show();
    }

    fn bury(&mut self, letter: &DeadLetter, commits: &mut Commits) {
        let DeadLetter { entry, reason } = letter;
        let value = records::encode_dead(reason, entry.at, &entry.message);
        commits.put(
            Space::Bridge,
            records::dead_key(self.name(), entry.seq),
            value,
        );
        self.dead.push_back(entry.seq);
        while self.dead.len() > self.settings.limits.max_dead {
            let Some(oldest) = self.dead.pop_front() else {
                break;
            };
            commits.delete(Space::Bridge, records::dead_key(self.name(), oldest));
            self.stats.dead_forgotten.add_one();
        }
    }

    pub(super) fn seal(&mut self, number: u64) {
        let newest = self.in_flight.back().map(|(_, next)| *next);
        let newest = newest.unwrap_or_else(|| self.bounds.borrow().next);
        if newest != self.next() {
            self.in_flight.push_back((number, self.next()));
        }
    }

    pub(super) fn committed(&mut self, number: u64) {
        let mut durable = None;
        while let Some((_, next)) = self.in_flight.pop_front_if(|(sealed, _)| *sealed <= number) {
            durable = Some(next);
        }
        let first = self.first;
        self.bounds.send_if_modified(|bounds| {
            let before = *bounds;
            bounds.first = first;
            bounds.next = durable.unwrap_or(bounds.next);
            *bounds != before
        });
    }

    fn show(&self) {
        self.stats.messages.set_len(self.sizes.len());
        self.stats.bytes.set(self.bytes);
        self.stats.dead.set_len(self.dead.len());
    }
}

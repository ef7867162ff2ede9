//! The journal: what happened in each room, in order, for as long as it is kept.
//!
//! It takes every event of the gateway's as it is told, writes it with the batch that caused it,
//! and shows it to whoever asks. It is bounded by age, by bytes of a room, by bytes of all rooms
//! and by the number of rooms; what is too much goes in portions, the oldest first, so that no
//! commit gets long. It numbers nothing: the engine does. The desk drives it; so can a simulation.

mod chunk;
mod read;
mod trim;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::error::RecoverError;
use super::limits::JournalLimits;
use super::records::DeskRecordError;
use crate::ledger::{Batch, Space, Store, StoreReader};
use crate::metrics::metrics;
use crate::wire::Millis;
use crate::wire::name::Room;

use chunk::{Chunk, ChunkLabel, SUMMARIES, Summary, summary_key};

/// A chunk takes no more events beyond this, so that one that is read is read soon.
const CHUNK_BYTES: usize = 64 * 1024;

metrics! {
    /// What the journal has done, and holds.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct JournalStats {
        /// Events kept for replays.
        counter events: u64 = "journal_events",
        /// Bytes of events kept for replays.
        counter written: u64 = "journal_written_bytes",
        /// Events that are kept no longer, for their age or for a limit.
        counter trimmed: u64 = "journal_trimmed",
        /// Bytes of events that can be replayed.
        gauge bytes: u64 = "journal_bytes",
        /// Rooms with events that can be replayed.
        gauge rooms: usize = "journal_rooms",
    }
}

/// Every room's past. See the module.
pub struct Journal {
    limits: JournalLimits,
    /// `None` until there is a ledger: then only what is not on disk yet is seen.
    reader: Option<Box<dyn StoreReader>>,
    rooms: BTreeMap<Room, RoomLog>,
    /// Rooms by the time of their oldest chunk.
    by_age: BTreeSet<(Millis, Room)>,
    /// The same by when that one is too old.
    by_end: BTreeSet<(Millis, Room)>,
    /// Rooms that have more bytes than they may.
    too_full: BTreeSet<Room>,
    /// Rooms in which something happened since the last batch was sealed.
    touched: BTreeSet<Room>,
    /// Sealed batches that are not on disk yet, and the rooms that have events in them.
    in_flight: VecDeque<(u64, Vec<Room>)>,
    /// Nothing can be trimmed before this.
    resting_until: Millis,
    stats: JournalStats,
    /// Bytes that may still be read in this batch.
    may_read: Cell<usize>,
}

/// A room's past.
#[derive(Debug, Default)]
struct RoomLog {
    summary: Summary,
    /// Not on disk yet, with the batch that brings them there; oldest first.
    fresh: VecDeque<(u64, ChunkLabel, Bytes)>,
    /// Full chunks, and the one that fills, of the batch that fills.
    open: Vec<Chunk>,
    /// The place in `by_age`.
    filed_at: Option<Millis>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// An empty one that keeps what it is given in memory until `recover` shows it a ledger.
    pub fn new(limits: JournalLimits) -> Journal {
        let may_read = Cell::new(limits.max_read_bytes);
        Journal {
            limits,
            reader: None,
            rooms: BTreeMap::new(),
            by_age: BTreeSet::new(),
            by_end: BTreeSet::new(),
            too_full: BTreeSet::new(),
            touched: BTreeSet::new(),
            in_flight: VecDeque::new(),
            resting_until: 0,
            stats: JournalStats::default(),
            may_read,
        }
    }

    /// Other limits from now on. What is too much by them goes in portions, as ever.
    pub fn set_limits(&mut self, limits: JournalLimits) {
        self.limits = limits;
        self.by_end.clear();
        self.too_full.clear();
        self.resting_until = 0;
        for (room, log) in &self.rooms {
            if let Some(at) = log.filed_at {
                self.by_end
                    .insert((self.limits.until(room, at), room.clone()));
            }
            if log.summary.bytes > self.limits.of(room).max_bytes {
                self.too_full.insert(room.clone());
            }
        }
    }

    /// Finds what earlier runs have left. Reads one record a room.
    ///
    /// # Errors
    /// If the store or a record cannot be read.
    pub fn recover(&mut self, store: &dyn Store) -> Result<(), RecoverError> {
        self.reader = Some(store.reader()?);
        let mut failed = None;
        store.scan(Space::Journal, SUMMARIES, &mut |key, value| {
            match Summary::read(key, value) {
                Some((room, summary)) => self.restore(room, summary),
                None => failed = Some(DeskRecordError::new("journal", Space::Journal, key)),
            }
            match failed {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            }
        })?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn restore(&mut self, room: Room, summary: Summary) {
        self.stats.bytes += summary.bytes;
        let log = RoomLog {
            summary,
            ..RoomLog::default()
        };
        if summary.bytes > self.limits.of(&room).max_bytes {
            self.too_full.insert(room.clone());
        }
        self.rooms.insert(room.clone(), log);
        self.file(&room);
    }

    /// Takes an event that is told now. Numbers of a room only rise, but may leave some out.
    pub fn append(&mut self, room: &Room, seq: u64, at: Millis, category: &str, payload: &[u8]) {
        if !self.limits.keep {
            return;
        }
        if !self.rooms.contains_key(room) {
            let log = RoomLog {
                summary: Summary {
                    oldest: seq,
                    // What was before it, if anything was, was kept by nobody.
                    lost_at: if seq > 1 { at } else { 0 },
                    ..Summary::default()
                },
                ..RoomLog::default()
            };
            self.rooms.insert(room.clone(), log);
        }
        let Some(log) = self.rooms.get_mut(room) else {
            return;
        };
        let follows =
            |chunk: &&mut Chunk| chunk.label.last + 1 == seq && chunk.value().len() < CHUNK_BYTES;
        match log.open.last_mut().filter(follows) {
            Some(chunk) => chunk.push(at, category, payload),
            None => {
                let mut chunk = Chunk::new(seq);
                chunk.push(at, category, payload);
                log.open.push(chunk);
            }
        }
        log.summary.newest = seq;
        self.stats.events += 1;
        if !self.touched.contains(room) {
            self.touched.insert(room.clone());
        }
    }

    /// Ends the batch of this number: what happened in it joins its records, and what is too old or
    /// too much leaves with it.
    pub fn seal(&mut self, number: u64, now: Millis, records: &mut Batch) {
        self.may_read.set(self.limits.max_read_bytes);
        let touched = std::mem::take(&mut self.touched);
        let mut added = 0;
        for room in &touched {
            added += self.seal_room(room, number, records);
        }
        let trimmed = self.trim(now, added, records);
        for room in touched.iter().chain(&trimmed) {
            let key = summary_key(room);
            match self.rooms.get(room) {
                Some(log) => records.put(Space::Journal, key, log.summary.encode()),
                None => records.delete(Space::Journal, key),
            }
        }
        if !touched.is_empty() {
            self.in_flight
                .push_back((number, touched.into_iter().collect()));
        }
        self.stats.rooms = self.rooms.len();
    }

    fn seal_room(&mut self, room: &Room, number: u64, records: &mut Batch) -> usize {
        let Some(log) = self.rooms.get_mut(room) else {
            return 0;
        };
        let added = log.open.len();
        for chunk in std::mem::take(&mut log.open) {
            let (label, value) = chunk.into_value();
            let size = label.size(room);
            log.summary.bytes += size;
            self.stats.bytes += size;
            self.stats.written += size;
            if log.summary.oldest_at == 0 {
                log.summary.oldest_at = label.at;
            }
            records.put(Space::Journal, label.key(room), value.clone());
            log.fresh.push_back((number, label, value));
        }
        if log.summary.bytes > self.limits.of(room).max_bytes {
            self.too_full.insert(room.clone());
        }
        self.file(room);
        added
    }

    /// A batch is on disk, and with it all before it.
    pub fn committed(&mut self, number: u64) {
        while let Some((_, rooms)) = self.in_flight.pop_front_if(|(sealed, _)| *sealed <= number) {
            for room in rooms {
                if let Some(log) = self.rooms.get_mut(&room) {
                    while log
                        .fresh
                        .pop_front_if(|(batch, ..)| *batch <= number)
                        .is_some()
                    {}
                }
            }
        }
    }

    /// What it has done, and holds.
    pub fn stats(&self) -> JournalStats {
        self.stats
    }

    /// Puts a room where its oldest chunk belongs.
    fn file(&mut self, room: &Room) {
        let Some(log) = self.rooms.get_mut(room) else {
            return;
        };
        let at = log.summary.oldest_at;
        if log.filed_at == Some(at) {
            return;
        }
        if let Some(before) = log.filed_at.replace(at) {
            self.by_age.remove(&(before, room.clone()));
            let end = self.limits.until(room, before);
            self.by_end.remove(&(end, room.clone()));
        }
        self.by_age.insert((at, room.clone()));
        let end = self.limits.until(room, at);
        self.by_end.insert((end, room.clone()));
    }
}

#[cfg(test)]
mod tests;

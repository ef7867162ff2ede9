//! Forgetting: what is too old, or too much, leaves the journal, the oldest first and a portion at
//! a time.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::Journal;
use super::chunk::{ChunkLabel, end, from};
use crate::ledger::{Batch, Space};
use crate::wire::Millis;
use crate::wire::name::Room;

/// Chunks that one batch may take out; twice as many as it brings, if that is more, so that a busy
/// gateway keeps up.
const CHUNKS_A_BATCH: usize = 64;
/// How long to wait where there is something to forget, and nothing can be: it is not on disk yet,
/// or cannot be read.
const REST_MS: u64 = 1_000;

impl Journal {
    /// When there is something to forget, if ever.
    pub fn next_trim(&self) -> Option<Millis> {
        let (end, _) = self.by_end.first()?;
        let due = if self.is_over() || !self.too_full.is_empty() {
            0
        } else {
            *end
        };
        Some(due.max(self.resting_until))
    }

    /// Whether all rooms together are too much.
    fn is_over(&self) -> bool {
        !self.limits.keep
            || self.stats.bytes > self.limits.max_bytes
            || self.rooms.len() > self.limits.max_rooms
    }

    /// The room that has to give something up.
    fn overdue(&self, now: Millis) -> Option<Room> {
        let (end, too_old) = self.by_end.first()?;
        if *end <= now {
            return Some(too_old.clone());
        }
        if self.is_over() {
            return self.by_age.first().map(|(_, room)| room.clone());
        }
        self.too_full.first().cloned()
    }

    /// Takes out a portion; returns the rooms that changed.
    pub(super) fn trim(
        &mut self,
        now: Millis,
        added: usize,
        records: &mut Batch,
    ) -> BTreeSet<Room> {
        let mut trimmed = BTreeSet::new();
        if now < self.resting_until {
            return trimmed;
        }
        let mut left = CHUNKS_A_BATCH.max(2 * added);
        while left > 0 {
            let Some(room) = self.overdue(now) else {
                break;
            };
            let gone = self.trim_room(&room, now, left, records);
            if gone == 0 {
                self.resting_until = now.saturating_add(REST_MS);
                break;
            }
            left -= gone;
            trimmed.insert(room);
        }
        trimmed
    }

    /// Takes out the oldest chunks of a room, so many at most, as long as they must go. Returns how
    /// many went.
    fn trim_room(&mut self, room: &Room, now: Millis, most: usize, records: &mut Batch) -> usize {
        let labels = self.oldest_labels(room, most + 1);
        let others = self.by_age.iter().find(|(_, other)| other != room);
        let older_than = others.map_or(Millis::MAX, |(at, _)| *at);
        let mut gone = 0;
        for label in &labels {
            let is_oldest = label.at <= older_than;
            if gone == most || !self.must_go(room, label, is_oldest, now) {
                break;
            }
            records.delete(Space::Journal, label.key(room));
            self.forget(room, label);
            gone += 1;
        }
        let next = labels.get(gone);
        self.settle(room, next);
        gone
    }

    fn must_go(&self, room: &Room, label: &ChunkLabel, is_oldest: bool, now: Millis) -> bool {
        let bytes = self.rooms.get(room).map_or(0, |log| log.summary.bytes);
        self.limits.until(room, label.at) <= now
            || bytes > self.limits.of(room).max_bytes
            || (is_oldest && self.is_over())
    }

    /// The oldest chunks of a room that are on disk. Those whose removal is on its way there are
    /// left out.
    fn oldest_labels(&self, room: &Room, most: usize) -> Vec<ChunkLabel> {
        let (Some(reader), Some(log)) = (&self.reader, self.rooms.get(room)) else {
            return Vec::new();
        };
        let fresh = log.fresh.front();
        let on_its_way = fresh.map_or(u64::MAX, |(_, label, _)| label.first);
        let mut labels = Vec::new();
        let (from, to) = (from(room, log.summary.oldest), end(room));
        let visit = &mut |key: &[u8]| {
            let label = ChunkLabel::read(key).filter(|label| label.first < on_its_way);
            labels.extend(label);
            match label {
                Some(_) if labels.len() < most => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        };
        if let Err(error) = reader.keys(Space::Journal, &from, &to, visit) {
            tracing::warn!(%error, room = %room, "the journal cannot be trimmed");
        }
        labels
    }

    fn forget(&mut self, room: &Room, label: &ChunkLabel) {
        let Some(log) = self.rooms.get_mut(room) else {
            return;
        };
        let size = label.size(room);
        let summary = &mut log.summary;
        summary.bytes = summary.bytes.saturating_sub(size);
        summary.oldest = label.last + 1;
        summary.lost_at = label.at;
        self.stats.bytes = self.stats.bytes.saturating_sub(size);
        self.stats.trimmed += label.last + 1 - label.first;
    }

    /// Files a room anew whose oldest chunk is `next` now, or one that is not on disk yet; without
    /// any it is gone.
    fn settle(&mut self, room: &Room, next: Option<&ChunkLabel>) {
        let Some(log) = self.rooms.get_mut(room) else {
            return;
        };
        if log.summary.bytes <= self.limits.of(room).max_bytes {
            self.too_full.remove(room);
        }
        let fresh = log.fresh.front().map(|(_, label, _)| label);
        match next.or(fresh) {
            Some(label) => {
                log.summary.oldest = label.first;
                log.summary.oldest_at = label.at;
                self.file(room);
            }
            None if log.summary.oldest > log.summary.newest => self.remove(room),
            // It could not be read.
            None => {}
        }
    }

    fn remove(&mut self, room: &Room) {
        self.too_full.remove(room);
        if let Some(at) = self.rooms.remove(room).and_then(|log| log.filed_at) {
            self.by_age.remove(&(at, room.clone()));
            let end = self.limits.until(room, at);
            self.by_end.remove(&(end, room.clone()));
        }
    }
}

//! Reading the past: first what is on disk, then what is on its way there.

use std::ops::ControlFlow;

use super::Journal;
use super::chunk::{ChunkLabel, end, events, from};
use crate::engine::{EventLogError, EventRange, Past, Recall};
use crate::ledger::{Space, StoreError};
use crate::wire::Millis;
use crate::wire::name::Room;

impl Past for Journal {
    fn kept(&self, room: &Room) -> Option<EventRange> {
        let summary = &self.rooms.get(room)?.summary;
        Some(EventRange {
            oldest: summary.oldest,
            newest: summary.newest,
            lost_at: summary.lost_at,
        })
    }

    fn near(&self, room: &Room, at: Millis) -> Result<u64, EventLogError> {
        let Some(log) = self.rooms.get(room) else {
            return Ok(0);
        };
        let summary = &log.summary;
        let (mut low, mut high) = (summary.oldest, summary.newest + 1);
        // Times rise with numbers, so that halving finds the chunk; the labels of those on disk are
        // in their keys.
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(label) = self.label_from(room, middle)? else {
                // From there on nothing is on disk.
                high = middle;
                continue;
            };
            if label.at < at {
                low = label.last + 1;
            } else {
                high = label.first.min(middle).max(low);
            }
        }
        Ok(low)
    }

    fn read(&self, room: &Room, seq: u64, visit: Recall<'_>) -> Result<(), EventLogError> {
        let Some(log) = self.rooms.get(room) else {
            return Ok(());
        };
        let fresh_from = log.fresh.front().map(|(_, label, _)| label.first);
        let open_from = log.open.first().map(|chunk| chunk.label.first);
        let in_memory_from = fresh_from.or(open_from).unwrap_or(u64::MAX);
        let mut position = ReadPosition {
            seq: seq.max(log.summary.oldest),
            visit,
            stopped: None,
        };
        if position.seq < in_memory_from {
            self.read_disk(room, in_memory_from, &mut position)?;
        }
        for (_, label, value) in &log.fresh {
            position.chunk(label, value);
        }
        for chunk in &log.open {
            position.chunk(&chunk.label, chunk.value());
        }
        match position.stopped {
            Some(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// How far a reader has come.
struct ReadPosition<'a> {
    seq: u64,
    visit: Recall<'a>,
    /// It is over, or something went wrong.
    stopped: Option<Result<(), EventLogError>>,
}

impl ReadPosition<'_> {
    fn chunk(&mut self, label: &ChunkLabel, value: &[u8]) {
        if self.stopped.is_some() || label.last < self.seq {
            return;
        }
        for event in events(label.first, value) {
            let Some(event) = event else {
                self.stopped = Some(Err(EventLogError::Unreadable));
                return;
            };
            if event.seq < self.seq {
                continue;
            }
            if (self.visit)(event).is_break() {
                self.stopped = Some(Ok(()));
                return;
            }
            self.seq = event.seq + 1;
        }
    }
}

impl Journal {
    /// The first chunk on disk that has this number or a later one.
    fn label_from(&self, room: &Room, seq: u64) -> Result<Option<ChunkLabel>, EventLogError> {
        let Some(reader) = &self.reader else {
            return Ok(None);
        };
        let mut found = None;
        let (from, to) = (from(room, seq), end(room));
        let first = &mut |key: &[u8]| {
            found = ChunkLabel::read(key);
            ControlFlow::Break(())
        };
        reader
            .keys(Space::Journal, &from, &to, first)
            .map_err(|error| unreadable(&error))?;
        Ok(found)
    }

    fn read_disk(
        &self,
        room: &Room,
        until: u64,
        position: &mut ReadPosition<'_>,
    ) -> Result<(), EventLogError> {
        let Some(reader) = &self.reader else {
            return Ok(());
        };
        if self.may_read.get() == 0 {
            return Err(EventLogError::Busy);
        }
        let (from, to) = (from(room, position.seq), end(room));
        let chunk = &mut |key: &[u8], value: &[u8]| {
            let left = self.may_read.get().saturating_sub(value.len());
            self.may_read.set(left);
            let Some(label) = ChunkLabel::read(key) else {
                position.stopped = Some(Err(EventLogError::Unreadable));
                return ControlFlow::Break(());
            };
            if label.first >= until {
                return ControlFlow::Break(());
            }
            position.chunk(&label, value);
            if position.stopped.is_none() && left == 0 {
                position.stopped = Some(Ok(()));
            }
            match position.stopped {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            }
        };
        reader
            .range(Space::Journal, &from, &to, chunk)
            .map_err(|error| unreadable(&error))
    }
}

fn unreadable(error: &StoreError) -> EventLogError {
    tracing::warn!(%error, "a room's past cannot be read");
    EventLogError::Unreadable
}

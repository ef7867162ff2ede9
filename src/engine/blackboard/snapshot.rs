//! Snapshots: everything below a prefix at one revision, the last one or an earlier one.

use crate::wire::blackboard::{Entry, Get, Snapshot};
use crate::wire::name::Key;
use crate::wire::reply::{Code, Rejection};

use crate::engine::replies::{Accepted, Call, Outcome, too_large};
use crate::engine::tx::RoomTx;

use super::{Blackboard, KeyVersion, below};

/// Entries on their way into an answer, whose size is bounded.
struct Collector {
    entries: Vec<Entry>,
    bytes: usize,
    limit: usize,
}

impl Collector {
    fn add(&mut self, key: &Key, version: &KeyVersion) -> Result<(), Rejection> {
        self.count(key.as_str().len() + version.size())?;
        self.entries.extend(version.entry(key));
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.bytes += bytes;
        if self.bytes > self.limit {
            return Err(too_large("a snapshot", self.bytes, self.limit));
        }
        Ok(())
    }
}

impl Blackboard {
    pub(in crate::engine) fn snapshot(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let get: Get = call.read_or_default(&tx.cx.settings)?;
        let mut found = Collector {
            entries: Vec::new(),
            bytes: 0,
            limit: tx.cx.settings.blackboard.max_snapshot.0,
        };
        let board = &self;
        let revision = get.revision.unwrap_or(board.revision);
        if revision == board.revision {
            for (key, cell) in below(&board.cells, get.prefix.as_ref(), None) {
                found.add(key, cell)?;
            }
        } else {
            board.collect_past(&mut found, get.prefix.as_ref(), revision)?;
        }
        let mut locks = Vec::new();
        for lock in self.locks.states().filter(|_| get.locks) {
            found.count(lock.name.as_str().len() + lock.holder.as_str().len())?;
            locks.push(lock);
        }
        let entries = found.entries;
        Ok(Accepted {
            revision: Some(revision),
            ..Accepted::found(
                tx.cx,
                Snapshot {
                    revision,
                    entries,
                    locks,
                },
            )
        })
    }
}

impl Blackboard {
    fn collect_past(
        &self,
        found: &mut Collector,
        prefix: Option<&Key>,
        revision: u64,
    ) -> Result<(), Rejection> {
        let unknown = |reason: String| Rejection::new(Code::NotFound, reason).at("revision");
        if revision > self.revision {
            let last = self.revision;
            return Err(unknown(format!(
                "the room is at revision {last}, and has not come to {revision}"
            )));
        }
        let since = self.history.floor;
        if revision < since {
            return Err(unknown(format!(
                "the room's history reaches back to revision {since}, not to {revision}"
            )));
        }
        let mut cells = below(&self.cells, prefix, None).peekable();
        let mut tombstones = below(&self.tombstones, prefix, None).peekable();
        loop {
            let is_cell = match (cells.peek(), tombstones.peek()) {
                (Some((cell, _)), Some((tombstone, _))) => cell < tombstone,
                (cell, _) => cell.is_some(),
            };
            let next = if is_cell {
                cells.next()
            } else {
                tombstones.next()
            };
            let Some((key, _)) = next else {
                return Ok(());
            };
            let then = self.at(key, revision).map_err(|since| {
                unknown(format!(
                    "the history of {key} reaches back to revision {since}, not to {revision}"
                ))
            })?;
            if let Some(version) = then.filter(|version| version.value.is_some()) {
                found.add(key, version)?;
            }
        }
    }
}

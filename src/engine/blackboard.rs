//! Blackboard: versioned state that a room shares.
//!
//! A key's version counts its writes and is never used twice, not even after a delete: a deleted key leaves a tombstone
//! with its last version. When tombstones are too many, the oldest are merged into a floor from which new keys start; so are all of a
//! room that has long been deserted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::blackboard::{Delete, Entry, Get, Set, Snapshot};
use crate::wire::json::{self, Json};
use crate::wire::name::{Agent, Key, Room};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use super::Effect;
use super::context::Context;
use super::event::{Detail, Happened};
use super::record::Change;
use super::replies::{Accepted, Call, Outcome, at_most, between, too_large};
use super::room::{RoomState, not_yet};
use super::timer::{Subject, Timer};

/// A key that has a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) value: Json,
    pub(super) version: u64,
    pub(super) revision: u64,
    pub(super) updated_at: Millis,
    pub(super) updated_by: Agent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Millis>,
}

/// What is left of a deleted key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub(super) version: u64,
    /// The room's revision when it was deleted: unique, so it orders them.
    pub(super) revision: u64,
}

/// A room's keys.
#[derive(Debug, Default)]
pub(super) struct Blackboard {
    /// Counts the writes of the room, deletes included.
    pub(super) revision: u64,
    /// No new key starts at or below it.
    pub(super) version_floor: u64,
    pub(super) cells: BTreeMap<Key, Cell>,
    pub(super) tombstones: BTreeMap<Key, Tombstone>,
    /// Tombstones, oldest first.
    buried: BTreeSet<(u64, Key)>,
    bytes: usize,
}

impl Cell {
    fn entry(&self, key: &Key) -> Entry {
        Entry {
            key: key.clone(),
            value: self.value.clone(),
            version: self.version,
            revision: self.revision,
            updated_at: self.updated_at,
            updated_by: self.updated_by.clone(),
            expires_at: self.expires_at,
        }
    }

    fn size(&self) -> usize {
        self.value.text().len()
    }
}

impl Blackboard {
    pub(super) fn insert(&mut self, key: Key, cell: Cell) {
        self.bytes += cell.size();
        let earlier = self.cells.insert(key, cell);
        self.bytes -= earlier.as_ref().map_or(0, Cell::size);
    }

    fn remove(&mut self, key: &Key) -> Option<Cell> {
        let cell = self.cells.remove(key)?;
        self.bytes -= cell.size();
        Some(cell)
    }

    pub(super) fn bury(&mut self, key: Key, tombstone: Tombstone) {
        self.buried.insert((tombstone.revision, key.clone()));
        self.tombstones.insert(key, tombstone);
    }

    fn exhume(&mut self, key: &Key) -> Option<Tombstone> {
        let tombstone = self.tombstones.remove(key)?;
        self.buried.remove(&(tombstone.revision, key.clone()));
        Some(tombstone)
    }

    fn last_version(&self, key: &Key) -> u64 {
        let cell = self.cells.get(key).map(|cell| cell.version);
        cell.or_else(|| self.tombstones.get(key).map(|tombstone| tombstone.version))
            .unwrap_or(self.version_floor)
    }

    fn entry(&self, key: &Key) -> Option<Entry> {
        self.cells.get(key).map(|cell| cell.entry(key))
    }

    /// The key itself and everything below it; without a prefix, everything.
    fn below<'a>(
        &'a self,
        prefix: Option<&'a Key>,
    ) -> Box<dyn Iterator<Item = (&'a Key, &'a Cell)> + 'a> {
        let Some(prefix) = prefix else {
            return Box::new(self.cells.iter());
        };
        let inner = format!("{prefix}/");
        let bounds = (Bound::Excluded(inner.as_str()), Bound::Unbounded);
        let below = self.cells.range::<str, _>(bounds);
        let below = below.take_while(move |(key, _)| key.as_str().starts_with(&inner));
        Box::new(self.cells.get_key_value(prefix).into_iter().chain(below))
    }

    fn expect(&self, key: &Key, expected: Option<u64>) -> Result<(), Rejection> {
        let found = self.cells.get(key).map_or(0, |cell| cell.version);
        let Some(expected) = expected.filter(|expected| *expected != found) else {
            return Ok(());
        };
        let reason = match found {
            0 => format!("{key} should have version {expected}, but is absent"),
            _ if expected == 0 => format!("{key} should be absent, but has version {found}"),
            _ => format!("{key} should have version {expected}, but has version {found}"),
        };
        Err(Rejection::new(Code::Conflict, reason).with_current(self.entry(key)))
    }
}

impl RoomState {
    pub(super) fn set(&mut self, cx: &mut Context, call: &mut Call<'_>, key: &Key) -> Outcome {
        let set: Set = call.read(&cx.settings)?;
        self.once(cx, call, |room, cx| {
            room.check_set(cx, &set, key)?;
            Ok(room.write(cx, call.from(), key, set.value, set.ttl_ms))
        })
    }

    fn check_set(&self, cx: &Context, set: &Set, key: &Key) -> Result<(), Rejection> {
        if set.merge {
            return Err(not_yet("blackboard/set with merge").at("merge"));
        }
        let (board, settings) = (&self.blackboard, &cx.settings);
        let size = set.value.text().len();
        at_most("value", size, settings.max_value_bytes)?;
        if let Some(ttl_ms) = set.ttl_ms {
            between("ttlMs", ttl_ms, 1, settings.max_ttl_ms)?;
        }
        board.expect(key, set.if_version)?;
        let old_size = board.cells.get(key).map(Cell::size);
        if old_size.is_none() && board.cells.len() >= settings.max_keys_per_room {
            let reason = format!("the room has its {} keys", settings.max_keys_per_room);
            return Err(Rejection::new(Code::TooMany, reason));
        }
        let bytes = board.bytes - old_size.unwrap_or_default() + size;
        if bytes > settings.max_key_bytes_per_room {
            let limit = settings.max_key_bytes_per_room;
            let reason = format!("the room's values may have at most {limit} bytes together");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        Ok(())
    }

    fn write(
        &mut self,
        cx: &mut Context,
        by: &Agent,
        key: &Key,
        value: Json,
        ttl_ms: Option<u64>,
    ) -> Accepted {
        let board = &mut self.blackboard;
        board.revision += 1;
        let cell = Cell {
            value,
            version: board.last_version(key) + 1,
            revision: board.revision,
            updated_at: cx.now,
            updated_by: by.clone(),
            expires_at: ttl_ms.map(|ttl_ms| cx.after(ttl_ms)),
        };
        let (version, revision) = (cell.version, cell.revision);
        let payload = json::encode(&cell.entry(key));
        board.exhume(key);
        match board.cells.get(key) {
            Some(earlier) => disarm_expiry(cx, &self.name, key, earlier),
            None => cx.stats.keys += 1,
        }
        arm_expiry(cx, &self.name, key, &cell);
        board.insert(key.clone(), cell);
        self.show(cx, key, Some(payload));
        self.tell_write(cx, "blackboard.set", key, by, version);
        Accepted {
            version: Some(version),
            revision: Some(revision),
            ..Accepted::new(Code::Done)
        }
    }

    pub(super) fn delete(&mut self, cx: &mut Context, call: &mut Call<'_>, key: &Key) -> Outcome {
        let delete: Delete = call.read_or_default(&cx.settings)?;
        self.once(cx, call, |room, cx| {
            room.blackboard.expect(key, delete.if_version)?;
            room.erase(cx, "blackboard.deleted", call.from(), key)
                .ok_or_else(|| Rejection::new(Code::NotFound, format!("no key {key} to delete")))
        })
    }

    pub(super) fn key_expired(&mut self, cx: &mut Context, key: &Key) {
        let gateway = cx.gateway.clone();
        self.erase(cx, "blackboard.expired", &gateway, key);
    }

    /// The gateway deletes the first key; whether there was one.
    pub(super) fn delete_first_key(&mut self, cx: &mut Context) -> bool {
        let Some(key) = self.blackboard.cells.keys().next().cloned() else {
            return false;
        };
        let gateway = cx.gateway.clone();
        self.erase(cx, "blackboard.deleted", &gateway, &key)
            .is_some()
    }

    fn erase(
        &mut self,
        cx: &mut Context,
        what: &'static str,
        by: &Agent,
        key: &Key,
    ) -> Option<Accepted> {
        let cell = self.blackboard.remove(key)?;
        disarm_expiry(cx, &self.name, key, &cell);
        cx.stats.keys -= 1;
        self.blackboard.revision += 1;
        let tombstone = Tombstone {
            version: cell.version,
            revision: self.blackboard.revision,
        };
        self.blackboard.bury(key.clone(), tombstone);
        self.merge_tombstones(cx);
        self.show(cx, key, None);
        self.tell_write(cx, what, key, by, cell.version);
        Some(Accepted {
            version: Some(cell.version),
            revision: Some(self.blackboard.revision),
            ..Accepted::new(Code::Done)
        })
    }

    fn merge_tombstones(&mut self, cx: &mut Context) {
        while self.blackboard.tombstones.len() > cx.settings.max_tombstones_per_room {
            self.merge_oldest_tombstone(cx);
        }
    }

    /// Forgets the key that was deleted first, and which version it had: new keys start above it. Returns whether there was one.
    pub(super) fn merge_oldest_tombstone(&mut self, cx: &mut Context) -> bool {
        let Some((_, key)) = self.blackboard.buried.first().cloned() else {
            return false;
        };
        if let Some(tombstone) = self.blackboard.exhume(&key) {
            let floor = self.blackboard.version_floor.max(tombstone.version);
            self.blackboard.version_floor = floor;
        }
        self.change(cx, Change::Key(key));
        true
    }

    fn show(&mut self, cx: &mut Context, key: &Key, payload: Option<bytes::Bytes>) {
        self.change(cx, Change::Key(key.clone()));
        let topic = Topic::BlackboardState { key: key.clone() };
        cx.emit(Effect::Retain {
            topic: RoomTopic::new(self.name.clone(), topic),
            payload,
        });
    }

    fn tell_write(
        &mut self,
        cx: &mut Context,
        what: &'static str,
        key: &Key,
        by: &Agent,
        version: u64,
    ) {
        let detail = Detail {
            version: Some(version),
            revision: Some(self.blackboard.revision),
            ..Detail::default()
        };
        let happened = Happened::new(what, key.as_str(), by);
        self.tell(cx, &Happened { detail, ..happened });
    }

    pub(super) fn snapshot(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        let get: Get = call.read_or_default(&cx.settings)?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        for (key, cell) in self.blackboard.below(get.prefix.as_ref()) {
            bytes += key.as_str().len() + cell.size();
            if bytes > cx.settings.max_snapshot_bytes {
                return Err(too_large(
                    "a snapshot",
                    bytes,
                    cx.settings.max_snapshot_bytes,
                ));
            }
            entries.push(cell.entry(key));
        }
        let revision = self.blackboard.revision;
        Ok(Accepted {
            revision: Some(revision),
            ..Accepted::found(&Snapshot { revision, entries })
        })
    }
}

/// Arms the timer of a key that will delete itself.
pub(super) fn arm_expiry(cx: &mut Context, room: &Room, key: &Key, cell: &Cell) {
    if let Some(at) = cell.expires_at {
        let subject = Subject::Key(room.clone(), key.clone());
        cx.timers.arm(at, Timer::KeyExpiry, subject);
    }
}

fn disarm_expiry(cx: &mut Context, room: &Room, key: &Key, cell: &Cell) {
    if let Some(at) = cell.expires_at {
        let subject = Subject::Key(room.clone(), key.clone());
        cx.timers.disarm(at, Timer::KeyExpiry, subject);
    }
}

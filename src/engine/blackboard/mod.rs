//! Blackboard: versioned state that a room shares.
//!
//! A key's version counts its writes and is never used twice, not even after a delete: a deleted
//! key leaves a tombstone with its last version. When tombstones are too many, the oldest are
//! merged into a floor from which new keys start; so are all of a room that has long been deserted.
//! What a key was before is its history, in which tombstones stand, too.
//!
//! This file holds the state; `write` and `txn` change it, `lock` and `locking` say who may,
//! `history` and `snapshot` answer about it.

pub(super) mod config;
mod envelopes;
mod history;
mod list;
mod lock;
mod locking;
mod pattern;
mod records;
mod snapshot;
mod states;
mod txn;
mod value;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::blackboard::Entry;
use crate::wire::name::{Agent, Key};
use crate::wire::reply::{Code, Rejection};

use super::record::Changes;
use super::shown::Wall;
use super::timer::{Timer, TimerSubject};
use super::tx::RoomTx;

use history::VersionHistory;
use lock::Locks;
use records::KeyRecord;
pub(super) use states::{KEY, LOCK};
use value::StoredValue;

/// What a write made of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KeyVersion {
    /// `None` where it deleted the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<StoredValue>,
    /// Where it deleted the key, the version that it had.
    version: u64,
    /// The room's revision that it made.
    revision: u64,
    updated_at: Millis,
    updated_by: Agent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Millis>,
    /// Whether nothing of the key was remembered before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    first: bool,
}

/// A room's keys.
#[derive(Debug, Default)]
pub(super) struct Blackboard {
    changes: Changes<records::KeyChange>,
    /// Counts the writes of the room, deletes included; a transaction is one.
    pub(super) revision: u64,
    /// No new key starts at or below it.
    pub(super) version_floor: u64,
    /// Keys that have a value. Boxed: a third of a tree's places is empty.
    pub(super) cells: BTreeMap<Key, Box<KeyVersion>>,
    /// Keys that were deleted.
    pub(super) tombstones: BTreeMap<Key, Box<KeyVersion>>,
    pub(super) history: VersionHistory,
    pub(super) locks: Locks,
    /// Tombstones, oldest first.
    buried: BTreeSet<(u64, Key)>,
    /// Of the values that stand.
    bytes: usize,
    /// Keys whose record is still one of an earlier version.
    legacy: BTreeSet<Key>,
}

impl KeyVersion {
    /// As the key's entry; `None` where it was deleted.
    fn entry(&self, key: &Key) -> Option<Entry> {
        Some(Entry {
            key: key.clone(),
            value: self.value.as_ref()?.json(),
            version: self.version,
            revision: self.revision,
            updated_at: self.updated_at,
            updated_by: self.updated_by.clone(),
            expires_at: self.expires_at,
        })
    }

    /// Its value is in this message now.
    pub(super) fn attach(&mut self, key: &Key, message: &Bytes) {
        if let Some(value) = &mut self.value {
            value.attach(key, message);
        }
    }

    fn size(&self) -> usize {
        self.value.as_ref().map_or(0, StoredValue::len)
    }
}

impl Blackboard {
    /// Lets a version stand, with a value or as a tombstone, and returns the one that stood before.
    fn put(&mut self, key: &Key, version: KeyVersion) -> Option<KeyVersion> {
        let earlier = self.take(key);
        self.bytes += version.size();
        if version.value.is_some() {
            self.cells.insert(key.clone(), Box::new(version));
        } else {
            self.buried.insert((version.revision, key.clone()));
            self.tombstones.insert(key.clone(), Box::new(version));
        }
        earlier
    }

    fn take(&mut self, key: &Key) -> Option<KeyVersion> {
        if let Some(cell) = self.cells.remove(key) {
            self.bytes -= cell.size();
            return Some(*cell);
        }
        let tombstone = self.tombstones.remove(key)?;
        self.buried.remove(&(tombstone.revision, key.clone()));
        Some(*tombstone)
    }

    /// What stands of a key, be it a tombstone.
    fn standing(&self, key: &Key) -> Option<&KeyVersion> {
        let found = self.cells.get(key).or_else(|| self.tombstones.get(key));
        found.map(Box::as_ref)
    }

    /// The version that a revision made of a key.
    pub(super) fn find(&self, key: &Key, revision: u64) -> Option<&KeyVersion> {
        let standing = self
            .standing(key)
            .filter(|version| version.revision == revision);
        standing.or_else(|| self.history.find(key, revision))
    }

    fn entry(&self, key: &Key) -> Option<Entry> {
        self.cells.get(key).and_then(|cell| cell.entry(key))
    }

    /// Every key that has a value with the message that shows it; what `show` made of that is where
    /// the value is from then on.
    pub(super) fn show_all(&mut self, wall: Wall, show: &mut dyn FnMut(&Key, Bytes) -> Bytes) {
        for (key, cell) in &mut self.cells {
            if let Some(entry) = cell.entry(key) {
                let message = show(key, wall.encode(&entry));
                cell.attach(key, &message);
            }
        }
    }

    pub(super) fn attach(&mut self, key: &Key, message: &Bytes) {
        if let Some(cell) = self.cells.get_mut(key) {
            cell.attach(key, message);
        }
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

/// The key itself and everything below it; without a prefix, everything.
fn below<'a, T>(
    map: &'a BTreeMap<Key, T>,
    prefix: Option<&'a Key>,
    after: Option<&'a Key>,
) -> Box<dyn Iterator<Item = (&'a Key, &'a T)> + 'a> {
    let from = |start: &str| {
        let start = after.map_or(start, |after| after.as_str().max(start));
        map.range::<str, _>((Bound::Excluded(start), Bound::Unbounded))
    };
    let Some(prefix) = prefix else {
        // No key sorts before the shortest text.
        return Box::new(from(""));
    };
    let inner = format!("{prefix}/");
    let below = from(&inner);
    let below = below.take_while(move |(key, _)| key.as_str().starts_with(&inner));
    let own = map.get_key_value(prefix);
    let own = own.filter(|(key, _)| after.is_none_or(|after| *key > after));
    Box::new(own.into_iter().chain(below))
}

impl Blackboard {
    /// Recovery: the versions of a key come oldest first.
    pub(super) fn rebuild_version(&mut self, tx: &mut RoomTx<'_>, key: Key, version: KeyVersion) {
        tx.cx.stats.keys += usize::from(version.value.is_some());
        tx.cx.stats.key_bytes += version.size();
        let earlier = self.put(&key, version);
        if let Some(earlier) = earlier {
            self.disarm_expiry(tx, &key, &earlier);
            tx.cx.stats.keys -= usize::from(earlier.value.is_some());
            tx.cx.stats.key_bytes -= earlier.size();
            self.history.push(&key, earlier);
        }
        self.arm_expiry(tx, &key);
    }

    /// Recovery: a key as versions without a history left it.
    pub(super) fn rebuild_key(&mut self, tx: &mut RoomTx<'_>, key: Key, record: KeyRecord) {
        self.legacy.insert(key.clone());
        let version = match record {
            KeyRecord::Live(version) => version,
            KeyRecord::Deleted { version, revision } => KeyVersion {
                value: None,
                version,
                revision,
                updated_at: 0,
                updated_by: tx.cx.gateway.clone(),
                expires_at: None,
                first: false,
            },
        };
        self.rebuild_version(tx, key, version);
    }

    /// Arms the timer of a key that will delete itself.
    fn arm_expiry(&self, tx: &mut RoomTx<'_>, key: &Key) {
        let standing = self.cells.get(key);
        if let Some(at) = standing.and_then(|cell| cell.expires_at) {
            let subject = Blackboard::expiry_of(tx, key);
            tx.cx.timers.arm(at, Timer::KeyExpiry, subject);
        }
    }

    fn disarm_expiry(&self, tx: &mut RoomTx<'_>, key: &Key, version: &KeyVersion) {
        if let Some(at) = version.expires_at {
            let subject = Blackboard::expiry_of(tx, key);
            tx.cx.timers.disarm(at, Timer::KeyExpiry, subject);
        }
    }

    fn expiry_of(tx: &RoomTx<'_>, key: &Key) -> TimerSubject {
        TimerSubject::Key(tx.room.name.clone(), key.clone())
    }
}

//! What of keys and locks is recorded, and how it comes back.

use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;

use crate::wire::name::{Key, LockName, Room};

use crate::engine::record::{Changes, RecordKey, RecordProblem, decode, encode, key, name};
use crate::engine::recorded::Recorded;
use crate::engine::tx::RoomTx;

use super::{Blackboard, Version};

const KEY: u8 = 5;
const VERSION: u8 = 8;
const LOCK: u8 = 9;

/// What of it must be recorded anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Change {
    Key(Key),
    Version(Key, u64),
    Lock(LockName),
}

/// A key of the blackboard, or what is left of it, as versions without a history wrote it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(in crate::engine) enum KeyRecord {
    Live(Version),
    Deleted {
        version: u64,
        /// The room's revision when it was deleted.
        revision: u64,
    },
}

impl RecordKey for Change {
    fn key(&self, room: &Room) -> Vec<u8> {
        match self {
            Change::Key(name) => key(room, KEY, &[name.as_str().as_bytes()]),
            Change::Version(name, revision) => {
                let parts = [name.as_str().as_bytes(), &[0], &revision.to_be_bytes()];
                key(room, VERSION, &parts)
            }
            Change::Lock(name) => key(room, LOCK, &[name.as_str().as_bytes()]),
        }
    }

    fn parse(tag: u8, rest: &[u8]) -> Option<Option<Change>> {
        Some(match tag {
            KEY => name(rest, Key::new).map(Change::Key),
            VERSION => version(rest),
            LOCK => name(rest, LockName::new).map(Change::Lock),
            _ => return None,
        })
    }
}

fn version(rest: &[u8]) -> Option<Change> {
    let (rest, revision) = rest.split_last_chunk()?;
    let key = name(rest.strip_suffix(&[0])?, Key::new)?;
    Some(Change::Version(key, u64::from_be_bytes(*revision)))
}

impl Recorded for Blackboard {
    type Key = Change;

    fn changes(&mut self) -> &mut Changes<Change> {
        &mut self.changes
    }

    fn value(&self, change: &Change) -> Option<Vec<u8>> {
        match change {
            // Its version stands in a record of the other kind.
            Change::Key(_) => None,
            Change::Version(key, revision) => Some(encode(self.find(key, *revision)?)),
            Change::Lock(name) => Some(encode(self.locks.get(name)?)),
        }
    }

    fn take_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        change: Change,
        value: &[u8],
    ) -> Result<(), RecordProblem> {
        match change {
            Change::Key(key) => self.rebuild_key(tx, key, decode(value)?),
            Change::Version(key, _) => self.rebuild_version(tx, key, decode(value)?),
            Change::Lock(name) => self.rebuild_lock(tx, name, decode(value)?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::split;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let room = Room::new("studio").unwrap();
        let changes = [
            Change::Key(Key::new("a/b/c").unwrap()),
            Change::Version(Key::new("a/b/c").unwrap(), 256),
            Change::Lock(LockName::new("l").unwrap()),
        ];
        for change in changes {
            let key = change.key(&room);
            let (_, tag, rest) = split(&key).unwrap();
            assert_eq!(Change::parse(tag, rest), Some(Some(change)));
        }
    }
}

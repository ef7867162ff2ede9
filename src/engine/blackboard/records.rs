//! What of keys and locks is recorded, and how it comes back.

use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;

use crate::wire::blackboard::LockName;
use crate::wire::name::{Key, Room};

use crate::engine::record::{Changes, RecordKey, RecordProblem, decode, encode, key, name};
use crate::engine::recorded::Recorded;
use crate::engine::tx::RoomTx;

use super::{Blackboard, KeyVersion};

const KEY: u8 = 5;
const VERSION: u8 = 8;
const LOCK: u8 = 9;

/// What of it must be recorded anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum KeyChange {
    Key(Key),
    Version(Key, u64),
    Lock(LockName),
}

/// A key of the blackboard, or what is left of it, as versions without a history wrote it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(in crate::engine) enum KeyRecord {
    Live(KeyVersion),
    Deleted {
        version: u64,
        /// The room's revision when it was deleted.
        revision: u64,
    },
}

impl RecordKey for KeyChange {
    fn key(&self, room: &Room) -> Vec<u8> {
        match self {
            KeyChange::Key(name) => key(room, KEY, &[name.as_str().as_bytes()]),
            KeyChange::Version(name, revision) => {
                let parts = [name.as_str().as_bytes(), &[0], &revision.to_be_bytes()];
                key(room, VERSION, &parts)
            }
            KeyChange::Lock(name) => key(room, LOCK, &[name.as_str().as_bytes()]),
        }
    }

    fn parse(tag: u8, rest: &[u8]) -> Option<Option<KeyChange>> {
        Some(match tag {
            KEY => name(rest, Key::new).map(KeyChange::Key),
            VERSION => version(rest),
            LOCK => name(rest, LockName::new).map(KeyChange::Lock),
            _ => return None,
        })
    }
}

fn version(rest: &[u8]) -> Option<KeyChange> {
    let (rest, revision) = rest.split_last_chunk()?;
    let key = name(rest.strip_suffix(&[0])?, Key::new)?;
    Some(KeyChange::Version(key, u64::from_be_bytes(*revision)))
}

impl Recorded for Blackboard {
    type Key = KeyChange;

    fn changes(&mut self) -> &mut Changes<KeyChange> {
        &mut self.changes
    }

    fn value(&self, change: &KeyChange) -> Option<Vec<u8>> {
        match change {
            // Its version stands in a record of the other kind.
            KeyChange::Key(_) => None,
            KeyChange::Version(key, revision) => Some(encode(self.find(key, *revision)?)),
            KeyChange::Lock(name) => Some(encode(self.locks.get(name)?)),
        }
    }

    fn take_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        change: KeyChange,
        value: &[u8],
    ) -> Result<(), RecordProblem> {
        match change {
            KeyChange::Key(key) => self.rebuild_key(tx, key, decode(value)?),
            KeyChange::Version(key, _) => self.rebuild_version(tx, key, decode(value)?),
            KeyChange::Lock(name) => self.rebuild_lock(tx, name, decode(value)?),
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
            KeyChange::Key(Key::new("a/b/c").unwrap()),
            KeyChange::Version(Key::new("a/b/c").unwrap(), 256),
            KeyChange::Lock(LockName::new("l").unwrap()),
        ];
        for change in changes {
            let key = change.key(&room);
            let (_, tag, rest) = split(&key).unwrap();
            assert_eq!(KeyChange::parse(tag, rest), Some(Some(change)));
        }
    }
}

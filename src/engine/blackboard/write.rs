//! Writes: `blackboard/set` and `blackboard/delete`, what a time to live does, and how checked
//! writes become the state.
//!
//! A write is planned first, which may refuse it, and made then, which cannot fail. So several can
//! be all or nothing.

use crate::wire::blackboard::{Delete, Set, Written};
use crate::wire::json::Json;
use crate::wire::merge::merge;
use crate::wire::name::{Agent, Key, Room};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use super::records::KeyChange;
use crate::engine::context::Context;
use crate::engine::effect::Effect;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::kept_bytes::MOST_AT_ONCE;
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Accepted, Call, Outcome, at_most, between};
use crate::engine::settings::Settings;
use crate::engine::tx::RoomTx;

use super::states::SET;
use super::{Blackboard, KeyVersion, StoredValue};

/// A write that has been checked.
pub(super) struct Write {
    pub(super) key: Key,
    deed: Deed,
}

enum Deed {
    Put {
        value: Json,
        ttl_ms: Option<u64>,
    },
    /// With the event's name.
    Erase(&'static str),
}

/// What a set asks for.
pub(super) struct SetRequest {
    pub(super) value: Json,
    pub(super) if_version: Option<u64>,
    pub(super) merge: bool,
    pub(super) ttl_ms: Option<u64>,
}

impl Blackboard {
    pub(super) fn plan_set(
        &self,
        room: &Room,
        settings: &Settings,
        key: Key,
        wanted: SetRequest,
    ) -> Result<Write, Rejection> {
        let limit = settings.blackboard.max_value.0;
        at_most("value", wanted.value.text().len(), limit)?;
        if let Some(ttl_ms) = wanted.ttl_ms {
            between("ttlMs", ttl_ms, 1, settings.commands.max_ttl.ms())?;
        }
        self.expect(&key, wanted.if_version)?;
        let mut value = wanted.value;
        if wanted.merge {
            let old = self.cells.get(&key).and_then(|cell| cell.value.as_ref());
            let merged = merge(old.map(StoredValue::json).as_ref(), &value);
            value = merged
                .map_err(|error| Rejection::new(Code::Invalid, error.to_string()).at("value"))?;
            at_most("value", value.text().len(), limit)?;
        }
        settings.key_schemas.check(room, &key, &value)?;
        let ttl_ms = wanted.ttl_ms;
        let deed = Deed::Put { value, ttl_ms };
        Ok(Write { key, deed })
    }

    pub(super) fn plan_delete(
        &self,
        key: Key,
        if_version: Option<u64>,
    ) -> Result<Write, Rejection> {
        self.expect(&key, if_version)?;
        if !self.cells.contains_key(&key) {
            let reason = format!("no key {key} to delete");
            return Err(Rejection::new(Code::NotFound, reason));
        }
        let deed = Deed::Erase("blackboard.deleted");
        Ok(Write { key, deed })
    }

    /// Refuses writes of different keys that would together be too much for the room.
    pub(super) fn admit(&self, cx: &Context, writes: &[Write]) -> Result<(), Rejection> {
        let settings = &cx.settings;
        let (mut keys, mut bytes) = (self.cells.len(), self.bytes);
        let (old_keys, old_bytes) = (keys, bytes);
        for write in writes {
            if let Some(cell) = self.cells.get(&write.key) {
                keys -= 1;
                bytes -= cell.size();
            }
            if let Deed::Put { value, .. } = &write.deed {
                keys += 1;
                bytes += value.text().len();
            }
        }
        let (max_keys, max_bytes) = (
            settings.blackboard.max_keys_per_room,
            settings.blackboard.max_bytes_per_room.0,
        );
        // What makes the room smaller is welcome, however full it is.
        if keys > max_keys && keys > old_keys {
            let reason = format!("the room has its {max_keys} keys");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        if bytes > max_bytes && bytes > old_bytes {
            let reason = format!(
                "the room's values may have at most {max_bytes} bytes together \
                 (blackboard.max_bytes_per_room)"
            );
            return Err(Rejection::new(Code::TooMany, reason));
        }
        let all = cx.stats.key_bytes.saturating_sub(old_bytes) + bytes;
        if all > settings.blackboard.max_bytes.0 && bytes > old_bytes {
            let reason = format!(
                "the values of all rooms may have at most {} bytes together (blackboard.max_bytes)",
                settings.blackboard.max_bytes.0
            );
            return Err(Rejection::new(Code::TooMany, reason));
        }
        Ok(())
    }
}

impl Blackboard {
    pub(in crate::engine) fn set(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
        key: &Key,
    ) -> Outcome {
        let set: Set = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            let wanted = SetRequest {
                value: set.value,
                if_version: set.if_version,
                merge: set.merge,
                ttl_ms: set.ttl_ms,
            };
            self.check_fence(set.fence.as_ref())?;
            let (board, settings) = (&self, &tx.cx.settings);
            let write = board.plan_set(&tx.room.name, settings, key.clone(), wanted)?;
            board.admit(tx.cx, std::slice::from_ref(&write))?;
            Ok(self.write_one(tx, call.from(), write))
        })
    }

    pub(in crate::engine) fn delete(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
        key: &Key,
    ) -> Outcome {
        let delete: Delete = call.read_or_default(&tx.cx.settings)?;
        tx.once(call, |tx| {
            self.check_fence(delete.fence.as_ref())?;
            let write = self.plan_delete(key.clone(), delete.if_version)?;
            Ok(self.write_one(tx, call.from(), write))
        })
    }

    pub(in crate::engine) fn key_expired(&mut self, tx: &mut RoomTx<'_>, key: &Key) {
        if self.cells.contains_key(key) {
            let gateway = tx.cx.gateway.clone();
            let deed = Deed::Erase("blackboard.expired");
            let key = key.clone();
            self.write_one(tx, &gateway, Write { key, deed });
        }
    }

    /// The gateway deletes the first key; whether there was one.
    pub(in crate::engine) fn delete_first_key(&mut self, tx: &mut RoomTx<'_>) -> bool {
        let Some(key) = self.cells.keys().next().cloned() else {
            return false;
        };
        let gateway = tx.cx.gateway.clone();
        let deed = Deed::Erase("blackboard.deleted");
        self.write_one(tx, &gateway, Write { key, deed });
        true
    }

    fn write_one(&mut self, tx: &mut RoomTx<'_>, by: &Agent, write: Write) -> Accepted {
        self.revision += 1;
        let written = self.make(tx, by, write);
        Accepted {
            version: Some(written.version),
            revision: Some(self.revision),
            ..Accepted::new(Code::Done)
        }
    }

    /// Makes a write that was planned on the state as it is, at the room's revision.
    pub(super) fn make(&mut self, tx: &mut RoomTx<'_>, by: &Agent, write: Write) -> Written {
        let Write { key, deed } = write;
        let board = &mut *self;
        let standing = board.standing(&key);
        let last = standing.map_or(board.version_floor, |standing| standing.version);
        let first = standing.is_none();
        let is_set = board.cells.contains_key(&key);
        let is_erased = matches!(deed, Deed::Erase(_));
        let (value, expires_at, version, what) = match deed {
            Deed::Put { value, ttl_ms } => {
                let expires_at = ttl_ms.map(|ttl_ms| tx.cx.after(ttl_ms));
                (Some(value.into()), expires_at, last + 1, "blackboard.set")
            }
            Deed::Erase(what) => (None, None, last, what),
        };
        let made = KeyVersion {
            value,
            version,
            revision: board.revision,
            updated_at: tx.cx.now,
            updated_by: by.clone(),
            expires_at,
            first,
        };
        self.stand(tx, &key, made);
        self.merge_tombstones(tx);
        let happened = RoomEvent {
            from: (is_set && is_erased).then_some(SET),
            to: (!is_set && !is_erased).then_some(SET),
            detail: Detail {
                version: Some(version),
                revision: Some(self.revision),
                ..Detail::default()
            },
            ..RoomEvent::new(what, key.as_str(), by)
        };
        tx.record_event(&happened);
        Written { key, version }
    }

    fn stand(&mut self, tx: &mut RoomTx<'_>, key: &Key, made: KeyVersion) {
        let payload = made.entry(key).map(|entry| tx.cx.wall.encode(&entry));
        tx.cx.stats.keys += usize::from(made.value.is_some());
        tx.cx.stats.key_bytes += made.size();
        self.change(tx, KeyChange::Version(key.clone(), made.revision));
        let earlier = self.put(key, made);
        if let Some(earlier) = &earlier {
            tx.cx.stats.keys -= usize::from(earlier.value.is_some());
            tx.cx.stats.key_bytes -= earlier.size();
            self.disarm_expiry(tx, key, earlier);
        }
        self.arm_expiry(tx, key);
        if let Some(earlier) = earlier {
            if self.legacy.remove(key) {
                self.change(tx, KeyChange::Key(key.clone()));
                self.change(tx, KeyChange::Version(key.clone(), earlier.revision));
            }
            self.supersede(tx, key, earlier);
        }
        let topic = Topic::BlackboardState { key: key.clone() };
        tx.cx.emit(Effect::Retain {
            topic: RoomTopic::new(tx.room.name.clone(), topic),
            payload,
        });
    }

    fn merge_tombstones(&mut self, tx: &mut RoomTx<'_>) {
        let most = tx.cx.settings.blackboard.max_tombstones_per_room;
        let too_many = self.tombstones.len().saturating_sub(most);
        for _ in 0..too_many.min(MOST_AT_ONCE) {
            self.merge_oldest_tombstone(tx);
        }
    }

    /// Forgets the key that was deleted first, and which version it had: new keys start above it.
    /// Returns whether there was one.
    pub(in crate::engine) fn merge_oldest_tombstone(&mut self, tx: &mut RoomTx<'_>) -> bool {
        let Some((revision, key)) = self.buried.first().cloned() else {
            return false;
        };
        if let Some(tombstone) = self.take(&key) {
            let floor = self.version_floor.max(tombstone.version);
            self.version_floor = floor;
        }
        if self.legacy.remove(&key) {
            self.change(tx, KeyChange::Key(key.clone()));
        }
        self.forget_history(tx, &key, revision);
        self.change(tx, KeyChange::Version(key, revision));
        true
    }
}

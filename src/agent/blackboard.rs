//! Blackboard: state that the room shares.

use std::time::Duration;

use serde::Serialize;

use super::command::{Effort, json_of, millis};
use super::core::data;
use super::error::Error;
use super::feed::Feed;
use super::lock::HeldBoardLock;
use super::mirror::BlackboardMirror;
use super::room::Room;
use super::watch::{self, KeyUpdate};
use crate::wire::blackboard::{
    Delete, Entry, Fence, Get, GetHistory, History, KeyPage, ListKeys, Lock, LockName, Op, Set,
    Snapshot, Txn, Unlock, Written,
};
use crate::wire::name::Key;
use crate::wire::reply::Reply;
use crate::wire::topic::Topic;

/// A room's blackboard: [`Room::blackboard`].
#[derive(Debug, Clone)]
pub struct RoomBlackboard {
    room: Room,
}

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteReceipt {
    /// The key's version.
    pub version: u64,
    /// The room's revision.
    pub revision: u64,
}

/// What a transaction came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnReceipt {
    /// The room's revision: one for all of it.
    pub revision: u64,
    /// Each key that was written, with its version.
    pub versions: Vec<Written>,
}

/// Under which conditions a key is written, and for how long.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Only if this is its version; 0: only if it is absent.
    pub if_version: Option<u64>,
    /// The value is a JSON Merge Patch (RFC 7396).
    pub merge: bool,
    /// It deletes itself after that.
    pub ttl: Option<Duration>,
    /// Only while this lock is held under this token.
    pub fence: Option<Fence>,
}

impl RoomBlackboard {
    pub(super) fn new(room: Room) -> RoomBlackboard {
        RoomBlackboard { room }
    }

    /// Writes a key, whatever is there.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn set<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
    ) -> Result<WriteReceipt, Error> {
        self.set_with(key, value, WriteOptions::default()).await
    }

    /// Writes a key.
    ///
    /// # Errors
    /// [`Error::Conflict`] with what is there ([`Refusal::current`](super::Refusal::current)), or
    /// with the lock that is in the way.
    pub async fn set_with<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
        options: WriteOptions,
    ) -> Result<WriteReceipt, Error> {
        let body = Set {
            value: json_of(value)?,
            if_version: options.if_version,
            merge: options.merge,
            ttl_ms: options.ttl.map(millis),
            fence: options.fence,
            id: None,
            correlation_id: None,
        };
        let topic = Topic::BlackboardSet {
            me: self.room.me(),
            key: Key::new(key)?,
        };
        Ok(written(&self.room.call(topic, body).await?))
    }

    /// Deletes a key; of the options, `if_version` and `fence` count.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not there, [`Error::Conflict`] as for a write.
    pub async fn delete(&self, key: &str, options: WriteOptions) -> Result<WriteReceipt, Error> {
        let body = Delete {
            if_version: options.if_version,
            fence: options.fence,
            ..Delete::default()
        };
        let topic = Topic::BlackboardDelete {
            me: self.room.me(),
            key: Key::new(key)?,
        };
        Ok(written(&self.room.call(topic, body).await?))
    }

    /// Several writes and conditions, all or none of them.
    ///
    /// # Errors
    /// [`Error::Conflict`], whose `path` names the operation.
    pub async fn txn(&self, ops: Vec<Op>, fence: Option<Fence>) -> Result<TxnReceipt, Error> {
        let body = Txn {
            ops,
            fence,
            id: None,
            correlation_id: None,
        };
        let topic = Topic::BlackboardTxn { me: self.room.me() };
        let reply = self.room.call(topic, body).await?;
        Ok(TxnReceipt {
            revision: reply.revision.unwrap_or_default(),
            versions: reply.versions,
        })
    }

    /// A key as it is now; `None` if it is not there.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn fetch(&self, key: &str) -> Result<Option<Entry>, Error> {
        let snapshot = self.snapshot_at(Some(key), None).await?;
        // Keys below it come with it.
        let mut entries = snapshot.entries.into_iter();
        Ok(entries.find(|entry| entry.key.as_str() == key))
    }

    /// All keys below a prefix, or all, as they are at one moment.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond 1 MiB: then see [`RoomBlackboard::list`].
    pub async fn snapshot(&self, prefix: Option<&str>) -> Result<Snapshot, Error> {
        self.snapshot_at(prefix, None).await
    }

    /// The same as it was at a revision of the room.
    ///
    /// # Errors
    /// [`Error::NotFound`] if that is not known any more.
    pub async fn snapshot_at(
        &self,
        prefix: Option<&str>,
        revision: Option<u64>,
    ) -> Result<Snapshot, Error> {
        let body = Get {
            prefix: prefix.map(Key::new).transpose()?,
            revision,
            locks: false,
            correlation_id: None,
        };
        let topic = Topic::BlackboardGet { me: self.room.me() };
        data(&self.room.call(topic, body).await?)
    }

    /// Which keys there are, without their values, a page at a time.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn list(&self, query: ListKeys) -> Result<KeyPage, Error> {
        let topic = Topic::BlackboardList { me: self.room.me() };
        data(&self.room.call(topic, query).await?)
    }

    /// The last versions of a key, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there never was one.
    pub async fn history(&self, key: &str, limit: Option<u64>) -> Result<History, Error> {
        let body = GetHistory {
            key: Key::new(key)?,
            limit,
            correlation_id: None,
        };
        let topic = Topic::BlackboardHistory { me: self.room.me() };
        data(&self.room.call(topic, body).await?)
    }

    /// What is there below a prefix (or at all), and then every change, each once and in order.
    /// What changed while there was no connection is told, too, as it is by then.
    ///
    /// # Errors
    /// If the gateway does not let this agent see it.
    pub async fn watch(&self, prefix: Option<&str>) -> Result<Feed<KeyUpdate>, Error> {
        let prefix = prefix.map(Key::new).transpose()?;
        watch::begin(&self.room, self.clone(), prefix).await
    }

    /// A copy of what is below a prefix (or of everything) that keeps itself up to date, to be
    /// looked at without asking.
    ///
    /// # Errors
    /// As [`RoomBlackboard::watch`].
    pub async fn mirror(&self, prefix: Option<&str>) -> Result<BlackboardMirror, Error> {
        BlackboardMirror::begin(self.watch(prefix).await?).await
    }

    /// Takes a lock, and keeps it: its lease of `ttl` is renewed until [`HeldBoardLock::release`],
    /// or until that is dropped. Waits so long if another has it.
    ///
    /// # Errors
    /// [`Error::Conflict`] with who holds it, [`Error::Expired`] after the wait.
    pub async fn lock(
        &self,
        name: &str,
        ttl: Duration,
        wait: Option<Duration>,
    ) -> Result<HeldBoardLock, Error> {
        let name = LockName::new(name)?;
        let body = Lock {
            ttl_ms: Some(millis(ttl)),
            wait_ms: wait.map(millis),
            ..Lock::default()
        };
        let topic = Topic::BlackboardLock {
            me: self.room.me(),
            name: name.clone(),
        };
        let usual = self.room.effort();
        let effort = Effort {
            deadline: usual.deadline + wait.unwrap_or_default(),
            ..usual
        };
        let reply = self.room.call_with(topic, body, effort).await?;
        let state = reply.lock;
        let state = state.ok_or_else(|| Error::Payload("the reply has no lock".to_owned()))?;
        Ok(HeldBoardLock::keep(self.room.clone(), state, ttl))
    }

    /// Gives a lock back, whoever of this agent took it, or a wait for it.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is held under another token, or by another agent.
    pub async fn unlock(&self, name: &str, token: Option<u64>) -> Result<(), Error> {
        let body = Unlock {
            token,
            ..Unlock::default()
        };
        let topic = Topic::BlackboardUnlock {
            me: self.room.me(),
            name: LockName::new(name)?,
        };
        self.room.call(topic, body).await.map(drop)
    }
}

fn written(reply: &Reply) -> WriteReceipt {
    WriteReceipt {
        version: reply.version.unwrap_or_default(),
        revision: reply.revision.unwrap_or_default(),
    }
}

//! Blackboard messages: versioned shared state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;
use super::json::{Json, present};
use super::name::{Agent, CommandId, Key, is_name, name};
use super::topic::levels;

name!(
    /// A lock on the blackboard.
    LockName, "a lock", is_name
);
levels!(LockName);

/// `blackboard/set/{me}/{key…}`: write a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Set {
    /// The new value; `null` is a value.
    pub value: Json,
    /// Write only if this is the key's version; 0 means only if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
    /// Apply `value` as a JSON Merge Patch (RFC 7396) instead of replacing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge: bool,
    /// Milliseconds after which the key deletes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Write only while this lock is held under this token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `blackboard/delete/{me}/{key…}`: remove a key. An empty payload means no condition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delete {
    /// Delete only if this is the key's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
    /// Delete only while this lock is held under this token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `blackboard/txn/{me}`: several writes and conditions, all or nothing, as one revision of the
/// room.
///
/// Every condition is about the room as it was before. A key is written by one operation at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    /// What is to be done, in order; one at least.
    pub ops: Vec<Op>,
    /// Only while this lock is held under this token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Op {
    /// What it does.
    pub op: OpKind,
    /// To which key.
    pub key: Key,
    /// With `set`, the new value; `null` is a value.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub value: Option<Json>,
    /// Only if this is the key's version; 0 means only if it is absent. A `check` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
    /// With `set`: apply `value` as a JSON Merge Patch (RFC 7396) instead of replacing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge: bool,
    /// With `set`: milliseconds after which the key deletes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// What an operation of a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OpKind {
    /// Writes the key.
    Set,
    /// Removes the key.
    Delete,
    /// Only compares the key's version.
    Check,
}

/// `blackboard/get/{me}`: a consistent snapshot of every key under a prefix, in the reply's `data`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Get {
    /// The key, or the segments that keys begin with; absent means all keys of the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Key>,
    /// The room as it was at this revision, as far as the history of its keys reaches; absent means
    /// as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Whether to list the locks that are held now, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locks: bool,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `blackboard/list/{me}`: which keys there are, without their values, a page at a time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListKeys {
    /// The key, or the segments that keys begin with; absent means all keys of the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Key>,
    /// Keys in one answer at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// From an earlier page: where this one begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `data` of the reply to a list of keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyPage {
    /// The room's revision: if it is another one on the next page, something was written between.
    pub revision: u64,
    /// Keys that have a value, by name.
    pub keys: Vec<KeyLine>,
    /// Where the next page begins, if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A key without its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyLine {
    /// The key.
    pub key: Key,
    /// Counts the writes of the key.
    pub version: u64,
    /// The room's revision that the last write made.
    pub revision: u64,
    /// How many bytes its value has as JSON.
    pub bytes: usize,
    /// When it was written last, Unix milliseconds.
    pub updated_at: Millis,
    /// By whom.
    pub updated_by: Agent,
    /// When it deletes itself, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
}

/// `blackboard/history/{me}`: the last versions of a key, in the reply's `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetHistory {
    /// The key.
    pub key: Key,
    /// How many versions at most, the newest; absent means all that are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `blackboard/lock/{me}/{name}`: take a lock, or renew the lease on one that the writer holds. May
/// be empty.
///
/// It is always answered: at once, or where it waits when it holds the lock (200) or has given up
/// (408).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lock {
    /// Milliseconds after which the lock is free again, unless it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Wait while another holds it, in the order of asking; else that is 409.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wait: bool,
    /// Milliseconds to wait at most; it says `wait`, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// Only renew, and only if the lock is still held under this token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `blackboard/unlock/{me}/{name}`: give a lock back, or no longer wait for it. May be empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unlock {
    /// Only if the lock is held under this token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// Lets a write take effect only while a lock is held under a token: one of an earlier holder is
/// refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// The lock.
    pub lock: LockName,
    /// The token that the lock command returned.
    pub token: u64,
}

/// A lock that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LockState {
    /// The lock.
    pub name: LockName,
    /// Who holds it.
    pub holder: Agent,
    /// The fencing token: larger than every earlier one, of any lock of the room.
    pub token: u64,
    /// When the lease ends, Unix milliseconds.
    pub expires_at: Millis,
    /// How many wait for it.
    pub waiting: u64,
}

/// `blackboard/state/{key…}`: a key as it stands (retained; an empty payload means deleted).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value, as its writer wrote it.
    pub value: Json,
    /// Counts the writes of this key: from 1, +1 each, never reused after a delete.
    pub version: u64,
    /// Counts the writes of the room.
    pub revision: u64,
    /// When it was written, Unix milliseconds.
    pub updated_at: Millis,
    /// Who wrote it.
    pub updated_by: Agent,
    /// When it deletes itself, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
}

/// What `blackboard/get` answers in the reply's `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The room's revision that it shows.
    pub revision: u64,
    /// The keys, in order.
    pub entries: Vec<Entry>,
    /// The locks that are held now, by name, if they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockState>,
}

/// What `blackboard/history` answers in the reply's `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The key.
    pub key: Key,
    /// Its versions, oldest first.
    pub versions: Vec<Version>,
}

/// One version of a key, or the end of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Counts the writes of the key; where it was deleted, the version that it had.
    pub version: u64,
    /// The room's revision that this write made.
    pub revision: u64,
    /// The value; absent where the key was deleted.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub value: Option<Json>,
    /// Whether the key was deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// When, Unix milliseconds.
    pub updated_at: Millis,
    /// Who; `gateway` where its time to live was over.
    pub updated_by: Agent,
    /// When the value was to delete itself, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
}

/// What a transaction made of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The key.
    pub key: Key,
    /// Its version; where it was deleted, the version that it had.
    pub version: u64,
}

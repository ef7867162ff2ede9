//! Blackboard messages: versioned shared state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;
use super::json::Json;
use super::name::{Agent, CommandId, Key};

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
    /// Makes a repeat a no-op that returns the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CommandId>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `blackboard/get/{me}`: a consistent snapshot of every key under a prefix, in the reply's `data`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Get {
    /// The key, or the segments that keys begin with; absent means all keys of the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Key>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
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
}

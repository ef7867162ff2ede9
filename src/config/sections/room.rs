//! `[rooms.room.NAME]`: what holds for one room instead of what holds for all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::units::{duration, size};
use crate::wire::presence::Encoding;

/// When a room comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Create {
    /// When somebody uses it.
    #[default]
    OnUse,
    /// When somebody uses it and it has a section of its own.
    Configured,
}

/// A span of time that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(#[serde(with = "duration")] pub Duration);

/// A number of bytes that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "size")] pub usize);

/// One room. What it does not say is as everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Room {
    /// Who may take part: agents, or the beginning of their names before a `*`. Empty: everybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// For `rooms.encoding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// For `rooms.max_agents_per_room`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_agents: Option<usize>,
    /// For `handoff.max_tasks_per_room`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tasks: Option<usize>,
    /// For `handoff.max_task_bytes_per_room`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_task_bytes: Option<Bytes>,
    /// For `handoff.lease`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Span>,
    /// For `handoff.max_attempts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// For `handoff.result_retention`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_retention: Option<Span>,
    /// For `blackboard.max_keys_per_room`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_keys: Option<usize>,
    /// For `blackboard.max_bytes_per_room`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_key_bytes: Option<Bytes>,
    /// For `approve.timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_timeout: Option<Span>,
    /// For `approve.approve_on_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve_on_timeout: Option<bool>,
    /// For `mailbox.inbox_ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_ttl: Option<Span>,
    /// For `observe.retention`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_retention: Option<Span>,
    /// For `observe.max_bytes_per_room`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_event_bytes: Option<Bytes>,
}

/// The key whose range a room's key has, and in whose place it stands.
pub(in crate::config) fn stands_for(key: &str) -> Option<&'static str> {
    Some(match key {
        "max_agents" => "rooms.max_agents_per_room",
        "max_tasks" => "handoff.max_tasks_per_room",
        "max_task_bytes" => "handoff.max_task_bytes_per_room",
        "lease" => "handoff.lease",
        "max_attempts" => "handoff.max_attempts",
        "result_retention" => "handoff.result_retention",
        "max_keys" => "blackboard.max_keys_per_room",
        "max_key_bytes" => "blackboard.max_bytes_per_room",
        "approval_timeout" => "approve.timeout",
        "inbox_ttl" => "mailbox.inbox_ttl",
        "event_retention" => "observe.retention",
        "max_event_bytes" => "observe.max_bytes_per_room",
        _ => return None,
    })
}

/// What is wrong with a list of members, if anything.
pub(in crate::config) fn check_members(members: &[String]) -> Result<(), String> {
    for member in members {
        let name = member.strip_suffix('*').unwrap_or(member);
        if member != "*" && !crate::wire::name::is_name(name) {
            return Err(format!(
                "a member is an agent's name, or its beginning and a *, but {member:?} is neither"
            ));
        }
    }
    Ok(())
}

//! Observe messages: the event stream of everything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;
use super::json::{Json, present};
use super::name::{Agent, Room};

/// `observe/events/gateway/{category}`: one state change of one pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Counts the events of the room, from 1, without a gap.
    pub seq: u64,
    /// When, Unix milliseconds.
    pub at: Millis,
    /// Where.
    pub room: Room,
    /// What happened, as `pattern.transition`: `handoff.assigned`.
    pub what: String,
    /// The task, key, approval, agent, tool or call that it happened to.
    pub subject: String,
    /// Who caused it.
    pub who: Agent,
    /// The state before, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The state after, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Particulars: attempt, worker, version, reason …
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub detail: Option<Json>,
    /// W3C trace context, carried from the dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

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
    /// Of an agent's own event: what it said, where that is JSON or CBOR and not too large.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub payload: Option<Json>,
    /// W3C trace context, carried from the dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// `observe/replay/{me}`: asks for the past of the room, a page at a time. It begins at the oldest
/// event that is kept, where neither `fromSeq` nor `since` says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// The first event wanted, by its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_seq: Option<u64>,
    /// In place of `fromSeq`: the first time wanted, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Millis>,
    /// The first time that is not wanted any more, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    /// Which events: a topic filter below the room, `observe/events/gateway/handoff`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Events in one answer at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `data` of the reply to a replay: one page of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayPage {
    /// In the order of their numbers. There may be none though there are more pages: what matches
    /// lies further on.
    pub events: Vec<Event>,
    /// `fromSeq` of the next page; after the last one the number of the next event that will
    /// happen.
    pub next: u64,
    /// Whether there is nothing more, at present or before `until`.
    pub end: bool,
    /// Whether everything that was asked for is still kept; if not, it begins at `oldest`.
    pub complete: bool,
    /// The oldest event that is kept; `newest` and one more where none is.
    pub oldest: u64,
    /// The newest event of the room; 0 where there was none.
    pub newest: u64,
}

//! Presence messages: who is in the room, and what they can take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;
use super::json::{Json, present};
use super::name::{Agent, Capability};

/// How much work an agent wants, as it says or as the gateway derives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Takes work.
    Idle,
    /// At its capacity.
    Busy,
    /// At its capacity and falling behind.
    Overloaded,
    /// Finishes what it has and gets no new work.
    Draining,
}

/// Whether the gateway holds the agent's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionState {
    /// Connected.
    Online,
    /// Connection lost, inside the reconnect grace: it keeps its tasks.
    Away,
    /// Gone past the grace, with a session that still exists.
    Offline,
}

/// Which encoding an agent wants to be answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Encoding {
    /// JSON.
    #[default]
    Json,
    /// CBOR.
    Cbor,
}

/// `presence/announce/{me}`: what an agent says of itself. An empty payload leaves the room.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A role, as `approvers: ["role:…"]` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What it can do besides what its subscriptions offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// Tasks at once, shared by all its capabilities; 1 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// How much work it wants; derived where not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Its own measure of load, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Anything else, shown as it is.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub metadata: Option<Json>,
    /// The encoding in which it wants to be answered, everywhere, until it announces another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// The largest packet that it can take of what is for it alone: header, topic and payload.
    /// Larger work goes to another (rounded down for that by at most an eighth), the rest is
    /// refused to its sender, or comes short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u32>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `presence/agent/{agent}`: the merged truth about an agent in a room (retained).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// The agent.
    pub agent: Agent,
    /// As announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Announced and subscribed, in order.
    pub capabilities: Vec<Capability>,
    /// Tasks at once.
    pub capacity: u32,
    /// Tasks that it holds now in this room.
    pub in_flight: u32,
    /// Announced or derived.
    pub status: Status,
    /// Whether it is connected.
    pub connection: ConnectionState,
    /// As announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// As announced.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub metadata: Option<Json>,
    /// In the room since, Unix milliseconds.
    pub since: Millis,
    /// When the gateway last changed this record for something that the agent did, Unix
    /// milliseconds.
    pub last_seen: Millis,
}

/// `presence/list/{me}`: asks who is in the room, in one consistent look, a page at a time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceList {
    /// Only those with this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Only those whose connection is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionState>,
    /// Only those that offer or announce it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// Only those with this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// In place of those who are there: those who have left, as long as they are remembered.
    /// `status`, `connection` and `capability` say nothing about them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub departed: bool,
    /// The page after this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Agent>,
    /// Agents in one answer at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Echoed in the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// `data` of the reply to a list: who is there, or was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Roll {
    /// When it was so, Unix milliseconds.
    pub at: Millis,
    /// How many agents are in the room, whatever was asked for.
    pub present: usize,
    /// Those who are there, by name; empty where those who have left were asked for.
    pub agents: Vec<Presence>,
    /// Those who have left, by name, where they were asked for.
    pub departed: Vec<Departed>,
    /// `after` of the next page, where there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Agent>,
}

/// Somebody who was in the room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Departed {
    /// The agent.
    pub agent: Agent,
    /// As announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// It was in the room since, Unix milliseconds.
    pub since: Millis,
    /// When it last did something there, Unix milliseconds.
    pub last_seen: Millis,
    /// When it left, or its session was over, Unix milliseconds.
    pub left_at: Millis,
}

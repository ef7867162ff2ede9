//! Rooms and the agents in them, and what holds for one room instead of for all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::setting::{Bytes, REFUSED, Span, days, kib, mib, ms, seconds, settings};
use crate::wire::presence::Encoding;

settings! {
    /// Rooms, and the agents in them.
    pub struct Rooms;

    /// The first topic segment: "rooms" makes topics like rooms/ROOM/handoff/dispatch/ME. Once
    /// there are rooms a start with another one is refused: the topics of all that is kept begin
    /// with it.
    #[restart("topics of all that is kept begin with it: a start refuses another over old data")]
    root: String = "rooms".to_owned();
    /// When a room comes into being: "on_use", or as "configured": only if it has a section of its
    /// own below. One that exists without a section stands still then: nobody may use it (404), and
    /// what is in it is kept.
    create: Create = Create::OnUse;
    /// What retained messages and events are written in: "json" or "cbor". An agent's own messages
    /// are in the encoding that it speaks.
    encoding: Encoding = Encoding::Json;
    /// Agents of which it is remembered that they speak CBOR, or have announced an encoding; beyond
    /// it the first are forgotten.
    max_encodings: usize = 10_000, 1..=1_000_000
        => "of the agents that speak CBOR, or have announced an encoding, the first is forgotten: \
            it is answered in JSON until it speaks CBOR again, or announces it",
            "agents_with_encoding";
    /// Rooms at once.
    max_rooms: usize = 1000, 1..=100_000_000 => "429", REFUSED;
    /// Empty rooms whose event numbers and versions are remembered one by one; beyond it new rooms
    /// start above all of them.
    max_vacated_rooms: usize = 100_000, 1..=100_000_000
        => "counters of further empty rooms are not remembered one by one: new rooms start above \
            all of them", "rooms_vacated";
    /// Agents per room, connected or not.
    max_agents_per_room: usize = 10_000, 1..=100_000_000 => "429", REFUSED;
    /// Agents that have left a room and are remembered, with when they were seen last; beyond it
    /// the first are forgotten.
    max_departed_per_room: usize = 1000, 0..=1_000_000
        => "of those who left the first are forgotten";
    /// How long that is remembered; a room in which nothing is left forgets at once.
    departed_retention: Span = days(7), ms(0)..=days(365);
    /// How long an agent that lost its connection keeps its tasks and its place.
    reconnect_grace: Span = seconds(30), ms(0)..=days(1);
    /// The largest metadata of an announcement.
    max_metadata: Bytes = kib(8), Bytes(0)..=mib(1) => "413", REFUSED;
    /// Capabilities that an agent may offer, and again that it may announce.
    max_capabilities_per_agent: usize = 128, 1..=10_000
        => "413; a subscription that offers one more is refused", REFUSED;
    /// Tasks at once that an agent may announce.
    max_capacity: u32 = 10_000, 1..=1_000_000 => "422", REFUSED;
    /// Rooms with rules of their own, one section each; what one does not say is as everywhere:
    /// ```text
    /// [rooms.room.newsroom]
    /// members = ["editor", "writer-*"]  # who may take part: names, or their beginnings before a *
    /// encoding = "cbor"                 # as rooms.encoding
    /// max_agents = 50                   # and max_tasks, max_task_bytes, max_keys, max_key_bytes
    /// lease = "5m"                      # and max_attempts, result_retention, inbox_ttl,
    ///                                   # approval_timeout, approve_on_timeout
    /// event_retention = "30d"           # and max_event_bytes: how much is kept for observe/replay
    /// ```
    /// In the environment, where names are in lower case whatever case they are written in:
    /// `HALLWARD__ROOMS__ROOM__NEWSROOM__LEASE=5m`
    room: BTreeMap<String, Room> = BTreeMap::new();
}

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

//! Settings that no single pattern owns: rooms, their past, mailboxes, and what all commands share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::setting::{REFUSED, Size, Span, days, gib, hours, kib, mib, ms, seconds, settings};
use crate::wire::name::{Agent, Room};
use crate::wire::presence::Encoding;

settings! {
    /// Rooms, and the agents in them.
    pub struct RoomsConfig;

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
    max_metadata: Size = kib(8), Size(0)..=mib(1) => "413", REFUSED;
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
    room: BTreeMap<Room, RoomConfig> = BTreeMap::new();
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

/// What one room may have of its own, and in whose place that stands.
macro_rules! own {
    ($($key:ident: $type:ty = $place:literal;)+) => {
        /// One room. What it does not say is as everywhere.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields, expecting = "struct Room")]
        pub struct RoomConfig {
            /// Who may take part: agents, or the beginning of their names before a `*`. Empty:
            /// everybody.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub members: Vec<String>,
            $(
                #[doc = concat!("For `", $place, "`.")]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $key: Option<$type>,
            )+
        }

        impl RoomConfig {
            /// The setting in whose place a room's key stands.
            pub fn stands_for(key: &str) -> Option<&'static str> {
                match key {
                    $(stringify!($key) => Some($place),)+
                    _ => None,
                }
            }
        }
    };
}
own! {
    encoding: Encoding = "rooms.encoding";
    max_agents: usize = "rooms.max_agents_per_room";
    max_tasks: usize = "handoff.max_tasks_per_room";
    max_task_bytes: Size = "handoff.max_task_bytes_per_room";
    lease: Span = "handoff.lease";
    max_attempts: u32 = "handoff.max_attempts";
    result_retention: Span = "handoff.result_retention";
    max_keys: usize = "blackboard.max_keys_per_room";
    max_key_bytes: Size = "blackboard.max_bytes_per_room";
    approval_timeout: Span = "approve.timeout";
    approve_on_timeout: bool = "approve.approve_on_timeout";
    inbox_ttl: Span = "mailbox.inbox_ttl";
    event_retention: Span = "observe.retention";
    max_event_bytes: Size = "observe.max_bytes_per_room";
}

impl RoomConfig {
    /// Whether an agent may take part.
    pub fn admits(&self, agent: &Agent) -> bool {
        let admits = |member: &String| match member.strip_suffix('*') {
            Some(beginning) => agent.as_str().starts_with(beginning),
            None => agent.as_str() == member,
        };
        self.members.is_empty() || self.members.iter().any(admits)
    }
}

settings! {
    /// What happened in rooms: the gateway's events, for observe/replay.
    pub struct ObserveConfig;

    /// Whose events are kept: those of the "gateway", or "nothing".
    keep: KeptEvents = KeptEvents::Gateway;
    /// Whether agents' own events of QoS 1 and 2 are numbered and kept, too. Those of QoS 0 are
    /// only passed on.
    journal_agents: bool = true;
    /// The largest payload of an agent's event that is kept with it.
    max_agent_event: Size = kib(16), Size(0)..=mib(1)
        => "the event is kept without its payload; who subscribes gets it whole";
    /// How long.
    retention: Span = days(7), seconds(1)..=days(3650);
    /// Bytes of one room; beyond it its oldest events go.
    // A chunk and some more must fit, else a busy room would keep nothing.
    max_bytes_per_room: Size = mib(64), kib(256)..=gib(1024)
        => "the oldest events of the room go; a replay says so",
            "journal_trimmed_total, journal_bytes";
    /// Bytes of all rooms; beyond it the oldest events of all go.
    max_bytes: Size = gib(1), kib(256)..=gib(1024)
        => "the oldest events of all rooms go", "journal_trimmed_total, journal_bytes";
    /// Rooms with a past, existing or not; beyond it the oldest events of all go.
    max_rooms: usize = 10_000, 1..=100_000_000
        => "so many rooms have a past: the oldest events of all go",
            "journal_trimmed_total, journal_rooms";
    /// Events in one page of a replay.
    max_page: u32 = 1000, 1..=10_000 => "422; 100 where a replay does not say how many", REFUSED;
    /// The same in bytes.
    max_page_bytes: Size = kib(64), kib(1)..=mib(16)
        => "the page ends earlier; less, where the asker has announced `maxBytes`";
    /// What all replays may read of the disk during one commit; who comes then is asked to come
    /// again (429).
    max_read: Size = mib(4), kib(64)..=gib(1)
        => "so much of the past was read during one commit: 429, ask again", REFUSED;
}

/// Whose events are kept for `observe/replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptEvents {
    /// Those of the gateway.
    #[default]
    Gateway,
    /// Nobody's.
    Nothing,
}

settings! {
    /// Directed messages (assignments, results, decisions, inbox, replies) that wait for one agent.
    pub struct MailboxConfig;

    /// Assignments, runs and inbox messages per agent; a full mailbox refuses the sender (429).
    max_messages: usize = 10_000, 1..=100_000_000 => "the sender gets 429", REFUSED;
    /// The same in bytes.
    max_bytes: Size = mib(16), kib(64)..=gib(64) => "the sender gets 429", REFUSED;
    /// Results and decisions per agent that wait or are still to come: unfinished tasks, calls and
    /// approvals count. Beyond it whoever wants another is refused (429).
    max_results: usize = 100_000, 1..=100_000_000
        => "who waits for so many results and decisions, or has not read them, gets 429 for a \
            further task, call or request for approval, and its workers for a partial result; \
            mail to it is not touched", REFUSED;
    /// Bytes of those that wait.
    max_result_bytes: Size = mib(256), kib(64)..=gib(64)
        => "the same where those that wait unread have so many bytes", REFUSED;
    /// Replies per agent; the oldest give way, and refusals last: they leave a summary.
    max_replies: usize = 1000, 1..=100_000_000
        => "the oldest reply to what was accepted gives way; where there are none, the newest \
            such reply, or for a refusal or a notice the oldest of those: a summary for each of \
            16 rooms counts refusals that went", "desk_messages_dropped_total";
    /// How long a reply waits for its agent.
    reply_ttl: Span = hours(1), seconds(1)..=days(365);
    /// How long a result or a decision waits for its agent.
    result_ttl: Span = days(7), seconds(1)..=days(365);
    /// How long an inbox message waits for its agent.
    inbox_ttl: Span = days(7), seconds(1)..=days(365);
}

settings! {
    /// What all commands share.
    pub struct CommandsConfig;

    /// How long a repeated command id is recognised; a day at least.
    // Agents rely on a repeat being recognised for a day.
    idempotency: Span = days(1), days(1)..=days(365);
    /// Outcomes of commands with an id that a room remembers; beyond it the oldest are forgotten
    /// before their time.
    max_outcomes_per_room: usize = 500_000, 1..=100_000_000
        => "the oldest are forgotten before their time", "forgotten_early_total";
    /// The longest time to live, or delay, that a command may ask for.
    max_ttl: Span = days(365), seconds(1)..=days(3650);
    /// The longest correlationId, traceparent and tracestate.
    max_correlation: Size = Size(512), Size(16)..=kib(64) => "413", REFUSED;
    /// The longest name, role, affinity, error code, urgency and digest.
    max_label: Size = Size(128), Size(16)..=kib(64) => "413", REFUSED;
    /// The longest reason, action and error message.
    max_reason: Size = kib(2), Size(16)..=kib(64) => "413", REFUSED;
}

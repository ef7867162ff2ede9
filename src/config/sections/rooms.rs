//! Sections about what agents do in rooms: the limits of each pattern, and what holds where a command does not say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::units::{duration, optional_duration, size};
use super::room::{Create, Room};
use crate::wire::handoff::Priority;
use crate::wire::name::{Capability, TaskType};
use crate::wire::presence::Encoding;

use super::{DAY, GIB, KIB, MIB, MINUTE};

/// `[rooms]`: rooms and the agents in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rooms {
    /// The first topic segments, before the room.
    pub root: String,
    /// When a room comes into being.
    pub create: Create,
    /// Rooms with limits, defaults or members of their own, by name.
    pub room: BTreeMap<String, Room>,
    /// What retained messages and events are written in.
    pub encoding: Encoding,
    /// Agents of which it is remembered that they speak CBOR, or have announced an encoding.
    pub max_encodings: usize,
    /// Rooms at once.
    pub max_rooms: usize,
    /// Empty rooms whose event numbers and versions are remembered one by one.
    pub max_vacated_rooms: usize,
    /// Agents per room, connected or not.
    pub max_agents_per_room: usize,
    /// Agents that have left a room and are remembered; beyond it the first are forgotten.
    pub max_departed_per_room: usize,
    /// How long it is remembered who has left a room.
    #[serde(with = "duration")]
    pub departed_retention: Duration,
    /// How long an agent that lost its connection keeps its tasks and its place.
    #[serde(with = "duration")]
    pub reconnect_grace: Duration,
    /// The largest `metadata` of an announcement, in bytes.
    #[serde(with = "size")]
    pub max_metadata: usize,
    /// Capabilities that an agent may offer, and again that it may announce.
    pub max_capabilities_per_agent: usize,
    /// Tasks at once that an agent may announce.
    pub max_capacity: u32,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms {
            root: "rooms".to_owned(),
            create: Create::OnUse,
            room: BTreeMap::new(),
            encoding: Encoding::Json,
            max_encodings: 10_000,
            max_rooms: 1000,
            max_vacated_rooms: 100_000,
            max_agents_per_room: 10_000,
            max_departed_per_room: 1000,
            departed_retention: 7 * DAY,
            reconnect_grace: Duration::from_secs(30),
            max_metadata: 8 * KIB,
            max_capabilities_per_agent: 128,
            max_capacity: 10_000,
        }
    }
}

/// `[handoff]`: tasks, and the defaults that a task may override.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Handoff {
    /// How long a worker may be silent before its task goes to another.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// The shortest lease that a task may ask for.
    #[serde(with = "duration")]
    pub min_lease: Duration,
    /// The longest lease that a task may ask for.
    #[serde(with = "duration")]
    pub max_lease: Duration,
    /// Attempts before a task is dead.
    pub max_attempts: u32,
    /// The most attempts that a task may ask for.
    pub max_attempts_limit: u32,
    /// How often a task may be given back (`release`) before it is dead.
    pub max_releases: u32,
    /// Deliveries of one attempt to its worker, where the task does not say.
    pub max_deliveries: u32,
    /// The wait before the second attempt.
    #[serde(with = "duration")]
    pub backoff_initial: Duration,
    /// Each wait is the last one times this.
    pub backoff_factor: f64,
    /// No wait is longer.
    #[serde(with = "duration")]
    pub backoff_max: Duration,
    /// The longest wait that a task may ask for.
    #[serde(with = "duration")]
    pub backoff_limit: Duration,
    /// Tasks of a room that have not ended.
    pub max_tasks_per_room: usize,
    /// Payload bytes of the tasks of a room that have not ended.
    #[serde(with = "size")]
    pub max_task_bytes_per_room: usize,
    /// Ended tasks that a room remembers; beyond it the oldest are forgotten before their time.
    pub max_ended_tasks_per_room: usize,
    /// Different sets of capabilities that a room's tasks need.
    pub max_routes_per_room: usize,
    /// Tasks of a room that wait for the same capability.
    pub max_queued_per_capability: usize,
    /// Tasks for the same capability that a room takes in a second, on the average; 0: as many as come.
    pub dispatch_rate: u32,
    /// Tasks for the same capability that a room takes at once, where there is a rate.
    pub dispatch_burst: u32,
    /// Defaults by type of task.
    pub types: BTreeMap<TaskType, TaskTypeDefaults>,
    /// Limits by capability.
    pub capabilities: BTreeMap<Capability, CapabilityLimits>,
    /// Tasks that one may depend on.
    pub max_dependencies_per_task: usize,
    /// Tasks that may wait for the same one.
    pub max_dependants_per_task: usize,
    /// Unfinished tasks that may belong to the same topmost one, near or far.
    pub max_descendants_per_task: usize,
    /// How many tasks may be above another.
    pub max_depth: usize,
    /// Tasks of a group.
    pub max_group_size: u32,
    /// Groups of a room that have not had their result.
    pub max_groups_per_room: usize,
    /// Results and errors that a group's result repeats, in bytes; beyond it they are left out and said to be.
    #[serde(with = "size")]
    pub max_group_result: usize,
    /// Attempts that a task's history shows; the oldest are dropped.
    pub max_history_per_task: usize,
    /// Tasks on a page of a list.
    pub max_page: u32,
    /// Dead tasks that one redrive puts back.
    pub max_redrive: u32,
    /// Values of `affinity` for which a room remembers the last worker; the oldest are forgotten.
    pub max_affinities_per_room: usize,
    /// Capabilities that a task may need.
    pub max_capabilities_per_task: usize,
    /// How long a task that ended can still be asked for.
    #[serde(with = "duration")]
    pub result_retention: Duration,
    /// Bytes of results that a room keeps of tasks that have ended; beyond it the oldest go.
    #[serde(with = "size")]
    pub max_result_bytes_per_room: usize,
    /// How long a task waits behind more urgent ones before it gets every other turn; 0: as long as there are any.
    #[serde(with = "duration")]
    pub max_wait_by_priority: Duration,
    /// The largest task payload or result, in bytes.
    #[serde(with = "size")]
    pub max_payload: usize,
    /// Payloads of ended tasks up to this size are kept with the task, in bytes; larger ones are removed at once.
    #[serde(with = "size")]
    pub kept_payload: usize,
}

/// `[handoff.types.NAME]`: what holds for tasks of one type that do not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskTypeDefaults {
    /// How long a worker may be silent.
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
    /// Attempts before a task is dead.
    pub max_attempts: Option<u32>,
    /// The wait before the second attempt.
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub backoff_initial: Option<Duration>,
    /// Each wait is the last one times this.
    pub backoff_factor: Option<f64>,
    /// No wait is longer.
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub backoff_max: Option<Duration>,
    /// Which goes first.
    pub priority: Option<Priority>,
    /// After which a task expires unless it ended.
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// Whether a task is refused if nobody online can do it.
    pub require_online: bool,
    /// How long a task that ended can still be asked for.
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub result_retention: Option<Duration>,
}

/// `[handoff.capabilities.NAME]`: what a room takes of tasks that need one capability.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapabilityLimits {
    /// Tasks that wait for it.
    pub max_queued: Option<usize>,
    /// Tasks in a second, on the average; 0: as many as come.
    pub dispatch_rate: Option<u32>,
    /// Tasks at once, where there is a rate.
    pub dispatch_burst: Option<u32>,
}

impl Default for Handoff {
    fn default() -> Handoff {
        Handoff {
            lease: MINUTE,
            min_lease: Duration::from_millis(100),
            max_lease: DAY,
            max_attempts: 3,
            max_attempts_limit: 100,
            max_releases: 100,
            max_deliveries: 5,
            backoff_initial: Duration::from_secs(1),
            backoff_factor: 2.0,
            backoff_max: MINUTE,
            backoff_limit: DAY,
            max_tasks_per_room: 1_000_000,
            max_task_bytes_per_room: GIB,
            max_ended_tasks_per_room: 500_000,
            max_routes_per_room: 1000,
            max_queued_per_capability: 1_000_000,
            dispatch_rate: 0,
            dispatch_burst: 100,
            types: BTreeMap::new(),
            capabilities: BTreeMap::new(),
            max_dependencies_per_task: 64,
            max_dependants_per_task: 1000,
            max_descendants_per_task: 10_000,
            max_depth: 16,
            max_group_size: 1000,
            max_groups_per_room: 10_000,
            max_group_result: 256 * KIB,
            max_history_per_task: 20,
            max_page: 200,
            max_redrive: 1000,
            max_affinities_per_room: 10_000,
            max_capabilities_per_task: 16,
            result_retention: DAY,
            max_result_bytes_per_room: 64 * MIB,
            max_wait_by_priority: Duration::from_secs(600),
            max_payload: 256 * KIB,
            kept_payload: 512,
        }
    }
}

/// `[blackboard]`: versioned shared state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blackboard {
    /// Keys per room.
    pub max_keys_per_room: usize,
    /// Value bytes per room.
    #[serde(with = "size")]
    pub max_bytes_per_room: usize,
    /// Value bytes of all rooms.
    #[serde(with = "size")]
    pub max_bytes: usize,
    /// Deleted keys whose version a room remembers one by one; beyond it a new key starts above all forgotten ones.
    pub max_tombstones_per_room: usize,
    /// The largest value, in bytes.
    #[serde(with = "size")]
    pub max_value: usize,
    /// What one `blackboard/get` or `blackboard/history` returns, in bytes.
    #[serde(with = "size")]
    pub max_snapshot: usize,
    /// Versions of a key that are kept, the one that stands included.
    pub history: usize,
    /// Bytes of past versions per room; beyond it the oldest are forgotten.
    #[serde(with = "size")]
    pub max_history_bytes_per_room: usize,
    /// What values must look like, by the prefix of their keys.
    pub schemas: Vec<KeySchema>,
    /// Operations of one transaction.
    pub max_txn_ops: usize,
    /// How long a lock is held where the command does not say.
    #[serde(with = "duration")]
    pub lock_ttl: Duration,
    /// The longest lease on a lock that a command may ask for.
    #[serde(with = "duration")]
    pub max_lock_ttl: Duration,
    /// How long a command waits for a lock where it waits and does not say.
    #[serde(with = "duration")]
    pub lock_wait: Duration,
    /// The longest wait for a lock that a command may ask for.
    #[serde(with = "duration")]
    pub max_lock_wait: Duration,
    /// Locks per room that are held.
    pub max_locks_per_room: usize,
    /// Agents that wait for one lock.
    pub max_lock_waiters: usize,
}

/// One of `[[blackboard.schemas]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySchema {
    /// A key, or the segments that keys begin with; of several that fit the longest counts.
    pub prefix: String,
    /// A file with a JSON Schema.
    pub schema: PathBuf,
    /// The one room that it is for; without it: all rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
}

impl Default for Blackboard {
    fn default() -> Blackboard {
        Blackboard {
            max_keys_per_room: 100_000,
            max_bytes_per_room: 256 * MIB,
            max_bytes: 1024 * MIB,
            max_tombstones_per_room: 100_000,
            max_value: 256 * KIB,
            max_snapshot: MIB,
            history: 16,
            max_history_bytes_per_room: 64 * MIB,
            schemas: Vec::new(),
            max_txn_ops: 128,
            lock_ttl: Duration::from_secs(30),
            max_lock_ttl: DAY,
            lock_wait: MINUTE,
            max_lock_wait: 60 * MINUTE,
            max_locks_per_room: 10_000,
            max_lock_waiters: 100,
        }
    }
}

/// `[approve]`: gates that a person holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approve {
    /// How long a request waits where it does not say.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// The longest time that a request may ask for.
    #[serde(with = "duration")]
    pub max_timeout: Duration,
    /// Whether a request may ask to count as approved when nobody decides in time.
    pub approve_on_timeout: bool,
    /// How long a decided request can still be asked for, with everything that happened to it.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// What is kept of that for one request, in bytes.
    #[serde(with = "size")]
    pub max_trail: usize,
    /// Undecided requests per room.
    pub max_pending_per_room: usize,
    /// Decided requests that a room remembers; beyond it the oldest are forgotten before their time.
    pub max_decided_per_room: usize,
    /// Bytes of contents that a room keeps of decided requests; beyond it the oldest go.
    #[serde(with = "size")]
    pub max_decided_bytes_per_room: usize,
    /// The most approvals that one decision may need.
    pub max_quorum: u32,
    /// The most approvers that a request may name.
    pub max_approvers: usize,
}

impl Default for Approve {
    fn default() -> Approve {
        Approve {
            timeout: 15 * MINUTE,
            max_timeout: 30 * DAY,
            approve_on_timeout: false,
            retention: 30 * DAY,
            max_trail: 16 * KIB,
            max_pending_per_room: 1000,
            max_decided_per_room: 10_000,
            max_decided_bytes_per_room: 64 * MIB,
            max_quorum: 100,
            max_approvers: 100,
        }
    }
}

/// `[tools]`: remote tools, and the defaults that a tool or a call may override.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tools {
    /// How long a call may take where neither the tool nor the call says.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// The longest time that a tool or a call may ask for.
    #[serde(with = "duration")]
    pub max_timeout: Duration,
    /// How long an agent whose connection is gone keeps its calls.
    #[serde(with = "duration")]
    pub provider_grace: Duration,
    /// Tools per room.
    pub max_per_room: usize,
    /// Tools that an agent may register in a room, and again that it may listen for.
    pub max_per_agent: usize,
    /// Agents that may provide the same tool.
    pub max_providers: usize,
    /// The largest input schema, and output schema, in bytes.
    #[serde(with = "size")]
    pub max_schema: usize,
    /// The largest arguments of a call, in bytes.
    #[serde(with = "size")]
    pub max_arguments: usize,
    /// Calls of a room that are not over.
    pub max_calls_per_room: usize,
    /// Calls of one caller in a room that are not over.
    pub max_calls_per_caller: usize,
    /// Calls at once that one provider gets in a room.
    pub max_calls_per_provider: usize,
    /// Argument bytes that a room keeps for calls that may go to another provider.
    #[serde(with = "size")]
    pub max_call_bytes_per_room: usize,
    /// How long a call that is over is remembered, for queries and for repeats of its id; 0: not at all.
    #[serde(with = "duration")]
    pub result_retention: Duration,
    /// Calls that are over and that a room remembers; beyond it the oldest are forgotten before their time.
    pub max_ended_calls_per_room: usize,
    /// Bytes of results and errors that a room keeps of them; beyond it the oldest go.
    #[serde(with = "size")]
    pub max_result_bytes_per_room: usize,
}

impl Default for Tools {
    fn default() -> Tools {
        Tools {
            timeout: Duration::from_secs(30),
            max_timeout: 60 * MINUTE,
            provider_grace: Duration::from_secs(1),
            max_per_room: 1000,
            max_per_agent: 128,
            max_providers: 100,
            max_schema: 32 * KIB,
            max_arguments: 64 * KIB,
            max_calls_per_room: 10_000,
            max_calls_per_caller: 1000,
            max_calls_per_provider: 100,
            max_call_bytes_per_room: 64 * MIB,
            result_retention: DAY,
            max_ended_calls_per_room: 100_000,
            max_result_bytes_per_room: 64 * MIB,
        }
    }
}

/// `[commands]`: what all commands share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Commands {
    /// How long a repeated command `id` is recognised.
    #[serde(with = "duration")]
    pub idempotency: Duration,
    /// Outcomes of commands with an `id` that a room remembers; beyond it the oldest are forgotten before their time.
    pub max_outcomes_per_room: usize,
    /// The longest time to live, or delay, that a command may ask for.
    #[serde(with = "duration")]
    pub max_ttl: Duration,
    /// The longest `correlationId`, `traceparent` and `tracestate`, in bytes.
    #[serde(with = "size")]
    pub max_correlation: usize,
    /// The longest name, role, affinity, error code, urgency and digest, in bytes.
    #[serde(with = "size")]
    pub max_label: usize,
    /// The longest reason, action and error message, in bytes.
    #[serde(with = "size")]
    pub max_reason: usize,
}

impl Default for Commands {
    fn default() -> Commands {
        Commands {
            idempotency: DAY,
            max_outcomes_per_room: 500_000,
            max_ttl: 365 * DAY,
            max_correlation: 512,
            max_label: 128,
            max_reason: 2 * KIB,
        }
    }
}

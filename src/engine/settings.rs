//! Every limit and default of the engine, each with a name.
//!
//! It holds numbers and checks none of them against each other; the configuration fills it, every other file of the engine
//! reads it.

use std::collections::BTreeMap;

use crate::wire::handoff::Priority;
use crate::wire::name::{Agent, Capability, Room, TaskType};
use crate::wire::presence::Encoding;

use super::schemas::KeySchemas;

/// What holds for tasks of one type that do not say otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TypeDefaults {
    /// How long a worker may be silent.
    pub lease_ms: Option<u64>,
    /// Failed attempts after which the task is dead.
    pub max_attempts: Option<u32>,
    /// The wait after the first failed attempt.
    pub backoff_initial_ms: Option<u64>,
    /// Each further wait is the last one times this.
    pub backoff_factor: Option<f64>,
    /// No wait is longer.
    pub backoff_max_ms: Option<u64>,
    /// Which goes first.
    pub priority: Option<Priority>,
    /// The time to live.
    pub ttl_ms: Option<u64>,
    /// Whether to refuse what nobody online can do.
    pub require_online: bool,
    /// How long the task is remembered after its end.
    pub result_retention_ms: Option<u64>,
}

/// What a room takes of tasks that need a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapabilityLimits {
    /// Tasks that wait for it.
    pub max_queued: usize,
    /// Tasks dispatched in a second, on the average; 0: as many as come.
    pub dispatch_rate: u32,
    /// Tasks dispatched at once.
    pub dispatch_burst: u32,
}

/// What holds for one room that the configuration names.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomSettings {
    /// Who may take part: agents, or the beginning of their names before a `*`. Empty: everybody.
    pub members: Vec<String>,
    /// Its limits and defaults; those that are of no single room are as everywhere.
    pub settings: Settings,
}

impl RoomSettings {
    /// Whether an agent may take part.
    pub fn admits(&self, agent: &Agent) -> bool {
        let admits = |member: &String| match member.strip_suffix('*') {
            Some(beginning) => agent.as_str().starts_with(beginning),
            None => agent.as_str() == member,
        };
        self.members.is_empty() || self.members.iter().any(admits)
    }
}

/// Limits and defaults. Durations are milliseconds, sizes are bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Rooms with limits, defaults or members of their own.
    pub rooms: BTreeMap<Room, RoomSettings>,
    /// Whether a room comes into being when somebody uses it; else those alone that are in `rooms`.
    pub rooms_on_use: bool,

    /// How long the first topic level is, under which rooms are.
    pub root_bytes: usize,
    /// What retained messages and events are written in.
    pub encoding: Encoding,
    /// Agents of which it is remembered that they want another encoding than the JSON that they speak.
    pub max_encodings: usize,

    /// How long an agent whose connection is gone keeps its tasks and its place in the room.
    pub reconnect_grace_ms: u64,

    /// How long a worker may be silent, where the task does not say.
    pub lease_ms: u64,
    /// The shortest lease that a task may ask for.
    pub min_lease_ms: u64,
    /// The longest lease that a task may ask for.
    pub max_lease_ms: u64,
    /// Failed attempts after which a task is dead, where the task does not say.
    pub max_attempts: u32,
    /// The most attempts that a task may ask for.
    pub max_attempts_limit: u32,
    /// How often a task may be given back before it is dead.
    pub max_releases: u32,
    /// How often one attempt is delivered to its worker, where the task does not say: beyond it the attempt is lost.
    pub max_deliveries: u32,
    /// The wait after the first failed attempt, where the task does not say.
    pub backoff_initial_ms: u64,
    /// Each further wait is the last one times this, where the task does not say.
    pub backoff_factor: f64,
    /// No wait is longer, where the task does not say.
    pub backoff_max_ms: u64,
    /// The longest wait between attempts that a task may ask for.
    pub backoff_limit_ms: u64,

    /// How long an ended task is remembered: for queries, and for repeats of its id.
    pub result_retention_ms: u64,
    /// How long the outcome of a command that carried an id is remembered.
    pub idempotency_ms: u64,
    /// How long a result or a decision waits for its agent.
    pub directed_ttl_ms: u64,
    /// How long a reply waits for its agent.
    pub reply_ttl_ms: u64,
    /// How long an inbox message waits for its agent, where its sender does not say.
    pub inbox_ttl_ms: u64,
    /// The longest time to live or delay that a task, a key or an inbox message may ask for.
    pub max_ttl_ms: u64,

    /// How long an approval waits for its decision, where the request does not say.
    pub approval_timeout_ms: u64,
    /// The longest time that a request may ask for.
    pub max_approval_timeout_ms: u64,
    /// How long a decided approval is remembered, with its audit trail.
    pub approval_retention_ms: u64,
    /// What an approval's audit trail may hold.
    pub max_trail_bytes: usize,
    /// Whether a request may ask for `onTimeout: approve`.
    pub allow_approve_on_timeout: bool,
    /// The most approvals that one decision may need.
    pub max_quorum: u32,
    /// The most approvers that a request may name.
    pub max_approvers: usize,

    /// How long an agent whose connection is gone keeps its tool calls.
    pub provider_grace_ms: u64,
    /// How long a tool call may take, where neither the tool nor the call says.
    pub tool_timeout_ms: u64,
    /// The longest time that a tool or a call may ask for.
    pub max_tool_timeout_ms: u64,
    /// Tools of a room.
    pub max_tools_per_room: usize,
    /// Tools that an agent may register in a room, and again that it may listen for.
    pub max_tools_per_agent: usize,
    /// Agents that may register the same tool.
    pub max_providers_per_tool: usize,
    /// An input schema, and again an output schema.
    pub max_tool_schema_bytes: usize,
    /// `arguments` of a call.
    pub max_argument_bytes: usize,
    /// Calls of a room that are not over.
    pub max_calls_per_room: usize,
    /// Those of one caller in a room.
    pub max_calls_per_caller: usize,
    /// Those that one provider has in a room.
    pub max_calls_per_provider: usize,
    /// Argument bytes that a room keeps for calls that may run twice.
    pub max_call_bytes_per_room: usize,
    /// How long a tool call that is over is remembered; 0: not at all.
    pub call_retention_ms: u64,
    /// Tool calls that are over and that a room remembers; beyond it the oldest are forgotten before their time.
    pub max_ended_calls_per_room: usize,
    /// Bytes of results and errors that a room keeps of them; beyond it the oldest go.
    pub max_call_result_bytes_per_room: usize,

    /// Rooms of the gateway, without vacated ones.
    pub max_rooms: usize,
    /// Vacated rooms whose counters are remembered one by one; beyond it a new room's counters start above those of all others.
    pub max_vacated_rooms: usize,
    /// How long it is remembered who has left a room.
    pub departed_retention_ms: u64,
    /// Agents that have left a room and are remembered; beyond it the first are forgotten before their time.
    pub max_departed_per_room: usize,
    /// Agents in a room.
    pub max_agents_per_room: usize,
    /// Tasks of a room that have not ended.
    pub max_tasks_per_room: usize,
    /// Payload bytes of a room's tasks that have not ended.
    pub max_task_bytes_per_room: usize,
    /// Ended tasks that a room remembers; beyond it the oldest are forgotten before their time.
    pub max_ended_tasks_per_room: usize,
    /// Different sets of needed capabilities among a room's tasks.
    pub max_routes_per_room: usize,
    /// Defaults by type of task.
    pub types: BTreeMap<TaskType, TypeDefaults>,
    /// Limits by capability.
    pub capabilities: BTreeMap<Capability, CapabilityLimits>,
    /// The limits of every other capability.
    pub capability_limits: CapabilityLimits,
    /// Tasks that one may depend on.
    pub max_dependencies_per_task: usize,
    /// Tasks that wait for the same one.
    pub max_dependants_per_task: usize,
    /// Tasks that have not ended and belong to the same topmost one, near or far.
    pub max_descendants_per_task: usize,
    /// How many tasks may be above another.
    pub max_depth: usize,
    /// Tasks of a group.
    pub max_group_size: u32,
    /// Groups of a room that have not been gathered.
    pub max_groups_per_room: usize,
    /// Results and errors that a group's result repeats; beyond it they are left out and said to be.
    pub max_group_result_bytes: usize,
    /// Bytes of results that a room keeps of tasks that have ended; beyond it the oldest go.
    pub max_result_bytes_per_room: usize,
    /// How long a task waits behind more urgent ones before it gets every other turn; 0: as long as there are any.
    pub max_wait_by_priority_ms: u64,
    /// Bytes of contents that a room keeps of approvals that were decided; beyond it the oldest go.
    pub max_decided_bytes_per_room: usize,
    /// Attempts that a task's history shows; beyond it the oldest are dropped.
    pub max_history_per_task: usize,
    /// Tasks on a page of `handoff/list`.
    pub max_page: u32,
    /// Dead tasks that one `handoff/redrive` puts back.
    pub max_redrive: u32,
    /// Dead tasks that it looks at; the next goes on.
    pub max_redrive_looks: usize,
    /// Values of `affinity` for which a room remembers the last worker; beyond it the oldest are forgotten.
    pub max_affinities_per_room: usize,
    /// Keys of a room.
    pub max_keys_per_room: usize,
    /// Value bytes of a room's keys.
    pub max_key_bytes_per_room: usize,
    /// Value bytes of the keys of all rooms together.
    pub max_key_bytes: usize,
    /// Deleted keys whose version a room remembers one by one; beyond it a new key starts above all forgotten ones.
    pub max_tombstones_per_room: usize,
    /// Versions of a key that are kept, the one that stands included.
    pub max_versions_per_key: usize,
    /// Bytes of past versions that a room keeps; beyond it the oldest are forgotten.
    pub max_history_bytes_per_room: usize,
    /// What values must look like, by the prefix of their keys.
    pub key_schemas: KeySchemas,
    /// Operations of one transaction.
    pub max_txn_ops: usize,
    /// How long a lock is held, where the command does not say.
    pub lock_ttl_ms: u64,
    /// The longest lease on a lock that a command may ask for.
    pub max_lock_ttl_ms: u64,
    /// How long a command waits for a lock, where it waits and does not say.
    pub lock_wait_ms: u64,
    /// The longest wait for a lock that a command may ask for.
    pub max_lock_wait_ms: u64,
    /// Locks of a room that are held.
    pub max_locks_per_room: usize,
    /// Agents that wait for one lock.
    pub max_lock_waiters: usize,
    /// Approvals of a room that await a decision.
    pub max_pending_approvals_per_room: usize,
    /// Decided approvals that a room remembers; beyond it the oldest are forgotten before their time.
    pub max_decided_approvals_per_room: usize,
    /// Outcomes of commands with an id that a room remembers; beyond it the oldest are forgotten before their time.
    pub max_outcomes_per_room: usize,

    /// A task's payload or result, an approval's content, an inbox message.
    pub max_payload_bytes: usize,
    /// A blackboard value.
    pub max_value_bytes: usize,
    /// What one `blackboard/get` or `blackboard/history` returns.
    pub max_snapshot_bytes: usize,
    /// `metadata` of an announcement.
    pub max_metadata_bytes: usize,
    /// Payloads of ended tasks up to this size stay on disk until the task is forgotten; larger ones are removed at once.
    pub kept_payload_bytes: usize,
    /// `correlationId`, `traceparent`, `tracestate`.
    pub max_correlation_bytes: usize,
    /// `name`, `role`, `affinity`, an error's `code`, `urgency`, a digest.
    pub max_label_bytes: usize,
    /// `reason`, `action`, an error's `message`.
    pub max_reason_bytes: usize,

    /// Events in one page of the past.
    pub max_replay_events: u32,
    /// Bytes of the entries in one page of an answer: of the past, of who is there, of mail.
    pub max_page_bytes: usize,

    /// Capabilities that a task may need.
    pub max_capabilities_per_task: usize,
    /// Capabilities that an agent may offer in a room, and again that it may announce.
    pub max_capabilities_per_agent: usize,
    /// Tasks at once that an agent may announce.
    pub max_capacity: u32,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Settings {
    /// What a redrive looks at unless a test says otherwise: there is nothing to choose, for its cursor goes on.
    pub const REDRIVE_LOOKS: usize = 10_000;
}

impl Default for Settings {
    #[expect(clippy::too_many_lines, reason = "a list of defaults")]
    fn default() -> Settings {
        Settings {
            rooms: BTreeMap::new(),
            rooms_on_use: true,
            root_bytes: "rooms".len(),
            encoding: Encoding::Json,
            max_encodings: 10_000,
            reconnect_grace_ms: 30 * SECOND,
            lease_ms: MINUTE,
            min_lease_ms: 100,
            max_lease_ms: DAY,
            max_attempts: 3,
            max_attempts_limit: 100,
            max_releases: 100,
            max_deliveries: 5,
            backoff_initial_ms: SECOND,
            backoff_factor: 2.0,
            backoff_max_ms: MINUTE,
            backoff_limit_ms: DAY,
            result_retention_ms: DAY,
            idempotency_ms: DAY,
            directed_ttl_ms: 7 * DAY,
            reply_ttl_ms: HOUR,
            inbox_ttl_ms: 7 * DAY,
            max_ttl_ms: 365 * DAY,
            approval_timeout_ms: 15 * MINUTE,
            max_approval_timeout_ms: 30 * DAY,
            approval_retention_ms: 30 * DAY,
            max_trail_bytes: 16 * KIB,
            allow_approve_on_timeout: false,
            max_quorum: 100,
            max_approvers: 100,
            provider_grace_ms: SECOND,
            tool_timeout_ms: 30 * SECOND,
            max_tool_timeout_ms: HOUR,
            max_tools_per_room: 1_000,
            max_tools_per_agent: 128,
            max_providers_per_tool: 100,
            max_tool_schema_bytes: 32 * KIB,
            max_argument_bytes: 64 * KIB,
            max_calls_per_room: 10_000,
            max_calls_per_caller: 1_000,
            max_calls_per_provider: 100,
            max_call_bytes_per_room: 64 * MIB,
            call_retention_ms: DAY,
            max_ended_calls_per_room: 100_000,
            max_call_result_bytes_per_room: 64 * MIB,
            max_rooms: 1_000,
            max_vacated_rooms: 100_000,
            departed_retention_ms: 7 * DAY,
            max_departed_per_room: 1_000,
            max_agents_per_room: 10_000,
            max_tasks_per_room: 1_000_000,
            max_task_bytes_per_room: 1024 * MIB,
            max_ended_tasks_per_room: 500_000,
            max_routes_per_room: 1_000,
            types: BTreeMap::new(),
            capabilities: BTreeMap::new(),
            capability_limits: CapabilityLimits {
                max_queued: 1_000_000,
                dispatch_rate: 0,
                dispatch_burst: 100,
            },
            max_dependencies_per_task: 64,
            max_dependants_per_task: 1_000,
            max_descendants_per_task: 10_000,
            max_depth: 16,
            max_group_size: 1_000,
            max_groups_per_room: 10_000,
            max_group_result_bytes: 256 * KIB,
            max_result_bytes_per_room: 64 * KIB * KIB,
            max_wait_by_priority_ms: 10 * 60_000,
            max_decided_bytes_per_room: 64 * KIB * KIB,
            max_history_per_task: 20,
            max_page: 200,
            max_redrive: 1_000,
            max_redrive_looks: Settings::REDRIVE_LOOKS,
            max_affinities_per_room: 10_000,
            max_keys_per_room: 100_000,
            max_key_bytes_per_room: 256 * MIB,
            max_key_bytes: 1024 * MIB,
            max_tombstones_per_room: 100_000,
            max_versions_per_key: 16,
            max_history_bytes_per_room: 64 * MIB,
            key_schemas: KeySchemas::default(),
            max_txn_ops: 128,
            lock_ttl_ms: 30 * SECOND,
            max_lock_ttl_ms: DAY,
            lock_wait_ms: MINUTE,
            max_lock_wait_ms: HOUR,
            max_locks_per_room: 10_000,
            max_lock_waiters: 100,
            max_pending_approvals_per_room: 1_000,
            max_decided_approvals_per_room: 10_000,
            max_outcomes_per_room: 500_000,
            max_payload_bytes: 256 * KIB,
            max_value_bytes: 256 * KIB,
            max_snapshot_bytes: MIB,
            max_metadata_bytes: 8 * KIB,
            kept_payload_bytes: KIB / 2,
            max_correlation_bytes: 512,
            max_label_bytes: 128,
            max_reason_bytes: 2 * KIB,
            max_replay_events: 1_000,
            max_page_bytes: 64 * KIB,
            max_capabilities_per_task: 16,
            max_capabilities_per_agent: 128,
            max_capacity: 10_000,
        }
    }
}

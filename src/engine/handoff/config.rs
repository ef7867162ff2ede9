//! Tasks, and what holds where a task does not say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::setting::{REFUSED, Size, Span, days, gib, kib, mib, minutes, ms, seconds, settings};
use crate::wire::approve::ApprovalRule;
use crate::wire::handoff::Priority;
use crate::wire::name::{Capability, TaskType};

settings! {
    /// Tasks.
    pub struct HandoffConfig;

    /// How long a worker may be silent before its task goes to another, where the task does not
    /// say.
    lease: Span = minutes(1), ms(10)..=days(30);
    /// The shortest lease that a task may ask for.
    min_lease: Span = ms(100), ms(10)..=days(1);
    /// The longest lease that a task may ask for.
    max_lease: Span = days(1), ms(10)..=days(30);
    /// Attempts before a task is dead, where the task does not say.
    max_attempts: u32 = 3, 1..=1_000_000
        => "the task is dead, where it does not say how many it may have";
    /// The most attempts that a task may ask for.
    max_attempts_limit: u32 = 100, 1..=1_000_000 => "422", REFUSED;
    /// How often a task may be given back (release) before it is dead. Giving back costs no
    /// attempt.
    max_releases: u32 = 100, 1..=1_000_000 => "a task that is given back once more is dead";
    /// How often one attempt is sent to its worker (it comes back again and again without a word),
    /// where the task does not say; beyond it the attempt is lost.
    max_deliveries: u32 = 5, 1..=1_000_000
        => "an attempt that would be sent to its worker once more is lost (`handoff.lost`, \
            `redelivered`), where the task does not say how often";
    /// How long a worker waits for an answer to what it asks, where it does not say.
    ask_timeout: Span = minutes(15), ms(1)..=days(365);
    /// Questions that may be asked of one task.
    max_questions_per_task: u32 = 16, 1..=1000 => "429", REFUSED;
    /// The wait before the second attempt, where the task does not say.
    backoff_initial: Span = seconds(1), ms(0)..=days(30);
    /// Each further wait is the last one times this, where the task does not say.
    backoff_factor: f64 = 2.0, 1.0..=100.0;
    /// No wait is longer, where the task does not say.
    backoff_max: Span = minutes(1), ms(0)..=days(30);
    /// The longest wait that a task may ask for.
    backoff_limit: Span = days(1), ms(0)..=days(30);
    /// Tasks of a room that have not ended.
    max_tasks_per_room: usize = 1_000_000, 1..=100_000_000 => "429", REFUSED;
    /// Payload bytes of the tasks of a room that have not ended.
    max_task_bytes_per_room: Size = gib(1), kib(64)..=gib(64) => "429", REFUSED;
    /// Ended tasks that a room remembers; beyond it the oldest are forgotten before their time.
    max_ended_tasks_per_room: usize = 500_000, 1..=100_000_000
        => "the oldest are forgotten before their time", "forgotten_early_total";
    /// Different sets of capabilities that a room's tasks need.
    max_routes_per_room: usize = 1000, 1..=1_000_000 => "429", REFUSED;
    /// Tasks of a room that wait for the same capability.
    max_queued_per_capability: usize = 1_000_000, 1..=100_000_000
        => "429; for one capability: `max_queued` in `[handoff.capabilities.NAME]`", REFUSED;
    /// Tasks for the same capability that a room takes in a second, on the average; 0: as many as
    /// come.
    dispatch_rate: u32 = 0, 0..=1_000_000
        => "429 says when to come again; 0: no limit; also in `[handoff.capabilities.NAME]`",
            REFUSED;
    /// Tasks for the same capability that a room takes at once, where there is a rate.
    dispatch_burst: u32 = 100, 1..=1_000_000
        => "beyond it `dispatch_rate` counts; also in `[handoff.capabilities.NAME]`", REFUSED;
    /// Tasks that one may depend on.
    max_dependencies_per_task: usize = 64, 1..=10_000 => "413", REFUSED;
    /// Tasks that may wait for the same one.
    max_dependants_per_task: usize = 1000, 1..=10_000 => "429", REFUSED;
    /// Unfinished tasks that may belong to the same topmost one, near or far.
    max_descendants_per_task: usize = 10_000, 1..=1_000_000 => "429", REFUSED;
    /// How many tasks may be above another.
    max_depth: usize = 16, 1..=1000 => "422", REFUSED;
    /// Tasks of a group.
    max_group_size: u32 = 1000, 1..=10_000 => "422", REFUSED;
    /// Groups of a room that have not had their result.
    max_groups_per_room: usize = 10_000, 1..=100_000_000 => "429", REFUSED;
    /// Results and errors that a group's result repeats; beyond it they are left out and said to
    /// be.
    max_group_result: Size = kib(256), Size(0)..=mib(16)
        => "the group's result says `omitted`; the task's own result has it";
    /// Attempts that a task's history shows; beyond it the oldest are dropped.
    max_history_per_task: usize = 20, 1..=1000
        => "the oldest attempts are dropped from what `handoff/get` shows";
    /// Tasks on a page of handoff/list.
    max_page: u32 = 200, 1..=10_000 => "422; the list goes on with its cursor", REFUSED;
    /// Dead tasks that one handoff/redrive puts back.
    max_redrive: u32 = 1000, 1..=100_000
        => "422; the reply says how many dead tasks remain, and where to go on", REFUSED;
    /// Values of `affinity` for which a room remembers the last worker; beyond it the oldest are
    /// forgotten.
    max_affinities_per_room: usize = 10_000, 1..=1_000_000 => "the oldest are forgotten";
    /// Capabilities that a task may need.
    max_capabilities_per_task: usize = 16, 1..=1000 => "413", REFUSED;
    /// How long a task that ended, and its result, can still be asked for.
    result_retention: Span = days(1), ms(0)..=days(365);
    /// Bytes of results that a room keeps of tasks that have ended, for handoff/get; beyond it the
    /// oldest go.
    max_result_bytes_per_room: Size = mib(64), Size(0)..=gib(64)
        => "the oldest results are forgotten before their tasks: `handoff/get` says \
            `resultOmitted`", "forgotten_early_total";
    /// How long a task waits behind more urgent ones before it gets every other turn; 0: as long as
    /// there are any.
    max_wait_by_priority: Span = minutes(10), ms(0)..=days(365);
    /// The largest task payload or result.
    max_payload: Size = kib(256), kib(1)..=mib(255) => "413", REFUSED;
    /// Payloads of ended tasks up to this size are kept with the task; larger ones are removed at
    /// once.
    kept_payload: Size = Size(512), Size(0)..=mib(1)
        => "a larger payload is removed as soon as its task has ended";
    /// Defaults for tasks of one type, where the task does not say. A section for each:
    /// `[handoff.types.NAME]` with any of lease, max_attempts, backoff_initial, backoff_factor,
    /// backoff_max, priority, ttl, require_online, result_retention; and
    /// `[handoff.types.NAME.approval]` with any of action, approvers, quorum, timeout: each task
    /// waits for an approval of its payload.
    types: BTreeMap<TaskType, TaskTypeDefaults> = BTreeMap::new();
    /// Limits of one capability. A section for each: `[handoff.capabilities.NAME]` with any of
    /// max_queued, dispatch_rate, dispatch_burst.
    capabilities: BTreeMap<Capability, CapabilityConfig> = BTreeMap::new();
}

/// `[handoff.types.NAME]`: what holds for tasks of one type that do not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskTypeDefaults {
    /// How long a worker may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Span>,
    /// Attempts before a task is dead.
    pub max_attempts: Option<u32>,
    /// The wait before the second attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_initial: Option<Span>,
    /// Each wait is the last one times this.
    pub backoff_factor: Option<f64>,
    /// No wait is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_max: Option<Span>,
    /// Which goes first.
    pub priority: Option<Priority>,
    /// After which a task expires unless it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// Whether a task is refused if nobody online can do it.
    pub require_online: bool,
    /// How long a task that ended can still be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_retention: Option<Span>,
    /// What each has to be approved by before it is handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalConfig>,
}

/// `[handoff.types.NAME.approval]`: the approval that tasks of a type wait for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApprovalConfig {
    /// What is to be done, in a word or a sentence; the type if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who may decide: agents, users, or `role:NAME`; nobody named means anybody but the
    /// dispatcher.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// How many approvals it takes; 1 if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// Until it times out, and the task is dead; `approve.timeout` if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

impl ApprovalConfig {
    pub(super) fn rule(&self) -> ApprovalRule {
        ApprovalRule {
            action: self.action.clone(),
            approvers: self.approvers.clone(),
            quorum: self.quorum,
            timeout_ms: self.timeout.map(Span::ms),
        }
    }
}

/// `[handoff.capabilities.NAME]`: what a room takes of tasks that need one capability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "struct CapabilityLimits")]
pub struct CapabilityConfig {
    /// Tasks that wait for it.
    pub max_queued: Option<usize>,
    /// Tasks in a second, on the average; 0: as many as come.
    pub dispatch_rate: Option<u32>,
    /// Tasks at once, where there is a rate.
    pub dispatch_burst: Option<u32>,
}

//! The limits and delays that both sides are told: the engine by its settings, the model by these
//! numbers.

use hallward::desk::JournalLimits;
use hallward::engine::{ApprovalConfig, RoomConfig, Settings, TaskTypeDefaults};
use hallward::setting::{Span, ms};
use hallward::wire::Millis;
use hallward::wire::approve::ApprovalRule;
use hallward::wire::handoff::Backoff;
use hallward::wire::name::{Room, TaskType};
use hallward::wire::presence::Encoding;

use super::dice::Dice;

/// Short enough that a run of a minute meets every one of them.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// How long somebody whose connection broke keeps its place.
    pub(super) grace_ms: Millis,
    /// The lease of a task that names none.
    pub(super) lease_ms: Millis,
    /// The attempts of a task that names none.
    pub(super) max_attempts: u32,
    pub(super) max_deliveries: u32,
    /// The backoff of a task that names none.
    pub(super) backoff: Backoff,
    /// How long a task waits behind more urgent ones before it has every other turn.
    pub(super) max_wait_ms: Millis,
    /// How long an approval that names no time waits.
    pub(super) approval_timeout_ms: Millis,
    /// How long a provider whose connection broke keeps its calls.
    pub(super) provider_grace_ms: Millis,
    /// How long a call takes that says nothing, of a tool that says nothing.
    pub(super) tool_timeout_ms: Millis,
    /// Calls that a provider has at once.
    pub(super) calls_per_provider: usize,
    /// Dead tasks that one redrive looks at.
    pub(super) redrive_looks: usize,
    /// Calls that are over and that a room remembers.
    pub(super) kept_calls: usize,
    /// How long what has ended, and the ids of commands, are remembered.
    pub(super) retention_ms: Millis,
    /// Versions of a key that are kept.
    pub(super) kept_versions: usize,
    /// Letters other than replies that a mailbox takes.
    pub(super) mailbox_letters: usize,
    pub(super) mailbox_results: usize,
    /// Replies that wait in a mailbox before the oldest give way.
    pub(super) mailbox_replies: usize,
    /// How long an inbox message that says nothing waits.
    pub(super) inbox_ttl_ms: Millis,
    /// The room where what everybody reads is CBOR, if there is one.
    pub(super) cbor_room: Option<Room>,
    /// Bytes of a room's past that are kept.
    pub(super) past_bytes: u64,
    /// The type of tasks that have to be approved, and by whom, if there is one.
    pub(super) gate: Option<(TaskType, ApprovalRule)>,
}

/// Editors approve what is published.
pub(super) fn usual_gate() -> (TaskType, ApprovalRule) {
    let rule = ApprovalRule {
        approvers: vec!["role:editor".to_owned()],
        timeout_ms: Some(3_000),
        ..ApprovalRule::default()
    };
    (task_type("publish"), rule)
}

fn task_type(name: &str) -> TaskType {
    TaskType::new(name).expect("a name")
}

/// It, another one, or none.
fn varied_gate(dice: &mut Dice) -> Option<(TaskType, ApprovalRule)> {
    let (publish, usual) = usual_gate();
    match dice.below(10) {
        0..=4 => Some((publish, usual)),
        5..=6 => None,
        7 => {
            let rule = ApprovalRule {
                action: Some("print it".to_owned()),
                quorum: Some(2),
                ..ApprovalRule::default()
            };
            Some((publish, rule))
        }
        _ => {
            let rule = ApprovalRule {
                timeout_ms: Some(1_200),
                ..ApprovalRule::default()
            };
            Some((task_type("draft"), rule))
        }
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            grace_ms: 2_000,
            lease_ms: 1_500,
            max_attempts: 3,
            max_deliveries: 3,
            backoff: Backoff {
                initial_ms: 100,
                factor: 2.0,
                max_ms: 1_000,
            },
            max_wait_ms: 3_000,
            approval_timeout_ms: 4_000,
            provider_grace_ms: 400,
            tool_timeout_ms: 2_000,
            calls_per_provider: 3,
            redrive_looks: 10,
            kept_calls: 5,
            retention_ms: 3_600_000,
            kept_versions: 6,
            mailbox_letters: 20,
            mailbox_results: 20,
            mailbox_replies: 64,
            inbox_ttl_ms: 600_000,
            cbor_room: None,
            past_bytes: 20_000,
            gate: None,
        }
    }
}

fn of_type(rule: ApprovalRule) -> TaskTypeDefaults {
    let approval = ApprovalConfig {
        action: rule.action,
        approvers: rule.approvers,
        quorum: rule.quorum,
        timeout: rule.timeout_ms.map(ms),
    };
    TaskTypeDefaults {
        approval: Some(approval),
        ..TaskTypeDefaults::default()
    }
}

impl Rules {
    /// With other numbers where they count for what comes, as an operator sets them while it runs.
    pub(super) fn varied(&self, dice: &mut Dice) -> Rules {
        let mut or = |usual: Millis, other: Millis| if dice.percent(50) { usual } else { other };
        let varied = Rules {
            lease_ms: or(self.lease_ms, 900),
            max_attempts: or(self.max_attempts.into(), 2) as u32,
            backoff: Backoff {
                initial_ms: or(self.backoff.initial_ms, 300),
                ..self.backoff
            },
            approval_timeout_ms: or(self.approval_timeout_ms, 1_500),
            tool_timeout_ms: or(self.tool_timeout_ms, 700),
            calls_per_provider: or(self.calls_per_provider as Millis, 1) as usize,
            inbox_ttl_ms: or(self.inbox_ttl_ms, 5_000),
            ..self.clone()
        };
        // Without dice of its own, which would have moved all that is thrown later.
        let is_lower = varied.calls_per_provider < self.calls_per_provider;
        Rules {
            kept_calls: if is_lower { 2 } else { self.kept_calls },
            gate: self.gate.as_ref().and_then(|_| varied_gate(dice)),
            ..varied
        }
    }

    /// The approval that tasks of a type wait for.
    pub(super) fn asks_before(&self, of_type: &TaskType) -> Option<&ApprovalRule> {
        let gate = self.gate.as_ref().filter(|(gated, _)| gated == of_type);
        gate.map(|(_, rule)| rule)
    }

    /// What settings say of these numbers.
    pub(super) fn heed(&mut self, settings: &Settings) {
        self.lease_ms = settings.handoff.lease.ms();
        self.max_attempts = settings.handoff.max_attempts;
        self.backoff.initial_ms = settings.handoff.backoff_initial.ms();
        self.approval_timeout_ms = settings.approve.timeout.ms();
        self.tool_timeout_ms = settings.tools.timeout.ms();
        self.calls_per_provider = settings.tools.max_calls_per_provider;
        self.kept_calls = settings.tools.max_ended_calls_per_room;
        self.inbox_ttl_ms = settings.mailbox.inbox_ttl.ms();
        self.gate = settings.handoff.types.iter().find_map(|(gated, of_type)| {
            let asked = of_type.approval.clone()?;
            let rule = ApprovalRule {
                action: asked.action,
                approvers: asked.approvers,
                quorum: asked.quorum,
                timeout_ms: asked.timeout.map(Span::ms),
            };
            Some((gated.clone(), rule))
        });
    }

    /// The same for the journal.
    pub(super) fn journal(&self) -> JournalLimits {
        JournalLimits {
            keep: true,
            retention_ms: self.retention_ms,
            max_bytes_per_room: self.past_bytes,
            max_bytes: 10 * self.past_bytes,
            max_rooms: 100,
            max_read_bytes: 1 << 20,
            rooms: std::collections::BTreeMap::new(),
        }
    }

    /// The same for the engine.
    pub(super) fn settings(&self) -> Settings {
        Settings::tuned(|settings| {
            let own = RoomConfig {
                encoding: Some(Encoding::Cbor),
                ..RoomConfig::default()
            };
            let rooms = self.cbor_room.iter();
            settings.rooms.room = rooms.map(|room| (room.clone(), own.clone())).collect();
            settings.rooms.reconnect_grace = ms(self.grace_ms);
            settings.handoff.lease = ms(self.lease_ms);
            settings.handoff.max_attempts = self.max_attempts;
            settings.handoff.max_deliveries = self.max_deliveries;
            settings.handoff.backoff_initial = ms(self.backoff.initial_ms);
            settings.handoff.backoff_factor = self.backoff.factor;
            settings.handoff.backoff_max = ms(self.backoff.max_ms);
            settings.handoff.result_retention = ms(self.retention_ms);
            settings.handoff.max_wait_by_priority = ms(self.max_wait_ms);
            settings.approve.retention = ms(self.retention_ms);
            settings.rooms.departed_retention = ms(self.retention_ms);
            settings.commands.idempotency = ms(self.retention_ms);
            settings.approve.timeout = ms(self.approval_timeout_ms);
            settings.blackboard.history = self.kept_versions;
            settings.tools.provider_grace = ms(self.provider_grace_ms);
            settings.tools.timeout = ms(self.tool_timeout_ms);
            settings.tools.max_calls_per_provider = self.calls_per_provider;
            settings.max_redrive_looks = self.redrive_looks;
            settings.tools.max_ended_calls_per_room = self.kept_calls;
            settings.tools.result_retention = ms(self.retention_ms);
            settings.mailbox.inbox_ttl = ms(self.inbox_ttl_ms);
            let gated = self.gate.iter().cloned();
            settings.handoff.types = gated.map(|(gated, rule)| (gated, of_type(rule))).collect();
        })
    }

    /// What everybody reads in a room is written in.
    pub(super) fn encoding(&self, room: &Room) -> Encoding {
        match &self.cbor_room {
            Some(other) if other == room => Encoding::Cbor,
            _ => Encoding::Json,
        }
    }
}

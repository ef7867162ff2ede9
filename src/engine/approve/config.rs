//! Gates that a person holds.

use serde::{Deserialize, Serialize};

use crate::setting::{REFUSED, Size, Span, days, gib, kib, mib, minutes, ms, seconds, settings};

settings! {
    /// Gates that a person holds.
    pub struct ApproveConfig;

    /// How long a request waits for a decision where it does not say.
    timeout: Span = minutes(15), seconds(1)..=days(365);
    /// The longest time that a request may ask for.
    max_timeout: Span = days(30), seconds(1)..=days(365);
    /// Who is one person: a "user" with all its agents, or each "agent" by itself. Nobody may
    /// decide its own request, and each person counts once. Where clients need not prove who they
    /// are, each agent is one either way.
    same_person: SamePerson = SamePerson::User;
    /// Whether a request may ask to count as approved when nobody decides in time.
    approve_on_timeout: bool = false;
    /// How long a decided request can still be asked for, with everything that happened to it.
    retention: Span = days(30), ms(0)..=days(3650);
    /// What is kept of that for one request; beyond it only a decision is taken.
    max_trail: Size = kib(16), kib(4)..=mib(1)
        => "votes that leave the request open, and deferrals, get 429; a vote that decides is \
            always taken", REFUSED;
    /// Undecided requests per room.
    max_pending_per_room: usize = 1000, 1..=100_000_000 => "429", REFUSED;
    /// Decided requests that a room remembers; beyond it the oldest are forgotten before their
    /// time.
    max_decided_per_room: usize = 10_000, 1..=100_000_000
        => "the oldest are forgotten before their time", "forgotten_early_total";
    /// Bytes of contents that a room keeps of decided requests, for approve/audit; beyond it the
    /// oldest go, their digests stay.
    max_decided_bytes_per_room: Size = mib(64), Size(0)..=gib(64)
        => "the oldest contents are forgotten before their approvals: `approve/audit` says \
            `contentOmitted`", "forgotten_early_total";
    /// The most approvals that one decision may need.
    max_quorum: u32 = 100, 1..=10_000 => "422", REFUSED;
    /// The most approvers that a request may name.
    max_approvers: usize = 100, 1..=10_000 => "413", REFUSED;
}

/// Who is one person where something takes another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamePerson {
    /// A user, with all its agents.
    #[default]
    User,
    /// Each agent.
    Agent,
}

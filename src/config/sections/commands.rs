//! What all commands share.

use crate::setting::{Bytes, REFUSED, Span, days, kib, seconds, settings};

settings! {
    /// What all commands share.
    pub struct Commands;

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
    max_correlation: Bytes = Bytes(512), Bytes(16)..=kib(64) => "413", REFUSED;
    /// The longest name, role, affinity, error code, urgency and digest.
    max_label: Bytes = Bytes(128), Bytes(16)..=kib(64) => "413", REFUSED;
    /// The longest reason, action and error message.
    max_reason: Bytes = kib(2), Bytes(16)..=kib(64) => "413", REFUSED;
}

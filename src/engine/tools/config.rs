//! Remote tools, and what holds where neither a tool nor a call says.

use crate::setting::{
    REFUSED, Size, Span, days, gib, hours, kib, mib, minutes, ms, seconds, settings,
};

settings! {
    /// Remote tools: capabilities with a schema and a short answer.
    pub struct ToolsConfig;

    /// How long a call may take where neither the tool nor the call says.
    timeout: Span = seconds(30), ms(100)..=days(1);
    /// The longest time that a tool or a call may ask for.
    max_timeout: Span = hours(1), ms(100)..=days(1);
    /// How long a provider waits for an answer to what it asks its caller, where it does not say.
    ask_timeout: Span = minutes(15), ms(1)..=days(365);
    /// Questions that may be asked of one call.
    max_questions_per_call: u32 = 16, 1..=1000 => "429", REFUSED;
    /// How long an agent whose connection is gone keeps its calls, in case it comes back; then they
    /// go to others, or end with an error. One that comes back with a new session has as long
    /// again, to answer them or to subscribe and be sent again what is idempotent.
    provider_grace: Span = seconds(1), ms(0)..=days(1);
    /// Tools per room.
    max_per_room: usize = 1000, 1..=1_000_000 => "429", REFUSED;
    /// Tools that an agent may register in a room, and again that it may listen for.
    max_per_agent: usize = 128, 1..=10_000
        => "429; a subscription that listens for one more is refused", REFUSED;
    /// Agents that may provide the same tool.
    max_providers: usize = 100, 1..=10_000 => "429", REFUSED;
    /// The largest input schema, and again the largest output schema.
    // No longer ones can be checked in a time that is known.
    max_schema: Size = kib(32), kib(1)..=kib(64) => "413", REFUSED;
    /// The largest arguments of a call.
    max_arguments: Size = kib(64), kib(1)..=mib(255) => "413", REFUSED;
    /// Calls of a room that are not over.
    max_calls_per_room: usize = 10_000, 1..=1_000_000
        => "429", "tool_calls, commands_refused_total";
    /// Calls of one caller in a room that are not over.
    max_calls_per_caller: usize = 1000, 1..=1_000_000 => "429", REFUSED;
    /// Calls at once that one provider gets in a room.
    max_calls_per_provider: usize = 100, 1..=1_000_000
        => "another provider is called; 429 if all have that many", REFUSED;
    /// Arguments that a room keeps for calls that may go to another provider, and what is asked and
    /// answered in calls.
    max_call_bytes_per_room: Size = mib(64), kib(64)..=gib(64)
        => "429, for tools that are `idempotent`, for questions and for answers", REFUSED;
    /// How long a call that is over, and what it came to, can still be asked for; 0: not at all.
    result_retention: Span = days(1), ms(0)..=days(365);
    /// Calls that are over and that a room remembers; beyond it the oldest are forgotten before
    /// their time.
    max_ended_calls_per_room: usize = 100_000, 1..=100_000_000
        => "the oldest are forgotten before their time",
            "tool_calls_remembered, forgotten_early_total";
    /// Bytes of results and errors that a room keeps of calls that are over, for tools/get; beyond
    /// it the oldest go.
    max_result_bytes_per_room: Size = mib(64), Size(0)..=gib(64)
        => "what the oldest came to is forgotten before their calls: `tools/get` says \
            `resultOmitted`", "forgotten_early_total";
}

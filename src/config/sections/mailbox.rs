//! Directed messages that wait for one agent.

use crate::setting::{Bytes, REFUSED, Span, days, gib, hours, kib, mib, seconds, settings};

settings! {
    /// Directed messages (assignments, results, decisions, inbox, replies) that wait for one agent.
    pub struct Mailbox;

    /// Assignments, runs and inbox messages per agent; a full mailbox refuses the sender (429).
    max_messages: usize = 10_000, 1..=100_000_000 => "the sender gets 429", REFUSED;
    /// The same in bytes.
    max_bytes: Bytes = mib(16), kib(64)..=gib(64) => "the sender gets 429", REFUSED;
    /// Results and decisions per agent that wait or are still to come: unfinished tasks, calls and
    /// approvals count. Beyond it whoever wants another is refused (429).
    max_results: usize = 100_000, 1..=100_000_000
        => "who waits for so many results and decisions, or has not read them, gets 429 for a \
            further task, call or request for approval, and its workers for a partial result; \
            mail to it is not touched", REFUSED;
    /// Bytes of those that wait.
    max_result_bytes: Bytes = mib(256), kib(64)..=gib(64)
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

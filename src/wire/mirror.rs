//! What MQTT 5 properties say beside a payload. They are mirrors: whatever they say, a payload can
//! say too, and goes first.

use crate::wire::Millis;
use crate::wire::name::{Agent, Key};

/// User property: who caused a message of the gateway's.
pub const FROM: &str = "from";
/// User property: W3C Trace Context, `traceparent`.
pub const TRACEPARENT: &str = "traceparent";
/// User property: W3C Trace Context, `tracestate`.
pub const TRACESTATE: &str = "tracestate";

/// What a command's properties say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandMirrors {
    /// Correlation Data, where it is text: the payload's `correlationId`.
    pub correlation_id: Option<String>,
    /// What the Response Topic appends to the writer's own `reply/{me}`.
    pub reply_rest: Option<Key>,
    /// Message Expiry in milliseconds: the payload's `ttlMs`.
    pub ttl_ms: Option<u64>,
    /// The user properties of the trace.
    pub trace: Trace,
    /// Whether the Content Type says CBOR.
    pub is_cbor: bool,
}

/// W3C Trace Context, carried from a dispatch to its result; the gateway does not look into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// Version, trace, parent and flags.
    pub traceparent: Option<String>,
    /// What vendors add.
    pub tracestate: Option<String>,
}

impl Trace {
    /// Fills in what a payload leaves out. The two parts belong together: one of the payload's does
    /// not go with one of these.
    pub fn complete(&self, traceparent: &mut Option<String>, tracestate: &mut Option<String>) {
        if traceparent.is_none() {
            traceparent.clone_from(&self.traceparent);
            tracestate.clone_from(&self.tracestate);
        }
    }
}

/// What the properties of a message of the gateway's say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageMirrors {
    /// Correlation Data.
    pub correlation_id: Option<String>,
    /// The agent that caused it.
    pub from: Option<Agent>,
    /// The trace that it belongs to.
    pub trace: Trace,
    /// When it may be dropped undelivered: shown as Message Expiry.
    pub expires_at: Option<Millis>,
}

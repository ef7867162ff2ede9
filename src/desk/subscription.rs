//! What a session subscribes to, and how far each subscription has got with its retained messages.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::wire::filter::SharedFilter;
use crate::wire::message::{Message, Qos};

/// A subscription (MQTT section 3.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The filter, `$share/…` included.
    pub filter: Arc<str>,
    /// The most that the client wants.
    pub qos: Qos,
    /// Not what this client published itself.
    pub no_local: bool,
    /// Keep the retain flag as published.
    pub retain_as_published: bool,
    /// When to send retained messages.
    pub retain_handling: RetainHandling,
    /// MQTT 5 Subscription Identifier.
    pub id: Option<u32>,
}

impl Subscription {
    /// Whether it asks for retained messages, being new or not (MQTT 5 section 3.3.1.3); one of a
    /// group never does.
    pub(super) fn wants_retained(&self, existed: bool) -> bool {
        let wanted = match self.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => !existed,
            RetainHandling::Never => false,
        };
        wanted && SharedFilter::parse(&self.filter).is_none()
    }

    /// Whether a message is its own client's, which wants none of its own (MQTT-3.8.3-3), however
    /// old it is.
    pub(super) fn is_unwanted(&self, message: &Message, id: &str) -> bool {
        self.no_local && message.publisher() == id
    }
}

/// When retained messages are sent for a subscription (MQTT 5 section 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    Always,
    /// Only if the subscription did not exist.
    IfNew,
    /// Never.
    Never,
}

/// How far a subscription has come with its retained messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedCursor {
    /// They go on after this topic; empty before the first.
    pub after: Box<str>,
    /// Changes after this sequence number came to the session as they happened.
    pub retained_seq: u64,
    /// Whether the ledger knows of it.
    pub stored: bool,
}

impl RetainedCursor {
    /// From the first topic on, for a subscription made when this was the newest change.
    pub(super) fn begun(retained_seq: u64, stored: bool) -> RetainedCursor {
        RetainedCursor {
            after: "".into(),
            retained_seq,
            stored,
        }
    }

    /// The record's value: sequence number (8), topic.
    pub(super) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(8 + self.after.len());
        out.put_u64(self.retained_seq);
        out.put_slice(self.after.as_bytes());
        out.freeze()
    }

    pub(super) fn decode(mut value: &[u8]) -> Option<RetainedCursor> {
        Some(RetainedCursor {
            retained_seq: value.try_get_u64().ok()?,
            after: std::str::from_utf8(value).ok()?.into(),
            stored: true,
        })
    }
}

//! Whether the other broker takes a message, as far as that is known before it is sent.

use crate::metrics::labels;
use crate::wire::message::Message;

labels! {
    /// Why the other broker will not have a message.
    pub enum DeadReason by "reason" {
        /// Its payload or its packet is larger than may be.
        TooLarge = "too_large",
        /// Its topic there is longer than may be, or has more levels.
        TopicTooLong = "topic_too_long",
        /// The other broker does not let us publish it (0x87).
        NotAuthorized = "not_authorized",
        /// The other broker takes no such topic (0x90).
        TopicRefused = "topic_refused",
        /// The other broker takes no such message (0x95, 0x99, 0x9A, 0x9B).
        MessageRefused = "message_refused",
        /// The other broker refused it again and again.
        Refused = "refused",
        /// The other broker closed the connection each time that it was sent.
        Closes = "closes",
    }
}

impl DeadReason {
    /// Of a refusal that does not pass; `None` of one that may.
    pub(super) fn of_refusal(code: u8) -> Option<DeadReason> {
        match code {
            0x87 => Some(DeadReason::NotAuthorized),
            0x90 => Some(DeadReason::TopicRefused),
            0x95 | 0x99 | 0x9A | 0x9B => Some(DeadReason::MessageRefused),
            _ => None,
        }
    }
}

/// Header, topic length, packet id, property length, expiry.
const AROUND: usize = 5 + 2 + 2 + 4 + 5;

/// What the other broker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketLimits {
    /// Bytes of a topic.
    pub max_topic: usize,
    /// Slashes in a topic.
    pub max_slashes: usize,
    /// Bytes of a payload.
    pub max_payload: usize,
    /// Bytes of a packet.
    pub max_packet: usize,
}

impl PacketLimits {
    /// The same with what CONNACK says of packets.
    pub(super) fn within(self, max_packet: u32) -> PacketLimits {
        let granted = usize::try_from(max_packet).unwrap_or(usize::MAX);
        PacketLimits {
            max_packet: self.max_packet.min(granted),
            ..self
        }
    }

    pub(super) fn check(&self, message: &Message) -> Result<(), DeadReason> {
        let (topic, payload) = (message.topic(), message.payload().len());
        let slashes = topic.bytes().filter(|byte| *byte == b'/').count();
        if topic.len() > self.max_topic || slashes > self.max_slashes {
            return Err(DeadReason::TopicTooLong);
        }
        let packet = AROUND + topic.len() + message.properties().len() + payload;
        if payload > self.max_payload || packet > self.max_packet {
            return Err(DeadReason::TooLarge);
        }
        Ok(())
    }
}

//! An application message as it travels inside the gateway: encoded once, sliced at every receiver.
//!
//! The same bytes are the live plane's frame, the queue's entry and the ledger's value.

use bytes::{BufMut, Bytes, BytesMut};

use super::Millis;

/// Quality of service (MQTT section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Qos {
    /// 0: fire and forget.
    #[default]
    AtMostOnce,
    /// 1: acknowledged, may repeat.
    AtLeastOnce,
    /// 2: acknowledged twice, never repeats.
    ExactlyOnce,
}

impl Qos {
    /// 0, 1 or 2.
    pub fn level(self) -> u8 {
        self as u8
    }

    /// From 0, 1 or 2.
    pub fn from_level(level: u8) -> Option<Qos> {
        match level {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }
}

/// What a message is made of, before it is encoded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts<'a> {
    /// The topic name.
    pub topic: &'a str,
    /// The client id of the publisher (empty: the gateway); No Local looks at it.
    pub publisher: &'a str,
    /// As published.
    pub qos: Qos,
    /// As published; Retain As Published looks at it.
    pub retain: bool,
    /// Set on what also stands in the retained store: the desk's count of retained changes, so that
    /// a subscriber that was just sent the store does not get the same change again. 0 otherwise.
    pub retained_seq: u64,
    /// Unix milliseconds after which it must not be delivered any more; 0 for never.
    pub expires_at: Millis,
    /// The MQTT 5 properties that are forwarded unchanged, encoded as in PUBLISH, without their
    /// length.
    pub properties: &'a [u8],
    /// The application's bytes.
    pub payload: &'a [u8],
}

/// An encoded message; cloning is a reference count.
#[derive(Clone, PartialEq, Eq)]
pub struct Message(Bytes);

/// Bytes that are no message of a format that this version knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a message of format {FORMAT}: {0}")]
pub struct MessageError(&'static str);

const FORMAT: u8 = 1;
const RETAIN: u8 = 0b100;
/// format, flags, publisher length (2), topic length (2), properties length (4), retained seq (8),
/// expiry (8).
const HEADER: usize = 26;

impl Message {
    /// Encodes the parts.
    ///
    /// # Panics
    /// If topic or publisher are longer than 65,535 bytes, which MQTT cannot carry.
    pub fn encode(parts: &Parts<'_>) -> Message {
        let u16_len = |text: &str| u16::try_from(text.len()).expect("MQTT strings fit 16 bits");
        let len = HEADER
            + parts.publisher.len()
            + parts.topic.len()
            + parts.properties.len()
            + parts.payload.len();
        let mut out = BytesMut::with_capacity(len);
        out.put_u8(FORMAT);
        out.put_u8(parts.qos.level() | if parts.retain { RETAIN } else { 0 });
        out.put_u16(u16_len(parts.publisher));
        out.put_u16(u16_len(parts.topic));
        out.put_u32(u32::try_from(parts.properties.len()).expect("MQTT properties fit 28 bits"));
        out.put_u64(parts.retained_seq);
        out.put_u64(parts.expires_at);
        out.put_slice(parts.publisher.as_bytes());
        out.put_slice(parts.topic.as_bytes());
        out.put_slice(parts.properties);
        out.put_slice(parts.payload);
        Message(out.freeze())
    }

    /// Reads an encoded message without copying.
    ///
    /// # Errors
    /// If the bytes are of another format, cut short, or hold text that is no UTF-8.
    pub fn decode(bytes: Bytes) -> Result<Message, MessageError> {
        if bytes.len() < HEADER {
            return Err(MessageError("shorter than its header"));
        }
        if bytes[0] != FORMAT || Qos::from_level(bytes[1] & 0b11).is_none() {
            return Err(MessageError("unknown format or flags"));
        }
        let message = Message(bytes);
        if message.0.len() < message.payload_start() {
            return Err(MessageError("shorter than its header says"));
        }
        let text = &message.0[HEADER..message.topic_end()];
        if std::str::from_utf8(text).is_err() {
            return Err(MessageError("topic or publisher is no UTF-8"));
        }
        Ok(message)
    }

    /// The encoded form.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// All parts, borrowed.
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            topic: self.topic(),
            publisher: self.publisher(),
            qos: self.qos(),
            retain: self.retain(),
            retained_seq: self.retained_seq(),
            expires_at: self.expires_at(),
            properties: self.properties(),
            payload: &self.0[self.payload_start()..],
        }
    }

    /// The topic name.
    pub fn topic(&self) -> &str {
        self.text(self.topic_start(), self.topic_end())
    }

    /// The topic name as it is encoded, in UTF-8.
    pub fn topic_bytes(&self) -> &[u8] {
        &self.0[self.topic_start()..self.topic_end()]
    }

    /// The client id of the publisher; empty for the gateway.
    pub fn publisher(&self) -> &str {
        self.text(HEADER, self.topic_start())
    }

    /// As published.
    pub fn qos(&self) -> Qos {
        Qos::from_level(self.0[1] & 0b11).unwrap_or_default()
    }

    /// As published.
    pub fn retain(&self) -> bool {
        self.0[1] & RETAIN != 0
    }

    /// See [`Parts::retained_seq`].
    pub fn retained_seq(&self) -> u64 {
        self.u64_at(10)
    }

    /// Unix milliseconds; 0 for never.
    pub fn expires_at(&self) -> Millis {
        self.u64_at(18)
    }

    /// Whether it must not be delivered any more.
    pub fn expired(&self, now: Millis) -> bool {
        let at = self.expires_at();
        at != 0 && at <= now
    }

    /// Forwarded MQTT 5 properties, encoded.
    pub fn properties(&self) -> &[u8] {
        &self.0[self.topic_end()..self.payload_start()]
    }

    /// The application's bytes, sharing the message's memory.
    pub fn payload(&self) -> Bytes {
        self.0.slice(self.payload_start()..)
    }

    /// Bytes in memory and on disk.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    fn text(&self, start: usize, end: usize) -> &str {
        // Checked by `decode`, and `encode` wrote it from a &str.
        std::str::from_utf8(&self.0[start..end]).unwrap_or_default()
    }

    fn u16_at(&self, at: usize) -> usize {
        usize::from(u16::from_be_bytes([self.0[at], self.0[at + 1]]))
    }

    fn u64_at(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[at..at + 8]);
        u64::from_be_bytes(bytes)
    }

    fn topic_start(&self) -> usize {
        HEADER + self.u16_at(2)
    }

    fn topic_end(&self) -> usize {
        self.topic_start() + self.u16_at(4)
    }

    fn payload_start(&self) -> usize {
        let properties = u32::from_be_bytes([self.0[6], self.0[7], self.0[8], self.0[9]]);
        self.topic_end().saturating_add(properties as usize)
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("publisher", &self.publisher())
            .field("qos", &self.qos())
            .field("retain", &self.retain())
            .field("payload", &self.payload())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_survive_encoding(topic in ".{1,40}", publisher in ".{0,20}", level in 0u8..3, retain: bool,
                                     retained_seq: u64, expires_at: u64, properties: Vec<u8>, payload: Vec<u8>) {
            let parts = Parts { topic: &topic, publisher: &publisher, qos: Qos::from_level(level).unwrap(), retain, retained_seq,
                                expires_at, properties: &properties, payload: &payload };
            let message = Message::decode(Message::encode(&parts).as_bytes().clone()).unwrap();
            prop_assert_eq!(format!("{:?}", message.parts()), format!("{parts:?}"));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(message) = Message::decode(bytes.into()) {
                let _ = message.parts();
            }
        }
    }
}

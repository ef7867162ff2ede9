//! Packets to clients, written straight into the buffer that goes to the socket.

use bytes::{Buf, BufMut, BytesMut};

use crate::wire::Millis;
use crate::wire::message::{Parts, Qos};

use super::properties::id;
use super::reason::{self, Reason};

/// First bytes of the acks (MQTT 5 sections 3.4 to 3.7).
pub(in crate::mqtt) const PUBACK: u8 = 0x40;
pub(in crate::mqtt) const PUBREC: u8 = 0x50;
pub(in crate::mqtt) const PUBREL: u8 = 0x62;
pub(in crate::mqtt) const PUBCOMP: u8 = 0x70;

/// The longest Reason String, in bytes.
const MAX_WORDS: usize = 512;

/// What waits for the socket, and how far the socket has come.
#[derive(Debug)]
pub(in crate::mqtt) struct Output {
    buffer: BytesMut,
    written: u64,
    /// Packets since the last [`Output::take_packets`].
    packets: u64,
    /// The client's Maximum Packet Size, in bytes.
    max_packet: usize,
    detail: ErrorDetail,
    /// An answer was larger than the client takes, and is missing.
    too_large: bool,
}

/// What packets that refuse tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) struct ErrorDetail {
    /// CONNACK and DISCONNECT have a Reason String, where there is room.
    pub(in crate::mqtt) speaks: bool,
    /// Acks have one, too: the client did not ask for fewer words (Request Problem Information).
    pub(in crate::mqtt) explains: bool,
    /// They say that rights are missing, where they are.
    pub(in crate::mqtt) reveals: bool,
}

impl Default for ErrorDetail {
    fn default() -> ErrorDetail {
        ErrorDetail {
            speaks: false,
            explains: false,
            reveals: true,
        }
    }
}

impl ErrorDetail {
    /// For a client that is not let in.
    pub(in crate::mqtt) fn at_the_door(speaks: bool) -> ErrorDetail {
        ErrorDetail {
            speaks,
            ..ErrorDetail::default()
        }
    }

    /// The reason code that is told in place of the real one.
    fn tells(self, code: u8) -> u8 {
        match Reason::NotAuthorized.code() {
            hidden if code == hidden && !self.reveals => Reason::Unspecified.code(),
            _ => code,
        }
    }
}

impl Default for Output {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            written: 0,
            packets: 0,
            max_packet: usize::MAX,
            detail: ErrorDetail::default(),
            too_large: false,
        }
    }
}

impl Output {
    /// Bytes that wait.
    pub(in crate::mqtt) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(in crate::mqtt) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(in crate::mqtt) fn pending(&self) -> &[u8] {
        &self.buffer
    }

    /// Notes that the socket took bytes. An emptied buffer is given back: an idle connection holds
    /// none.
    pub(in crate::mqtt) fn advance(&mut self, count: usize) {
        self.buffer.advance(count);
        self.written += count as u64;
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Bytes ever taken by the socket.
    pub(in crate::mqtt) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes ever put here; a packet has left once [`Output::written`] reaches what this was behind
    /// it.
    pub(in crate::mqtt) fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Sets the largest packet that the client takes, and what acks that refuse are to tell.
    pub(in crate::mqtt) fn configure(&mut self, max_packet: usize, detail: ErrorDetail) {
        self.max_packet = max_packet;
        self.detail = detail;
    }

    /// Whether an answer had to be left out because the client takes none that large
    /// (MQTT-3.1.2-24).
    pub(in crate::mqtt) fn is_incomplete(&self) -> bool {
        self.too_large
    }

    /// Packets put here since the last call.
    pub(in crate::mqtt) fn take_packets(&mut self) -> u64 {
        std::mem::take(&mut self.packets)
    }

    /// Makes room at once for what is known to come.
    pub(in crate::mqtt) fn reserve(&mut self, bytes: usize) {
        self.buffer.reserve(bytes);
    }

    /// PUBLISH.
    pub(in crate::mqtt) fn publish(
        &mut self,
        v5: bool,
        parts: &Parts<'_>,
        head: &PublishHeader<'_>,
    ) {
        let layout = Layout::of(v5, parts, head);
        self.header(head.first_byte(), layout.body);
        put_string(&mut self.buffer, head.topic(parts).as_bytes());
        if let Some(packet_id) = head.packet_id {
            self.buffer.put_u16(packet_id);
        }
        if v5 {
            put_varint(&mut self.buffer, layout.properties);
            self.buffer.put_slice(parts.properties);
            if parts.expires_at != 0 {
                self.buffer.put_u8(id::MESSAGE_EXPIRY);
                self.buffer
                    .put_u32(seconds_left(parts.expires_at, head.now));
            }
            if let Some(alias) = head.alias {
                self.buffer.put_u8(id::TOPIC_ALIAS);
                self.buffer.put_u16(alias.number);
            }
            for &subscription in head.subscription_ids {
                self.buffer.put_u8(id::SUBSCRIPTION_ID);
                put_varint(&mut self.buffer, subscription as usize);
            }
        }
        self.buffer.put_slice(parts.payload);
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP; `reason` only for MQTT 5.
    pub(in crate::mqtt) fn ack(&mut self, first: u8, packet_id: u16, reason: Option<Reason>) {
        self.ack_with(first, packet_id, reason, None);
    }

    /// The same with a Reason String of its own, in place of the usual one for the code.
    pub(in crate::mqtt) fn ack_with(
        &mut self,
        first: u8,
        packet_id: u16,
        reason: Option<Reason>,
        words: Option<&str>,
    ) {
        let Some(reason) = reason else {
            self.header(first, 2);
            self.buffer.put_u16(packet_id);
            return;
        };
        let code = self.detail.tells(reason.code());
        // What is to be hidden is in no words, either.
        let own = words.filter(|_| code == reason.code());
        let words = own.map_or_else(
            || reason::explain(code),
            |words| &words[..words.floor_char_boundary(MAX_WORDS)],
        );
        let words = self.room_for(words, 3).filter(|_| self.detail.explains);
        self.header(first, 3 + words.map_or(0, block_len));
        self.buffer.put_u16(packet_id);
        self.buffer.put_u8(code);
        if let Some(words) = words {
            put_reason_string(&mut self.buffer, words);
        }
    }

    /// The words, if a packet with so many bytes of body beside them is not too large (MQTT-3.4.2-2
    /// and its like).
    fn room_for<'a>(&self, words: &'a str, body: usize) -> Option<&'a str> {
        let body = body + block_len(words);
        (1 + varint_len(body) + body <= self.max_packet).then_some(words)
    }

    /// SUBACK.
    pub(in crate::mqtt) fn suback(&mut self, v5: bool, packet_id: u16, codes: &[u8]) {
        self.listed(0x90, v5, packet_id, codes);
    }

    /// UNSUBACK; 3.1.1 has no codes.
    pub(in crate::mqtt) fn unsuback(&mut self, v5: bool, packet_id: u16, codes: &[u8]) {
        self.listed(0xB0, v5, packet_id, if v5 { codes } else { &[] });
    }

    fn listed(&mut self, first: u8, v5: bool, packet_id: u16, codes: &[u8]) {
        let body = 2 + usize::from(v5) + codes.len();
        if 1 + varint_len(body) + body > self.max_packet {
            self.too_large = true;
            return;
        }
        // One string for all: that of the first that was refused.
        let detail = self.detail;
        let codes = codes.iter().map(|&code| detail.tells(code));
        let refused = codes.clone().find(|code| *code >= 0x80);
        let words = refused
            .filter(|_| v5 && detail.explains)
            .and_then(|code| self.room_for(reason::explain(code), body - 1));
        self.header(first, body + words.map_or(0, property_len));
        self.buffer.put_u16(packet_id);
        match words {
            Some(words) => put_reason_string(&mut self.buffer, words),
            None if v5 => self.buffer.put_u8(0),
            None => {}
        }
        self.buffer.extend(codes);
    }

    /// PINGRESP.
    pub(in crate::mqtt) fn pingresp(&mut self) {
        self.header(0xD0, 0);
    }

    /// DISCONNECT, which only MQTT 5 lets a server send.
    pub(in crate::mqtt) fn disconnect(&mut self, reason: Reason) {
        let words = self
            .room_for(reason.explanation(), 1)
            .filter(|_| self.detail.speaks);
        self.header(0xE0, 1 + words.map_or(0, block_len));
        self.buffer.put_u8(reason.code());
        if let Some(words) = words {
            put_reason_string(&mut self.buffer, words);
        }
    }

    /// CONNACK for a client of MQTT 5 that is not let in; nothing, if not even that fits.
    pub(in crate::mqtt) fn connack_refusal(&mut self, reason: Reason) {
        const WITHOUT_WORDS: usize = 5;
        let mut block = BytesMut::new();
        let words = self.room_for(reason.explanation(), 2);
        if let Some(words) = words.filter(|_| self.detail.speaks) {
            put_reason_property(&mut block, words);
        }
        if WITHOUT_WORDS <= self.max_packet {
            self.connack(false, reason.code(), Some(&block));
        }
    }

    /// CONNACK; `properties` encoded, for MQTT 5.
    pub(in crate::mqtt) fn connack(
        &mut self,
        session_present: bool,
        code: u8,
        properties: Option<&[u8]>,
    ) {
        let extra = properties.map_or(0, |block| varint_len(block.len()) + block.len());
        self.header(0x20, 2 + extra);
        self.buffer.put_u8(u8::from(session_present));
        self.buffer.put_u8(code);
        if let Some(block) = properties {
            put_varint(&mut self.buffer, block.len());
            self.buffer.put_slice(block);
        }
    }

    fn header(&mut self, first: u8, body: usize) {
        self.packets += 1;
        self.buffer.reserve(5 + body);
        self.buffer.put_u8(first);
        put_varint(&mut self.buffer, body);
    }
}

/// What a PUBLISH says beside its message.
#[derive(Debug, Clone, Copy)]
pub(in crate::mqtt) struct PublishHeader<'a> {
    pub(in crate::mqtt) qos: Qos,
    pub(in crate::mqtt) retain: bool,
    pub(in crate::mqtt) dup: bool,
    /// For QoS 1 and 2.
    pub(in crate::mqtt) packet_id: Option<u16>,
    pub(in crate::mqtt) subscription_ids: &'a [u32],
    /// For MQTT 5 clients that take them.
    pub(in crate::mqtt) alias: Option<Alias>,
    pub(in crate::mqtt) now: Millis,
}

/// A topic alias (MQTT 5 section 3.3.2.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) struct Alias {
    pub(in crate::mqtt) number: u16,
    /// Whether the client was told before what it stands for.
    pub(in crate::mqtt) known: bool,
}

impl PublishHeader<'_> {
    /// The topic, unless its alias stands for it.
    fn topic<'a>(&self, parts: &Parts<'a>) -> &'a str {
        if self.alias.is_some_and(|alias| alias.known) {
            ""
        } else {
            parts.topic
        }
    }

    fn first_byte(&self) -> u8 {
        0x30 | u8::from(self.dup) << 3 | self.qos.level() << 1 | u8::from(self.retain)
    }
}

/// The size of a PUBLISH on the wire, in bytes.
pub(in crate::mqtt) fn publish_len(v5: bool, parts: &Parts<'_>, head: &PublishHeader<'_>) -> usize {
    let body = Layout::of(v5, parts, head).body;
    1 + varint_len(body) + body
}

struct Layout {
    properties: usize,
    body: usize,
}

impl Layout {
    fn of(v5: bool, parts: &Parts<'_>, head: &PublishHeader<'_>) -> Layout {
        let packet_id = if head.qos == Qos::AtMostOnce { 0 } else { 2 };
        let plain = 2 + head.topic(parts).len() + packet_id + parts.payload.len();
        if !v5 {
            return Layout {
                properties: 0,
                body: plain,
            };
        }
        let expiry = if parts.expires_at == 0 { 0 } else { 5 };
        let ids = head.subscription_ids.iter();
        let ids: usize = ids.map(|&id| 1 + varint_len(id as usize)).sum();
        let alias = if head.alias.is_some() { 3 } else { 0 };
        let properties = parts.properties.len() + expiry + alias + ids;
        Layout {
            properties,
            body: plain + varint_len(properties) + properties,
        }
    }
}

/// What is left of a message's life, in whole seconds and never 0: 0 would say that it has expired.
fn seconds_left(expires_at: Millis, now: Millis) -> u32 {
    let seconds = expires_at.saturating_sub(now).div_ceil(1000).max(1);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The bytes of a Reason String in a property block.
fn property_len(words: &str) -> usize {
    3 + words.len()
}

/// The bytes of a property block with a Reason String alone.
fn block_len(words: &str) -> usize {
    varint_len(property_len(words)) + property_len(words)
}

/// A property block with a Reason String alone.
fn put_reason_string(out: &mut BytesMut, words: &str) {
    put_varint(out, property_len(words));
    put_reason_property(out, words);
}

fn put_reason_property(out: &mut BytesMut, words: &str) {
    out.put_u8(id::REASON_STRING);
    put_string(out, words.as_bytes());
}

pub(in crate::mqtt) fn put_string(out: &mut BytesMut, text: &[u8]) {
    // Topics were read from, or checked against, MQTT's 16 bits.
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.put_u16(len);
    out.put_slice(&text[..usize::from(len)]);
}

fn put_varint(out: &mut BytesMut, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.put_u8(low);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mqtt::codec::{decode, fixed_header};

    proptest! {
        #[test]
        fn publishes_are_as_long_as_announced_and_read_back(v5: bool, level in 0u8..3, retain: bool, id in 1u16..,
                                                            payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let qos = Qos::from_level(level).unwrap();
            let parts = Parts { topic: "a/b", expires_at: 5_000, payload: &payload, ..Parts::default() };
            let head = PublishHeader { qos, retain, dup: false, packet_id: (level > 0).then_some(id), subscription_ids: &[], alias: None, now: 1 };
            let mut out = Output::default();
            out.publish(v5, &parts, &head);
            prop_assert_eq!(out.len(), publish_len(v5, &parts, &head));
            let frame = fixed_header::first(out.pending(), usize::MAX).unwrap().unwrap();
            let read = decode::publish(v5, frame.first, &out.pending()[frame.header..]).unwrap();
            prop_assert_eq!(read.payload, &payload[..]);
            prop_assert_eq!((read.qos, read.retain, read.packet_id), (qos, retain, head.packet_id));
            prop_assert_eq!(read.properties.expiry, v5.then_some(5));
        }
    }

    #[test]
    fn a_message_about_to_expire_still_has_a_second() {
        assert_eq!(seconds_left(10_001, 10_000), 1);
        assert_eq!(seconds_left(12_001, 10_000), 3);
    }

    #[test]
    fn emptied_output_holds_no_memory() {
        let mut out = Output::default();
        out.pingresp();
        assert_eq!(out.position(), 2);
        out.advance(2);
        assert_eq!(
            (out.written(), out.take_packets(), out.buffer.capacity()),
            (2, 1, 0)
        );
    }

    #[test]
    fn a_gateway_that_is_to_say_no_words_says_none() {
        for speaks in [true, false] {
            let mut out = Output::default();
            out.configure(usize::MAX, ErrorDetail::at_the_door(speaks));
            out.connack_refusal(Reason::BadCredentials);
            out.disconnect(Reason::Protocol);
            let told = String::from_utf8_lossy(out.pending());
            let words = told.matches("wrong").count() + told.matches("protocol error").count();
            assert_eq!(words, if speaks { 2 } else { 0 }, "{told}");
            assert!(speaks || out.pending() == [0x20, 3, 0, 0x86, 0, 0xE0, 1, 0x82]);
        }
    }

    #[test]
    fn what_is_not_to_be_revealed_is_in_no_code_and_in_no_words() {
        for reveals in [true, false] {
            let detail = ErrorDetail {
                speaks: true,
                explains: true,
                reveals,
            };
            let mut out = Output::default();
            out.configure(usize::MAX, detail);
            out.ack(PUBACK, 1, Some(Reason::NotAuthorized));
            out.suback(true, 2, &[1, Reason::NotAuthorized.code()]);
            let told = String::from_utf8_lossy(out.pending());
            assert_eq!(told.matches("not allowed").count() == 2, reveals, "{told}");
            assert_eq!(out.pending().contains(&0x87), reveals);
            assert_eq!(out.pending().contains(&0x80), !reveals);
        }
    }
}

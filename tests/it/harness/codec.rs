//! Bytes of the packets: what a client may send is encoded, what a gateway may send is decoded
//! strictly.

use super::packet::{Ack, Connect, Packet, Publish, Version};
use super::properties::{Properties, Value, type_of};

/// Why bytes are no packet that a server may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

type Read<T> = Result<T, Malformed>;

fn malformed<T>(why: impl Into<String>) -> Read<T> {
    Err(Malformed(why.into()))
}

/// The packet as it goes onto the wire.
pub(crate) fn encode(packet: &Packet, version: Version) -> Vec<u8> {
    let mut body = Writer(Vec::new(), version);
    let first = match packet {
        Packet::Connect(connect) => {
            body.connect(connect);
            0x10
        }
        Packet::Publish(publish) => body.publish(publish),
        Packet::PubAck(ack) => body.ack(*ack, 0x40),
        Packet::PubRec(ack) => body.ack(*ack, 0x50),
        Packet::PubRel(ack) => body.ack(*ack, 0x62),
        Packet::PubComp(ack) => body.ack(*ack, 0x70),
        Packet::Subscribe {
            packet_id,
            filters,
            properties,
        } => {
            body.two(*packet_id);
            body.properties(properties);
            for (filter, options) in filters {
                body.text(filter);
                body.0.push(*options);
            }
            0x82
        }
        Packet::Unsubscribe { packet_id, filters } => {
            body.two(*packet_id);
            body.properties(&Properties::new());
            filters.iter().for_each(|filter| body.text(filter));
            0xA2
        }
        Packet::PingReq => 0xC0,
        Packet::Disconnect { code, properties } => {
            if version == Version::V5 && (*code != 0 || !properties.0.is_empty()) {
                body.0.push(*code);
                body.properties(properties);
            }
            0xE0
        }
        Packet::ConnAck { .. }
        | Packet::SubAck { .. }
        | Packet::UnsubAck { .. }
        | Packet::PingResp => {
            panic!("a client never sends {packet:?}")
        }
    };
    let mut out = Writer(vec![first], version);
    out.variable(u32::try_from(body.0.len()).expect("a packet of a test fits"));
    out.0.extend(body.0);
    out.0
}

struct Writer(Vec<u8>, Version);

impl Writer {
    fn two(&mut self, number: u16) {
        self.0.extend(number.to_be_bytes());
    }

    fn variable(&mut self, mut number: u32) {
        loop {
            let byte = (number % 128) as u8;
            number /= 128;
            self.0.push(if number > 0 { byte | 0x80 } else { byte });
            if number == 0 {
                return;
            }
        }
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.two(u16::try_from(bytes.len()).expect("a field of a test fits"));
        self.0.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        self.binary(text.as_bytes());
    }

    fn properties(&mut self, properties: &Properties) {
        if self.1 == Version::V311 {
            return;
        }
        let mut inner = Writer(Vec::new(), self.1);
        for (id, value) in &properties.0 {
            inner.variable(u32::from(*id));
            match value {
                Value::Byte(byte) => inner.0.push(*byte),
                Value::Two(number) => inner.two(*number),
                Value::Four(number) => inner.0.extend(number.to_be_bytes()),
                Value::Variable(number) => inner.variable(*number),
                Value::Text(text) => inner.text(text),
                Value::Binary(bytes) => inner.binary(bytes),
                Value::Pair(name, value) => {
                    inner.text(name);
                    inner.text(value);
                }
            }
        }
        self.variable(u32::try_from(inner.0.len()).expect("properties of a test fit"));
        self.0.extend(inner.0);
    }

    fn connect(&mut self, connect: &Connect) {
        self.text("MQTT");
        self.0.push(match self.1 {
            Version::V311 => 4,
            Version::V5 => 5,
        });
        let mut flags = u8::from(connect.clean) << 1;
        if let Some(will) = &connect.will {
            flags |= 0x04 | (will.qos << 3) | (u8::from(will.retain) << 5);
        }
        flags |= u8::from(connect.password.is_some()) << 6;
        flags |= u8::from(connect.username.is_some()) << 7;
        self.0.push(flags);
        self.two(connect.keep_alive);
        self.properties(&connect.properties);
        self.text(&connect.client_id);
        if let Some(will) = &connect.will {
            self.properties(&will.properties);
            self.text(&will.topic);
            self.binary(&will.payload);
        }
        if let Some(username) = &connect.username {
            self.text(username);
        }
        if let Some(password) = &connect.password {
            self.binary(password);
        }
    }

    fn publish(&mut self, publish: &Publish) -> u8 {
        self.text(&publish.topic);
        if let Some(packet_id) = publish.packet_id {
            self.two(packet_id);
        }
        self.properties(&publish.properties);
        self.0.extend(&publish.payload);
        0x30 | (u8::from(publish.dup) << 3) | (publish.qos << 1) | u8::from(publish.retain)
    }

    fn ack(&mut self, ack: Ack, first: u8) -> u8 {
        self.two(ack.packet_id);
        if self.1 == Version::V5 && ack.code != 0 {
            self.0.push(ack.code);
        }
        first
    }
}

/// Takes one packet off the front of the buffer; `None` if it is not complete yet.
pub(crate) fn decode(buffer: &mut Vec<u8>, version: Version) -> Read<Option<Packet>> {
    let Some((length, header)) = remaining_length(buffer)? else {
        return Ok(None);
    };
    if buffer.len() < header + length {
        return Ok(None);
    }
    let packet: Vec<u8> = buffer.drain(..header + length).collect();
    let mut body = Reader(&packet[header..], version);
    let decoded = body.packet(packet[0])?;
    if body.0.is_empty() {
        Ok(Some(decoded))
    } else {
        malformed(format!(
            "{} bytes after the end of {decoded:?}",
            body.0.len()
        ))
    }
}

/// Remaining Length and how many bytes the fixed header has (section 2.2.3).
fn remaining_length(buffer: &[u8]) -> Read<Option<(usize, usize)>> {
    let mut length = 0;
    for at in 1..=4 {
        let Some(byte) = buffer.get(at) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return Ok(Some((length, at + 1)));
        }
    }
    malformed("a remaining length of more than four bytes")
}

struct Reader<'a>(&'a [u8], Version);

const CONNACK: &[u8] = &[
    0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29,
    0x2A,
];
const PUBLISH: &[u8] = &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26];
const REASON: &[u8] = &[0x1F, 0x26];
const DISCONNECT: &[u8] = &[0x1C, 0x1F, 0x26];

impl<'a> Reader<'a> {
    fn packet(&mut self, first: u8) -> Read<Packet> {
        let flags = first & 0x0F;
        let expected = match first >> 4 {
            3 => return self.publish(flags).map(Packet::Publish),
            6 => 2,
            _ => 0,
        };
        if flags != expected {
            return malformed(format!(
                "flags {flags:#x} in a packet that begins with {first:#x}"
            ));
        }
        Ok(match first >> 4 {
            2 => self.connack()?,
            4 => Packet::PubAck(self.ack()?),
            5 => Packet::PubRec(self.ack()?),
            6 => Packet::PubRel(self.ack()?),
            7 => Packet::PubComp(self.ack()?),
            9 => {
                let (packet_id, codes) = self.codes()?;
                if codes.is_empty() {
                    return malformed("SUBACK without codes");
                }
                Packet::SubAck { packet_id, codes }
            }
            11 => {
                let (packet_id, codes) = self.codes()?;
                Packet::UnsubAck { packet_id, codes }
            }
            13 => Packet::PingResp,
            14 if self.1 == Version::V5 => self.disconnect()?,
            kind => return malformed(format!("packet type {kind}, which a server never sends")),
        })
    }

    fn connack(&mut self) -> Read<Packet> {
        let present = self.byte()?;
        if present > 1 {
            return malformed(format!("CONNACK flags {present:#x}"));
        }
        Ok(Packet::ConnAck {
            session_present: present == 1,
            code: self.byte()?,
            properties: self.properties(CONNACK)?,
        })
    }

    fn publish(&mut self, flags: u8) -> Read<Publish> {
        let qos = (flags >> 1) & 3;
        let dup = flags & 8 != 0;
        if qos == 3 || (qos == 0 && dup) {
            return malformed(format!("PUBLISH flags {flags:#x}"));
        }
        let topic = self.text()?;
        if topic.contains(['+', '#']) {
            return malformed(format!("a wildcard in the topic {topic:?}"));
        }
        let packet_id = if qos > 0 {
            Some(self.packet_id()?)
        } else {
            None
        };
        let properties = self.properties(PUBLISH)?;
        Ok(Publish {
            dup,
            qos,
            retain: flags & 1 != 0,
            topic,
            packet_id,
            properties,
            payload: std::mem::take(&mut self.0).to_vec(),
        })
    }

    fn ack(&mut self) -> Read<Ack> {
        let packet_id = self.packet_id()?;
        let (code, _) = self.reason(REASON)?;
        Ok(Ack { packet_id, code })
    }

    fn disconnect(&mut self) -> Read<Packet> {
        let (code, properties) = self.reason(DISCONNECT)?;
        Ok(Packet::Disconnect { code, properties })
    }

    /// A reason code and properties, both of which MQTT 5 may leave out at the end.
    fn reason(&mut self, allowed: &[u8]) -> Read<(u8, Properties)> {
        if self.1 == Version::V311 || self.0.is_empty() {
            return Ok((0, Properties::new()));
        }
        let code = self.byte()?;
        if self.0.is_empty() {
            return Ok((code, Properties::new()));
        }
        Ok((code, self.properties(allowed)?))
    }

    fn codes(&mut self) -> Read<(u16, Vec<u8>)> {
        let packet_id = self.packet_id()?;
        self.properties(REASON)?;
        Ok((packet_id, std::mem::take(&mut self.0).to_vec()))
    }

    fn properties(&mut self, allowed: &[u8]) -> Read<Properties> {
        if self.1 == Version::V311 {
            return Ok(Properties::new());
        }
        let length = self.variable()? as usize;
        let mut inner = Reader(self.take(length)?, self.1);
        let mut found = Properties::new();
        while !inner.0.is_empty() {
            let id = inner.byte()?;
            if !allowed.contains(&id) {
                return malformed(format!("property {id:#x} is not allowed here"));
            }
            if !matches!(id, 0x26 | 0x0B) && found.find(id).is_some() {
                return malformed(format!("property {id:#x} stands here twice"));
            }
            found.0.push((id, inner.value(id)?));
        }
        Ok(found)
    }

    fn value(&mut self, id: u8) -> Read<Value> {
        Ok(match type_of(id) {
            None => return malformed(format!("there is no property {id:#x}")),
            Some(Value::Byte(_)) => Value::Byte(self.byte()?),
            Some(Value::Two(_)) => Value::Two(self.two()?),
            Some(Value::Four(_)) => {
                let bytes = self.take(4)?;
                Value::Four(
                    bytes
                        .iter()
                        .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
                )
            }
            Some(Value::Variable(_)) => Value::Variable(self.variable()?),
            Some(Value::Text(_)) => Value::Text(self.text()?),
            Some(Value::Binary(_)) => Value::Binary(self.binary()?.to_vec()),
            Some(Value::Pair(..)) => Value::Pair(self.text()?, self.text()?),
        })
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            return malformed(format!("{count} bytes expected, {} there", self.0.len()));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Read<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn two(&mut self) -> Read<u16> {
        self.take(2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn packet_id(&mut self) -> Read<u16> {
        match self.two()? {
            0 => malformed("packet id 0"),
            id => Ok(id),
        }
    }

    fn variable(&mut self) -> Read<u32> {
        let mut number = 0;
        for shift in 0..4 {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7F) << (7 * shift);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        malformed("a variable byte integer of more than four bytes")
    }

    fn binary(&mut self) -> Read<&'a [u8]> {
        let length = usize::from(self.two()?);
        self.take(length)
    }

    fn text(&mut self) -> Read<String> {
        match std::str::from_utf8(self.binary()?) {
            Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
            _ => malformed("text that is no UTF-8 or contains the null character"),
        }
    }
}

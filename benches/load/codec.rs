//! The few MQTT 3.1.1 packets that the load clients speak, to and from bytes. Trusts the broker to
//! be a broker: checks what it needs to stay in step with the stream, judges nothing else, and does
//! no input or output. Called by `client`.

use anyhow::{Result, bail};

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

/// A packet from the broker, borrowed from the receive buffer.
pub(crate) enum Packet<'a> {
    ConnAck { code: u8 },
    Publish(Publish<'a>),
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    SubAck { codes: &'a [u8] },
    Other,
}

/// A delivered message; `packet_id` is 0 at QoS 0.
pub(crate) struct Publish<'a> {
    pub(crate) topic: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) packet_id: u16,
}

impl Publish<'_> {
    /// Queues the first answer that this message's QoS asks for (MQTT-4.3.2-2, MQTT-4.3.3-2).
    pub(crate) fn acknowledge(&self, out: &mut Vec<u8>) {
        match self.qos {
            0 => {}
            1 => ack(out, PUBACK, self.packet_id),
            _ => ack(out, PUBREC, self.packet_id),
        }
    }
}

/// The packet at the start of `bytes` and its length, or `None` while it is incomplete.
///
/// # Errors
/// When the bytes cannot be the start of a packet.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>> {
    let Some((header, total)) = frame(bytes)? else {
        return Ok(None);
    };
    let Some(body) = bytes.get(header..total) else {
        return Ok(None);
    };
    let packet = match bytes[0] >> 4 {
        2 => Packet::ConnAck {
            code: byte(body, 1)?,
        },
        3 => Packet::Publish(publish_body(bytes[0], body)?),
        4 => Packet::PubAck(short(body, 0)?),
        5 => Packet::PubRec(short(body, 0)?),
        6 => Packet::PubRel(short(body, 0)?),
        7 => Packet::PubComp(short(body, 0)?),
        9 => Packet::SubAck {
            codes: body.get(2..).unwrap_or_default(),
        },
        _ => Packet::Other,
    };
    Ok(Some((packet, total)))
}

/// Lengths of the fixed header and of the whole packet (MQTT 3.1.1 section 2.2.3).
fn frame(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut length = 0;
    for position in 1..=4 {
        let Some(&digit) = bytes.get(position) else {
            return Ok(None);
        };
        length |= usize::from(digit & 0x7f) << (7 * (position - 1));
        if digit & 0x80 == 0 {
            return Ok(Some((position + 1, position + 1 + length)));
        }
    }
    bail!("expected a remaining length of at most 4 bytes, the broker sent a fifth")
}

fn publish_body(first: u8, body: &[u8]) -> Result<Publish<'_>> {
    let qos = (first >> 1) & 3;
    let topic_end = 2 + usize::from(short(body, 0)?);
    let (packet_id, start) = if qos == 0 {
        (0, topic_end)
    } else {
        (short(body, topic_end)?, topic_end + 2)
    };
    match (body.get(2..topic_end), body.get(start..)) {
        (Some(topic), Some(payload)) => Ok(Publish {
            topic,
            payload,
            qos,
            packet_id,
        }),
        _ => bail!(
            "expected a topic of {} bytes in a PUBLISH, the packet has {}",
            topic_end - 2,
            body.len()
        ),
    }
}

fn byte(body: &[u8], at: usize) -> Result<u8> {
    match body.get(at) {
        Some(&byte) => Ok(byte),
        None => bail!(
            "expected more than {at} bytes in a packet, the broker sent {}",
            body.len()
        ),
    }
}

fn short(body: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_be_bytes([byte(body, at)?, byte(body, at + 1)?]))
}

/// Longer than any run.
const KEEP_ALIVE_SECONDS: u16 = 7200;

/// Appends a CONNECT with a keep-alive longer than any run: a load client is either busy or meant
/// to be silent, and rumqttd refuses 0.
pub(crate) fn connect(out: &mut Vec<u8>, client_id: &str, clean: bool) {
    out.push(0x10);
    remaining_length(out, 10 + 2 + client_id.len());
    string(out, "MQTT");
    out.extend([4, if clean { 2 } else { 0 }]);
    out.extend(KEEP_ALIVE_SECONDS.to_be_bytes());
    string(out, client_id);
}

/// Appends a SUBSCRIBE of every filter at `qos`.
pub(crate) fn subscribe(out: &mut Vec<u8>, packet_id: u16, filters: &[&str], qos: u8) {
    out.push(0x82);
    remaining_length(
        out,
        2 + filters.iter().map(|filter| filter.len() + 3).sum::<usize>(),
    );
    out.extend(packet_id.to_be_bytes());
    for filter in filters {
        string(out, filter);
        out.push(qos);
    }
}

/// Appends a PUBLISH; `packet_id` is not written at QoS 0.
pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, qos: u8, packet_id: u16, payload: &[u8]) {
    let id_length = if qos == 0 { 0 } else { 2 };
    out.push(0x30 | qos << 1);
    remaining_length(out, 2 + topic.len() + id_length + payload.len());
    string(out, topic);
    if qos > 0 {
        out.extend(packet_id.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// Appends a PUBREL, the publisher's answer to PUBREC.
pub(crate) fn release(out: &mut Vec<u8>, packet_id: u16) {
    ack(out, PUBREL, packet_id);
}

/// Appends a PUBCOMP, the receiver's answer to PUBREL.
pub(crate) fn complete(out: &mut Vec<u8>, packet_id: u16) {
    ack(out, PUBCOMP, packet_id);
}

fn ack(out: &mut Vec<u8>, first: u8, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend([first, 2, high, low]);
}

fn string(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("topics and ids of the load program are short");
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
}

fn remaining_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let digit = u8::try_from(length & 0x7f).expect("seven bits fit a byte");
        length >>= 7;
        if length == 0 {
            return out.push(digit);
        }
        out.push(digit | 0x80);
    }
}

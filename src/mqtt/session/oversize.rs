//! Packets larger than `mqtt.max_packet`: whether they cost the connection, or are read away
//! without being held.
//!
//! MQTT 5 clients are told the limit in CONNACK; who exceeds it is told 0x95 and closed, as
//! MQTT-4.13.1-1 asks. 3.1.1 knows no such limit: a QoS 0 publish is read away and dropped at once.
//! One of QoS 1 or 2 costs the connection, for its acknowledgement would be a promise, until it has
//! done so twice (see `poison`); then it is read away, too, and acknowledged (MQTT 5: refused with
//! 0x97).

use crate::live::Plane;
use crate::mqtt::codec::fixed_header::{self, FixedHeader, PacketType};
use crate::mqtt::codec::reason::Reason;
use crate::wire::message::Qos;

use super::ClientSession;
use super::poison::Cause;

/// A packet that is read away.
#[derive(Debug)]
pub(super) struct Oversize {
    left: usize,
    bytes: usize,
    topic: Box<str>,
    qos: Qos,
    packet_id: Option<u16>,
}

/// What the beginning of a PUBLISH tells.
struct PublishBeginning<'a> {
    topic: &'a str,
    packet_id: Option<u16>,
}

impl<P: Plane> ClientSession<P> {
    /// A packet's header tells that it is too large. Whether it is read away, or its beginning
    /// awaited; else the session is over.
    pub(super) fn on_oversize(&mut self, input: &[u8]) {
        let head = match fixed_header::read(input) {
            Ok(Some(head)) => head,
            // The caller has read the header.
            Ok(None) => return,
            Err(reason) => return self.refuse(reason),
        };
        match self.judge_oversize(head, input) {
            Ok(Some(oversize)) => self.oversize = Some(Box::new(oversize)),
            Ok(None) => {}
            Err(reason) => {
                if reason == Reason::PacketTooLarge {
                    let (bytes, most) = (head.len(), self.config.mqtt.max_packet.0);
                    self.detail = format!(": {bytes} bytes, mqtt.max_packet is {most}").into();
                }
                self.refuse(reason);
            }
        }
    }

    /// `None` until the topic and the packet id are here.
    fn judge_oversize(&self, head: FixedHeader, input: &[u8]) -> Result<Option<Oversize>, Reason> {
        let publishes = fixed_header::packet_type(head.first)? == PacketType::Publish;
        let qos = Qos::from_level(head.first >> 1 & 0b11).ok_or(Reason::Malformed)?;
        let too_large = !publishes
            || head.len() > self.config.mqtt.max_discarded.0
            || (self.client.v5 && qos == Qos::AtMostOnce);
        // Who is to be closed is told as soon as the header is here.
        if too_large || (qos > Qos::AtMostOnce && !self.swallows(Cause::TooLarge)) {
            return Err(Reason::PacketTooLarge);
        }
        let Some(begun) = read_head(qos, &input[head.header..])? else {
            return Ok(None);
        };
        Ok(Some(Oversize {
            left: head.len(),
            bytes: head.len(),
            topic: begun.topic.into(),
            qos,
            packet_id: begun.packet_id,
        }))
    }

    /// Reads away what is here of a packet that is too large; how many bytes that was. At its end
    /// it is answered.
    pub(super) fn read_away(&mut self, input: &[u8]) -> usize {
        let Some(oversize) = &self.oversize else {
            return 0;
        };
        let here = oversize.left.min(input.len());
        if here == 0 || !self.in_time(false, here) {
            return 0;
        }
        let Some(mut oversize) = self.oversize.take() else {
            return 0;
        };
        oversize.left -= here;
        if oversize.left > 0 {
            self.oversize = Some(oversize);
            return here;
        }
        self.io.metrics.packets_received.add(1);
        if let Some(id) = oversize.packet_id {
            self.turn_away(id, oversize.qos, Reason::QuotaExceeded);
        }
        self.tell_of_dropped(Cause::TooLarge, &oversize.topic, oversize.bytes);
        here
    }
}

/// Topic and packet id, as soon as they are here.
fn read_head(qos: Qos, body: &[u8]) -> Result<Option<PublishBeginning<'_>>, Reason> {
    let Some((&[high, low], rest)) = body.split_first_chunk() else {
        return Ok(None);
    };
    let Some((topic, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))
    else {
        return Ok(None);
    };
    let topic = std::str::from_utf8(topic).map_err(|_| Reason::Malformed)?;
    if qos == Qos::AtMostOnce {
        return Ok(Some(PublishBeginning {
            topic,
            packet_id: None,
        }));
    }
    let Some((&id, _)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    match u16::from_be_bytes(id) {
        // MQTT-2.2.1-3.
        0 => Err(Reason::Protocol),
        id => Ok(Some(PublishBeginning {
            topic,
            packet_id: Some(id),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_publish_is_read_as_it_comes() {
        let body = b"\x00\x03a/b\x01\x02rest";
        for end in 0..7 {
            let read = read_head(Qos::AtLeastOnce, &body[..end]);
            assert!(matches!(read, Ok(None)), "{end}");
        }
        let head = read_head(Qos::AtLeastOnce, body).unwrap().unwrap();
        assert_eq!((head.topic, head.packet_id), ("a/b", Some(0x102)));
        let head = read_head(Qos::AtMostOnce, &body[..5]).unwrap().unwrap();
        assert_eq!((head.topic, head.packet_id), ("a/b", None));
        assert!(read_head(Qos::AtLeastOnce, b"\x00\x01a\x00\x00").is_err());
        assert!(read_head(Qos::AtMostOnce, b"\x00\x01\xff").is_err());
    }
}

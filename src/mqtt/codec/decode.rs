//! Packets from clients, as far as a session wants to know them.
//!
//! All are read by hand and strictly: what is let through here is well formed, and what comes
//! twice, too long or in the wrong place is not.

use crate::desk::port::RetainHandling;
use crate::wire::filter::check_name;
use crate::wire::message::Qos;

use super::fields;
use super::fixed_header::PacketType;
use super::properties::{Properties, id};
use super::reader::PacketReader;
use super::reason::Reason;

/// PUBLISH, borrowed from the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mqtt) struct Publish<'a> {
    pub(in crate::mqtt) qos: Qos,
    pub(in crate::mqtt) retain: bool,
    /// Empty if only the topic alias names it.
    pub(in crate::mqtt) topic: &'a str,
    /// For QoS 1 and 2.
    pub(in crate::mqtt) packet_id: Option<u16>,
    pub(in crate::mqtt) properties: Properties<'a>,
    pub(in crate::mqtt) payload: &'a [u8],
}

/// Reads PUBLISH (MQTT 5 section 3.3).
pub(in crate::mqtt) fn publish(v5: bool, first: u8, body: &[u8]) -> Result<Publish<'_>, Reason> {
    let qos = Qos::from_level(first >> 1 & 0b11).ok_or(Reason::Malformed)?;
    let dup = first & 0b1000 != 0;
    if dup && qos == Qos::AtMostOnce {
        // MQTT-3.3.1-2.
        return Err(Reason::Malformed);
    }
    let mut reader = PacketReader::new(body);
    let topic = reader.string()?;
    let packet_id = match qos {
        Qos::AtMostOnce => None,
        _ => Some(reader.packet_id()?),
    };
    let properties = if v5 {
        let len = reader.varint()?;
        Properties::parse(reader.take(len)?)?
    } else {
        Properties::default()
    };
    if !(topic.is_empty() && properties.alias.is_some()) {
        check_name(topic)?;
    }
    Ok(Publish {
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        properties,
        payload: reader.rest(),
    })
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) struct Ack {
    pub(in crate::mqtt) packet_id: u16,
    /// The reason code, if there is one, is below 0x80.
    pub(in crate::mqtt) success: bool,
}

/// Reads an ack (MQTT 5 sections 3.4 to 3.7).
pub(in crate::mqtt) fn ack(v5: bool, kind: PacketType, body: &[u8]) -> Result<Ack, Reason> {
    let mut reader = PacketReader::new(body);
    let packet_id = reader.packet_id()?;
    if reader.is_empty() {
        return Ok(Ack {
            packet_id,
            success: true,
        });
    }
    if !v5 {
        return Err(Reason::Malformed);
    }
    let code = reader.u8()?;
    let known = match kind {
        PacketType::Puback | PacketType::Pubrec => {
            matches!(
                code,
                0 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99
            )
        }
        _ => matches!(code, 0 | 0x92),
    };
    if !known {
        return Err(Reason::Malformed);
    }
    if !reader.is_empty() {
        fields::read(&mut reader, &WORDS, |_, _, _| Ok(()))?;
    }
    end(reader)?;
    Ok(Ack {
        packet_id,
        success: code < 0x80,
    })
}

/// The properties of whatever carries a reason code.
const WORDS: [u8; 2] = [id::REASON_STRING, id::USER_PROPERTY];

/// A body must be used up.
fn end(reader: PacketReader<'_>) -> Result<(), Reason> {
    if reader.is_empty() {
        Ok(())
    } else {
        Err(Reason::Malformed)
    }
}

/// SUBSCRIBE.
#[derive(Debug)]
pub(in crate::mqtt) struct Subscribe {
    pub(in crate::mqtt) packet_id: u16,
    /// Subscription Identifier.
    pub(in crate::mqtt) id: Option<u32>,
    pub(in crate::mqtt) entries: Vec<RequestedFilter>,
}

/// One filter of a SUBSCRIBE, unchecked.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mqtt) struct RequestedFilter {
    pub(in crate::mqtt) filter: String,
    pub(in crate::mqtt) qos: Qos,
    pub(in crate::mqtt) no_local: bool,
    pub(in crate::mqtt) retain_as_published: bool,
    pub(in crate::mqtt) retain_handling: RetainHandling,
}

/// Reads SUBSCRIBE (MQTT 5 section 3.8).
pub(in crate::mqtt) fn subscribe(v5: bool, body: &[u8]) -> Result<Subscribe, Reason> {
    let mut reader = PacketReader::new(body);
    let packet_id = reader.packet_id()?;
    let mut id = None;
    if v5 {
        let allowed = [id::SUBSCRIPTION_ID, id::USER_PROPERTY];
        fields::read(&mut reader, &allowed, |property, value, _| {
            if property == id::SUBSCRIPTION_ID {
                id = Some(value.number());
            }
            Ok(())
        })?;
    }
    if id == Some(0) || reader.is_empty() {
        return Err(Reason::Protocol);
    }
    let mut entries = Vec::new();
    while !reader.is_empty() {
        let filter = reader.string()?.to_owned();
        entries.push(entry(v5, filter, reader.u8()?)?);
    }
    Ok(Subscribe {
        packet_id,
        id,
        entries,
    })
}

/// Reads Subscription Options (MQTT 5 section 3.8.3.1).
fn entry(v5: bool, filter: String, options: u8) -> Result<RequestedFilter, Reason> {
    // On 3.1.1 all but the QoS is reserved (MQTT-3.8.3-4 there).
    let reserved = if v5 { 0b1100_0000 } else { 0b1111_1100 };
    if options & reserved != 0 {
        return Err(Reason::Malformed);
    }
    Ok(RequestedFilter {
        filter,
        qos: Qos::from_level(options & 0b11).ok_or(Reason::Protocol)?,
        no_local: options & 0b100 != 0,
        retain_as_published: options & 0b1000 != 0,
        retain_handling: match options >> 4 & 0b11 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return Err(Reason::Protocol),
        },
    })
}

/// Reads UNSUBSCRIBE (MQTT 5 section 3.10): packet id and filters, unchecked.
pub(in crate::mqtt) fn unsubscribe(v5: bool, body: &[u8]) -> Result<(u16, Vec<String>), Reason> {
    let mut reader = PacketReader::new(body);
    let packet_id = reader.packet_id()?;
    if v5 {
        fields::read(&mut reader, &[id::USER_PROPERTY], |_, _, _| Ok(()))?;
    }
    if reader.is_empty() {
        return Err(Reason::Protocol);
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.string()?.to_owned());
    }
    Ok((packet_id, filters))
}

/// DISCONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) struct Disconnect {
    /// The client wants its will published all the same (0x04), or left with an error.
    pub(in crate::mqtt) publish_will: bool,
    /// A new Session Expiry Interval, in seconds.
    pub(in crate::mqtt) expiry: Option<u32>,
}

/// Reads DISCONNECT (MQTT 5 section 3.14).
pub(in crate::mqtt) fn disconnect(v5: bool, body: &[u8]) -> Result<Disconnect, Reason> {
    let mut reader = PacketReader::new(body);
    let mut disconnect = Disconnect {
        publish_will: false,
        expiry: None,
    };
    if v5 && !reader.is_empty() {
        let code = reader.u8()?;
        let known = matches!(code, 0 | 4 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2);
        if !known {
            return Err(Reason::Malformed);
        }
        disconnect.publish_will = code != 0;
    }
    if v5 && !reader.is_empty() {
        let allowed = [
            id::SESSION_EXPIRY,
            id::REASON_STRING,
            id::SERVER_REFERENCE,
            id::USER_PROPERTY,
        ];
        fields::read(&mut reader, &allowed, |property, value, _| {
            if property == id::SESSION_EXPIRY {
                disconnect.expiry = Some(value.number());
            }
            Ok(())
        })?;
    }
    end(reader)?;
    Ok(disconnect)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn publish_is_read_without_copying() {
        let body = b"\x00\x03a/b\x00\x07\x00hi";
        let packet = publish(true, 0x33, body).unwrap();
        assert_eq!((packet.topic, packet.packet_id), ("a/b", Some(7)));
        assert_eq!((packet.qos, packet.retain), (Qos::AtLeastOnce, true));
        assert_eq!(packet.payload, b"hi");
    }

    #[test]
    fn bad_publishes_are_refused() {
        for (first, body, reason) in [
            (0x36, &b"\x00\x01a\x00\x01"[..], Reason::Malformed),
            (0x38, b"\x00\x01a", Reason::Malformed),
            (0x32, b"\x00\x01a\x00\x00", Reason::Protocol),
            (0x30, b"\x00\x00", Reason::Protocol),
            (0x30, b"\x00\x01\xff", Reason::Malformed),
            (0x30, b"\x00\x02a\x00", Reason::Malformed),
            (0x30, b"\x00\x03a/#", Reason::TopicNameInvalid),
            (0x30, b"\x00\x09a", Reason::Malformed),
        ] {
            assert_eq!(publish(false, first, body), Err(reason), "{body:?}");
        }
    }

    #[test]
    fn subscriptions_with_reserved_bits_are_refused() {
        let body = b"\x00\x01\x00\x01a\x04";
        assert_eq!(subscribe(false, body).unwrap_err(), Reason::Malformed);
        assert!(subscribe(true, b"\x00\x01\x00\x00\x01a\x2d").is_ok());
        assert_eq!(
            subscribe(true, b"\x00\x00\x00\x00\x01a\x00").unwrap_err(),
            Reason::Protocol
        );
        assert!(subscribe(true, b"\x00\x01\x00").is_err(), "no filters");
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(v5: bool, first: u8, body: Vec<u8>) {
            let _ = publish(v5, first, &body);
            let _ = subscribe(v5, &body);
            let _ = unsubscribe(v5, &body);
            let _ = disconnect(v5, &body);
            for kind in [PacketType::Puback, PacketType::Pubrec, PacketType::Pubrel, PacketType::Pubcomp] {
                let _ = ack(v5, kind, &body);
            }
        }
    }
}

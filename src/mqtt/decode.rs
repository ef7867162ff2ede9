//! Packets from clients, as far as a session wants to know them.
//!
//! PUBLISH and the short acks are read by hand, without a copy, because they are what a busy connection consists of. The rest is
//! parsed by mqtt-protocol-core; the checks it leaves to others are made here.

use mqtt_protocol_core::mqtt::packet::{
    Property, RetainHandling as Handling, SubEntry, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError};

use crate::desk::port::RetainHandling;
use crate::wire::filter::check_name;
use crate::wire::message::Qos;

use super::frame::Kind;
use super::properties::Properties;
use super::reader::Reader;
use super::reason::Reason;

/// PUBLISH, borrowed from the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Publish<'a> {
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// Empty if only the topic alias names it.
    pub(super) topic: &'a str,
    /// For QoS 1 and 2.
    pub(super) packet_id: Option<u16>,
    pub(super) properties: Properties<'a>,
    pub(super) payload: &'a [u8],
}

/// Reads PUBLISH (MQTT 5 section 3.3).
pub(super) fn publish(v5: bool, first: u8, body: &[u8]) -> Result<Publish<'_>, Reason> {
    let qos = Qos::from_level(first >> 1 & 0b11).ok_or(Reason::Malformed)?;
    let dup = first & 0b1000 != 0;
    if dup && qos == Qos::AtMostOnce {
        // MQTT-3.3.1-2.
        return Err(Reason::Malformed);
    }
    let mut reader = Reader::new(body);
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
pub(super) struct Ack {
    pub(super) packet_id: u16,
    /// The reason code, if there is one, is below 0x80.
    pub(super) success: bool,
}

/// Reads an ack (MQTT 5 sections 3.4 to 3.7).
pub(super) fn ack(v5: bool, kind: Kind, body: &[u8]) -> Result<Ack, Reason> {
    let packet_id = Reader::new(body).packet_id()?;
    if body.len() == 2 {
        return Ok(Ack {
            packet_id,
            success: true,
        });
    }
    if !v5 {
        return Err(Reason::Malformed);
    }
    match kind {
        Kind::Puback => exact(body, v5_0::Puback::parse).map(drop),
        Kind::Pubrec => exact(body, v5_0::Pubrec::parse).map(drop),
        Kind::Pubrel => exact(body, v5_0::Pubrel::parse).map(drop),
        _ => exact(body, v5_0::Pubcomp::parse).map(drop),
    }?;
    Ok(Ack {
        packet_id,
        success: body[2] < 0x80,
    })
}

/// SUBSCRIBE.
#[derive(Debug)]
pub(super) struct Subscribe {
    pub(super) packet_id: u16,
    /// Subscription Identifier.
    pub(super) id: Option<u32>,
    pub(super) entries: Vec<Entry>,
}

/// One filter of a SUBSCRIBE, unchecked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) filter: String,
    pub(super) qos: Qos,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) retain_handling: RetainHandling,
}

/// Reads SUBSCRIBE (MQTT 5 section 3.8).
pub(super) fn subscribe(v5: bool, body: &[u8]) -> Result<Subscribe, Reason> {
    let packet_id = Reader::new(body).packet_id()?;
    let (id, entries) = if v5 {
        let packet = exact(body, v5_0::Subscribe::parse)?;
        let id = packet.props().iter().find_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id.val()),
            _ => None,
        });
        (id, packet.entries().iter().map(entry).collect())
    } else {
        let packet = exact(body, v3_1_1::Subscribe::parse)?;
        // MQTT-3.8.3-4 of 3.1.1: all but the QoS is reserved.
        let reserved = |entry: &SubEntry| entry.sub_opts().to_buffer()[0] & 0b1111_1100 != 0;
        if packet.entries().iter().any(reserved) {
            return Err(Reason::Malformed);
        }
        (None, packet.entries().iter().map(entry).collect())
    };
    if id == Some(0) {
        return Err(Reason::Protocol);
    }
    Ok(Subscribe {
        packet_id,
        id,
        entries,
    })
}

fn entry(entry: &SubEntry) -> Entry {
    let options = entry.sub_opts();
    Entry {
        filter: entry.topic_filter().to_owned(),
        qos: Qos::from_level(options.qos() as u8).unwrap_or_default(),
        no_local: options.nl(),
        retain_as_published: options.rap(),
        retain_handling: match options.rh() {
            Handling::SendRetained => RetainHandling::Always,
            Handling::SendRetainedIfNotExists => RetainHandling::IfNew,
            Handling::DoNotSendRetained => RetainHandling::Never,
        },
    }
}

/// Reads UNSUBSCRIBE (MQTT 5 section 3.10): packet id and filters, unchecked.
pub(super) fn unsubscribe(v5: bool, body: &[u8]) -> Result<(u16, Vec<String>), Reason> {
    let packet_id = Reader::new(body).packet_id()?;
    let owned = |filter: &mqtt_protocol_core::mqtt::packet::MqttString| filter.as_str().to_owned();
    let filters = if v5 {
        let packet = exact(body, v5_0::Unsubscribe::parse)?;
        packet.entries().iter().map(owned).collect()
    } else {
        let packet = exact(body, v3_1_1::Unsubscribe::parse)?;
        packet.entries().iter().map(owned).collect()
    };
    Ok((packet_id, filters))
}

/// DISCONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disconnect {
    /// The client wants its will published all the same (0x04), or left with an error.
    pub(super) publish_will: bool,
    /// A new Session Expiry Interval, in seconds.
    pub(super) expiry: Option<u32>,
}

/// Reads DISCONNECT (MQTT 5 section 3.14).
pub(super) fn disconnect(v5: bool, body: &[u8]) -> Result<Disconnect, Reason> {
    if !v5 {
        return if body.is_empty() {
            Ok(Disconnect {
                publish_will: false,
                expiry: None,
            })
        } else {
            Err(Reason::Malformed)
        };
    }
    let packet = exact(body, v5_0::Disconnect::parse)?;
    let reason = packet.reason_code();
    let properties = packet.props().as_ref();
    let expiry = properties.and_then(|all| {
        all.iter().find_map(|property| match property {
            Property::SessionExpiryInterval(expiry) => Some(expiry.val()),
            _ => None,
        })
    });
    Ok(Disconnect {
        publish_will: !matches!(
            reason,
            None | Some(DisconnectReasonCode::NormalDisconnection)
        ),
        expiry,
    })
}

/// Parses a body that must be used up.
pub(super) fn exact<T>(
    body: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<(T, usize), MqttError>,
) -> Result<T, Reason> {
    match parse(body) {
        Ok((packet, used)) if used == body.len() => Ok(packet),
        Ok(_) => Err(Reason::Malformed),
        Err(error) => Err(error.into()),
    }
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
            for kind in [Kind::Puback, Kind::Pubrec, Kind::Pubrel, Kind::Pubcomp] {
                let _ = ack(v5, kind, &body);
            }
        }
    }
}

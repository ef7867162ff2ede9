//! The properties of PUBLISH (MQTT 5 section 3.3.2.3): what the gateway reads, and what it forwards
//! as it came.

use std::borrow::Cow;

use crate::wire::filter::check_name;
use crate::wire::mirror::{TRACEPARENT, TRACESTATE};

use super::reader::PacketReader;
use super::reason::Reason;

/// Property identifiers (MQTT 5 section 2.2.2.2) that the gateway reads or writes by hand.
pub(in crate::mqtt) mod id {
    pub(in crate::mqtt) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(in crate::mqtt) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(in crate::mqtt) const CONTENT_TYPE: u8 = 0x03;
    pub(in crate::mqtt) const RESPONSE_TOPIC: u8 = 0x08;
    pub(in crate::mqtt) const CORRELATION_DATA: u8 = 0x09;
    pub(in crate::mqtt) const SUBSCRIPTION_ID: u8 = 0x0B;
    pub(in crate::mqtt) const SESSION_EXPIRY: u8 = 0x11;
    pub(in crate::mqtt) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(in crate::mqtt) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(in crate::mqtt) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(in crate::mqtt) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(in crate::mqtt) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(in crate::mqtt) const WILL_DELAY: u8 = 0x18;
    pub(in crate::mqtt) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(in crate::mqtt) const SERVER_REFERENCE: u8 = 0x1C;
    pub(in crate::mqtt) const REASON_STRING: u8 = 0x1F;
    pub(in crate::mqtt) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(in crate::mqtt) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(in crate::mqtt) const TOPIC_ALIAS: u8 = 0x23;
    pub(in crate::mqtt) const USER_PROPERTY: u8 = 0x26;
    pub(in crate::mqtt) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
}

/// The properties of one PUBLISH.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::mqtt) struct Properties<'a> {
    /// Message Expiry Interval, in seconds.
    pub(in crate::mqtt) expiry: Option<u32>,
    /// Topic Alias.
    pub(in crate::mqtt) alias: Option<u16>,
    /// Response Topic.
    pub(in crate::mqtt) response_topic: Option<&'a str>,
    /// Correlation Data.
    pub(in crate::mqtt) correlation: Option<&'a [u8]>,
    /// The first user property of this name, as of the next.
    pub(in crate::mqtt) traceparent: Option<&'a str>,
    pub(in crate::mqtt) tracestate: Option<&'a str>,
    /// Content Type.
    pub(in crate::mqtt) content_type: Option<&'a str>,
    /// Payload Format Indicator: the payload is text.
    pub(in crate::mqtt) is_text: bool,
    /// What subscribers get unchanged and in order, encoded.
    pub(in crate::mqtt) forwarded: Cow<'a, [u8]>,
}

impl<'a> Properties<'a> {
    /// Reads a property block without its length.
    ///
    /// # Errors
    /// `Malformed` for unknown properties and bad values, `Protocol` for one that is there twice or
    /// is not a client's.
    pub(in crate::mqtt) fn parse(block: &'a [u8]) -> Result<Properties<'a>, Reason> {
        let mut properties = Properties::default();
        let mut seen = SeenProperties::default();
        let mut kept_all = true;
        let mut reader = PacketReader::new(block);
        while !reader.is_empty() {
            let before = reader;
            let forwards = properties.read(&mut reader, &mut seen)?;
            let used = before.rest().len() - reader.rest().len();
            let bytes = &before.rest()[..used];
            if forwards && !kept_all {
                properties.forwarded.to_mut().extend_from_slice(bytes);
            } else if !forwards && kept_all {
                kept_all = false;
                let so_far = &block[..block.len() - before.rest().len()];
                properties.forwarded = Cow::Owned(so_far.to_vec());
            }
        }
        if kept_all {
            properties.forwarded = Cow::Borrowed(block);
        }
        Ok(properties)
    }

    /// Whether a payload is what the Payload Format Indicator says (MQTT 5 section 3.3.2.3.2).
    pub(in crate::mqtt) fn fits(&self, payload: &[u8]) -> bool {
        !self.is_text || std::str::from_utf8(payload).is_ok()
    }

    /// Reads one property; whether it is forwarded.
    fn read(
        &mut self,
        reader: &mut PacketReader<'a>,
        seen: &mut SeenProperties,
    ) -> Result<bool, Reason> {
        let id = reader.u8()?;
        if id != id::USER_PROPERTY {
            seen.note(id)?;
        }
        match id {
            id::PAYLOAD_FORMAT => match reader.u8()? {
                format @ 0..=1 => self.is_text = format == 1,
                _ => return Err(Reason::Malformed),
            },
            id::CONTENT_TYPE => self.content_type = Some(reader.string()?),
            id::USER_PROPERTY => {
                let (name, value) = (reader.string()?, reader.string()?);
                match name {
                    TRACEPARENT => self.traceparent = self.traceparent.or(Some(value)),
                    TRACESTATE => self.tracestate = self.tracestate.or(Some(value)),
                    _ => {}
                }
            }
            id::RESPONSE_TOPIC => {
                let topic = reader.string()?;
                // MQTT-3.3.2-14: no wildcards.
                check_name(topic).map_err(|_| Reason::Protocol)?;
                self.response_topic = Some(topic);
            }
            id::CORRELATION_DATA => self.correlation = Some(reader.binary()?),
            id::MESSAGE_EXPIRY => {
                self.expiry = Some(reader.u32()?);
                return Ok(false);
            }
            id::TOPIC_ALIAS => {
                self.alias = Some(reader.u16()?);
                return Ok(false);
            }
            // MQTT-3.3.4-6: only servers send Subscription Identifiers.
            id::SUBSCRIPTION_ID => return Err(Reason::Protocol),
            _ => return Err(Reason::Malformed),
        }
        Ok(true)
    }
}

/// Which properties were there; all identifiers are below 64.
#[derive(Default)]
pub(in crate::mqtt) struct SeenProperties(u64);

impl SeenProperties {
    pub(in crate::mqtt) fn note(&mut self, id: u8) -> Result<(), Reason> {
        let bit = 1u64.checked_shl(u32::from(id)).ok_or(Reason::Malformed)?;
        if self.0 & bit != 0 {
            return Err(Reason::Protocol);
        }
        self.0 |= bit;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: [u8; 4] = [id::CONTENT_TYPE, 0, 1, b'j'];
    const EXPIRY: [u8; 5] = [id::MESSAGE_EXPIRY, 0, 0, 0, 7];
    const USER: [u8; 7] = [id::USER_PROPERTY, 0, 1, b'k', 0, 1, b'v'];

    #[test]
    fn what_is_forwarded_keeps_its_order_and_bytes() {
        let block = [&TYPE[..], &EXPIRY, &USER, &[id::TOPIC_ALIAS, 0, 3], &USER].concat();
        let properties = Properties::parse(&block).unwrap();
        assert_eq!(properties.expiry, Some(7));
        assert_eq!(properties.alias, Some(3));
        assert_eq!(*properties.forwarded, [&TYPE[..], &USER, &USER].concat());
    }

    #[test]
    fn blocks_that_are_all_forwarded_are_not_copied() {
        let block = [&USER[..], &TYPE].concat();
        let properties = Properties::parse(&block).unwrap();
        assert!(matches!(properties.forwarded, Cow::Borrowed(all) if all == block));
    }

    #[test]
    fn bad_blocks_are_refused() {
        for (block, reason) in [
            ([&EXPIRY[..], &EXPIRY].concat(), Reason::Protocol),
            (vec![id::SUBSCRIPTION_ID, 1], Reason::Protocol),
            (vec![id::PAYLOAD_FORMAT, 2], Reason::Malformed),
            (vec![0x7f, 0], Reason::Malformed),
            (vec![id::CONTENT_TYPE, 0, 9, b'x'], Reason::Malformed),
            (vec![id::CONTENT_TYPE, 0, 1, 0xff], Reason::Malformed),
            (vec![id::CONTENT_TYPE, 0, 1, 0], Reason::Malformed),
            (vec![id::RESPONSE_TOPIC, 0, 1, b'#'], Reason::Protocol),
        ] {
            assert_eq!(Properties::parse(&block), Err(reason), "{block:?}");
        }
    }
}

//! Property blocks (MQTT 5 section 2.2.2) of every packet but PUBLISH, whose own are read in
//! `properties`.

use super::properties::{SeenProperties, id};
use super::reader::PacketReader;
use super::reason::Reason;

/// A property's value. Strings are checked; those that nobody asks for are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PropertyValue<'a> {
    /// One byte, two, four, or a variable number of them.
    Number(u32),
    /// Binary data or a string.
    Bytes(&'a [u8]),
    /// A user property.
    Pair,
}

impl PropertyValue<'_> {
    /// The number, or 0 for what is none.
    pub(super) fn number(self) -> u32 {
        match self {
            PropertyValue::Number(number) => number,
            PropertyValue::Bytes(_) | PropertyValue::Pair => 0,
        }
    }
}

/// Reads a block with its length, and hands over each property of it.
///
/// # Errors
/// `Malformed` for what is not among `allowed` and for bad values, `Protocol` for what is there
/// twice; whatever `take` says.
pub(super) fn read<'a>(
    reader: &mut PacketReader<'a>,
    allowed: &[u8],
    mut take: impl FnMut(u8, PropertyValue<'a>, &'a [u8]) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let len = reader.varint()?;
    let mut block = PacketReader::new(reader.take(len)?);
    let mut seen = SeenProperties::default();
    while !block.is_empty() {
        let before = block;
        let property = block.u8()?;
        if !allowed.contains(&property) {
            return Err(Reason::Malformed);
        }
        if property != id::USER_PROPERTY {
            seen.note(property)?;
        }
        let value = value(property, &mut block)?;
        let used = before.rest().len() - block.rest().len();
        take(property, value, &before.rest()[..used])?;
    }
    Ok(())
}

/// By the types of section 2.2.2.2.
fn value<'a>(property: u8, block: &mut PacketReader<'a>) -> Result<PropertyValue<'a>, Reason> {
    Ok(match property {
        id::PAYLOAD_FORMAT | id::REQUEST_PROBLEM_INFORMATION | id::REQUEST_RESPONSE_INFORMATION => {
            PropertyValue::Number(block.u8()?.into())
        }
        id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM => PropertyValue::Number(block.u16()?.into()),
        id::MESSAGE_EXPIRY | id::SESSION_EXPIRY | id::WILL_DELAY | id::MAXIMUM_PACKET_SIZE => {
            PropertyValue::Number(block.u32()?)
        }
        id::SUBSCRIPTION_ID => {
            PropertyValue::Number(u32::try_from(block.varint()?).map_err(|_| Reason::Malformed)?)
        }
        id::CORRELATION_DATA | id::AUTHENTICATION_DATA => PropertyValue::Bytes(block.binary()?),
        id::CONTENT_TYPE
        | id::RESPONSE_TOPIC
        | id::AUTHENTICATION_METHOD
        | id::SERVER_REFERENCE
        | id::REASON_STRING => PropertyValue::Bytes(block.string()?.as_bytes()),
        id::USER_PROPERTY => {
            block.string()?;
            block.string()?;
            PropertyValue::Pair
        }
        _ => return Err(Reason::Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> Result<Vec<(u8, PropertyValue<'_>)>, Reason> {
        let mut found = Vec::new();
        let mut reader = PacketReader::new(bytes);
        let allowed = [id::SESSION_EXPIRY, id::REASON_STRING, id::USER_PROPERTY];
        read(&mut reader, &allowed, |property, value, _| {
            found.push((property, value));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn each_property_is_handed_over_in_order() {
        let block = [15, 0x26, 0, 0, 0, 0, 0x11, 0, 0, 0, 9, 0x26, 0, 0, 0, 0];
        let pair = (id::USER_PROPERTY, PropertyValue::Pair);
        let expiry = (id::SESSION_EXPIRY, PropertyValue::Number(9));
        assert_eq!(read_all(&block), Ok(vec![pair, expiry, pair]));
        assert_eq!(read_all(&[0]), Ok(Vec::new()));
    }

    #[test]
    fn bad_blocks_are_refused() {
        let twice = [10, 0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1];
        for (block, reason) in [
            (&twice[..], Reason::Protocol),
            (&[3, 0x21, 0, 1], Reason::Malformed),
            (&[9, 0x11, 0], Reason::Malformed),
            (&[4, 0x1F, 0, 1, 0], Reason::Malformed),
            (&[0x80, 0], Reason::Malformed),
            (&[], Reason::Malformed),
        ] {
            assert_eq!(read_all(block), Err(reason), "{block:?}");
        }
    }
}

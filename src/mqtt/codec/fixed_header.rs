//! Cuts a byte stream into packets (MQTT 5 section 2.1), and checks what the fixed header alone
//! tells.

use super::reason::Reason;

/// Where the first packet of a buffer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) struct FixedHeader {
    /// The first byte: type and flags.
    pub(in crate::mqtt) first: u8,
    /// Bytes of the fixed header.
    pub(in crate::mqtt) header: usize,
    /// Bytes behind it.
    pub(in crate::mqtt) body: usize,
}

impl FixedHeader {
    /// Bytes in all.
    pub(in crate::mqtt) fn len(self) -> usize {
        self.header + self.body
    }

    /// Whether the length takes as few bytes as it can (MQTT-1.5.5-1; 3.1.1 does not ask for it).
    pub(in crate::mqtt) fn is_minimal(self) -> bool {
        self.header == 2 || self.body >> (7 * (self.header - 2)) > 0
    }
}

/// Packet types that a client may send (MQTT 5 section 2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) enum PacketType {
    Connect,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Unsubscribe,
    Pingreq,
    Disconnect,
    Auth,
}

/// Reads the header of the first packet; `None` if it has not all arrived.
///
/// # Errors
/// `Malformed` if the length takes more than four bytes (MQTT-1.5.5).
pub(in crate::mqtt) fn read(input: &[u8]) -> Result<Option<FixedHeader>, Reason> {
    let Some((&first, rest)) = input.split_first() else {
        return Ok(None);
    };
    let mut body = 0;
    for (index, &byte) in rest.iter().take(4).enumerate() {
        body |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some(FixedHeader {
                first,
                header: index + 2,
                body,
            }));
        }
    }
    if rest.len() >= 4 {
        return Err(Reason::Malformed);
    }
    Ok(None)
}

/// Finds the first packet; `None` if its header or body has not all arrived.
///
/// # Errors
/// Those of [`read`]; `PacketTooLarge` as soon as the header tells of more than `max` bytes:
/// nothing of such a packet needs to be held.
pub(in crate::mqtt) fn first(input: &[u8], max: usize) -> Result<Option<FixedHeader>, Reason> {
    match read(input)? {
        Some(frame) if frame.len() > max => Err(Reason::PacketTooLarge),
        Some(frame) if input.len() >= frame.len() => Ok(Some(frame)),
        _ => Ok(None),
    }
}

/// The packet's type, if its flags are right and a client may send it.
///
/// # Errors
/// `Malformed` for reserved types and flags (MQTT-2.1.3-1), `Protocol` for what only servers send.
pub(in crate::mqtt) fn packet_type(first: u8) -> Result<PacketType, Reason> {
    let (kind, flags) = match first >> 4 {
        1 => (PacketType::Connect, 0),
        3 => return Ok(PacketType::Publish),
        4 => (PacketType::Puback, 0),
        5 => (PacketType::Pubrec, 0),
        6 => (PacketType::Pubrel, 0b0010),
        7 => (PacketType::Pubcomp, 0),
        8 => (PacketType::Subscribe, 0b0010),
        10 => (PacketType::Unsubscribe, 0b0010),
        12 => (PacketType::Pingreq, 0),
        14 => (PacketType::Disconnect, 0),
        15 => (PacketType::Auth, 0),
        2 | 9 | 11 | 13 => return Err(Reason::Protocol),
        _ => return Err(Reason::Malformed),
    };
    if first & 0x0f == flags {
        Ok(kind)
    } else {
        Err(Reason::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_as_their_bytes_arrive() {
        assert_eq!(first(&[], 10), Ok(None));
        assert_eq!(first(&[0x30], 10), Ok(None));
        assert_eq!(first(&[0x30, 2, 7], 10), Ok(None));
        let frame = first(&[0x30, 2, 7, 8, 9], 10);
        assert_eq!(
            frame,
            Ok(Some(FixedHeader {
                first: 0x30,
                header: 2,
                body: 2
            }))
        );
        assert_eq!(first(&[0x30, 0x80, 0x80, 0x80], 10), Ok(None));
    }

    #[test]
    fn lengths_are_bounded_by_their_header_alone() {
        assert_eq!(first(&[0x30, 9], 10), Err(Reason::PacketTooLarge));
        assert_eq!(
            first(&[0x30, 0xff, 0xff, 0xff, 0x7f], 1 << 20),
            Err(Reason::PacketTooLarge)
        );
        let five = [0x30, 0x80, 0x80, 0x80, 0x80, 0x01];
        assert_eq!(first(&five, usize::MAX), Err(Reason::Malformed));
    }

    #[test]
    fn lengths_that_are_longer_than_they_need_to_be_are_told() {
        let minimal = |input: &[u8]| first(input, 1 << 20).unwrap().unwrap().is_minimal();
        assert!(minimal(&[0xC0, 0]));
        assert!(!minimal(&[0xC0, 0x80, 0]));
        let with = |header: [u8; 2]| [&[0x30][..], &header, &[0; 200]].concat();
        assert!(minimal(&with([0x80, 1])));
        assert!(!minimal(&with([0xFF, 0])));
    }

    #[test]
    fn flags_and_directions_are_checked() {
        assert_eq!(packet_type(0x82), Ok(PacketType::Subscribe));
        assert_eq!(packet_type(0x80), Err(Reason::Malformed));
        assert_eq!(packet_type(0x60), Err(Reason::Malformed));
        assert_eq!(packet_type(0x20), Err(Reason::Protocol));
        assert_eq!(packet_type(0x00), Err(Reason::Malformed));
    }
}

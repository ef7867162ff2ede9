//! Reads MQTT's data types (MQTT 5 section 1.5) out of a packet, borrowing.

use super::reason::Reason;

/// What is left of a packet.
#[derive(Debug, Clone, Copy)]
pub(in crate::mqtt) struct PacketReader<'a>(&'a [u8]);

impl<'a> PacketReader<'a> {
    pub(in crate::mqtt) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(in crate::mqtt) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub(in crate::mqtt) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(in crate::mqtt) fn take(&mut self, count: usize) -> Result<&'a [u8], Reason> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Reason::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(in crate::mqtt) fn u8(&mut self) -> Result<u8, Reason> {
        Ok(self.take(1)?[0])
    }

    pub(in crate::mqtt) fn u16(&mut self) -> Result<u16, Reason> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(in crate::mqtt) fn u32(&mut self) -> Result<u32, Reason> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A packet identifier, which is never 0 (MQTT-2.2.1-3).
    pub(in crate::mqtt) fn packet_id(&mut self) -> Result<u16, Reason> {
        match self.u16()? {
            0 => Err(Reason::Protocol),
            id => Ok(id),
        }
    }

    /// A variable byte integer, in as few bytes as it takes (MQTT-1.5.5-1).
    pub(in crate::mqtt) fn varint(&mut self) -> Result<usize, Reason> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7f) << (7 * index);
            if byte == 0 && index > 0 {
                return Err(Reason::Malformed);
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Reason::Malformed)
    }

    pub(in crate::mqtt) fn binary(&mut self) -> Result<&'a [u8], Reason> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 string; U+0000 makes the packet malformed (MQTT-1.5.4-2).
    pub(in crate::mqtt) fn string(&mut self) -> Result<&'a str, Reason> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| Reason::Malformed)?;
        if text.as_bytes().contains(&0) {
            return Err(Reason::Malformed);
        }
        Ok(text)
    }
}

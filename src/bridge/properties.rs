//! A message's MQTT 5 properties, one by one (MQTT 5 section 3.3.2.3): the client library wants
//! them so.

use bytes::{Buf, Bytes};

/// What is passed on unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ForwardedProperties {
    pub(super) payload_format: Option<u8>,
    pub(super) content_type: Option<String>,
    pub(super) response_topic: Option<String>,
    pub(super) correlation: Option<Bytes>,
    pub(super) user: Vec<(String, String)>,
}

impl ForwardedProperties {
    /// Reads them as they stand in PUBLISH, without their length; what does not read as any ends
    /// it.
    pub(super) fn read(mut encoded: &[u8]) -> ForwardedProperties {
        let mut found = ForwardedProperties::default();
        while found.read_one(&mut encoded).is_some() {}
        found
    }

    fn read_one(&mut self, from: &mut &[u8]) -> Option<()> {
        match from.try_get_u8().ok()? {
            0x01 => self.payload_format = Some(from.try_get_u8().ok()?),
            0x03 => self.content_type = Some(text(from)?),
            0x08 => self.response_topic = Some(text(from)?),
            0x09 => self.correlation = Some(Bytes::copy_from_slice(binary(from)?)),
            0x26 => {
                let name = text(from)?;
                self.user.push((name, text(from)?));
            }
            _ => return None,
        }
        Some(())
    }
}

fn binary<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::from(from.try_get_u16().ok()?);
    let (found, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(found)
}

fn text(from: &mut &[u8]) -> Option<String> {
    String::from_utf8(binary(from)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_one_by_one() {
        let encoded =
            b"\x01\x01\x03\x00\x01j\x26\x00\x01a\x00\x01b\x09\x00\x02xy\x26\x00\x01a\x00\x01c";
        let found = ForwardedProperties::read(encoded);
        assert_eq!(found.payload_format, Some(1));
        assert_eq!(found.content_type.as_deref(), Some("j"));
        assert_eq!(found.correlation.as_deref(), Some(&b"xy"[..]));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(found.user, [pair("a", "b"), pair("a", "c")]);
        for cut in 0..encoded.len() {
            ForwardedProperties::read(&encoded[..cut]);
        }
    }
}

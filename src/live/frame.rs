//! The envelope in which a frame rides through the router: which publisher link sent it, and its
//! number there.
//!
//! One allocation holds the routed topic, the header and the frame; router and readers slice it. By
//! its header a reader with overlapping filters knows the copies of one publish.

use bytes::Bytes;

use super::topics::{self, PREFIX_LEN};

const ORIGIN_LEN: usize = 4;
const HEADER_LEN: usize = ORIGIN_LEN + 8;

/// A frame that waits in a publisher's batch; its header is still blank.
#[derive(Debug)]
pub(super) struct Draft {
    buffer: Vec<u8>,
    topic_len: usize,
    reliable: bool,
}

impl Draft {
    pub(super) fn new(topic: &str, frame: &[u8], reliable: bool) -> Self {
        let topic_len = PREFIX_LEN + topic.len();
        let mut buffer = Vec::with_capacity(topic_len + HEADER_LEN + frame.len());
        buffer.extend_from_slice(topics::prefix(topic).as_bytes());
        buffer.extend_from_slice(topic.as_bytes());
        buffer.extend_from_slice(&[0; HEADER_LEN]);
        buffer.extend_from_slice(frame);
        Self {
            buffer,
            topic_len,
            reliable,
        }
    }

    /// The topic as the publisher named it.
    pub(super) fn topic(&self) -> &str {
        std::str::from_utf8(&self.buffer[PREFIX_LEN..self.topic_len]).unwrap_or_default()
    }

    /// Whether a lagging subscriber holds this frame back.
    pub(super) fn reliable(&self) -> bool {
        self.reliable
    }

    /// Bytes that it takes in the router.
    pub(super) fn size(&self) -> usize {
        self.buffer.len()
    }

    /// Fills in the header. `origin` and `number` together are never used twice.
    pub(super) fn seal(mut self, origin: u32, number: u64) -> SealedFrame {
        let header = &mut self.buffer[self.topic_len..self.topic_len + HEADER_LEN];
        header[..ORIGIN_LEN].copy_from_slice(&origin.to_be_bytes());
        header[ORIGIN_LEN..].copy_from_slice(&number.to_be_bytes());
        let whole = Bytes::from(self.buffer);
        SealedFrame {
            topic: whole.slice(..self.topic_len),
            payload: whole.slice(self.topic_len..),
        }
    }
}

/// A frame ready for the router: routed topic, and payload with its header.
#[derive(Debug, Clone)]
pub(super) struct SealedFrame {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
}

impl SealedFrame {
    pub(super) fn size(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// Names one publish among all that are in flight.
pub(super) type FrameId = (u32, u64);

/// Takes the envelope off. `None` for a payload that no publisher of ours sealed.
pub(super) fn open(payload: &Bytes) -> Option<(FrameId, Bytes)> {
    let (origin, rest) = payload.split_first_chunk::<ORIGIN_LEN>()?;
    let number = rest.first_chunk::<8>()?;
    let id = (u32::from_be_bytes(*origin), u64::from_be_bytes(*number));
    Some((id, payload.slice(HEADER_LEN..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_frame_opens_to_what_was_pushed() {
        let draft = Draft::new("ü/$x", b"payload", true);
        assert_eq!(draft.topic(), "ü/$x");
        let sealed = draft.seal(7, u64::MAX);
        assert_eq!(&sealed.topic[..], "t/ü/$x".as_bytes());
        let (id, frame) = open(&sealed.payload).unwrap();
        assert_eq!(id, (7, u64::MAX));
        assert_eq!(&frame[..], b"payload");
    }

    #[test]
    fn an_empty_frame_keeps_its_header() {
        let sealed = Draft::new("$SYS/x", b"", false).seal(1, 2);
        assert_eq!(&sealed.topic[..], b"s/$SYS/x");
        assert_eq!(open(&sealed.payload).unwrap(), ((1, 2), Bytes::new()));
    }

    #[test]
    fn a_short_payload_does_not_open() {
        assert!(open(&Bytes::from_static(b"short")).is_none());
    }
}

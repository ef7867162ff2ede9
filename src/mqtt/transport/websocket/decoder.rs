//! Takes WebSocket frames off bytes, in place: what is left is the payload, which is MQTT (RFC 6455
//! section 5).
//!
//! Pure: bytes in, payload and what happened out. A frame is never gathered: payload is handed on
//! as it comes, whatever length the frame's header declares, so a frame costs the gateway nothing
//! but its header. `stream` drives it.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The longest header of a frame from a client.
const MAX_HEADER: usize = 14;
/// The longest payload of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL: u64 = 125;

/// Why no more frames are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// The client said goodbye; the code is to be said back, if it gave one.
    Closed(Option<CloseCode>),
    /// The client broke a rule; the code says which kind.
    Violation(CloseCode),
}

/// Where in a frame the bytes are.
#[derive(Debug, Default)]
enum DecoderState {
    #[default]
    Header,
    Data(FramePayload),
    Control(Control, FramePayload),
}

/// The rest of a frame's payload.
#[derive(Debug)]
struct FramePayload {
    left: u64,
    mask: [u8; 4],
}

impl FramePayload {
    /// Unmasks and takes what is there of it.
    fn take<'b>(&mut self, bytes: &'b mut [u8]) -> &'b mut [u8] {
        let there = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let own = &mut bytes[..there];
        for (index, byte) in own.iter_mut().enumerate() {
            *byte ^= self.mask[index % 4];
        }
        self.mask.rotate_left(there % 4);
        self.left -= there as u64;
        own
    }
}

/// Reads a client's frames.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: DecoderState,
    /// A header of which only a part has come.
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// A message has begun and its last frame has not come.
    in_message: bool,
    /// The payload of a control frame, so far.
    control: Vec<u8>,
    /// The last ping that was not taken yet.
    ping: Option<Vec<u8>>,
    end: Option<StreamEnd>,
}

impl Decoder {
    /// Decodes bytes as they came and moves the payload that is in them to the front; returns its
    /// length. Nothing after an end is looked at.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> usize {
        let (mut read, mut written) = (0, 0);
        while read < bytes.len() && self.end.is_none() {
            match &mut self.state {
                DecoderState::Header => match self.take_header(&bytes[read..]) {
                    Ok(taken) => read += taken,
                    Err(code) => self.end = Some(StreamEnd::Violation(code)),
                },
                DecoderState::Data(body) => {
                    let taken = body.take(&mut bytes[read..]).len();
                    bytes.copy_within(read..read + taken, written);
                    (read, written) = (read + taken, written + taken);
                    if body.left == 0 {
                        self.state = DecoderState::Header;
                    }
                }
                DecoderState::Control(kind, body) => {
                    let kind = *kind;
                    let own = body.take(&mut bytes[read..]);
                    read += own.len();
                    self.control.extend_from_slice(own);
                    if body.left == 0 {
                        self.finish_control(kind);
                    }
                }
            }
        }
        written
    }

    /// The payload of the latest ping that waits for its pong: one pong answers all before it (RFC
    /// 6455 section 5.5.3).
    pub(super) fn take_ping(&mut self) -> Option<Vec<u8>> {
        self.ping.take()
    }

    pub(super) fn end(&self) -> Option<StreamEnd> {
        self.end
    }

    /// Takes what belongs to the header at hand; returns how much that was.
    fn take_header(&mut self, bytes: &[u8]) -> Result<usize, CloseCode> {
        let before = self.header_len;
        let more = bytes.len().min(MAX_HEADER - before);
        self.header[before..before + more].copy_from_slice(&bytes[..more]);
        let have = before + more;
        let mut cursor = Cursor::new(&self.header[..have]);
        match FrameHeader::parse(&mut cursor).map_err(|_| CloseCode::Protocol)? {
            Some((header, length)) => {
                let used = usize::try_from(cursor.position()).unwrap_or(have);
                self.header_len = 0;
                self.begin(&header, length)?;
                Ok(used - before)
            }
            None => {
                self.header_len = have;
                Ok(more)
            }
        }
    }

    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<(), CloseCode> {
        // A client must mask (RFC 6455 section 5.1), no extension was agreed on, and the length has
        // 63 bits.
        let mask = header.mask.ok_or(CloseCode::Protocol)?;
        if header.rsv1 || header.rsv2 || header.rsv3 || length >> 63 != 0 {
            return Err(CloseCode::Protocol);
        }
        let body = FramePayload { left: length, mask };
        match header.opcode {
            OpCode::Control(kind) => {
                if !header.is_final || length > MAX_CONTROL {
                    return Err(CloseCode::Protocol);
                }
                self.control = Vec::new();
                self.state = DecoderState::Control(kind, body);
                if length == 0 {
                    self.finish_control(kind);
                }
                return Ok(());
            }
            // MQTT-6.0.0-1: binary frames only.
            OpCode::Data(Data::Text) => return Err(CloseCode::Unsupported),
            OpCode::Data(Data::Binary) if !self.in_message => {}
            OpCode::Data(Data::Continue) if self.in_message => {}
            OpCode::Data(_) => return Err(CloseCode::Protocol),
        }
        self.in_message = !header.is_final;
        if length > 0 {
            self.state = DecoderState::Data(body);
        }
        Ok(())
    }

    fn finish_control(&mut self, kind: Control) {
        self.state = DecoderState::Header;
        let payload = std::mem::take(&mut self.control);
        match kind {
            Control::Close => self.end = Some(close(&payload)),
            Control::Ping => self.ping = Some(payload),
            // Nobody asked for a pong; it does no harm.
            _ => {}
        }
    }
}

fn close(payload: &[u8]) -> StreamEnd {
    match payload {
        [] => StreamEnd::Closed(None),
        [high, low, reason @ ..] => {
            let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
            if !code.is_allowed() {
                StreamEnd::Violation(CloseCode::Protocol)
            } else if std::str::from_utf8(reason).is_err() {
                StreamEnd::Violation(CloseCode::Invalid)
            } else {
                StreamEnd::Closed(Some(code))
            }
        }
        [_] => StreamEnd::Violation(CloseCode::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASK: [u8; 4] = [0xA5, 0x01, 0x7F, 0xC3];
    const BINARY: u8 = 0x82;
    const TEXT: u8 = 0x81;
    const PING: u8 = 0x89;
    const CLOSE: u8 = 0x88;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).unwrap()),
            middle @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(middle).unwrap().to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
        bytes
    }

    fn decoded(bytes: &[u8]) -> (Vec<u8>, Decoder) {
        let mut decoder = Decoder::default();
        let mut bytes = bytes.to_vec();
        let length = decoder.decode(&mut bytes);
        bytes.truncate(length);
        (bytes, decoder)
    }

    fn ends(bytes: &[u8], end: StreamEnd) {
        assert_eq!(decoded(bytes).1.end(), Some(end), "{bytes:?}");
    }

    proptest! {
        #[test]
        fn payload_is_the_same_however_it_is_framed_and_cut(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
            pings in any::<bool>(),
            cut in 1_usize..50,
        ) {
            let mut wire = Vec::new();
            let last = parts.len() - 1;
            for (index, part) in parts.iter().enumerate() {
                let opcode = if index == 0 { 2 } else { 0 };
                wire.extend(frame(opcode | if index == last { 0x80 } else { 0 }, part));
                if pings {
                    wire.extend(frame(PING, b"between"));
                }
            }
            let mut decoder = Decoder::default();
            let mut payload = Vec::new();
            for piece in wire.chunks_mut(cut) {
                let length = decoder.decode(piece);
                payload.extend_from_slice(&piece[..length]);
            }
            prop_assert_eq!(payload, parts.concat());
            prop_assert_eq!(decoder.end(), None);
            prop_assert_eq!(decoder.take_ping(), pings.then(|| b"between".to_vec()));
        }

        #[test]
        fn bytes_of_any_kind_never_yield_more_than_came(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let (payload, decoder) = decoded(&bytes);
            prop_assert!(payload.len() <= bytes.len());
            prop_assert!(decoder.control.len() <= 125);
        }
    }

    #[test]
    fn long_frames_have_long_lengths() {
        let payload = vec![7; 70_000];
        assert_eq!(decoded(&frame(BINARY, &payload)).0, payload);
    }

    #[test]
    fn mqtt_6_0_0_1_text_is_refused_with_1003() {
        ends(
            &frame(TEXT, b"hello"),
            StreamEnd::Violation(CloseCode::Unsupported),
        );
    }

    #[test]
    fn what_came_before_a_violation_is_handed_on() {
        let wire = [
            frame(BINARY, b"good"),
            frame(TEXT, b"bad"),
            frame(BINARY, b"late"),
        ]
        .concat();
        let (payload, decoder) = decoded(&wire);
        assert_eq!(payload, b"good");
        assert_eq!(
            decoder.end(),
            Some(StreamEnd::Violation(CloseCode::Unsupported))
        );
    }

    #[test]
    fn frames_that_no_client_may_send_are_violations() {
        let protocol = StreamEnd::Violation(CloseCode::Protocol);
        let unmasked = [BINARY, 1, 0];
        ends(&unmasked, protocol);
        ends(&frame(BINARY | 0x40, b"x"), protocol);
        ends(&frame(0x83, b"x"), protocol);
        ends(&frame(0x8B, b"x"), protocol);
        // A continuation of nothing, and a message within a message.
        ends(&frame(0x80, b"x"), protocol);
        ends(&[frame(0x02, b"x"), frame(BINARY, b"y")].concat(), protocol);
        // Control frames are short and whole.
        ends(&frame(PING, &[0; 126]), protocol);
        ends(&frame(0x09, b"x"), protocol);
        // The length has 63 bits.
        let mut endless = vec![BINARY, 0x80 | 127];
        endless.extend(u64::MAX.to_be_bytes());
        endless.extend(MASK);
        ends(&endless, protocol);
    }

    #[test]
    fn a_declared_length_takes_no_memory() {
        let mut wire = vec![BINARY, 0x80 | 127];
        wire.extend((1_u64 << 40).to_be_bytes());
        wire.extend(MASK);
        wire.extend(b"abc".iter().zip(MASK).map(|(a, b)| a ^ b));
        let (payload, decoder) = decoded(&wire);
        assert_eq!(payload, b"abc");
        assert_eq!(decoder.end(), None);
        assert_eq!(decoder.control.capacity(), 0);
    }

    #[test]
    fn goodbyes_keep_their_code() {
        ends(&frame(CLOSE, b""), StreamEnd::Closed(None));
        ends(
            &frame(CLOSE, &[0x03, 0xE8, b'b', b'y', b'e']),
            StreamEnd::Closed(Some(CloseCode::Normal)),
        );
        ends(
            &frame(CLOSE, &[0x03]),
            StreamEnd::Violation(CloseCode::Protocol),
        );
        ends(
            &frame(CLOSE, &[0x03, 0xED]),
            StreamEnd::Violation(CloseCode::Protocol),
        );
        ends(
            &frame(CLOSE, &[0x03, 0xE8, 0xFF]),
            StreamEnd::Violation(CloseCode::Invalid),
        );
    }

    #[test]
    fn only_the_latest_ping_waits() {
        let wire = [frame(PING, b"one"), frame(PING, b"two")].concat();
        let (_, mut decoder) = decoded(&wire);
        assert_eq!(decoder.take_ping(), Some(b"two".to_vec()));
        assert_eq!(decoder.take_ping(), None);
    }
}

//! Frames of the first format, as older releases left them: read at the first start of this one,
//! never written.
//!
//! ```text
//! frame    length of the changes (4)   checksum (4)   sequence number (8)   changes
//! ```
//!
//! The checksum covers the number of the segment, the sequence number and the changes.

use bytes::Bytes;

use super::frame::{Frame, seq_of, u32_at};

/// Bytes before the changes.
pub(super) const HEADER: usize = 16;

/// Reads the frame at the front of `rest`, if a whole one of this segment is there.
pub(super) fn decode(rest: &Bytes, segment: u64) -> Option<Frame> {
    let header = rest.get(..HEADER)?;
    let end = HEADER.checked_add(u32_at(header, 0) as usize)?;
    let covered = rest.get(8..end)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_be_bytes());
    hasher.update(covered);
    let is_whole = hasher.finalize() == u32_at(header, 4);
    is_whole.then(|| Frame::legacy(rest.slice(..end), HEADER, seq_of(&header[4..])))
}

/// A frame as those releases wrote it.
#[cfg(test)]
pub(super) fn encode(batch: &super::Batch, segment: u64, seq: u64) -> Vec<u8> {
    let home = super::frame::Home {
        ledger: super::state::LedgerId([0; 16]),
        segment,
    };
    let before = super::frame::ChainLink {
        seq: seq - 1,
        checksum: 0,
    };
    let frame = Frame::encode(batch, home, before);
    let changes = &frame.bytes()[super::frame::HEADER..];
    let mut covered = seq.to_be_bytes().to_vec();
    covered.extend_from_slice(changes);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_be_bytes());
    hasher.update(&covered);
    let mut out = u32::try_from(changes.len()).unwrap().to_be_bytes().to_vec();
    out.extend(hasher.finalize().to_be_bytes());
    out.extend(covered);
    out
}

//! What one commit looks like in the log.
//!
//! ```text
//! frame    length of the changes (4)   checksum (4)   sequence number (8)   changes
//! change   space (1)   key length (4)   value length (4), all ones for a delete   key   value
//! ```
//!
//! Numbers are big-endian. The checksum (CRC-32, IEEE) covers the number of the segment, the sequence number and the changes, so
//! that what a reused segment still holds of its earlier life never reads as a frame of this one.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::store::{Batch, Space};

/// Bytes before the changes.
pub(super) const HEADER: usize = 16;
const CHANGE_HEADER: usize = 9;
const DELETED: u32 = u32::MAX;

/// A frame, ready to be written.
#[derive(Debug, Clone)]
pub(super) struct Frame(Bytes);

impl Frame {
    /// Bytes that a batch will take.
    pub(super) fn size(batch: &Batch) -> usize {
        HEADER + batch.len() * CHANGE_HEADER + batch.bytes()
    }

    /// Writes a batch as a frame of a segment.
    pub(super) fn encode(batch: &Batch, segment: u64, seq: u64) -> Frame {
        let mut out = BytesMut::with_capacity(Frame::size(batch));
        out.put_bytes(0, 8);
        out.put_u64(seq);
        for (space, key, value) in batch.iter() {
            out.put_u8(space.code());
            out.put_u32(length(key.len()));
            match value {
                Some(value) => out.put_u32(length(value.len())),
                None => out.put_u32(DELETED),
            }
            out.put_slice(key);
            out.put_slice(value.map_or(&[], |value| &value[..]));
        }
        let changes = length(out.len() - HEADER);
        let checksum = checksum(segment, &out[8..]);
        out[..4].copy_from_slice(&changes.to_be_bytes());
        out[4..8].copy_from_slice(&checksum.to_be_bytes());
        Frame(out.freeze())
    }

    /// Reads the frame at the front of `rest`, if a whole one of this segment is there.
    pub(super) fn decode(rest: &Bytes, segment: u64) -> Option<Frame> {
        let header = rest.get(..HEADER)?;
        let changes = u32_at(header, 0) as usize;
        let end = HEADER.checked_add(changes)?;
        let covered = rest.get(8..end)?;
        let frame = Frame(rest.slice(..end));
        (checksum(segment, covered) == u32_at(header, 4)).then_some(frame)
    }

    /// The commit's number: one more than that of the commit before.
    pub(super) fn seq(&self) -> u64 {
        u64::from(u32_at(&self.0, 8)) << 32 | u64::from(u32_at(&self.0, 12))
    }

    /// What goes to the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The changes, as slices of the frame: nothing is copied.
    pub(super) fn changes(&self) -> Changes {
        Changes(self.0.slice(HEADER..))
    }
}

/// One change: its place, and its value or `None` for a delete.
pub(super) type Change = ((Space, Bytes), Option<Bytes>);

/// Iterates over a frame's changes; an error is a change that cannot be, in a frame whose checksum is right.
pub(super) struct Changes(Bytes);

/// A change that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed;

impl Iterator for Changes {
    type Item = Result<Change, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let change = self.read();
        if change.is_none() {
            self.0.clear();
        }
        Some(change.ok_or(Malformed))
    }
}

impl Changes {
    fn read(&mut self) -> Option<Change> {
        let header = self.0.get(..CHANGE_HEADER)?;
        let space = Space::from_code(header[0])?;
        let key_end = CHANGE_HEADER.checked_add(u32_at(header, 1) as usize)?;
        let value_length = u32_at(header, 5);
        let value_end = match value_length {
            DELETED => key_end,
            length => key_end.checked_add(length as usize)?,
        };
        if value_end > self.0.len() {
            return None;
        }
        let change = self.0.split_to(value_end);
        let value = (value_length != DELETED).then(|| change.slice(key_end..));
        Some(((space, change.slice(CHANGE_HEADER..key_end)), value))
    }
}

fn checksum(segment: u64, covered: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_be_bytes());
    hasher.update(covered);
    hasher.finalize()
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a batch is bounded by `desk.max_pending`, far below 4 GiB")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        let mut batch = Batch::default();
        batch.put(Space::Engine, b"task", vec![1, 2, 3]);
        batch.put(Space::Outbox, b"", vec![]);
        batch.delete(Space::Outbox, b"message");
        let frame = Frame::encode(&batch, 7, 42);
        assert_eq!(frame.bytes().len(), Frame::size(&batch));
        frame
    }

    #[test]
    fn a_frame_reads_as_it_was_written() {
        let written = frame();
        let mut file = written.bytes().to_vec();
        file.extend([0; 100]);
        let read = Frame::decode(&file.into(), 7).unwrap();
        assert_eq!(read.seq(), 42);
        let changes: Vec<Change> = read.changes().map(Result::unwrap).collect();
        let key = |space, key: &'static [u8]| (space, Bytes::from_static(key));
        assert_eq!(
            changes,
            [
                (
                    key(Space::Engine, b"task"),
                    Some(Bytes::from_static(&[1, 2, 3]))
                ),
                (key(Space::Outbox, b""), Some(Bytes::new())),
                (key(Space::Outbox, b"message"), None),
            ]
        );
    }

    #[test]
    fn a_frame_with_any_bit_flipped_cut_short_or_of_another_segment_is_none() {
        let good = frame().bytes().to_vec();
        assert!(Frame::decode(&Bytes::from(good.clone()), 8).is_none());
        for end in 0..good.len() {
            assert!(Frame::decode(&Bytes::from(good[..end].to_vec()), 7).is_none());
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&bad.into(), 7).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn an_empty_place_is_no_frame() {
        assert!(Frame::decode(&Bytes::from(vec![0; 4096]), 7).is_none());
        assert!(Frame::decode(&Bytes::new(), 7).is_none());
    }
}

//! What one commit looks like in the log.
//!
//! ```text
//! frame    length of the changes (4)   sequence number (8)   chain (4)   checksum (4)   header's checksum (4)   changes
//! change   space (1)   key length (4)   value length (4), all ones for a delete   key   value
//! ```
//!
//! Numbers are big-endian. The chain is the checksum of the frame before, in whatever segment that
//! lies. Both checksums (CRC-32, IEEE) cover the ledger's id and the number of the segment, so that
//! what a reused segment still holds of its earlier life, or of another ledger, never reads as a
//! frame of this one. The header has a checksum of its own so that a frame can be found behind
//! damage in one pass: whether a header begins at some place is told by its own few bytes, and no
//! message can be made to look like one by somebody who does not know the id.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::store::{Batch, Space};
use super::state::LedgerId;

/// Bytes before the changes.
pub(super) const HEADER: usize = 24;
/// The part of the header that its own checksum covers.
const COVERED: usize = 20;
const CHANGE_HEADER: usize = 9;
const DELETED: u32 = u32::MAX;

/// Where frames belong: nothing from elsewhere reads as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) ledger: LedgerId,
    pub(super) segment: u64,
}

/// A commit's place in the order of all: its number, one more than that of the commit before, and
/// the frame's checksum, which the next frame repeats. The default comes before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ChainLink {
    pub(super) seq: u64,
    pub(super) checksum: u32,
}

/// A frame, whole.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    bytes: Bytes,
    /// Where the changes begin.
    changes: usize,
    link: ChainLink,
    /// The checksum of the frame before; formats that do not have it say nothing.
    chain: Option<u32>,
}

/// What a frame's header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    length: usize,
    chain: u32,
    pub(super) link: ChainLink,
}

impl Header {
    /// Reads the header at the front of `rest`, if one of `home` is there.
    pub(super) fn decode(rest: &[u8], home: Home) -> Option<Header> {
        let header = rest.get(..HEADER)?;
        let is_ours = checksum(home, &header[..COVERED]) == u32_at(header, COVERED);
        is_ours.then(|| Header {
            length: u32_at(header, 0) as usize,
            chain: u32_at(header, 12),
            link: ChainLink {
                seq: seq_of(header),
                checksum: u32_at(header, 16),
            },
        })
    }
}

impl Header {
    /// Bytes of the changes.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

/// The sequence number of what may be a header; `header` has the length of one.
pub(super) fn seq_of(header: &[u8]) -> u64 {
    u64::from(u32_at(header, 4)) << 32 | u64::from(u32_at(header, 8))
}

impl Frame {
    /// Bytes that a batch will take.
    pub(super) fn size(batch: &Batch) -> usize {
        HEADER + batch.len() * CHANGE_HEADER + batch.bytes()
    }

    /// Writes a batch as the frame of `home` that follows `before`.
    pub(super) fn encode(batch: &Batch, home: Home, before: ChainLink) -> Frame {
        let seq = before.seq + 1;
        let mut out = BytesMut::with_capacity(Frame::size(batch));
        out.put_u32(0);
        out.put_u64(seq);
        out.put_u32(before.checksum);
        out.put_u64(0);
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
        out[..4].copy_from_slice(&changes.to_be_bytes());
        let whole = body_checksum(home, &out);
        out[16..20].copy_from_slice(&whole.to_be_bytes());
        let header = checksum(home, &out[..COVERED]);
        out[20..24].copy_from_slice(&header.to_be_bytes());
        Frame {
            bytes: out.freeze(),
            changes: HEADER,
            link: ChainLink {
                seq,
                checksum: whole,
            },
            chain: Some(before.checksum),
        }
    }

    /// Reads the frame at the front of `rest`, if a whole one of `home` is there.
    pub(super) fn decode(rest: &Bytes, home: Home) -> Option<Frame> {
        let header = Header::decode(rest, home)?;
        let end = HEADER.checked_add(header.length)?;
        let bytes = rest.get(..end)?;
        (body_checksum(home, bytes) == header.link.checksum).then(|| Frame {
            bytes: rest.slice(..end),
            changes: HEADER,
            link: header.link,
            chain: Some(header.chain),
        })
    }

    /// A frame of the first format; see [`super::legacy`].
    pub(super) fn legacy(bytes: Bytes, changes: usize, seq: u64) -> Frame {
        Frame {
            bytes,
            changes,
            link: ChainLink { seq, checksum: 0 },
            chain: None,
        }
    }

    /// The changes as a batch, unless one of them cannot be.
    pub(super) fn batch(&self) -> Option<Batch> {
        let mut batch = Batch::default();
        for change in self.changes() {
            let ((space, key), value) = change.ok()?;
            match value {
                Some(value) => batch.put(space, &key[..], value),
                None => batch.delete(space, &key[..]),
            }
        }
        Some(batch)
    }

    /// The commit's number: one more than that of the commit before.
    pub(super) fn seq(&self) -> u64 {
        self.link.seq
    }

    /// What the next frame continues.
    pub(super) fn link(&self) -> ChainLink {
        self.link
    }

    /// Whether it is the very next after `before`.
    pub(super) fn continues(&self, before: ChainLink) -> bool {
        self.link.seq == before.seq + 1 && self.chain.is_none_or(|chain| chain == before.checksum)
    }

    /// What goes to the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The changes, as slices of the frame: nothing is copied.
    pub(super) fn changes(&self) -> FrameChanges {
        FrameChanges(self.bytes.slice(self.changes..))
    }
}

/// One change: its place, and its value or `None` for a delete.
pub(super) type RowChange = ((Space, Bytes), Option<Bytes>);

/// Iterates over a frame's changes; an error is a change that cannot be, in a frame whose checksum
/// is right.
pub(super) struct FrameChanges(Bytes);

/// A change that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed;

impl Iterator for FrameChanges {
    type Item = Result<RowChange, Malformed>;

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

impl FrameChanges {
    fn read(&mut self) -> Option<RowChange> {
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

/// Everything but the two checksums.
fn body_checksum(home: Home, frame: &[u8]) -> u32 {
    let mut hasher = hasher(home);
    hasher.update(&frame[..16]);
    hasher.update(&frame[HEADER..]);
    hasher.finalize()
}

pub(super) fn checksum(home: Home, covered: &[u8]) -> u32 {
    let mut hasher = hasher(home);
    hasher.update(covered);
    hasher.finalize()
}

fn hasher(home: Home) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&home.ledger.0);
    hasher.update(&home.segment.to_be_bytes());
    hasher
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a batch is bounded by `desk.max_pending`, far below 4 GiB")
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Home = Home {
        ledger: LedgerId([9; 16]),
        segment: 7,
    };
    const BEFORE: ChainLink = ChainLink {
        seq: 41,
        checksum: 0xdead_beef,
    };

    fn frame() -> Frame {
        let mut batch = Batch::default();
        batch.put(Space::Engine, b"task", vec![1, 2, 3]);
        batch.put(Space::Outbox, b"", vec![]);
        batch.delete(Space::Outbox, b"message");
        let frame = Frame::encode(&batch, HOME, BEFORE);
        assert_eq!(frame.bytes().len(), Frame::size(&batch));
        frame
    }

    #[test]
    fn a_frame_reads_as_it_was_written() {
        let written = frame();
        let mut file = written.bytes().to_vec();
        file.extend([0; 100]);
        let read = Frame::decode(&file.into(), HOME).unwrap();
        assert_eq!(read.link(), written.link());
        assert!(read.continues(BEFORE));
        let other = ChainLink {
            checksum: 1,
            ..BEFORE
        };
        assert!(!read.continues(other) && !read.continues(read.link()));
        let changes: Vec<RowChange> = read.changes().map(Result::unwrap).collect();
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
    fn a_frame_with_any_bit_flipped_cut_short_or_of_another_home_is_none() {
        let good = frame().bytes().to_vec();
        let (mut other_segment, mut other_ledger) = (HOME, HOME);
        other_segment.segment = 8;
        other_ledger.ledger = LedgerId([8; 16]);
        for home in [other_segment, other_ledger] {
            assert!(Frame::decode(&Bytes::from(good.clone()), home).is_none());
            assert!(Header::decode(&good, home).is_none());
        }
        for end in 0..good.len() {
            assert!(Frame::decode(&Bytes::from(good[..end].to_vec()), HOME).is_none());
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&bad.into(), HOME).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn an_empty_place_is_no_frame() {
        assert!(Frame::decode(&Bytes::from(vec![0; 4096]), HOME).is_none());
        assert!(Frame::decode(&Bytes::new(), HOME).is_none());
    }
}

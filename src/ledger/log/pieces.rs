//! What a segment holds, piece by piece: whole frames, and damage between them.
//!
//! A commit is written when the one before it is on disk, so that only the very last can be
//! incomplete. If anything whole lies behind a place that does not read as a frame, that place is
//! damage; if nothing does, it is the end.
//!
//! **Cost.** Every place behind the damage is looked at, since frames begin anywhere. Each costs
//! the look at a number, and where that is plausible the checksum of a header: one pass over the
//! file whatever it holds. The first format has no such checksum: there the frames that are tried
//! may cost [`LEGACY_EFFORT`] times the file, and then the search ends.

use bytes::Bytes;

use super::frame::{self, Frame, Header, Home, seq_of};
use super::legacy;

/// How often the bytes of a file of the first format are read at most.
const LEGACY_EFFORT: usize = 16;
/// Numbers that commits behind damage may have: generous, since whole segments may be missing, and
/// small enough that hardly a place in a file looks like a number.
const WINDOW: u64 = 1 << 32;

/// A part of a segment.
#[derive(Debug)]
pub(super) enum Piece {
    Frame(Frame),
    /// Bytes that do not read as they were written; the file goes on after them.
    Damage {
        from: u64,
        to: u64,
    },
    /// Where the frames end: nothing after it was ever written, but for a commit that is
    /// incomplete.
    End {
        at: u64,
    },
}

/// The pieces of one segment, in order; the last is [`Piece::End`].
#[derive(Debug)]
pub(super) struct Pieces {
    bytes: Bytes,
    at: usize,
    home: Option<Home>,
    number: u64,
    /// The last commit seen.
    last: u64,
    /// Found behind damage: comes next.
    found: Option<Frame>,
    effort: usize,
    is_over: bool,
}

impl Pieces {
    pub(super) fn new(
        bytes: Bytes,
        start: u64,
        home: Option<Home>,
        number: u64,
        last: u64,
    ) -> Pieces {
        Pieces {
            effort: bytes.len().saturating_mul(LEGACY_EFFORT),
            at: usize::try_from(start).unwrap_or(usize::MAX),
            bytes,
            // Segments of the first format are read from their own first frame on.
            last: if home.is_some() { last } else { 0 },
            home,
            number,
            found: None,
            is_over: false,
        }
    }

    fn decode(&self, at: usize) -> Option<Frame> {
        let rest = self.bytes.slice(at.min(self.bytes.len())..);
        match self.home {
            Some(home) => Frame::decode(&rest, home),
            None => legacy::decode(&rest, self.number),
        }
    }

    /// Looks for a later frame behind `self.at`. Says where the damage ends: at a whole frame, or
    /// with the file if all that is left of later frames are headers.
    fn search(&mut self) -> Option<usize> {
        match self.home {
            Some(home) => self.search_headers(home),
            None => self.search_legacy(),
        }
    }

    fn search_headers(&mut self, home: Home) -> Option<usize> {
        let mut is_followed = false;
        for at in self.at + 1..self.bytes.len().saturating_sub(frame::HEADER - 1) {
            let Some(header) = self.bytes.get(at..at + frame::HEADER) else {
                break;
            };
            if !self.is_plausible(seq_of(header)) || Header::decode(header, home).is_none() {
                continue;
            }
            is_followed = true;
            if let Some(frame) = self.decode(at) {
                self.found = Some(frame);
                return Some(at);
            }
        }
        is_followed.then_some(self.bytes.len())
    }

    fn search_legacy(&mut self) -> Option<usize> {
        for at in self.at + 1..self.bytes.len().saturating_sub(legacy::HEADER - 1) {
            let header = self.bytes.get(at..at + legacy::HEADER)?;
            let length = frame::u32_at(header, 0) as usize;
            if !self.is_plausible(seq_of(&header[4..])) || length > self.bytes.len() - at {
                continue;
            }
            self.effort = self.effort.checked_sub(length)?;
            if let Some(frame) = self.decode(at) {
                self.found = Some(frame);
                return Some(at);
            }
        }
        None
    }

    fn is_plausible(&self, seq: u64) -> bool {
        seq > self.last && seq - self.last < WINDOW
    }

    fn end(&mut self) -> Piece {
        self.is_over = true;
        Piece::End { at: self.at as u64 }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.is_over {
            return None;
        }
        // In the first format a reused segment may hold frames of this very number: they can only
        // be older.
        let here = self.found.take().or_else(|| self.decode(self.at));
        if let Some(frame) = here.filter(|frame| self.home.is_some() || frame.seq() > self.last) {
            self.at += frame.bytes().len();
            self.last = frame.seq();
            return Some(Piece::Frame(frame));
        }
        let from = self.at as u64;
        Some(match self.search() {
            Some(to) => {
                self.at = to;
                Piece::Damage {
                    from,
                    to: to as u64,
                }
            }
            None => self.end(),
        })
    }
}

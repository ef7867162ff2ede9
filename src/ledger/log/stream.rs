//! Rows on their way from one process to another: batches as frames, chained and checked as in the
//! log, and an empty one at the end; or, in place of a frame, a line with the reason why there will
//! be no more.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};

use super::super::store::Batch;
use super::frame::{self, ChainLink, Frame, Header, Home};
use super::state::LedgerId;

/// No frame of a segment reads as one of a stream.
const HOME: Home = Home {
    ledger: LedgerId([0; 16]),
    segment: 0,
};
/// The largest frame that is read; far more than is ever sent.
const MAX_FRAME: usize = 512 * 1024 * 1024;

/// How the line begins that says why nothing is sent, or no more.
pub(in super::super) const REFUSED: &str = "refused ";
/// Bytes of it that are read.
pub(in super::super) const MAX_REFUSAL: u64 = 4096;

/// The side that sends.
pub(in super::super) struct Sender<W> {
    to: W,
    last: ChainLink,
}

impl<W: Write> Sender<W> {
    pub(in super::super) fn new(to: W) -> Sender<W> {
        Sender {
            to,
            last: ChainLink::default(),
        }
    }

    pub(in super::super) fn send(&mut self, batch: &Batch) -> io::Result<()> {
        let frame = Frame::encode(batch, HOME, self.last);
        self.to.write_all(frame.bytes())?;
        self.last = frame.link();
        Ok(())
    }

    /// Says that this was all.
    pub(in super::super) fn finish(mut self) -> io::Result<()> {
        self.send(&Batch::default())?;
        self.to.flush()
    }
}

/// The side that receives.
pub(in super::super) struct Receiver<R> {
    from: R,
    last: ChainLink,
}

impl<R: Read> Receiver<R> {
    pub(in super::super) fn new(from: R) -> Receiver<R> {
        Receiver {
            from,
            last: ChainLink::default(),
        }
    }

    /// The next batch; `None` after the last.
    ///
    /// # Errors
    /// `UnexpectedEof` if the sender ended before it was done, `InvalidData` if what came is not
    /// what was sent, `Other` in the sender's words if it says why it ends.
    pub(in super::super) fn next(&mut self) -> io::Result<Option<Batch>> {
        let invalid =
            || io::Error::new(io::ErrorKind::InvalidData, "what came is not what was sent");
        let mut bytes = BytesMut::zeroed(frame::HEADER);
        let (front, rest) = bytes.split_at_mut(REFUSED.len());
        self.from.read_exact(front)?;
        if front == REFUSED.as_bytes() {
            return Err(io::Error::other(self.refusal()?));
        }
        self.from.read_exact(rest)?;
        let header = Header::decode(&bytes, HOME).ok_or_else(invalid)?;
        if header.length() > MAX_FRAME {
            return Err(invalid());
        }
        bytes.resize(frame::HEADER + header.length(), 0);
        self.from.read_exact(&mut bytes[frame::HEADER..])?;
        let bytes = Bytes::from(bytes);
        let frame = Frame::decode(&bytes, HOME).filter(|frame| frame.continues(self.last));
        let frame = frame.ok_or_else(invalid)?;
        self.last = frame.link();
        let batch = frame.batch().ok_or_else(invalid)?;
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn refusal(&mut self) -> io::Result<String> {
        let mut words = Vec::new();
        self.from
            .by_ref()
            .take(MAX_REFUSAL)
            .read_to_end(&mut words)?;
        Ok(String::from_utf8_lossy(&words).trim_end().to_owned())
    }
}

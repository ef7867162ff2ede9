//! What the database knows of the log: whose it is, which of its files must be there, and how far
//! the database has got.
//!
//! One row, written in one piece, so that no crash leaves half of it. It is on disk before what it
//! speaks of comes to be or goes away: a start that finds less than it says has lost something.

use std::fmt;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use super::super::store::{Batch, Space, Store, StoreError, StoreReader};
use super::frame::{ChainLink, Home};
use super::overlay::Overlay;

/// Where it lies in [`Space::Meta`].
pub(super) const STATE_KEY: &[u8] = b"ledger";
/// Where releases before this row wrote the last commit that the database has all of.
pub(super) const LEGACY_KEY: &[u8] = b"log";
const LENGTH: usize = 16 + 1 + 8 + 8 + 4;

/// A random number that database and log share, so that files of two ledgers are not taken for one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct LedgerId(pub(super) [u8; 16]);

impl LedgerId {
    pub(super) fn new(path: &Path) -> Result<LedgerId, StoreError> {
        let mut id = [0; 16];
        let filled = SystemRandom::new().fill(&mut id);
        filled.map_err(|_| StoreError::Other {
            path: path.into(),
            reason: "the system gives no random numbers".into(),
        })?;
        Ok(LedgerId(id))
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LedgerId {
    /// Enough to tell two ledgers apart; all of it is nobody's business: it is what keeps a message
    /// from looking like a commit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct LogState {
    pub(in super::super) id: LedgerId,
    /// Between an orderly end and the next start the database is all there is. Otherwise the
    /// segment `from` must be there.
    pub(in super::super) is_clean: bool,
    /// The oldest segment that may hold commits which the database lacks.
    pub(super) from: u64,
    /// The last commit that the database has all of.
    pub(super) flushed: ChainLink,
}

impl LogState {
    /// Of a ledger that has no commit yet.
    pub(super) fn new(id: LedgerId) -> LogState {
        LogState {
            id,
            is_clean: true,
            from: 1,
            flushed: ChainLink::default(),
        }
    }

    /// The database has all that an overlay says, which is nothing if no commit came since the one
    /// before.
    pub(super) fn has(&mut self, overlay: &Overlay) {
        if !overlay.is_empty() {
            self.flushed = overlay.last;
        }
    }

    /// Where frames of a segment belong.
    pub(super) fn home(&self, segment: u64) -> Home {
        Home {
            ledger: self.id,
            segment,
        }
    }

    /// Reads the row, `None` if there is none.
    pub(in super::super) fn read(
        base: &dyn StoreReader,
        path: &Path,
    ) -> Result<Option<LogState>, StoreError> {
        let row = value(base, STATE_KEY)?;
        row.map(|row| LogState::decode(&row, path)).transpose()
    }

    fn decode(row: &[u8], path: &Path) -> Result<LogState, StoreError> {
        let row: &[u8; LENGTH] = row.try_into().map_err(|_| StoreError::Corrupt {
            path: path.into(),
            reason: "it does not say which commits it has".into(),
        })?;
        let number = |at: usize| {
            row[at..at + 8]
                .iter()
                .fold(0, |n, b| n << 8 | u64::from(*b))
        };
        let mut id = [0; 16];
        id.copy_from_slice(&row[..16]);
        Ok(LogState {
            id: LedgerId(id),
            is_clean: row[16] != 0,
            from: number(17),
            flushed: ChainLink {
                seq: number(25),
                checksum: u32::from_be_bytes([row[33], row[34], row[35], row[36]]),
            },
        })
    }

    /// Puts the row, and takes away the one that it came from.
    pub(super) fn put(&self, batch: &mut Batch) {
        let mut row = Vec::with_capacity(LENGTH);
        row.extend(self.id.0);
        row.push(u8::from(self.is_clean));
        row.extend(self.from.to_be_bytes());
        row.extend(self.flushed.seq.to_be_bytes());
        row.extend(self.flushed.checksum.to_be_bytes());
        batch.put(Space::Meta, STATE_KEY, row);
        batch.delete(Space::Meta, LEGACY_KEY);
    }

    /// Makes the row durable.
    pub(in super::super) fn write(&self, base: &mut dyn Store) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.put(&mut batch);
        base.commit(&batch)
    }
}

/// The state of a ledger that is being filled by hand: until it is written as clean, a start
/// refuses it.
pub(in super::super) fn begin(path: &Path) -> Result<LogState, StoreError> {
    let state = LogState::new(LedgerId::new(path)?);
    Ok(LogState {
        is_clean: false,
        ..state
    })
}

/// Whether a row is this module's own, and no content of the ledger.
pub(in super::super) fn is_state(space: Space, key: &[u8]) -> bool {
    space == Space::Meta && [STATE_KEY, LEGACY_KEY].contains(&key)
}

/// How far a database has got that was written before there was a [`LogState`]; 0 if it says
/// nothing.
pub(super) fn legacy_flushed(base: &dyn StoreReader, path: &Path) -> Result<u64, StoreError> {
    let Some(row) = value(base, LEGACY_KEY)? else {
        return Ok(0);
    };
    let seq = row.first_chunk().ok_or_else(|| StoreError::Corrupt {
        path: path.into(),
        reason: "it does not say how far it got".into(),
    })?;
    Ok(u64::from_be_bytes(*seq))
}

fn value(base: &dyn StoreReader, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut found = None;
    let end = [key, &[0]].concat();
    base.range(Space::Meta, key, &end, &mut |_, value| {
        found = Some(value.to_vec());
        std::ops::ControlFlow::Break(())
    })?;
    Ok(found)
}

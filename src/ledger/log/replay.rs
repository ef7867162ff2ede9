//! What a start does with the log of the last run: reads it, sees that it is all there, and copies
//! it to the database.
//!
//! It trusts nothing that it can check. Frames are chained from the last commit that the database
//! has, segments are counted from the one that the database names, and a segment that was left for
//! the next says where it ends. What does not fit is refused with the place and the numbers: the
//! log stays as it is then.

use std::path::Path;

use super::frame::{ChainLink, Frame};
use super::overlay::Overlay;
use super::pieces::Piece;
use super::segment::{self, Contents, FoundSegment};
use super::state::{LedgerId, LogState, legacy_flushed};
use super::{FLUSH_BYTES, damaged, missing};
use crate::ledger::directory;
use crate::ledger::store::{Store, StoreError, StoreReader};

/// Sees that a start would find the log in `dir` complete behind the database that `base` reads,
/// and changes nothing.
///
/// # Errors
/// Why a start refuses.
pub(in super::super) fn verify(base: &dyn StoreReader, dir: &Path) -> Result<(), StoreError> {
    let (found, _) = segment::list(dir)?;
    let (known, flushed) = known(base, dir)?;
    expect_segments(known, &found, dir)?;
    let mut reading = LogReading::new(known, flushed);
    for segment in &found {
        reading.read(segment)?;
        reading.overlay = Overlay::default();
    }
    reading.finish(&found)
}

/// What the database knows of the log, and the last commit that it has.
fn known(base: &dyn StoreReader, dir: &Path) -> Result<(Option<LogState>, ChainLink), StoreError> {
    let known = LogState::read(base, dir)?;
    let flushed = match known {
        Some(state) => state.flushed,
        None => ChainLink {
            seq: legacy_flushed(base, dir)?,
            checksum: 0,
        },
    };
    Ok((known, flushed))
}

/// Copies the log of the last run to the database and removes it. The state that is returned is in
/// the database. Nothing is changed if the log is not all there.
pub(super) fn replay(base: &mut impl Store, dir: &Path) -> Result<LogState, StoreError> {
    let reader = base.reader()?;
    verify(&*reader, dir)?;
    let found = segment::find(dir)?;
    let (known, flushed) = known(&*reader, dir)?;
    drop(reader);
    let mut reading = LogReading::new(known, flushed);
    for segment in &found {
        reading.read(segment)?;
        if reading.overlay.bytes >= FLUSH_BYTES {
            reading.flush(base)?;
        }
    }
    reading.finish(&found)?;
    reading.flush(base)?;
    let commits = reading.last.seq - flushed.seq;
    if commits > 0 {
        tracing::info!(commits, "commits of the log copied to the database");
    }
    let id = known.map_or_else(|| LedgerId::new(dir), |state| Ok(state.id))?;
    let next = found.last().map_or(1, |last| last.number + 1);
    let state = LogState {
        id,
        is_clean: true,
        from: known.map_or(next, |state| state.from.max(next)),
        flushed: reading.last,
    };
    state.write(base)?;
    found.iter().try_for_each(FoundSegment::remove)?;
    directory::sync(dir)?;
    Ok(state)
}

/// Sees that every segment is there that the database knows of, and none lacks between them.
fn expect_segments(
    known: Option<LogState>,
    found: &[FoundSegment],
    dir: &Path,
) -> Result<(), StoreError> {
    let Some(state) = known else {
        return Ok(());
    };
    let needed = || {
        found
            .iter()
            .map(|segment| segment.number)
            .filter(|n| *n >= state.from)
    };
    if needed().next().is_none() && state.is_clean {
        return Ok(());
    }
    let last = needed().next_back().unwrap_or(state.from);
    let Some(gone) = (state.from..=last)
        .zip(needed().chain([0]))
        .find(|(want, have)| want != have)
    else {
        return Ok(());
    };
    let gone = gone.0;
    let commit = state.flushed.seq;
    let mut reason = format!("segment {gone} is missing, the database has commits up to {commit}");
    if let Some(first) = needed().find(|n| *n > gone) {
        reason.push_str(&format!(
            " and the log goes on with segment {first}: either files of the log are gone, or the database is older than the log"
        ));
    }
    Err(missing(dir, reason))
}

/// Reads segment after segment and sees that no commit is missing after those that the database
/// has.
struct LogReading {
    known: Option<LogState>,
    /// The last commit that the database has when this begins.
    flushed: ChainLink,
    /// The last commit read, or the last that the database has.
    last: ChainLink,
    /// The commit before the next frame, once one was read.
    before: Option<ChainLink>,
    overlay: Overlay,
    /// The last segment that says that another follows.
    closed: Option<u64>,
}

impl LogReading {
    fn new(known: Option<LogState>, flushed: ChainLink) -> LogReading {
        LogReading {
            known,
            flushed,
            last: flushed,
            before: None,
            overlay: Overlay::default(),
            closed: None,
        }
    }

    fn read(&mut self, segment: &FoundSegment) -> Result<(), StoreError> {
        let contents = segment.read()?;
        self.expect_owner(segment, &contents)?;
        for piece in contents.pieces(self.last.seq) {
            match piece {
                Piece::Frame(frame) => self.take(segment, &frame)?,
                Piece::Damage { from, to } => {
                    return Err(self.damage(segment, from, to, &contents));
                }
                Piece::End { at } => self.end(segment, &contents, at)?,
            }
        }
        match contents.cut() {
            Some(reason) => Err(damaged(&segment.path, reason)),
            None => Ok(()),
        }
    }

    fn expect_owner(&self, segment: &FoundSegment, contents: &Contents) -> Result<(), StoreError> {
        let path = &segment.path;
        match (self.known, contents.home) {
            (Some(state), Some(home)) if state.id == home.ledger => Ok(()),
            (Some(state), Some(home)) => Err(missing(
                path,
                format!(
                    "it belongs to another ledger ({}) than the database ({})",
                    home.ledger, state.id
                ),
            )),
            (None, Some(home)) => Err(missing(
                path,
                format!(
                    "the database that this log belongs to ({}) is gone, the one found is new or older",
                    home.ledger
                ),
            )),
            // Left by a first start with this release that was cut short: `take` sees that all of
            // it is in the database.
            (_, None) => Ok(()),
        }
    }

    fn take(&mut self, segment: &FoundSegment, frame: &Frame) -> Result<(), StoreError> {
        let (path, seq) = (&segment.path, frame.seq());
        if seq > self.last.seq {
            if !frame.continues(self.last) {
                return Err(self.does_not_continue(path, seq));
            }
            if self.overlay.add(frame).is_err() {
                return Err(damaged(
                    path,
                    format!("commit {seq} holds a change that cannot be"),
                ));
            }
            self.last = frame.link();
        } else if self.before.is_some_and(|before| !frame.continues(before)) {
            return Err(self.does_not_continue(path, seq));
        } else if seq == self.flushed.seq && self.is_other(frame) {
            let reason = format!("its commit {seq} is not the one that the database has");
            return Err(missing(path, reason));
        }
        self.before = Some(frame.link());
        Ok(())
    }

    /// Whether the frame is another one than the database says it has under that number.
    fn is_other(&self, frame: &Frame) -> bool {
        self.known.is_some() && self.flushed.checksum != 0 && frame.link() != self.flushed
    }

    fn does_not_continue(&self, path: &Path, seq: u64) -> StoreError {
        let last = self.before.map_or(self.last.seq, |before| before.seq);
        let reason = if seq == last + 1 {
            format!("commit {seq} continues another commit {last} than the one before it")
        } else {
            format!("commit {seq} follows commit {last}: those between them are missing")
        };
        missing(path, reason)
    }

    fn damage(
        &self,
        segment: &FoundSegment,
        from: u64,
        to: u64,
        contents: &Contents,
    ) -> StoreError {
        let last = self.before.map_or(self.last.seq, |before| before.seq);
        let behind = contents
            .pieces(last)
            .skip_while(|piece| !matches!(piece, Piece::Damage { .. }))
            .filter(|piece| matches!(piece, Piece::Frame(_)))
            .count();
        damaged(
            &segment.path,
            format!(
                "bytes {from} to {to} after commit {last} do not read as they were written, and {behind} whole commits lie \
                 behind them in this file"
            ),
        )
    }

    /// A segment that was left for the next one says where it ends.
    fn end(
        &mut self,
        segment: &FoundSegment,
        contents: &Contents,
        at: u64,
    ) -> Result<(), StoreError> {
        let Some(closed) = contents.closed else {
            return Ok(());
        };
        self.closed = Some(segment.number);
        let is_whole = at == closed.end
            && self
                .before
                .is_none_or(|before| before.seq == closed.last_seq);
        if is_whole {
            return Ok(());
        }
        let last = self.before.map_or(self.last.seq, |before| before.seq);
        Err(damaged(
            &segment.path,
            format!(
                "bytes {at} to {} do not read as they were written: commits {} to {} are in them",
                closed.end,
                last + 1,
                closed.last_seq
            ),
        ))
    }

    /// The segment that the last one was left for must be there.
    fn finish(&self, found: &[FoundSegment]) -> Result<(), StoreError> {
        match (self.closed, found.last()) {
            (Some(closed), Some(last)) if closed == last.number => {
                let next = closed + 1;
                Err(missing(
                    &last.path,
                    format!("it was full, and segment {next} that followed it is missing"),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Copies what was read so far, and notes how far that is: the files are all still there.
    fn flush(&mut self, base: &mut impl Store) -> Result<(), StoreError> {
        let overlay = std::mem::take(&mut self.overlay);
        if overlay.is_empty() {
            return Ok(());
        }
        for batch in overlay.batches(FLUSH_BYTES) {
            base.commit(&batch)?;
        }
        match self.known {
            Some(state) => LogState {
                flushed: overlay.last,
                ..state
            }
            .write(base),
            // The files of an older release do not say whose they are: the state is written once
            // all of them are copied.
            None => Ok(()),
        }
    }
}

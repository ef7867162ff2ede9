//! Looks at a log without changing it: what is whole, what is not, and how much that is.
//!
//! A start refuses at the first thing that does not fit; this goes on behind it, for whoever wants
//! to know or to keep what is left.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::store::{Batch, StoreError, StoreReader};
use super::LOG_DIRECTORY;
use super::frame::{ChainLink, Frame};
use super::pieces::Piece;
use super::segment::{self, Contents, FoundSegment};
use super::state::{LedgerId, LogState, legacy_flushed};

/// What a look at a log has found.
#[derive(Debug, Default)]
pub(in super::super) struct Survey {
    /// What is whole.
    pub(in super::super) whole: Vec<String>,
    /// What is not.
    pub(in super::super) problems: Vec<String>,
    /// Commits of the log that the database does not have.
    pub(in super::super) commits: u64,
    /// Commits that were on disk and do not read any more.
    pub(in super::super) lost: u64,
    /// Those of `commits` that come before the first that is lost.
    pub(in super::super) before_loss: u64,
    /// After an orderly end there is no log to miss.
    pub(in super::super) is_clean: bool,
}

/// Looks at the log in the data directory `dir`, whose database `reader` reads if there is one.
/// Each whole commit that the database lacks goes to `visit`, in order.
pub(in super::super) fn survey(
    dir: &Path,
    reader: Option<&dyn StoreReader>,
    visit: &mut dyn FnMut(&Batch) -> Result<(), StoreError>,
) -> Result<Survey, StoreError> {
    let log = dir.join(LOG_DIRECTORY);
    let known = match reader {
        None => Ok((None, 0)),
        Some(reader) => {
            LogState::read(reader, dir).and_then(|known| Ok((known, legacy_flushed(reader, dir)?)))
        }
    };
    let mut survey = Survey::default();
    let (known, last) = match known {
        Ok((known, flushed)) => {
            let legacy = ChainLink {
                seq: flushed,
                checksum: 0,
            };
            (known, Some(known.map_or(legacy, |state| state.flushed)))
        }
        Err(StoreError::Corrupt { .. }) => {
            let problem = "which commits of the log the database has is not known";
            survey.problems.push(problem.into());
            (None, None)
        }
        Err(error) => return Err(error),
    };
    let mut walk = SurveyWalk {
        survey,
        id: known.map(|state| state.id),
        last: last.unwrap_or_default(),
        is_last_known: last.is_some(),
        visit,
    };
    let (found, _) = segment::list(&log)?;
    walk.compare(known, &found);
    for segment in &found {
        walk.look_at(segment)?;
    }
    Ok(walk.survey)
}

struct SurveyWalk<'a> {
    survey: Survey,
    /// Whose segments are looked at: the database's, or those of the first.
    id: Option<LedgerId>,
    last: ChainLink,
    /// If not, the first commit that is found is taken for the next.
    is_last_known: bool,
    visit: &'a mut dyn FnMut(&Batch) -> Result<(), StoreError>,
}

impl SurveyWalk<'_> {
    /// Which segments must be there, and are not.
    fn compare(&mut self, known: Option<LogState>, found: &[FoundSegment]) {
        let Some(state) = known else {
            return;
        };
        self.survey.is_clean = state.is_clean;
        let there: BTreeSet<u64> = found.iter().map(|segment| segment.number).collect();
        let last = there.last().copied().unwrap_or(0);
        let mut from = state.from;
        if !state.is_clean && !there.contains(&from) {
            let problem = format!("segment {from}, which the database needs, is missing");
            self.survey.problems.push(problem);
            from += 1;
        }
        for gone in (from..last).filter(|number| !there.contains(number)) {
            let problem = format!("segment {gone} is missing");
            self.survey.problems.push(problem);
        }
    }

    fn look_at(&mut self, segment: &FoundSegment) -> Result<(), StoreError> {
        let contents = match segment.read() {
            Ok(contents) => contents,
            Err(StoreError::Corrupt { reason, .. }) => {
                self.problem(segment, &reason);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Some(home) = contents.home
            && *self.id.get_or_insert(home.ledger) != home.ledger
        {
            self.problem(segment, "it belongs to another ledger");
            return Ok(());
        }
        let (mut first, mut commits) = (0, 0);
        for piece in contents.pieces(self.last.seq) {
            match piece {
                Piece::Frame(frame) => {
                    if self.take(segment, &frame)? {
                        commits += 1;
                        first = if commits == 1 { frame.seq() } else { first };
                    }
                }
                Piece::Damage { from, to } => {
                    self.problem(segment, &format!("bytes {from} to {to} are damaged"));
                }
                Piece::End { at } => self.end(segment, &contents, at),
            }
        }
        if let Some(reason) = contents.cut() {
            self.problem(segment, &reason);
        }
        let (number, last) = (segment.number, self.last.seq);
        self.survey.whole.push(match commits {
            0 => format!("segment {number}: no commit that the database lacks"),
            1 => format!("segment {number}: one whole commit that the database lacks, {first}"),
            _ if commits == last - first + 1 => format!(
                "segment {number}: {commits} whole commits that the database lacks, {first} to {last}"
            ),
            _ => format!(
                "segment {number}: {commits} whole commits that the database lacks, between {first} and {last}"
            ),
        });
        Ok(())
    }

    /// Whether the database lacks it.
    fn take(&mut self, segment: &FoundSegment, frame: &Frame) -> Result<bool, StoreError> {
        let seq = frame.seq();
        if seq <= self.last.seq {
            return Ok(false);
        }
        if self.is_last_known && !frame.continues(self.last) {
            let (from, to) = (self.last.seq + 1, seq - 1);
            self.survey.lost += seq - from;
            self.problem(
                segment,
                &match to < from {
                    true => format!("commit {seq} continues another commit than the one before it"),
                    false => format!("commits {from} to {to} are lost"),
                },
            );
        }
        self.last = frame.link();
        self.is_last_known = true;
        let Some(batch) = frame.batch() else {
            self.survey.lost += 1;
            self.problem(
                segment,
                &format!("commit {seq} holds a change that cannot be"),
            );
            return Ok(false);
        };
        self.survey.commits += 1;
        if self.survey.lost == 0 {
            self.survey.before_loss = self.survey.commits;
        }
        (self.visit)(&batch)?;
        Ok(true)
    }

    fn end(&mut self, segment: &FoundSegment, contents: &Contents, at: u64) {
        let Some(closed) = contents
            .closed
            .filter(|closed| closed.last_seq > self.last.seq)
        else {
            return;
        };
        let (from, to) = (self.last.seq + 1, closed.last_seq);
        let end = closed.end;
        if self.is_last_known {
            self.survey.lost += closed.last_seq - self.last.seq;
            let problem =
                format!("bytes {at} to {end} are damaged: commits {from} to {to} are lost");
            self.problem(segment, &problem);
        } else if at < end {
            self.problem(segment, &format!("bytes {at} to {end} are damaged"));
        }
        self.is_last_known = true;
        // The next segment goes on after them.
        self.last = ChainLink {
            seq: closed.last_seq,
            checksum: 0,
        };
    }

    fn problem(&mut self, segment: &FoundSegment, what: &str) {
        let problem = format!("segment {}: {what}", segment.number);
        self.survey.problems.push(problem);
    }
}

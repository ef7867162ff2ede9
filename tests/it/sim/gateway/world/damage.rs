//! What a run wrote, in real files: after a crash a page in the middle of the log is not what was
//! written. No start loses a commit over it, and a repair up to the damage makes what once was.

use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use hallward::ledger::log::LOG_DIRECTORY;
use hallward::ledger::{
    Batch, FaultStore, LogLimits, LoggedStore, MemoryStore, Space, SqliteStore, Store, StoreError,
    open,
};
use hallward::runtime::upkeep::{check, repair};

use super::super::super::dice::Dice;
use super::super::history::Counts;
use super::{Outcome, World, start};

/// Pages that are damaged, one at a time.
const PAGES: usize = 1;
/// A frame's header, and that of each change in it: see the log's format.
const FRAME: usize = 24;
const CHANGE: usize = 9;

fn limits(segment_bytes: u64) -> LogLimits {
    LogLimits {
        segment_bytes,
        segments: 10_000,
        rest: std::time::Duration::from_secs(3600),
    }
}

/// A place for files that nobody needs: in memory where there is one, for nothing here is about the
/// disk.
fn place() -> Result<tempfile::TempDir, String> {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.map_err(words)
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

impl World {
    /// See the module.
    pub(super) fn damage_is_never_a_loss_in_silence(
        &mut self,
        images: &[MemoryStore],
    ) -> Result<Counts, String> {
        let commits = self.store.batches();
        let mut counts = Counts::new();
        let mut dice = Dice::new(self.seed ^ 0xdead_4a6e);
        if commits.len() < 8 {
            return Ok(counts);
        }
        let flushed = usize::try_from(dice.below(commits.len() as u64 / 2)).expect("few");
        let segment = dice.between(4, 64) * 1024;
        let killed = killed(&commits, flushed, limits(segment))?;
        for _ in 0..PAGES {
            let damage = Damage::throw(&killed, &mut dice)?;
            let context = |broken: String| format!("{damage:?}, {flushed} flushed: {broken}");
            let came = self.meets(&killed, &damage, &commits, images);
            *counts.entry(came.map_err(context)?).or_default() += 1;
        }
        Ok(counts)
    }

    fn meets(
        &self,
        killed: &Killed,
        damage: &Damage,
        commits: &[Batch],
        images: &[MemoryStore],
    ) -> Result<&'static str, String> {
        let damaged = place()?;
        copy(killed.dir.path(), damaged.path())?;
        fs::write(damaged.path().join(&damage.file), &damage.bytes).map_err(words)?;
        let found = check(damaged.path()).map_err(words)?.problems;
        let again = place()?;
        copy(damaged.path(), again.path())?;
        match open(again.path(), limits(1 << 20)) {
            Ok(store) => {
                let tail = damage.reaches(commits);
                let all = contents(&store)? == images[commits.len()];
                let is_tail = tail && prefix(&store, images)?.is_some();
                match (all || is_tail, found.is_empty()) {
                    (false, _) => Err("a start lost commits in silence".into()),
                    (_, false) => Err(format!("it starts, and check says {found:?}")),
                    (true, true) => Ok("damage to what was never written"),
                }
            }
            Err(refusal) if found.is_empty() => Err(format!("check says nothing: {refusal}")),
            Err(refusal @ (StoreError::Corrupt { .. } | StoreError::Missing { .. })) => {
                if !refusal.to_string().contains("hallward ledger repair") {
                    return Err(format!("no way out is named: {refusal}"));
                }
                self.is_repaired(damaged.path(), killed.flushed, images)?;
                Ok("damage refused")
            }
            Err(other) => Err(format!("refused for another reason: {other}")),
        }
    }

    /// Up to the damage it is what once was; with what lies behind, it starts as well.
    fn is_repaired(&self, damaged: &Path, flushed: usize, images: &[MemoryStore]) -> Outcome {
        let to = place()?;
        let (before, most) = (to.path().join("before"), to.path().join("most"));
        repair(damaged, &before, true).map_err(words)?;
        let store = SqliteStore::open(&before).map_err(words)?;
        match prefix(&store, images)? {
            None => return Err("the repair is nothing that ever was".into()),
            Some(last) if last < flushed => {
                return Err(format!("the repair lost what the database has: {last}"));
            }
            Some(_) => {}
        }
        let last = hallward::desk::last_mark(&store).map_err(words)?;
        let here = self.machine.untouched_since(last.as_ref(), self.now);
        start(&self.rules, 3, here, &store)?;
        let report = repair(damaged, &most, false).map_err(words)?;
        let left = check(&most).map_err(words)?.problems;
        match (report.refusal, left.is_empty()) {
            (None, true) => Ok(()),
            other => Err(format!("the repair does not start: {other:?} {left:?}")),
        }
    }
}

/// What a crash leaves: a database with so many commits, and the log with the rest.
struct Killed {
    dir: tempfile::TempDir,
    flushed: usize,
    /// The segments, in order.
    segments: Vec<PathBuf>,
}

fn killed(commits: &[Batch], flushed: usize, limits: LogLimits) -> Result<Killed, String> {
    let (writing, dir) = (place()?, place()?);
    let database = FaultStore::new();
    let (done, rest) = commits.split_at(flushed);
    let log = |database: &FaultStore| {
        LoggedStore::open(database.clone(), writing.path(), limits).map_err(words)
    };
    let mut store = log(&database)?;
    for batch in done {
        store.commit(batch).map_err(words)?;
    }
    drop(store);
    let mut store = log(&database)?;
    let path = "database".into();
    database.fail_next(usize::MAX, StoreError::Full { path });
    for batch in rest {
        store.commit(batch).map_err(words)?;
    }
    copy(writing.path(), dir.path())?;
    let rows = rows(&database.snapshot())?;
    database.heal();
    drop(store);
    let mut database = SqliteStore::open(dir.path()).map_err(words)?;
    database.commit(&rows).map_err(words)?;
    drop(database);
    let log = dir.path().join(LOG_DIRECTORY);
    let mut segments = Vec::new();
    for entry in fs::read_dir(log).map_err(words)? {
        let name = entry.map_err(words)?.file_name();
        segments.push(Path::new(LOG_DIRECTORY).join(name));
    }
    segments.sort();
    Ok(Killed {
        dir,
        flushed,
        segments,
    })
}

/// A page that a disk gives back instead of what was written.
struct Damage {
    file: PathBuf,
    bytes: Vec<u8>,
    at: Range<usize>,
    /// Where the last byte lies that was written in this file, if it is the last that has any.
    end: Option<usize>,
}

impl std::fmt::Debug for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bytes {:?} of {}", self.at, self.file.display())
    }
}

impl Damage {
    fn throw(killed: &Killed, dice: &mut Dice) -> Result<Damage, String> {
        let read = |file: &PathBuf| fs::read(killed.dir.path().join(file)).map_err(words);
        let end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        // Of those that have a commit: a segment begins with 64 bytes of its own.
        let mut used = Vec::new();
        for file in &killed.segments {
            let bytes = read(file)?;
            if end(&bytes) > 64 {
                used.push((file, bytes));
            }
        }
        let which = usize::try_from(dice.below(used.len() as u64)).expect("few");
        let is_last = which + 1 == used.len();
        let (file, mut bytes) = used.swap_remove(which);
        let last = end(&bytes);
        let size = *dice.pick(&[512, 4096]);
        let page = usize::try_from(dice.below((last / size + 1) as u64)).expect("few");
        let at = page * size..((page + 1) * size).min(bytes.len());
        let with = dice.below(3);
        for byte in &mut bytes[at.clone()] {
            *byte = match with {
                0 => 0,
                1 => u8::MAX,
                _ => u8::try_from(dice.below(256)).expect("a byte"),
            };
        }
        Ok(Damage {
            file: file.clone(),
            bytes,
            at,
            end: is_last.then_some(last),
        })
    }

    /// Whether nothing whole can lie behind it: that looks as if it had never been written.
    fn reaches(&self, commits: &[Batch]) -> bool {
        let last = commits.last().expect("there are some");
        let size = FRAME + CHANGE * last.len() + last.bytes();
        self.end.is_some_and(|end| end < self.at.end + size)
    }
}

/// After how many commits it was like this; `None` if never.
fn prefix(store: &dyn Store, images: &[MemoryStore]) -> Result<Option<usize>, String> {
    let found = contents(store)?;
    Ok(images.iter().rposition(|image| *image == found))
}

/// All but what the ledger keeps of itself.
fn contents(store: &dyn Store) -> Result<MemoryStore, String> {
    let mut batch = rows(store)?;
    batch.delete(Space::Meta, *b"ledger");
    let mut contents = MemoryStore::new();
    contents.commit(&batch).map_err(words)?;
    Ok(contents)
}

fn rows(store: &dyn Store) -> Result<Batch, String> {
    let mut rows = Batch::default();
    for space in Space::ALL {
        let visit = &mut |key: &[u8], value: &[u8]| {
            rows.put(space, key, value.to_vec());
            ControlFlow::Continue(())
        };
        store.scan(space, b"", visit).map_err(words)?;
    }
    Ok(rows)
}

fn copy(from: &Path, to: &Path) -> Outcome {
    fs::create_dir_all(to).map_err(words)?;
    for entry in fs::read_dir(from).map_err(words)? {
        let path = entry.map_err(words)?.path();
        // The next segment may be on its way, and gets its name in between. A start removes what a
        // crash leaves of one.
        if path.extension().is_some_and(|own| own == "making") {
            continue;
        }
        let to = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &to)?,
            false => fs::copy(&path, to).map(drop).map_err(words)?,
        }
    }
    Ok(())
}

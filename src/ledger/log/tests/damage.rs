//! Logs and databases that are damaged, missing or of another store.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::super::*;
use crate::ledger::{FaultStore, MemoryStore};

const LIMITS: LogLimits = LogLimits {
    segment_bytes: 12 * 1024,
    segments: 20,
    rest: Duration::from_secs(3600),
};

/// A log of many commits in several segments, its database, and where each commit ends: segment and
/// byte.
struct Written {
    dir: tempfile::TempDir,
    database: MemoryStore,
    ends: Vec<(u64, usize)>,
}

fn write(commits: u32) -> Written {
    let dir = tempfile::tempdir().unwrap();
    let base = FaultStore::new();
    let mut store = LoggedStore::open(base.clone(), dir.path(), LIMITS).unwrap();
    base.fail_next(
        usize::MAX,
        StoreError::Full {
            path: "database".into(),
        },
    );
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut ends = Vec::new();
    for n in 0..commits {
        let mut value = vec![0; rng.next_u32() as usize % 600];
        if n % 3 > 0 {
            rng.fill_bytes(&mut value);
        }
        store.commit(&numbered(n, value)).unwrap();
        ends.push((store.current.home.segment, store.current_end()));
    }
    // As after `kill -9`: the files as they are.
    let image = tempfile::tempdir().unwrap();
    copy_log(dir.path(), image.path());
    Written {
        dir: image,
        database: base.snapshot(),
        ends,
    }
}

fn numbered(n: u32, value: Vec<u8>) -> Batch {
    let mut batch = Batch::default();
    batch.put(Space::Outbox, n.to_be_bytes(), value);
    batch
}

fn copy_log(from: &Path, to: &Path) {
    let log = to.join(LOG_DIRECTORY);
    fs::create_dir_all(&log).unwrap();
    for entry in fs::read_dir(from.join(LOG_DIRECTORY)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|own| own == "log") {
            fs::copy(&path, log.join(path.file_name().unwrap())).unwrap();
        }
    }
}

fn file(dir: &Path, segment: u64) -> PathBuf {
    dir.join(LOG_DIRECTORY).join(format!("{segment:020}.log"))
}

fn start(written: &Written, dir: &Path) -> Result<LoggedStore<FaultStore>, StoreError> {
    LoggedStore::open(
        FaultStore::from_memory(written.database.snapshot()),
        dir,
        LIMITS,
    )
}

fn count(store: &dyn Store) -> usize {
    let mut rows = 0;
    let visit = &mut |_: &[u8], _: &[u8]| {
        rows += 1;
        ControlFlow::Continue(())
    };
    store.scan(Space::Outbox, b"", visit).unwrap();
    rows
}

/// What a disk may give back instead of a page.
fn pages(rng: &mut ChaCha8Rng, size: usize) -> [Vec<u8>; 3] {
    let mut random = vec![0; size];
    rng.fill_bytes(&mut random);
    [vec![0; size], vec![0xff; size], random]
}

#[test]
fn no_damaged_page_makes_a_start_that_lacks_a_commit_with_another_behind_it() {
    let written = write(250);
    let all = written.ends.len();
    let last_segment = written.ends[all - 1].0;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (mut refused, mut started) = (0, 0);
    for segment in 1..=last_segment {
        let whole = fs::read(file(written.dir.path(), segment)).unwrap();
        let places = |size: usize| {
            (0..whole.len())
                .step_by(size * 3)
                .map(move |from| (from, size))
        };
        for (from, size) in places(512).chain(places(4096)) {
            let to = (from + size).min(whole.len());
            // A commit that ends behind the page may begin before its end: one of those is no whole
            // commit.
            let behind = written
                .ends
                .iter()
                .filter(|end| **end > (segment, to))
                .count();
            for page in pages(&mut rng, to - from) {
                let mut bytes = whole.clone();
                bytes[from..to].copy_from_slice(&page);
                let image = tempfile::tempdir().unwrap();
                copy_log(written.dir.path(), image.path());
                fs::write(file(image.path(), segment), &bytes).unwrap();
                match start(&written, image.path()) {
                    Ok(store) => {
                        started += 1;
                        let is_tail = segment == last_segment && behind <= 1;
                        assert!(count(&store) == all || is_tail, "{segment}: {from}..{to}");
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(
                            bytes != whole && (behind > 0 || from == 0),
                            "{from}: {error}"
                        );
                        assert!(error.to_string().contains("hallward ledger"), "{error}");
                    }
                }
            }
        }
    }
    assert!(
        refused > 50 && started > 0,
        "{refused} refused, {started} started"
    );
}

#[test]
fn a_last_commit_torn_at_any_byte_starts_without_it_alone() {
    let written = write(30);
    let all = written.ends.len();
    let (segment, end) = written.ends[all - 1];
    let begin = written.ends[all - 2].1;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for torn in begin..end {
        let image = tempfile::tempdir().unwrap();
        copy_log(written.dir.path(), image.path());
        let path = file(image.path(), segment);
        let mut bytes = fs::read(&path).unwrap();
        if torn % 2 == 0 {
            bytes[torn..end].fill(0);
        } else {
            rng.fill_bytes(&mut bytes[torn..end]);
        }
        fs::write(&path, bytes).unwrap();
        let store = start(&written, image.path()).unwrap();
        let left = count(&store);
        assert!(left == all - 1, "torn at {torn}: {left} of {all}");
    }
}

#[test]
fn a_file_that_lost_its_end_is_refused_and_what_is_left_of_it_is_found() {
    let written = write(30);
    let (last, end) = written.ends[written.ends.len() - 1];
    let path = file(written.dir.path(), last);
    let made = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    // The first cuts only what no commit lay in: nobody can tell that from the other.
    for left in [made - 1, end, end - 1, 65, 64] {
        let image = tempfile::tempdir().unwrap();
        copy_log(written.dir.path(), image.path());
        let bytes = fs::read(&path).unwrap();
        fs::write(file(image.path(), last), &bytes[..left]).unwrap();
        let words = start(&written, image.path()).unwrap_err().to_string();
        let told = format!("made with {made} bytes and has {left}: its end is gone");
        assert!(words.contains(&told), "{left}: {words}");
    }
}

#[test]
fn a_log_of_which_a_part_or_all_is_gone_is_refused() {
    let written = write(200);
    let last = written.ends[199].0;
    assert!(last > 3, "several segments");
    for gone in 1..=last {
        let image = tempfile::tempdir().unwrap();
        copy_log(written.dir.path(), image.path());
        fs::remove_file(file(image.path(), gone)).unwrap();
        let words = start(&written, image.path()).unwrap_err().to_string();
        assert!(
            words.contains(&format!("segment {gone}")),
            "{gone}: {words}"
        );
    }
    let empty = tempfile::tempdir().unwrap();
    let words = start(&written, empty.path()).unwrap_err().to_string();
    assert!(words.contains("segment 1 is missing"), "{words}");
    assert!(!empty.path().join(LOG_DIRECTORY).join("x").exists());
}

#[test]
fn a_database_that_is_gone_older_or_anothers_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let base = FaultStore::new();
    let mut store = LoggedStore::open(base.clone(), dir.path(), LIMITS).unwrap();
    let old = base.snapshot();
    let flushed = |store: &LoggedStore<FaultStore>| store.stats().flushed_segments.value();
    let mut n = 0;
    while flushed(&store) < 3 {
        store.commit(&numbered(n, vec![7; 300])).unwrap();
        n += 1;
    }
    let image = || {
        let image = tempfile::tempdir().unwrap();
        copy_log(dir.path(), image.path());
        image
    };
    let refusal = |database: MemoryStore| {
        let image = image();
        let database = FaultStore::from_memory(database);
        let opened = LoggedStore::open(database, image.path(), LIMITS);
        opened.unwrap_err().to_string()
    };
    let words = refusal(old);
    assert!(words.contains("database is older than the log"), "{words}");
    let words = refusal(MemoryStore::new());
    assert!(words.contains("is gone"), "{words}");
    let other = FaultStore::new();
    let elsewhere = tempfile::tempdir().unwrap();
    drop(LoggedStore::open(other.clone(), elsewhere.path(), LIMITS).unwrap());
    let words = refusal(other.snapshot());
    assert!(
        words.contains("segment 2 is missing") || words.contains("another ledger"),
        "{words}"
    );
}

#[test]
fn a_database_alone_is_complete_after_an_orderly_end_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let base = FaultStore::new();
    let mut store = LoggedStore::open(base.clone(), dir.path(), LIMITS).unwrap();
    store.commit(&numbered(1, vec![1])).unwrap();
    let alone = |base: &FaultStore| {
        let empty = tempfile::tempdir().unwrap();
        let database = FaultStore::from_memory(base.snapshot());
        LoggedStore::open(database, empty.path(), LIMITS).map(|store| count(&store))
    };
    assert!(matches!(alone(&base), Err(StoreError::Missing { .. })));
    drop(store);
    assert_eq!(alone(&base).unwrap(), 1);
}

#[test]
fn what_has_rested_is_in_the_database_while_its_segment_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let base = FaultStore::new();
    let limits = LogLimits {
        rest: Duration::from_millis(1),
        ..LIMITS
    };
    let mut store = LoggedStore::open(base.clone(), dir.path(), limits).unwrap();
    for n in 0..5 {
        store.commit(&numbered(n, vec![n as u8])).unwrap();
        while count(&base.snapshot()) < n as usize + 1 {
            std::thread::yield_now();
        }
    }
    assert_eq!(store.stats().flushed_segments.value(), 0);
    // The note of how far the database has got comes after the rows.
    let database = base.snapshot();
    let image = tempfile::tempdir().unwrap();
    copy_log(dir.path(), image.path());
    let again = LoggedStore::open(FaultStore::from_memory(database), image.path(), limits).unwrap();
    assert_eq!(count(&again), 5);
}

#[test]
fn a_view_stays_as_it_was_while_commits_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let database = crate::ledger::SqliteStore::open(dir.path()).unwrap();
    let limits = LogLimits {
        segment_bytes: 2000,
        ..LIMITS
    };
    let mut store = LoggedStore::open(database, dir.path(), limits).unwrap();
    let snapshots = store.snapshots();
    let rows = |reader: &dyn StoreReader| {
        let mut rows = 0;
        let visit = &mut |_: &[u8], _: &[u8]| {
            rows += 1;
            ControlFlow::Continue(())
        };
        reader.range(Space::Outbox, b"", &[255; 8], visit).unwrap();
        rows
    };
    let mut views = Vec::new();
    for n in 0..60 {
        store.commit(&numbered(n, vec![1; 100])).unwrap();
        if n % 7 == 0 {
            views.push((n + 1, snapshots.take().unwrap()));
        }
    }
    assert!(store.stats().flushed_segments.value() > 0);
    for (expected, view) in &views {
        assert_eq!(rows(&**view), *expected);
    }
    drop(views);
    drop(store);
    assert!(snapshots.take().is_err(), "a closed store has no views");
}

#[test]
fn segments_of_an_older_release_are_read_and_their_damage_is_found() {
    let image = |harm: Option<usize>| {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(LOG_DIRECTORY)).unwrap();
        let mut bytes = b"HwLg\0\0\0\x01\0\0\0\0\0\0\0\x05".to_vec();
        for n in 0..40u32 {
            bytes.extend(legacy::encode(
                &numbered(n, vec![n as u8; 100]),
                5,
                u64::from(n) + 9,
            ));
        }
        bytes.resize(bytes.len() + 5000, 0);
        if let Some(at) = harm {
            bytes[at..at + 512].fill(0);
        }
        fs::write(file(dir.path(), 5), bytes).unwrap();
        let mut base = FaultStore::new();
        let mut batch = Batch::default();
        batch.put(Space::Meta, *b"log", 8u64.to_be_bytes().to_vec());
        base.commit(&batch).unwrap();
        (dir, base)
    };
    let (dir, base) = image(None);
    let store = LoggedStore::open(base.clone(), dir.path(), LIMITS).unwrap();
    assert_eq!(count(&store), 40);
    drop(store);
    let store = LoggedStore::open(base, dir.path(), LIMITS).unwrap();
    assert_eq!(count(&store), 40);
    for at in (16..4000).step_by(512) {
        let (dir, base) = image(Some(at));
        let opened = LoggedStore::open(base, dir.path(), LIMITS);
        assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{at}");
    }
}

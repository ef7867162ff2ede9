//! The log over a real directory: what a crash, a torn write or a stray hand leaves, and what the
//! database gets.

mod damage;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::frame::{self, Home};
use super::state::LedgerId;
use super::*;
use crate::ledger::{FaultStore, MemoryStore};

const SMALL: LogLimits = LogLimits {
    segment_bytes: 1000,
    segments: 3,
    rest: Duration::from_secs(3600),
};

fn put(key: u32, value: &str) -> Batch {
    let mut batch = Batch::default();
    batch.put(Space::Outbox, key.to_be_bytes(), value.to_owned());
    batch
}

fn open(base: &FaultStore, dir: &Path) -> Result<LoggedStore<FaultStore>, StoreError> {
    LoggedStore::open(base.clone(), dir, SMALL)
}

fn rows(store: &dyn Store, space: Space) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        if !state::is_state(space, key) {
            rows.push((key.to_vec(), value.to_vec()));
        }
        ControlFlow::Continue(())
    };
    store.scan(space, b"", visit).unwrap();
    rows
}

fn outbox(store: &dyn Store) -> Vec<(u32, String)> {
    let text = |(key, value): (Vec<u8>, Vec<u8>)| {
        let key = u32::from_be_bytes(*key.first_chunk().unwrap());
        (key, String::from_utf8(value).unwrap())
    };
    rows(store, Space::Outbox).into_iter().map(text).collect()
}

/// What a crash leaves: the files as they are, and a database that has what was flushed by now.
fn crash(dir: &Path, base: &FaultStore) -> (tempfile::TempDir, FaultStore) {
    loop {
        let image = tempfile::tempdir().unwrap();
        let log = image.path().join(LOG_DIRECTORY);
        fs::create_dir(&log).unwrap();
        let database = FaultStore::from_memory(base.snapshot());
        let copy = |segment: &PathBuf| fs::copy(segment, log.join(segment.file_name().unwrap()));
        // A file that the flusher renames meanwhile is looked for anew.
        if segments(dir).iter().all(|segment| copy(segment).is_ok()) {
            return (image, database);
        }
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join(LOG_DIRECTORY)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// A log whose database takes nothing for now, so that everything stays in the log.
fn stuck(dir: &Path) -> (LoggedStore<FaultStore>, FaultStore) {
    let base = FaultStore::new();
    let store = open(&base, dir).unwrap();
    base.fail_next(
        usize::MAX,
        StoreError::Full {
            path: "database".into(),
        },
    );
    (store, base)
}

#[test]
fn a_commit_is_there_after_a_crash_though_the_database_never_had_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, base) = stuck(dir.path());
    store.commit(&put(1, "one")).unwrap();
    store.commit(&put(2, "two")).unwrap();
    let mut delete = Batch::default();
    delete.delete(Space::Outbox, 1u32.to_be_bytes());
    store.commit(&delete).unwrap();
    assert_eq!(outbox(&store), [(2, "two".to_owned())]);
    let (image, database) = crash(dir.path(), &base);
    assert!(outbox(&database.snapshot()).is_empty());
    let store = open(&database, image.path()).unwrap();
    assert_eq!(outbox(&store), [(2, "two".to_owned())]);
    assert_eq!(outbox(&database.snapshot()), [(2, "two".to_owned())]);
}

#[test]
fn full_segments_reach_the_database_and_a_clean_end_empties_the_log() {
    let (dir, base) = (tempfile::tempdir().unwrap(), FaultStore::new());
    let mut store = open(&base, dir.path()).unwrap();
    let mut expected = Vec::new();
    for n in 0..200 {
        let value = "x".repeat(n as usize % 97);
        store.commit(&put(n, &value)).unwrap();
        expected.push((n, value));
        assert!(segments(dir.path()).len() <= SMALL.segments + 4);
    }
    assert_eq!(outbox(&store), expected);
    assert!(store.stats().flushed_segments.value() > 2);
    drop(store);
    assert_eq!(outbox(&base.snapshot()), expected);
    assert_eq!(segments(dir.path()), Vec::<PathBuf>::new());
    let mut store = open(&base, dir.path()).unwrap();
    store.commit(&put(7, "seven")).unwrap();
    assert_eq!(
        store
            .get(Space::Outbox, &7u32.to_be_bytes())
            .unwrap()
            .as_deref(),
        Some(&b"seven"[..])
    );
}

#[test]
fn every_crash_image_of_a_long_run_has_every_commit_that_was_confirmed() {
    let (dir, base) = (tempfile::tempdir().unwrap(), FaultStore::new());
    let mut store = open(&base, dir.path()).unwrap();
    let mut model = MemoryStore::new();
    let mut checked = 0;
    for n in 0..120u32 {
        let mut batch = put(n % 17, &"y".repeat(n as usize * 7 % 150));
        batch.delete(Space::Outbox, (n % 5).to_be_bytes());
        batch.put(Space::Session, [n as u8], vec![n as u8; 3]);
        store.commit(&batch).unwrap();
        model.commit(&batch).unwrap();
        let (image, database) = crash(dir.path(), &base);
        let Ok(recovered) = open(&database, image.path()) else {
            // A segment was flushed and reused between the look at the database and the one at the
            // files.
            continue;
        };
        checked += 1;
        for space in [Space::Outbox, Space::Session] {
            assert_eq!(rows(&recovered, space), rows(&model, space), "after {n}");
            assert_eq!(rows(&store, space), rows(&model, space), "after {n}");
        }
    }
    assert!(checked > 0);
}

#[test]
fn an_incomplete_frame_at_the_end_is_a_commit_that_nobody_was_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, base) = stuck(dir.path());
    store.commit(&put(1, "one")).unwrap();
    let before = store.current_end();
    store.commit(&put(2, "two")).unwrap();
    let after = store.current_end();
    for torn in before..after {
        let (image, database) = crash(dir.path(), &base);
        let segment = &segments(image.path())[0];
        let mut bytes = fs::read(segment).unwrap();
        bytes[torn..after].fill(0);
        fs::write(segment, bytes).unwrap();
        let mut recovered = open(&database, image.path()).unwrap();
        assert_eq!(
            outbox(&recovered),
            [(1, "one".to_owned())],
            "torn at {torn}"
        );
        recovered.commit(&put(3, "three")).unwrap();
        assert_eq!(outbox(&recovered).len(), 2);
    }
}

#[test]
fn damage_before_the_end_is_refused_with_words() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, base) = stuck(dir.path());
    store.commit(&put(1, "one")).unwrap();
    let first = store.current_end();
    for n in 2..5 {
        store.commit(&put(n, "more")).unwrap();
    }
    for at in [segment::HEADER as usize + 4, first - 1, first + 20] {
        let (image, database) = crash(dir.path(), &base);
        let segment = &segments(image.path())[0];
        let mut bytes = fs::read(segment).unwrap();
        bytes[at] ^= 1;
        fs::write(segment, bytes).unwrap();
        let error = open(&database, image.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{at}: {error}");
        let words = error.to_string();
        let place = segment.display().to_string();
        assert!(
            words.contains(&place) && words.contains("ledger repair"),
            "{words}"
        );
        assert!(words.contains("whole commits lie behind"), "{words}");
    }
}

#[test]
fn a_missing_segment_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, base) = stuck(dir.path());
    for n in 0..60 {
        if store.commit(&put(n, &"z".repeat(80))).is_err() {
            break;
        }
    }
    for gone in 0..2 {
        let (image, database) = crash(dir.path(), &base);
        fs::remove_file(&segments(image.path())[gone]).unwrap();
        let error = open(&database, image.path()).unwrap_err().to_string();
        assert!(
            error.contains("segment") && error.contains("missing"),
            "{error}"
        );
    }
}

#[test]
fn files_of_others_are_refused_or_left_alone() {
    let (dir, base) = (tempfile::tempdir().unwrap(), FaultStore::new());
    drop(open(&base, dir.path()).unwrap());
    let log = dir.path().join(LOG_DIRECTORY);
    fs::write(log.join("notes.txt"), "mine").unwrap();
    fs::write(log.join("00000000000000000009.making"), "half").unwrap();
    drop(open(&base, dir.path()).unwrap());
    assert_eq!(segments(dir.path()), [log.join("notes.txt")]);

    let next = LogState::read(&*base.reader().unwrap(), &log)
        .unwrap()
        .unwrap();
    let next = next.from;
    let stray = log.join(format!("{next:020}.log"));
    fs::write(&stray, "no segment").unwrap();
    let error = open(&base, dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let mut newer = b"HwLg\0\0\0\x63".to_vec();
    newer.extend(next.to_be_bytes());
    newer.extend([7; 16]);
    fs::write(&stray, [&newer[..], &[0; 4]].concat()).unwrap();
    let error = open(&base, dir.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::Corrupt { .. }),
        "a bit flipped: {error}"
    );
    let home = Home {
        ledger: LedgerId([7; 16]),
        segment: next,
    };
    newer.extend(frame::checksum(home, &newer).to_be_bytes());
    fs::write(&stray, &newer).unwrap();
    let error = open(&base, dir.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::NewerFormat { found: 0x63, .. }),
        "{error}"
    );
}

#[test]
fn a_database_that_takes_nothing_makes_the_log_refuse_once_it_is_full_and_go_on_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, base) = stuck(dir.path());
    let mut accepted = Vec::new();
    let error = loop {
        let n = accepted.len() as u32;
        match store.commit(&put(n, &"w".repeat(100))) {
            Ok(()) => accepted.push((n, "w".repeat(100))),
            Err(error) => break error,
        }
        assert!(accepted.len() < 100, "the log has a bound");
    };
    assert!(error.retryable(), "{error}");
    assert_eq!(store.stats().full_segments.value(), SMALL.segments as u64);
    assert_eq!(
        outbox(&store),
        accepted,
        "nothing of what was accepted is gone"
    );
    base.heal();
    // The flusher tries again on its own: the refused commit is taken as soon as it got through.
    let next = accepted.len() as u32;
    while store.commit(&put(next, "after")).is_err() {
        std::thread::yield_now();
    }
    accepted.push((next, "after".into()));
    assert_eq!(outbox(&store), accepted);
}

#[test]
fn a_commit_larger_than_a_segment_gets_one_of_its_own() {
    let (dir, base) = (tempfile::tempdir().unwrap(), FaultStore::new());
    let mut store = open(&base, dir.path()).unwrap();
    let large = "l".repeat(10_000);
    store.commit(&put(1, "small")).unwrap();
    store.commit(&put(2, &large)).unwrap();
    store.commit(&put(3, "small")).unwrap();
    store.commit(&put(4, &large)).unwrap();
    let expected = [(1, "small"), (2, &large), (3, "small"), (4, &large)];
    let expected = expected.map(|(n, value)| (n, value.to_owned()));
    assert_eq!(outbox(&store), expected);
    let (image, _) = crash(dir.path(), &base);
    drop(store);
    assert_eq!(outbox(&base.snapshot()), expected);
    // The finished database over an old log: nothing is taken back.
    let store = open(&base, image.path()).unwrap();
    assert_eq!(outbox(&store), expected);
}

#[test]
fn a_scan_ends_where_its_visitor_does() {
    let (dir, base) = (tempfile::tempdir().unwrap(), FaultStore::new());
    for n in [1, 3, 5] {
        let mut below = base.clone();
        below.commit(&put(n, "below")).unwrap();
    }
    let mut store = open(&base, dir.path()).unwrap();
    for n in [2, 3, 6] {
        store.commit(&put(n, "above")).unwrap();
    }
    let mut delete = Batch::default();
    delete.delete(Space::Outbox, 5u32.to_be_bytes());
    store.commit(&delete).unwrap();
    let whole = outbox(&store);
    let keys: Vec<u32> = whole.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [1, 2, 3, 6]);
    assert_eq!(whole[2].1, "above");
    for limit in 1..=keys.len() {
        let mut seen = 0;
        let visit = &mut |_: &[u8], _: &[u8]| {
            seen += 1;
            if seen < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        store.scan(Space::Outbox, b"", visit).unwrap();
        assert_eq!(seen, limit);
    }
}

#[test]
fn a_log_that_is_quiet_keeps_no_file_but_the_two_that_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let base = FaultStore::from_memory(MemoryStore::default());
    let quick = LogLimits {
        rest: Duration::from_millis(1),
        ..SMALL
    };
    let mut store = LoggedStore::open(base, dir.path(), quick).unwrap();
    for key in 0..100 {
        store.commit(&put(key, &"x".repeat(300))).unwrap();
    }
    let begun = std::time::Instant::now();
    while segments(dir.path()).len() != 2 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
    for key in 100..200 {
        store.commit(&put(key, "y")).unwrap();
    }
    assert_eq!(outbox(&store).len(), 200);
}

//! Backups and other copies of a ledger, and pages that are given back.

use std::fs;

use super::super::log::LOG_DIRECTORY;
use super::super::repair::{check, repair};
use super::super::{LogLimits, LoggedStore};
use super::*;

fn numbered(n: u32, bytes: usize) -> Batch {
    let mut batch = Batch::default();
    batch.put(Space::Outbox, n.to_be_bytes(), vec![n as u8; bytes]);
    batch.put(Space::Session, *b"last", n.to_be_bytes().to_vec());
    batch
}

fn open(dir: &Path) -> Result<LoggedStore<SqliteStore>, StoreError> {
    let limits = LogLimits {
        segment_bytes: 16 * 1024,
        ..LogLimits::default()
    };
    LoggedStore::open(SqliteStore::open(dir)?, dir, limits)
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

/// The files as a crash leaves them.
pub(in super::super) fn image(dir: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    fs::create_dir(image.path().join(LOG_DIRECTORY)).unwrap();
    for below in ["", LOG_DIRECTORY] {
        for entry in fs::read_dir(dir.join(below)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(
                    &path,
                    image.path().join(below).join(path.file_name().unwrap()),
                )
                .unwrap();
            }
        }
    }
    image
}

#[test]
fn rows_that_are_sent_arrive_and_make_a_ledger_that_starts() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    for n in 0..300 {
        store.commit(&numbered(n, 5000)).unwrap();
    }
    let view = store.view().unwrap();
    store.commit(&numbered(900, 1)).unwrap();
    let mut sent = Vec::new();
    send(&*view, 77, &mut sent).unwrap();

    let backup = to.path().join("backup");
    let mut target = Target::begin(&backup).unwrap();
    let mut batches = 0;
    receive(&sent[..], &mut |bytes, batch| {
        batches += 1;
        assert_eq!(bytes, 77);
        target.add(batch)
    })
    .unwrap();
    target.finish().unwrap();
    assert!(batches > 2, "in parts");
    assert_eq!(check(&backup).unwrap().problems, Vec::<String>::new());

    let restored = to.path().join("restored");
    assert_eq!(restore(&backup, &restored).unwrap(), 301);
    let again = open(&restored).unwrap();
    assert_eq!(count(&again), 300, "what came after the view is not in it");
    let occupied = restore(&backup, dir.path()).unwrap_err();
    assert!(matches!(occupied, StoreError::Locked { .. }), "{occupied}");
    drop((store, again));
    let occupied = restore(&backup, dir.path()).unwrap_err();
    assert!(
        matches!(occupied, StoreError::NotEmpty { .. }),
        "{occupied}"
    );
}

#[test]
fn a_stream_that_is_cut_or_harmed_is_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    store.commit(&numbered(1, 100)).unwrap();
    let mut sent = Vec::new();
    send(&*store.view().unwrap(), 0, &mut sent).unwrap();
    for cut in [0, 5, sent.len() / 2, sent.len() - 1] {
        assert!(receive(&sent[..cut], &mut |_, _| Ok(())).is_err(), "{cut}");
    }
    let at = sent.len() / 2;
    sent[at] ^= 1;
    assert!(receive(&sent[..], &mut |_, _| Ok(())).is_err());
    let refusal = receive(&b"refused in no mood\n"[..], &mut |_, _| Ok(()));
    assert!(refusal.unwrap_err().to_string().contains("in no mood"));
}

#[test]
fn a_copy_that_fails_leaves_nothing_and_one_that_was_cut_short_does_not_start() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("copy");
    let mut target = Target::begin(&dir).unwrap();
    target.add(&numbered(1, 10)).unwrap();
    let cut_short = image_of_database(&dir);
    drop(target);
    assert!(!dir.exists());
    let refusal = open(cut_short.path()).unwrap_err();
    assert!(matches!(refusal, StoreError::Missing { .. }), "{refusal}");
    let restored = restore(cut_short.path(), &dir).unwrap_err().to_string();
    assert!(restored.contains("not a finished backup"), "{restored}");
}

fn image_of_database(dir: &Path) -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    for name in ["hallward.db", "hallward.db-wal"] {
        fs::copy(dir.join(name), image.path().join(name)).unwrap();
    }
    image
}

#[test]
fn damage_is_found_counted_and_what_is_whole_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    for n in 0..20 {
        store.commit(&numbered(n, 300)).unwrap();
    }
    let image = image(dir.path());
    assert_eq!(check(image.path()).unwrap().problems, Vec::<String>::new());
    let log = image
        .path()
        .join(LOG_DIRECTORY)
        .join("00000000000000000001.log");
    let mut bytes = fs::read(&log).unwrap();
    bytes[2048..2560].fill(0);
    fs::write(&log, bytes).unwrap();

    let found = check(image.path()).unwrap();
    assert!(found.problems[0].contains("are damaged"), "{found:?}");
    let lost = found.problems.last().unwrap();
    assert!(
        lost.starts_with("in all, 3 commits are lost; 17"),
        "{found:?}"
    );
    assert!(open(image.path()).is_err());

    let saved = tempfile::tempdir().unwrap();
    let report = repair(image.path(), saved.path(), false).unwrap();
    assert_eq!(report.problems, found.problems);
    assert_eq!(count(&open(saved.path()).unwrap()), 17);
    let before = tempfile::tempdir().unwrap();
    repair(image.path(), before.path(), true).unwrap();
    let left = count(&open(before.path()).unwrap());
    assert!(left > 0 && left < 17, "{left}");
    assert!(matches!(check(dir.path()), Err(StoreError::Locked { .. })));
    drop(store);
    assert_eq!(check(dir.path()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn pages_that_hold_nothing_are_given_back_step_by_step() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    for n in 0..400 {
        store.commit(&numbered(n, 50_000)).unwrap();
    }
    let full = store.tidy(false).unwrap();
    assert!(!full.has_more && full.bytes > 20_000_000, "{full:?}");
    for n in 0..400u32 {
        let mut batch = Batch::default();
        batch.delete(Space::Outbox, n.to_be_bytes());
        store.commit(&batch).unwrap();
    }
    let mut steps = 0;
    while store.tidy(false).unwrap().has_more {
        steps += 1;
    }
    assert!(steps > 10, "{steps}");
    drop(store);
    let left = fs::metadata(dir.path().join(DATABASE_FILE)).unwrap().len();
    assert!(left < 5_000_000, "{left}");
    let mut store = SqliteStore::open(dir.path()).unwrap();
    store.compact().unwrap();
    assert!(store.size().unwrap() < 200_000);
}

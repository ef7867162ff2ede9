//! The database as a store: commits, crashes, and files and directories that it cannot use.

use std::fs;
use std::ops::ControlFlow;

use tempfile::TempDir;

use super::*;

fn open(dir: &TempDir) -> SqliteStore {
    SqliteStore::open(dir.path()).unwrap()
}

fn put(key: impl Into<Vec<u8>>, value: Vec<u8>) -> Batch {
    let mut batch = Batch::default();
    batch.put(Space::Engine, key, value);
    batch
}

fn keys(store: &SqliteStore, prefix: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let visit = &mut |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    };
    store.scan(Space::Engine, prefix, visit).unwrap();
    keys
}

fn refusal(dir: &Path) -> StoreError {
    SqliteStore::open(dir).expect_err("the directory is not fit for a ledger")
}

#[test]
fn committed_rows_are_there_after_an_orderly_close() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&put(*b"b/1", vec![1])).unwrap();
    store.commit(&put(*b"b/2", vec![2])).unwrap();
    store.commit(&put(*b"c", vec![3])).unwrap();
    let mut delete = Batch::default();
    delete.put(Space::Engine, *b"b/1", vec![9]);
    delete.delete(Space::Engine, *b"b/1");
    store.commit(&delete).unwrap();
    drop(store);
    assert!(
        !dir.path().join("hallward.db-wal").exists(),
        "a clean end leaves no log behind"
    );

    let store = open(&dir);
    assert_eq!(keys(&store, b""), [&b"b/2"[..], b"c"]);
    assert_eq!(keys(&store, b"b"), [b"b/2"]);
    assert_eq!(store.get(Space::Engine, b"c").unwrap(), Some(vec![3]));
    assert_eq!(store.get(Space::Meta, b"c").unwrap(), None);
}

#[test]
fn committed_rows_are_there_after_a_crash_with_the_log_not_copied_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let image = tempfile::tempdir().unwrap();
    for n in 0..50u8 {
        store.commit(&put([n], vec![n; 600])).unwrap();
        for file in ["hallward.db", "hallward.db-wal"] {
            fs::copy(dir.path().join(file), image.path().join(file)).unwrap();
        }
        if n % 7 == 0 {
            let recovered = open(&image);
            assert_eq!(keys(&recovered, b"").len(), usize::from(n) + 1);
            assert_eq!(
                recovered.get(Space::Engine, &[n]).unwrap(),
                Some(vec![n; 600])
            );
        }
    }
}

#[test]
fn crash_in_the_middle_of_a_commit_leaves_all_of_it_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&put(*b"old", vec![1; 600])).unwrap();
    let wal = dir.path().join("hallward.db-wal");
    let before = fs::metadata(&wal).unwrap().len();
    let mut batch = Batch::default();
    for n in 0..40u8 {
        batch.put(Space::Engine, [n], vec![n; 600]);
    }
    batch.delete(Space::Engine, *b"old");
    store.commit(&batch).unwrap();
    let (database, log) = (
        fs::read(dir.path().join("hallward.db")).unwrap(),
        fs::read(&wal).unwrap(),
    );

    let mut seen = Vec::new();
    for cut in (before..=log.len() as u64)
        .step_by(1999)
        .chain([log.len() as u64])
    {
        let image = tempfile::tempdir().unwrap();
        fs::write(image.path().join("hallward.db"), &database).unwrap();
        fs::write(image.path().join("hallward.db-wal"), &log[..cut as usize]).unwrap();
        let rows = keys(&open(&image), b"").len();
        assert!(
            rows == 1 || rows == 40,
            "{rows} rows with the log cut at {cut}"
        );
        seen.push(rows);
    }
    assert_eq!((seen.first(), seen.last()), (Some(&1), Some(&40)));
}

#[test]
fn second_instance_is_refused_until_the_first_ends() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir);
    assert!(matches!(refusal(dir.path()), StoreError::Locked { path } if path == dir.path()));
    drop(first);
    open(&dir);
}

#[test]
fn missing_directories_are_created() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("var/lib/data");
    drop(SqliteStore::open(&below).unwrap());
    assert!(below.join(DATABASE_FILE).is_file());
}

#[test]
fn file_in_place_of_the_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data");
    fs::write(&file, "").unwrap();
    assert!(matches!(refusal(&file), StoreError::NotADirectory { path } if path == file));
    assert!(
        matches!(refusal(&file.join("below/it")), StoreError::NotADirectory { path } if path == file)
    );
}

#[test]
fn directory_that_refuses_the_lock_file_is_not_writable() {
    let dir = tempfile::tempdir().unwrap();
    // Refused for every user, root too.
    fs::create_dir(dir.path().join("lock")).unwrap();
    let error = refusal(dir.path());
    assert!(
        matches!(&error, StoreError::NotWritable { path, .. } if *path == dir.path().join("lock"))
    );
    assert!(!error.retryable());
}

#[cfg(unix)]
#[test]
fn read_only_directory_is_not_writable() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(closed.join("probe"), "").is_ok() {
        return; // Root may write anywhere; the test above covers it.
    }
    assert!(matches!(refusal(&closed), StoreError::NotWritable { .. }));
    assert!(matches!(
        refusal(&closed.join("below")),
        StoreError::NotWritable { .. }
    ));
}

#[test]
fn newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir));
    let path = dir.path().join(DATABASE_FILE);
    let newer = format::SUPPORTED + 1;
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", newer)
        .unwrap();
    let before = fs::read(&path).unwrap();
    let error = refusal(dir.path());
    assert!(
        matches!(&error, StoreError::NewerFormat { found, supported, .. }
        if (*found, *supported) == (newer, format::SUPPORTED))
    );
    assert!(error.to_string().contains("newer release"));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn database_of_another_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    assert!(matches!(
        refusal(dir.path()),
        StoreError::Foreign { found: 0, .. }
    ));
}

#[test]
fn file_that_is_no_database_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(DATABASE_FILE), [7; 8192]).unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn migrations_cover_every_space_and_leave_the_version() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let version: u32 = store
        .connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, format::SUPPORTED);
    for space in Space::ALL {
        assert_eq!(store.get(space, b"").unwrap(), None);
    }
}

#[test]
fn full_disk_refuses_the_whole_batch_and_takes_it_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.commit(&put(*b"small", vec![1])).unwrap();
    store.limit_pages(20);
    let mut large = put(*b"large", vec![2; 200_000]);
    large.delete(Space::Engine, *b"small");
    for _ in 0..2 {
        let error = store.commit(&large).expect_err("it has no room");
        assert!(
            matches!(error, StoreError::Full { .. }) && error.retryable(),
            "{error}"
        );
        assert_eq!(keys(&store, b""), [b"small"]);
    }
    store.limit_pages(1000);
    store.commit(&large).unwrap();
    assert_eq!(keys(&store, b""), [b"large"]);
}

#[test]
fn outside_writer_stalls_the_commit_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.connection.busy_timeout(Duration::ZERO).unwrap();
    let shell = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch = put(*b"k", vec![1]);
    let error = store.commit(&batch).expect_err("somebody else is writing");
    assert!(
        matches!(error, StoreError::Busy { .. }) && error.retryable(),
        "{error}"
    );
    shell.execute_batch("ROLLBACK").unwrap();
    store.commit(&batch).unwrap();
}

/// The checkpointer's thread may or may not come in between: the bound holds either way.
#[test]
fn log_stays_bounded_however_much_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let limits = WalLimits {
        soft_pages: 64,
        hard_pages: 256,
    };
    let mut store = SqliteStore::open_with(dir.path(), limits).unwrap();
    for n in 0..2000u32 {
        store
            .commit(&put((n % 50).to_be_bytes(), vec![n as u8; 3000]))
            .unwrap();
    }
    let log = fs::metadata(dir.path().join("hallward.db-wal"))
        .unwrap()
        .len();
    assert!(
        log < 2 * 256 * 4200,
        "{log} bytes of log after 2,000 commits of a page or more"
    );
    assert_eq!(keys(&store, b"").len(), 50);
}

#[test]
fn log_is_bounded_without_the_checkpointer_too() {
    let dir = tempfile::tempdir().unwrap();
    let limits = WalLimits {
        soft_pages: 64,
        hard_pages: 128,
    };
    let mut store = SqliteStore::open_with(dir.path(), limits).unwrap();
    store.checkpointer = None;
    for n in 0..500u32 {
        store
            .commit(&put((n % 50).to_be_bytes(), vec![n as u8; 3000]))
            .unwrap();
        assert!(store.wal.log < 128 + 16, "{} pages", store.wal.log);
    }
}

#[test]
fn a_burst_leaves_neither_pages_nor_a_long_log_behind() {
    let dir = tempfile::tempdir().unwrap();
    let limits = WalLimits {
        soft_pages: 16,
        hard_pages: 4096,
    };
    let mut store = SqliteStore::open_with(dir.path(), limits).unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let wal = dir.path().join("hallward.db-wal");
    let len = |path: &Path| fs::metadata(path).unwrap().len();
    let mut delete = Batch::default();
    for n in 0..32u32 {
        let mut batch = Batch::default();
        for m in 0..64u32 {
            let key = [n.to_be_bytes(), m.to_be_bytes()].concat();
            batch.put(Space::Engine, key.clone(), vec![7; 8 * 1024]);
            delete.delete(Space::Engine, key);
        }
        store.commit(&batch).unwrap();
    }
    store.commit(&put(*b"kept", vec![1])).unwrap();
    let reader = store.view().unwrap();
    store.commit(&delete).unwrap();
    let tidy = |store: &mut SqliteStore, is_quiet| {
        while store.tidy(is_quiet).unwrap().has_more {}
        store.checkpointer.as_ref().unwrap().settle();
    };
    tidy(&mut store, false);
    assert!(
        len(&path) > 16 << 20,
        "what somebody reads is not taken away"
    );
    assert!(len(&wal) > limits.kept_pages() * u64::from(format::PAGE_BYTES));
    drop(reader);
    tidy(&mut store, false);
    // A thousand pages may stay for what comes next.
    assert!(len(&path) < 5 << 20, "{}", len(&path));
    assert_eq!(len(&wal), 0);
    tidy(&mut store, true);
    assert!(len(&path) < 1 << 20, "{}", len(&path));
    store.commit(&put(*b"more", vec![2])).unwrap();
    assert_eq!(keys(&store, b""), [b"kept", b"more"]);
}

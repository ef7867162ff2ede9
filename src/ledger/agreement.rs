//! Whatever is committed, the store on disk and the one in memory answer alike, before and after it
//! is opened again.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::log::is_state;
use super::{Batch, LogLimits, LoggedStore, MemoryStore, Space, SqliteStore, Store};

/// Few bytes and short keys, so that batches meet the same keys, prefixes of each other, and the
/// edges of the byte range.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop::sample::select(vec![0u8, 1, b'/', b'a', 254, 255]),
        0..4,
    )
}

fn space() -> impl Strategy<Value = Space> {
    prop::sample::select(Space::ALL.to_vec())
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..20))
}

fn batch() -> impl Strategy<Value = Batch> {
    prop::collection::vec((space(), key(), value()), 0..30).prop_map(|changes| {
        let mut batch = Batch::default();
        for (space, key, value) in changes {
            match value {
                Some(value) => batch.put(space, key, value),
                None => batch.delete(space, key),
            }
        }
        batch
    })
}

type ExpectedRows = Vec<(Vec<u8>, Vec<u8>)>;

fn scan(store: &dyn Store, space: Space, prefix: &[u8], limit: usize) -> ExpectedRows {
    let mut rows = ExpectedRows::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        // The log's own note in the database.
        if !is_state(space, key) {
            rows.push((key.to_vec(), value.to_vec()));
        }
        if rows.len() < limit {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    store.scan(space, prefix, visit).unwrap();
    rows
}

/// Everything in a range, with and without the values.
fn ranges(store: &dyn Store, space: Space, from: &[u8], to: &[u8]) -> (ExpectedRows, Vec<Vec<u8>>) {
    let reader = store.reader().unwrap();
    let (mut rows, mut keys) = (ExpectedRows::new(), Vec::new());
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    reader.range(space, from, to, visit).unwrap();
    let visit = &mut |key: &[u8]| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    };
    reader.keys(space, from, to, visit).unwrap();
    (rows, keys)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn disk_and_memory_agree_on_every_scan(
        batches in prop::collection::vec(batch(), 1..6),
        prefixes in prop::collection::vec((key(), 1..40usize), 1..10),
        ends in prop::collection::vec((key(), key()), 1..5),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = MemoryStore::new();
        let mut disk = SqliteStore::open(dir.path()).unwrap();
        for batch in &batches {
            memory.commit(batch).unwrap();
            disk.commit(batch).unwrap();
            for space in Space::ALL {
                prop_assert_eq!(scan(&disk, space, b"", usize::MAX), scan(&memory, space, b"", usize::MAX));
            }
            for (from, to) in &ends {
                let space = Space::Journal;
                prop_assert_eq!(ranges(&disk, space, from, to), ranges(&memory, space, from, to));
            }
        }
        drop(disk);
        agree(&SqliteStore::open(dir.path()).unwrap(), &memory, &prefixes)?;
    }

}

proptest! {
    // Few: every one syncs files many times.
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_in_front_changes_no_answer(
        batches in prop::collection::vec(batch(), 1..12),
        prefixes in prop::collection::vec((key(), 1..40usize), 1..10),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let limits = LogLimits { segment_bytes: 500, segments: 2, rest: std::time::Duration::from_millis(1) };
            LoggedStore::open(SqliteStore::open(dir.path()).unwrap(), dir.path(), limits).unwrap()
        };
        let mut memory = MemoryStore::new();
        let mut disk = open();
        for batch in &batches {
            memory.commit(batch).unwrap();
            disk.commit(batch).unwrap();
            agree(&disk, &memory, &prefixes)?;
        }
        drop(disk);
        agree(&open(), &memory, &prefixes)?;
    }
}

fn agree(
    store: &dyn Store,
    model: &MemoryStore,
    prefixes: &[(Vec<u8>, usize)],
) -> Result<(), TestCaseError> {
    for space in Space::ALL {
        prop_assert_eq!(
            scan(store, space, b"", usize::MAX),
            scan(model, space, b"", usize::MAX)
        );
        for (prefix, limit) in prefixes {
            prop_assert_eq!(
                scan(store, space, prefix, *limit),
                scan(model, space, prefix, *limit)
            );
            prop_assert_eq!(
                store.get(space, prefix).unwrap(),
                model.get(space, prefix).unwrap()
            );
        }
    }
    Ok(())
}

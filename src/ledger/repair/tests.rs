//! Repair: what is kept of a ledger that is damaged, and what it says of the rest.

use std::fs;

use rusqlite::Connection;

use super::super::copy::{receive, refuse, restore, send};
use super::super::sqlite::file_of_format;
use super::super::{LogLimits, LoggedStore, SqliteStore};
use super::*;

fn open(dir: &Path) -> Result<LoggedStore<SqliteStore>, StoreError> {
    LoggedStore::open(SqliteStore::open(dir)?, dir, LogLimits::default())
}

fn put(key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::default();
    batch.put(Space::Outbox, key, value.to_vec());
    batch
}

fn shell(dir: &Path, sql: &str) {
    let shell = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    shell.execute_batch(sql).unwrap();
}

/// Ten rows as format 4 has them, of a ledger that was closed in order.
fn old() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let state = read_only(dir.path()).unwrap();
    let state = state.get(Space::Meta, b"ledger").unwrap().unwrap();
    let old = tempfile::tempdir().unwrap();
    let file = file_of_format(&old.path().join(DATABASE_FILE), 4);
    file.execute("INSERT INTO meta VALUES (?1, ?2)", (b"ledger", state))
        .unwrap();
    for n in 0..10u8 {
        let row = (vec![n], vec![n; 100]);
        file.execute("INSERT INTO outbox VALUES (?1, ?2)", row)
            .unwrap();
    }
    old
}

#[test]
fn rows_of_an_older_format_are_read_and_get_checksums_when_they_are_written() {
    let dir = old();
    let words = check(dir.path()).unwrap();
    assert!(words.problems.is_empty(), "{words:?}");
    assert!(
        words.whole[0].contains("wrote 10 of them without a checksum"),
        "{words:?}"
    );
    let mut store = open(dir.path()).unwrap();
    for n in 0..10u8 {
        assert_eq!(store.get(Space::Outbox, &[n]).unwrap(), Some(vec![n; 100]));
    }
    store.commit(&put(&[3], b"written again")).unwrap();
    drop(store);
    let words = check(dir.path()).unwrap();
    assert!(words.whole[0].contains("wrote 9 of them"), "{words:?}");
    SqliteStore::open(dir.path()).unwrap().compact().unwrap();
    let words = check(dir.path()).unwrap();
    assert_eq!(words.whole[0], "hallward.db: 10 rows, all whole");
    let store = open(dir.path()).unwrap();
    assert_eq!(store.get(Space::Outbox, &[9]).unwrap(), Some(vec![9; 100]));
}

#[test]
fn copies_of_an_older_format_have_a_checksum_in_every_row() {
    let dir = old();
    let root = tempfile::tempdir().unwrap();
    let restored = root.path().join("restored");
    assert_eq!(restore(dir.path(), &restored).unwrap(), 10);
    let repaired = root.path().join("repaired");
    let report = repair(dir.path(), &repaired, false).unwrap();
    assert_eq!((report.copied.rows, report.copied.commits), (10, 0));
    for copy in [restored, repaired] {
        let words = check(&copy).unwrap();
        assert_eq!(words.whole[0], "hallward.db: 10 rows, all whole");
        assert_eq!(words.problems, Vec::<String>::new());
    }
}

#[test]
fn every_way_to_read_a_row_sees_that_it_is_not_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    for key in [&b"a"[..], b"b\0\xff", b"c"] {
        store.commit(&put(key, b"value")).unwrap();
    }
    drop(store);
    shell(
        dir.path(),
        "UPDATE outbox SET v = CAST('other' AS BLOB) WHERE k > x'62'",
    );
    let store = open(dir.path()).unwrap();
    let mut seen = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        seen.push(key.to_vec());
        ControlFlow::Continue(())
    };
    let refusals = [
        store.get(Space::Outbox, b"b\0\xff").map(|_| ()),
        store.scan(Space::Outbox, b"", &mut visit),
        store
            .view()
            .unwrap()
            .range(Space::Outbox, b"", &END, &mut visit),
    ];
    assert_eq!(seen, [b"a", b"a"]);
    for refusal in refusals {
        let StoreError::Corrupt { path, reason } = refusal.unwrap_err() else {
            panic!("expected damage");
        };
        assert!(path.ends_with(DATABASE_FILE));
        assert!(
            reason.contains(r#"table outbox with the key "b\x00\xff""#),
            "{reason}"
        );
    }
    let mut sent = Vec::new();
    let refusal = send(&*store.view().unwrap(), 0, &mut sent).unwrap_err();
    refuse(&mut sent, &refusal.to_string());
    let heard = receive(&sent[..], &mut |_, _| Ok(())).unwrap_err();
    assert!(heard.to_string().contains("table outbox"), "{heard}");
}

#[test]
fn damaged_rows_are_named_up_to_a_number_and_all_counted() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    for n in 0..100u8 {
        store.commit(&put(&[n], b"value")).unwrap();
    }
    drop(store);
    shell(dir.path(), "UPDATE outbox SET c = c + 1 WHERE k < x'32'");
    let found = check(dir.path()).unwrap();
    assert_eq!(found.problems.len(), 21, "{found:?}");
    assert!(found.problems[20].ends_with("and 30 more rows are not what was written"));
    let report = repair(dir.path(), to.path(), false).unwrap();
    assert_eq!(report.left_out, ["50 damaged rows of hallward.db"]);
    assert_eq!(report.copied.rows, 50);
    assert_eq!(check(to.path()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn damage_to_the_index_alone_costs_no_row() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    for n in 0..10u8 {
        store
            .commit(&put(format!("the key {n} of a row").as_bytes(), &[n; 50]))
            .unwrap();
    }
    drop(store);
    let path = dir.path().join(DATABASE_FILE);
    let file = fs::read(&path).unwrap();
    let places: Vec<usize> = (0..file.len() - 16)
        .filter(|at| file[*at..].starts_with(b"the key 4 of a"))
        .collect();
    assert_eq!(places.len(), 2, "in the table and in its index");
    for place in places {
        let mut flipped = file.clone();
        flipped[place + 8] ^= 2;
        fs::write(&path, flipped).unwrap();
        assert!(!check(dir.path()).unwrap().problems.is_empty());
        let to = to.path().join(place.to_string());
        repair(dir.path(), &to, false).unwrap();
        let saved = open(&to).unwrap();
        for n in 0..10u8 {
            let key = format!("the key {n} of a row");
            let value = saved.get(Space::Outbox, key.as_bytes()).unwrap();
            assert_eq!(value, Some(vec![n; 50]));
        }
    }
}

/// The pages that begin with one of these bytes and hold all of `words`.
fn pages(file: &[u8], kind: u8, word: &[u8]) -> Vec<usize> {
    let holds = |page: &[u8]| page.windows(word.len()).any(|at| at == word);
    let numbered = file.chunks(4096).enumerate();
    let found = numbered.filter(|(_, page)| page[0] == kind && holds(page));
    found.map(|(number, _)| number).collect()
}

#[test]
fn pages_that_do_not_read_cost_the_rows_on_them_and_no_other() {
    const ROWS: usize = 1000;
    // SQLite's types of pages.
    const TABLE_LEAF: u8 = 13;
    const INDEX_LEAF: u8 = 10;
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    // Whatever order they came in, it is not that of their keys.
    let key = |n: usize| format!("key-{:04}", n * 377 % ROWS);
    for n in 0..ROWS {
        store.commit(&put(key(n).as_bytes(), &[7; 150])).unwrap();
    }
    drop(store);
    let path = dir.path().join(DATABASE_FILE);
    let file = fs::read(&path).unwrap();
    let (tables, indexes) = (
        pages(&file, TABLE_LEAF, b"key-"),
        pages(&file, INDEX_LEAF, b"key-"),
    );
    let (table, index) = (tables[tables.len() / 3], indexes[indexes.len() / 2]);
    let other = tables[tables.len() / 3 + 7];
    let keys_on = |page: usize| -> Vec<usize> {
        let page = &file[page * 4096..][..4096];
        let is_there = |n: &usize| {
            let key = key(*n);
            page.windows(key.len()).any(|at| at == key.as_bytes())
        };
        (0..ROWS).filter(is_there).collect()
    };
    for with in [0, u8::MAX] {
        for hurt in [
            &[table][..],
            &[table, other],
            &[index],
            &[table, other, index],
        ] {
            let mut damaged = file.clone();
            for page in hurt {
                damaged[page * 4096..][..4096].fill(with);
            }
            fs::write(&path, damaged).unwrap();
            let to = tempfile::tempdir().unwrap();
            let report = repair(dir.path(), to.path(), false).unwrap();
            let of_table = hurt.iter().filter(|page| **page != index);
            let gone: Vec<usize> = of_table.flat_map(|page| keys_on(*page)).collect();
            let saved = open(to.path()).unwrap();
            for n in 0..ROWS {
                let value = saved.get(Space::Outbox, key(n).as_bytes()).unwrap();
                assert_eq!(value.is_none(), gone.contains(&n), "{hurt:?} {n}");
            }
            assert_eq!(report.copied.rows, (ROWS - gone.len()) as u64);
            let all = report.problems.join("\n");
            let named = all.matches("it is lost").count();
            let unnamed: Vec<usize> = match hurt.contains(&index) {
                true => keys_on(index),
                false => Vec::new(),
            };
            let known = gone.iter().filter(|n| !unnamed.contains(n)).count();
            assert_eq!(named, known.min(20), "{all}");
            if known > 0 {
                let rows = format!("{known} rows of hallward.db that cannot be read");
                assert!(report.left_out.contains(&rows), "{report:?}");
            }
            let is_unknown = all.contains("more rows may be lost");
            assert_eq!(
                is_unknown,
                hurt.contains(&table) && hurt.contains(&index),
                "{all}"
            );
            let found = check(dir.path()).unwrap().problems.join("\n");
            assert_eq!(found.matches("it is lost").count(), named, "{found}");
        }
    }
}

#[test]
fn a_database_whose_end_is_gone_gives_what_is_left() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    for n in 0..200u8 {
        store.commit(&put(&[n], &[n; 500])).unwrap();
    }
    drop(store);
    let path = dir.path().join(DATABASE_FILE);
    let file = fs::read(&path).unwrap();
    fs::write(&path, &file[..file.len() - 3 * 4096]).unwrap();
    assert!(super::super::open(dir.path(), LogLimits::default()).is_err());
    let report = repair(dir.path(), to.path(), false).unwrap();
    assert!((100..200).contains(&report.copied.rows), "{report:?}");
    assert!(!report.problems.is_empty(), "{report:?}");
}

#[test]
fn a_database_of_which_nothing_reads_is_made_from_the_whole_log_or_from_a_backup() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    for n in 0..40u8 {
        store.commit(&put(&[n], b"value")).unwrap();
    }
    let killed = super::super::copy::tests::image(dir.path());
    drop(store);
    for (dir, has_log) in [(killed.path(), true), (dir.path(), false)] {
        let _ = fs::remove_file(dir.join("hallward.db-wal"));
        fs::write(dir.join(DATABASE_FILE), [u8::MAX; 8192]).unwrap();
        let to = to.path().join(has_log.to_string());
        match repair(dir, &to, false) {
            Ok(report) => {
                assert!(has_log, "{report:?}");
                assert!(report.problems[0].contains("nothing in it can be read"));
                assert_eq!((report.copied.rows, report.copied.commits), (40, 40));
            }
            Err(refusal) => {
                let refusal = refusal.to_string();
                assert!(!has_log && !to.exists(), "{refusal}");
                assert!(refusal.contains("hallward restore"), "{refusal}");
                assert!(!refusal.contains("ledger repair"), "{refusal}");
            }
        }
    }
}

#[test]
fn a_ledger_that_has_lost_what_it_knows_of_its_log_keeps_all_commits() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = open(dir.path()).unwrap();
    for n in 0..40u8 {
        store.commit(&put(&[n], b"first")).unwrap();
    }
    drop(store);
    let mut store = open(dir.path()).unwrap();
    for n in 20..60u8 {
        store.commit(&put(&[n], b"second")).unwrap();
    }
    let image = super::super::copy::tests::image(dir.path());
    shell(
        image.path(),
        "UPDATE meta SET v = zeroblob(37) WHERE k = CAST('ledger' AS BLOB)",
    );
    let refusal = super::super::open(image.path(), LogLimits::default()).unwrap_err();
    assert!(refusal.to_string().contains("table meta"), "{refusal}");
    assert!(!check(image.path()).unwrap().problems.is_empty());
    repair(image.path(), to.path(), false).unwrap();
    let saved = open(to.path()).unwrap();
    for n in 0..60u8 {
        let expected = if n < 20 { &b"first"[..] } else { b"second" };
        assert_eq!(saved.get(Space::Outbox, &[n]).unwrap().unwrap(), expected);
    }
}

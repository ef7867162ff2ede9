//! Bits that flip in the database of a real run, and files that go away: what is found, who
//! refuses, and what repairs make of it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hallward::ledger::repair::{ReadOnly, RepairReport, read_only};
use hallward::ledger::sqlite::DATABASE_FILE;
use hallward::ledger::{LogLimits, Space, SqliteStore, Store};
use hallward::runtime::GatewayError;
use hallward::runtime::upkeep::{check, repair};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;

use crate::harness::{Agent, Client, Connect, Gateway, Publish, Setup};

/// Bytes by which a value is found in the file.
const NEEDLE: usize = 24;

type Rows = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

fn hallward(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hallward"))
        .args(arguments)
        .output()
        .expect("the binary starts")
}

/// What a command says where it must end with this code.
#[track_caller]
fn told(code: i32, arguments: &[&str]) -> String {
    let output = hallward(arguments);
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words}");
    words
}

fn serve(data: &Path) -> [&str; 7] {
    let (any, data) = ("127.0.0.1:0", text(data));
    ["serve", "--data", data, "--mqtt", any, "--http", any]
}

/// A bit of everything that is kept, small and large, some of it deleted again.
fn live(gateway: &Gateway) {
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("keeper").persistent());
    keeper.subscribe(&[("kept/#", 2), ("also/+", 1)]);
    keeper.disconnect();
    let mut boss = Agent::join(gateway, "lab", "boss");
    for n in 0..6 {
        boss.dispatch(json!({"type": "draft", "payload": {"n": n, "text": "word ".repeat(40)}}));
        boss.dispatch(json!({"type": "review", "payload": {"n": n}}));
        boss.set(
            &format!("plan/{n}"),
            json!({"step": n, "why": "because ".repeat(n * 20)}),
        );
        boss.request(json!({"action": "read", "content": {"path": format!("/tmp/{n}")}}));
        boss.tell(
            "inbox/later",
            &json!({"body": "as it was said ".repeat(n + 1)}),
        );
    }
    let mut worker = Agent::worker(gateway, "lab", "worker", "draft");
    let done = worker.assignment("draft");
    worker.succeed(&done, json!({"words": 3}));
    for n in 0..12usize {
        let large = vec![b'a' + n as u8; 40 + n * n * 90];
        for topic in [format!("numbers/{n}"), format!("kept/{n}")] {
            let retain = topic.starts_with("numbers");
            let publish = Publish::new(&topic, large.clone(), 1);
            let publish = if retain { publish.retained() } else { publish };
            assert_eq!(boss.publish(publish), 0);
        }
    }
    for n in 3..6 {
        let gone = Publish::new(&format!("numbers/{n}"), "", 1).retained();
        boss.publish(gone);
    }
    worker.disconnect();
    boss.disconnect();
}

/// The data of a run that was stopped in order.
fn lived() -> (Gateway, PathBuf) {
    let mut gateway = Gateway::start();
    live(&gateway);
    assert!(gateway.stop().success());
    let data = gateway.data.clone();
    (gateway, data)
}

fn rows(store: &dyn Store) -> Rows {
    let mut rows = Rows::new();
    for space in Space::ALL {
        let visit = &mut |key: &[u8], value: &[u8]| {
            rows.insert((space, key.to_vec()), value.to_vec());
            ControlFlow::Continue(())
        };
        store.scan(space, b"", visit).expect("it is whole");
    }
    rows
}

/// Where a value begins in the file, for all whose place is beyond doubt.
fn places(file: &[u8], rows: &Rows) -> Vec<((Space, Vec<u8>), usize, usize)> {
    let find = |needle: &[u8]| {
        let mut places =
            (0..file.len() - needle.len()).filter(|at| file[*at..].starts_with(needle));
        places.next().filter(|_| places.next().is_none())
    };
    let begin = |value: &Vec<u8>| value.get(..NEEDLE).and_then(find);
    rows.iter()
        .filter_map(|(place, value)| Some((place.clone(), begin(value)?, value.len())))
        .collect()
}

fn flip(file: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = file.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

/// A data directory with nothing but this database.
fn directory_of(database: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join(DATABASE_FILE), database).expect("writable");
    dir
}

/// What is wrong by `ledger check`; nothing if all is well.
/// A process that another test starts holds our locks until it has become its program: what is in
/// use for that moment is tried again.
fn once_free<T>(mut open: impl FnMut() -> Result<T, GatewayError>) -> Result<T, GatewayError> {
    loop {
        match open() {
            Err(GatewayError::Busy(_)) => std::thread::yield_now(),
            done => return done,
        }
    }
}

fn whole(dir: &Path) -> ReadOnly {
    once_free(|| Ok(read_only(dir)?)).expect("whole")
}

fn problems(dir: &Path) -> Vec<String> {
    match once_free(|| check(dir)) {
        Ok(report) => report.problems,
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn every_bit_that_flips_is_found_or_does_no_harm() {
    let (_gateway, data) = lived();
    let file = fs::read(data.join(DATABASE_FILE)).expect("readable");
    assert_eq!(problems(&data), Vec::<String>::new());
    let all = rows(&whole(&data));
    let places = places(&file, &all);
    assert!(places.len() > 40, "{} values can be placed", places.len());
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let mut below = |n: usize| rng.next_u64() as usize % n;
    for _ in 0..400 {
        let ((space, key), at, length) = &places[below(places.len())];
        let bit = (at + below(NEEDLE.min(*length))) * 8 + below(8);
        let dir = directory_of(&flip(&file, bit));
        let found = problems(dir.path());
        let names = |line: &String| line.contains(space.name());
        assert!(
            found.iter().any(names),
            "bit {bit} of {space:?} {key:?}: {found:?}"
        );
    }
    let mut harmless = 0;
    for n in 0..800 {
        // Every second one where SQLite keeps its own numbers.
        let within = if n % 2 == 0 { file.len() } else { 2 * 4096 };
        let bit = below(within * 8);
        let dir = directory_of(&flip(&file, bit));
        let found = problems(dir.path());
        if !found.is_empty() {
            continue;
        }
        harmless += 1;
        assert!(rows(&whole(dir.path())) == all, "bit {bit}");
        let opened = SqliteStore::open(dir.path());
        let opened =
            opened.unwrap_or_else(|error| panic!("bit {bit}: check says nothing, {error}"));
        assert!(rows(&opened) == all, "bit {bit}");
    }
    assert!(harmless > 50, "{harmless} flips did no harm");
}

fn repaired(dir: &Path, to: &Path) -> RepairReport {
    let repaired = once_free(|| {
        fs::remove_dir_all(to).unwrap_or_default();
        repair(dir, to, false)
    });
    repaired.expect("a repair")
}

#[test]
fn whichever_row_is_lost_a_repair_makes_a_ledger_that_starts() {
    let (_gateway, data) = lived();
    let file = fs::read(data.join(DATABASE_FILE)).expect("readable");
    let all = rows(&whole(&data));
    let mut alone = 0;
    for ((space, key), at, _) in places(&file, &all) {
        let dir = directory_of(&flip(&file, at * 8 + 3));
        let to = dir.path().join("repaired");
        let report = repaired(dir.path(), &to);
        let names =
            |line: &String| line.contains(space.name()) && line.contains("is not what was written");
        assert!(report.problems.iter().any(names), "{report:?}");
        alone += usize::from(
            report
                .left_out
                .iter()
                .any(|line| line.contains("what no start can read")),
        );
        assert_eq!(problems(&to), Vec::<String>::new(), "{space:?} {key:?}");
        let left = rows(&whole(&to));
        assert!(!left.contains_key(&(space, key)) || space == Space::Meta);
        assert!(left.len() + 2 >= all.len(), "{report:?}");
    }
    assert!(alone > 0, "half of a task is of no use");
}

#[test]
fn a_flipped_bit_is_refused_in_words_and_a_repair_starts() {
    let (mut gateway, data) = lived();
    let path = data.join(DATABASE_FILE);
    let file = fs::read(&path).expect("readable");
    let all = rows(&whole(&data));
    let places = places(&file, &all);
    let (place, at, _) = places
        .iter()
        .find(|((space, key), _, _)| *space == Space::Retained && key.ends_with(b"numbers/8"))
        .expect("it is kept");
    fs::write(&path, flip(&file, at * 8 + 100)).expect("writable");
    let words = told(1, &serve(&data));
    for word in [
        text(&path),
        "retained",
        "numbers/8",
        "hallward restore",
        "hallward ledger repair",
    ] {
        assert!(words.contains(word), "{words}");
    }
    let words = told(1, &["ledger", "check", text(&data)]);
    assert!(
        words.contains("table retained") && words.contains("numbers/8"),
        "{words}"
    );
    let copies = tempfile::tempdir().expect("a temporary directory");
    let copy = copies.path().join("copy");
    let words = told(1, &["backup", text(&copy), "--data", text(&data)]);
    assert!(words.contains("numbers/8") && !copy.exists(), "{words}");
    told(1, &["ledger", "compact", text(&data)]);

    let saved = copies.path().join("saved");
    let words = told(0, &["ledger", "repair", text(&data), "--to", text(&saved)]);
    assert!(
        words.contains("numbers/8") && words.contains("left out: 1 damaged row of"),
        "{words}"
    );
    let again = Setup::new().on(&saved).start();
    let mut reader = Client::connect(again.mqtt, Connect::v5("reader"));
    reader.subscribe(&[("numbers/7", 0)]);
    assert_eq!(reader.message().payload.len(), 40 + 49 * 90);
    drop(again);
    let left = rows(&whole(&saved));
    assert!(!left.contains_key(place));

    // As it was, it starts, and notices while it runs.
    fs::write(&path, &file).expect("writable");
    gateway.restart();
    fs::write(
        &path,
        flip(&fs::read(&path).expect("readable"), at * 8 + 100),
    )
    .expect("writable");
    let words = told(1, &["backup", text(&copy), "--data", text(&data)]);
    assert!(
        words.contains("numbers/8") && words.contains("table retained"),
        "{words}"
    );
    assert!(!copy.exists());
}

#[test]
fn a_record_of_an_older_release_that_cannot_be_read_is_refused_and_left_out() {
    let (_gateway, data) = lived();
    let file = rusqlite::Connection::open(data.join(DATABASE_FILE)).expect("a database");
    // As a bit that flipped before rows had checksums left it.
    for sql in [
        "UPDATE session SET v = x'00', c = NULL WHERE k = CAST('keeper' || x'00' || 'skept/#' AS BLOB)",
        "UPDATE engine SET v = x'00', c = NULL WHERE rowid = (SELECT max(rowid) FROM engine)",
    ] {
        assert_eq!(file.execute(sql, ()).expect("a row"), 1);
    }
    drop(file);
    for arguments in [&serve(&data)[..], &["ledger", "check", text(&data)]] {
        let words = told(1, arguments);
        for word in [
            "engine record",
            "hallward restore",
            "hallward ledger repair",
        ] {
            assert!(words.contains(word), "{words}");
        }
    }
    let copies = tempfile::tempdir().expect("a temporary directory");
    let saved = copies.path().join("saved");
    let words = told(0, &["ledger", "repair", text(&data), "--to", text(&saved)]);
    for word in [
        "left out: what no start can read",
        "engine record",
        "session record",
    ] {
        assert!(words.contains(word), "{words}");
    }
    let again = Setup::new().on(&saved).start();
    let keeper = Client::connect(again.mqtt, Connect::v5("keeper").persistent());
    assert!(keeper.session_present, "what else it had is there");
}

#[test]
fn a_repair_that_saves_nothing_is_an_error() {
    let (_gateway, data) = lived();
    let file = rusqlite::Connection::open(data.join(DATABASE_FILE)).expect("the database");
    for space in Space::ALL {
        let sql = format!("UPDATE {} SET c = c + 1", space.name());
        file.execute(&sql, ()).expect("the table is there");
    }
    drop(file);
    let copies = tempfile::tempdir().expect("a temporary directory");
    let saved = copies.path().join("saved");
    let words = told(1, &["ledger", "repair", text(&data), "--to", text(&saved)]);
    for word in ["nothing was saved", text(&saved), "hallward restore"] {
        assert!(words.contains(word), "{words}");
    }
}

/// A gateway that was killed, with all in its log.
fn killed() -> (Gateway, PathBuf) {
    let mut gateway = Gateway::start();
    live(&gateway);
    gateway.kill();
    let data = gateway.data.clone();
    (gateway, data)
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy_all(&path, &to),
            false => fs::copy(&path, to).map(|_| ()).expect("writable"),
        }
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => {
                let bytes = fs::read(&path).expect("readable");
                files.insert(path, bytes);
            }
        }
    }
    files
}

#[test]
fn whatever_file_is_gone_check_and_serve_agree_and_a_refused_start_changes_nothing() {
    let (_gateway, data) = killed();
    let segment = Path::new("log/00000000000000000001.log");
    let wal = Path::new("hallward.db-wal");
    let cases: [&[&Path]; 5] = [
        &[],
        &[wal],
        &[segment],
        &[Path::new(DATABASE_FILE), wal],
        &[segment, wal],
    ];
    let mut refused = 0;
    for gone in cases {
        let place = tempfile::tempdir().expect("a temporary directory");
        let dir = place.path().join("data");
        copy_all(&data, &dir);
        let _ = fs::remove_file(dir.join("hallward.db-shm"));
        for file in gone {
            fs::remove_file(dir.join(file)).expect("it was there");
        }
        let found = problems(&dir);
        let before = files(&dir);
        let opened = hallward::ledger::open(&dir, LogLimits::default());
        assert_eq!(
            found.is_empty(),
            opened.is_ok(),
            "{gone:?}: {found:?}, {opened:?}"
        );
        if opened.is_err() {
            refused += 1;
            let mut after = files(&dir);
            after.retain(|path, _| !path.ends_with("lock") && !text(path).ends_with("-shm"));
            let mut before = before;
            before.retain(|path, _| !path.ends_with("lock") && !text(path).ends_with("-shm"));
            let names =
                |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&before), names(&after), "{gone:?}");
            assert!(before == after, "{gone:?}");
        }
    }
    assert!(refused > 1, "{refused}");
}

//! What a durable commit costs beside what the disk itself takes, on a real directory.
//!
//! `cargo bench --bench ledger` runs under a minute. It prints the disk's own fdatasync first and
//! last, because the ratio is what can be compared between machines; then the steady state with its
//! tail, which criterion's means hide.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use hallward::ledger::{Batch, LogLimits, LoggedStore, Space, SqliteStore, Store};

const RECORD_BYTES: usize = 512;
const COMMIT_SIZES: [u64; 4] = [1, 10, 100, 1000];
/// Rows kept behind the front: the queue is consumed as it is filled.
const BACKLOG: u64 = 5_000;
const STEADY: Duration = Duration::from_secs(3);

fn main() {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ledger-bench");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).expect("the target directory is writable");
    let disk = fdatasync(&root);
    disk.print("disk: append 4 KiB + fdatasync", None);

    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
        .configure_from_args();
    commits(&mut criterion, &root);
    recovery(&mut criterion, &root);
    criterion.final_summary();

    if !std::env::args().any(|argument| argument == "--test") {
        for way in Way::ALL {
            for records in COMMIT_SIZES {
                steady_state(&root, way, records, &disk);
            }
        }
        fdatasync(&root).print("disk: append 4 KiB + fdatasync, again", None);
    }
    let _ = fs::remove_dir_all(&root);
}

/// Where a commit goes.
#[derive(Clone, Copy)]
enum Way {
    /// To the database at once.
    Database,
    /// To the log in front of it, as in the gateway.
    Log,
}

impl Way {
    const ALL: [Way; 2] = [Way::Database, Way::Log];

    fn name(self) -> &'static str {
        match self {
            Way::Database => "database",
            Way::Log => "log",
        }
    }
}

/// Append, and delete what is older than the backlog: the shape of a mailbox.
struct Queue {
    store: Box<dyn Store>,
    next: u64,
}

impl Queue {
    fn open(root: &Path, way: Way, records: u64) -> Self {
        let dir = root.join(format!("{}-{records}", way.name()));
        let database = SqliteStore::open(&dir).expect("a fresh directory takes a ledger");
        let store: Box<dyn Store> = match way {
            Way::Database => Box::new(database),
            Way::Log => Box::new(
                LoggedStore::open(database, &dir, LogLimits::default())
                    .expect("a fresh directory takes a log"),
            ),
        };
        Self { store, next: 0 }
    }

    fn commit(&mut self, records: u64) {
        let mut batch = Batch::default();
        for _ in 0..records {
            batch.put(Space::Outbox, key(self.next), vec![0x5a; RECORD_BYTES]);
            if let Some(old) = self.next.checked_sub(BACKLOG) {
                batch.delete(Space::Outbox, key(old));
            }
            self.next += 1;
        }
        self.store.commit(&batch).expect("the disk has room");
    }
}

/// Sixteen mailboxes, each in order.
fn key(n: u64) -> Vec<u8> {
    let mut key = format!("agent-{:02}/", n % 16).into_bytes();
    key.extend((n / 16).to_be_bytes());
    key
}

fn commits(criterion: &mut Criterion, root: &Path) {
    let root = root.join("commit");
    for way in Way::ALL {
        let mut group = criterion.benchmark_group(format!("commit/{}", way.name()));
        for records in COMMIT_SIZES {
            let mut queue = Queue::open(&root, way, records);
            group.throughput(Throughput::Elements(records));
            group.bench_function(BenchmarkId::from_parameter(records), |bencher| {
                bencher.iter(|| queue.commit(records));
            });
        }
        group.finish();
    }
}

fn recovery(criterion: &mut Criterion, root: &Path) {
    const ROWS: u64 = 100_000;
    let mut store =
        SqliteStore::open(&root.join("recovery")).expect("a fresh directory takes a ledger");
    for first in (0..ROWS).step_by(1000) {
        let mut batch = Batch::default();
        for n in first..first + 1000 {
            batch.put(Space::Engine, key(n), vec![0x5a; RECORD_BYTES]);
        }
        store.commit(&batch).expect("the disk has room");
    }
    let mut group = criterion.benchmark_group("recovery");
    group.throughput(Throughput::Elements(ROWS));
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("scan", ROWS), |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            let visit = &mut |key: &[u8], value: &[u8]| {
                bytes += black_box(key).len() + black_box(value).len();
                ControlFlow::Continue(())
            };
            store
                .scan(Space::Engine, b"", visit)
                .expect("what was committed is readable");
            bytes
        });
    });
    group.finish();
}

/// Commits back to back, checkpoints included, for long enough to meet many of them.
fn steady_state(root: &Path, way: Way, records: u64, disk: &Latency) {
    let mut queue = Queue::open(&root.join("steady"), way, records);
    let mut micros = Vec::new();
    let start = Instant::now();
    while start.elapsed() < STEADY {
        let commit = Instant::now();
        queue.commit(records);
        micros.push(commit.elapsed().as_micros());
    }
    let rate = micros.len() as f64 * records as f64 / start.elapsed().as_secs_f64();
    let label = format!(
        "steady: {}, {records} a commit, {rate:.0} records/s",
        way.name()
    );
    Latency::of(micros).print(&label, Some(disk));
}

fn fdatasync(root: &Path) -> Latency {
    let mut file = File::create(root.join("fdatasync")).expect("the target directory is writable");
    let page = [0x5a; 4096];
    let micros = (0..1000).map(|_| {
        let start = Instant::now();
        file.write_all(&page)
            .and_then(|()| file.sync_data())
            .expect("the disk has room");
        start.elapsed().as_micros()
    });
    Latency::of(micros.collect())
}

/// Microseconds.
struct Latency {
    p50: u128,
    p99: u128,
    max: u128,
}

impl Latency {
    fn of(mut micros: Vec<u128>) -> Self {
        micros.sort_unstable();
        let at = |percent: usize| {
            micros
                .get(micros.len() * percent / 100)
                .copied()
                .unwrap_or_default()
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: micros.last().copied().unwrap_or_default(),
        }
    }

    fn print(&self, label: &str, disk: Option<&Self>) {
        let Self { p50, p99, max } = self;
        print!("{label}: p50 {p50} µs, p99 {p99} µs, max {max} µs");
        if let Some(disk) = disk {
            let ratio = |ours: u128, theirs: u128| ours as f64 / theirs.max(1) as f64;
            print!(
                " (fdatasync x {:.2}, {:.2})",
                ratio(self.p50, disk.p50),
                ratio(self.p99, disk.p99)
            );
        }
        println!();
    }
}

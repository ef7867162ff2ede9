//! The tests: many seeds, the seeds that once found something, and that a seed is a run.
//!
//! `HALLWARD_SIM_SEEDS` says how many, `HALLWARD_SIM_START` from which on (a number, `random`, or
//! any word, for instance a commit's hash), `HALLWARD_SIM_SEED` asks for one.
//! `HALLWARD_SIM_HISTORIES` names a file that gets a line for each seed: world, seed, and a number
//! for all that happened and was written in it. A change that is to change nothing leaves the
//! sorted lines as they are.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, RandomState};
use std::io::Write;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::gateway::{self, ALL, Counts};
use super::model::Tally;
use super::world::{Report, run, run_undisturbed};

/// Seeds of an ordinary test run; `HALLWARD_SIM_SEEDS` asks for more.
const SEEDS: u64 = 40;

/// Seeds after which a long run says how far it is.
const PROGRESS: u64 = 500;

/// Later seeds that once found something; `scenarios` tells it step by step.
const TELLING: [(u64, &str); 9] = [
    (
        24,
        "the result of a task that waited did not say who had it last",
    ),
    (27, "neither did handoff/get"),
    (41, "nor for a task that expired in the queue"),
    (80, "a partial result that found no room moved its task on"),
    (
        1807,
        "the model took the next group of a name for the one that the same step ended",
    ),
    (
        33_093_287_518_667_275,
        "the model took an approval that the same step ended for the one that it asked for",
    ),
    (
        170,
        "the model wanted released work to go back at once to who had released it",
    ),
    (
        468,
        "the model forgot that the attempt a task died of may still succeed once the task is redriven",
    ),
    (
        16_656_609_828_667_660,
        "the model took what was due before a cancellation for what the cancellation did",
    ),
];

/// The same of the gateway's world.
const TELLING_GATEWAY: [(u64, &str); 1] = [(
    313,
    "packet ids that a client still held after a purge were given to other messages after a restart",
)];

/// A number from the environment.
pub(super) fn number<N: FromStr<Err: Display>>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{name} must be a number, but is {text:?}: {error}")),
    )
}

/// The first seed: a number as it is, a word by its hash, far from where the numbers of an ordinary
/// run are.
fn start() -> u64 {
    let Ok(text) = std::env::var("HALLWARD_SIM_START") else {
        return 0;
    };
    let hash = match text.as_str() {
        "random" => RandomState::new().hash_one(&text),
        _ => BuildHasherDefault::<DefaultHasher>::default().hash_one(&text),
    };
    let start = text.parse().unwrap_or(hash >> 32 << 24);
    #[expect(clippy::print_stderr, reason = "a long run says what it runs")]
    {
        eprintln!("simulation: seeds from {start} on");
    }
    start
}

/// The one seed that is asked for, or so many.
fn seeds(usual: u64) -> Range<u64> {
    if let Some(seed) = number("HALLWARD_SIM_SEED") {
        return seed..seed + 1;
    }
    let start = start();
    start..start + number("HALLWARD_SIM_SEEDS").unwrap_or(usual)
}

/// Writes down what a run was, for whoever compares.
fn note_history(world: &str, seed: u64, trace: u64) {
    let Some(path) = std::env::var_os("HALLWARD_SIM_HISTORIES") else {
        return;
    };
    let file = OpenOptions::new().create(true).append(true).open(path);
    let line = format!("{world} {seed} {trace:016x}\n");
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("HALLWARD_SIM_HISTORIES names a file that can be written");
}

/// What a seed came to.
fn outcome(seed: u64) -> Result<Report, String> {
    caught(seed, || {
        run(seed).map_err(|failure| {
            let steps = failure.tail.join("\n");
            format!("{steps}\n\nbroken after these steps: {}", failure.broken)
        })
    })
}

/// Words where a seed broke something, a panic of the gateway's included.
fn caught<T>(seed: u64, run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(words)) => Err(format!("seed {seed}:\n{words}")),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|&words| words.into()));
            let words = words.unwrap_or_default();
            Err(format!("seed {seed} panicked: {words}"))
        }
    }
}

fn run_or_panic(seed: u64) -> Report {
    outcome(seed).unwrap_or_else(|words| panic!("{words}\n{}", replay_line(seed, "agents")))
}

/// How to see it again.
fn replay_line(seed: u64, name: &str) -> String {
    format!("replay: HALLWARD_SIM_SEED={seed} cargo test --test it sim::seeds::{name}")
}

/// Runs seeds on every core until one breaks something, and counts what happened.
fn run_all<R, T: Default + Send>(
    seeds: Range<u64>,
    name: &str,
    outcome: impl Fn(u64) -> Result<R, String> + Sync,
    add: impl Fn(&mut T, R) + Sync,
) -> T {
    let (next, total) = (AtomicU64::new(seeds.start), Mutex::new(T::default()));
    let broken = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let done = seed - seeds.start;
                    if done > 0 && done.is_multiple_of(PROGRESS) {
                        #[expect(clippy::print_stderr, reason = "a long run says how far it is")]
                        {
                            eprintln!("simulation: {done} seeds");
                        }
                    }
                    match outcome(seed) {
                        Ok(report) => {
                            let mut total = total.lock().expect("nobody panics with it");
                            add(&mut total, report);
                        }
                        Err(words) => {
                            // The others finish the seed that they are at.
                            next.store(seeds.end, Ordering::Relaxed);
                            let mut broken = broken.lock().expect("nobody panics with it");
                            broken.get_or_insert((seed, words));
                        }
                    }
                }
            });
        }
    });
    if let Some((seed, words)) = broken.into_inner().expect("nobody panics with it") {
        panic!("{words}\n{}", replay_line(seed, name));
    }
    total.into_inner().expect("nobody panics with it")
}

#[test]
fn agents_and_crashes_break_no_invariant() {
    let outcome = |seed| {
        let report = outcome(seed)?;
        note_history("agents", seed, report.trace);
        Ok(report)
    };
    let add = |total: &mut Tally, report: Report| total.add(&report.tally);
    let total = run_all(seeds(SEEDS), "agents", outcome, add);
    if number::<u64>("HALLWARD_SIM_SEED").is_none() {
        total.has_everything();
    }
}

#[test]
fn gateway_keeps_its_word_whatever_network_and_disk_do() {
    let outcome = |seed| {
        let report = caught(seed, || gateway::run(seed))?;
        note_history("gateway", seed, report.trace);
        Ok(report)
    };
    let add = |total: &mut Counts, report: gateway::Report| {
        for (name, count) in report.counts {
            *total.entry(name).or_default() += count;
        }
    };
    let total = run_all(seeds(SEEDS), "gateway", outcome, add);
    let missing = ALL.iter().find(|name| !total.contains_key(*name));
    assert!(
        missing.is_none() || number::<u64>("HALLWARD_SIM_SEED").is_some(),
        "{missing:?} never happened: {total:?}"
    );
}

#[test]
fn seeds_that_once_broke_something_break_nothing() {
    for (seed, once) in TELLING {
        if let Err(failure) = run_undisturbed(seed) {
            panic!("seed {seed}, where once {once}: {}", failure.broken);
        }
    }
    for (seed, once) in TELLING_GATEWAY {
        if let Err(broken) = gateway::run_undisturbed(seed) {
            panic!("seed {seed} of the gateway, where once {once}: {broken}");
        }
    }
}

#[test]
fn a_seed_is_a_run() {
    assert_eq!(run_or_panic(7), run_or_panic(7));
    assert_eq!(gateway::run(7), gateway::run(7));
}

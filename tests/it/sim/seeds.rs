//! The tests: many seeds, the seeds that once found something, and that a seed is a run.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use super::model::Tally;
use super::world::{Report, run};

/// Seeds of an ordinary test run; `HALLWARD_SIM_SEEDS` asks for more.
const SEEDS: u64 = 20;

/// Later seeds that once found something; `scenarios` tells it step by step.
const TELLING: [(u64, &str); 4] = [
    (
        24,
        "the result of a task that waited did not say who had it last",
    ),
    (27, "neither did handoff/get"),
    (41, "nor for a task that expired in the queue"),
    (80, "a partial result that found no room moved its task on"),
];

/// A number from the environment.
pub(super) fn number<N: FromStr<Err: Display>>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{name} must be a number, but is {text:?}: {error}")),
    )
}

/// The one seed that is asked for, or the first so many.
fn seeds() -> Range<u64> {
    match number("HALLWARD_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HALLWARD_SIM_SEEDS").unwrap_or(SEEDS),
    }
}

/// Says how to see it again when the engine panics.
struct ReplayLine(u64);

impl Drop for ReplayLine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failing test tells how to replay it")]
            {
                eprintln!(
                    "replay: HALLWARD_SIM_SEED={} cargo test --test it sim::seeds::agents",
                    self.0
                );
            }
        }
    }
}

fn run_or_panic(seed: u64) -> Report {
    let _replay = ReplayLine(seed);
    match run(seed) {
        Ok(report) => report,
        Err(failure) => panic!(
            "seed {seed}:\n{}\n\nbroken after these steps: {}",
            failure.tail.join("\n"),
            failure.broken
        ),
    }
}

#[test]
fn agents_and_crashes_break_no_invariant() {
    let mut total = Tally::default();
    for seed in seeds() {
        total.add(&run_or_panic(seed).tally);
    }
    if number::<u64>("HALLWARD_SIM_SEED").is_none() {
        total.has_everything();
    }
}

#[test]
fn seeds_that_once_broke_something_break_nothing() {
    for (seed, once) in TELLING {
        if let Err(failure) = run(seed) {
            panic!("seed {seed}, where once {once}: {}", failure.broken);
        }
    }
}

#[test]
fn a_seed_is_a_run() {
    assert_eq!(run_or_panic(7), run_or_panic(7));
}

//! The demo ends right: it is what a newcomer runs first.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// A demo whose gateway is killed gives up its port for a moment, and wants it back.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the demo with these words; returns what it printed once it has ended well.
fn demo(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hallward"))
        .arg("demo")
        .args(words)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    said
}

#[test]
fn demo_publishes_after_its_own_approval_and_sums_up() {
    let _turn = turn();
    let said = demo(&["--yes"]);
    assert!(said.contains("6 ended, 6 attempts"), "{said}");
    assert!(said.contains("approved by editor"), "{said}");
    assert!(said.contains("version 6"), "{said}");
}

#[test]
fn demos_that_begin_at_the_same_moment_share_the_machine() {
    let _turn = turn();
    let demos = [0, 1].map(|_| thread::spawn(|| demo(&["--yes"])));
    for demo in demos {
        let said = demo.join().expect("both end well");
        assert!(said.contains("6 ended"), "{said}");
    }
}

#[test]
fn demo_ends_right_though_a_worker_and_the_gateway_are_killed() {
    let _turn = turn();
    let said = demo(&["--yes", "--chaos"]);
    assert!(said.contains("killed with -9"), "{said}");
    assert!(said.contains("6 ended"), "{said}");
    assert!(said.contains("approved by editor"), "{said}");
}

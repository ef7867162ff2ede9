//! The demo ends right: it is what a newcomer runs first.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Two demos that begin at the same moment would both find port 1883 free.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs the demo with these words; returns what it printed once it has ended well.
fn demo(words: &[&str]) -> String {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
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
    let said = demo(&["--yes"]);
    assert!(said.contains("6 ended, 6 attempts"), "{said}");
    assert!(said.contains("Approve by editor"), "{said}");
    assert!(said.contains("version 6"), "{said}");
}

#[test]
fn demo_ends_right_though_a_worker_and_the_gateway_are_killed() {
    let said = demo(&["--yes", "--chaos"]);
    assert!(said.contains("killed with -9"), "{said}");
    assert!(said.contains("6 ended"), "{said}");
    assert!(said.contains("Approve by editor"), "{said}");
}

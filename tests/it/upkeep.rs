//! Backups, damage and repairs, as who runs a gateway meets them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::json;

use crate::harness::{Agent, Client, Connect, Gateway, Publish, Setup};

fn hallward(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hallward"))
        .args(arguments)
        .output()
        .expect("the binary starts")
}

/// What a command says where it must fail with this code.
#[track_caller]
fn refusal(code: i32, arguments: &[&str]) -> String {
    let output = hallward(arguments);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words}");
    words
}

#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = hallward(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

fn retain(client: &mut Client, n: u32) {
    let payload = format!("{n}").into_bytes();
    let publish = Publish::new(&format!("numbers/{n}"), payload, 1).retained();
    assert_eq!(client.publish(publish), 0);
}

#[test]
fn a_backup_under_load_has_every_write_acknowledged_before_it_began() {
    let gateway = Setup::new().with("data.log_segment", "256KiB").start();
    let acknowledged = Arc::new(AtomicU32::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let (count, over, address) = (acknowledged.clone(), is_over.clone(), gateway.mqtt);
    let writer = std::thread::spawn(move || {
        let mut writer = Client::connect(address, Connect::v5("writer"));
        let mut n = 0;
        while !over.load(Ordering::Acquire) {
            retain(&mut writer, n);
            n += 1;
            count.store(n, Ordering::Release);
        }
    });
    while acknowledged.load(Ordering::Acquire) < 300 {
        std::thread::yield_now();
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    let copies: Vec<(u32, PathBuf)> = (0..3)
        .map(|n| {
            let before = acknowledged.load(Ordering::Acquire);
            let copy = place.path().join(format!("copy-{n}"));
            said(&["backup", text(&copy), "--data", text(&gateway.data)]);
            (before, copy)
        })
        .collect();
    is_over.store(true, Ordering::Release);
    writer.join().expect("it wrote to the end");
    for (before, copy) in copies {
        let data = place.path().join(format!("of-{before}"));
        said(&["restore", text(&copy), "--data", text(&data)]);
        let restored = Setup::new().on(&data).start();
        let mut reader = Client::connect(restored.mqtt, Connect::v5("reader"));
        reader.subscribe(&[("numbers/#", 0)]);
        // They come in no order that is promised: every one of them must.
        let mut missing: std::collections::BTreeSet<u32> = (0..before).collect();
        while !missing.is_empty() {
            let topic = reader.message().topic;
            missing.remove(&topic["numbers/".len()..].parse().expect("a number"));
        }
    }
}

#[test]
fn a_backup_goes_nowhere_where_something_is_and_a_restore_neither() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("plan", json!("first"));
    let place = tempfile::tempdir().expect("a temporary directory");
    let copy = place.path().join("copy");
    let data = gateway.data.clone();
    said(&["backup", text(&copy), "--data", text(&data)]);
    let words = refusal(64, &["backup", text(&copy), "--data", text(&data)]);
    assert!(words.contains("is not empty"), "{words}");
    let words = refusal(75, &["restore", text(&copy), "--data", text(&data)]);
    assert!(words.contains("in use"), "{words}");
    assert!(gateway.stop().success());
    let words = refusal(64, &["restore", text(&copy), "--data", text(&data)]);
    assert!(words.contains("is not empty"), "{words}");
    // Stopped, it can be copied as well; and there must be something to copy.
    let second = place.path().join("second");
    said(&["backup", text(&second), "--data", text(&data)]);
    assert!(said(&["ledger", "check", text(&second)]).contains("whole"));
    let nothing = place.path().join("nothing");
    let third = place.path().join("third");
    refusal(1, &["backup", text(&third), "--data", text(&nothing)]);
    assert!(!nothing.exists() && !third.exists());
}

#[test]
fn a_gateway_can_be_asked_after_a_kill_and_nobody_once_it_has_stopped() {
    use std::os::unix::fs::PermissionsExt;
    let mut gateway = Gateway::start();
    let control = gateway.data.join("control");
    let mode = fs::metadata(&control)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    gateway.kill();
    assert!(control.exists(), "a kill leaves it");
    let place = tempfile::tempdir().expect("a temporary directory");
    let copy = place.path().join("of-the-killed");
    said(&["backup", text(&copy), "--data", text(&gateway.data)]);
    gateway.restart();
    let copy = place.path().join("of-the-next");
    said(&["backup", text(&copy), "--data", text(&gateway.data)]);
    assert!(gateway.stop().success());
    assert!(!control.exists());
}

/// A gateway that was killed with many acknowledged messages in its log.
fn killed() -> (Gateway, PathBuf) {
    let mut gateway = Gateway::start();
    let mut writer = Client::connect(gateway.mqtt, Connect::v5("writer"));
    (0..200).for_each(|n| retain(&mut writer, n));
    gateway.kill();
    let log = gateway.data.join("log");
    let log = fs::read_dir(log)
        .expect("a log")
        .map(|entry| entry.expect("an entry").path());
    let first = log.min().expect("a segment");
    (gateway, first)
}

#[test]
fn a_damaged_page_is_refused_with_its_place_and_what_is_whole_is_saved() {
    let (gateway, segment) = killed();
    let data = text(&gateway.data);
    assert!(said(&["ledger", "check", data]).contains("whole commits"));
    let mut bytes = fs::read(&segment).expect("readable");
    bytes[4096..8192].fill(0);
    fs::write(&segment, bytes).expect("writable");
    let words = refusal(
        1,
        &[
            "serve",
            "--data",
            data,
            "--mqtt",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ],
    );
    assert!(
        words.contains(text(&segment)) && words.contains("ledger repair"),
        "{words}"
    );
    let found = hallward(&["ledger", "check", data]);
    assert_eq!(found.status.code(), Some(1));
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.contains("commits are lost"), "{found}");

    let place = tempfile::tempdir().expect("a temporary directory");
    let saved = place.path().join("saved");
    assert!(said(&["ledger", "repair", data, "--to", text(&saved)]).contains("are lost"));
    let again = Setup::new().on(&saved).start();
    let mut reader = Client::connect(again.mqtt, Connect::v5("reader"));
    reader.subscribe(&[("numbers/199", 0)]);
    assert_eq!(
        &reader.message().payload[..],
        b"199",
        "what lay behind the damage"
    );
    refusal(75, &["ledger", "check", text(&saved)]);
}

#[test]
fn a_database_without_its_log_is_refused() {
    let (gateway, _) = killed();
    let data = text(&gateway.data);
    let log = gateway.data.join("log");
    fs::rename(&log, gateway.data.join("gone")).expect("ours");
    let serve = [
        "serve",
        "--data",
        data,
        "--mqtt",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ];
    let words = refusal(1, &serve);
    assert!(words.contains("segment 1 is missing"), "{words}");
    assert!(!log.exists(), "a refused start makes nothing");
    fs::rename(gateway.data.join("gone"), &log).expect("ours");
    fs::remove_file(gateway.data.join("hallward.db")).expect("ours");
    for companion in ["hallward.db-wal", "hallward.db-shm"] {
        let _ = fs::remove_file(gateway.data.join(companion));
    }
    let words = refusal(1, &serve);
    assert!(
        words.contains("database") && words.contains("gone"),
        "{words}"
    );
}

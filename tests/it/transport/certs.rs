//! `hallward certs dev`: what it writes works with what it prints.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::passes;
use crate::harness::{Setup, free_address};
use crate::tools::Tools;

fn certs(directory: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hallward"))
        .current_dir(directory)
        .args(["certs", "dev"])
        .args(words)
        .output()
        .expect("it runs")
}

#[test]
fn the_lines_that_it_prints_work() {
    let home = tempfile::tempdir().expect("a directory");
    let output = certs(
        home.path(),
        &[
            "--dir",
            "mine",
            "--host",
            "gateway.test",
            "--client",
            "writer-1",
        ],
    );
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("text");

    let (tls, secure) = (free_address(), free_address());
    let file = home.path().join("mine/hallward.toml");
    let written = std::fs::read_to_string(&file).expect("written");
    assert!(printed.contains(&written), "{printed}");
    // The same lines on ports that are free here.
    let moved = written
        .replace("127.0.0.1:8883", &tls.to_string())
        .replace("127.0.0.1:8084", &secure.to_string());
    std::fs::write(&file, moved).expect("writable");
    let gateway = Setup::new().configured_by(&file).start();

    let lines: Vec<&str> = printed
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("mosquitto_pub "))
        .collect();
    assert_eq!(lines.len(), 2, "{printed}");
    Tools::get();
    for line in lines {
        let line = line.replace("8883", &tls.port().to_string());
        passes(Command::new("sh").args(["-c", &line]));
    }
    assert!(printed.contains("hallward serve --config "));
    drop(gateway);
}

#[test]
fn keys_are_for_their_owner_only() {
    let home = tempfile::tempdir().expect("a directory");
    assert!(certs(home.path(), &[]).status.success());
    for (file, mode) in [
        ("ca.key", 0o600),
        ("server.key", 0o600),
        ("client.key", 0o600),
        ("ca.crt", 0o644),
    ] {
        let path = home.path().join("certs").join(file);
        let found = path.metadata().expect("written").permissions().mode() & 0o777;
        assert_eq!(found & !mode, 0, "{file}: {found:o}");
    }
}

#[test]
fn what_is_there_is_kept_unless_told() {
    let home = tempfile::tempdir().expect("a directory");
    assert!(certs(home.path(), &[]).status.success());
    let path = home.path().join("certs/ca.crt");
    let first = std::fs::read_to_string(&path).expect("written");

    let again = certs(home.path(), &[]);
    assert_eq!(again.status.code(), Some(64));
    let line = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        line.contains("ca.crt") && line.contains("--force"),
        "{line}"
    );
    assert_eq!(std::fs::read_to_string(&path).expect("there"), first);

    assert!(certs(home.path(), &["--force"]).status.success());
    assert_ne!(std::fs::read_to_string(&path).expect("there"), first);
}

#[test]
fn names_that_cannot_be_in_a_certificate_are_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let output = certs(home.path(), &["--host", "gäteway"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(!home.path().join("certs").exists(), "nothing was written");
}

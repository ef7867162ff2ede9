//! The command line as people and scripts meet it: what it prints, where, and with which exit code.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

fn hallward(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallward"));
    command.current_dir(directory).env_remove("RUST_LOG");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HALLWARD__") {
            command.env_remove(name);
        }
    }
    command
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one line that a failure says, with the code it ends with.
#[track_caller]
fn failure(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1, "{text}");
    let line = lines[0].strip_prefix("hallward: ").expect("says who");
    (output.status.code().expect("an exit code"), line.to_owned())
}

#[test]
fn help_and_version_are_answers() {
    let directory = directory();
    let help = hallward(&directory).arg("--help").output().expect("runs");
    assert!(help.status.success());
    for command in ["serve", "check", "certs", "demo"] {
        assert!(out(&help).contains(command), "{}", out(&help));
    }
    let version = hallward(&directory)
        .arg("--version")
        .output()
        .expect("runs");
    assert_eq!(
        out(&version),
        concat!("hallward ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn slips_in_the_arguments_are_one_line_and_64() {
    let directory = directory();
    let output = hallward(&directory)
        .args(["serve", "--mqt", "127.0.0.1:1"])
        .output()
        .expect("runs");
    let (code, line) = failure(&output);
    assert_eq!(code, 64);
    assert!(line.contains("'--mqtt'"), "{line}");
    let nothing = hallward(&directory).output().expect("runs");
    assert_eq!(nothing.status.code(), Some(64));
}

#[test]
fn check_of_a_good_configuration_shows_where_it_would_listen() {
    let directory = directory();
    let output = hallward(&directory)
        .arg("check")
        .env("HALLWARD__MQTT__LISTEN", "127.0.0.1:11883")
        .output()
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
    let text = out(&output);
    assert!(text.starts_with("configuration ok\n"), "{text}");
    for part in ["127.0.0.1:11883", "127.0.0.1:8080", "./hallward-data"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn check_of_the_shipped_configuration_is_ok() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/hallward.toml");
    let output = hallward(&directory())
        .args(["check", "--config"])
        .arg(shipped)
        .output()
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn check_lists_every_problem_with_its_place_and_ends_64() {
    let directory = directory();
    let toml = "[mqtt]\nmax_inflght = 5\n\n[handoff]\nlease = \"soon\"\n";
    std::fs::write(directory.path().join("bad.toml"), toml).expect("writable");
    let output = hallward(&directory)
        .args(["check", "--config", "bad.toml"])
        .output()
        .expect("runs");
    assert_eq!(
        out(&output),
        "bad.toml:5: handoff.lease: expected a duration such as \"30s\" or \"24h\", but found \"soon\"\n\
         bad.toml:2: mqtt.max_inflght: unknown key; did you mean max_inflight?\n"
    );
    let expected = "the configuration has 2 problems".to_owned();
    assert_eq!(failure(&output), (64, expected));
}

#[test]
fn serve_beyond_loopback_is_refused_while_authentication_is_off() {
    for flag in ["--mqtt", "--http"] {
        let output = hallward(&directory())
            .args(["serve", flag, "0.0.0.0:0"])
            .output()
            .expect("runs");
        let (code, line) = failure(&output);
        assert_eq!(code, 64);
        assert!(line.contains("while authentication is off"), "{line}");
    }
}

#[test]
fn port_in_use_is_one_line_and_75() {
    let directory = directory();
    let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("bound").to_string();
    let output = hallward(&directory)
        .args(["serve", "--mqtt", "127.0.0.1:0", "--http", &address])
        .env("HALLWARD__LOG__LEVEL", "error")
        .output()
        .expect("runs");
    let (code, line) = failure(&output);
    assert_eq!(code, 75);
    assert!(line.contains(&address), "{line}");
}

/// A gateway that is killed when the test ends, however it ends.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn serve_says_where_it_listens_and_drains_on_sigterm() {
    let directory = directory();
    let child = hallward(&directory)
        .args(["serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .args(["--data", "kept"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut gateway = Gateway(child);
    let mut screen = BufReader::new(gateway.0.stdout.take().expect("piped"));
    let mut said = String::new();
    while !said.contains("Ctrl-C") {
        assert_ne!(screen.read_line(&mut said).expect("text"), 0, "{said}");
    }
    assert!(said.contains("kept"), "{said}");
    let (_, http) = said.split_once("http://").expect("says where HTTP is");
    let http = http.split_whitespace().next().expect("an address");

    let mut stream = TcpStream::connect(http).expect("connects");
    let request = b"GET /livez HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let pid = gateway.0.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(gateway.0.wait().expect("ends").code(), Some(0));
}

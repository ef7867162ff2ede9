//! The demo ends right: it is what a newcomer runs first.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use tempfile::TempDir;

use crate::harness::{DEADLINE, free_address};
use crate::tools::Tools;

/// A demo whose gateway is killed gives up its port for a moment, and wants it back.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place for a demo's temporary things.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a temporary directory"))
    }

    /// The demo with these words, and without a terminal.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallward"));
        command
            .arg("demo")
            .args(words)
            .env("TMPDIR", self.0.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs it until it ends.
    fn demo(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it runs")
    }

    /// What was left behind.
    fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path()).expect("it is there");
        entries
            .map(|entry| entry.expect("it can be read").path())
            .collect()
    }
}

/// Runs the demo with these words; returns what it printed once it has ended well.
fn demo(words: &[&str]) -> String {
    let place = Place::new();
    let output = place.demo(words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert_eq!(place.left(), [] as [PathBuf; 0]);
    said
}

/// Runs the demo with these words until it fails; returns its code and what it complained about.
fn failing(words: &[&str]) -> (Option<i32>, String) {
    let place = Place::new();
    let output = place.demo(words);
    assert_eq!(place.left(), [] as [PathBuf; 0]);
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), complained)
}

/// A demo with a terminal of its own, that has asked for the approval.
struct AtTerminal {
    place: Place,
    child: Child,
    keys: ChildStdin,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl AtTerminal {
    fn start(words: &str) -> AtTerminal {
        let place = Place::new();
        let program = env!("CARGO_BIN_EXE_hallward");
        // It says its process id first, to be sent signals.
        let command = format!("echo $$; exec '{program}' demo {words}");
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command"])
            .args([&command, "/dev/null"])
            .env("TMPDIR", place.0.path())
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script (of util-linux) is there");
        let keys = child.stdin.take().expect("piped");
        let stdout = child.stdout.take().expect("piped");
        let lines = lines_of(stdout);
        let mut demo = AtTerminal {
            place,
            child,
            keys,
            lines,
            said: Vec::new(),
        };
        demo.wait_for("mosquitto_pub");
        demo
    }

    /// The next line that contains this.
    fn wait_for(&mut self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("no {part}: {:#?}", self.said));
            self.said.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    fn said(&self, part: &str) -> &str {
        let line = self.said.iter().find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("no {part}: {:#?}", self.said))
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("the terminal is there");
    }

    fn signal(&self, name: &str) {
        let pid = &self.said[0];
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status();
        assert!(status.expect("sh runs").success(), "kill -{name} {pid}");
    }

    /// Waits for its end; returns how that was, and all that it said.
    fn end(mut self) -> (ExitStatus, String) {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.said),
            }
        }
        let status = self.child.wait().expect("our child");
        let said = self.said.join("\n");
        assert_eq!(self.place.left(), [] as [PathBuf; 0], "{said}");
        (status, said)
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        // With its terminal the demo goes, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a terminal, as they come.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = tell.send(line.trim_end().to_owned());
        }
    });
    lines
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
fn demo_shows_the_work_and_who_did_it() {
    let _turn = turn();
    let said = demo(&["--yes"]);
    for (task, worker) in [
        ("research-1", "researcher-"),
        ("research-2", "researcher-"),
        ("draft-1", "writer-"),
        ("draft-2", "writer-"),
        ("review-1", "reviewer-"),
        ("publish-1", "publisher-"),
    ] {
        for line in [
            format!("  {task} goes to {worker}"),
            format!("  {task} by {worker}"),
        ] {
            assert!(said.contains(&line), "{line}: {said}");
        }
    }
    for line in [
        "      - a broker carries messages between programs",
        "      Agents at the edge\n      A broker carries messages between programs",
        "      topic: news/agents-at-the-edge",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
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

#[test]
fn demo_listens_where_it_is_told_to() {
    let (mqtt, http) = (free_address(), free_address());
    let said = demo(&[
        "--yes",
        "--mqtt",
        &mqtt.to_string(),
        "--http",
        &http.to_string(),
    ]);
    let place = format!("listens at {mqtt} (MQTT) and http://{http} ");
    assert!(said.contains(&place), "{said}");
}

#[test]
fn demo_does_not_care_what_other_gateways_are_told() {
    let place = Place::new();
    let output = place
        .command(&["--yes", "--mqtt", "127.0.0.1:0"])
        .env("HALLWARD__LOG__FORMAT", "json")
        .env("HALLWARD__ROOMS__MAX_ROOMS", "many")
        .output()
        .expect("it runs");
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complained}");
}

#[test]
fn demo_on_a_port_that_is_taken_says_so_and_fails() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one").to_string();
    for flag in ["--mqtt", "--http"] {
        let other = match flag {
            "--mqtt" => "--http",
            _ => "--mqtt",
        };
        let (code, complained) = failing(&["--yes", flag, &address, other, "127.0.0.1:0"]);
        assert_eq!(code, Some(75), "{complained}");
        assert!(
            complained.contains(&address) && complained.contains("in use"),
            "{complained}"
        );
    }
}

#[test]
fn demo_with_nobody_to_press_a_key_says_what_to_give() {
    let (code, complained) = failing(&[]);
    assert_eq!(code, Some(64), "{complained}");
    assert!(
        complained.contains("no terminal") && complained.contains("--yes"),
        "{complained}"
    );
}

#[test]
fn a_key_decides() {
    let mut approved = AtTerminal::start("--mqtt 127.0.0.1:0");
    // Whatever else is pressed decides nothing.
    approved.press(b"x");
    approved.wait_for("y or n?");
    approved.press(b"y");
    let (status, said) = approved.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("approved by editor"), "{said}");
    assert!(
        said.contains("published on news/agents-at-the-edge"),
        "{said}"
    );

    let mut rejected = AtTerminal::start("--mqtt 127.0.0.1:0");
    rejected.press(b"n");
    let (status, said) = rejected.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("rejected by editor"), "{said}");
    assert!(said.contains("not published"), "{said}");
}

#[test]
fn the_line_that_the_demo_shows_approves_in_place_of_a_key() {
    Tools::get();
    let demo = AtTerminal::start("--mqtt 127.0.0.1:0");
    let line = demo.said("mosquitto_pub").to_owned();
    let status = Command::new("sh").args(["-c", &line]).status();
    assert!(status.expect("sh runs").success(), "{line}");
    let (status, said) = demo.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("approved by editor"), "{said}");
}

#[test]
fn demo_that_is_stopped_fails_and_leaves_nothing_behind() {
    let mut interrupted = AtTerminal::start("--mqtt 127.0.0.1:0");
    interrupted.press(b"\x03");
    let (status, said) = interrupted.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("SIGINT"), "{said}");
    for name in ["TERM", "HUP"] {
        let stopped = AtTerminal::start("--mqtt 127.0.0.1:0");
        stopped.signal(name);
        let (status, said) = stopped.end();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("SIG{name}")), "{said}");
    }
}

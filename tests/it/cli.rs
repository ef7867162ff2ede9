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
    assert!(line.contains("hallward serve --help"), "{line}");
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

/// What `check` prints, and what `serve` says of the same in its one line; both end 64.
#[track_caller]
fn both_refuse(toml: &str, variables: &[(&str, &str)]) -> (String, String) {
    let directory = directory();
    std::fs::write(directory.path().join("here.toml"), toml).expect("writable");
    std::fs::write(directory.path().join("taken"), "a file").expect("writable");
    let run = |command| {
        let mut run = hallward(&directory);
        run.args([command, "--config", "here.toml"]);
        run.envs(variables.iter().copied()).output().expect("runs")
    };
    let (checked, served) = (run("check"), run("serve"));
    let (code, _) = failure(&checked);
    assert_eq!(code, 64, "{}", out(&checked));
    let (code, line) = failure(&served);
    assert_eq!(code, 64, "{line}");
    (out(&checked), line)
}

#[test]
fn one_address_twice_is_refused() {
    let toml = "[mqtt]\nlisten = \"0.0.0.0:18830\"\n[http]\nlisten = \"127.0.0.1:18830\"\n\
                [auth]\nenabled = true\nanonymous = \"guest\"\n";
    let words = "here.toml:4: http.listen: 127.0.0.1:18830 cannot be listened on beside \
                 0.0.0.0:18830 of mqtt.listen: give it another port";
    let (checked, served) = both_refuse(toml, &[]);
    assert_eq!((checked, served), (format!("{words}\n"), words.to_owned()));
}

#[test]
fn a_data_directory_that_cannot_be_made_is_refused() {
    let (checked, served) = both_refuse("[data]\ndir = \"taken/data\"\n", &[]);
    let words = "taken is not a directory, expected the data directory";
    assert_eq!(checked, format!("here.toml:2: data.dir: {words}\n"));
    assert_eq!(served, words);
    let (checked, served) = both_refuse("[data]\ndir = \"/proc/hallward/data\"\n", &[]);
    assert!(checked.contains("is not writable"), "{checked}");
    assert!(served.contains("is not writable"), "{served}");
}

#[test]
fn check_leaves_nothing_where_the_data_will_be() {
    let directory = directory();
    std::fs::create_dir(directory.path().join("made")).expect("writable");
    for dir in ["made", "not/yet"] {
        let output = hallward(&directory).args(["check", "--data", dir]).output();
        assert!(output.expect("runs").status.success());
    }
    let entries = |dir: &str| std::fs::read_dir(directory.path().join(dir)).map(Iterator::count);
    assert_eq!(entries("made").expect("readable"), 0);
    assert_eq!(entries(".").expect("readable"), 1);
}

#[test]
fn a_variable_that_is_no_key_is_refused() {
    let (checked, served) = both_refuse("", &[("HALLWARD_MQTT_LISTEN", "127.0.0.1:1884")]);
    let words = "HALLWARD_MQTT_LISTEN: is no key: a key is written HALLWARD__SECTION__KEY; \
                 did you mean HALLWARD__MQTT__LISTEN?";
    assert_eq!((checked, served), (format!("{words}\n"), words.to_owned()));
}

#[test]
fn a_slip_in_a_nested_table_is_refused_with_its_line() {
    let toml = "[handoff.types.draft]\npriority = \"high\"\nlaese = \"5m\"\n";
    let words =
        "here.toml:3: handoff.types.draft.laese: unknown key; did you mean lease?".to_owned();
    let (checked, served) = both_refuse(toml, &[]);
    assert_eq!((checked, served), (format!("{words}\n"), words));
}

#[test]
fn check_shows_what_it_would_run_with_and_where_from() {
    let directory = directory();
    let toml = "[handoff]\nlease = \"5m\"\n[rooms.room.lab]\nmembers = [\"ann\"]\n";
    std::fs::write(directory.path().join("here.toml"), toml).expect("writable");
    let output = hallward(&directory)
        .args(["check", "--config", "here.toml", "--data", "kept"])
        .env("HALLWARD__LOG__LEVEL", "debug")
        .env("RUST_LOG", "warn")
        .output()
        .expect("runs");
    let text = out(&output);
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "# What the gateway would run with, and where from; 4 not by default.",
        "lease = \"5m\" # here.toml:2",
        "min_lease = \"100ms\" # default",
        "[rooms.room.lab]",
        "members = [\"ann\"] # here.toml:4",
        "dir = \"kept\" # --data",
        "level = \"debug\" # HALLWARD__LOG__LEVEL",
        "warning: RUST_LOG is set (warn) and goes before log.level",
    ] {
        assert!(lines.iter().any(|own| own == line), "{line} in {text}");
    }
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
    assert!(line.contains("another address (--http)"), "{line}");
}

#[test]
fn a_second_gateway_on_the_same_data_is_one_line_and_75() {
    let running = crate::harness::Gateway::start();
    let directory = directory();
    let output = hallward(&directory)
        .args(["serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .arg("--data")
        .arg(&running.data)
        .output()
        .expect("runs");
    let (code, line) = failure(&output);
    assert_eq!(code, 75);
    assert!(
        line.contains("in use by another running instance") && line.contains("another directory"),
        "{line}"
    );
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

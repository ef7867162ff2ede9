//! What README.md, docs/protocol.md, docs/small-devices.md and docs/clients.md tell a newcomer to
//! paste works, in order, again and again, and prints what they say it prints; so do the programs
//! of docs/clients.md, as far as their libraries are here.
//!
//! Every block goes to a shell as it stands: nothing waits between two of its lines but what the
//! lines themselves wait for. A block marked `text` right after is all that they print; in it `…`
//! stands for anything (times, generated ids). Each page is gone through twice against one gateway,
//! and once more after its restart; `HALLWARD_DOC_PASSES` asks for more.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::page::{self, Library, Step};
use crate::harness::{DEADLINE, Gateway, Setup};
use crate::tools::Tools;

/// How long the shell may be silent: longer than the one line in it that waits for a message.
const SILENCE: Duration = Duration::from_secs(2 * DEADLINE.as_secs());

/// How often the gateway is asked whether a program has acknowledged what it printed.
const LOOKS: usize = 10_000;

/// What the shell prints after a block.
const END: &str = "-- that was all --";

impl Library {
    /// Starts the program against our gateway. It runs until it is killed.
    fn start(self, lines: &[&str], port: &str) -> Child {
        let program = lines.join("\n").replace("1883", port);
        let mut command = match self {
            Library::Paho => Tools::get().python(),
            Library::MqttJs => Tools::get().node(),
        };
        match self {
            Library::Paho => command.args(["-u", "-c", &program]),
            Library::MqttJs => command.args(["-e", &program]),
        };
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().expect("it starts")
    }
}

/// The lines that a child prints, as they come.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, printed) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    printed
}

/// A newcomer's shell: its `mosquitto_…` find our gateway, and the first line that fails ends it.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    /// Where the defaults of `mosquitto_…` are.
    _home: TempDir,
}

impl Shell {
    fn start(port: &str) -> Shell {
        let home = tempfile::tempdir().expect("a temporary directory");
        let defaults = |program: &str, options: &str| {
            std::fs::write(home.path().join(program), options).expect("it can be written");
        };
        defaults("mosquitto_pub", &format!("-p {port}\n"));
        defaults(
            "mosquitto_sub",
            &format!("-p {port}\n-W {}\n", DEADLINE.as_secs()),
        );
        let mut child = Command::new("sh")
            .arg("-e")
            .env("XDG_CONFIG_HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh starts");
        Shell {
            stdin: child.stdin.take().expect("piped"),
            stdout: lines_of(child.stdout.take().expect("piped")),
            stderr: lines_of(child.stderr.take().expect("piped")),
            child,
            _home: home,
        }
    }

    /// Pastes lines, and returns what they print, or how that ended early.
    fn paste(&mut self, lines: &[&str]) -> Result<Vec<String>, String> {
        let text = format!("{}\necho '{END}'\n", lines.join("\n"));
        self.stdin
            .write_all(text.as_bytes())
            .map_err(|error| error.to_string())?;
        let mut printed = Vec::new();
        loop {
            match self.stdout.recv_timeout(SILENCE) {
                Ok(line) if line == END => return Ok(printed),
                Ok(line) => printed.push(line),
                Err(_) => {
                    // It has ended by itself, or hangs.
                    let _ = self.child.kill();
                    let complaints: Vec<String> = self.stderr.iter().collect();
                    return Err(format!("it printed {printed:#?} and then {complaints:#?}"));
                }
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Whatever still runs in it gives up by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program until it has printed as many lines as the page says and their messages are
/// acknowledged.
fn run(
    gateway: &Gateway,
    library: Library,
    lines: &[&str],
    prints: usize,
) -> Result<Vec<String>, String> {
    let mut child = library.start(lines, &gateway.mqtt.port().to_string());
    let printed = lines_of(child.stdout.take().expect("piped"));
    let mut said: Vec<String> = (0..prints)
        .map_while(|_| printed.recv_timeout(DEADLINE).ok())
        .collect();
    let waiting = || gateway.metric(r#"hallward_queued_bytes{holder="mailboxes"}"#);
    let acknowledged = said.len() < prints || (0..LOOKS).any(|_| waiting() == 0);
    child.kill().expect("our child");
    child.wait().expect("our child");
    said.extend(printed.iter());
    match acknowledged {
        true => Ok(said),
        false => Err(format!("it printed {said:#?} and acknowledged it not")),
    }
}

/// Goes through a page once.
fn pass(name: &str, steps: &[Step<'_>], gateway: &Gateway) {
    let mut shell = Shell::start(&gateway.mqtt.port().to_string());
    let mut printed: Vec<String> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let (outcome, number) = match step {
            Step::Paste { lines, number } => {
                // What is not followed by what it prints is only run.
                printed.clear();
                (shell.paste(lines), number)
            }
            Step::Program {
                library,
                lines,
                number,
            } => {
                let Some(Step::Expect { lines: prints, .. }) = steps.get(index + 1) else {
                    panic!("{name}:{number}: the page does not say what the program prints");
                };
                (run(gateway, *library, lines, prints.len()), number)
            }
            Step::Expect { lines, number } => {
                let fit = printed.len() == lines.len()
                    && std::iter::zip(lines, &printed).all(|(says, is)| page::fits(says, is));
                let (says, is) = (lines.join("\n"), printed.join("\n"));
                assert!(
                    fit,
                    "{name}:{number}: it says\n{says}\nbut what is printed is\n{is}"
                );
                continue;
            }
        };
        match outcome {
            Ok(lines) => printed.extend(lines),
            Err(why) => panic!("{name}:{number}: {why}"),
        }
    }
}

/// Goes through a page as often as it should hold, and says how many lines and programs of it speak
/// MQTT.
fn holds(name: &str) -> usize {
    Tools::get();
    let document = page::text(name);
    let steps = page::steps(&document);
    let asked = std::env::var("HALLWARD_DOC_PASSES");
    let passes = asked.map_or(2, |asked| asked.parse().expect("a number of passes"));
    // Each line is a connection of its own: a busy machine must not take a call away between two of
    // them.
    let setup = Setup::new().with("tools.provider_grace", "1m");
    let mut gateway = setup.start();
    for _ in 0..passes {
        pass(name, &steps, &gateway);
    }
    assert!(gateway.stop().success());
    gateway.restart();
    pass(name, &steps, &gateway);
    let speaking = steps.iter().map(|step| match step {
        Step::Paste { lines, .. } => lines.iter().filter(|line| page::speaks(line)).count(),
        Step::Program { .. } => 1,
        Step::Expect { .. } => 0,
    });
    speaking.sum()
}

#[test]
fn every_line_of_the_protocol_document_works() {
    assert!(
        holds("docs/protocol.md") > 100,
        "there is a line for every row of the topic table"
    );
}

#[test]
fn every_line_of_the_guide_for_small_devices_works() {
    assert_eq!(holds("docs/small-devices.md"), 4);
}

#[test]
fn every_line_of_the_readme_works() {
    assert_eq!(holds("README.md"), 4);
}

#[test]
fn what_the_page_of_clients_shows_of_paho_and_mqttjs_works() {
    assert_eq!(holds("docs/clients.md"), 6);
}

/// It is killed at its first message, with more waiting, and started again. (Node.js goes on while
/// what it prints waits: there, this would say nothing.)
#[test]
fn paho_as_the_page_shows_it_loses_nothing_when_killed() {
    const MESSAGES: usize = 8;
    let page = page::text("docs/clients.md");
    let found = page::steps(&page).into_iter().find_map(|step| match step {
        Step::Program {
            library: Library::Paho,
            lines,
            ..
        } => Some(lines),
        _ => None,
    });
    let lines = found.expect("the page has a program of it");
    let gateway = Setup::new().start();
    let port = gateway.mqtt.port().to_string();
    // Longer than what a pipe holds: whoever prints one is at it until somebody reads.
    let text = "x".repeat(100_000);
    let topic = "rooms/hello/inbox/paho/ed";
    for message in 0..MESSAGES {
        let mut publish = Tools::get().mosquitto_pub();
        let text = format!("{message}{text}");
        publish.args(["-p", &port, "-i", "ed", "-q", "1", "-t", topic, "-m", &text]);
        assert!(publish.status().expect("it runs").success());
    }

    let mut killed = Library::Paho.start(&lines, &port);
    let mut first = [0];
    let mut stdout = killed.stdout.take().expect("piped");
    stdout.read_exact(&mut first).expect("it prints the first");
    killed.kill().expect("our child");
    killed.wait().expect("our child");

    let mut again = Library::Paho.start(&lines, &port);
    let again_printed = lines_of(again.stdout.take().expect("piped"));
    let printed: String = (0..MESSAGES)
        .map_while(|_| again_printed.recv_timeout(DEADLINE).ok())
        .map(|line| line.chars().next().expect("no empty message"))
        .collect();
    again.kill().expect("our child");
    again.wait().expect("our child");
    assert_eq!((&first, printed.as_str()), (b"0", "01234567"));
}

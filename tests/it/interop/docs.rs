//! Every `mosquitto_…` line that README.md, docs/protocol.md, docs/small-devices.md and docs/clients.md show works, in order, and prints what
//! they say it prints; so do the programs of docs/clients.md, as far as their libraries are here.
//!
//! Lines are taken from fenced blocks marked `sh`, and so are those that `printf` something into such a line. One that ends in `&` runs beside those after it, as in a terminal, and ends
//! before its block does. A block marked `text` right after is all that they print; in it `…` stands for anything (times,
//! generated ids).

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::harness::{DEADLINE, Setup};
use crate::tools::Tools;

/// One step of a document.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    /// A block of command lines begins.
    Begin,
    Run {
        line: &'a str,
        number: usize,
    },
    /// A program for one of the clients that are installed.
    Program {
        library: Library,
        lines: Vec<&'a str>,
        number: usize,
    },
    Expect {
        lines: Vec<&'a str>,
        number: usize,
    },
}

/// A client library that is installed for tests, and so can run what a page shows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    Paho,
    MqttJs,
}

impl Library {
    /// By the first line of a program; other libraries were tried by hand, as the page says.
    fn of(line: &str) -> Option<Library> {
        match line {
            "import paho.mqtt.client as mqtt" => Some(Library::Paho),
            r#"const mqtt = require("mqtt");"# => Some(Library::MqttJs),
            _ => None,
        }
    }

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

/// The steps of a document, with the line numbers that they stand at.
fn steps(document: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut fence = None;
    let mut after_shell = false;
    for (index, line) in document.lines().enumerate() {
        let number = index + 1;
        match (fence, line.strip_prefix("```")) {
            (None, Some("text")) if after_shell => {
                fence = Some("text");
                let lines = Vec::new();
                steps.push(Step::Expect { lines, number });
            }
            (None, Some(language)) => {
                fence = Some(language);
                steps.extend((language == "sh").then_some(Step::Begin));
            }
            (Some("python" | "js"), None) if after_shell => match steps.last_mut() {
                Some(Step::Program { lines, .. }) => lines.push(line),
                _ => match Library::of(line) {
                    None => after_shell = false,
                    Some(library) => steps.push(Step::Program {
                        library,
                        lines: vec![line],
                        number,
                    }),
                },
            },
            (None, None) => after_shell &= line.trim().is_empty(),
            (Some(language), Some(_)) => {
                after_shell = match language {
                    "python" | "js" => matches!(steps.last(), Some(Step::Program { .. })),
                    language => language == "sh",
                };
                fence = None;
            }
            (Some("sh"), None) if line.starts_with("mosquitto_") || line.starts_with("printf ") => {
                steps.push(Step::Run { line, number })
            }
            (Some("text"), None) if after_shell => {
                if let Some(Step::Expect { lines, .. }) = steps.last_mut() {
                    lines.push(line);
                }
            }
            (Some(_), None) => {}
        }
    }
    steps
}

/// Whether a printed line is the expected one; `…` in that stands for anything.
fn fits(expected: &str, printed: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(rest) = parts.next().and_then(|first| printed.strip_prefix(first)) else {
        return false;
    };
    let mut rest = Some(rest);
    let mut last = None;
    for part in parts {
        last = Some(part);
        rest = rest.and_then(|rest| rest.find(part).map(|at| &rest[at + part.len()..]));
    }
    match last {
        None => rest == Some(""),
        Some(last) => rest.is_some() && printed.ends_with(last),
    }
}

/// The lines that a child prints, as they come.
fn printed_by(child: &mut Child) -> Receiver<String> {
    let stdout = child.stdout.take().expect("piped");
    let (tell, printed) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    printed
}

/// A line that runs beside those after it.
struct Beside {
    line: String,
    child: Child,
    printed: Receiver<String>,
}

/// Runs a document's steps against one gateway.
struct Reader<'a> {
    name: &'a str,
    port: String,
    beside: Vec<Beside>,
    printed: Vec<String>,
}

impl Reader<'_> {
    /// The line as a shell runs it against our gateway, with more options for the program.
    fn command(&self, line: &str, more: &str) -> Command {
        let piped = line
            .rsplit_once(" | ")
            .filter(|_| line.starts_with("printf "));
        let (input, line) = match piped {
            Some((input, line)) => (format!("{input} | "), line),
            None => (String::new(), line),
        };
        let (program, options) = line.split_once(' ').expect("a command line has options");
        let mut shell = Command::new("sh");
        // By lines, so that what a program says before it ends can be read.
        let line = format!(
            "{input}exec stdbuf -oL {program} -p {} {more} {options}",
            self.port
        );
        shell
            .arg("-c")
            .arg(line)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        shell
    }

    fn run(&mut self, line: &str, number: usize) {
        if let Some(line) = line.strip_suffix('&') {
            return self.run_beside(line, number);
        }
        let patience = match line.starts_with("mosquitto_sub ") {
            true => format!("-W {}", DEADLINE.as_secs()),
            false => String::new(),
        };
        let output = self.command(line, &patience).output().expect("sh runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        let place = format!("{}:{number}: {line}", self.name);
        assert!(
            output.status.success(),
            "{place}\n{}: {said}{complained}",
            output.status
        );
        self.printed.extend(said.lines().map(str::to_owned));
    }

    /// Starts a line and returns when its subscriptions stand.
    fn run_beside(&mut self, line: &str, number: usize) {
        let mut child = self.command(line, "-d").spawn().expect("sh runs");
        let printed = printed_by(&mut child);
        let mut said = Vec::new();
        loop {
            let next = printed.recv_timeout(DEADLINE);
            let line_said = next.unwrap_or_else(|_| {
                panic!("{}:{number}: {line}: not subscribed: {said:?}", self.name)
            });
            if line_said.starts_with("Subscribed (mid") {
                break;
            }
            said.push(line_said);
        }
        self.beside.push(Beside {
            line: line.to_owned(),
            child,
            printed,
        });
    }

    /// Runs a program until it has printed as many lines as the page says.
    fn program(&mut self, library: Library, lines: &[&str], prints: usize, number: usize) {
        let mut child = library.start(lines, &self.port);
        let printed = printed_by(&mut child);
        for _ in 0..prints {
            let line = printed.recv_timeout(DEADLINE);
            let place = format!("{}:{number}", self.name);
            self.printed
                .push(line.unwrap_or_else(|_| panic!("{place}: after {:?} nothing", self.printed)));
        }
        child.kill().expect("our child");
        child.wait().expect("our child");
        self.printed.extend(printed.iter());
    }

    /// Waits for those that run beside, and checks all that was printed since the last time.
    fn expect(&mut self, expected: &[&str], number: usize) {
        self.finish();
        let printed = std::mem::take(&mut self.printed);
        let fit = printed.len() == expected.len()
            && expected
                .iter()
                .zip(&printed)
                .all(|(expected, printed)| fits(expected, printed));
        let (expected, printed) = (expected.join("\n"), printed.join("\n"));
        assert!(
            fit,
            "{}:{number}: it says\n{expected}\nbut what is printed is\n{printed}",
            self.name
        );
    }

    fn finish(&mut self) {
        for Beside {
            line,
            mut child,
            printed,
        } in self.beside.drain(..)
        {
            let mut said = Vec::new();
            loop {
                match printed.recv_timeout(DEADLINE) {
                    Ok(line) if line.starts_with("Client ") || line.starts_with("Subscribed (") => {
                    }
                    Ok(line) => said.push(line),
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                        let _ = child.kill();
                        let mut complained = String::new();
                        let _ = child
                            .stderr
                            .take()
                            .map(|mut stderr| stderr.read_to_string(&mut complained));
                        panic!(
                            "{}: {line} does not end; it printed {said:?} {complained}",
                            self.name
                        );
                    }
                }
            }
            let status = child.wait().expect("our child");
            assert!(status.success(), "{}: {line}: {status}", self.name);
            self.printed.extend(said);
        }
    }
}

fn holds(name: &str) -> usize {
    Tools::get();
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .expect("the document is there");
    let steps = steps(&document);
    let runs = steps
        .iter()
        .filter(|step| matches!(step, Step::Run { .. } | Step::Program { .. }))
        .count();
    if runs == 0 {
        return 0;
    }
    // Each line is a connection of its own: a busy machine must not take a call away between two of them.
    let gateway = Setup::new().with("tools.provider_grace", "1m").start();
    let mut reader = Reader {
        name,
        port: gateway.mqtt.port().to_string(),
        beside: Vec::new(),
        printed: Vec::new(),
    };
    for (index, step) in steps.iter().enumerate() {
        match step {
            // What is not followed by what it prints is only run.
            Step::Begin => {
                reader.finish();
                reader.printed.clear();
            }
            Step::Run { line, number } => reader.run(line, *number),
            Step::Program {
                library,
                lines,
                number,
            } => {
                let Some(Step::Expect { lines: prints, .. }) = steps.get(index + 1) else {
                    panic!("{name}:{number}: the page does not say what the program prints");
                };
                reader.program(*library, lines, prints.len(), *number);
            }
            Step::Expect { lines, number } => reader.expect(lines, *number),
        }
    }
    reader.finish();
    runs
}

#[test]
fn every_line_of_the_protocol_document_works() {
    assert!(
        holds("docs/protocol.md") > 20,
        "there is a line for every row of the topic table"
    );
}

#[test]
fn every_line_of_the_guide_for_small_devices_works() {
    assert_eq!(holds("docs/small-devices.md"), 4);
}

#[test]
fn every_line_of_the_readme_works() {
    assert_eq!(holds("README.md"), 3);
}

#[test]
fn what_the_page_of_clients_shows_of_paho_and_mqttjs_works() {
    assert_eq!(holds("docs/clients.md"), 6);
}

/// It is killed at its first message, with more waiting, and started again. (Node.js goes on while what it prints waits: there, this would
/// say nothing.)
#[test]
fn paho_as_the_page_shows_it_loses_nothing_when_killed() {
    const MESSAGES: usize = 8;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    let page = std::fs::read_to_string(page).expect("the document is there");
    let found = steps(&page).into_iter().find_map(|step| match step {
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
    let again_printed = printed_by(&mut again);
    let printed: String = (0..MESSAGES)
        .map_while(|_| again_printed.recv_timeout(DEADLINE).ok())
        .map(|line| line.chars().next().expect("no empty message"))
        .collect();
    again.kill().expect("our child");
    again.wait().expect("our child");
    assert_eq!((&first, printed.as_str()), (b"0", "01234567"));
}

#[test]
fn programs_of_other_libraries_are_no_steps() {
    let document = "```sh\nls\n```\n\n```python\nimport other\n```\n\n```text\nout\n```\n";
    assert_eq!(steps(document), [Step::Begin]);
}

#[test]
fn expected_output_is_matched_with_its_gaps() {
    for (expected, printed) in [
        ("plain", "plain"),
        ("at …", "at 17"),
        (r#"{"a":…,"b":1}"#, r#"{"a":12,"b":1}"#),
        ("…", ""),
    ] {
        assert!(fits(expected, printed), "{expected} {printed}");
    }
    for (expected, printed) in [
        ("plain", "plain x"),
        ("at …", "on 17"),
        (r#"{"a":…,"b":1}"#, r#"{"a":12}"#),
        ("a…a", "ab"),
    ] {
        assert!(!fits(expected, printed), "{expected} {printed}");
    }
}

#[test]
fn only_shell_blocks_and_what_follows_them_are_steps() {
    let document = "```sh\nmosquitto_pub -x\nls\n```\n\n```text\nout\n```\n\nwords\n\n```text\nmosquitto_pub -y\n```\n";
    let run = Step::Run {
        line: "mosquitto_pub -x",
        number: 2,
    };
    let expect = Step::Expect {
        lines: vec!["out"],
        number: 6,
    };
    assert_eq!(steps(document), [Step::Begin, run, expect]);
}

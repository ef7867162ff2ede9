//! Every `mosquitto_…` line that README.md and docs/protocol.md show works, in order, and prints what they say it prints.
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
    Expect {
        lines: Vec<&'a str>,
        number: usize,
    },
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
            (None, None) => after_shell &= line.trim().is_empty(),
            (Some(language), Some(_)) => {
                after_shell = language == "sh";
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
        let stdout = child.stdout.take().expect("piped");
        let (tell, printed) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
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
        .filter(|step| matches!(step, Step::Run { .. }))
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
    for step in &steps {
        match step {
            // What is not followed by what it prints is only run.
            Step::Begin => {
                reader.finish();
                reader.printed.clear();
            }
            Step::Run { line, number } => reader.run(line, *number),
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
fn every_line_of_the_readme_works() {
    assert_eq!(holds("README.md"), 3);
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

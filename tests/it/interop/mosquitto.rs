//! `mosquitto_pub` and `mosquitto_sub`: what people try first, and what shell scripts use.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::harness::{DEADLINE, Gateway};
use crate::tools::Tools;

const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];
/// What our format puts in front of a message, to tell it from what `-d` prints.
const MARK: &str = "> ";

/// The two programs with one protocol version against one gateway.
struct Mosquitto {
    gateway: Gateway,
    version: &'static str,
}

impl Mosquitto {
    fn each(test: impl Fn(Mosquitto)) {
        for version in VERSIONS {
            let gateway = Gateway::start();
            test(Mosquitto { gateway, version });
        }
    }

    fn only_5(test: impl Fn(Mosquitto)) {
        let gateway = Gateway::start();
        test(Mosquitto {
            gateway,
            version: "mqttv5",
        });
    }

    fn command(&self, mut command: Command, words: &[&str]) -> Command {
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.gateway.mqtt.port().to_string(),
            "-V",
            self.version,
        ]);
        command.args(words).stdin(Stdio::null());
        command
    }

    fn publish(&self, words: &[&str]) {
        let output = self
            .command(Tools::get().mosquitto_pub(), words)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mosquitto_pub {words:?}: {said}");
    }

    /// Runs `mosquitto_sub` until it ends, which it must be told how: `-C` or `-E`.
    fn receive(&self, words: &[&str]) -> String {
        let waits = DEADLINE.as_secs().to_string();
        let Output {
            status,
            stdout,
            stderr,
        } = self
            .command(Tools::get().mosquitto_sub(), words)
            .args(["-W", &waits])
            .output()
            .expect("it runs");
        let (said, complained) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        assert!(
            status.success(),
            "mosquitto_sub {words:?}: {status} {said} {complained}"
        );
        said.into_owned()
    }

    /// Starts `mosquitto_sub` and returns when its subscription stands.
    fn subscribe(&self, format: &str, words: &[&str]) -> Subscriber {
        // Buffered by lines, or a pipe would hold back what it says.
        let mut stdbuf = Command::new("stdbuf");
        stdbuf
            .arg("-oL")
            .arg(Tools::get().mosquitto_sub().get_program());
        let mut child = self
            .command(stdbuf, words)
            .args(["-d", "-F", &format!("{MARK}{format}")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let stdout = child.stdout.take().expect("piped");
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let subscriber = Subscriber { child, lines };
        while !subscriber.line().starts_with("Subscribed (mid") {}
        subscriber
    }
}

struct Subscriber {
    child: Child,
    lines: Receiver<String>,
}

impl Subscriber {
    fn line(&self) -> String {
        self.lines
            .recv_timeout(DEADLINE)
            .expect("mosquitto_sub says something in time")
    }

    /// The next message, as the format shows it.
    fn next(&self) -> String {
        loop {
            if let Some(message) = self.line().strip_prefix(MARK) {
                return message.to_owned();
            }
        }
    }

    /// Waits until it has ended by itself.
    fn ended(mut self) {
        let status = self.child.wait().expect("our child");
        assert!(status.success(), "mosquitto_sub: {status}");
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn mosquitto_gets_the_lower_of_both_qos() {
    Mosquitto::each(|mosquitto| {
        for wanted in ["0", "1", "2"] {
            let subscriber = mosquitto.subscribe("%q %p", &["-t", "qos", "-q", wanted]);
            for published in ["0", "1", "2"] {
                mosquitto.publish(&["-t", "qos", "-q", published, "-m", published]);
                assert_eq!(
                    subscriber.next(),
                    format!("{} {published}", wanted.min(published))
                );
            }
        }
    });
}

#[test]
fn mosquitto_finds_retained_messages_until_they_are_cleared() {
    Mosquitto::each(|mosquitto| {
        let retained = |topics: &[&str]| {
            mosquitto.receive(&[&["-C", "1", "-q", "1", "-F", "%r %t %p"], topics].concat())
        };
        mosquitto.publish(&["-t", "kept", "-q", "1", "-r", "-m", "one"]);
        mosquitto.publish(&["-t", "kept", "-q", "2", "-r", "-m", "two"]);
        assert_eq!(retained(&["-t", "kept"]), "1 kept two\n");
        mosquitto.publish(&["-t", "kept", "-q", "1", "-r", "-n"]);
        mosquitto.publish(&["-t", "other", "-q", "1", "-r", "-m", "here"]);
        assert_eq!(retained(&["-t", "kept", "-t", "other"]), "1 other here\n");
    });
}

#[test]
fn mosquitto_leaves_a_will_when_killed_and_none_when_it_says_goodbye() {
    Mosquitto::each(|mosquitto| {
        let watcher = mosquitto.subscribe("%t %p", &["-t", "will/+", "-q", "1"]);
        // It ends by itself, with DISCONNECT, after one message.
        let doomed = |name: &str| {
            let topic = format!("will/{name}");
            let will = ["--will-topic", &topic, "--will-payload", "gone"];
            let words = [&["-t", "x", "-C", "1", "--will-qos", "1"], &will[..]].concat();
            mosquitto.subscribe("%p", &words)
        };
        let polite = doomed("polite");
        mosquitto.publish(&["-t", "x", "-q", "1", "-m", "enough"]);
        polite.ended();
        drop(doomed("killed"));
        assert_eq!(watcher.next(), "will/killed gone");
    });
}

#[test]
fn mosquitto_gets_what_came_while_it_was_away() {
    Mosquitto::each(|mosquitto| {
        let mut session = vec!["-c", "-i", "away", "-q", "1", "-t", "away/#"];
        if mosquitto.version == "mqttv5" {
            session.extend(["-x", "300"]);
        }
        mosquitto.receive(&[&session[..], &["-E"]].concat());
        for number in ["1", "2", "3"] {
            mosquitto.publish(&["-t", &format!("away/{number}"), "-q", "1", "-m", number]);
        }
        let got = mosquitto.receive(&[&session[..], &["-C", "3", "-F", "%t %p"]].concat());
        assert_eq!(got, "away/1 1\naway/2 2\naway/3 3\n");
    });
}

#[test]
fn mosquitto_shares_a_subscription() {
    Mosquitto::each(|mosquitto| {
        let words = ["-t", "$share/team/jobs", "-t", "end", "-q", "1"];
        let mut members = [
            mosquitto.subscribe("%t %p", &words),
            mosquitto.subscribe("%t %p", &words),
        ];
        for number in 0..20 {
            mosquitto.publish(&["-t", "jobs", "-q", "1", "-m", &number.to_string()]);
        }
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            for member in &mut members {
                let tell = tell.clone();
                scope.spawn(move || {
                    loop {
                        let message = member.next();
                        let _ = tell.send(message.clone());
                        if message.starts_with("end") {
                            return;
                        }
                    }
                });
            }
            let mut got: Vec<String> = (0..20)
                .map(|_| told.recv_timeout(DEADLINE).expect("a message"))
                .collect();
            got.sort_by_key(|message| message.trim_start_matches("jobs ").parse::<u32>().ok());
            let all: Vec<String> = (0..20).map(|number| format!("jobs {number}")).collect();
            assert_eq!(got, all, "each to exactly one");
            mosquitto.publish(&["-t", "end", "-q", "1", "-m", "."]);
            let rest: Vec<String> = (0..2)
                .map(|_| told.recv_timeout(DEADLINE).expect("an end"))
                .collect();
            assert_eq!(rest, ["end .", "end ."], "and nothing twice");
        });
    });
}

#[test]
fn mosquitto_sees_mqtt_5_properties() {
    Mosquitto::only_5(|mosquitto| {
        let subscriber = mosquitto.subscribe("%C|%D|%R|%P|%p", &["-t", "props", "-q", "1"]);
        mosquitto.publish(
            &[
                &["-t", "props", "-q", "1", "-m", "x"][..],
                &["-D", "publish", "content-type", "text/plain"],
                &["-D", "publish", "correlation-data", "c1"],
                &["-D", "publish", "response-topic", "answers"],
                &["-D", "publish", "user-property", "k", "v"],
            ]
            .concat(),
        );
        assert_eq!(subscriber.next(), "text/plain|c1|answers|k:v|x");
    });
}

#[test]
fn mosquitto_is_told_when_it_writes_as_somebody_else() {
    Mosquitto::each(|mosquitto| {
        let words = [
            "-i",
            "mallory",
            "-q",
            "1",
            "-t",
            "rooms/lab/handoff/dispatch/ann",
            "-m",
            "{}",
        ];
        let output = mosquitto
            .command(Tools::get().mosquitto_pub(), &words)
            .output()
            .expect("it runs");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        if mosquitto.version == "mqttv5" {
            assert!(said.to_lowercase().contains("not authorized"), "{said}");
        }
        // The reply waits in the mailbox, whatever the session.
        let reply = mosquitto.receive(&[
            "-i",
            "mallory",
            "-t",
            "rooms/lab/reply/mallory",
            "-q",
            "1",
            "-C",
            "1",
        ]);
        assert!(
            reply.contains(r#""status":"rejected","code":403"#),
            "{reply}"
        );
    });
}
